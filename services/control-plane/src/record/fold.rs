//! What a workspace is, as the fold of its log. Pure: no clock, no I/O.
//!
//! ```text
//!               ┌──────────────── a new attempt, from any state but DELETING ───────────────┐
//!               ▼                                                                           │
//!   new ──▶ PENDING ──▶ PREPARING ──┬──▶ READY ──┬─────────────────▶ settled ───────────────┤
//!               │            │      │            ▼  a hook after READY failed               │
//!               │            │      └──▶ RECOVERY ────────────────▶ settled ───────────────┤
//!               ├────────────┴─────────▶ FAILED ───────────────────▶ settled ───────────────┤
//!               └── of a start: STOPPED in place of FAILED ───────▶ settled ───────────────┘
//!
//!   READY, RECOVERY ──▶ STOPPING ──▶ STOPPED    asked for, or the end of its time
//!   READY, RECOVERY ──▶ STOPPED                 its container has ended by itself
//!   STOPPED ──▶ READY, RECOVERY                 as it was, when its container runs again by itself
//!
//!   any state ──▶ DELETING ──▶ forgotten
//! ```
//!
//! The push begins when the image is built and may be reported at any time before the end, in every state. An attempt is one at
//! preparing, or one at starting: that begins in STOPPED, keeps what is known of the workspace, and fails as STOPPED.
//!
//! LOST is what readers are told of a READY or RECOVERY that cannot be used now, and never part of a log. The node changes
//! where an attempt that never began is placed on another. DELETING and STOPPING are entered by the store and not by an event: a
//! deletion first ends the attempt. After `Settled` an attempt has no events but those of the workspace's further life
//! ([`super::life`]), which only the control plane makes.

use hearth_api::v1::{
    Event, Hook, HookStatus, PipelineStep, StateChanged, StepTiming, StopCause, Workspace,
    WorkspaceSpec, WorkspaceState as State, event::Kind,
};
use hearth_domain::{AttemptRef, Spec, WorkspaceId};
use hearth_runtime::{FieldFaults, contract};

use super::progress::{OpenStep, Progress};
use crate::clock::millis;

/// Steps are few; a log that repeats them without end must not make the snapshot grow without end.
const MAX_TIMINGS: usize = 64;
/// Hooks in a snapshot, and commands of hooks.
const MAX_HOOKS: usize = 64;

/// A workspace: the snapshot that clients see, and the state of its newest attempt.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// Its id.
    pub id: WorkspaceId,
    /// The spec of its request.
    pub spec: Spec,
    /// The snapshot, with the id and the request's own spec.
    pub workspace: Workspace,
    /// The state of the newest attempt.
    pub progress: Progress,
}

/// Why an event is not folded in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Ignored {
    /// The sequences of a log only grow.
    #[error("sequence {0} is not after the newest one")]
    Sequence(u64),
    /// The attempt has been replaced.
    #[error("attempt {0} is not the newest one")]
    Attempt(u32),
    /// Nothing follows `Settled`.
    #[error("the attempt is settled")]
    Settled,
    /// The diagram above does not have this transition.
    #[error("{from:?} does not lead to {to:?}")]
    Transition {
        /// The state now.
        from: State,
        /// The state that the event claims.
        to: State,
    },
    /// An attempt settles after READY, RECOVERY or FAILED.
    #[error("{0:?} cannot settle")]
    Unsettled(State),
}

/// The transitions within an attempt, which is one at starting or one at preparing, and those of the further life.
fn leads_to(from: State, to: State, start: bool) -> bool {
    let failed = match start {
        true => State::Stopped,
        false => State::Failed,
    };
    match from {
        State::Pending => to == State::Preparing || to == failed,
        State::Preparing => matches!(to, State::Ready | State::Recovery) || to == failed,
        State::Ready => matches!(to, State::Recovery | State::Stopped),
        State::Recovery | State::Stopping => to == State::Stopped,
        // It is stopped once more when it was being started.
        State::Stopped => matches!(to, State::Ready | State::Recovery | State::Stopped),
        State::Failed | State::Deleting | State::Unspecified | State::Lost => false,
    }
}

