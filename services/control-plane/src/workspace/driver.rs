//! Drives the newest attempt of a workspace until it has settled: has the agent prepare it, stores the agent's events by
//! their sequence, and ends the attempt when the agent cannot.
//!
//! All state is in the record, so a driver can start at any point, for example after a restart of the control plane.
//! [`super::phase`] decides what it does next; this file does it.

use std::{future::Future, time::Duration};

use futures_util::StreamExt as _;
use hearth_api::v1::WorkspaceState;
use hearth_domain::WorkspaceId;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::{
    dispatch::{self, Events},
    driving::Driving,
    phase::{Action, Known, Observation, Phase},
};
use crate::{
    clock::now,
    node::{Gone, NodeView, Standing, calls_again, verdict, within},
    record::{Ending, Record},
    store::{Load, StoreError},
};

/// Until an agent accepts a call. Its stream may then be silent for as long as a build.
const CALL: Duration = Duration::from_secs(10);
/// An agent may be busy for a moment: nothing is said of it before it was asked in vain for so long, as long as a call waits
/// for a node that has no connection.
const MOMENT: Duration = Duration::from_secs(3);

struct Driver<'a> {
    with: &'a Driving,
    stop: &'a CancellationToken,
    /// As last read or changed.
    record: Record,
    /// Boot id of the node's agent when it was called.
    called: String,
    events: Option<Events>,
    /// Whether its log says that the attempt waits for its node.
    waits: bool,
    /// Since when its node is asked to begin it.
    asked: Instant,
}

/// Drives the newest attempt of a workspace until it has settled or `stop` is cancelled.
pub(super) async fn drive(with: &Driving, id: &WorkspaceId, stop: &CancellationToken) {
    let mut driver: Option<Driver<'_>> = None;
    let (mut phase, mut action) = Phase::begin(Instant::now());
    loop {
        let observation = match (action, &mut driver) {
            (Action::Stop, _) => return,
            (Action::Wait { failures }, driver) => {
                if let Some(driver) = driver {
                    driver.events = None;
                }
                wait(failures, stop).await
            }
            (Action::Read, _) | (_, None) => match read(with, id).await {
                Ok(Some(record)) => {
                    let known = Known {
                        after: record.progress.agent_sequence,
                        boot_id: record.progress.boot_id.clone(),
                        movable: record.progress.is_movable(),
                    };
                    let waits = driver.as_ref().is_some_and(|driver| driver.waits);
                    let asked = driver.as_ref().map(|driver| driver.asked);
                    driver = Some(Driver {
                        with,
                        stop,
                        record,
                        called: String::new(),
                        events: None,
                        waits,
                        asked: asked.unwrap_or_else(Instant::now),
                    });
                    Observation::Unsettled(known)
                }
                Ok(None) => Observation::Over,
                Err(error) => store_failed(id, &error),
            },
            (action, Some(driver)) => driver
                .perform(action)
                .await
                .unwrap_or_else(|error| store_failed(id, &error)),
        };
        (phase, action) = phase.next(observation, Instant::now());
    }
}

/// The record, if its newest attempt is to be driven.
async fn read(with: &Driving, id: &WorkspaceId) -> Result<Option<Record>, StoreError> {
    let record = with.store.workspace(id).await?;
    Ok(record.filter(|record| {
        !record.workspace.settled && record.workspace.state() != WorkspaceState::Deleting
    }))
}

async fn wait(failures: u32, stop: &CancellationToken) -> Observation {
    let longest = 16;
    let pause = calls_again().nth(failures.min(longest) as usize);
    tokio::select! {
        () = stop.cancelled() => Observation::Stopped,
        () = tokio::time::sleep(pause.unwrap_or_default()) => Observation::Waited,
    }
}

fn store_failed(id: &WorkspaceId, error: &StoreError) -> Observation {
    match error {
        StoreError::WorkspaceUnknown(_)
        | StoreError::AttemptOutdated(_)
        | StoreError::Deleting(_)
        | StoreError::NotNow(..) => Observation::Over,
        StoreError::RequestIdReused
        | StoreError::NoNode
        | StoreError::Corrupt { .. }
        | StoreError::LittleRoom { .. }
        | StoreError::InUse(_)
        | StoreError::Folder { .. }
        | StoreError::Database(_)
        | StoreError::Migrate(_) => {
            tracing::error!(workspace.id = %id, %error, "the store failed; trying again");
            Observation::StoreFailed
        }
    }
}

