use hearth_api::v1::{
    CacheReport, CacheResult, Cloned, ContainerStarted, Failure, FailureReason, LogChunk,
    PipelineStep, PushOutcome, PushReport, Settled, StateChanged, StepFinished, StepStarted,
    WorkspaceSpec,
};
use proptest::prelude::*;

use super::*;

fn change(state: State) -> Kind {
    let failure = matches!(state, State::Failed | State::Recovery).then(|| Failure {
        reason: FailureReason::BuildFailed.into(),
        message: "It broke.".into(),
        ..Failure::default()
    });
    Kind::StateChanged(StateChanged {
        state: state.into(),
        failure,
        seconds: 2.5,
        ..StateChanged::default()
    })
}

/// READY, and hooks follow that it did not wait for.
fn ready_before_hooks() -> Kind {
    Kind::StateChanged(StateChanged {
        state: State::Ready.into(),
        hooks_follow: true,
        ..StateChanged::default()
    })
}

fn started(step: PipelineStep) -> Kind {
    Kind::StepStarted(StepStarted {
        step: step.into(),
        description: String::new(),
    })
}

fn finished(step: PipelineStep) -> Kind {
    Kind::StepFinished(StepFinished {
        step: step.into(),
        seconds: 1.5,
        succeeded: true,
    })
}

fn event(sequence: u64, attempt: u32, kind: Kind) -> Event {
    Event {
        sequence,
        attempt,
        time: None,
        kind: Some(kind),
    }
}

/// A workspace that was just asked for.
pub(crate) fn asked_for(id: &str) -> Record {
    let message = WorkspaceSpec {
        repository: "https://github.com/acme/shop".into(),
        ..WorkspaceSpec::default()
    };
    let spec = contract::spec(&message, &mut FieldFaults::default());
    let workspace = Workspace {
        node: "n1".into(),
        spec: Some(message),
        ..Workspace::default()
    };
    Record::new(id.parse().expect("an id"), spec.expect("a spec"), workspace)
}

fn new() -> Record {
    asked_for("ws-1")
}

/// A record to which `kinds` happened, in one attempt.
fn after(kinds: impl IntoIterator<Item = Kind>) -> Record {
    let mut record = new();
    for (sequence, kind) in (1..).zip(kinds) {
        record
            .apply(&event(sequence, 1, kind))
            .expect("a possible event");
    }
    record
}

#[test]
fn a_whole_preparation_ends_in_a_full_snapshot() {
    let record = after([
        change(State::Preparing),
        started(PipelineStep::Clone),
        Kind::Cloned(Cloned {
            commit: "c0ffee".into(),
        }),
        finished(PipelineStep::Clone),
        Kind::Cache(CacheReport {
            result: CacheResult::Exact.into(),
            ..CacheReport::default()
        }),
        Kind::Container(ContainerStarted {
            container_id: "abc".into(),
            remote_user: "dev".into(),
            remote_folder: "/workspaces/shop".into(),
        }),
        change(State::Ready),
        started(PipelineStep::Push),
        finished(PipelineStep::Push),
        Kind::Push(PushReport {
            outcome: PushOutcome::Unchanged.into(),
            ..PushReport::default()
        }),
        Kind::Settled(Settled {}),
    ]);
    let workspace = &record.workspace;
    assert_eq!(workspace.state(), State::Ready);
    assert_eq!((workspace.attempt, workspace.last_sequence), (1, 11));
    assert_eq!(workspace.commit, "c0ffee");
    assert_eq!(workspace.container_id, "abc");
    assert_eq!(workspace.remote_user, "dev");
    assert_eq!(workspace.remote_folder, "/workspaces/shop");
    assert!((workspace.ready_seconds - 2.5).abs() < f64::EPSILON);
    assert!(workspace.settled && workspace.failure.is_none());
    assert!(workspace.cache.is_some() && workspace.push.is_some());
    let steps: Vec<_> = workspace.timings.iter().map(StepTiming::step).collect();
    assert_eq!(steps, [PipelineStep::Clone, PipelineStep::Push]);
    assert!(record.progress.open_steps.is_empty());
    assert_eq!(
        (
            record.progress.ready_sequence,
            record.progress.settled_sequence
        ),
        (7, 11)
    );
}

