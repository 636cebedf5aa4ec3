//! What ssh has to know of workspaces.

use std::{
    env,
    fmt::Write as _,
    fs,
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use hearth_api::v1::{ListWorkspacesRequest, Workspace, WorkspaceState};
use hearth_domain::text::printable_line;
use tempfile::NamedTempFile;

use super::client;
use crate::{args::SshConfigArgs, commands::Context, error::CliError, exit::Exit, out};

/// Workspaces of a page.
const PAGE: u32 = 500;
/// Bytes of the largest configuration of a user.
const MAX_CONFIG: u64 = 4 * 1024 * 1024;
/// The name of what is written, in the folder of ssh's configuration.
const FILE: &str = "hearth_config";
/// A user that no workspace has: it stands for the remote user.
const REMOTE_USER: &str = "hearth";

/// The options of every workspace, by ssh_config(5).
pub(super) struct Options {
    proxy: String,
    known_hosts: String,
}

impl Options {
    pub(super) fn of(context: &Context) -> Result<Self, CliError> {
        let program = env::current_exe().context("the path of hearth is not known");
        let program = program.map_err(CliError::Local)?;
        let mut words = vec![quoted(&program.to_string_lossy())];
        words.extend(
            context
                .connection
                .arguments()?
                .iter()
                .map(|word| quoted(word)),
        );
        words.push("ssh-proxy".to_owned());
        words.push("%n".to_owned());
        let folder = keys_folder()?;
        Ok(Self {
            proxy: words.join(" "),
            known_hosts: format!("\"{}/%n\"", folder.display()),
        })
    }

    /// A host is known by the key that its control plane tells, which proves who it is by TLS.
    pub(super) fn all(&self) -> [(&'static str, &str); 5] {
        [
            ("ProxyCommand", &self.proxy),
            ("UserKnownHostsFile", &self.known_hosts),
            ("GlobalKnownHostsFile", "/dev/null"),
            ("StrictHostKeyChecking", "yes"),
            ("HostKeyAlgorithms", "ssh-ed25519"),
        ]
    }
}

/// A word of a ProxyCommand, which a shell reads when `%` was replaced.
fn quoted(word: &str) -> String {
    let word = word.replace('%', "%%");
    match word
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"/._-:@%".contains(&byte))
    {
        true => word,
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

/// Where the keys of workspaces are, a file for each name.
fn keys_folder() -> Result<PathBuf, CliError> {
    let base = env::var_os("XDG_STATE_HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute());
    let base = base.or_else(|| Some(env::home_dir()?.join(".local/state")));
    base.map(|base| base.join("hearth/ssh")).ok_or_else(|| {
        CliError::Usage("there is no home folder\n  set HOME, or XDG_STATE_HOME".to_owned())
    })
}

/// Writes down what key a workspace's server has.
pub(super) fn remember_key(host: &str, key: &str) -> Result<(), CliError> {
    let folder = keys_folder()?;
    // It comes from the node, and is a line of a file.
    let key = printable_line(key);
    let written =
        make_folder(&folder).and_then(|()| replace(&folder.join(host), &format!("* {key}\n")));
    let about = || {
        format!(
            "the key of {host} cannot be written into {}",
            folder.display()
        )
    };
    written.with_context(about).map_err(CliError::Local)
}

fn make_folder(folder: &Path) -> io::Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
}

/// Replaces a file whole; a link stays one.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let mut file = NamedTempFile::new_in(path.parent().unwrap_or(Path::new(".")))?;
    file.write_all(text.as_bytes())?;
    let mode = fs::metadata(&path).map_or(0o600, |facts| facts.permissions().mode() & 0o777);
    file.as_file()
        .set_permissions(fs::Permissions::from_mode(mode))?;
    file.persist(&path)?;
    Ok(())
}

/// `hearth ssh-config`
pub(crate) async fn ssh_config(context: &Context, args: &SshConfigArgs) -> Result<Exit, CliError> {
    let options = Options::of(context)?;
    let mut client = client(context).await?;
    let mut all = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = ListWorkspacesRequest {
            page_size: PAGE,
            page_token,
            ..ListWorkspacesRequest::default()
        };
        let page = context.answer(client.list_workspaces(request).await)?;
        all.extend(page.workspaces);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    let text = text(&all, &options);
    if !args.write {
        out::print(&text)?;
        return Ok(Exit::Ok);
    }
    let config = match &args.file {
        Some(file) => file.clone(),
        None => env::home_dir()
            .ok_or_else(|| {
                CliError::Usage("there is no home folder\n  set HOME, or name a --file".to_owned())
            })?
            .join(".ssh/config"),
    };
    let about = || format!("{} cannot be written", config.display());
    let written = write(&config, &text)
        .with_context(about)
        .map_err(CliError::Local)?;
    out::print(&format!(
        "wrote {}; connect with: ssh hearth.ID",
        written.display()
    ))?;
    Ok(Exit::Ok)
}

/// Writes what is made, and has the user's configuration include it.
fn write(config: &Path, text: &str) -> io::Result<PathBuf> {
    let config = std::path::absolute(config)?;
    let folder = config.parent().unwrap_or(Path::new("/"));
    make_folder(folder)?;
    let made = folder.join(FILE);
    replace(&made, text)?;
    let include = format!("Include \"{}\"", made.display());
    let old = match fs::metadata(&config) {
        Ok(facts) if facts.len() > MAX_CONFIG => {
            return Err(io::Error::other(
                "it is too large for a configuration of ssh",
            ));
        }
        Ok(_) => fs::read_to_string(&config)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error),
    };
    if !old.lines().any(|line| line.trim() == include) {
        // In front: after a Host line it would count for that host alone.
        replace(&config, &format!("{include}\n\n{old}"))?;
    }
    Ok(made)
}

fn text(workspaces: &[Workspace], options: &Options) -> String {
    let mut text = String::from("# Made by `hearth ssh-config`, which makes it again.\n");
    for workspace in workspaces {
        let is_open = matches!(
            workspace.state(),
            WorkspaceState::Ready | WorkspaceState::Recovery
        );
        let (id, user) = (
            printable_line(&workspace.id),
            printable_line(&workspace.remote_user),
        );
        let is_word = |text: &str| {
            !text.is_empty()
                && text
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
        };
        if is_open && is_word(&id) && is_word(&user) {
            // Writing into a text does not fail.
            let _ = write!(text, "\nHost hearth.{id} {id}.hearth\n  User {user}\n");
        }
    }
    let _ = write!(
        text,
        "\nHost hearth.* *.hearth\n  User {REMOTE_USER}\n  ForwardAgent no\n"
    );
    for (name, value) in options.all() {
        let _ = writeln!(text, "  {name} {value}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> Options {
        Options {
            proxy: "/bin/hearth ssh-proxy %n".to_owned(),
            known_hosts: "\"/state/%n\"".to_owned(),
        }
    }

    #[test]
    fn every_workspace_that_can_be_entered_has_its_user_and_all_share_the_rest() {
        let workspace = |id: &str, state: WorkspaceState, user: &str| Workspace {
            id: id.into(),
            state: state.into(),
            remote_user: user.into(),
            ..Workspace::default()
        };
        let all = [
            workspace("ws-1", WorkspaceState::Ready, "dev"),
            workspace("ws-2", WorkspaceState::Failed, "dev"),
            // A user's name comes from the image.
            workspace("ws-3", WorkspaceState::Recovery, "x\n  ProxyCommand evil"),
        ];
        assert_eq!(
            text(&all, &options()),
            "# Made by `hearth ssh-config`, which makes it again.\n\
             \nHost hearth.ws-1 ws-1.hearth\n  User dev\n\
             \nHost hearth.* *.hearth\n  User hearth\n  ForwardAgent no\n  ProxyCommand /bin/hearth ssh-proxy %n\n  \
             UserKnownHostsFile \"/state/%n\"\n  GlobalKnownHostsFile /dev/null\n  StrictHostKeyChecking yes\n  \
             HostKeyAlgorithms ssh-ed25519\n"
        );
    }

    #[test]
    fn the_users_configuration_includes_it_once_and_keeps_what_it_has() {
        let folder = tempfile::tempdir().expect("a folder");
        let config = folder.path().join("config");
        fs::write(&config, "Host a\n  User b\n").expect("a file");
        for made in ["one", "two"] {
            let written = write(&config, made).expect("a configuration");
            assert_eq!(fs::read_to_string(written).expect("text"), made);
        }
        let text = fs::read_to_string(&config).expect("text");
        let include = format!("Include \"{}\"\n", folder.path().join(FILE).display());
        assert_eq!(text, format!("{include}\nHost a\n  User b\n"));
    }

    #[test]
    fn words_of_a_proxy_command_are_quoted() {
        for (word, expected) in [
            ("/usr/bin/hearth", "/usr/bin/hearth"),
            ("a b", "'a b'"),
            ("a'b", r"'a'\''b'"),
            ("50%", "50%%"),
            ("$(x)", "'$(x)'"),
        ] {
            assert_eq!(quoted(word), expected);
        }
    }
}
