use hearth_api::v1::{
    CacheReport, CacheResult, ContainerStarted, Event, Failure, FailureReason, LogChunk,
    PipelineStep, PushOutcome, PushReport, Settled, StateChanged, StepFinished, StepStarted,
    WorkspaceState, event::Kind,
};

pub fn state(state: WorkspaceState) -> Kind {
    Kind::StateChanged(StateChanged {
        state: state.into(),
        seconds: 1.0,
        ..StateChanged::default()
    })
}

pub fn preparing() -> Kind {
    state(WorkspaceState::Preparing)
}

pub fn ready() -> Kind {
    state(WorkspaceState::Ready)
}

pub fn failed(reason: FailureReason) -> Kind {
    failure(WorkspaceState::Failed, reason)
}

pub fn recovery(reason: FailureReason) -> Kind {
    failure(WorkspaceState::Recovery, reason)
}

fn failure(state: WorkspaceState, reason: FailureReason) -> Kind {
    Kind::StateChanged(StateChanged {
        state: state.into(),
        failure: Some(Failure {
            reason: reason.into(),
            message: "It broke.".into(),
            ..Failure::default()
        }),
        seconds: 1.0,
        ..StateChanged::default()
    })
}

pub fn started(step: PipelineStep) -> Kind {
    Kind::StepStarted(StepStarted {
        step: step.into(),
        description: "It begins.".into(),
    })
}

pub fn finished(step: PipelineStep) -> Kind {
    Kind::StepFinished(StepFinished {
        step: step.into(),
        seconds: 1.0,
        succeeded: true,
    })
}

pub fn line(text: impl Into<String>) -> Kind {
    Kind::Log(LogChunk {
        step: PipelineStep::Image.into(),
        text: text.into(),
        dropped_lines: 0,
    })
}

pub fn pushed() -> Kind {
    push(PushOutcome::Pushed)
}

pub fn push(outcome: PushOutcome) -> Kind {
    Kind::Push(PushReport {
        outcome: outcome.into(),
        ..PushReport::default()
    })
}

/// An image that took so long to build.
pub fn built(seconds: f64) -> Kind {
    Kind::Cache(CacheReport {
        result: CacheResult::Miss.into(),
        seconds,
        ..CacheReport::default()
    })
}

/// The container runs.
pub fn container(id: &str) -> Kind {
    Kind::Container(ContainerStarted {
        container_id: id.into(),
        ..ContainerStarted::default()
    })
}

pub fn settled() -> Kind {
    Kind::Settled(Settled {})
}

/// What happened, in a word each.
pub fn words(events: &[Event]) -> Vec<String> {
    events
        .iter()
        .map(|event| match &event.kind {
            Some(Kind::StateChanged(change)) => match &change.failure {
                Some(failure) => failure
                    .reason()
                    .as_str_name()
                    .replace("FAILURE_REASON_", ""),
                None => change.state().as_str_name().replace("WORKSPACE_STATE_", ""),
            },
            Some(Kind::StepStarted(_)) => "started".into(),
            Some(Kind::StepFinished(step)) if step.succeeded => "finished".into(),
            Some(Kind::StepFinished(_)) => "broken off".into(),
            Some(Kind::Log(log)) => log.text.clone(),
            Some(Kind::Push(push)) => push.outcome().as_str_name().replace("PUSH_OUTCOME_", ""),
            Some(Kind::Settled(_)) => "settled".into(),
            other => format!("{other:?}"),
        })
        .collect()
}
