//! Looks after workspaces that were ready: whether their containers still run, and when their time ends. All of it is in the
//! store, so nothing is lost by a restart; and all times are run time, so a clock that jumps ends nothing.

use std::{sync::Arc, time::Duration};

use futures_util::{StreamExt as _, stream};
use hearth_api::v1::{
    ContainerEnded, Expiring, GetContainerRequest, StopCause, WorkspaceState as State,
};
use hearth_domain::{AttemptRef, WorkspaceId};
use hearth_runtime::Tasks;
use tokio::time::MissedTickBehavior;
use tonic::{Code, Status};

use super::{
    deletion::Deletions, journal::Journal, lifetime::LifetimeArgs, stopping::Stops, uses::Uses,
};
use crate::{
    node::{Agents, Fleet, Unusable, within},
    record::LifeChange,
    store::{Ends, Store, StoreError, Watched},
};

/// How often it looks.
const PERIOD: Duration = Duration::from_secs(5);
/// How many workspaces are looked after at the same time.
const AT_ONCE: usize = 16;
/// Until an agent says what has become of a container.
const ASK: Duration = Duration::from_secs(10);

/// Looks after workspaces.
pub(crate) struct Keeper {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) journal: Arc<Journal>,
    pub(crate) fleet: Arc<Fleet>,
    pub(crate) agents: Arc<Agents>,
    pub(crate) stops: Arc<Stops>,
    pub(crate) deletions: Arc<Deletions>,
    pub(crate) uses: Uses,
    pub(crate) lifetimes: LifetimeArgs,
    pub(crate) tasks: Tasks,
}

