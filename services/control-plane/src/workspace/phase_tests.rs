use proptest::prelude::*;

use super::*;

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn calling(now: Instant, after: u64, boot_id: &str) -> Phase {
    let known = Known {
        after,
        boot_id: boot_id.into(),
        movable: false,
    };
    let (phase, action) = Phase::begin(now).0.next(Observation::Unsettled(known), now);
    assert_eq!(action, Action::Call { after });
    phase
}

fn following(now: Instant, after: u64) -> Phase {
    let (phase, action) = calling(now, after, "a").next(Observation::Accepted("a".into()), now);
    assert_eq!(action, Action::Follow);
    phase
}

fn failed(verdict: Verdict) -> Observation {
    Observation::Failed(verdict, "why".into())
}

fn refused() -> Action {
    Action::End(Ending::Refused("why".into()))
}

#[test]
fn the_first_agent_to_accept_an_attempt_is_noted_and_followed() {
    let now = Instant::now();
    let accepted = || Observation::Accepted("b".into());
    for known in ["", "a"] {
        let (phase, action) = calling(now, 0, known).next(accepted(), now);
        let boot_id = "b".into();
        assert_eq!(action, Action::Accept { boot_id }, "known: {known:?}");
        let (_, action) = phase.next(Observation::Stored { settled: false }, now);
        assert_eq!(action, Action::Follow);
    }
    let (_, action) = calling(now, 7, "a").next(accepted(), now);
    assert_eq!(action, Action::End(Ending::AgentRestarted));
}

#[test]
fn what_a_failed_call_means_depends_on_what_is_stored() {
    let now = Instant::now();
    let again = Action::Wait { failures: 0 };
    let restarted = Action::End(Ending::AgentRestarted);
    let replaced = Action::End(Ending::Replaced);
    for (phase, verdict, expected) in [
        (calling(now, 0, ""), Verdict::Again, again.clone()),
        (calling(now, 0, ""), Verdict::Unknown, refused()),
        (calling(now, 0, ""), Verdict::Outdated, replaced),
        (calling(now, 0, ""), Verdict::Never, refused()),
        (calling(now, 7, "a"), Verdict::Again, again.clone()),
        (calling(now, 7, "a"), Verdict::Unknown, restarted.clone()),
        (following(now, 7), Verdict::Again, again),
        (following(now, 7), Verdict::Unknown, restarted),
        (following(now, 7), Verdict::Never, refused()),
    ] {
        let (_, action) = phase.clone().next(failed(verdict), now);
        assert_eq!(action, expected, "{phase:?} {verdict:?}");
    }
}

#[test]
fn an_attempt_that_never_began_goes_elsewhere_if_it_may_and_there_is_somewhere() {
    let now = Instant::now();
    let known = |movable| Known {
        after: 0,
        boot_id: String::new(),
        movable,
    };
    let calling = |movable| Phase::Calling(Tries::none(now), known(movable));
    let gone = || Observation::NodeGone(Ending::NodeLeft);
    let end = Action::End(Ending::NodeLeft);
    for (met, otherwise) in [
        (gone(), end.clone()),
        (failed(Verdict::Away), Action::Wait { failures: 0 }),
    ] {
        assert_eq!(calling(false).next(met.clone(), now).1, otherwise);
        let (moving, action) = calling(true).next(met, now);
        assert!(matches!(action, Action::Move { .. }), "{action:?}");
        let (_, action) = moving.clone().next(Observation::Nowhere, now);
        assert_eq!(action, otherwise);
        let (_, action) = moving.next(Observation::Stored { settled: false }, now);
        assert_eq!(action, Action::Read, "it is called there");
    }
    assert_eq!(following(now, 7).next(gone(), now).1, end);
}

#[test]
fn an_agent_that_never_takes_the_attempt_is_given_up_and_one_that_has_it_is_not() {
    let now = Instant::now();
    for (boot_id, expected) in [("", refused()), ("a", Action::Wait { failures: 0 })] {
        let late = now + PATIENCE + seconds(1);
        let (_, action) = calling(now, 0, boot_id).next(failed(Verdict::Again), late);
        assert_eq!(action, expected);
    }
}

/// An agent and a store, as a driver meets them.
#[derive(Debug)]
struct World {
    /// Events that are stored of the attempt.
    stored: u64,
    accepted_by: String,
    /// The boot id of the agent that answers now, and events that it has sent of the attempt.
    boot: u32,
    taken: bool,
    stream_open: bool,
    ends: u32,
    /// How often it was placed on another node.
    moves: u32,
    settled: bool,
}

/// How the world meets the next action.
#[derive(Clone, Copy, Debug)]
enum Weather {
    Fine,
    Restart,
    Break,
    Lost,
    StoreBreaks,
    Away,
}

fn weather() -> impl Strategy<Value = Weather> {
    prop_oneof![
        6 => Just(Weather::Fine),
        1 => Just(Weather::Restart),
        2 => Just(Weather::Break),
        1 => Just(Weather::Lost),
        1 => Just(Weather::StoreBreaks),
        1 => Just(Weather::Away),
    ]
}

impl World {
    fn new() -> Self {
        Self {
            stored: 0,
            accepted_by: String::new(),
            boot: 1,
            taken: false,
            stream_open: false,
            ends: 0,
            moves: 0,
            settled: false,
        }
    }

