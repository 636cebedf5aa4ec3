use std::{
    collections::BTreeSet,
    fmt::{self, Display},
};

use hearth_api::v1::{Failure, FailureReason, PipelineStep};
use serde_json::{Map, Value};
use tokio::sync::watch;

use super::failure::{failure, process_failure};
use crate::{
    attempt::{Activity, OutputSink, Recorder, without_escapes},
    external::process::{Line, ProcessFailure},
};

/// A command of the configuration that runs in the container. `postAttachCommand` is not one of them: it belongs to the
/// program that attaches to the workspace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hook {
    OnCreate,
    UpdateContent,
    PostCreate,
    PostStart,
}

impl Hook {
    const ALL: [Self; 4] = [
        Self::OnCreate,
        Self::UpdateContent,
        Self::PostCreate,
        Self::PostStart,
    ];

    fn property(self) -> &'static str {
        match self {
            Self::OnCreate => "onCreateCommand",
            Self::UpdateContent => "updateContentCommand",
            Self::PostCreate => "postCreateCommand",
            Self::PostStart => "postStartCommand",
        }
    }

    /// The hook that a sentence of the CLI begins with, or is about: `NAME of HOOK from ORIGIN …`.
    fn in_sentence(text: &str) -> Option<Self> {
        let (subject, _) = text.split_once(" from ")?;
        let word = subject.rsplit(' ').next()?;
        Self::ALL.into_iter().find(|hook| hook.property() == word)
    }
}

impl Display for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.property())
    }
}

/// The hooks of a devcontainer, and up to which one a workspace is not ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hooks {
    present: BTreeSet<Hook>,
    /// `None`: for no hook.
    wait_for: Option<Hook>,
}

impl Hooks {
    /// Those of the configuration and of the image's metadata, which the CLI joins.
    pub fn of(config: Option<&Map<String, Value>>, metadata: &[Value]) -> Self {
        let mut present = BTreeSet::new();
        // The specification's default.
        let mut wait_for = Some(Hook::UpdateContent);
        let entries = metadata.iter().filter_map(Value::as_object);
        for entry in entries.chain(config) {
            let has = |hook: &Hook| entry.get(hook.property()).is_some_and(is_command);
            present.extend(Hook::ALL.into_iter().filter(has));
            if let Some(name) = entry.get("waitFor").and_then(Value::as_str) {
                wait_for = Hook::ALL.into_iter().find(|hook| hook.property() == name);
            }
        }
        Self { present, wait_for }
    }

    /// Those that the workspace is not ready without.
    pub fn blocking(&self) -> BTreeSet<Hook> {
        let blocks = |hook: &&Hook| self.wait_for.is_some_and(|last| **hook <= last);
        self.present.iter().filter(blocks).copied().collect()
    }

    /// Those of them that follow every start of the container, also of one that was stopped.
    pub fn that_follow_a_start(mut self) -> Self {
        self.present.retain(|hook| *hook == Hook::PostStart);
        self
    }

    /// Those that run while the workspace is ready.
    pub fn later(&self) -> BTreeSet<Hook> {
        let blocking = self.blocking();
        self.present.difference(&blocking).copied().collect()
    }
}

