//! Leases on cache keys: one attempt builds a key, the others wait for its image. Pure: no clock, no I/O; callers pass the
//! time in and deliver the outcomes.
//!
//! - A key has at most one builder: the first attempt that asks and may write.
//! - Others queue. They are answered when an image is committed, or become the builder, first come first served, when
//!   the builder gives up or is overdue. No attempt waits for more than two builders in vain, or longer than a whole
//!   lease.
//! - Without history nobody knows how long a build takes. It is waited for as long as its builder reports progress:
//!   beginning anew would take longer. Once the image is built, what is left is its push, which is bounded by the time
//!   that the build took: who waits could have built in that time.
//! - An attempt that may only read queues too, but never becomes the builder: its image is not committed, so the others
//!   would wait in vain.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use hearth_domain::{AttemptRef, WorkspaceId};
use tokio::time::Instant;

use crate::store::Place;

/// How long a builder of which nothing is known may report nothing. Steps that print nothing for longer are rare.
const QUIET: Duration = Duration::from_secs(120);
/// A builder may take half as long again as expected, and this, before the next in line begins.
const SLACK: Duration = Duration::from_secs(15);
/// Who has waited for so many builders in vain builds, whoever else does.
const MOST_IN_VAIN: u32 = 2;
/// What a push takes beyond its bytes.
const PUSH: Duration = Duration::from_secs(5);

/// How long the push of an image is expected to take. Its bytes are not known before it is built: what a build adds to the
/// layers that the registry has is taken for a part of what it has done.
fn push_after(build: Duration) -> Duration {
    PUSH + build / 4
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Asker {
    pub(crate) attempt: AttemptRef,
    /// Where it runs; told to those who wait for it.
    pub(crate) node: String,
    /// Whether what it builds may be committed.
    pub(crate) may_write: bool,
}

impl Asker {
    fn is(&self, other: &Self) -> bool {
        self.attempt == other.attempt
    }
}

/// Names one who waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Ticket(u64);

/// Another attempt builds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wait {
    /// The node that builds.
    pub(crate) node: String,
    /// Until its image is expected; `None`: nothing is known about it.
    pub(crate) remaining: Option<Duration>,
}

/// The answer to a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// Build. With the lease, unless the asker may only read.
    Build,
    /// Wait for an outcome for this ticket.
    Wait(Ticket, Wait),
}

/// What becomes of one who waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The image is there. It waits no more.
    Committed,
    /// It is to build. It waits no more.
    Build,
    /// Its own attempt has ended. It waits no more.
    Ended,
    /// Another attempt is the builder now, or the image is expected at another time; it goes on waiting.
    Wait(Wait),
}

/// Whom an outcome is for.
pub(crate) type Outcomes = Vec<(Ticket, Outcome)>;

#[derive(Debug)]
struct Lease {
    builder: Asker,
    /// When its image is expected, if anything is known.
    expected: Option<Instant>,
    /// When the next in line begins.
    end: Instant,
    /// `end` is never later.
    limit: Instant,
    /// How long a build takes, if anything is known.
    build: Option<Duration>,
    waiters: VecDeque<Waiter>,
}

#[derive(Debug)]
struct Waiter {
    ticket: Ticket,
    asker: Asker,
    /// When it waits no more, whatever happens.
    end: Instant,
    /// How many builders it has waited for in vain.
    in_vain: u32,
}

/// All leases.
#[derive(Debug)]
pub(crate) struct Leases {
    longest: Duration,
    last_ticket: u64,
    by_place: HashMap<Place, Lease>,
}

impl Leases {
    /// No lease and no wait is longer than `longest`.
    pub(crate) fn new(longest: Duration) -> Self {
        Self {
            longest,
            last_ticket: 0,
            by_place: HashMap::new(),
        }
    }

    /// Asks for a key that has no image. `build`: how long a build takes, if anything is known.
    pub(crate) fn ask(
        &mut self,
        place: &Place,
        asker: Asker,
        build: Option<Duration>,
        now: Instant,
    ) -> (Asked, Outcomes) {
        let mut outcomes = self.expire(place, now);
        let longest = self.longest;
        let Some(lease) = self.by_place.get_mut(place) else {
            if asker.may_write {
                let lease = Lease::new(asker, build, longest, now, VecDeque::new());
                self.by_place.insert(place.clone(), lease);
            }
            return (Asked::Build, outcomes);
        };
        if lease.builder.is(&asker) {
            // Its stream broke and it asks again.
            return (Asked::Build, outcomes);
        }
        // An attempt that asks again has lost the stream of its earlier question.
        lease.waiters.retain(|waiter| {
            let again = waiter.asker.is(&asker);
            if again {
                outcomes.push((waiter.ticket, Outcome::Ended));
            }
            !again
        });
        self.last_ticket += 1;
        let ticket = Ticket(self.last_ticket);
        lease.waiters.push_back(Waiter {
            ticket,
            asker,
            end: now + longest,
            in_vain: 0,
        });
        (Asked::Wait(ticket, lease.wait(now)), outcomes)
    }

    /// An attempt reports progress. `built`: its image is built, and took so long.
    pub(crate) fn heard(
        &mut self,
        attempt: &AttemptRef,
        built: Option<Duration>,
        now: Instant,
    ) -> Outcomes {
        let mut outcomes = Outcomes::new();
        let leases = self.by_place.values_mut();
        for lease in leases.filter(|lease| lease.builder.attempt == *attempt) {
            if let Some(build) = built {
                lease.build = Some(build);
                lease.expect_within(push_after(build), now);
                outcomes.extend(lease.waits(now));
            } else if lease.expected.is_none() {
                lease.end = lease.limit.min(now + QUIET);
            }
        }
        outcomes
    }

