use std::time::Duration;

use futures_util::stream;
use hearth_api::v1::NodeInfo;
use secrecy::ExposeSecret as _;

use super::*;
use crate::store::Sqlite;

struct Lab {
    nodes: Nodes,
    agents: Arc<Agents>,
    _directory: tempfile::TempDir,
}

impl Lab {
    async fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let store: Arc<dyn Store> = Arc::new(Sqlite::of_test(directory.path()).await);
        let fleet = Arc::new(Fleet::new(Duration::from_secs(30), Vec::new()));
        let sessions = Sessions::load(store.clone()).await.expect("sessions");
        let agents = Arc::new(Agents::default());
        let nodes = Nodes::new(store, fleet, Arc::new(sessions), agents.clone());
        Self {
            nodes,
            agents,
            _directory: directory,
        }
    }

    /// Registers the node; what proves its session.
    async fn register(&self) -> HeaderMap {
        let node = StoredNode {
            name: "n1".to_owned(),
            platform: "linux/amd64".parse().expect("a platform"),
            info: NodeInfo::default(),
            heartbeat: now(),
            has_left: false,
        };
        let token = self.nodes.register(node).await.expect("a session");
        let mut proof = HeaderMap::new();
        let bearer = format!("Bearer {}", token.expose_secret());
        proof.insert("authorization", bearer.parse().expect("a header"));
        proof
    }

    /// Opens a connection; the token that ends it.
    fn connect(&self, proof: &HeaderMap) -> Result<CancellationToken, CallError> {
        let ended = CancellationToken::new();
        let (leaves, _leaving) = Tunnel::way_out();
        let tunnel = Tunnel::new(stream::pending(), leaves);
        self.nodes.connect("n1", proof, tunnel, ended.clone())?;
        Ok(ended)
    }

    async fn is_connected(&self) -> bool {
        self.agents.client("n1").await.is_ok()
    }
}

#[tokio::test]
async fn a_connection_that_was_let_in_before_a_registration_is_not_taken_after_it() {
    let lab = Lab::new().await;
    let before = lab.register().await;
    let first = lab.connect(&before).expect("a connection");
    let after = lab.register().await;
    assert!(first.is_cancelled(), "it belongs to the session before");
    assert!(matches!(
        lab.connect(&before),
        Err(CallError::SessionUnknown)
    ));
    lab.connect(&after).expect("a connection");
    assert!(lab.is_connected().await);
    lab.nodes.remove("n1", true).await.expect("it is removed");
    assert!(matches!(
        lab.connect(&after),
        Err(CallError::SessionUnknown)
    ));
}

#[tokio::test]
async fn a_connection_that_another_one_follows_is_not_cut_and_its_end_is_not_that_of_the_other() {
    let lab = Lab::new().await;
    let session = lab.register().await;
    let first = lab.connect(&session).expect("a connection");
    let second = lab.connect(&session).expect("another one");
    assert!(!first.is_cancelled() && !second.is_cancelled());
    lab.nodes.disconnected("n1", &first);
    assert!(lab.is_connected().await);
    assert!(first.is_cancelled() && !second.is_cancelled());
}
