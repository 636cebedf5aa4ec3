//! `git http-backend`, which serves git's protocol over HTTP.

use std::{path::Path, process::Stdio};

use axum::{
    body::{Body, Bytes},
    http::{HeaderName, HeaderValue, Request},
};
use futures_util::{StreamExt as _, stream};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    process::{Child, ChildStdin, ChildStdout, Command},
    task::JoinSet,
};

use super::respond::{self, Answer, get};

/// The backend sends five headers.
const LARGEST_HEAD: u64 = 16 * 1024;

/// A process at work, and what it still says.
struct Running {
    output: BufReader<ChildStdout>,
    /// Killed when the client goes away.
    _child: Child,
    _upload: JoinSet<()>,
}

/// Runs the backend for a request that is allowed.
pub async fn run(
    root: &Path,
    repository: &str,
    action: &str,
    user: &str,
    request: Request<Body>,
) -> Answer {
    let mut child = command(root, repository, action, user, &request)
        .spawn()
        .expect("git http-backend");
    let (input, output) = (child.stdin.take(), child.stdout.take());
    let mut upload = JoinSet::new();
    upload.spawn(feed(request.into_body(), input.expect("a pipe")));
    let running = Running {
        output: BufReader::new(output.expect("a pipe")),
        _child: child,
        _upload: upload,
    };
    relay(running).await
}

fn command(
    root: &Path,
    repository: &str,
    action: &str,
    user: &str,
    request: &Request<Body>,
) -> Command {
    let headers = request.headers();
    let mut command = Command::new("git");
    command
        .arg("http-backend")
        .env("GIT_PROJECT_ROOT", root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("PATH_INFO", format!("/{repository}/{action}"))
        .env("REQUEST_METHOD", request.method().as_str())
        .env("QUERY_STRING", request.uri().query().unwrap_or_default())
        .env("REMOTE_ADDR", "127.0.0.1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    // With a user the backend accepts pushes too; the right to push was checked before.
    if !user.is_empty() {
        command.env("REMOTE_USER", user);
    }
    for (variable, header) in [
        ("CONTENT_TYPE", "content-type"),
        ("CONTENT_LENGTH", "content-length"),
        ("HTTP_CONTENT_ENCODING", "content-encoding"),
        ("HTTP_GIT_PROTOCOL", "git-protocol"),
    ] {
        if let Some(value) = get(headers, header) {
            command.env(variable, value);
        }
    }
    command
}

async fn feed(body: Body, mut input: ChildStdin) {
    let mut body = body.into_data_stream();
    while let Some(Ok(bytes)) = body.next().await {
        // The backend may have read enough.
        if input.write_all(&bytes).await.is_err() {
            return;
        }
    }
}

async fn relay(mut running: Running) -> Answer {
    let Some(mut answer) = head(&mut running.output).await else {
        return respond::text(500, "git http-backend said nothing");
    };
    let body = stream::unfold(running, |mut running| async {
        let mut bytes = Vec::with_capacity(32 * 1024);
        match running.output.read_buf(&mut bytes).await {
            Ok(0) => None,
            Ok(_) => Some((Ok(Bytes::from(bytes)), running)),
            Err(error) => Some((Err(error), running)),
        }
    });
    *answer.body_mut() = Body::from_stream(body);
    answer
}

/// The backend's headers, with its status among them.
async fn head(output: &mut BufReader<ChildStdout>) -> Option<Answer> {
    let mut answer = respond::answer(200, Body::empty());
    let mut output = output.take(LARGEST_HEAD);
    loop {
        let mut line = String::new();
        if output.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        let line = line.trim_end();
        if line.is_empty() {
            return Some(answer);
        }
        let (name, value) = line.split_once(": ")?;
        if name.eq_ignore_ascii_case("status") {
            let code = value.split(' ').next()?;
            *answer.status_mut() = code.parse().ok()?;
        } else {
            let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
            answer
                .headers_mut()
                .insert(name, HeaderValue::from_str(value).ok()?);
        }
    }
}
