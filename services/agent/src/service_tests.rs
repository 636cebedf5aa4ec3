use std::time::Duration;

use hearth_api::v1::{
    AttemptRef, CacheSkipReason, Event, FailureReason, PipelineStep, WorkspaceSpec, WorkspaceState,
    event::Kind,
};
use hearth_runtime::Metrics;
use tonic::Code;

use super::*;
use crate::{external::engine::fake::FakeEngine, pipeline::fake::runner};

/// An agent whose engine can create no volume, and panics for a workspace that is called `bug-…`.
struct World {
    agent: Agent,
    engine: FakeEngine,
    _dir: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (engine, tasks) = (FakeEngine::default(), Tasks::default());
        let agent = Agent {
            attempts: Attempts::new(tasks.clone()),
            runner: Arc::new(runner(engine.clone(), dir.path(), &tasks)),
            owners: Owners::load(dir.path(), Duration::MAX, &Metrics::default()),
            stops: Stops::new(tasks.clone(), "stop workspace", 0),
            tasks,
            boot_id: "boot-1".to_owned(),
        };
        Self {
            agent,
            engine,
            _dir: dir,
        }
    }

    /// The events of a call, without the message that accepts it.
    async fn prepare(
        &self,
        workspace: &str,
        attempt: u32,
        after_sequence: u64,
    ) -> Result<Vec<Event>, Status> {
        let request = AgentServicePrepareWorkspaceRequest {
            attempt: Some(AttemptRef {
                workspace_id: workspace.to_owned(),
                attempt,
            }),
            spec: Some(WorkspaceSpec {
                repository: "git://git.example/a/b".to_owned(),
                ..WorkspaceSpec::default()
            }),
            cache_skip_reason: CacheSkipReason::Off.into(),
            after_sequence,
            ..AgentServicePrepareWorkspaceRequest::default()
        };
        let answer = self.agent.prepare_workspace(Request::new(request)).await?;
        let mut messages = answer.into_inner();
        let mut next = async || messages.next().await?.unwrap().message;
        let accepted = AttemptAccepted {
            boot_id: "boot-1".to_owned(),
        };
        assert_eq!(next().await, Some(prepare::Message::Accepted(accepted)));
        let mut events = Vec::new();
        while let Some(prepare::Message::Event(event)) = next().await {
            events.push(event);
        }
        Ok(events)
    }
}

fn reason(events: &[Event]) -> FailureReason {
    let failure = events.iter().find_map(|event| match &event.kind {
        Some(Kind::StateChanged(changed)) if changed.state() == WorkspaceState::Failed => {
            changed.failure.clone()
        }
        _ => None,
    });
    failure.expect("a failed attempt").reason()
}

fn is_settled(events: &[Event]) -> bool {
    let last = events.last().and_then(|event| event.kind.as_ref());
    matches!(last, Some(Kind::Settled(_)))
}

#[tokio::test]
async fn one_call_begins_an_attempt_and_the_same_call_goes_on_where_the_stream_was_lost() {
    let world = World::new();
    let events = world.prepare("ws-1", 2, 0).await.unwrap();
    assert_eq!(reason(&events), FailureReason::EngineFailed);
    assert!(is_settled(&events));

    assert_eq!(world.prepare("ws-1", 2, 0).await.unwrap(), events);
    assert_eq!(
        world.engine.lock().removed_workspaces,
        ["ws-1"],
        "it ran once"
    );
    let rest = world.prepare("ws-1", 2, 3).await.unwrap();
    assert_eq!(rest, events[3..]);
}

#[tokio::test]
async fn an_attempt_that_is_not_known_is_not_resumed_and_an_older_one_is_refused() {
    let world = World::new();
    let unknown = world.prepare("ws-1", 2, 7).await.unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound);
    world.prepare("ws-1", 2, 0).await.unwrap();
    let newer = world.prepare("ws-1", 3, 7).await.unwrap_err();
    assert_eq!(newer.code(), Code::NotFound);
    for after in [0, 7] {
        let older = world.prepare("ws-1", 1, after).await.unwrap_err();
        assert_eq!(older.code(), Code::FailedPrecondition);
    }
}

#[tokio::test]
async fn an_attempt_that_panics_settles_as_failed_and_the_agent_serves_on() {
    let world = World::new();
    let events = world.prepare("bug-1", 1, 0).await.unwrap();
    assert_eq!(reason(&events), FailureReason::Internal);
    assert!(is_settled(&events));
    let closed = events.iter().any(|event| {
        matches!(&event.kind, Some(Kind::StepFinished(end)) if end.step() == PipelineStep::Clone && !end.succeeded)
    });
    assert!(closed, "the step that panicked is closed: {events:?}");
    assert_eq!(world.engine.lock().removed_workspaces, ["bug-1"]);

    let events = world.prepare("ws-1", 1, 0).await.unwrap();
    assert_eq!(reason(&events), FailureReason::EngineFailed);
    let events = world.prepare("bug-1", 2, 0).await.unwrap();
    assert!(is_settled(&events));
}