/// Whether an event is one of the life after an attempt has settled.
fn is_of_life(kind: Option<&Kind>) -> bool {
    match kind {
        Some(Kind::StateChanged(change)) => {
            matches!(
                change.state(),
                State::Ready | State::Recovery | State::Stopped
            )
        }
        kind => matches!(kind, Some(Kind::ContainerEnded(_) | Kind::Expiring(_))),
    }
}

impl Record {
    /// The record of a new workspace; `spec` is `workspace.spec`, parsed.
    pub fn new(id: WorkspaceId, spec: Spec, mut workspace: Workspace) -> Self {
        workspace.id = id.to_string();
        workspace.attempt = workspace.attempt.max(1);
        workspace.set_state(State::Pending);
        Self {
            id,
            spec,
            workspace,
            progress: Progress::default(),
        }
    }

    /// Parses what was stored. The error names the malformed values of the snapshot.
    pub fn read(workspace: Workspace, progress: Progress) -> Result<Self, String> {
        let mut faults = FieldFaults::default();
        let id = faults.check("id", workspace.id.parse());
        let message = workspace.spec.clone().unwrap_or_default();
        let spec = contract::spec(&message, &mut faults);
        let (id, spec) = faults.complete(id.zip(spec)).map_err(|status| {
            let WorkspaceSpec {
                repository,
                r#ref,
                config,
                ..
            } = &message;
            format!(
                "{} (id `{}`, repository `{repository}`, ref `{ref}`, configuration `{config}`)",
                status.message(),
                workspace.id
            )
        })?;
        Ok(Self {
            id,
            spec,
            workspace,
            progress,
        })
    }

    /// The newest attempt.
    pub fn attempt(&self) -> AttemptRef {
        AttemptRef {
            workspace: self.id.clone(),
            number: self.workspace.attempt,
        }
    }

    /// Whether an event of the log comes after the one that made its attempt READY, RECOVERY or FAILED.
    pub fn was_ready_before(&self, event: &Event) -> bool {
        let ready = self.progress.ready_sequence;
        event.attempt == self.workspace.attempt && (1..event.sequence).contains(&ready)
    }

    /// Folds one event in. An event that is ignored leaves the record as it was.
    pub fn apply(&mut self, event: &Event) -> Result<(), Ignored> {
        if event.sequence <= self.workspace.last_sequence {
            return Err(Ignored::Sequence(event.sequence));
        }
        if event.attempt < self.workspace.attempt {
            return Err(Ignored::Attempt(event.attempt));
        }
        if event.attempt > self.workspace.attempt {
            // An attempt begins with PENDING.
            let start = match &event.kind {
                Some(Kind::StateChanged(change)) if change.state() == State::Pending => {
                    change.start
                }
                _ => return Err(Ignored::Attempt(event.attempt)),
            };
            if self.workspace.state() == State::Deleting {
                return Err(Ignored::Attempt(event.attempt));
            }
            match start {
                true => self.restart(event.attempt),
                false => self.reset(event.attempt),
            }
        } else {
            if self.workspace.settled && !is_of_life(event.kind.as_ref()) {
                return Err(Ignored::Settled);
            }
            self.fold(event)?;
        }
        self.workspace.last_sequence = event.sequence;
        Ok(())
    }

    /// Clears what belongs to the previous attempt.
    fn reset(&mut self, attempt: u32) {
        let old = std::mem::take(&mut self.workspace);
        self.workspace = Workspace {
            id: old.id,
            spec: old.spec,
            node: old.node,
            attempt,
            create_time: old.create_time,
            update_time: old.update_time,
            last_sequence: old.last_sequence,
            labels: old.labels,
            owner: old.owner,
            lifetime: old.lifetime,
            ..Workspace::default()
        };
        self.workspace.set_state(State::Pending);
        self.progress = Progress::default();
    }

    /// Begins an attempt at starting the workspace, which stays what it is.
    fn restart(&mut self, attempt: u32) {
        let (before, progress) = (self.workspace.clone(), self.progress.clone());
        self.reset(attempt);
        let workspace = &mut self.workspace;
        workspace.commit = before.commit;
        workspace.container_id = before.container_id;
        workspace.remote_user = before.remote_user;
        workspace.remote_folder = before.remote_folder;
        workspace.cache = before.cache;
        workspace.push = before.push;
        self.progress.start = true;
        self.progress.usable = progress.usable;
        self.progress.recovery = progress.recovery;
    }

