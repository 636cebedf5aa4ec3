//! What the environment of a command is, as the devcontainer CLI makes it: what the user's shell sets (`userEnvProbe`), then
//! `remoteEnv`.

use std::{collections::HashMap, sync::Arc, time::Duration};

use futures_util::StreamExt as _;
use hearth_runtime::Tasks;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::{io::AsyncWriteExt as _, sync::OnceCell, time::timeout};
use uuid::Uuid;

use super::{account::Account, session::Session};
use crate::external::engine::{
    Command, EngineFailure, Execs, ImageMetadata, METADATA_LABEL, Output, RunningContainer,
};

/// How long the shell may take, as in the CLI.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes that it may print.
const MAX_OUTPUT: usize = 1024 * 1024;
/// Containers and users of which it is known.
const MAX_KNOWN: usize = 256;
/// Bytes of all variables together that `remoteEnv` sets.
const MAX_REMOTE: usize = 1024 * 1024;

/// Variables by name.
pub type Variables = Vec<(String, String)>;
type Known = HashMap<(String, String, String), Arc<OnceCell<Variables>>>;

/// What shells have set, which is asked once for each start of a container and user.
#[derive(Default)]
pub struct Environments(Mutex<Known>);

impl Environments {
    /// The environment of a user in a container, without the container's own.
    pub async fn of(
        &self,
        execs: &Arc<dyn Execs>,
        tasks: &Tasks,
        container: &RunningContainer,
        (user, account): (&str, &Account),
        folder: &str,
    ) -> Variables {
        let label = container.labels.get(METADATA_LABEL).map(String::as_str);
        let metadata = ImageMetadata::read(label);
        let kind = probe_kind(&metadata);
        let cell = self.cell((
            container.id.clone(),
            container.started.clone(),
            user.to_owned(),
        ));
        let probed = cell
            .get_or_init(|| async {
                let Some(flags) = kind else {
                    return Variables::default();
                };
                let asked = probe(execs, tasks, container, (user, account), flags);
                match timeout(PATIENCE, asked).await {
                    Ok(Ok(variables)) => variables,
                    Ok(Err(error)) => {
                        tracing::warn!(%error, container = container.id, "the environment of a user's shell is not known");
                        Variables::default()
                    }
                    Err(_) => {
                        tracing::warn!(
                            container = container.id,
                            "the shell of a user does not say its environment within {} s: its startup scripts may wait for input",
                            PATIENCE.as_secs()
                        );
                        Variables::default()
                    }
                }
            })
            .await;
        let mut variables = probed.clone();
        for (name, value) in remote_env(&metadata, &container.environment, folder) {
            set(&mut variables, name, value);
        }
        variables
    }

    fn cell(&self, of: (String, String, String)) -> Arc<OnceCell<Variables>> {
        let mut known = self.0.lock();
        if known.len() >= MAX_KNOWN && !known.contains_key(&of) {
            // Those that are asked now have their own hold on it.
            known.clear();
        }
        known.entry(of).or_default().clone()
    }
}

/// Sets a variable, in place of one of the same name.
pub fn set(variables: &mut Variables, name: String, value: String) {
    match variables.iter_mut().find(|(known, _)| *known == name) {
        Some((_, old)) => *old = value,
        None => variables.push((name, value)),
    }
}

/// The flags that a shell is called with, or `None` for no probe.
fn probe_kind(metadata: &ImageMetadata) -> Option<&'static str> {
    let named = metadata
        .entries
        .iter()
        .rev()
        .find_map(|entry| entry.get("userEnvProbe")?.as_str());
    match named {
        Some("none") => None,
        Some("loginShell") => Some("-lc"),
        Some("interactiveShell") => Some("-ic"),
        // The CLI's default; also for what it does not know.
        _ => Some("-lic"),
    }
}

