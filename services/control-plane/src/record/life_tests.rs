use hearth_api::v1::{Cloned, ContainerStarted, Event, PushReport, Settled};
use proptest::prelude::*;

use super::*;
use crate::{
    clock::from_millis,
    record::{
        LogEntry, Rebuilding,
        fold::tests::{any_kind, asked_for},
    },
};

fn now() -> Timestamp {
    from_millis(10_000)
}

fn change(state: State) -> Kind {
    Kind::StateChanged(StateChanged {
        state: state.into(),
        ..StateChanged::default()
    })
}

fn from_agent(first: u64, kinds: impl IntoIterator<Item = Kind>) -> Vec<Event> {
    let event = |(sequence, kind)| Event {
        sequence,
        attempt: 1,
        time: None,
        kind: Some(kind),
    };
    (first..).zip(kinds).map(event).collect()
}

fn ready() -> Record {
    let mut record = asked_for("ws-1");
    let container = ContainerStarted {
        container_id: "c1".into(),
        remote_user: "dev".into(),
        remote_folder: "/workspaces/shop".into(),
    };
    let cloned = Cloned {
        commit: "c0ffee".into(),
    };
    record.append(
        from_agent(
            1,
            [
                change(State::Preparing),
                Kind::Cloned(cloned),
                Kind::Container(container),
                change(State::Ready),
                Kind::Push(PushReport::default()),
                Kind::Settled(Settled {}),
            ],
        ),
        now(),
    );
    record.workspace.owner = "ann".into();
    record
}

fn states(entries: &[LogEntry]) -> Vec<State> {
    let changes = entries.iter().filter_map(|entry| match &entry.event.kind {
        Some(Kind::StateChanged(change)) => Some(change.state()),
        _ => None,
    });
    changes.collect()
}

fn ended(removed: bool) -> LifeChange {
    LifeChange::Ended(ContainerEnded {
        container_id: "c1".into(),
        removed,
        exit_code: 137,
        out_of_memory: true,
        output_tail: "Killed".into(),
        ..ContainerEnded::default()
    })
}

fn live(record: &mut Record, change: LifeChange) -> Vec<LogEntry> {
    record.live(change, now()).expect("a possible change")
}

fn stopped() -> Record {
    let mut record = ready();
    live(&mut record, LifeChange::BeginStop(StopCause::Idle));
    assert_eq!(record.workspace.state(), State::Stopping);
    assert_eq!(
        states(&live(&mut record, LifeChange::Stopped)),
        [State::Stopped]
    );
    record
}

#[test]
fn a_workspace_is_stopped_and_started_and_stays_what_it_is() {
    let mut record = stopped();
    assert_eq!(record.workspace.stop_cause(), StopCause::Idle);
    assert!(record.workspace.settled);
    // Twice is once.
    assert_eq!(
        live(&mut record, LifeChange::BeginStop(StopCause::Requested)),
        []
    );
    assert_eq!(live(&mut record, LifeChange::Stopped), []);

    assert_eq!(
        states(&live(&mut record, LifeChange::BeginStart)),
        [State::Pending]
    );
    let Record {
        workspace,
        progress,
        ..
    } = &record;
    assert_eq!((workspace.attempt, workspace.settled), (2, false));
    assert_eq!(workspace.stop_cause(), StopCause::Unspecified);
    assert_eq!(workspace.commit, "c0ffee");
    assert_eq!(workspace.container_id, "c1");
    assert_eq!(workspace.remote_folder, "/workspaces/shop");
    assert_eq!(workspace.owner, "ann");
    assert!(workspace.push.is_some() && progress.start && !progress.is_movable());
    let started = [
        change(State::Preparing),
        change(State::Ready),
        Kind::Settled(Settled {}),
    ];
    let entries = record.append(from_agent(1, started), now());
    assert_eq!(states(&entries), [State::Preparing, State::Ready]);
    // A new attempt at preparing begins from nothing.
    record.begin_attempt(Rebuilding::default(), now());
    assert_eq!(record.workspace.container_id, "");
    assert_eq!(record.workspace.owner, "ann");
    assert!(!record.progress.start);
}

