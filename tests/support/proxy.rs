//! A proxy in front of a registry that breaks the network, not only the answer.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU64, Ordering},
};
use std::time::Duration;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::Barrier,
    task::JoinSet,
};

/// First byte of a TLS record that begins a handshake.
const TLS_HANDSHAKE: u8 = 0x16;

/// What is wrong with the way to the registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// Connections are accepted and never answered.
    Silent,
    /// Uploads are answered by 403, as a registry does that knows who asks and refuses.
    DenyPush,
    /// Uploads crawl: so many bytes a second on each connection.
    SlowPush(u64),
    /// Uploads of manifests whose tag ends so wait until two of them have come.
    Meet(&'static str),
}

/// The proxy; gone when dropped.
pub struct Proxy {
    port: u16,
    fault: Arc<Mutex<Fault>>,
    uploads: Arc<AtomicU64>,
    meetings: Arc<AtomicU64>,
    _server: JoinSet<()>,
}

impl Proxy {
    /// A proxy to a port of this machine.
    pub async fn to(upstream: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let fault = Arc::new(Mutex::new(Fault::None));
        let uploads = Arc::new(AtomicU64::new(0));
        let meetings = Arc::new(AtomicU64::new(0));
        let meeting = Arc::new(Barrier::new(2));
        let mut server = JoinSet::new();
        server.spawn({
            let (fault, uploads, meetings) = (fault.clone(), uploads.clone(), meetings.clone());
            async move {
                let mut connections = JoinSet::new();
                while let Ok((client, _)) = listener.accept().await {
                    let (fault, uploads) = (fault.clone(), uploads.clone());
                    let (meeting, meetings) = (meeting.clone(), meetings.clone());
                    connections.spawn(async move {
                        let meet = async {
                            if meeting.wait().await.is_leader() {
                                meetings.fetch_add(1, Ordering::SeqCst);
                            }
                        };
                        // A broken connection is this stand-in's business.
                        let _ = connection(client, upstream, &fault, &uploads, meet).await;
                    });
                }
            }
        });
        Self {
            port,
            fault,
            uploads,
            meetings,
            _server: server,
        }
    }

    /// `localhost:port`.
    pub fn host(&self) -> String {
        format!("localhost:{}", self.port)
    }

    /// From now on, for requests that begin.
    pub fn set(&self, fault: Fault) {
        *self.fault.lock().expect("no panic") = fault;
    }

    /// Times so far that two uploads met.
    pub fn meetings(&self) -> u64 {
        self.meetings.load(Ordering::SeqCst)
    }

    /// Requests so far that would write.
    pub fn uploads(&self) -> u64 {
        self.uploads.load(Ordering::SeqCst)
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
async fn connection(
    mut client: TcpStream,
    upstream: u16,
    fault: &Mutex<Fault>,
    uploads: &AtomicU64,
    meet: impl Future<Output = ()>,
) -> std::io::Result<()> {
    let now = *fault.lock().expect("no panic");
    if now == Fault::Silent {
        return std::future::pending().await;
    }
    let mut head = Vec::new();
    if client.read_buf(&mut head).await? == 0 {
        return Ok(());
    }
    if head[0] == TLS_HANDSHAKE {
        // What a server without TLS says; an engine then tries without.
        return client.write_all(b"HTTP/1.0 400 Bad Request\r\n\r\n").await;
    }
    while !head.windows(4).any(|window| window == b"\r\n\r\n") {
        if head.len() > 64 * 1024 || client.read_buf(&mut head).await? == 0 {
            return Ok(());
        }
    }
    let end = head
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .map_or(head.len(), |at| at + 4);
    let writes = [&b"POST"[..], b"PUT", b"PATCH", b"DELETE"]
        .iter()
        .any(|method| head.starts_with(method));
    if writes {
        uploads.fetch_add(1, Ordering::SeqCst);
    }
    let head_text = String::from_utf8_lossy(&head[..end]).into_owned();
    match now {
        Fault::DenyPush if writes => {
            let body = r#"{"errors":[{"code":"DENIED","message":"installation not allowed to Write organization package"}]}"#;
            let answer = format!(
                "HTTP/1.1 403 Forbidden\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                body.len()
            );
            client.write_all(answer.as_bytes()).await?;
            return client.shutdown().await;
        }
        Fault::Meet(ending) if puts_tag(&head_text, ending) => meet.await,
        _ => {}
    }
    let mut server = TcpStream::connect(("127.0.0.1", upstream)).await?;
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
        tokio::io::copy(&mut from_server, &mut to_client).await?;
        to_client.shutdown().await
    };
    tokio::select! {
        // The answer may come before the body was read to its end.
        answered = download => answered,
        _ = async { let _ = upload.await; std::future::pending::<()>().await } => Ok(()),
    }
}
