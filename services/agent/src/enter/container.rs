use std::{collections::HashSet, path::Path, sync::Arc};

use futures_util::StreamExt as _;
use hearth_domain::WorkspaceId;
use hearth_runtime::Tasks;
use parking_lot::Mutex;
use russh::keys::PrivateKey;
use tokio::io::AsyncWriteExt as _;

use super::{
    account::Account,
    environment::{Environments, set},
    error::EnterError,
    host_key,
    session::Session,
    sessions::{Open, Sessions},
    target::{Target, Wanted},
};
use crate::{
    credential_helper::HELPER,
    credentials::{HELPER_PATH, MOUNT_POINT},
    external::engine::{
        Command, Engine, Exec, Execs, ImageMetadata, METADATA_LABEL, RunningContainer,
        WORKSPACE_LABEL, volume_name,
    },
    pipeline::post_attach::post_attach,
};

const PASSWD: &str = "/etc/passwd";
const COMPOSE_LABEL: &str = "com.docker.compose.project";
/// The network of the node, as the engine names it.
const NODES_NETWORK: &str = "host";
/// What the network of another container begins with.
const ANOTHERS_NETWORK: &str = "container:";
/// Containers of which it is known that they have the helper.
const MAX_KNOWN: usize = 1024;

/// The way into the workspaces of the node.
pub struct Entering {
    pub(super) execs: Arc<dyn Execs>,
    pub(super) tasks: Tasks,
    pub(super) host_key: PrivateKey,
    engine: Arc<dyn Engine>,
    sessions: Sessions,
    environments: Environments,
    /// Containers that the helper was written into.
    helped: Mutex<HashSet<String>>,
}

/// Somebody is in a workspace, until this is dropped.
pub struct Inside {
    pub(super) entering: Arc<Entering>,
    pub(super) target: Target,
    pub(super) container: RunningContainer,
    passwd: String,
    _open: Open,
}

impl Entering {
    /// At most `max` sessions at once. The key of the SSH server is in the state folder, and made when there is none.
    ///
    /// # Errors
    ///
    /// When the key can be neither read nor made.
    pub fn new(
        engine: Arc<dyn Engine>,
        execs: Arc<dyn Execs>,
        tasks: Tasks,
        max: usize,
        state_dir: &Path,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            host_key: host_key::load(state_dir)?,
            execs,
            tasks,
            engine,
            sessions: Sessions::new(max),
            environments: Environments::default(),
            helped: Mutex::default(),
        })
    }

    /// Enters the container of a workspace.
    pub async fn enter(self: &Arc<Self>, target: Target) -> Result<Inside, EnterError> {
        if self.tasks.stopping().is_cancelled() {
            return Err(EnterError::Stopping);
        }
        let open = self.sessions.open(&target.workspace)?;
        let container = self.execs.container(&target.container).await?;
        let container = container.filter(|container| belongs(container, &target.workspace));
        let container = container.ok_or(EnterError::NoContainer)?;
        if !container.is_running {
            return Err(EnterError::NotRunning);
        }
        let passwd = self.engine.file_of_container(&container.id, PASSWD).await?;
        Ok(Inside {
            entering: self.clone(),
            target,
            container,
            passwd: String::from_utf8_lossy(&passwd.unwrap_or_default()).into_owned(),
            _open: open,
        })
    }
}

/// Whether a container is one of the workspace's, of its Compose project included.
fn belongs(container: &RunningContainer, workspace: &WorkspaceId) -> bool {
    let label = |name: &str| container.labels.get(name).map(String::as_str);
    label(WORKSPACE_LABEL) == Some(workspace.as_str())
        || label(COMPOSE_LABEL) == Some(&volume_name(workspace))
}

impl Inside {
    /// The account of a user, if the container has it.
    pub(super) fn account(&self, user: &str) -> Option<Account> {
        Account::find(user, &self.passwd)
    }