#[test]
fn a_start_that_cannot_go_on_leaves_a_workspace_that_is_stopped() {
    for ending in [
        Ending::AgentRestarted,
        Ending::NodeLost,
        Ending::Replaced,
        Ending::Silent,
    ] {
        let mut record = stopped();
        live(&mut record, LifeChange::BeginStart);
        record.append(from_agent(1, [change(State::Preparing)]), now());
        assert_eq!(states(&record.end(&ending, now())), [State::Stopped]);
        let workspace = &record.workspace;
        assert_eq!(workspace.stop_cause(), StopCause::StartFailed);
        assert!(workspace.failure.is_some() && workspace.settled);
        assert_eq!(workspace.container_id, "c1");
        // Its agent stops what it had started.
        assert_eq!(live(&mut record, LifeChange::RunsAgain), []);
        assert_eq!(
            states(&live(&mut record, LifeChange::BeginStart)),
            [State::Pending]
        );
    }
}

#[test]
fn a_stop_ends_a_start_and_no_preparation() {
    let mut record = stopped();
    live(&mut record, LifeChange::BeginStart);
    let entries = live(&mut record, LifeChange::BeginStop(StopCause::Requested));
    assert_eq!(states(&entries), [State::Stopped]);
    assert_eq!(record.workspace.state(), State::Stopping);
    live(&mut record, LifeChange::Stopped);
    assert_eq!(record.workspace.stop_cause(), StopCause::Requested);
    assert_eq!(record.workspace.failure, None);

    for state in [None, Some(State::Preparing), Some(State::Failed)] {
        let mut record = asked_for("ws-1");
        record.append(from_agent(1, state.map(change)), now());
        let state = record.workspace.state();
        let stop = record.live(LifeChange::BeginStop(StopCause::Requested), now());
        assert_eq!(stop, Err(NotNow(state)));
        assert_eq!(
            record.live(LifeChange::BeginStart, now()),
            Err(NotNow(state))
        );
    }
}

#[test]
fn a_container_that_ends_by_itself_is_told_once_and_says_how() {
    let mut record = ready();
    let entries = live(&mut record, ended(false));
    assert!(matches!(
        entries[0].event.kind,
        Some(Kind::ContainerEnded(_))
    ));
    assert_eq!(states(&entries), [State::Stopped]);
    let failure = record.workspace.failure.clone().expect("a failure");
    assert_eq!(failure.reason(), FailureReason::ContainerGone);
    assert!(failure.message.contains("memory"), "{failure:?}");
    assert_eq!(failure.output_tail, "Killed");
    assert_eq!(live(&mut record, ended(false)), []);
    // Somebody has started it by hand, and it ends once more.
    assert_eq!(
        states(&live(&mut record, LifeChange::RunsAgain)),
        [State::Ready]
    );
    assert_eq!(states(&live(&mut record, ended(false))), [State::Stopped]);

    // One that was removed cannot be started, so the workspace is not said to be stopped.
    let mut record = ready();
    assert_eq!(live(&mut record, ended(true)).len(), 1);
    assert_eq!(record.workspace.state(), State::Ready);
    assert_eq!(live(&mut record, ended(true)), []);
    // What is said of the container of an earlier attempt does not count.
    let mut record = ready();
    record.workspace.container_id = "c2".into();
    assert_eq!(live(&mut record, ended(false)), []);
}