async fn probe(
    execs: &Arc<dyn Execs>,
    tasks: &Tasks,
    container: &RunningContainer,
    (user, account): (&str, &Account),
    flags: &str,
) -> Result<Variables, EngineFailure> {
    let mark = Uuid::new_v4().to_string();
    for (print, separator) in [("cat /proc/self/environ", '\0'), ("printenv", '\n')] {
        let script = format!("echo -n {mark}; {print}; echo -n {mark}");
        let command = Command {
            arguments: vec![account.shell.clone(), flags.to_owned(), script],
            user: user.to_owned(),
            ..Command::default()
        };
        let mut exec = execs.exec(&container.id, &command).await?;
        let mut session = Session::new(execs.clone(), tasks.clone(), exec.id);
        // A shell that asks for input gets none.
        let _ = exec.input.shutdown().await;
        let mut printed = Vec::new();
        while let Some(piece) = exec.output.next().await {
            if let Output::Stdout(bytes) = piece? {
                printed.extend_from_slice(&bytes);
            }
            if printed.len() > MAX_OUTPUT {
                return Err(EngineFailure {
                    action: "ask a shell for its environment",
                    cause: format!("it prints more than {MAX_OUTPUT} bytes"),
                });
            }
        }
        session.exit_code().await?;
        let printed = String::from_utf8_lossy(&printed);
        let between = printed.split(&mark).nth(1).filter(|text| !text.is_empty());
        if let Some(between) = between {
            return Ok(read(between, separator, container, &account.name));
        }
    }
    Ok(Variables::default())
}

fn read(printed: &str, separator: char, container: &RunningContainer, user: &str) -> Variables {
    let mut variables = Variables::default();
    for pair in printed.split(separator) {
        // The shell's own folder is not that of the command.
        if let Some((name, value)) = pair
            .split_once('=')
            .filter(|(name, _)| *name != "PWD" && !name.is_empty())
        {
            set(&mut variables, name.to_owned(), value.to_owned());
        }
    }
    let of_container = container
        .environment
        .iter()
        .find_map(|pair| pair.strip_prefix("PATH="));
    if let Some(of_container) = of_container
        && let Some((_, path)) = variables.iter_mut().find(|(name, _)| name == "PATH")
    {
        *path = merged(path, of_container, user == "root" || user == "0");
    }
    variables
}

/// Folders of the container's PATH that the shell has dropped are put back where they were, as in the CLI: before those that
/// they came before. Those of administrators are root's.
fn merged(of_shell: &str, of_container: &str, is_root: bool) -> String {
    let mut folders: Vec<&str> = of_shell.split(':').collect();
    let mut next = 0;
    for folder in of_container.split(':') {
        match folders.iter().position(|known| *known == folder) {
            Some(place) => next = place + 1,
            None if is_root || !(folder.ends_with("/sbin") || folder.contains("/sbin/")) => {
                folders.insert(next, folder);
                next += 1;
            }
            None => {}
        }
    }
    folders.join(":")
}

/// `remoteEnv` of all entries; what a later one has counts.
fn remote_env(metadata: &ImageMetadata, environment: &[String], folder: &str) -> Variables {
    let mut variables = Variables::default();
    let mut bytes = 0;
    for entry in &metadata.entries {
        let Some(properties) = entry.get("remoteEnv").and_then(Value::as_object) else {
            continue;
        };
        for (name, value) in properties {
            variables.retain(|(known, _)| known != name);
            // `null` unsets what an earlier entry has set.
            let Some(text) = value.as_str() else { continue };
            let value = resolved(text, environment, folder);
            bytes += name.len() + value.len();
            let is_one = !name.is_empty() && !name.contains(['=', '\0']) && !value.contains('\0');
            if is_one && bytes <= MAX_REMOTE {
                variables.push((name.clone(), value));
            }
        }
    }
    variables
}

