//! What an operator sees: readiness, metrics, health, the file that says where it listens.

use crate::support::{
    events::{preparing, pushed, ready, settled},
    plane::{Plane, shop},
    soon,
    start::{begin, with_agent},
};

#[tokio::test]
async fn outcomes_are_counted_once() {
    let (plane, agent) = with_agent(&[]).await;
    let (follower, id) = begin(&plane, &agent, shop()).await;
    agent.say(&id, 1, [preparing(), ready(), pushed(), settled()]);
    follower.rest().await;
    plane.watch(&id, 0).await.rest().await;
    let metrics = plane.admin("/metrics").await;
    for line in [
        "hearth_attempts_total{outcome=\"READY\"} 1",
        "hearth_pushes_total{outcome=\"PUSHED\"} 1",
        "hearth_events_appended_total 4",
    ] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
}

#[tokio::test]
async fn the_ready_file_says_where_it_serves() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("ready.json");
    let flag = format!("--ready-file={}", file.display());
    let plane = Plane::start(directory.path(), &[&flag]).await;
    let answers = async { while !plane.admin("/readyz").await.starts_with("HTTP/1.1 200") {} };
    soon("readiness", answers).await;
    let text = std::fs::read_to_string(&file).expect("the file");
    let said: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(said["listen"], plane.addresses.listen.to_string());
    assert_eq!(said["admin"], plane.addresses.admin.to_string());
    plane.stop().await;
}