impl Keeper {
    /// Until the process stops.
    pub(crate) async fn run(self) {
        let mut ticks = tokio::time::interval(PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let stopping = self.tasks.stopping().clone();
        loop {
            tokio::select! {
                () = stopping.cancelled() => return,
                _ = ticks.tick() => {}
            }
            let look = async {
                for looked in [
                    self.note_uses().await,
                    self.end_times().await,
                    self.watch().await,
                ] {
                    if let Err(error) = looked {
                        tracing::error!(%error, "workspaces cannot be looked after now");
                    }
                }
            };
            tokio::select! {
                () = stopping.cancelled() => return,
                () = look => {}
            }
        }
    }

    async fn note_uses(&self) -> Result<(), StoreError> {
        let used = self.uses.take();
        if used.is_empty() {
            return Ok(());
        }
        self.store.used(&used).await.inspect_err(|_| {
            self.uses.put_back(used);
        })
    }

    /// Tells of the ends of times that come, and ends what was told of.
    async fn end_times(&self) -> Result<(), StoreError> {
        let lead = Duration::from_secs(self.lifetimes.expiry_warning_seconds.into());
        for (attempt, ends) in self.store.ending(lead).await? {
            let ended = self.end_time(&attempt, ends).await;
            if let Err(error) = ended {
                tracing::warn!(workspace.id = %attempt.workspace, %error, "the end of a workspace's time was not told");
            }
        }
        Ok(())
    }

    async fn end_time(&self, attempt: &AttemptRef, ends: Ends) -> Result<(), StoreError> {
        let id = &attempt.workspace;
        if ends.idle && self.uses.goes_on(id) {
            return Ok(());
        }
        let cause = match ends.idle {
            true => StopCause::Idle,
            false => StopCause::Ttl,
        };
        match ends.told {
            Some(told) if told > ends.now => {}
            Some(_) if ends.deletes => {
                tracing::info!(workspace.id = %id, "its time to live has ended; it is deleted, as was asked for");
                drop(self.deletions.start(id, false));
            }
            Some(_) => drop(self.stops.start(id, cause)),
            None => {
                // Nothing ends without a warning in time: not after a control plane was away, either.
                let lead = self.lead(id, ends).await?;
                let told = ends.end.max(ends.now.saturating_add(lead));
                if told - ends.now > lead {
                    return Ok(());
                }
                let left = (told - ends.now).max(0) / 1000;
                let expiring = Expiring {
                    cause: cause.into(),
                    deleted: ends.deletes,
                    seconds_left: u32::try_from(left).unwrap_or(u32::MAX),
                };
                let change = LifeChange::Expires(expiring);
                self.journal.live(id, Some(attempt.number), change).await?;
                self.store.told(id, ends.end, told).await?;
            }
        }
        Ok(())
    }

    /// How long before its end the users of a workspace are warned, in milliseconds: at most half of its time.
    async fn lead(&self, id: &WorkspaceId, ends: Ends) -> Result<i64, StoreError> {
        let record = self.store.workspace(id).await?;
        let lifetime = record.and_then(|record| record.workspace.lifetime);
        let lifetime = lifetime.unwrap_or_default();
        let whole = match ends.idle {
            true => lifetime.idle_timeout_seconds,
            false => lifetime.ttl_seconds,
        };
        let half = i64::from(whole.unwrap_or_default()) * 1000 / 2;
        Ok(half.min(i64::from(self.lifetimes.expiry_warning_seconds) * 1000))
    }

    /// Looks whether containers are as the log says.
    async fn watch(&self) -> Result<(), StoreError> {
        let watched = self.store.watched().await?;
        let looks = watched.into_iter().map(async |watched| {
            if let Err(error) = self.look(&watched).await {
                tracing::warn!(workspace.id = %watched.id, %error, "what became of a container was not noted");
            }
        });
        stream::iter(looks)
            .buffer_unordered(AT_ONCE)
            .collect::<Vec<_>>()
            .await;
        Ok(())
    }

    async fn look(&self, watched: &Watched) -> Result<(), StoreError> {
        let Watched {
            id,
            node,
            state,
            container_id,
        } = watched;
        let unusable = self.fleet.unusable(node, id.as_str(), container_id);
        match (state, unusable) {
            // Interrupted, by a restart of the control plane or because its node was away.
            (State::Stopping, None | Some(Unusable::ContainerGone)) => {
                let record = self.store.workspace(id).await?;
                let cause = record.map(|record| record.workspace.stop_cause());
                drop(self.stops.start(id, cause.unwrap_or_default()));
            }
            (State::Ready | State::Recovery, Some(Unusable::ContainerGone)) => {
                self.ended(watched).await?;
            }
            (State::Stopped, None) if self.fleet.runs(node, id.as_str(), container_id) => {
                tracing::info!(workspace.id = %id, node, "the container of a stopped workspace runs again");
                self.journal.live(id, None, LifeChange::RunsAgain).await?;
            }
            _ => {}
        }
        Ok(())
    }

    /// A container does not run any more: asks how it ended.
    async fn ended(&self, watched: &Watched) -> Result<(), StoreError> {
        let ended = match self.ask(watched).await {
            Ok(Some(ended)) => ended,
            Ok(None) => return Ok(()),
            // An older agent. That it ended is known all the same.
            Err(status) if status.code() == Code::Unimplemented => ContainerEnded {
                container_id: watched.container_id.clone(),
                ..ContainerEnded::default()
            },
            Err(status) => {
                tracing::info!(
                    workspace.id = %watched.id,
                    node = watched.node,
                    "what became of a container is asked again: {}",
                    status.message()
                );
                return Ok(());
            }
        };
        tracing::warn!(
            workspace.id = %watched.id,
            node = watched.node,
            container.id = ended.container_id,
            container.exit_code = ended.exit_code,
            container.out_of_memory = ended.out_of_memory,
            container.removed = ended.removed,
            "the container of a workspace has ended"
        );
        let change = LifeChange::Ended(ended);
        self.journal.live(&watched.id, None, change).await?;
        Ok(())
    }

    async fn ask(&self, watched: &Watched) -> Result<Option<ContainerEnded>, Status> {
        let request = GetContainerRequest {
            workspace_id: watched.id.to_string(),
            container_id: watched.container_id.clone(),
        };
        let answer = within(ASK, async {
            let mut client = self.agents.client(&watched.node).await?;
            Ok(client.get_container(request).await?.into_inner())
        });
        let answer = answer.await?;
        Ok(answer
            .ended
            .filter(|_| !answer.running)
            .map(|ended| ContainerEnded {
                // It is asked about this one.
                container_id: watched.container_id.clone(),
                ..ended
            }))
    }
}
