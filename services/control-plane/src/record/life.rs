//! What happens to a workspace after it was ready: it is stopped, ends by itself, is started again, and its time ends. Pure: the
//! store calls this inside its transaction.

use hearth_api::v1::{
    ContainerEnded, Expiring, Failure, FailureReason, Lifetime, StateChanged, StopCause,
    WorkspaceState as State, event::Kind,
};
use prost_types::Timestamp;

use super::{
    fold::Record,
    sequence::{Ending, LogEntry},
};

/// A change in the life of a workspace.
#[derive(Clone, Debug, PartialEq)]
pub enum LifeChange {
    /// It is being stopped, for this reason. An attempt at starting it ends.
    BeginStop(StopCause),
    /// Its containers are stopped.
    Stopped,
    /// It is being started: a new attempt.
    BeginStart,
    /// Its container does not run any more, and nobody had asked for that.
    Ended(ContainerEnded),
    /// Its container runs, though it was stopped.
    RunsAgain,
    /// Its time ends soon.
    Expires(Expiring),
    /// Its time begins anew, with these limits.
    Renew(Lifetime),
}

/// The workspace is in a state in which the change cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotNow(pub State);

impl Record {
    /// Makes a change. What has happened already, or does not matter any more, changes nothing.
    pub fn live(&mut self, change: LifeChange, now: Timestamp) -> Result<Vec<LogEntry>, NotNow> {
        let state = self.workspace.state();
        if state == State::Deleting {
            return Err(NotNow(state));
        }
        let mut entries = Vec::new();
        match change {
            LifeChange::BeginStop(cause) => return self.begin_stop(cause, now),
            LifeChange::BeginStart => {
                return match state {
                    State::Ready | State::Recovery | State::Stopping | State::Stopped => {
                        Ok(self.begin(true, now))
                    }
                    _ => Err(NotNow(state)),
                };
            }
            LifeChange::Stopped if state == State::Stopping => {
                let cause = self.workspace.stop_cause();
                self.enter_stopped(cause, None, now, &mut entries);
            }
            LifeChange::Ended(ended) if is_usable(state) => {
                let is_it = ended.container_id == self.workspace.container_id;
                if is_it && self.progress.ended_container != ended.container_id {
                    self.ended(ended, now, &mut entries);
                }
            }
            // What is left of a start that failed is stopped by its agent.
            LifeChange::RunsAgain
                if state == State::Stopped
                    && self.workspace.stop_cause() != StopCause::StartFailed =>
            {
                let usable = match self.progress.usable == State::Recovery as i32 {
                    true => State::Recovery,
                    false => State::Ready,
                };
                let change = StateChanged {
                    state: usable.into(),
                    failure: self.progress.recovery.clone(),
                    ..StateChanged::default()
                };
                self.push(0, Some(Kind::StateChanged(change)), now, &mut entries);
            }
            LifeChange::Expires(expiring) => {
                self.push(0, Some(Kind::Expiring(expiring)), now, &mut entries);
            }
            LifeChange::Renew(lifetime) => self.workspace.lifetime = Some(lifetime),
            LifeChange::Stopped | LifeChange::Ended(_) | LifeChange::RunsAgain => {}
        }
        self.touch(&entries, now);
        Ok(entries)
    }

    fn begin_stop(&mut self, cause: StopCause, now: Timestamp) -> Result<Vec<LogEntry>, NotNow> {
        let state = self.workspace.state();
        let entries = match state {
            State::Ready | State::Recovery => Vec::new(),
            State::Pending | State::Preparing if self.progress.start => {
                self.end(&Ending::Stopped, now)
            }
            State::Stopping | State::Stopped => return Ok(Vec::new()),
            _ => return Err(NotNow(state)),
        };
        self.workspace.set_state(State::Stopping);
        self.workspace.set_stop_cause(cause);
        self.workspace.failure = None;
        Ok(entries)
    }

    fn ended(&mut self, ended: ContainerEnded, now: Timestamp, entries: &mut Vec<LogEntry>) {
        let failure = Failure {
            reason: FailureReason::ContainerGone.into(),
            message: how_it_ended(&ended),
            output_tail: ended.output_tail.clone(),
            ..Failure::default()
        };
        let is_there = !ended.removed;
        self.push(0, Some(Kind::ContainerEnded(ended)), now, entries);
        if is_there {
            let cause = StopCause::ContainerEnded;
            self.enter_stopped(cause, Some(failure), now, entries);
        }
    }

    fn enter_stopped(
        &mut self,
        cause: StopCause,
        failure: Option<Failure>,
        now: Timestamp,
        entries: &mut Vec<LogEntry>,
    ) {
        let change = StateChanged {
            state: State::Stopped.into(),
            stop_cause: cause.into(),
            failure,
            ..StateChanged::default()
        };
        self.push(0, Some(Kind::StateChanged(change)), now, entries);
    }
}

/// Whether a workspace in this state can be entered.
pub fn is_usable(state: State) -> bool {
    matches!(state, State::Ready | State::Recovery)
}

fn how_it_ended(ended: &ContainerEnded) -> String {
    let why = match (ended.out_of_memory, ended.exit_code) {
        (true, code) => format!("it ran out of memory (exit code {code})"),
        (false, 0) => "its first process ended (exit code 0)".to_owned(),
        (false, code @ 129..=192) => {
            format!(
                "its first process ended by signal {} (exit code {code})",
                code - 128
            )
        }
        (false, code) => format!("its first process ended with exit code {code}"),
    };
    format!(
        "The container has ended by itself: {why}. Its files are all there: start it again with `hearth start`."
    )
}

#[cfg(test)]
#[path = "life_tests.rs"]
mod tests;