/// Whether a hook's value is a command that the CLI runs.
fn is_command(value: &Value) -> bool {
    match value {
        Value::String(text) => !text.trim().is_empty(),
        Value::Array(words) => !words.is_empty(),
        Value::Object(commands) => !commands.is_empty(),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Follows what the CLI prints while it runs hooks of a step.
pub struct HookLog {
    recorder: Recorder,
    step: PipelineStep,
    output: OutputSink,
    /// The hook that runs, for display.
    activity: Option<Activity>,
    ran: BTreeSet<Hook>,
    current: watch::Sender<Option<Hook>>,
    /// The CLI's sentence about a hook that failed, and the last line before it.
    failed: Option<String>,
    last_line: String,
}

impl HookLog {
    /// Nothing ran yet.
    pub fn new(recorder: &Recorder, step: PipelineStep) -> Self {
        Self {
            recorder: recorder.clone(),
            step,
            output: recorder.output(step),
            activity: None,
            ran: BTreeSet::new(),
            current: watch::Sender::default(),
            failed: None,
            last_line: String::new(),
        }
    }

    /// Takes what the CLI printed.
    pub fn take(&mut self, line: Line<'_>) {
        if let Line::Text(text) = line {
            self.line(&without_escapes(text));
        }
        self.output.take(line);
        if let Some(activity) = &mut self.activity {
            activity.take(line);
        }
    }

    fn line(&mut self, line: &str) {
        let running = line
            .strip_prefix("Running the ")
            .or_else(|| line.strip_prefix("Running "))
            .filter(|rest| rest.ends_with("..."));
        if let Some(hook) = running.and_then(Hook::in_sentence) {
            self.ran.insert(hook);
            // The one before ends first.
            self.activity = None;
            self.activity = Some(self.recorder.activity(self.step, hook.property()));
            self.current.send_replace(Some(hook));
            self.last_line.clear();
        } else if let Some(sentence) = failed_hook(line) {
            self.failed.get_or_insert(self.with_last_line(sentence));
        } else if self.failed.is_none() && !line.trim().is_empty() {
            line.trim().clone_into(&mut self.last_line);
        }
    }

    fn with_last_line(&self, sentence: String) -> String {
        if self.last_line.is_empty() {
            sentence
        } else {
            format!("{sentence}: {}", self.last_line)
        }
    }

    /// The hook that runs, or ran last.
    pub fn current(&self) -> watch::Receiver<Option<Hook>> {
        self.current.subscribe()
    }

    /// The failure of the hooks, if one failed: also one that the CLI passes over.
    pub fn failure(&self, result: Result<(), ProcessFailure>) -> Result<(), Failure> {
        let child = match (result, &self.failed) {
            (Ok(()), None) => return Ok(()),
            (Ok(()), Some(_)) => ProcessFailure::new(String::new()),
            (Err(child), _) => child,
        };
        let message = match (&self.failed, *self.current.borrow()) {
            (Some(sentence), _) => sentence.clone(),
            (None, Some(hook)) => format!("{hook} failed: {}", child.message),
            (None, None) => format!("the hooks cannot be run: {}", child.message),
        };
        Err(process_failure(
            FailureReason::HookFailed,
            self.step,
            message,
            &child,
        ))
    }

    /// Those of `expected` that did not run.
    pub fn missing(&self, expected: &BTreeSet<Hook>) -> BTreeSet<Hook> {
        expected.difference(&self.ran).copied().collect()
    }

    /// Fails unless all of `expected` ran, which the CLI does not tell.
    pub fn all_ran(&self, expected: &BTreeSet<Hook>) -> Result<(), Failure> {
        let missing = self.missing(expected);
        if missing.is_empty() {
            return Ok(());
        }
        let names: Vec<_> = missing.iter().map(ToString::to_string).collect();
        let message = format!(
            "{} did not run, though the devcontainer CLI reports no failure: it needs a home folder or /tmp that the remote user can write to",
            names.join(", ")
        );
        Err(failure(FailureReason::HookFailed, self.step, message))
    }
}

/// What a line of the CLI says about a hook that failed, if it does. The CLI takes exit code 130 for an interruption by
/// the user, and goes on.
fn failed_hook(line: &str) -> Option<String> {
    Hook::in_sentence(line)?;
    if let Some(what) = line.strip_suffix(" interrupted.") {
        return Some(format!("{what} failed with exit code 130"));
    }
    let (what, code) = line.split_once(" failed with exit code ")?;
    let (code, _) = code.split_once(". Skipping any further")?;
    Some(format!("{what} failed with exit code {code}"))
}

#[cfg(test)]
#[path = "hooks_tests.rs"]
mod tests;