#[test]
fn a_record_reads_back_and_says_what_is_wrong_with_it() {
    let record = new();
    let read = Record::read(record.workspace.clone(), record.progress.clone());
    assert_eq!(read.as_ref(), Ok(&record));
    let mut broken = record.workspace;
    broken.id = "../x".into();
    broken.spec.as_mut().expect("a spec").repository = "file:///etc".into();
    let why = Record::read(broken, record.progress).expect_err("a fault");
    for part in ["id must be", "../x", "spec.repository has", "file:///etc"] {
        assert!(why.contains(part), "{why}");
    }
    assert!(!why.contains("WorkspaceSpec"), "{why}");
}

#[test]
fn recovery_keeps_the_failure_and_counts_as_ready() {
    let record = after([change(State::Preparing), change(State::Recovery)]);
    assert!(record.workspace.failure.is_some());
    assert!(record.workspace.ready_seconds > 0.0);
    assert_eq!(record.progress.ready_sequence, 2);
}

#[test]
fn a_hook_that_fails_after_ready_leads_to_recovery_and_the_attempt_was_ready_when_it_was() {
    let mut late = change(State::Recovery);
    if let Kind::StateChanged(change) = &mut late {
        change.seconds = 60.0;
    }
    let record = after([change(State::Preparing), change(State::Ready), late]);
    assert_eq!(record.workspace.state(), State::Recovery);
    assert!(record.workspace.failure.is_some());
    assert!((record.workspace.ready_seconds - 2.5).abs() < f64::EPSILON);
    assert_eq!(record.progress.ready_sequence, 2, "watchers end there");
    let was = |sequence| record.was_ready_before(&event(sequence, 1, change(State::Ready)));
    assert_eq!([1, 2, 3].map(was), [false, false, true]);
}

#[test]
fn hooks_end_with_ready_or_after_it() {
    let (before, hooks) = (change(State::Preparing), PipelineStep::Hooks);
    let failed = Kind::StepFinished(StepFinished {
        step: hooks.into(),
        ..StepFinished::default()
    });
    let settled = Kind::Settled(Settled {});
    for (after_that, expected) in [
        (vec![change(State::Ready), settled.clone()], 2),
        (vec![change(State::Recovery), settled.clone()], 2),
        (vec![change(State::Failed), settled.clone()], 2),
        (vec![ready_before_hooks(), started(hooks)], 0),
        (
            vec![
                ready_before_hooks(),
                started(hooks),
                finished(hooks),
                settled.clone(),
            ],
            4,
        ),
        (
            vec![
                ready_before_hooks(),
                started(hooks),
                failed,
                change(State::Recovery),
            ],
            5,
        ),
        (vec![ready_before_hooks(), settled], 3),
    ] {
        let record = after([before.clone()].into_iter().chain(after_that.clone()));
        assert_eq!(record.progress.hooks_sequence, expected, "{after_that:?}");
    }
}

#[test]
fn the_push_has_its_place_in_every_order() {
    let push = || Kind::Push(PushReport::default());
    for kinds in [
        vec![push(), change(State::Ready)],
        vec![push(), change(State::Recovery)],
        vec![push(), change(State::Failed)],
        vec![change(State::Ready), push(), change(State::Recovery)],
        vec![change(State::Ready), change(State::Recovery), push()],
        vec![change(State::Failed), push()],
    ] {
        let shown = format!("{kinds:?}");
        let kinds = [change(State::Preparing)].into_iter().chain(kinds);
        let record = after(kinds.chain([Kind::Settled(Settled {})]));
        assert!(record.workspace.push.is_some(), "{shown}");
        assert!(record.workspace.settled, "{shown}");
    }
}

#[test]
fn only_the_arrows_of_the_diagram_are_followed() {
    let states = [
        State::Unspecified,
        State::Pending,
        State::Preparing,
        State::Ready,
        State::Recovery,
        State::Failed,
        State::Deleting,
        State::Lost,
    ];
    let arrows = [
        (State::Pending, State::Preparing),
        (State::Pending, State::Failed),
        (State::Preparing, State::Ready),
        (State::Preparing, State::Recovery),
        (State::Preparing, State::Failed),
        (State::Ready, State::Recovery),
    ];
    for from in states {
        for to in states {
            let mut record = new();
            record.workspace.set_state(from);
            let before = record.clone();
            let applied = record.apply(&event(1, 1, change(to)));
            if arrows.contains(&(from, to)) {
                assert_eq!(applied, Ok(()), "{from:?} to {to:?}");
                assert_eq!(record.workspace.state(), to);
            } else {
                assert_eq!(applied, Err(Ignored::Transition { from, to }));
                assert_eq!(record, before, "{from:?} to {to:?}");
            }
        }
    }
}

