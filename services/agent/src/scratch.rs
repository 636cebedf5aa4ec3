//! The private folder of an attempt.

use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use hearth_domain::{AttemptRef, WorkspaceId};
use serde_json::{Map, Value, json};

use crate::{
    clone_files::{FileWork, remove_folder},
    credential_helper::{DOCKER_HELPER, DOCKER_HELPER_NAME, write_helper},
};

/// Home folder of the attempt's commands.
pub const HOME: &str = "home";
/// Folder of their temporary files.
pub const TMP: &str = "tmp";
/// Folder of their Docker configuration.
pub const DOCKER_CONFIG: &str = "docker";
/// Folder of programs that is first in their `PATH`.
pub const HELPERS: &str = "bin";
/// Socket that the credential helper connects to.
pub const SOCKET: &str = "credentials.sock";
/// Socket of the attempt's door to the engine.
pub const ENGINE_SOCKET: &str = "docker.sock";
/// File with the policy of what builds may take, for BuildKit.
pub const SOURCE_POLICY: &str = "source-policy.json";
const READY: &str = "ready";
const KEEPS_CLONE: &str = "keeps-clone";
/// Begins the names of folders that stand for no workspace any more. No name of a workspace has a dot.
const ENDED: &str = "ended.";
/// Begins the names of folders of attempts at starting a workspace.
const STARTS: &str = "start.";

/// Private folder of an attempt (0700): the home, temporary files, Docker configuration and credential helper of its
/// commands. No secret is written into it, and it is removed after the attempt ([`Leftover`]).
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
    files: FileWork,
}

impl Scratch {
    /// Makes the folder of an attempt, in place of one that an earlier process of the agent left. Docker asks the credential
    /// helper for logins to `registry`.
    pub fn create(folder: &Leftover, registry: Option<&str>) -> io::Result<Self> {
        remove_folder(&folder.path)?;
        let scratch = Self {
            path: folder.path.clone(),
            files: FileWork::default(),
        };
        for part in [HOME, TMP, DOCKER_CONFIG, HELPERS] {
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(scratch.path.join(part))?;
        }
        write_helper(&scratch.path.join(HELPERS).join(DOCKER_HELPER_NAME))?;
        scratch.write_docker_config(registry)?;
        Ok(scratch)
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What works on the files in it.
    pub(crate) fn files(&self) -> &FileWork {
        &self.files
    }

    /// Marks the attempt's workspace as ready: [`leftovers`] reports it, and such a workspace is kept.
    pub fn mark_ready(&self) -> io::Result<()> {
        fs::write(self.path.join(READY), "")
    }

    /// Marks that the attempt works with the clone of an earlier one: what is left of it does not take the clone with it.
    pub fn keep_clone(&self) -> io::Result<()> {
        fs::write(self.path.join(KEEPS_CLONE), "")
    }

    /// The opposite: the clone is the attempt's own.
    pub fn own_clone(&self) {
        // It is there if it was made.
        let _ = fs::remove_file(self.path.join(KEEPS_CLONE));
    }

    /// Docker finds its plugins (buildx, compose) where the agent's own configuration says, and logins by the credential
    /// helper.
    fn write_docker_config(&self, registry: Option<&str>) -> io::Result<()> {
        let mut config = Map::new();
        let agents = std::env::var_os("DOCKER_CONFIG").map(PathBuf::from);
        let plugins = agents.map(|dir| dir.join("cli-plugins"));
        if let Some(plugins) = plugins.filter(|dir| dir.is_dir()) {
            config.insert("cliPluginsExtraDirs".to_owned(), json!([plugins]));
        }
        if let Some(registry) = registry {
            config.insert("credHelpers".to_owned(), json!({ registry: DOCKER_HELPER }));
        }
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(self.path.join(DOCKER_CONFIG).join("config.json"))?;
        io::Write::write_all(&mut file, Value::Object(config).to_string().as_bytes())
    }
}

/// What is left of an attempt that has ended.
#[derive(Debug)]
pub struct Leftover {
    /// Its folder.
    pub path: PathBuf,
    /// The workspace that the engine has to remove first, or to stop. The folder stands for it when the agent is started again.
    pub workspace: Option<WorkspaceId>,
    /// Whether the workspace's clone stays.
    pub keeps_clone: bool,
    /// Whether the workspace is to be stopped, and not removed: the attempt had found it there.
    pub is_start: bool,
}

impl Leftover {
    /// Everything of an attempt at preparing a workspace.
    pub fn of(attempts: &Path, attempt: &AttemptRef) -> Self {
        Self {
            path: attempts.join(format!("{}-{}", attempt.workspace, attempt.number)),
            workspace: Some(attempt.workspace.clone()),
            keeps_clone: false,
            is_start: false,
        }
    }

