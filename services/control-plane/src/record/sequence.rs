//! How the log of a workspace grows: events are numbered, impossible ones are left out, and every attempt gets an end.
//! Pure: the store calls this inside its transaction.

use hearth_api::v1::{
    Event, Failure, FailureReason, PipelineStep, PushOutcome, PushReport, Settled, StateChanged,
    StepFinished, StopCause, Warning, WorkspaceState as State, event::Kind,
};
use hearth_runtime::events::cut;
use prost_types::Timestamp;

use super::{fold::Record, progress::Rebuilding};
use crate::clock::{millis, seconds_between};

/// An event with its place in the log.
#[derive(Clone, Debug, PartialEq)]
pub struct LogEntry {
    /// The agent's own number within the attempt; 0 for events of the control plane.
    pub agent_sequence: u64,
    /// The event, numbered.
    pub event: Event,
}

/// Why the control plane ends an attempt itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// A newer attempt takes its place.
    Replaced,
    /// The workspace is being deleted.
    Deleted,
    /// The workspace is being stopped, and was being started.
    Stopped,
    /// The agent was restarted and does not know the attempt.
    AgentRestarted,
    /// The node stopped answering.
    NodeLost,
    /// The node's agent was stopped.
    NodeLeft,
    /// The agent refuses the attempt, with its reason.
    Refused(String),
    /// The agent settled the attempt without an outcome.
    Silent,
}

impl Ending {
    fn failure(&self) -> (FailureReason, String) {
        match self {
            Self::Replaced => (
                FailureReason::Replaced,
                "A newer attempt replaced this one.".into(),
            ),
            Self::Deleted => (
                FailureReason::Replaced,
                "The workspace is being deleted.".into(),
            ),
            Self::Stopped => (
                FailureReason::Replaced,
                "The workspace is being stopped.".into(),
            ),
            Self::AgentRestarted => (
                FailureReason::AgentRestarted,
                "The node's agent was restarted while the attempt ran; start a new attempt.".into(),
            ),
            Self::NodeLost => (
                FailureReason::NodeLost,
                "The node stopped answering; start a new attempt when it is back, or a workspace on another node."
                    .into(),
            ),
            Self::NodeLeft => (
                FailureReason::AgentRestarted,
                "The node's agent was stopped; start a new attempt when it is back, or a workspace on another node."
                    .into(),
            ),
            Self::Refused(why) => (
                FailureReason::Internal,
                format!("The node's agent refused the attempt: {why}"),
            ),
            Self::Silent => (
                FailureReason::Internal,
                "The node's agent ended the attempt without an outcome.".into(),
            ),
        }
    }
}

impl Record {
    /// Appends events of the agent, by the agent's own numbers: those that are known already are left out.
    pub fn append(&mut self, events: Vec<Event>, now: Timestamp) -> Vec<LogEntry> {
        let mut entries = Vec::with_capacity(events.len());
        for event in events {
            let agent_sequence = event.sequence;
            if agent_sequence <= self.progress.agent_sequence {
                continue;
            }
            self.progress.agent_sequence = agent_sequence;
            if let Some(kind) = &event.kind
                && !self.may_come_from_agent(kind)
            {
                continue;
            }
            let Some(mut kind) = event.kind else {
                // A kind of a newer contract: its number is kept, so that the log has no gap.
                self.push(
                    agent_sequence,
                    None,
                    event.time.unwrap_or(now),
                    &mut entries,
                );
                continue;
            };
            // Agents do that, too.
            cut(&mut kind);
            if matches!(kind, Kind::Settled(_)) {
                if matches!(self.workspace.state(), State::Pending | State::Preparing) {
                    entries.extend(self.end(&Ending::Silent, now));
                    continue;
                }
                self.close_steps(now, &mut entries);
            }
            self.push(
                agent_sequence,
                Some(kind),
                event.time.unwrap_or(now),
                &mut entries,
            );
        }
        self.touch(&entries, now);
        entries
    }

    /// What becomes of a workspace after it was stopped is the control plane's to say: what goes on at the agent meanwhile ends.
    fn may_come_from_agent(&self, kind: &Kind) -> bool {
        match kind {
            Kind::StateChanged(change) => match self.workspace.state() {
                State::Stopping | State::Stopped => false,
                State::Pending | State::Preparing => true,
                _ => change.state() != State::Stopped,
            },
            Kind::ContainerEnded(_) | Kind::Expiring(_) => false,
            _ => true,
        }
    }

    /// Appends a warning of the control plane. Nothing is appended to an attempt that has settled.
    pub fn note(&mut self, warning: &str, now: Timestamp) -> Vec<LogEntry> {
        let mut entries = Vec::new();
        if self.workspace.settled {
            return entries;
        }
        let warning = Warning {
            message: warning.to_owned(),
        };
        self.push(0, Some(Kind::Warning(warning)), now, &mut entries);
        self.touch(&entries, now);
        entries
    }

    /// Places the attempt on another node, because of `why`. Does nothing if it has settled.
    pub fn move_to(&mut self, node: &str, why: &str, now: Timestamp) -> Vec<LogEntry> {
        if self.workspace.settled {
            return Vec::new();
        }
        let before = std::mem::replace(&mut self.workspace.node, node.to_owned());
        let warning = format!("{before} did not begin the attempt: {why}. It is placed on {node}.");
        self.progress.passed_by.push(before);
        self.note(&warning, now)
    }

