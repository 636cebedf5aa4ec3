use std::{
    fs::{self, File, Permissions},
    io,
    os::{fd::AsRawFd as _, unix::fs::PermissionsExt as _},
    path::Path,
    time::Duration,
};

use futures_util::{StreamExt as _, stream::FuturesUnordered};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{UnixListener, UnixStream},
};

use super::{logins::Logins, protocol::Protocol};

/// Most connections at a time; more wait in the kernel's queue.
const MAX_CONNECTIONS: usize = 8;
/// Largest request, in bytes; a usual one has some hundred.
const MAX_QUESTION: u64 = 16 * 1024;
/// How long a client may take to send its request.
const QUESTION_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an answer may take: longer than the control plane's, and shorter than the helper waits.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(14);
/// Pause after a failed accept: when file descriptors have run out, the next one would fail too.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Binds the socket `name` in `folder`, in place of an existing one. Every user who can reach the folder may connect.
///
/// The path of a socket must be short, and folders may be deep: it is bound through `/proc/self/fd`.
pub fn bind(folder: &Path, name: &str) -> io::Result<UnixListener> {
    let path = folder.join(name);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let open = File::open(folder)?;
    let short = Path::new("/proc/self/fd").join(open.as_raw_fd().to_string());
    let listener = UnixListener::bind(short.join(name))?;
    fs::set_permissions(&path, Permissions::from_mode(0o666))?;
    Ok(listener)
}

/// Answers requests at a socket until it is dropped. Connections, bytes and time are bounded, since programs in a
/// workspace are not trusted.
pub async fn serve(listener: UnixListener, protocol: Protocol, logins: Logins) {
    let mut open = FuturesUnordered::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if open.len() < MAX_CONNECTIONS => match accepted {
                Ok((stream, _)) => open.push(exchange(stream, &protocol, &logins)),
                Err(error) => {
                    tracing::warn!(%error, "a connection to a credential socket could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(()) = open.next(), if !open.is_empty() => {}
        }
    }
}

/// Answers one request. A client whose request fails gets an empty answer.
async fn exchange(mut stream: UnixStream, protocol: &Protocol, logins: &Logins) {
    let Ok(Some(question)) = tokio::time::timeout(QUESTION_TIMEOUT, read(&mut stream)).await else {
        return;
    };
    let work = async {
        if let Some(answer) = protocol.answer(logins, &question).await {
            let _ = stream.write_all(answer.as_bytes()).await;
        }
        let _ = stream.shutdown().await;
    };
    let _ = tokio::time::timeout(ANSWER_TIMEOUT, work).await;
}

async fn read(stream: &mut UnixStream) -> Option<String> {
    let mut question = Vec::new();
    let read = stream
        .take(MAX_QUESTION + 1)
        .read_to_end(&mut question)
        .await
        .ok()?;
    (read as u64 <= MAX_QUESTION).then(|| String::from_utf8(question).ok())?
}

#[cfg(test)]
#[path = "socket_tests.rs"]
mod tests;
