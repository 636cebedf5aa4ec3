use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

const LONGEST: Duration = Duration::from_secs(100);

fn place(number: u8) -> Place {
    Place {
        repository: "r/x".parse().expect("a repository"),
        key: format!("k1:{number:064}").parse().expect("a key"),
    }
}

fn workspace(number: u8) -> WorkspaceId {
    format!("w{number}").parse().expect("an id")
}

fn asker(number: u8) -> Asker {
    Asker {
        attempt: AttemptRef {
            workspace: workspace(number),
            number: 1,
        },
        node: format!("n{number}"),
        // Every third may only read.
        may_write: number % 3 != 2,
    }
}

fn waits(asked: Asked) -> (Ticket, Wait) {
    match asked {
        Asked::Wait(ticket, wait) => (ticket, wait),
        Asked::Build => panic!("it was told to build"),
    }
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn wait(node: u8, remaining: u64) -> Wait {
    Wait {
        node: format!("n{node}"),
        remaining: Some(seconds(remaining)),
    }
}

fn unknown(node: u8) -> Wait {
    Wait {
        node: format!("n{node}"),
        remaining: None,
    }
}

#[test]
fn the_first_builds_and_the_others_wait_until_its_image_is_there() {
    let (mut leases, now) = (Leases::new(LONGEST), Instant::now());
    // A quarter of that and five seconds more for the push.
    let estimate = Some(seconds(12));
    let (asked, _) = leases.ask(&place(0), asker(0), estimate, now);
    assert_eq!(asked, Asked::Build);
    let later = now + Duration::from_secs(5);
    let (first, told) = waits(leases.ask(&place(0), asker(1), estimate, later).0);
    assert_eq!(told, wait(0, 15));
    let (second, _) = waits(leases.ask(&place(0), asker(2), estimate, later).0);
    assert_eq!(
        leases.ask(&place(1), asker(3), estimate, later).0,
        Asked::Build,
        "another key"
    );
    assert_eq!(
        leases.ask(&place(0), asker(0), estimate, later).0,
        Asked::Build,
        "the builder's stream broke"
    );
    assert_eq!(
        leases.committed(&place(0)),
        [(first, Outcome::Committed), (second, Outcome::Committed)]
    );
}

#[test]
fn the_next_in_line_who_may_write_takes_over_when_the_builder_fails() {
    let (mut leases, now) = (Leases::new(LONGEST), Instant::now());
    leases.ask(&place(0), asker(0), None, now);
    let (reader, told) = waits(leases.ask(&place(0), asker(2), None, now).0);
    assert_eq!(told, unknown(0), "it was never built before");
    let (writer, _) = waits(leases.ask(&place(0), asker(1), None, now).0);
    assert_eq!(
        leases.ended(&workspace(0), None, now),
        [
            (writer, Outcome::Build),
            (reader, Outcome::Wait(unknown(1)))
        ]
    );
    assert_eq!(
        leases.ended(&workspace(1), None, now),
        [(reader, Outcome::Build)],
        "nobody is left who could commit"
    );
    assert_eq!(leases.next_end(&place(0)), None);
}

#[test]
fn who_may_only_read_blocks_nobody() {
    let (mut leases, now) = (Leases::new(LONGEST), Instant::now());
    assert_eq!(leases.ask(&place(0), asker(2), None, now).0, Asked::Build);
    assert_eq!(leases.ask(&place(0), asker(0), None, now).0, Asked::Build);
}

#[test]
fn an_overdue_builder_is_replaced_by_one_and_not_by_all() {
    let (mut leases, now) = (Leases::new(LONGEST), Instant::now());
    let estimate = Some(seconds(12));
    leases.ask(&place(0), asker(0), estimate, now);
    let (first, _) = waits(leases.ask(&place(0), asker(1), estimate, now).0);
    let (second, _) = waits(leases.ask(&place(0), asker(3), estimate, now).0);
    let end = leases.next_end(&place(0)).expect("a lease");
    assert_eq!(end, now + seconds(20) + seconds(10) + SLACK);
    assert_eq!(leases.expire(&place(0), end - SLACK), []);
    assert_eq!(
        leases.expire(&place(0), end),
        [
            (first, Outcome::Build),
            // It is expected to take twice as long as the one that did not end in time.
            (second, Outcome::Wait(wait(1, 35)))
        ]
    );
    // It was only slow: its image serves whoever still waits.
    assert_eq!(leases.committed(&place(0)), [(second, Outcome::Committed)]);
}

#[test]
fn nobody_waits_longer_than_a_lease_however_long_the_line_is() {
    let (mut leases, now) = (Leases::new(LONGEST), Instant::now());
    let estimate = Some(seconds(30));
    leases.ask(&place(0), asker(0), estimate, now);
    let (_, _) = waits(leases.ask(&place(0), asker(1), estimate, now).0);
    let (last, _) = waits(leases.ask(&place(0), asker(3), estimate, now).0);
    leases.expire(&place(0), now + Duration::from_secs(90));
    let over = leases.expire(&place(0), now + LONGEST);
    assert_eq!(over, [(last, Outcome::Build)]);
}

#[test]
fn a_new_attempt_of_the_builder_s_workspace_takes_nothing_over() {
    let (mut leases, now) = (Leases::new(LONGEST), Instant::now());
    leases.ask(&place(0), asker(0), None, now);
    assert_eq!(leases.ended(&workspace(0), Some(1), now), [], "it is alive");
    assert!(leases.next_end(&place(0)).is_some());
    leases.ended(&workspace(0), Some(2), now);
    assert_eq!(leases.next_end(&place(0)), None);
}

#[test]
fn a_builder_of_which_nothing_is_known_is_waited_for_as_long_as_it_reports_progress() {
    let longest = QUIET * 5;
    let (mut leases, start) = (Leases::new(longest), Instant::now());
    leases.ask(&place(0), asker(0), None, start);
    let mut now = start;
    let (waiter, _) = waits(leases.ask(&place(0), asker(1), None, now).0);
    for _ in 0..3 {
        now += QUIET - seconds(1);
        assert_eq!(leases.expire(&place(0), now), []);
        assert_eq!(leases.heard(&asker(0).attempt, None, now), [], "no news");
        assert_eq!(leases.heard(&asker(1).attempt, None, now), [], "not it");
    }
    assert_eq!(leases.next_end(&place(0)), Some(now + QUIET));
    assert_eq!(
        leases.expire(&place(0), now + QUIET),
        [(waiter, Outcome::Build)]
    );

    // However much it reports, there is an end.
    let mut leases = Leases::new(longest);
    leases.ask(&place(0), asker(0), None, start);
    leases.heard(&asker(0).attempt, None, start + longest - seconds(1));
    assert_eq!(leases.next_end(&place(0)), Some(start + longest));
}

#[test]
fn when_the_image_is_built_only_its_push_is_left_to_wait_for() {
    for estimate in [None, Some(seconds(3)), Some(seconds(60))] {
        let (mut leases, start) = (Leases::new(LONGEST), Instant::now());
        leases.ask(&place(0), asker(0), estimate, start);
        let (waiter, _) = waits(leases.ask(&place(0), asker(1), estimate, start).0);
        let now = start + seconds(20);
        assert_eq!(
            leases.heard(&asker(0).attempt, Some(seconds(20)), now),
            [(waiter, Outcome::Wait(wait(0, 10)))]
        );
        assert_eq!(leases.next_end(&place(0)), Some(now + seconds(15) + SLACK));
        // What follows, such as the lines of a hook, prolongs nothing.
        leases.heard(&asker(0).attempt, None, now + seconds(10));
        assert_eq!(leases.next_end(&place(0)), Some(now + seconds(15) + SLACK));
        // Whoever takes over is known to take as long.
        let (late, _) = waits(leases.ask(&place(0), asker(3), None, now).0);
        assert_eq!(
            leases.ended(&workspace(0), None, now),
            [(waiter, Outcome::Build), (late, Outcome::Wait(wait(1, 30)))]
        );
    }
}

#[test]
fn who_has_waited_for_two_builders_in_vain_builds_at_the_same_time_as_the_next_in_line() {
    let (mut leases, now) = (Leases::new(LONGEST), Instant::now());
    leases.ask(&place(0), asker(0), None, now);
    let [_, third, fourth] = [1, 3, 4].map(|who| {
        let asked = leases.ask(&place(0), asker(who), None, now).0;
        waits(asked).0
    });
    leases.ended(&workspace(0), None, now);
    let (late, _) = waits(leases.ask(&place(0), asker(6), None, now).0);
    assert_eq!(
        leases.ended(&workspace(1), None, now),
        [
            (third, Outcome::Build),
            (fourth, Outcome::Build),
            (late, Outcome::Wait(unknown(3)))
        ]
    );
    assert_eq!(leases.committed(&place(0)), [(late, Outcome::Committed)]);
}

#[derive(Clone, Debug)]
enum Move {
    Ask(u8, u8),
    Hear(u8, Option<u64>),
    Commit(u8),
    End(u8),
    GiveBack(u8, u8),
    Leave(usize),
    Pass(u64),
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let one = prop_oneof![
        6 => (0..3u8, 0..12u8).prop_map(|(place, asker)| Move::Ask(place, asker)),
        2 => (0..12u8, prop::option::of(0..40u64)).prop_map(|(who, built)| Move::Hear(who, built)),
        1 => (0..3u8).prop_map(Move::Commit),
        2 => (0..12u8).prop_map(Move::End),
        1 => (0..3u8, 0..12u8).prop_map(|(place, asker)| Move::GiveBack(place, asker)),
        1 => (0..8usize).prop_map(Move::Leave),
        2 => (1..60u64).prop_map(Move::Pass),
    ];
    prop::collection::vec(one, 1..80)
}

/// What the callers know: who was told what.
struct Model {
    leases: Leases,
    now: Instant,
    waiting: BTreeMap<Ticket, (u8, u8, Instant)>,
    /// By key: who was told to build and may commit, and nothing was heard of since.
    told: BTreeMap<u8, BTreeSet<u8>>,
}

impl Model {
    fn take(&mut self, outcomes: Outcomes) {
        for (ticket, outcome) in outcomes {
            let (key, who, _) = self.waiting[&ticket];
            match outcome {
                Outcome::Wait(_) => continue,
                Outcome::Build => {
                    self.told.entry(key).or_default().insert(who);
                }
                Outcome::Committed | Outcome::Ended => {}
            }
            self.waiting.remove(&ticket);
        }
    }

    fn expire(&mut self) {
        for key in 0..3 {
            let outcomes = self.leases.expire(&place(key), self.now);
            self.take(outcomes);
        }
    }

    fn step(&mut self, step: &Move) {
        match *step {
            Move::Ask(key, who) => {
                let estimate = (who % 2 == 0).then(|| Duration::from_secs(20));
                let now = self.now;
                let (asked, outcomes) = self.leases.ask(&place(key), asker(who), estimate, now);
                self.take(outcomes);
                match asked {
                    Asked::Build => {
                        self.told.entry(key).or_default().insert(who);
                    }
                    Asked::Wait(ticket, _) => {
                        let before = self.waiting.insert(ticket, (key, who, now));
                        assert_eq!(before, None, "a ticket is given once");
                    }
                }
            }
            Move::Hear(who, built) => {
                let built = built.map(Duration::from_secs);
                let outcomes = self.leases.heard(&asker(who).attempt, built, self.now);
                self.take(outcomes);
            }
            Move::Commit(key) => {
                let outcomes = self.leases.committed(&place(key));
                self.take(outcomes);
                assert!(self.waiting.values().all(|(of, ..)| *of != key));
            }
            Move::End(who) => {
                let outcomes = self.leases.ended(&workspace(who), None, self.now);
                self.take(outcomes);
                assert!(self.waiting.values().all(|(_, of, _)| *of != who));
            }
            Move::GiveBack(key, who) => {
                let now = self.now;
                let outcomes = self.leases.give_back(&place(key), &asker(who), now);
                self.take(outcomes);
            }
            Move::Leave(position) => {
                if let Some((&ticket, &(key, ..))) = self.waiting.iter().nth(position) {
                    self.leases.leave(&place(key), ticket);
                    self.waiting.remove(&ticket);
                }
            }
            Move::Pass(seconds) => {
                self.now += Duration::from_secs(seconds);
                self.expire();
            }
        }
    }

    fn check(&self) {
        for key in 0..3 {
            let lease = self.leases.by_place.get(&place(key));
            let waiting: Vec<_> = self
                .waiting
                .iter()
                .filter(|(_, (of, ..))| *of == key)
                .map(|(ticket, _)| *ticket)
                .collect();
            let Some(lease) = lease else {
                assert_eq!(waiting, [], "somebody waits for nobody");
                continue;
            };
            let mut known: Vec<_> = lease.waiters.iter().map(|waiter| waiter.ticket).collect();
            known.sort();
            assert_eq!(known, waiting, "somebody is forgotten, or waits twice");
            assert!(lease.builder.may_write);
            let who = lease.builder.attempt.workspace.as_str()[1..]
                .parse()
                .expect("a number");
            assert!(
                self.told.get(&key).is_some_and(|told| told.contains(&who)),
                "the holder was never told to build"
            );
            assert!(lease.end > self.now && lease.end <= self.now + LONGEST);
        }
        for (_, _, since) in self.waiting.values() {
            assert!(self.now < *since + LONGEST, "somebody waits for too long");
        }
    }
}

proptest! {
    #[test]
    fn whatever_happens_somebody_builds_while_somebody_waits_and_everybody_is_answered(
        moves in moves(),
    ) {
        let mut model = Model {
            leases: Leases::new(LONGEST),
            now: Instant::now(),
            waiting: BTreeMap::new(),
            told: BTreeMap::new(),
        };
        for step in &moves {
            model.step(step);
            model.check();
        }
        // Without any further event, time alone answers everybody.
        model.now += LONGEST;
        model.expire();
        prop_assert!(model.waiting.is_empty());
    }
}
