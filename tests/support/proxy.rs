//! A proxy in front of a registry, with faults of the network and of the registry.

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::Barrier,
    task::JoinSet,
};

use super::{Registry, ghcr};

/// First byte of a TLS record that begins a handshake.
const TLS_HANDSHAKE: u8 = 0x16;
/// Longest head of a request or an answer.
const MAX_HEAD: usize = 64 * 1024;

/// A fault on the way to the registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// Connections are accepted and never answered.
    Silent,
    /// Uploads are answered by 403: the login is known and has no right to push.
    DenyPush,
    /// Uploads are slow: so many bytes a second on each connection.
    SlowPush(u64),
    /// Uploads of manifests whose tag has this ending wait until two of them have begun.
    Meet(&'static str),
}

/// The proxy; gone when dropped.
pub struct Proxy {
    port: u16,
    way: Arc<Way>,
    _server: JoinSet<()>,
}

/// The way to the registry.
struct Way {
    upstream: u16,
    fault: Mutex<Fault>,
    uploads: AtomicU64,
    /// Packages of a registry that has to refuse as GHCR does.
    ghcr: Option<PathBuf>,
    meetings: AtomicU64,
    meeting: Barrier,
}

impl Way {
    /// Waits for the second of two uploads.
    async fn meet(&self) {
        if self.meeting.wait().await.is_leader() {
            self.meetings.fetch_add(1, Ordering::SeqCst);
        }
    }
}

impl Proxy {
    /// A proxy to a port of this machine.
    pub async fn to(upstream: u16) -> Self {
        Self::start(upstream, None).await
    }

    /// A proxy to a guarded registry that makes it refuse as GHCR does: by 403, with a reason.
    pub async fn ghcr(registry: &Registry) -> Self {
        Self::start(registry.port(), Some(registry.packages())).await
    }

    async fn start(upstream: u16, ghcr: Option<PathBuf>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let way = Arc::new(Way {
            upstream,
            fault: Mutex::new(Fault::None),
            uploads: AtomicU64::new(0),
            ghcr,
            meetings: AtomicU64::new(0),
            meeting: Barrier::new(2),
        });
        let mut server = JoinSet::new();
        server.spawn({
            let way = way.clone();
            async move {
                let mut connections = JoinSet::new();
                while let Ok((client, _)) = listener.accept().await {
                    let way = way.clone();
                    connections.spawn(async move {
                        // Broken connections are part of the test.
                        let _ = connection(client, &way).await;
                    });
                }
            }
        });
        Self {
            port,
            way,
            _server: server,
        }
    }

    /// `localhost:port`.
    pub fn host(&self) -> String {
        format!("localhost:{}", self.port)
    }

    /// Sets the fault of requests that begin from now on.
    pub fn set(&self, fault: Fault) {
        *self.way.fault.lock().expect("no panic") = fault;
    }

    /// How often two uploads met so far.
    pub fn meetings(&self) -> u64 {
        self.way.meetings.load(Ordering::SeqCst)
    }

    /// Requests so far that write.
    pub fn uploads(&self) -> u64 {
        self.way.uploads.load(Ordering::SeqCst)
    }
}

/// Whether a request uploads a manifest under a tag that ends so.
fn puts_tag(head: &str, ending: &str) -> bool {
    let mut words = head.split_whitespace();
    words.next() == Some("PUT")
        && words
            .next()
            .is_some_and(|path| path.contains("/manifests/") && path.ends_with(ending))
}

/// One request for each connection: both sides are told to close, so that every request is seen.
async fn connection(mut client: TcpStream, way: &Way) -> std::io::Result<()> {
    let now = *way.fault.lock().expect("no panic");
    if now == Fault::Silent {
        return std::future::pending().await;
    }
    let mut head = Vec::new();
    if client.read_buf(&mut head).await? == 0 {
        return Ok(());
    }
    if head[0] == TLS_HANDSHAKE {
        // The answer of a server without TLS, after which an engine tries without.
        return client.write_all(b"HTTP/1.0 400 Bad Request\r\n\r\n").await;
    }
    let Some(end) = read_head(&mut client, &mut head).await? else {
        return Ok(());
    };
    let writes = [&b"POST"[..], b"PUT", b"PATCH", b"DELETE"]
        .iter()
        .any(|method| head.starts_with(method));
    if writes {
        way.uploads.fetch_add(1, Ordering::SeqCst);
    }
    let head_text = String::from_utf8_lossy(&head[..end]).into_owned();
    match now {
        Fault::DenyPush if writes => {
            let answer = ghcr::denied("installation not allowed to Write organization package");
            client.write_all(answer.as_bytes()).await?;
            return client.shutdown().await;
        }
        Fault::Meet(ending) if puts_tag(&head_text, ending) => way.meet().await,
        _ => {}
    }
    let mut server = TcpStream::connect(("127.0.0.1", way.upstream)).await?;
    let mut lines: Vec<&str> = head_text
        .trim_end()
        .split("\r\n")
        .filter(|line| !line.to_ascii_lowercase().starts_with("connection:"))
        .collect();
    lines.push("Connection: close");
    server
        .write_all((lines.join("\r\n") + "\r\n\r\n").as_bytes())
        .await?;
    server.write_all(&head[end..]).await?;
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let upload = async {
        let mut buffer = vec![0; 16 * 1024];
        loop {
            let read = from_client.read(&mut buffer).await?;
            if read == 0 {
                return to_server.shutdown().await;
            }
            if let Fault::SlowPush(rate) = now
                && writes
            {
                tokio::time::sleep(Duration::from_secs_f64(read as f64 / rate as f64)).await;
            }
            to_server.write_all(&buffer[..read]).await?;
        }
    };
    let download = async {
        if let Some(packages) = &way.ghcr {
            let mut answer = Vec::new();
            let Some(end) = read_head(&mut from_server, &mut answer).await? else {
                return Ok(());
            };
            let said = String::from_utf8_lossy(&answer[..end]);
            if let Some(refusal) = ghcr::refusal(&head_text, &said, packages) {
                to_client.write_all(refusal.as_bytes()).await?;
                return to_client.shutdown().await;
            }
            to_client.write_all(&answer).await?;
        }
        tokio::io::copy(&mut from_server, &mut to_client).await?;
        to_client.shutdown().await
    };
    tokio::select! {
        // The answer may come before the body was read to its end.
        answered = download => answered,
        _ = async { let _ = upload.await; std::future::pending::<()>().await } => Ok(()),
    }
}

/// Reads until the head is complete, and returns its length; `None` if it never is.
async fn read_head(
    from: &mut (impl AsyncRead + Unpin),
    head: &mut Vec<u8>,
) -> std::io::Result<Option<usize>> {
    loop {
        if let Some(at) = head.windows(4).position(|window| window == b"\r\n\r\n") {
            return Ok(Some(at + 4));
        }
        if head.len() > MAX_HEAD || from.read_buf(head).await? == 0 {
            return Ok(None);
        }
    }
}