    /// An image for the key is there.
    pub(crate) fn committed(&mut self, place: &Place) -> Outcomes {
        let waiters = self.by_place.remove(place).map(|lease| lease.waiters);
        let waiters = waiters.into_iter().flatten();
        waiters
            .map(|waiter| (waiter.ticket, Outcome::Committed))
            .collect()
    }

    /// Nothing comes of the attempts of a workspace any more, except of `alive`.
    pub(crate) fn ended(
        &mut self,
        workspace: &WorkspaceId,
        alive: Option<u32>,
        now: Instant,
    ) -> Outcomes {
        let is_over = |asker: &Asker| {
            asker.attempt.workspace == *workspace && Some(asker.attempt.number) != alive
        };
        let mut outcomes = Outcomes::new();
        let mut vacant = Vec::new();
        for (place, lease) in &mut self.by_place {
            lease.waiters.retain(|waiter| {
                let over = is_over(&waiter.asker);
                if over {
                    outcomes.push((waiter.ticket, Outcome::Ended));
                }
                !over
            });
            if is_over(&lease.builder) {
                vacant.push(place.clone());
            }
        }
        for place in vacant {
            outcomes.extend(self.pass_on(&place, true, now));
        }
        outcomes
    }

    /// The builder was told to build and went away before it heard it.
    pub(crate) fn give_back(&mut self, place: &Place, asker: &Asker, now: Instant) -> Outcomes {
        match self.by_place.get(place) {
            Some(lease) if lease.builder.is(asker) => self.pass_on(place, true, now),
            _ => Outcomes::new(),
        }
    }

    /// The holder of the ticket stops waiting.
    pub(crate) fn leave(&mut self, place: &Place, ticket: Ticket) {
        if let Some(lease) = self.by_place.get_mut(place) {
            lease.waiters.retain(|waiter| waiter.ticket != ticket);
        }
    }

    /// Ends what has lasted too long.
    pub(crate) fn expire(&mut self, place: &Place, now: Instant) -> Outcomes {
        let Some(lease) = self.by_place.get_mut(place) else {
            return Outcomes::new();
        };
        let mut outcomes = Outcomes::new();
        lease.waiters.retain(|waiter| {
            let over = waiter.end <= now;
            if over {
                outcomes.push((waiter.ticket, Outcome::Build));
            }
            !over
        });
        if lease.end <= now {
            // It may only be slow, and what was known of such builds does not hold for this one.
            lease.build = lease.build.map(|build| build * 2);
            outcomes.extend(self.pass_on(place, false, now));
        }
        outcomes
    }

    /// When `expire` is to be called next; `None` when no attempt holds the key.
    pub(crate) fn next_end(&self, place: &Place) -> Option<Instant> {
        let lease = self.by_place.get(place)?;
        let waiters = lease.waiters.iter().map(|waiter| waiter.end);
        waiters.chain([lease.end]).min()
    }

    /// The first in line that may write becomes the builder. Without one there is nothing to wait for. `in_vain`: nothing
    /// comes of the builder before.
    fn pass_on(&mut self, place: &Place, in_vain: bool, now: Instant) -> Outcomes {
        let Some(mut lease) = self.by_place.remove(place) else {
            return Outcomes::new();
        };
        let next = lease
            .waiters
            .iter()
            .position(|waiter| waiter.asker.may_write)
            .and_then(|position| lease.waiters.remove(position));
        let Some(next) = next else {
            let waiters = lease.waiters.into_iter();
            return waiters
                .map(|waiter| (waiter.ticket, Outcome::Build))
                .collect();
        };
        let mut outcomes = vec![(next.ticket, Outcome::Build)];
        lease.waiters.retain_mut(|waiter| {
            waiter.in_vain += u32::from(in_vain);
            let goes_on = waiter.in_vain < MOST_IN_VAIN;
            if !goes_on {
                outcomes.push((waiter.ticket, Outcome::Build));
            }
            goes_on
        });
        let lease = Lease::new(next.asker, lease.build, self.longest, now, lease.waiters);
        outcomes.extend(lease.waits(now));
        self.by_place.insert(place.clone(), lease);
        outcomes
    }
}

impl Lease {
    fn new(
        builder: Asker,
        build: Option<Duration>,
        longest: Duration,
        now: Instant,
        waiters: VecDeque<Waiter>,
    ) -> Self {
        let limit = now + longest;
        let mut lease = Self {
            builder,
            expected: None,
            end: limit.min(now + QUIET),
            limit,
            build,
            waiters,
        };
        if let Some(build) = build {
            lease.expect_within(build + push_after(build), now);
        }
        lease
    }

    /// The image is expected in so long.
    fn expect_within(&mut self, time: Duration, now: Instant) {
        self.end = self.limit.min(now + time + time / 2 + SLACK);
        self.expected = Some(self.end.min(now + time));
    }

    fn wait(&self, now: Instant) -> Wait {
        let until = self.expected.map(|expected| match now < expected {
            true => expected,
            false => self.end,
        });
        Wait {
            node: self.builder.node.clone(),
            remaining: until.map(|until| until.saturating_duration_since(now)),
        }
    }

    /// What all who wait are told.
    fn waits(&self, now: Instant) -> impl Iterator<Item = (Ticket, Outcome)> {
        let told = self.waiters.iter();
        told.map(move |waiter| (waiter.ticket, Outcome::Wait(self.wait(now))))
    }
}

#[cfg(test)]
#[path = "leases_tests.rs"]
mod tests;