impl Driver<'_> {
    async fn perform(&mut self, action: Action) -> Result<Observation, StoreError> {
        let attempt = self.record.attempt();
        match action {
            Action::Call { after } => self.call(after).await,
            Action::Follow => self.follow().await,
            Action::Accept { boot_id } => {
                let store = &self.with.store;
                self.record = store.accepted(&attempt, &boot_id, now()).await?;
                Ok(Observation::Stored { settled: false })
            }
            Action::End(ending) => {
                self.events = None;
                self.end(&ending).await?;
                Ok(Observation::Stored { settled: true })
            }
            Action::Move { why } => self.move_on(&why).await,
            Action::Read | Action::Wait { .. } | Action::Stop => Ok(Observation::Waited),
        }
    }

    async fn call(&mut self, after: u64) -> Result<Observation, StoreError> {
        let Driving { fleet, agents, .. } = self.with;
        let Some(node) = fleet.get(&self.record.workspace.node) else {
            return Ok(Observation::NodeGone(Ending::NodeLost));
        };
        if node.standing == Standing::Left {
            return Ok(Observation::NodeGone(Ending::NodeLeft));
        }
        self.called.clone_from(&node.info.boot_id);
        let id = self.record.id.clone();
        fleet.prepares(&node.name, &id);
        let call = dispatch::request(self.with, &self.record, &node, after).await;
        let call = within(CALL, async {
            let client = agents.client(&node.name).await?;
            let accepted = call.make(client).await?;
            fleet.prepares(&node.name, &id);
            Ok(accepted)
        });
        Ok(match self.unless_gone(call).await {
            Ok(Ok((boot_id, events))) => {
                self.events = Some(events);
                Observation::Accepted(boot_id)
            }
            Ok(Err(status)) => self.failed(&status),
            Err(gone) => gone,
        })
    }

    /// Waits for events and stores them.
    async fn follow(&mut self) -> Result<Observation, StoreError> {
        let Some(mut stream) = self.events.take() else {
            return Ok(Observation::Ended);
        };
        let events = match self.unless_gone(stream.next()).await {
            Ok(Some(Ok(events))) => events,
            Ok(Some(Err(status))) => return Ok(self.failed(&status)),
            Ok(None) => return Ok(Observation::Ended),
            Err(gone) => return Ok(gone),
        };
        let attempt = self.record.attempt();
        self.record = self.with.journal.append(&attempt, events).await?;
        self.events = Some(stream);
        Ok(Observation::Stored {
            settled: self.record.workspace.settled,
        })
    }

    /// Places the attempt on a node that it was not on before.
    async fn move_on(&mut self, why: &str) -> Result<Observation, StoreError> {
        let Record {
            id,
            progress,
            workspace,
            ..
        } = &self.record;
        let mut tried = progress.passed_by.clone();
        tried.push(workspace.node.clone());
        let place = |loads: &[Load]| self.with.fleet.place(id, loads, &tried);
        let journal = &self.with.journal;
        let Some(moved) = journal.move_on(&self.record.attempt(), why, &place).await? else {
            self.say_what_is_waited_for(why).await?;
            return Ok(Observation::Nowhere);
        };
        tracing::warn!(
            workspace.id = %moved.id,
            from = workspace.node,
            to = moved.workspace.node,
            why,
            "an attempt that did not begin is placed on another node"
        );
        self.record = moved;
        self.asked = Instant::now();
        Ok(Observation::Stored { settled: false })
    }

    /// Says once that the attempt waits for its node, unless that is gone or was asked for a moment only.
    async fn say_what_is_waited_for(&mut self, why: &str) -> Result<(), StoreError> {
        let node = &self.record.workspace.node;
        let is_there = |node: NodeView| node.standing.is_there();
        let is_early = self.asked.elapsed() < MOMENT;
        if self.waits || is_early || !self.with.fleet.get(node).is_some_and(is_there) {
            return Ok(());
        }
        self.waits = true;
        let warning = format!(
            "{node} does not begin the attempt, and there is no other node for it: {why}. It is asked again until it does, or is lost; `hearth nodes` shows its state."
        );
        let attempt = self.record.attempt();
        self.with.journal.note(&attempt, &warning).await
    }

    async fn end(&mut self, ending: &Ending) -> Result<(), StoreError> {
        let attempt = self.record.attempt();
        tracing::warn!(
            workspace.id = %attempt.workspace,
            workspace.attempt = attempt.number,
            ?ending,
            "the control plane ends the attempt"
        );
        self.with.journal.end(&attempt, ending).await
    }

    /// Waits for `work` unless its agent is lost or restarted.
    async fn unless_gone<T>(&mut self, work: impl Future<Output = T>) -> Result<T, Observation> {
        let node = &self.record.workspace.node;
        // It may have been started again between its call and what it answered.
        let boots = [&*self.called, &*self.record.progress.boot_id];
        tokio::select! {
            // In this order, so that events that an agent sent before it was lost are stored.
            biased;
            () = self.stop.cancelled() => Err(Observation::Stopped),
            done = work => Ok(done),
            gone = self.with.fleet.gone(node, &boots) => Err(match gone {
                Gone::Lost => Observation::NodeGone(Ending::NodeLost),
                Gone::Restarted(_) => Observation::AgentRestarted,
            }),
        }
    }

    fn failed(&self, status: &Status) -> Observation {
        let (code, message) = (status.code(), status.message());
        tracing::info!(
            workspace.id = %self.record.id,
            workspace.attempt = self.record.workspace.attempt,
            grpc.code = ?code,
            grpc.message = message,
            "a call to the agent failed"
        );
        Observation::Failed(verdict(code), message.to_owned())
    }
}