    /// Starts a command.
    pub async fn start(&self, wanted: Wanted) -> Result<(Session, Exec), EnterError> {
        let user = wanted.user.unwrap_or_else(|| self.target.user.clone());
        if wanted.sftp {
            return self.help(&user, &["sftp-server"]).await;
        }
        let account = Account::of(&user, &self.passwd);
        let Entering {
            execs,
            tasks,
            environments,
            ..
        } = &*self.entering;
        let folder = &self.target.folder;
        let of = environments.of(execs, tasks, &self.container, (&user, &account), folder);
        let mut variables = of.await;
        for (name, value) in wanted.environment {
            set(&mut variables, name, value);
        }
        let arguments = match wanted.arguments.is_empty() {
            true => vec![account.shell, "-l".to_owned()],
            false => wanted.arguments,
        };
        let variables = variables.into_iter();
        self.run(Command {
            arguments,
            user,
            folder: Some(wanted.folder.unwrap_or_else(|| folder.clone())),
            environment: variables
                .map(|(name, value)| format!("{name}={value}"))
                .collect(),
            terminal: wanted.terminal,
        })
        .await
    }

    /// Starts hearth's own program in the container.
    pub(super) async fn help(
        &self,
        user: &str,
        arguments: &[&str],
    ) -> Result<(Session, Exec), EnterError> {
        self.place_helper().await?;
        let program = std::iter::once(HELPER_PATH);
        let arguments = program.chain(arguments.iter().copied());
        self.run(Command {
            arguments: arguments.map(str::to_owned).collect(),
            user: user.to_owned(),
            folder: Some(self.target.folder.clone()),
            ..Command::default()
        })
        .await
    }

    /// Somebody attaches: runs what the devcontainer wants to be run then, which may never end. Returns what to tell of it.
    pub(super) async fn attach(&self) -> Option<String> {
        let label = self.container.labels.get(METADATA_LABEL);
        let metadata = ImageMetadata::read(label.map(String::as_str));
        let ran = post_attach(&metadata.entries, |words| self.hook(words)).await;
        ran.err().map(|failed| format!("hearth: {failed}\r\n"))
    }

    async fn hook(&self, arguments: Vec<String>) -> Result<i64, String> {
        let wanted = Wanted {
            arguments,
            ..Wanted::default()
        };
        let started = self.start(wanted).await;
        let (mut session, mut exec) = started.map_err(|error| error.to_string())?;
        // It has no input, and nobody to read what it prints.
        let _ = exec.input.shutdown().await;
        while let Some(Ok(_)) = exec.output.next().await {}
        let code = session.exit_code().await;
        code.map(i64::from).map_err(|error| error.to_string())
    }

    /// Fails where the container's ports are its node's.
    pub(super) async fn check_network(&self) -> Result<(), EnterError> {
        let network = &self.container.network;
        if network == NODES_NETWORK {
            return Err(EnterError::NodesNetwork);
        }
        let Some(other) = network.strip_prefix(ANOTHERS_NETWORK) else {
            return Ok(());
        };
        let other = self.entering.execs.container(other).await?;
        let is_own = |other: &RunningContainer| {
            belongs(other, &self.target.workspace)
                && other.network != NODES_NETWORK
                && !other.network.starts_with(ANOTHERS_NETWORK)
        };
        match other {
            Some(other) if is_own(&other) => Ok(()),
            _ => Err(EnterError::NodesNetwork),
        }
    }

    async fn run(&self, command: Command) -> Result<(Session, Exec), EnterError> {
        let Entering { execs, tasks, .. } = &*self.entering;
        let exec = execs.exec(&self.container.id, &command).await?;
        let session = Session::new(execs.clone(), tasks.clone(), exec.id.clone());
        Ok((session, exec))
    }

    /// Where git needs no login nothing is mounted: then the program is written into the container.
    async fn place_helper(&self) -> Result<(), EnterError> {
        let id = &self.container.id;
        let is_mounted = self
            .container
            .mounts
            .iter()
            .any(|place| place == MOUNT_POINT);
        if is_mounted || self.entering.helped.lock().contains(id) {
            return Ok(());
        }
        self.entering.execs.place(id, HELPER_PATH, HELPER).await?;
        let mut helped = self.entering.helped.lock();
        if helped.len() >= MAX_KNOWN {
            helped.clear();
        }
        helped.insert(id.clone());
        Ok(())
    }
}