#[test]
fn what_was_in_recovery_is_so_again() {
    let failure = Failure {
        reason: FailureReason::HookFailed.into(),
        message: "It broke.".into(),
        ..Failure::default()
    };
    let mut record = asked_for("ws-1");
    let recovery = Kind::StateChanged(StateChanged {
        state: State::Recovery.into(),
        failure: Some(failure.clone()),
        ..StateChanged::default()
    });
    record.append(from_agent(1, [change(State::Preparing), recovery]), now());
    live(&mut record, LifeChange::BeginStop(StopCause::Requested));
    live(&mut record, LifeChange::Stopped);
    // What the agent says of its hooks meanwhile does not matter.
    assert_eq!(
        record.append(from_agent(3, [change(State::Recovery)]), now()),
        []
    );
    assert_eq!(record.progress.recovery, Some(failure.clone()));
    live(&mut record, LifeChange::RunsAgain);
    assert_eq!(record.workspace.state(), State::Recovery);
    assert_eq!(record.workspace.failure, Some(failure));
}

#[test]
fn nothing_lives_that_is_being_deleted() {
    let mut record = ready();
    record.begin_delete(now());
    for change in [
        LifeChange::Stopped,
        LifeChange::BeginStart,
        LifeChange::RunsAgain,
    ] {
        assert_eq!(record.live(change, now()), Err(NotNow(State::Deleting)));
    }
}

#[derive(Clone, Debug)]
enum Action {
    Append(Vec<Option<Kind>>),
    End,
    Attempt,
    Live(LifeChange),
}

fn action() -> impl Strategy<Value = Action> {
    let life = prop_oneof![
        Just(LifeChange::BeginStop(StopCause::Requested)),
        Just(LifeChange::Stopped),
        Just(LifeChange::BeginStart),
        Just(ended(false)),
        Just(ended(true)),
        Just(LifeChange::RunsAgain),
        Just(LifeChange::Expires(Expiring::default())),
    ];
    prop_oneof![
        3 => prop::collection::vec(any_kind(), 1..8).prop_map(Action::Append),
        1 => Just(Action::End),
        1 => Just(Action::Attempt),
        6 => life.prop_map(Action::Live),
    ]
}

proptest! {
    #[test]
    fn whatever_happens_in_its_life_the_log_folds_to_the_snapshot_and_settled_stays_settled(
        actions in prop::collection::vec(action(), 0..40),
    ) {
        let mut record = ready();
        let mut refolded = record.clone();
        let mut sequence = record.progress.agent_sequence;
        let mut last = record.workspace.last_sequence;
        for action in actions.into_iter().chain([Action::Live(LifeChange::Stopped)]) {
            let was = (record.workspace.attempt, record.workspace.settled);
            let entries = match action {
                Action::Append(kinds) => {
                    let events = kinds.into_iter().map(|kind| {
                        sequence += 1;
                        Event { sequence, attempt: 1, time: None, kind }
                    });
                    record.append(events.collect(), now())
                }
                Action::End => record.end(&Ending::NodeLost, now()),
                Action::Attempt => {
                    sequence = 0;
                    record.begin_attempt(Rebuilding::default(), now())
                }
                Action::Live(change) => {
                    let starts = change == LifeChange::BeginStart;
                    let entries = record.live(change, now()).unwrap_or_default();
                    if starts && !entries.is_empty() {
                        sequence = 0;
                    }
                    entries
                }
            };
            for entry in &entries {
                last += 1;
                prop_assert_eq!(entry.event.sequence, last);
                prop_assert_eq!(refolded.apply(&entry.event), Ok(()));
            }
            if was == (record.workspace.attempt, true) {
                prop_assert!(record.workspace.settled);
            }
            if record.workspace.settled {
                prop_assert!(record.progress.open_steps.is_empty());
            }
            // A workspace that was there once is never lost by a start.
            if record.progress.start {
                prop_assert_ne!(record.workspace.state(), State::Failed);
            }
        }
        // It is in no log.
        prop_assert_ne!(record.workspace.state(), State::Stopping);
        refolded.workspace.update_time = record.workspace.update_time;
        prop_assert_eq!(refolded.workspace, record.workspace);
    }
}
