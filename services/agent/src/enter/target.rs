//! What is asked for, read from messages. The control plane has checked it too, but a node does not rely on that.

use hearth_api::v1;
use hearth_domain::WorkspaceId;
use hearth_runtime::FieldFaults;

use crate::external::engine::TerminalSize;

/// Bytes of the longest id, user or path.
const MAX_TEXT: usize = 4096;
/// Bytes of all arguments, and again of all variables.
const MAX_ARGUMENTS: usize = 1024 * 1024;

/// What is entered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The workspace.
    pub workspace: WorkspaceId,
    /// Its container.
    pub container: String,
    /// The remote user.
    pub user: String,
    /// Folder of the clone in the container.
    pub folder: String,
}

/// A command that a client asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Program and arguments; the user's shell if there are none.
    pub arguments: Vec<String>,
    /// The user; the remote user if none is named.
    pub user: Option<String>,
    /// The folder; the workspace's if none is named.
    pub folder: Option<String>,
    /// Variables in addition to those of the devcontainer.
    pub environment: Vec<(String, String)>,
    /// Its terminal.
    pub terminal: Option<TerminalSize>,
    /// Files are served in place of a command.
    pub sftp: bool,
}

impl Wanted {
    /// Whether it is a shell: somebody attaches to the workspace.
    pub(super) fn attaches(&self) -> bool {
        self.arguments.is_empty() && !self.sftp
    }
}

impl Target {
    /// Reads it. `None` when a fault was added.
    pub fn read(message: Option<v1::EnterTarget>, faults: &mut FieldFaults) -> Option<Self> {
        let message = message.unwrap_or_default();
        let workspace = faults.check("target.workspace_id", message.workspace_id.parse());
        let container = &message.container_id;
        let is_id = (1..=MAX_TEXT).contains(&container.len())
            && container
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
        if !is_id {
            faults.add("target.container_id", "is no id of a container");
            return None;
        }
        let user = user("target.remote_user", &message.remote_user, faults)?;
        let folder = folder("target.remote_folder", &message.remote_folder, faults)?;
        Some(Self {
            workspace: workspace?,
            container: message.container_id,
            user: user.unwrap_or_else(|| "root".to_owned()),
            folder: folder.unwrap_or_else(|| "/".to_owned()),
        })
    }
}

/// Reads a command. `None` when a fault was added.
pub fn command(message: v1::ExecCommand, faults: &mut FieldFaults) -> Option<Wanted> {
    let v1::ExecCommand {
        command,
        terminal,
        environment,
        folder: in_folder,
        user: as_user,
        sftp,
    } = message;
    if sftp && (!command.is_empty() || terminal.is_some()) {
        faults.add("command.sftp", "goes with neither a command nor a terminal");
        return None;
    }
    let bytes: usize = command.iter().map(String::len).sum();
    if bytes > MAX_ARGUMENTS || command.iter().any(|argument| argument.contains('\0')) {
        faults.add(
            "command.command",
            "is longer than 1 MiB, or has a zero in it",
        );
        return None;
    }
    if command.first().is_some_and(String::is_empty) {
        faults.add("command.command", "names no program");
        return None;
    }
    let bytes: usize = environment
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum();
    let is_one = |(name, value): (&String, &String)| {
        !name.is_empty() && !name.contains(['=', '\0']) && !value.contains('\0')
    };
    if bytes > MAX_ARGUMENTS || !environment.iter().all(is_one) {
        faults.add(
            "command.environment",
            "is larger than 1 MiB, or has a variable that no system takes",
        );
        return None;
    }
    let terminal = match terminal {
        Some(message) => Some(size("command.terminal", message, faults)?),
        None => None,
    };
    let folder = folder("command.folder", &in_folder, faults)?;
    let user = user("command.user", &as_user, faults)?;
    let mut environment: Vec<_> = environment.into_iter().collect();
    environment.sort();
    Some(Wanted {
        arguments: command,
        user,
        folder,
        environment,
        terminal,
        sftp,
    })
}

/// Reads the size of a terminal. `None` when a fault was added.
pub fn size(
    field: &str,
    message: v1::TerminalSize,
    faults: &mut FieldFaults,
) -> Option<TerminalSize> {
    let number = |number: u32| u16::try_from(number).ok().filter(|number| *number > 0);
    let size = number(message.columns).zip(number(message.rows));
    if size.is_none() {
        faults.add(field, "has to have 1 to 65535 columns and rows");
    }
    size.map(|(columns, rows)| TerminalSize { columns, rows })
}

/// `None` within: none is named.
fn user(field: &str, text: &str, faults: &mut FieldFaults) -> Option<Option<String>> {
    if text.len() > MAX_TEXT || text.contains(char::is_control) {
        faults.add(field, "is no name of a user");
        return None;
    }
    Some((!text.is_empty()).then(|| text.to_owned()))
}

/// `None` within: none is named.
fn folder(field: &str, text: &str, faults: &mut FieldFaults) -> Option<Option<String>> {
    if text.is_empty() {
        return Some(None);
    }
    if !text.starts_with('/') || text.len() > MAX_TEXT || text.contains('\0') {
        faults.add(field, "has to be an absolute path of at most 4096 bytes");
        return None;
    }
    Some(Some(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_system_takes_is_refused_by_its_field() {
        let command_of = |change: fn(&mut v1::ExecCommand)| {
            let mut message = v1::ExecCommand {
                command: vec!["true".into()],
                ..v1::ExecCommand::default()
            };
            change(&mut message);
            let mut faults = FieldFaults::default();
            let read = command(message, &mut faults);
            faults.complete(read)
        };
        assert!(command_of(|_| ()).is_ok());
        assert!(command_of(|message| message.command.clear()).is_ok());
        type Change = fn(&mut v1::ExecCommand);
        let refused: [(&str, Change); 8] = [
            ("command.sftp", |m| m.sftp = true),
            ("command.command", |m| m.command = vec![String::new()]),
            ("command.command", |m| m.command.push("a\0b".into())),
            ("command.command", |m| m.command.push("x".repeat(1 << 21))),
            ("command.environment", |m| {
                m.environment.insert("A=B".into(), String::new());
            }),
            ("command.terminal", |m| {
                m.terminal = Some(v1::TerminalSize {
                    columns: 0,
                    rows: 1,
                });
            }),
            ("command.folder", |m| m.folder = "tmp".into()),
            ("command.user", |m| m.user = "a\nb".into()),
        ];
        for (field, change) in refused {
            let refused = command_of(change).expect_err(field);
            assert!(refused.message().contains(field), "{refused:?}");
        }
    }

    #[test]
    fn a_target_names_a_workspace_and_a_container() {
        let read = |workspace: &str, container: &str| {
            let message = v1::EnterTarget {
                workspace_id: workspace.into(),
                container_id: container.into(),
                ..v1::EnterTarget::default()
            };
            let mut faults = FieldFaults::default();
            let read = Target::read(Some(message), &mut faults);
            faults.complete(read)
        };
        let target = read("ws-1", "0123abc").expect("a target");
        assert_eq!((&*target.user, &*target.folder), ("root", "/"));
        for (workspace, container) in [("../x", "a"), ("ws-1", ""), ("ws-1", "a/b"), ("", "a")] {
            assert!(
                read(workspace, container).is_err(),
                "{workspace} {container}"
            );
        }
    }
}
