use hearth_api::v1::{PipelineStep, StepStarted, event::Kind as K};
use proptest::prelude::*;

use super::*;
use crate::{
    clock::from_millis,
    record::fold::tests::{any_kind, asked_for},
};

const NOW: i64 = 10_000;

fn now() -> Timestamp {
    from_millis(NOW)
}

fn new() -> Record {
    asked_for("ws-1")
}

fn change(state: State) -> K {
    K::StateChanged(StateChanged {
        state: state.into(),
        ..StateChanged::default()
    })
}

fn started(step: PipelineStep) -> K {
    K::StepStarted(StepStarted {
        step: step.into(),
        ..StepStarted::default()
    })
}

/// Events as an agent numbers them.
fn from_agent(kinds: impl IntoIterator<Item = K>) -> Vec<Event> {
    (1..)
        .zip(kinds)
        .map(|(sequence, kind)| Event {
            sequence,
            attempt: 1,
            time: Some(from_millis(NOW - 2_000)),
            kind: Some(kind),
        })
        .collect()
}

fn kinds(entries: &[LogEntry]) -> Vec<&'static str> {
    entries
        .iter()
        .map(|entry| match &entry.event.kind {
            Some(K::StateChanged(change)) => change.state().as_str_name(),
            Some(K::StepStarted(_)) => "started",
            Some(K::StepFinished(finished)) => {
                assert!(!finished.succeeded);
                "broken off"
            }
            Some(K::Push(report)) => report.outcome().as_str_name(),
            Some(K::Settled(_)) => "settled",
            Some(_) => "other",
            None => "unknown",
        })
        .collect()
}

fn failure(record: &Record) -> FailureReason {
    record
        .workspace
        .failure
        .as_ref()
        .expect("a failure")
        .reason()
}

#[test]
fn events_that_are_known_already_count_once() {
    let mut record = new();
    let events = from_agent([change(State::Preparing), started(PipelineStep::Clone)]);
    assert_eq!(record.append(events.clone(), now()).len(), 2);
    assert_eq!(record.append(events, now()), []);
    assert_eq!(record.workspace.last_sequence, 2);
    assert_eq!(record.workspace.update_time, Some(now()));
}

#[test]
fn gaps_in_the_agents_numbers_are_none_in_the_log() {
    let mut record = new();
    let mut events = from_agent([change(State::Preparing), started(PipelineStep::Clone)]);
    events[1].sequence = 40;
    let entries = record.append(events, now());
    assert_eq!(
        entries
            .iter()
            .map(|entry| (entry.event.sequence, entry.agent_sequence))
            .collect::<Vec<_>>(),
        [(1, 1), (2, 40)]
    );
}

#[test]
fn an_attempt_that_cannot_go_on_fails_with_every_step_closed() {
    for (ending, reason) in [
        (Ending::AgentRestarted, FailureReason::AgentRestarted),
        (Ending::NodeLost, FailureReason::NodeLost),
        (Ending::Replaced, FailureReason::Replaced),
        (Ending::Refused("no".into()), FailureReason::Internal),
    ] {
        let mut record = new();
        record.accepted("boot", &from_millis(NOW - 3_000));
        record.append(
            from_agent([change(State::Preparing), started(PipelineStep::Image)]),
            now(),
        );
        let entries = record.end(&ending, now());
        assert_eq!(
            kinds(&entries),
            ["broken off", "WORKSPACE_STATE_FAILED", "settled"]
        );
        assert_eq!(failure(&record), reason);
        let Some(K::StepFinished(finished)) = &entries[0].event.kind else {
            panic!("{entries:?}");
        };
        assert!((finished.seconds - 2.0).abs() < f64::EPSILON);
        let Some(K::StateChanged(change)) = &entries[1].event.kind else {
            panic!("{entries:?}");
        };
        assert!((change.seconds - 3.0).abs() < f64::EPSILON);
        assert_eq!(record.end(&ending, now()), [], "it has ended already");
    }
}