    /// Everything of an attempt at starting a workspace.
    pub fn of_start(attempts: &Path, attempt: &AttemptRef) -> Self {
        let Self { workspace, .. } = Self::of(attempts, attempt);
        let name = format!("{STARTS}{}-{}", attempt.workspace, attempt.number);
        Self {
            path: attempts.join(name),
            workspace,
            keeps_clone: false,
            is_start: true,
        }
    }

    /// The folder alone: its workspace stays as it is.
    pub fn without_workspace(self) -> Self {
        Self {
            workspace: None,
            ..self
        }
    }

    /// What the engine has to do; completes "could not …".
    pub fn action(&self) -> &'static str {
        match self.is_start {
            true => "stop the workspace's containers",
            false => "remove the workspace",
        }
    }

    /// Everything of a workspace of which no attempt is known here.
    pub fn of_workspace(attempts: &Path, workspace: WorkspaceId) -> Self {
        Self {
            path: attempts.join(format!("{ENDED}{workspace}")),
            workspace: Some(workspace),
            keeps_clone: false,
            is_start: false,
        }
    }

    /// Removes the folder.
    pub fn remove_folder(&mut self) -> io::Result<()> {
        self.disown();
        remove_folder(&self.path)
    }

    /// Lets the folder stand for no workspace. Otherwise the next process would take what is left of it for an interrupted
    /// attempt, and remove a workspace that is used.
    pub fn disown(&mut self) {
        self.workspace = None;
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with(ENDED) {
            return;
        }
        let ended = self.path.with_file_name(format!("{ENDED}{name}"));
        match fs::rename(&self.path, &ended) {
            Ok(()) => self.path = ended,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                tracing::warn!(path = %self.path.display(), %error, "the folder of an attempt keeps its name");
            }
        }
    }
}

/// The folders in `attempts`, which are those of interrupted attempts when the agent starts.
pub fn leftovers(attempts: &Path) -> io::Result<Vec<Leftover>> {
    let entries = match fs::read_dir(attempts) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    entries
        .map(|entry| {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let start = name.strip_prefix(STARTS);
            let attempt = start.unwrap_or(&name).rsplit_once('-');
            let attempt = attempt.filter(|_| !path.join(READY).exists());
            let workspace = attempt.and_then(|(workspace, number)| {
                number.parse::<u32>().ok()?;
                workspace.parse().ok()
            });
            let keeps_clone = path.join(KEEPS_CLONE).exists();
            let is_start = start.is_some();
            Ok(Leftover {
                path,
                workspace,
                keeps_clone,
                is_start,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn an_attempts_folder_is_private() {
        let dir = tempfile::tempdir().unwrap();
        let attempt = AttemptRef {
            workspace: "ws-1".parse().unwrap(),
            number: 2,
        };
        let folder = Leftover::of(dir.path(), &attempt);
        let scratch = Scratch::create(&folder, Some("localhost:5000")).unwrap();
        let path = scratch.path().to_path_buf();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&path), 0o700);
        assert_eq!(mode(&path.join("bin/docker-credential-hearth")), 0o755);
        let docker = fs::read(path.join("docker/config.json")).unwrap();
        let docker: Value = serde_json::from_slice(&docker).unwrap();
        assert_eq!(docker["credHelpers"], json!({ "localhost:5000": "hearth" }));
        assert_eq!(docker["auths"], Value::Null, "no login is in a file");
    }

    #[test]
    fn what_an_interrupted_start_leaves_stands_for_a_workspace_that_is_stopped_and_never_removed() {
        let dir = tempfile::tempdir().unwrap();
        let attempt = |number| AttemptRef {
            workspace: "ws-1".parse().unwrap(),
            number,
        };
        let left = |number, is_start| {
            let found = leftovers(dir.path()).unwrap();
            let name = format!("ws-1-{number}");
            let is_it = |one: &&Leftover| one.path.to_string_lossy().ends_with(&name);
            let one = found.iter().find(is_it).unwrap();
            assert_eq!(one.is_start, is_start);
            one.workspace.is_some()
        };
        // Also if it was interrupted before it had anything in it.
        let start = Leftover::of_start(dir.path(), &attempt(2));
        fs::create_dir(&start.path).unwrap();
        assert!(left(2, true));
        let scratch = Scratch::create(&start, None).unwrap();
        scratch.mark_ready().unwrap();
        assert!(!left(2, true));
        fs::create_dir(Leftover::of(dir.path(), &attempt(3)).path).unwrap();
        assert!(left(3, false));
    }
}
