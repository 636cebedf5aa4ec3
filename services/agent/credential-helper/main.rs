//! What hearth runs in workspaces. As a helper of git in a workspace, or of docker on the node, it asks the hearth agent for a
//! login. Called as `sftp-server`, `connect PORT HOST…` or `connect-unix PATH` it is what the agent's SSH server and port
//! forwards run in the container, as the remote user: it decides nothing there either.
//!
//! It is a static program without dependencies, because it also runs in images that have no libraries. Called as
//! `docker-credential-…` it speaks Docker's protocol, under any other name git's (gitcredentials(7)). It has no secret and
//! decides nothing: it sends the question to the agent's socket and prints the answer. After any error it prints no login,
//! and git or docker goes on without one.

mod relay;
mod sftp;

use std::{
    env,
    ffi::OsStr,
    fs::File,
    io::{self, Read, Write},
    net::Shutdown,
    os::{fd::AsRawFd as _, unix::net::UnixStream},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::mpsc,
    thread,
    time::Duration,
};

/// The socket in a workspace.
const SOCKET: &str = "/opt/hearth/agent.sock";
/// The environment variable that names another socket.
const SOCKET_VARIABLE: &str = "HEARTH_CREDENTIALS_SOCKET";
/// How long an answer may take. The agent asks the control plane, and gives up sooner than this.
const PATIENCE: Duration = Duration::from_secs(15);
/// Largest question and largest answer. Questions have some hundred bytes, answers some thousand.
const MAX_BYTES: u64 = 64 * 1024;
/// Longest path of a socket that is connected to directly, in bytes. The kernel's limit is 107.
const MAX_PATH: usize = 100;
/// Docker tells "no login" from a failure by this text (docker-credential-helpers, `credentials/error.go`).
const NOT_FOUND: &[u8] = b"credentials not found in native keychain\n";

