//! What the fold of a log needs and clients do not see.

use hearth_api::v1::{Failure, WorkspaceState as State};
use prost::Message;

/// State of the newest attempt of a workspace, stored next to the snapshot.
#[derive(Clone, PartialEq, Message)]
pub struct Progress {
    /// The agent's sequence of the newest event that was stored.
    #[prost(uint64, tag = "1")]
    pub agent_sequence: u64,
    /// Boot id of the agent that accepted the attempt. Empty until then.
    #[prost(string, tag = "2")]
    pub boot_id: String,
    /// When the agent accepted the attempt, in milliseconds since 1970. Zero until then.
    #[prost(int64, tag = "3")]
    pub accepted_ms: i64,
    /// Sequence of the first event that made the workspace READY, RECOVERY or FAILED. Zero until then.
    #[prost(uint64, tag = "4")]
    pub ready_sequence: u64,
    /// Sequence of the attempt's last event. Zero until then.
    #[prost(uint64, tag = "5")]
    pub settled_sequence: u64,
    /// Steps that started and have not ended.
    #[prost(message, repeated, tag = "6")]
    pub open_steps: Vec<OpenStep>,
    /// Whether the node was chosen for the attempt, and not asked for.
    #[prost(bool, tag = "7")]
    pub placed: bool,
    /// Nodes on which the attempt never began.
    #[prost(string, repeated, tag = "8")]
    pub passed_by: Vec<String>,
    /// Sequence of the event after which no hook can change the outcome. Zero until then.
    #[prost(uint64, tag = "9")]
    pub hooks_sequence: u64,
    /// Whether the attempt starts the workspace again, and prepares nothing.
    #[prost(bool, tag = "10")]
    pub start: bool,
    /// READY or RECOVERY, whichever the workspace was last; over starts, too.
    #[prost(enumeration = "State", tag = "11")]
    pub usable: i32,
    /// Why it was in RECOVERY, if that is what it was.
    #[prost(message, optional, tag = "12")]
    pub recovery: Option<Failure>,
    /// The container whose end is in the log already.
    #[prost(string, tag = "13")]
    pub ended_container: String,
    /// Whether the clone of the attempts before is kept.
    #[prost(bool, tag = "20")]
    pub keeps_clone: bool,
    /// Whether the image is built without the cache.
    #[prost(bool, tag = "21")]
    pub no_cache: bool,
}

/// What an attempt at an existing workspace does with what is there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rebuilding {
    /// The clone is kept, if the workspace was READY or in RECOVERY with it.
    pub keep_clone: bool,
    /// The image is built without the cache.
    pub no_cache: bool,
}

/// How many nodes may pass an attempt on.
const MAX_PASSED_BY: usize = 3;

impl Progress {
    /// Whether the attempt may be placed on another node: this one was not asked for, and no agent has the attempt.
    pub fn is_movable(&self) -> bool {
        self.placed
            && self.boot_id.is_empty()
            && self.agent_sequence == 0
            && self.passed_by.len() < MAX_PASSED_BY
    }

    pub(super) fn end_hooks(&mut self, sequence: u64) {
        if self.hooks_sequence == 0 {
            self.hooks_sequence = sequence;
        }
    }
}

/// A step that started and has not ended.
#[derive(Clone, Copy, PartialEq, Message)]
pub struct OpenStep {
    /// The `PipelineStep`.
    #[prost(int32, tag = "1")]
    pub step: i32,
    /// When it started, in milliseconds since 1970.
    #[prost(int64, tag = "2")]
    pub since_ms: i64,
}
