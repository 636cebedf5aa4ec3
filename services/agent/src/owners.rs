//! For which control plane the workspaces of the node were prepared, and which of them are in quarantine: a control plane
//! with a new database, another one's, or an older copy of its own knows of fewer workspaces than there are, and that is no
//! reason to remove them.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use hearth_api::v1::QuarantinedWorkspace;
use hearth_domain::{AttemptRef, WorkspaceId};
use hearth_runtime::{Metrics, blocking, write_atomically};
use parking_lot::Mutex;
use prometheus_client::metrics::gauge::Gauge;
use serde::{Deserialize, Serialize};

/// What is only counted is written this often.
const WRITTEN_EVERY: Duration = Duration::from_secs(600);

/// The workspaces of the node and whose they are, in a file of the state folder. Clones share their state.
#[derive(Clone, Debug)]
pub struct Owners(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    file: PathBuf,
    period: Duration,
    state: Mutex<State>,
    /// Held while the file is written.
    writing: Mutex<()>,
    number: Gauge,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct State {
    workspaces: BTreeMap<String, Owned>,
    /// The control plane that the node is registered with.
    #[serde(skip)]
    current: String,
    /// What was given to be removed at the end of its quarantine.
    #[serde(skip)]
    given: BTreeSet<String>,
    /// The time that was counted since the file was written.
    #[serde(skip)]
    unwritten: Duration,
}

/// A workspace of the node.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Owned {
    /// Who had it prepared; empty: not known.
    control_plane: String,
    /// Its newest attempt.
    attempt: u32,
    /// Its control plane has said that this attempt made a workspace. If it takes the attempt for failed later, its database
    /// is an older copy.
    #[serde(default)]
    confirmed: bool,
    /// For how long it has been in quarantine; none: it is not.
    #[serde(default)]
    quarantine_millis: Option<u64>,
}

/// What a heartbeat's answer leads to.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// Another control plane answers than the one that the node is registered with.
    pub is_another: bool,
    /// Workspaces whose quarantine has ended.
    pub to_remove: Vec<WorkspaceId>,
}

impl Owners {
    /// Reads the file. Without a file that can be read, no owner is known. Workspaces that nobody knows are in quarantine for
    /// `period`. Waits for the disk.
    pub fn load(state_dir: &Path, period: Duration, metrics: &Metrics) -> Self {
        let file = state_dir.join("owners.json");
        let state = read(&file).unwrap_or_else(|error| {
            if error.kind() != io::ErrorKind::NotFound {
                tracing::warn!(path = %file.display(), %error, "it is not known any more for which control plane workspaces were prepared");
            }
            State::default()
        });
        let number = Gauge::default();
        metrics.register(|registry| {
            registry.register(
                "agent_quarantined_workspaces",
                "Workspaces on the node that its control plane does not know",
                number.clone(),
            );
        });
        let owners = Self(Arc::new(Inner {
            file,
            period,
            state: Mutex::new(state),
            writing: Mutex::new(()),
            number,
        }));
        owners.count(&owners.0.state.lock());
        owners
    }

    /// Notes that a control plane has an attempt run.
    pub async fn begins(&self, attempt: &AttemptRef, control_plane: &str) {
        {
            let mut state = self.0.state.lock();
            let control_plane = match control_plane {
                "" => state.current.clone(),
                id => id.to_owned(),
            };
            let owned = Owned {
                control_plane,
                attempt: attempt.number,
                ..Owned::default()
            };
            state
                .workspaces
                .insert(attempt.workspace.to_string(), owned);
            self.count(&state);
        }
        self.save().await;
    }

    /// Forgets a workspace that was removed.
    pub async fn removed(&self, workspace: &WorkspaceId) {
        {
            let mut state = self.0.state.lock();
            state.given.remove(workspace.as_str());
            if state.workspaces.remove(workspace.as_str()).is_none() {
                return;
            }
            self.count(&state);
        }
        self.save().await;
    }

    /// The newest attempt of a workspace; 0: none is known.
    pub fn newest(&self, workspace: &WorkspaceId) -> u32 {
        let state = self.0.state.lock();
        let owned = state.workspaces.get(workspace.as_str());
        owned.map_or(0, |owned| owned.attempt)
    }

    /// Whether what this attempt made stays although its control plane takes it for failed.
    pub fn outlasts(&self, attempt: &AttemptRef) -> bool {
        let state = self.0.state.lock();
        let owned = state.workspaces.get(attempt.workspace.as_str());
        owned.is_some_and(|owned| owned.confirmed || owned.attempt > attempt.number)
    }

    /// The newest attempts that the current control plane has not confirmed yet, but those that are `preparing`.
    pub fn unconfirmed(&self, preparing: &[AttemptRef]) -> Vec<AttemptRef> {
        let state = self.0.state.lock();
        let unconfirmed = state.workspaces.iter().filter_map(|(workspace, owned)| {
            let is_asked_for = !owned.confirmed
                && owned.attempt > 0
                && owned.control_plane == state.current
                && owned.quarantine_millis.is_none();
            let attempt = AttemptRef {
                workspace: workspace.parse().ok().filter(|_| is_asked_for)?,
                number: owned.attempt,
            };
            (!preparing.contains(&attempt)).then_some(attempt)
        });
        unconfirmed.collect()
    }

