use std::{collections::BTreeSet, time::Instant};

use hearth_api::v1::{self, Failure, FailureReason, HookStatus, PipelineStep, event::Kind};
use tokio::sync::watch;

use super::{
    failure::{failure, process_failure},
    hook_sentences::{Origin, Said},
    hooks::Hook,
};
use crate::{
    attempt::{Activity, OutputSink, Recorder, without_escapes},
    external::process::{Line, ProcessFailure},
};

/// Most events of hooks: what a hook prints can look like a sentence of the CLI.
const MAX_TOLD: usize = 400;

/// Follows what the CLI prints while it runs hooks of a step.
pub struct HookLog {
    recorder: Recorder,
    step: PipelineStep,
    output: OutputSink,
    /// The hook that runs.
    running: Option<Running>,
    ran: BTreeSet<Hook>,
    current: watch::Sender<Option<Hook>>,
    /// Events that it made.
    told: usize,
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
            running: None,
            ran: BTreeSet::new(),
            current: watch::Sender::default(),
            told: 0,
            failed: None,
            last_line: String::new(),
        }
    }

    /// Takes what the CLI printed.
    pub fn take(&mut self, line: Line<'_>) {
        if let Line::Text(text) = line {
            let text = without_escapes(text);
            self.line(&self.recorder.mask().of(&text));
        }
        self.output.take(line);
        let running = self.running.as_mut();
        if let Some(activity) = running.and_then(|running| running.activity.as_mut()) {
            activity.take(line);
        }
    }

    fn line(&mut self, line: &str) {
        match Said::of(line) {
            Some(Said::Begins(of)) => self.begin(of),
            Some(Said::CommandSucceeded(name, of)) => {
                self.command_ended(name, of, HookStatus::Succeeded, 0);
                self.last_line.clear();
            }
            Some(Said::Failed(name, of, code)) => {
                self.command_ended(name.unwrap_or_default(), of, HookStatus::Failed, code);
                let what = match name {
                    Some(name) => format!("{name} of {of} failed with exit code {code}"),
                    None => format!("{of} failed with exit code {code}"),
                };
                self.failed.get_or_insert(self.with_last_line(what));
            }
            None if self.failed.is_none() && !line.trim().is_empty() => {
                line.trim().clone_into(&mut self.last_line);
            }
            None => {}
        }
    }

    /// A hook begins, so the one before has ended.
    fn begin(&mut self, of: Origin<'_>) {
        self.end(HookStatus::Succeeded);
        self.ran.insert(of.hook);
        let running = Running {
            hook: of.hook,
            origin: of.origin.to_owned(),
            began: Instant::now(),
            failed_with: None,
            activity: (self.told < MAX_TOLD)
                .then(|| self.recorder.activity(self.step, of.hook.property())),
        };
        self.tell(running.event("", HookStatus::Started, 0));
        self.running = Some(running);
        self.current.send_replace(Some(of.hook));
        self.last_line.clear();
    }

    /// A command of the hook that runs, or the only one of it, has ended.
    fn command_ended(&mut self, name: &str, of: Origin<'_>, status: HookStatus, code: u32) {
        let Some(running) = &mut self.running else {
            return;
        };
        if running.hook != of.hook || running.origin != of.origin {
            return;
        }
        if status == HookStatus::Failed {
            running.failed_with.get_or_insert(code);
        }
        if !name.is_empty() {
            let event = running.event(name, status, code);
            self.tell(event);
        }
    }

    /// The hook that runs has ended: like this, unless a command of it failed.
    fn end(&mut self, status: HookStatus) {
        if let Some(running) = self.running.take() {
            let event = match running.failed_with {
                Some(code) => running.event("", HookStatus::Failed, code),
                None => running.event("", status, 0),
            };
            self.tell(event);
        }
    }

    fn tell(&mut self, event: v1::Hook) {
        if self.told < MAX_TOLD {
            self.told += 1;
            self.recorder.note(Kind::Hook(event));
        }
    }

    /// The hook that runs is left alone.
    pub fn leave_running(&mut self) {
        self.end(HookStatus::LeftRunning);
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
    pub fn failure(&mut self, result: Result<(), ProcessFailure>) -> Result<(), Failure> {
        self.end(match result {
            Ok(()) => HookStatus::Succeeded,
            Err(_) => HookStatus::Failed,
        });
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

/// A hook that runs.
struct Running {
    hook: Hook,
    origin: String,
    began: Instant,
    /// The exit code of the first of its commands that failed.
    failed_with: Option<u32>,
    /// For display, unless there were so many hooks that no more are told.
    activity: Option<Activity>,
}

impl Running {
    fn event(&self, command: &str, status: HookStatus, exit_code: u32) -> v1::Hook {
        let seconds = match status {
            HookStatus::Started => 0.0,
            _ => self.began.elapsed().as_secs_f64(),
        };
        v1::Hook {
            name: self.hook.to_string(),
            origin: self.origin.clone(),
            command: command.to_owned(),
            status: status.into(),
            exit_code,
            seconds,
        }
    }
}

#[cfg(test)]
#[path = "hook_log_tests.rs"]
mod tests;