    /// Ends the newest attempt in any state. Does nothing if it has settled.
    pub fn end(&mut self, ending: &Ending, now: Timestamp) -> Vec<LogEntry> {
        let mut entries = Vec::new();
        if self.workspace.settled {
            return entries;
        }
        let open = &self.progress.open_steps;
        let pushes = open
            .iter()
            .any(|open| open.step == PipelineStep::Push as i32);
        self.close_steps(now, &mut entries);
        let (reason, message) = ending.failure();
        let state = self.workspace.state();
        match state {
            State::Pending | State::Preparing => {
                let accepted = self.progress.accepted_ms;
                let (failed, cause) = match self.progress.start {
                    true => (State::Stopped, StopCause::StartFailed),
                    false => (State::Failed, StopCause::Unspecified),
                };
                let change = StateChanged {
                    state: failed.into(),
                    stop_cause: cause.into(),
                    failure: Some(Failure {
                        reason: reason.into(),
                        message: message.clone(),
                        ..Failure::default()
                    }),
                    seconds: if accepted == 0 {
                        0.0
                    } else {
                        seconds_between(accepted, &now)
                    },
                    ..StateChanged::default()
                };
                self.push(0, Some(Kind::StateChanged(change)), now, &mut entries);
            }
            State::Ready
            | State::Recovery
            | State::Stopping
            | State::Stopped
            | State::Failed
            | State::Deleting
            | State::Lost
            | State::Unspecified => {}
        }
        // Every attempt at preparing that became ready reports its push, and so does one whose push had begun.
        let was_ready = matches!(
            state,
            State::Ready | State::Recovery | State::Stopping | State::Stopped
        );
        let owes = pushes || (was_ready && !self.progress.start);
        if owes && self.workspace.push.is_none() {
            let report = PushReport {
                outcome: PushOutcome::Interrupted.into(),
                message,
                ..PushReport::default()
            };
            self.push(0, Some(Kind::Push(report)), now, &mut entries);
        }
        self.push(0, Some(Kind::Settled(Settled {})), now, &mut entries);
        self.touch(&entries, now);
        entries
    }

    /// Ends the newest attempt and begins the next one.
    pub fn begin_attempt(&mut self, how: Rebuilding, now: Timestamp) -> Vec<LogEntry> {
        // An attempt that kept the clone and failed has left it as it was.
        let has_clone = self.has_clone();
        let entries = self.begin(false, now);
        self.progress.keeps_clone = how.keep_clone && has_clone;
        self.progress.no_cache = how.no_cache;
        entries
    }

    /// Whether its clone is whole: it was usable with it, or an attempt that kept it has left it as it was.
    fn has_clone(&self) -> bool {
        let progress = &self.progress;
        let was_usable = matches!(
            self.workspace.state(),
            State::Ready | State::Recovery | State::Stopping | State::Stopped
        );
        was_usable || progress.start || progress.keeps_clone
    }

    /// Ends the newest attempt and begins one that starts the workspace, or that prepares it.
    pub(super) fn begin(&mut self, start: bool, now: Timestamp) -> Vec<LogEntry> {
        let mut entries = self.end(&Ending::Replaced, now);
        let event = Event {
            sequence: self.workspace.last_sequence + 1,
            attempt: self.workspace.attempt.saturating_add(1),
            time: Some(now),
            kind: Some(Kind::StateChanged(StateChanged {
                state: State::Pending.into(),
                start,
                ..StateChanged::default()
            })),
        };
        self.put(0, event, &mut entries);
        self.touch(&entries, now);
        entries
    }

    /// Ends the newest attempt and marks the workspace as being deleted.
    pub fn begin_delete(&mut self, now: Timestamp) -> Vec<LogEntry> {
        let entries = self.end(&Ending::Deleted, now);
        self.workspace.set_state(State::Deleting);
        entries
    }

    /// Notes which agent accepted the attempt, and when the first one did.
    pub fn accepted(&mut self, boot_id: &str, now: &Timestamp) {
        boot_id.clone_into(&mut self.progress.boot_id);
        if self.progress.accepted_ms == 0 {
            self.progress.accepted_ms = millis(now);
        }
    }

    /// Readers of the log rely on it that no step is open at the end.
    fn close_steps(&mut self, now: Timestamp, entries: &mut Vec<LogEntry>) {
        for open in std::mem::take(&mut self.progress.open_steps) {
            let finished = StepFinished {
                step: open.step,
                seconds: seconds_between(open.since_ms, &now),
                succeeded: false,
            };
            self.push(0, Some(Kind::StepFinished(finished)), now, entries);
        }
    }

    pub(super) fn push(
        &mut self,
        agent_sequence: u64,
        kind: Option<Kind>,
        time: Timestamp,
        entries: &mut Vec<LogEntry>,
    ) {
        let event = Event {
            sequence: self.workspace.last_sequence + 1,
            attempt: self.workspace.attempt,
            time: Some(time),
            kind,
        };
        self.put(agent_sequence, event, entries);
    }

    fn put(&mut self, agent_sequence: u64, event: Event, entries: &mut Vec<LogEntry>) {
        match self.apply(&event) {
            Ok(()) => entries.push(LogEntry {
                agent_sequence,
                event,
            }),
            Err(why) => tracing::warn!(
                workspace.id = self.workspace.id,
                workspace.attempt = event.attempt,
                agent_sequence,
                %why,
                "an impossible event was left out of the log"
            ),
        }
    }

    pub(super) fn touch(&mut self, entries: &[LogEntry], now: Timestamp) {
        if !entries.is_empty() {
            self.workspace.update_time = Some(now);
        }
    }
}

#[cfg(test)]
#[path = "sequence_tests.rs"]
mod tests;