    fn fold(&mut self, event: &Event) -> Result<(), Ignored> {
        let workspace = &mut self.workspace;
        match &event.kind {
            Some(Kind::StateChanged(change)) => {
                let (from, to) = (workspace.state(), change.state());
                if !leads_to(from, to, self.progress.start) {
                    return Err(Ignored::Transition { from, to });
                }
                self.enter(change);
                let workspace = &mut self.workspace;
                if to != State::Preparing && self.progress.ready_sequence == 0 {
                    self.progress.ready_sequence = event.sequence;
                    if matches!(to, State::Ready | State::Recovery) {
                        workspace.ready_seconds = change.seconds;
                    }
                }
                if to != State::Preparing && !change.hooks_follow {
                    self.progress.end_hooks(event.sequence);
                }
            }
            Some(Kind::StepStarted(started)) => {
                let open = &mut self.progress.open_steps;
                open.retain(|other| other.step != started.step);
                if open.len() < MAX_TIMINGS {
                    open.push(OpenStep {
                        step: started.step,
                        since_ms: event.time.as_ref().map(millis).unwrap_or_default(),
                    });
                }
            }
            Some(Kind::StepFinished(finished)) => {
                // If one failed, RECOVERY follows.
                if finished.step() == PipelineStep::Hooks && finished.succeeded {
                    self.progress.end_hooks(event.sequence);
                }
                self.progress
                    .open_steps
                    .retain(|open| open.step != finished.step);
                if workspace.timings.len() < MAX_TIMINGS {
                    workspace.timings.push(StepTiming {
                        step: finished.step,
                        seconds: finished.seconds,
                    });
                }
            }
            Some(Kind::Cloned(cloned)) => workspace.commit.clone_from(&cloned.commit),
            Some(Kind::Container(container)) => {
                workspace.container_id.clone_from(&container.container_id);
                workspace.remote_user.clone_from(&container.remote_user);
                workspace.remote_folder.clone_from(&container.remote_folder);
            }
            Some(Kind::Cache(report)) => workspace.cache = Some(report.clone()),
            Some(Kind::Push(report)) => workspace.push = Some(report.clone()),
            Some(Kind::Hook(hook)) => note_hook(&mut workspace.hooks, hook),
            Some(Kind::Settled(_)) => {
                let state = workspace.state();
                if matches!(state, State::Pending | State::Preparing) {
                    return Err(Ignored::Unsettled(state));
                }
                workspace.settled = true;
                self.progress.settled_sequence = event.sequence;
                self.progress.end_hooks(event.sequence);
            }
            Some(Kind::ContainerEnded(ended)) => {
                self.progress
                    .ended_container
                    .clone_from(&ended.container_id);
            }
            // Output and progress are not part of the snapshot, and neither are kinds of a newer contract.
            Some(
                Kind::Log(_)
                | Kind::BuildStep(_)
                | Kind::Transfer(_)
                | Kind::Waiting(_)
                | Kind::Activity(_)
                | Kind::Expiring(_)
                | Kind::Warning(_),
            )
            | None => {}
        }
        Ok(())
    }

    fn enter(&mut self, change: &StateChanged) {
        let Self {
            workspace,
            progress,
            ..
        } = self;
        let to = change.state();
        workspace.set_state(to);
        workspace.failure = match to {
            State::Failed | State::Recovery | State::Stopped => change.failure.clone(),
            _ => None,
        };
        workspace.set_stop_cause(match to {
            State::Stopped => change.stop_cause(),
            _ => StopCause::Unspecified,
        });
        if matches!(to, State::Ready | State::Recovery) {
            progress.usable = to.into();
            progress.recovery.clone_from(&workspace.failure);
            progress.ended_container.clear();
        }
    }
}

/// Takes the newest state of a hook over. Several features can have the same hook, and all begin before they end.
fn note_hook(hooks: &mut Vec<Hook>, told: &Hook) {
    let is_same = |hook: &Hook| {
        hook.status() == HookStatus::Started
            && (&hook.name, &hook.origin, &hook.command)
                == (&told.name, &told.origin, &told.command)
    };
    match hooks.iter().position(is_same) {
        Some(at) => hooks[at].clone_from(told),
        None if hooks.len() < MAX_HOOKS => hooks.push(told.clone()),
        None => {}
    }
}

#[cfg(test)]
#[path = "fold_tests.rs"]
pub(crate) mod tests;