    /// Notes that the current control plane says of these attempts that they made a workspace.
    pub async fn confirmed(&self, attempts: &[AttemptRef]) {
        let mut is_new = false;
        {
            let mut state = self.0.state.lock();
            for attempt in attempts {
                let owned = state.workspaces.get_mut(attempt.workspace.as_str());
                if let Some(owned) = owned.filter(|owned| owned.attempt == attempt.number) {
                    is_new |= !owned.confirmed;
                    owned.confirmed = true;
                }
            }
        }
        if is_new {
            self.save().await;
        }
    }

    /// Notes that the node is registered with a control plane, which knows all of the workspaces that are `present` but those
    /// that are `unknown`. What is neither present nor `preparing` is gone.
    pub async fn registered(
        &self,
        control_plane: &str,
        present: &[WorkspaceId],
        preparing: &[AttemptRef],
        unknown: &BTreeSet<String>,
    ) {
        if control_plane.is_empty() {
            return;
        }
        {
            let mut state = self.0.state.lock();
            let workspaces = &mut state.workspaces;
            let here: BTreeSet<&str> = present.iter().map(WorkspaceId::as_str).collect();
            workspaces.retain(|workspace, _| {
                here.contains(workspace.as_str())
                    || preparing
                        .iter()
                        .any(|one| one.workspace.as_str() == workspace)
            });
            for workspace in here {
                let owned = workspaces.entry(workspace.to_owned()).or_default();
                if unknown.contains(workspace) {
                    owned.enters_quarantine(workspace, control_plane);
                    continue;
                }
                owned.quarantine_millis = None;
                if owned.control_plane.is_empty() {
                    control_plane.clone_into(&mut owned.control_plane);
                }
            }
            control_plane.clone_into(&mut state.current);
            self.count(&state);
        }
        self.save().await;
    }

    /// Notes that the control plane has answered, `since` its last answer. Only such time counts for a quarantine, and only
    /// with the control plane that had prepared the workspace and does not know it any more.
    pub async fn heard(&self, control_plane: &str, since: Duration) -> Heard {
        if control_plane.is_empty() {
            return Heard::default();
        }
        let (heard, is_due) = {
            let mut state = self.0.state.lock();
            if state.current.is_empty() {
                // The node is registered, and its engine did not list its workspaces.
                return Heard::default();
            }
            if state.current != control_plane {
                return Heard {
                    is_another: true,
                    ..Heard::default()
                };
            }
            let to_remove = state.wait(since, self.0.period);
            state.unwritten += since;
            let is_due = state.unwritten >= WRITTEN_EVERY;
            let heard = Heard {
                is_another: false,
                to_remove,
            };
            (heard, is_due)
        };
        if is_due {
            self.save().await;
        }
        heard
    }

    /// The workspaces in quarantine.
    pub fn quarantined(&self) -> Vec<QuarantinedWorkspace> {
        let state = self.0.state.lock();
        let quarantined = state.workspaces.iter().filter_map(|(workspace, owned)| {
            let waited = Duration::from_millis(owned.quarantine_millis?);
            let is_own = owned.control_plane == state.current;
            Some(QuarantinedWorkspace {
                workspace_id: workspace.clone(),
                control_plane_id: owned.control_plane.clone(),
                seconds_left: is_own.then(|| self.0.period.saturating_sub(waited).as_secs()),
            })
        });
        quarantined.collect()
    }

    fn count(&self, state: &State) {
        let quarantined = state.workspaces.values();
        let quarantined = quarantined.filter(|owned| owned.quarantine_millis.is_some());
        self.0
            .number
            .set(quarantined.count().try_into().unwrap_or(i64::MAX));
    }

    async fn save(&self) {
        let inner = self.0.clone();
        blocking(move || inner.save()).await;
    }
}

impl State {
    /// Returns the workspaces that have now been in quarantine for the `period`, each once.
    fn wait(&mut self, time: Duration, period: Duration) -> Vec<WorkspaceId> {
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let mut ended = Vec::new();
        for (workspace, owned) in &mut self.workspaces {
            let is_own = owned.control_plane == self.current;
            let waited = owned.quarantine_millis.as_mut().filter(|_| is_own);
            let Some(waited) = waited else { continue };
            *waited = waited.saturating_add(millis(time));
            if *waited >= millis(period)
                && let Ok(id) = workspace.parse()
                && self.given.insert(workspace.clone())
            {
                ended.push(id);
            }
        }
        ended
    }
}

impl Owned {
    fn enters_quarantine(&mut self, workspace: &str, control_plane: &str) {
        if self.quarantine_millis.is_none() {
            tracing::warn!(
                workspace.id = workspace,
                workspace.control_plane = self.control_plane,
                control_plane,
                "the control plane does not know this workspace; it stays as it is, in quarantine"
            );
            self.quarantine_millis = Some(0);
        }
    }
}

impl Inner {
    /// The disk may be full: what is not written is not known after the next start, and then nothing is removed that the
    /// control plane does not know.
    fn save(&self) {
        // The last one to write takes what is known by then, so that nothing newer is overwritten.
        let _writing = self.writing.lock();
        let state = {
            let mut state = self.state.lock();
            state.unwritten = Duration::ZERO;
            serde_json::to_vec(&*state)
        };
        let written = state
            .map_err(io::Error::from)
            .and_then(|state| write_atomically(&self.file, &state, 0o600));
        if let Err(error) = written {
            tracing::warn!(path = %self.file.display(), %error, "the owners of workspaces are not kept");
        }
    }
}

fn read(file: &Path) -> io::Result<State> {
    Ok(serde_json::from_slice(&std::fs::read(file)?)?)
}

#[cfg(test)]
#[path = "owners_tests.rs"]
mod tests;
