//! Nodes that lose what they joined with, or cannot keep it.

use std::{fs, time::Duration};

use hearth_api::v1::WorkspaceState;

use crate::joined::{World, join_by, until};

const HOUR: Duration = Duration::from_secs(3600);

async fn until_ended(world: &World, name: &str) {
    until("its end", async || {
        let lock = world.path(name).join("state/agent.lock");
        fs::File::open(lock).is_ok_and(|lock| lock.try_lock().is_ok())
    })
    .await;
}

/// The agent is killed after the control plane has answered, and before the answer is on its disk.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_lost_its_first_certificate_joins_again_by_the_token_that_it_has_used() {
    let mut world = World::start(HOUR).await;
    world.token_for("join", 1).await;
    let (flags, url) = (join_by(&world.path("join")), world.url.clone());
    let agent = world.start_agent("node-1", &url, &flags);
    world.until_online(1).await;
    agent.cancel();
    until_ended(&world, "node-1").await;
    let identity = world.path("node-1/state/identity");
    for lost in [&["node.pem"][..], &["ca.pem"], &["node.pem", "ca.pem"]] {
        for file in lost {
            let _ = fs::remove_file(identity.join(file));
        }
        let agent = world.start_agent("node-1", &url, &flags);
        world.until_online(1).await;
        agent.cancel();
        until_ended(&world, "node-1").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_disk_is_full_goes_on_with_each_next_certificate() {
    let mut world = World::start(Duration::from_secs(6)).await;
    world.token("join").await;
    let (flags, url) = (join_by(&world.path("join")), world.url.clone());
    world.start_agent("node-1", &url, &flags);
    world.until_online(1).await;
    // Nothing can take the place of a folder that has something in it.
    let ca = world.path("node-1/state/identity/ca.pem");
    fs::remove_file(&ca).expect("a removal");
    fs::create_dir_all(ca.join("full")).expect("a folder");
    let kept = world.path("node-1/state/identity/node.pem");
    let before = fs::read_to_string(&kept).expect("a certificate");
    // The first of them has long expired then.
    for _ in 0..4 {
        let expires = async || {
            let nodes = world.nodes().await;
            let trust = nodes.first().and_then(|node| node.trust.clone());
            trust.and_then(|trust| trust.expire_time)
        };
        let last = expires().await;
        until("another certificate", async || {
            let now = expires().await;
            now.is_some() && now != last
        })
        .await;
    }
    assert_eq!(fs::read_to_string(&kept).expect("it"), before);
    let (_, state) = world.prepare(world.channel(), 1).await;
    assert_eq!(state, WorkspaceState::Ready);
    // There is room again.
    fs::remove_dir_all(&ca).expect("a removal");
    until("it is kept", async || {
        fs::read_to_string(&kept).expect("it") != before
    })
    .await;
}