/// What a call asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Task {
    /// Ask the agent, with this as the first line of the question.
    Ask(&'static str),
    /// Prints this.
    Print(&'static [u8]),
    /// Nothing: the helper does not store logins.
    Nothing,
}

fn main() -> ExitCode {
    let mut args = env::args_os();
    let program = PathBuf::from(args.next().unwrap_or_default());
    let operation = args.next().unwrap_or_default();
    let arguments: Vec<String> = args
        .map(|text| text.to_string_lossy().into_owned())
        .collect();
    match (operation.to_str(), &arguments[..]) {
        (Some("sftp-server"), []) => return sftp::serve(io::stdin().lock(), io::stdout().lock()),
        (Some("connect"), [port, hosts @ ..]) => return relay::tcp(port, hosts),
        (Some("connect-unix"), [path]) => return relay::unix(path),
        _ => {}
    }
    let docker = serves_docker(&program);
    let task = task(docker, &operation);
    let answer = match task {
        Task::Ask(first_line) => question(first_line, io::stdin())
            .and_then(|question| ask_in_time(socket(), question))
            .unwrap_or_default(),
        Task::Print(text) => text.to_vec(),
        Task::Nothing => Vec::new(),
    };
    let nothing_found = docker && operation == "get" && answer.is_empty();
    let text = if nothing_found { NOT_FOUND } else { &answer };
    // Git or docker may have ended meanwhile.
    let _ = io::stdout().write_all(text);
    ExitCode::from(u8::from(nothing_found))
}

fn serves_docker(program: &Path) -> bool {
    program
        .file_name()
        .is_some_and(|name| name.to_string_lossy().starts_with("docker-credential-"))
}

fn task(docker: bool, operation: &OsStr) -> Task {
    match (docker, operation.to_str().unwrap_or_default()) {
        (false, "get") => Task::Ask("git get\n"),
        // Git reports that a host refused the login.
        (false, "erase") => Task::Ask("git erase\n"),
        (true, "get") => Task::Ask("docker get\n"),
        (true, "list") => Task::Print(b"{}\n"),
        _ => Task::Nothing,
    }
}

fn socket() -> PathBuf {
    env::var_os(SOCKET_VARIABLE).map_or_else(|| SOCKET.into(), PathBuf::from)
}

/// The question: its first line, and what git or docker wrote.
fn question(first_line: &str, input: impl Read) -> Option<Vec<u8>> {
    let mut question = first_line.as_bytes().to_vec();
    let read = input.take(MAX_BYTES + 1).read_to_end(&mut question).ok()?;
    (read as u64 <= MAX_BYTES).then_some(question)
}

/// Asks within [`PATIENCE`]. Connecting to a socket has no timeout, so that a thread does it, which may be left behind.
fn ask_in_time(socket: PathBuf, question: Vec<u8>) -> Option<Vec<u8>> {
    let (send, receive) = mpsc::sync_channel(1);
    thread::Builder::new()
        .spawn(move || send.send(ask(&socket, &question)))
        .ok()?;
    receive.recv_timeout(PATIENCE).ok()?.ok()
}

fn ask(socket: &Path, question: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(question)?;
    stream.shutdown(Shutdown::Write)?;
    let mut answer = Vec::new();
    let read = stream.take(MAX_BYTES + 1).read_to_end(&mut answer)?;
    if read as u64 > MAX_BYTES {
        return Err(io::ErrorKind::InvalidData.into());
    }
    Ok(answer)
}

/// Connects. Where the path is too long for the kernel, it goes through an open folder.
fn connect(socket: &Path) -> io::Result<UnixStream> {
    if socket.as_os_str().len() <= MAX_PATH {
        return UnixStream::connect(socket);
    }
    let (Some(folder), Some(name)) = (socket.parent(), socket.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let folder = File::open(folder)?;
    let short = format!("/proc/self/fd/{}", folder.as_raw_fd());
    UnixStream::connect(Path::new(&short).join(name))
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn git_and_docker_are_distinguished_by_the_programs_name() {
        for (program, docker) in [
            ("/opt/hearth/git-credential-hearth", false),
            ("docker-credential-hearth", true),
            ("/x/docker-credential-hearth", true),
            ("/docker-credential-x/helper", false),
        ] {
            assert_eq!(serves_docker(Path::new(program)), docker, "{program}");
        }
    }

    #[test]
    fn logins_are_not_stored_and_unknown_operations_are_ignored() {
        let task = |docker, operation: &str| task(docker, OsStr::new(operation));
        assert_eq!(task(false, "get"), Task::Ask("git get\n"));
        assert_eq!(task(false, "erase"), Task::Ask("git erase\n"));
        assert_eq!(task(true, "get"), Task::Ask("docker get\n"));
        for (docker, operation) in [
            (false, "store"),
            (false, "capability"),
            (false, ""),
            (true, "store"),
            (true, "erase"),
        ] {
            assert_eq!(task(docker, operation), Task::Nothing, "{operation}");
        }
    }

    #[test]
    fn a_question_that_is_too_long_is_not_asked() {
        assert_eq!(question("git get\n", &b"x"[..]).unwrap(), b"git get\nx");
        assert_eq!(question("git get\n", io::repeat(b'x')), None);
    }

    /// Answers one question with `answer`; returns what was asked.
    fn agent(socket: &Path, answer: &'static [u8]) -> thread::JoinHandle<Vec<u8>> {
        let listener = UnixListener::bind(socket).unwrap();
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut asked = Vec::new();
            stream.read_to_end(&mut asked).unwrap();
            // The helper closes the connection when an answer is too long.
            let _ = stream.write_all(answer);
            asked
        })
    }

    #[test]
    fn the_answer_is_the_agents_and_empty_without_an_agent() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("s");
        assert_eq!(ask_in_time(socket.clone(), b"?".to_vec()), None);
        let agent = agent(&socket, b"username=u\n");
        let answer = ask_in_time(socket, b"git get\n\n".to_vec()).unwrap();
        assert_eq!(answer, b"username=u\n");
        assert_eq!(agent.join().unwrap(), b"git get\n\n");
    }

    #[test]
    fn an_answer_that_is_too_long_is_not_printed() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("s");
        let agent = agent(&socket, &[b'x'; 2 * MAX_BYTES as usize]);
        assert_eq!(ask_in_time(socket, Vec::new()), None);
        agent.join().unwrap();
    }

    #[test]
    fn a_socket_in_a_deep_folder_is_reached() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("d".repeat(120));
        std::fs::create_dir(&deep).unwrap();
        let socket = deep.join("s");
        let folder = File::open(&deep).unwrap();
        let short = format!("/proc/self/fd/{}/s", folder.as_raw_fd());
        let agent = agent(Path::new(&short), b"yes");
        assert_eq!(ask_in_time(socket, b"?".to_vec()).unwrap(), b"yes");
        agent.join().unwrap();
    }
}
