//! The workspace of the tests, and its events.

use hearth_api::v1::{
    BuildStep, BuildStepStatus, CacheReport, CacheResult, Event, Failure, FailureReason, LogChunk,
    PipelineStep, Settled, StateChanged, StepFinished, StepStarted, Workspace, WorkspaceSpec,
    WorkspaceState, event::Kind, prepare_workspace_response as prepared,
    watch_workspace_response as watched,
};
use prost_types::Timestamp;

pub const ID: &str = "sample-1";
pub const REPOSITORY: &str = "https://git.example/team/sample";

pub fn spec() -> WorkspaceSpec {
    WorkspaceSpec {
        repository: REPOSITORY.into(),
        ..Default::default()
    }
}

/// The workspace in a state, with the fields that are set then.
pub fn workspace(state: WorkspaceState, last_sequence: u64) -> Workspace {
    let mut workspace = Workspace {
        id: ID.into(),
        spec: Some(spec()),
        node: "node-1".into(),
        state: state.into(),
        attempt: 1,
        last_sequence,
        create_time: Some(time(0)),
        ..Default::default()
    };
    match state {
        WorkspaceState::Ready | WorkspaceState::Recovery => {
            workspace.container_id = "0123456789abcdef".into();
            workspace.remote_user = "vscode".into();
            workspace.remote_folder = "/workspaces/sample".into();
            workspace.ready_seconds = 9.0;
            workspace.cache = Some(CacheReport {
                result: CacheResult::Partial.into(),
                steps_total: 10,
                steps_reused: 7,
                seconds: 5.0,
                ..Default::default()
            });
        }
        WorkspaceState::Failed => workspace.settled = true,
        _ => {}
    }
    if matches!(state, WorkspaceState::Recovery | WorkspaceState::Failed) {
        workspace.failure = Some(failure());
    }
    workspace
}

pub fn failure() -> Failure {
    Failure {
        reason: FailureReason::BuildFailed.into(),
        message: "the image could not be built".into(),
        output_tail: "make: nothing to be done\nmake: *** \u{1b}[31mError 2\n".into(),
        step: PipelineStep::Image.into(),
    }
}

/// Events with sequences from 1, a second apart.
pub fn story(last: WorkspaceState) -> Vec<Event> {
    let clone: i32 = PipelineStep::Clone.into();
    let failure = match last {
        WorkspaceState::Ready => None,
        _ => Some(failure()),
    };
    let kinds = vec![
        Kind::StateChanged(StateChanged {
            state: WorkspaceState::Preparing.into(),
            ..Default::default()
        }),
        Kind::StepStarted(StepStarted {
            step: clone,
            description: "clones the repository".into(),
        }),
        Kind::StepFinished(StepFinished {
            step: clone,
            seconds: 1.2,
            succeeded: true,
        }),
        Kind::BuildStep(BuildStep {
            number: 3,
            name: "[3/10] RUN \u{1b}]0;owned\u{7}make".into(),
            status: BuildStepStatus::Cached.into(),
            seconds: 0.0,
        }),
        Kind::Log(LogChunk {
            step: PipelineStep::Image.into(),
            text: "hello from the \u{1b}[2Jbuild".into(),
            dropped_lines: 0,
        }),
        Kind::StateChanged(StateChanged {
            state: last.into(),
            failure,
            seconds: 5.0,
            ..Default::default()
        }),
    ];
    number(kinds)
}

/// The event that follows [`story`] when the background push has ended.
pub fn settled() -> Event {
    Event {
        sequence: 7,
        attempt: 1,
        time: Some(time(7)),
        kind: Some(Kind::Settled(Settled {})),
    }
}

fn number(kinds: Vec<Kind>) -> Vec<Event> {
    (1..)
        .zip(kinds)
        .map(|(sequence, kind)| Event {
            sequence,
            attempt: 1,
            time: Some(time(sequence as i64)),
            kind: Some(kind),
        })
        .collect()
}

fn time(seconds: i64) -> Timestamp {
    Timestamp {
        seconds: 1_700_000_000 + seconds,
        nanos: 0,
    }
}

/// A stream of PrepareWorkspace.
pub fn prepared(snapshot: Workspace, events: &[Event]) -> Vec<prepared::Message> {
    let events = events.iter().cloned().map(prepared::Message::Event);
    [prepared::Message::Snapshot(snapshot)]
        .into_iter()
        .chain(events)
        .collect()
}

/// A stream of WatchWorkspace.
pub fn watched(snapshot: Workspace, events: &[Event]) -> Vec<watched::Message> {
    let events = events.iter().cloned().map(watched::Message::Event);
    [watched::Message::Snapshot(snapshot)]
        .into_iter()
        .chain(events)
        .collect()
}