#[test]
fn nothing_settles_that_neither_failed_nor_became_ready() {
    let mut record = after([change(State::Preparing)]);
    assert_eq!(
        record.apply(&event(2, 1, Kind::Settled(Settled {}))),
        Err(Ignored::Unsettled(State::Preparing))
    );
}

#[test]
fn nothing_follows_the_last_event_of_an_attempt() {
    let mut record = after([change(State::Failed), Kind::Settled(Settled {})]);
    assert_eq!(
        record.apply(&event(3, 1, Kind::Log(LogChunk::default()))),
        Err(Ignored::Settled)
    );
}

#[test]
fn a_new_attempt_begins_with_its_announcement_and_a_clean_snapshot() {
    let mut record = after([
        change(State::Preparing),
        started(PipelineStep::Clone),
        Kind::Cloned(Cloned {
            commit: "c0ffee".into(),
        }),
        change(State::Failed),
        Kind::Settled(Settled {}),
    ]);
    record.workspace.create_time = Some(prost_types::Timestamp::default());
    assert_eq!(
        record.apply(&event(6, 2, change(State::Preparing))),
        Err(Ignored::Attempt(2))
    );
    record
        .apply(&event(6, 2, change(State::Pending)))
        .expect("an announcement");
    let mut clean = new();
    clean.workspace.attempt = 2;
    clean.workspace.last_sequence = 6;
    clean.workspace.create_time = Some(prost_types::Timestamp::default());
    assert_eq!(record, clean);
    assert_eq!(
        record.apply(&event(7, 1, change(State::Preparing))),
        Err(Ignored::Attempt(1))
    );
}

#[test]
fn steps_without_end_do_not_make_the_snapshot_grow_without_end() {
    let mut record = after([change(State::Preparing)]);
    for sequence in 2..1000 {
        let event = event(sequence, 1, finished(PipelineStep::Image));
        record.apply(&event).expect("a possible event");
    }
    assert_eq!(record.workspace.timings.len(), MAX_TIMINGS);
}

pub(crate) fn any_kind() -> impl Strategy<Value = Option<Kind>> {
    let state = (0..10i32).prop_map(|state| {
        Some(Kind::StateChanged(StateChanged {
            state,
            failure: (state > 3).then(Failure::default),
            seconds: 1.0,
            ..StateChanged::default()
        }))
    });
    let step = || 0..10i32;
    prop_oneof![
        3 => state,
        2 => step().prop_map(|step| Some(Kind::StepStarted(StepStarted {
            step,
            ..StepStarted::default()
        }))),
        2 => step().prop_map(|step| Some(Kind::StepFinished(StepFinished {
            step,
            ..StepFinished::default()
        }))),
        1 => Just(Some(Kind::Settled(Settled {}))),
        1 => Just(Some(Kind::Cloned(Cloned { commit: "c".into() }))),
        1 => Just(Some(Kind::Container(ContainerStarted::default()))),
        1 => Just(Some(Kind::Cache(CacheReport::default()))),
        1 => Just(Some(Kind::Push(PushReport::default()))),
        1 => Just(Some(Kind::Log(LogChunk::default()))),
        1 => Just(None),
    ]
}

proptest! {
    #[test]
    fn no_sequence_of_events_makes_the_fold_panic_or_go_back(
        events in prop::collection::vec((0..40u64, 0..4u32, any_kind()), 0..60),
    ) {
        let mut record = new();
        for (sequence, attempt, kind) in events {
            let before = record.clone();
            let event = Event { sequence, attempt, time: None, kind };
            match record.apply(&event) {
                Ok(()) => {
                    prop_assert!(record.workspace.last_sequence > before.workspace.last_sequence);
                    prop_assert_eq!(record.workspace.last_sequence, sequence);
                    prop_assert!(record.workspace.attempt >= before.workspace.attempt);
                }
                Err(_) => prop_assert_eq!(&record, &before),
            }
            if record.workspace.settled {
                prop_assert!(matches!(
                    record.workspace.state(),
                    State::Ready | State::Recovery | State::Failed | State::Stopped
                ));
            }
        }
    }
}
