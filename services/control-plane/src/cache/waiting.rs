use std::{collections::HashMap, sync::Arc, time::Duration};

use hearth_api::v1::{CacheResult, Event, Workspace, event::Kind};
use hearth_domain::WorkspaceId;
use parking_lot::{Mutex, MutexGuard};
use tokio::{sync::mpsc, time::Instant};

use super::leases::{Asked, Asker, Leases, Outcome, Outcomes, Ticket, Wait};
use crate::{
    record::{LogEntry, Record},
    store::{Change, Place},
};

/// Delivers the outcomes of [`Leases`] to the attempts that wait. Leases are in memory only: a restart of the control plane
/// breaks the streams too, and the first attempt that asks again builds.
#[derive(Debug)]
pub(crate) struct Waiting(Mutex<Table>);

#[derive(Debug)]
struct Table {
    leases: Leases,
    waiters: HashMap<Ticket, mpsc::UnboundedSender<Outcome>>,
}

/// One question's place in line, or its lease. Dropped, it leaves the line, and gives back a lease that was not kept.
#[derive(Debug)]
pub(crate) struct Claim {
    waiting: Arc<Waiting>,
    place: Place,
    asker: Asker,
    line: Option<(Ticket, mpsc::UnboundedReceiver<Outcome>)>,
    kept: bool,
}

impl Waiting {
    pub(crate) fn new(longest: Duration) -> Self {
        Self(Mutex::new(Table {
            leases: Leases::new(longest),
            waiters: HashMap::new(),
        }))
    }

    /// Asks for a key that has no image. Returns what to wait for; `None`: build. A caller that is to build checks once more
    /// whether there is an image now.
    pub(crate) fn ask(
        self: &Arc<Self>,
        place: Place,
        asker: Asker,
        build: Option<Duration>,
    ) -> (Claim, Option<Wait>) {
        let mut table = self.lock();
        let (asked, outcomes) = table
            .leases
            .ask(&place, asker.clone(), build, Instant::now());
        table.deliver(outcomes);
        let (line, wait) = match asked {
            Asked::Build => (None, None),
            Asked::Wait(ticket, wait) => {
                let (sender, receiver) = mpsc::unbounded_channel();
                table.waiters.insert(ticket, sender);
                (Some((ticket, receiver)), Some(wait))
            }
        };
        drop(table);
        let claim = Claim {
            waiting: self.clone(),
            place,
            asker,
            line,
            kept: false,
        };
        (claim, wait)
    }

    /// An image for the key is in the index.
    pub(crate) fn committed(&self, place: &Place) {
        let mut table = self.lock();
        let outcomes = table.leases.committed(place);
        table.deliver(outcomes);
    }

    /// The log of a workspace has grown.
    pub(crate) fn grown(&self, change: &Change) {
        let is_agents = |entry: &&LogEntry| entry.agent_sequence > 0;
        let said = change.entries.iter().filter(is_agents);
        if let Some(built) = said
            .map(|entry| build_time(&entry.event))
            .reduce(Option::or)
        {
            let mut table = self.lock();
            let attempt = change.record.attempt();
            let outcomes = table.leases.heard(&attempt, built, Instant::now());
            table.deliver(outcomes);
        }
        self.changed(&change.record);
    }

    /// A workspace changed: what its attempts held is free unless the newest may still commit an image.
    pub(crate) fn changed(&self, record: &Record) {
        let alive = may_commit(&record.workspace).then_some(record.workspace.attempt);
        self.ended(&record.id, alive);
    }

    /// A workspace is gone.
    pub(crate) fn forgotten(&self, workspace: &WorkspaceId) {
        self.ended(workspace, None);
    }

    fn ended(&self, workspace: &WorkspaceId, alive: Option<u32>) {
        let mut table = self.lock();
        let outcomes = table.leases.ended(workspace, alive, Instant::now());
        table.deliver(outcomes);
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.lock()
    }
}

/// Whether an image may still come of the newest attempt. The push begins when the image is built: what becomes of the
/// container and its hooks does not matter.
pub(crate) fn may_commit(workspace: &Workspace) -> bool {
    !workspace.settled && workspace.push.is_none()
}

/// How long the image's build took, if the event says that it is built.
fn build_time(event: &Event) -> Option<Duration> {
    match &event.kind {
        Some(Kind::Cache(report))
            if matches!(report.result(), CacheResult::Miss | CacheResult::Partial) =>
        {
            Duration::try_from_secs_f64(report.seconds).ok()
        }
        _ => None,
    }
}

