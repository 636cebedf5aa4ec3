//! What a driver does next. Pure: no clock, no I/O; the driver passes in what it observed and does what comes out.
//!
//! ```text
//!  Reading ──▶ Calling ──▶ Accepting ──▶ Following ──▶ Done
//!    ▲ ▲         │ │                         │
//!    │ └ Moving ◀┘ │                         │
//!    └── Waiting ◀─┴─────── a failure ───────┤
//!                                            └─▶ Ending ──▶ Done
//! ```
//!
//! Every action leads to exactly one observation, so a driver has at most one call to its agent open.

use std::time::Duration;

use tokio::time::Instant;

use crate::{node::Verdict, record::Ending};

/// An agent that is alive and has not taken an attempt for this long never will.
const PATIENCE: Duration = Duration::from_secs(180);

/// Where a driver stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Reads the record.
    Reading(Tries),
    /// Has called the agent and waits for its first answer.
    Calling(Tries, Known),
    /// Stores which agent has the attempt.
    Accepting(Tries),
    /// Stores the events that the agent sends.
    Following(Tries),
    /// Places the attempt on another node. When there is none it is ended, or tried again where it is.
    Moving(Tries, Option<Ending>),
    /// Lets time pass before it reads the record again.
    Waiting(Tries),
    /// Stores the end of the attempt.
    Ending(Tries),
    /// Has nothing left to do.
    Done,
}

/// Failures since something was achieved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tries {
    /// When they began.
    since: Instant,
    failures: u32,
}

/// What the record says of the attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Known {
    /// The agent's sequence of the newest event that is stored; 0: none is.
    pub(super) after: u64,
    /// Boot id of the agent that accepted the attempt; empty: none has.
    pub(super) boot_id: String,
    /// Whether the attempt may be placed on another node.
    pub(super) movable: bool,
}

/// What came of an action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Observation {
    /// The record: the attempt goes on.
    Unsettled(Known),
    /// The record is gone, settled, or about to be deleted, or its newest attempt is another one.
    Over,
    /// The agent has the attempt. With its boot id.
    Accepted(String),
    /// The store did what it was asked to.
    Stored {
        /// The attempt has ended.
        settled: bool,
    },
    /// The store failed.
    StoreFailed,
    /// The call to the agent, or its stream, failed.
    Failed(Verdict, String),
    /// The stream ended before the attempt did.
    Ended,
    /// The node is lost or has left, which ends the attempts that it has.
    NodeGone(Ending),
    /// There is no other node.
    Nowhere,
    /// Another process answers for the node now.
    AgentRestarted,
    /// The time has passed.
    Waited,
    /// The driver is told to stop.
    Stopped,
}

/// What a driver does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Read the record.
    Read,
    /// Call the agent. The attempt begins if `after` is 0 and the agent does not know it.
    Call { after: u64 },
    /// Store which agent has the attempt.
    Accept { boot_id: String },
    /// Wait for events of the open stream, and store them.
    Follow,
    /// Place the attempt on another node, for this reason.
    Move { why: String },
    /// Close the stream if one is open, and wait; the longer, the more failures.
    Wait { failures: u32 },
    /// Store the end of the attempt.
    End(Ending),
    /// End the task.
    Stop,
}

impl Phase {
    /// The first phase, with what to do in it.
    pub(super) fn begin(now: Instant) -> (Self, Action) {
        (Self::Reading(Tries::none(now)), Action::Read)
    }

    /// The next phase, with what to do in it.
    pub(super) fn next(self, observation: Observation, now: Instant) -> (Self, Action) {
        use Observation as O;
        match (self, observation) {
            (Self::Done, _) | (_, O::Over | O::Stopped) => Self::stop(),
            (phase, O::StoreFailed) => phase.tries(now).wait(),
            (Self::Reading(tries), O::Unsettled(known)) => {
                let after = known.after;
                (Self::Calling(tries, known), Action::Call { after })
            }
            (Self::Calling(tries, known), O::Accepted(boot_id)) => {
                if boot_id == known.boot_id {
                    (Self::Following(tries), Action::Follow)
                } else if known.after == 0 {
                    (Self::Accepting(tries), Action::Accept { boot_id })
                } else {
                    // Its events would not continue those that are stored.
                    tries.end(Ending::AgentRestarted)
                }
            }
            (Self::Accepting(tries), O::Stored { .. }) => (Self::Following(tries), Action::Follow),
            (Self::Following(_), O::Stored { settled: false }) => {
                (Self::Following(Tries::none(now)), Action::Follow)
            }
            (Self::Following(_) | Self::Ending(_), O::Stored { .. }) => Self::stop(),
            (Self::Calling(tries, known), O::Failed(verdict, why)) => match verdict {
                Verdict::Again | Verdict::Away
                    if known.boot_id.is_empty() && tries.lasted(now) > PATIENCE =>
                {
                    tries.end(Ending::Refused(why))
                }
                Verdict::Away if known.movable => (Self::Moving(tries, None), Action::Move { why }),
                Verdict::Unknown if known.after == 0 => tries.end(Ending::Refused(why)),
                _ => tries.failed(verdict, why),
            },
            (Self::Calling(tries, known), O::NodeGone(ending)) if known.movable => {
                let why = match ending {
                    Ending::NodeLeft => "its agent was stopped",
                    _ => "it stopped answering",
                };
                let why = why.to_owned();
                (Self::Moving(tries, Some(ending)), Action::Move { why })
            }
            (Self::Moving(..), O::Stored { .. }) => Self::begin(now),
            (Self::Moving(tries, Some(ending)), O::Nowhere) => tries.end(ending),
            (Self::Moving(tries, None), O::Nowhere) => tries.wait(),
            (Self::Following(tries), O::Failed(verdict, why)) => tries.failed(verdict, why),
            (Self::Following(tries), O::Ended) => tries.wait(),
            (Self::Calling(tries, _) | Self::Following(tries), O::NodeGone(ending)) => {
                tries.end(ending)
            }
            // It is asked at once: it may have taken the attempt before it registered.
            (phase, _) => (Self::Reading(phase.tries(now)), Action::Read),
        }
    }

    fn stop() -> (Self, Action) {
        (Self::Done, Action::Stop)
    }

    fn tries(&self, now: Instant) -> Tries {
        match self {
            Self::Reading(tries)
            | Self::Calling(tries, _)
            | Self::Accepting(tries)
            | Self::Following(tries)
            | Self::Moving(tries, _)
            | Self::Waiting(tries)
            | Self::Ending(tries) => *tries,
            Self::Done => Tries::none(now),
        }
    }
}

impl Tries {
    fn none(now: Instant) -> Self {
        Self {
            since: now,
            failures: 0,
        }
    }

    fn lasted(self, now: Instant) -> Duration {
        now.saturating_duration_since(self.since)
    }

    fn wait(self) -> (Phase, Action) {
        let action = Action::Wait {
            failures: self.failures,
        };
        let tries = Self {
            failures: self.failures.saturating_add(1),
            ..self
        };
        (Phase::Waiting(tries), action)
    }

    fn failed(self, verdict: Verdict, why: String) -> (Phase, Action) {
        match verdict {
            Verdict::Again | Verdict::Away => self.wait(),
            Verdict::Unknown => self.end(Ending::AgentRestarted),
            Verdict::Outdated => self.end(Ending::Replaced),
            Verdict::Never => self.end(Ending::Refused(why)),
        }
    }

    fn end(self, ending: Ending) -> (Phase, Action) {
        (Phase::Ending(self), Action::End(ending))
    }
}

#[cfg(test)]
#[path = "phase_tests.rs"]
mod tests;