    fn meet(&mut self, action: &Action, weather: Weather) -> Observation {
        if matches!(weather, Weather::Restart) {
            self.boot += 1;
            self.taken = false;
        }
        let store_breaks = matches!(weather, Weather::StoreBreaks);
        let boot = format!("boot-{}", self.boot);
        match action {
            Action::Read | Action::Accept { .. } | Action::End(_) if store_breaks => {
                Observation::StoreFailed
            }
            Action::Read => {
                self.stream_open = false;
                match self.settled {
                    true => Observation::Over,
                    false => Observation::Unsettled(Known {
                        after: self.stored,
                        boot_id: self.accepted_by.clone(),
                        movable: self.accepted_by.is_empty() && self.moves < 3,
                    }),
                }
            }
            Action::Call { after } => {
                assert!(!self.stream_open, "a second call");
                assert_eq!(*after, self.stored, "it goes on after what is stored");
                match weather {
                    Weather::Lost => Observation::NodeGone(Ending::NodeLost),
                    Weather::Break | Weather::StoreBreaks => failed(Verdict::Again),
                    Weather::Away => failed(Verdict::Away),
                    _ if *after > 0 && !self.taken => failed(Verdict::Unknown),
                    _ => {
                        let elsewhere = self.stored > 0 && self.accepted_by != boot;
                        assert!(!elsewhere, "events of another agent are stored");
                        (self.taken, self.stream_open) = (true, true);
                        Observation::Accepted(boot)
                    }
                }
            }
            Action::Accept { boot_id } => {
                self.accepted_by.clone_from(boot_id);
                Observation::Stored { settled: false }
            }
            Action::Follow => {
                assert!(self.stream_open, "there is something to follow");
                self.stream_open = false;
                match weather {
                    Weather::Lost => Observation::NodeGone(Ending::NodeLost),
                    Weather::Restart => Observation::AgentRestarted,
                    Weather::Break | Weather::Away => failed(Verdict::Again),
                    Weather::StoreBreaks => Observation::StoreFailed,
                    Weather::Fine => {
                        self.stored += 1;
                        self.settled = self.stored >= 5;
                        self.stream_open = !self.settled;
                        Observation::Stored {
                            settled: self.settled,
                        }
                    }
                }
            }
            Action::Move { .. } => {
                let never_began = self.stored == 0 && self.accepted_by.is_empty();
                assert!(never_began, "work is left behind");
                match weather {
                    Weather::StoreBreaks => Observation::StoreFailed,
                    Weather::Lost | Weather::Away => Observation::Nowhere,
                    _ => {
                        self.moves += 1;
                        self.taken = false;
                        Observation::Stored { settled: false }
                    }
                }
            }
            Action::Wait { .. } => {
                self.stream_open = false;
                Observation::Waited
            }
            Action::End(_) => {
                self.ends += 1;
                self.settled = true;
                self.stream_open = false;
                Observation::Stored { settled: true }
            }
            Action::Stop => panic!("nothing happens after the end"),
        }
    }
}

proptest! {
    /// Never two calls at once, never a start where another agent's events are stored, one end.
    #[test]
    fn whatever_happens_an_attempt_settles_once(days in prop::collection::vec(weather(), 0..60)) {
        let now = Instant::now();
        let mut world = World::new();
        let (mut phase, mut action) = Phase::begin(now);
        let mut failures = 0;
        // After the bad days the sun shines: it comes to an end.
        let fine = std::iter::repeat_n(Weather::Fine, 30);
        for day in days.into_iter().chain(fine) {
            if action == Action::Stop {
                break;
            }
            let observation = world.meet(&action, day);
            let lost = observation == Observation::NodeGone(Ending::NodeLost);
            let moves = matches!(action, Action::Move { .. });
            let stored = matches!(observation, Observation::Stored { .. });
            if stored && (moves || matches!(action, Action::Follow)) {
                failures = 0;
            }
            (phase, action) = phase.next(observation, now);
            prop_assert_eq!(phase == Phase::Done, action == Action::Stop);
            if lost {
                let elsewhere = matches!(action, Action::Move { .. });
                prop_assert!(elsewhere || action == Action::End(Ending::NodeLost));
            }
            if let Action::Wait { failures: counted } = action {
                prop_assert_eq!(counted, failures, "each failure in a row waits longer");
                failures += 1;
            }
        }
        prop_assert_eq!(action, Action::Stop);
        prop_assert!(world.settled);
        prop_assert!(world.ends <= 1);
        prop_assert!(world.moves <= 3);
    }

    #[test]
    fn no_observation_is_too_much_and_nothing_follows_the_end(
        steps in prop::collection::vec((0..11_usize, 0..200_u64), 0..40),
    ) {
        let start = Instant::now();
        let (mut phase, _) = Phase::begin(start);
        let mut now = start;
        for (number, later) in steps {
            now += seconds(later);
            let known = Known { after: later, boot_id: String::new(), movable: later % 2 == 0 };
            let observation = [
                Observation::Unsettled(known),
                Observation::Over,
                Observation::Accepted("a".into()),
                Observation::Stored { settled: false },
                Observation::Stored { settled: true },
                Observation::StoreFailed,
                failed(Verdict::Unknown),
                Observation::Ended,
                Observation::NodeGone(Ending::NodeLost),
                Observation::AgentRestarted,
                Observation::Waited,
            ][number].clone();
            let done = phase == Phase::Done;
            let action;
            (phase, action) = phase.next(observation, now);
            if done {
                prop_assert_eq!((&phase, action), (&Phase::Done, Action::Stop));
            }
        }
    }
}