/// A text with its variables replaced. Those of the node have no value, as everywhere in hearth.
fn resolved(text: &str, environment: &[String], folder: &str) -> String {
    let mut result = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        result.push_str(before);
        let Some((variable, after)) = after.split_once('}') else {
            result.push_str("${");
            rest = after;
            continue;
        };
        let mut parts = variable.split(':');
        let (kind, name, default) = (parts.next(), parts.next(), parts.next());
        let default = default.unwrap_or_default();
        match kind.unwrap_or_default() {
            "containerEnv" => {
                let name = name.unwrap_or_default();
                let value = environment
                    .iter()
                    .find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
                result.push_str(value.unwrap_or(default));
            }
            "localEnv" | "env" => result.push_str(default),
            "containerWorkspaceFolder" => result.push_str(folder),
            "containerWorkspaceFolderBasename" => {
                let name = folder.trim_end_matches('/').rsplit('/').next();
                result.push_str(name.unwrap_or_default());
            }
            _ => {
                result.push_str("${");
                result.push_str(variable);
                result.push('}');
            }
        }
        rest = after;
        if result.len() > MAX_REMOTE {
            break;
        }
    }
    result.push_str(rest);
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the CLI's own function returns for these.
    #[test]
    fn folders_of_the_containers_path_come_back_and_those_of_administrators_are_roots() {
        for (of_shell, of_container, is_root, expected) in [
            ("/a:/b", "/a:/b", false, "/a:/b"),
            ("/bin", "/opt/x:/bin", false, "/opt/x:/bin"),
            ("/bin", "/bin:/opt/x", false, "/bin:/opt/x"),
            ("/bin", "/usr/sbin:/bin:/sbin/x", false, "/bin"),
            ("/bin", "/usr/sbin:/bin", true, "/usr/sbin:/bin"),
            ("/n:/bin", "/x:/y:/bin", false, "/x:/y:/n:/bin"),
        ] {
            assert_eq!(merged(of_shell, of_container, is_root), expected);
        }
    }

    #[test]
    fn remote_env_is_that_of_the_last_entry_and_sees_the_containers() {
        let label = r#"[{"remoteEnv": {"A": "1", "B": "x", "C": "c"}},
            {"remoteEnv": {"A": "${containerEnv:HOME}/a:${containerEnv:NONE:d}:${localEnv:USER:e}", "B": null,
             "D": "${containerWorkspaceFolderBasename} ${devcontainerId} ${open", "E=": "", "F": 7}}]"#;
        let metadata = ImageMetadata::read(Some(label));
        let environment = ["HOME=/home/dev".to_owned()];
        let variables = remote_env(&metadata, &environment, "/workspaces/app");
        let expected = [
            ("C", "c"),
            ("A", "/home/dev/a:d:e"),
            ("D", "app ${devcontainerId} ${open"),
        ];
        let mut found: Vec<_> = variables.iter().map(|(n, v)| (&**n, &**v)).collect();
        found.sort_unstable();
        let mut expected = expected.to_vec();
        expected.sort_unstable();
        assert_eq!(found, expected);
    }

    #[test]
    fn what_a_shell_prints_becomes_variables_without_its_folder() {
        let container = RunningContainer {
            environment: vec!["PATH=/opt/x:/bin".into()],
            ..RunningContainer::default()
        };
        let variables = read("PWD=/\0A=b=c\0\0PATH=/bin\0X", '\0', &container, "dev");
        assert_eq!(
            variables,
            [
                ("A".to_owned(), "b=c".to_owned()),
                ("PATH".to_owned(), "/opt/x:/bin".to_owned())
            ]
        );
    }

    #[test]
    fn the_probe_is_what_the_last_entry_names() {
        for (label, flags) in [
            ("[]", Some("-lic")),
            (r#"[{"userEnvProbe":"none"}]"#, None),
            (
                r#"[{"userEnvProbe":"none"},{"userEnvProbe":"loginShell"},{}]"#,
                Some("-lc"),
            ),
            (r#"[{"userEnvProbe":"interactiveShell"}]"#, Some("-ic")),
        ] {
            assert_eq!(
                probe_kind(&ImageMetadata::read(Some(label))),
                flags,
                "{label}"
            );
        }
    }
}
