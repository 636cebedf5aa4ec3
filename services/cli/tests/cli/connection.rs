//! What listens where the control plane should.

use std::net::SocketAddr;

use hearth_runtime::Tasks;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use tonic::transport::{Server, server::TcpIncoming};

use crate::{
    story::{ID, REPOSITORY},
    support::{hearth, run},
};

/// Ends with the test.
struct Listener {
    address: SocketAddr,
    tasks: Tasks,
}

impl Listener {
    /// Serves each connection by `serve`, one after the other.
    async fn start<F: Future<Output = ()> + Send>(
        mut serve: impl FnMut(TcpStream) -> F + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let address = listener.local_addr().expect("its address");
        let tasks = Tasks::default();
        tasks.spawn("listener", async move {
            loop {
                let (client, _) = listener.accept().await.expect("a connection");
                serve(client).await;
            }
        });
        Self { address, tasks }
    }

    /// A gRPC server without the services of a control plane, as an agent is.
    async fn other_services() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let address = listener.local_addr().expect("its address");
        let (_, health) = tonic_health::server::health_reporter();
        let server = Server::builder()
            .add_service(health)
            .serve_with_incoming(TcpIncoming::from(listener));
        let tasks = Tasks::default();
        tasks.spawn("server", async move { server.await.expect("the server") });
        Self { address, tasks }
    }

    async fn refusal(&self) -> String {
        let mut said = Vec::new();
        for arguments in [&["ls"][..], &["up", REPOSITORY], &["logs", ID]] {
            let url = format!("http://{}", self.address);
            let ended = run(hearth(&url, arguments)).await;
            assert_eq!((ended.code, ended.stdout.as_str()), (Some(69), ""));
            said.push(ended.stderr.replace(&url, "URL"));
        }
        said.dedup();
        said.join("-- or\n")
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.tasks.stopping().cancel();
    }
}

/// Reads until the client closes: a socket that is closed with unread bytes takes back what was written.
async fn drain(client: &mut TcpStream) {
    tokio::io::copy(client, &mut tokio::io::sink()).await.ok();
}

const NO_GRPC: &str = "\
hearth: what answers at URL is not a control plane: it does not speak gRPC without TLS
  use the port of the control plane's --listen (7400 unless it was set), not its --admin-listen
";

#[tokio::test]
async fn what_is_not_a_control_plane_is_told_apart_from_one_that_is_away() {
    let http = Listener::start(|mut client| async move {
        client.read_u8().await.ok();
        let answer = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n";
        client.write_all(answer).await.ok();
        drain(&mut client).await;
    });
    assert_eq!(http.await.refusal().await, NO_GRPC);
    // What OpenSSL says to bytes that are no ClientHello.
    let tls = Listener::start(|mut client| async move {
        client.read_u8().await.ok();
        client.write_all(b"\x15\x03\x01\x00\x02\x02\x46").await.ok();
        drain(&mut client).await;
    });
    assert_eq!(tls.await.refusal().await, NO_GRPC);
    let closing = Listener::start(|mut client| async move {
        client.shutdown().await.ok();
        drain(&mut client).await;
    });
    let said = closing.await.refusal().await;
    // Which of them depends on what arrives first.
    let known = said.contains("URL closes the connection") || said == NO_GRPC;
    assert!(known, "{said}");
    assert_eq!(
        Listener::other_services().await.refusal().await,
        "\
hearth: what answers at URL is not a control plane, or one of another version
  use the port of the control plane's --listen (7400 unless it was set), not its --admin-listen, and not an agent's port
"
    );
}

#[tokio::test]
async fn a_port_that_accepts_and_says_nothing_is_given_up() {
    let mut open = Vec::new();
    let silent = Listener::start(move |client| {
        open.push(client);
        std::future::ready(())
    })
    .await;
    let url = format!("http://{}", silent.address);
    let ended = run(hearth(&url, &["up", REPOSITORY])).await;
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(69), ""));
    assert!(
        ended
            .stderr
            .starts_with(&format!("hearth: {url} does not answer: ")),
        "{}",
        ended.stderr
    );
}

#[tokio::test]
async fn a_host_that_is_not_known_and_an_empty_variable_are_told_as_such() {
    let unknown = run(hearth("https://plane.invalid:7400", &["nodes"])).await;
    assert_eq!((unknown.code, unknown.stdout.as_str()), (Some(69), ""));
    let start = "hearth: the host of https://plane.invalid:7400 is not known";
    assert!(unknown.stderr.starts_with(start), "{}", unknown.stderr);
    let empty = run(hearth("", &["nodes"])).await;
    assert_eq!((empty.code, empty.stdout.as_str()), (Some(64), ""));
    assert_eq!(
        empty.stderr,
        "\
hearth: HEARTH_CONTROL_PLANE is empty
  unset it to use http://127.0.0.1:7400, or set it to the control plane's http://HOST:PORT
"
    );
    let usage = run(hearth("http://127.0.0.1:7400", &["get"])).await;
    assert!(
        usage.stderr.contains("Usage: hearth get <ID>\n"),
        "{}",
        usage.stderr
    );
}
