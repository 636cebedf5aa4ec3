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

/// Whoever else wants to ask waits in the kernel's queue.
const MAX_CONNECTIONS: usize = 8;
/// A question has some hundred bytes.
const MAX_QUESTION: u64 = 16 * 1024;
/// A question is asked at once; whoever does not finish makes room for others.
const QUESTION_TIMEOUT: Duration = Duration::from_secs(5);
/// Longer than the control plane takes to answer, and shorter than the helper waits.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(14);
/// Accepting fails when file descriptors run out; trying again at once would fail again.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Makes the socket `name` in `folder`, in place of one that an earlier life left, open to whoever can reach it.
///
/// The kernel takes only short paths of sockets, and folders may be deep: it is made by way of the open folder.
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

/// Answers questions at a socket, for as long as it is awaited. Bounded in connections, bytes and seconds: in a
/// workspace anything may run.
pub async fn serve(listener: UnixListener, protocol: Protocol, logins: Logins) {
    let mut open = FuturesUnordered::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if open.len() < MAX_CONNECTIONS => match accepted {
                Ok((stream, _)) => open.push(exchange(stream, &protocol, &logins)),
                Err(error) => {
                    tracing::warn!(%error, "a question for a login could not be taken");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(()) = open.next(), if !open.is_empty() => {}
        }
    }
}

/// One question, one answer. An error is the asker's own: it hears nothing, and goes on without.
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