#[test]
fn a_ready_workspace_stays_ready_and_its_push_is_interrupted() {
    let mut record = new();
    record.append(
        from_agent([
            change(State::Preparing),
            change(State::Ready),
            started(PipelineStep::Push),
        ]),
        now(),
    );
    let entries = record.end(&Ending::AgentRestarted, now());
    assert_eq!(
        kinds(&entries),
        ["broken off", "PUSH_OUTCOME_INTERRUPTED", "settled"]
    );
    assert_eq!(record.workspace.state(), State::Ready);
    assert!(record.workspace.settled);
}

#[test]
fn a_push_that_had_begun_is_interrupted_whatever_became_of_the_container() {
    for (state, expected) in [
        (None, vec!["broken off", "WORKSPACE_STATE_FAILED"]),
        (Some(State::Failed), vec!["broken off"]),
        (Some(State::Recovery), vec!["broken off"]),
    ] {
        let mut record = new();
        let begun = [change(State::Preparing), started(PipelineStep::Push)];
        let state = state.map(change);
        record.append(from_agent(begun.into_iter().chain(state)), now());
        let entries = record.end(&Ending::AgentRestarted, now());
        let end = ["PUSH_OUTCOME_INTERRUPTED", "settled"];
        assert_eq!(kinds(&entries), [&expected[..], &end].concat());
    }
    // An attempt that failed before its image was built owes nothing.
    let mut record = new();
    let kinds_of = [change(State::Preparing), change(State::Failed)];
    record.append(from_agent(kinds_of), now());
    assert_eq!(kinds(&record.end(&Ending::NodeLost, now())), ["settled"]);
}

#[test]
fn a_push_that_was_reported_is_not_reported_again() {
    let mut record = new();
    record.append(
        from_agent([
            change(State::Preparing),
            change(State::Ready),
            K::Push(PushReport {
                outcome: PushOutcome::Pushed.into(),
                ..PushReport::default()
            }),
        ]),
        now(),
    );
    assert_eq!(kinds(&record.end(&Ending::NodeLost, now())), ["settled"]);
}

#[test]
fn an_agent_that_settles_without_a_word_leaves_a_failure_and_no_open_step() {
    let mut record = new();
    let entries = record.append(
        from_agent([
            change(State::Preparing),
            started(PipelineStep::Clone),
            K::Settled(Settled {}),
        ]),
        now(),
    );
    assert_eq!(
        kinds(&entries),
        [
            "WORKSPACE_STATE_PREPARING",
            "started",
            "broken off",
            "WORKSPACE_STATE_FAILED",
            "settled"
        ]
    );
    assert_eq!(failure(&record), FailureReason::Internal);
}

#[test]
fn a_clone_is_kept_while_there_is_a_whole_one_and_until_a_retry_replaces_it() {
    let keep = Rebuilding {
        keep_clone: true,
        no_cache: true,
    };
    let mut record = new();
    record.append(from_agent([change(State::Preparing)]), now());
    record.begin_attempt(keep, now());
    assert!(!record.progress.keeps_clone, "it may be half done");
    assert!(record.progress.no_cache);
    record.append(
        from_agent([change(State::Preparing), change(State::Ready)]),
        now(),
    );
    // It was ended at once, by a failure, and by a deletion that did not come to its end.
    for _ in 0..3 {
        record.begin_attempt(keep, now());
        assert!(record.progress.keeps_clone);
        record.end(&Ending::NodeLost, now());
    }
    record.begin_attempt(Rebuilding::default(), now());
    assert!(!record.progress.keeps_clone && !record.progress.no_cache);
    record.end(&Ending::NodeLost, now());
    record.begin_attempt(keep, now());
    assert!(!record.progress.keeps_clone, "the retry has removed it");
}