impl Table {
    fn deliver(&mut self, outcomes: Outcomes) {
        for (ticket, outcome) in outcomes {
            // A receiver that is gone is about to drop its claim, which gives the lease back.
            if let Outcome::Wait(_) = outcome {
                if let Some(waiter) = self.waiters.get(&ticket) {
                    let _ = waiter.send(outcome);
                }
            } else if let Some(waiter) = self.waiters.remove(&ticket) {
                let _ = waiter.send(outcome);
            }
        }
    }
}

impl Claim {
    /// What it waited for, or what it waits for now.
    pub(crate) async fn outcome(&mut self) -> Outcome {
        loop {
            let end = self.waiting.lock().leases.next_end(&self.place);
            let Some((_, line)) = &mut self.line else {
                return Outcome::Build;
            };
            tokio::select! {
                // In this order: what was delivered counts, even in the moment when the time is up.
                biased;
                outcome = line.recv() => return outcome.unwrap_or(Outcome::Ended),
                () = until(end) => {}
            }
            let mut table = self.waiting.lock();
            let outcomes = table.leases.expire(&self.place, Instant::now());
            table.deliver(outcomes);
        }
    }

    /// The builder was told to build: the lease stays until something comes of the attempt.
    pub(crate) fn keep(mut self) {
        self.kept = true;
    }
}

async fn until(end: Option<Instant>) {
    match end {
        Some(end) => tokio::time::sleep_until(end).await,
        // No attempt holds the key, so the outcome has been sent already.
        None => std::future::pending().await,
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut table = self.waiting.lock();
        if let Some((ticket, _)) = &self.line {
            table.waiters.remove(ticket);
            table.leases.leave(&self.place, *ticket);
        }
        if !self.kept {
            let outcomes = table
                .leases
                .give_back(&self.place, &self.asker, Instant::now());
            table.deliver(outcomes);
        }
    }
}

#[cfg(test)]
mod tests {
    use hearth_api::v1::WorkspaceState;
    use hearth_domain::{AttemptRef, KeyManifest};

    use super::*;

    const LONGEST: Duration = Duration::from_secs(100);

    fn place() -> Place {
        Place {
            repository: "r/x".parse().expect("a repository"),
            key: KeyManifest::default().key(),
        }
    }

    fn asker(name: &str) -> Asker {
        Asker {
            attempt: AttemptRef {
                workspace: name.parse().expect("an id"),
                number: 1,
            },
            node: format!("node of {name}"),
            may_write: true,
        }
    }

    fn waiting() -> Arc<Waiting> {
        Arc::new(Waiting::new(LONGEST))
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_of_a_lease_wakes_the_next_in_line() {
        let (waiting, began) = (waiting(), Instant::now());
        let (builder, none) = waiting.ask(place(), asker("a"), None);
        assert_eq!(none, None);
        builder.keep();
        tokio::time::sleep(Duration::from_secs(10)).await;
        let (mut next, told) = waiting.ask(place(), asker("b"), None);
        assert_eq!(told.expect("a wait").remaining, None, "nothing is known");
        assert_eq!(next.outcome().await, Outcome::Build);
        assert_eq!(began.elapsed(), LONGEST);
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_that_nobody_heard_of_goes_to_the_next() {
        let waiting = waiting();
        let (builder, _) = waiting.ask(place(), asker("a"), None);
        let (next, _) = waiting.ask(place(), asker("b"), None);
        let (mut last, _) = waiting.ask(place(), asker("c"), None);
        drop(builder);
        // It was told to build and went away without listening.
        drop(next);
        let told = last.outcome().await;
        assert!(matches!(told, Outcome::Wait(_)), "{told:?}");
        assert_eq!(last.outcome().await, Outcome::Build);
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_waits_hears_of_the_image_and_of_its_own_end() {
        let waiting = waiting();
        waiting.ask(place(), asker("a"), None).0.keep();
        let (mut one, _) = waiting.ask(place(), asker("b"), None);
        let (mut two, _) = waiting.ask(place(), asker("c"), None);
        waiting.forgotten(&"b".parse().expect("an id"));
        assert_eq!(one.outcome().await, Outcome::Ended);
        waiting.committed(&place());
        assert_eq!(two.outcome().await, Outcome::Committed);
    }

    #[test]
    fn an_image_may_come_of_an_attempt_until_its_push_is_reported_or_it_settles() {
        for state in [
            WorkspaceState::Pending,
            WorkspaceState::Preparing,
            WorkspaceState::Ready,
            WorkspaceState::Recovery,
            WorkspaceState::Failed,
        ] {
            let mut workspace = Workspace::default();
            workspace.set_state(state);
            assert!(may_commit(&workspace), "{state:?}");
            workspace.push = Some(hearth_api::v1::PushReport::default());
            assert!(!may_commit(&workspace), "{state:?}");
            let settled = Workspace {
                push: None,
                settled: true,
                ..workspace
            };
            assert!(!may_commit(&settled), "{state:?}");
        }
    }
}