#[test]
fn a_new_attempt_ends_the_one_before_and_announces_itself() {
    let mut record = new();
    record.append(from_agent([change(State::Preparing)]), now());
    let entries = record.begin_attempt(Rebuilding::default(), now());
    assert_eq!(
        kinds(&entries),
        [
            "WORKSPACE_STATE_FAILED",
            "settled",
            "WORKSPACE_STATE_PENDING"
        ]
    );
    let attempts: Vec<_> = entries.iter().map(|entry| entry.event.attempt).collect();
    assert_eq!(attempts, [1, 1, 2]);
    assert_eq!(record.progress.agent_sequence, 0, "agents count anew");
    assert_eq!(record.workspace.last_sequence, 4);
}

#[test]
fn a_workspace_that_is_being_deleted_takes_nothing_in() {
    let mut record = new();
    record.append(from_agent([change(State::Preparing)]), now());
    let entries = record.begin_delete(now());
    assert_eq!(kinds(&entries), ["WORKSPACE_STATE_FAILED", "settled"]);
    assert_eq!(record.workspace.state(), State::Deleting);
    assert_eq!(record.begin_delete(now()), []);
    let mut late = from_agent([change(State::Preparing), change(State::Ready)]);
    late.remove(0);
    assert_eq!(record.append(late, now()), []);
    assert_eq!(record.workspace.state(), State::Deleting);
}

#[derive(Clone, Debug)]
enum Action {
    Append(Vec<Option<K>>),
    Again,
    End,
    Attempt,
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        6 => prop::collection::vec(any_kind(), 1..8).prop_map(Action::Append),
        1 => Just(Action::Again),
        1 => Just(Action::End),
        1 => Just(Action::Attempt),
    ]
}

proptest! {
    #[test]
    fn whatever_happens_the_log_has_no_gap_and_folds_to_the_snapshot(
        actions in prop::collection::vec(action(), 0..20),
    ) {
        let mut record = new();
        let mut refolded = new();
        let (mut sequence, mut last, mut log) = (0, Vec::new(), Vec::new());
        for action in actions {
            let entries = match action {
                Action::Append(kinds) => {
                    last = kinds
                        .into_iter()
                        .map(|kind| {
                            sequence += 1;
                            Event { sequence, attempt: 1, time: None, kind }
                        })
                        .collect();
                    record.append(last.clone(), now())
                }
                Action::Again => {
                    let entries = record.append(last.clone(), now());
                    prop_assert!(entries.is_empty());
                    entries
                }
                Action::End => record.end(&Ending::NodeLost, now()),
                Action::Attempt => {
                    (sequence, last) = (0, Vec::new());
                    record.begin_attempt(Rebuilding::default(), now())
                }
            };
            for entry in &entries {
                prop_assert_eq!(refolded.apply(&entry.event), Ok(()));
            }
            log.extend(entries);
            if record.workspace.settled {
                prop_assert!(record.progress.open_steps.is_empty());
            }
        }
        let sequences: Vec<_> = log.iter().map(|entry| entry.event.sequence).collect();
        let expected: Vec<_> = (1..=log.len() as u64).collect();
        prop_assert_eq!(sequences, expected);
        refolded.workspace.update_time = record.workspace.update_time;
        prop_assert_eq!(refolded.workspace, record.workspace);
    }
}

#[test]
fn a_warning_of_the_control_planes_own_has_its_place_and_comes_never_after_the_end() {
    let mut record = new();
    record.append(from_agent([change(State::Preparing)]), now());
    let noted = record.note("something is missing", now());
    let [entry] = &noted[..] else {
        panic!("{noted:?}")
    };
    assert_eq!((entry.agent_sequence, entry.event.sequence), (0, 2));
    let Some(K::Warning(warning)) = &entry.event.kind else {
        panic!("{entry:?}")
    };
    assert_eq!(warning.message, "something is missing");
    // What the agent says next is not taken for something known.
    let next = from_agent([change(State::Preparing), change(State::Ready)]);
    assert_eq!(record.append(next, now()).len(), 1);
    record.end(&Ending::Deleted, now());
    assert_eq!(record.note("too late", now()), []);
}
