//! Connections are closed when they are old, and nothing is lost or comes twice.

use hearth_api::v1::{Event, RegisterRequest, WatchUntil};
use tonic::Code;

use crate::support::{
    agent::FakeAgent,
    events::{line, preparing, ready, settled, words},
    plane::{Plane, shop},
    refusals::reason,
    soon,
    start::{begin, with_agent},
};

/// Connections are asked to end after a second, and have another one.
const SHORT: &[&str] = &["--max-connection-seconds=1", "--connection-grace-seconds=1"];
/// They are asked to end, and have time.
const LONG_GRACE: &[&str] = &[
    "--max-connection-seconds=1",
    "--connection-grace-seconds=3600",
];

/// All events, by as many streams as it takes.
async fn all(plane: &Plane, id: &str) -> (Vec<Event>, u32) {
    let (mut events, mut streams) = (Vec::<Event>::new(), 0);
    loop {
        let after = events.last().map_or(0, |event| event.sequence);
        let Ok(mut follower) = plane.try_watch(id, after, WatchUntil::Settled).await else {
            continue;
        };
        streams += 1;
        loop {
            match follower.try_next().await {
                Ok(Some(event)) => {
                    assert_eq!(event.sequence, events.len() as u64 + 1);
                    events.push(event);
                }
                Ok(None) => return (events, streams),
                Err(status) => {
                    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
                    assert_eq!(reason(&status), "SHUTTING_DOWN");
                    break;
                }
            }
        }
    }
}

#[tokio::test]
async fn events_go_on_while_connections_of_nodes_and_clients_come_and_go() {
    let (plane, agent) = with_agent(SHORT).await;
    let (_, id) = begin(&plane, &agent, shop()).await;
    agent.say(&id, 1, [preparing()]);
    let said = async {
        for number in 2..6 {
            // In the middle of a stream there is another connection, and then the one before ends.
            agent.say(&id, 1, [line(format!("before {number}"))]);
            agent.when_connected_times(number).await;
            agent.say(&id, 1, (0..50).map(|line_| line(line_.to_string())));
        }
        agent.say(&id, 1, [ready(), settled()]);
    };
    let ((events, streams), ()) = tokio::join!(soon("the end", all(&plane, &id)), said);
    assert_eq!(events.len(), 1 + 4 * 51 + 2);
    let words = words(&events);
    assert_eq!(words[1..3], ["before 2", "0"]);
    assert_eq!(words[words.len() - 2..], ["READY", "settled"]);
    assert!(streams > 1, "the client's connection was closed, too");
    assert_eq!(agent.starts(), 1, "the attempt went on");
}

#[tokio::test]
async fn a_call_that_is_open_stays_where_it_is_and_new_ones_take_the_new_connection() {
    let (plane, agent) = with_agent(LONG_GRACE).await;
    let (mut follower, id) = begin(&plane, &agent, shop()).await;
    agent.say(&id, 1, [preparing()]);
    follower.take(1).await;
    agent.when_connected_times(3).await;
    let (second, other) = begin(&plane, &agent, shop()).await;
    agent.say(&id, 1, [line("one"), ready(), settled()]);
    agent.say(&other, 1, [preparing(), ready(), settled()]);
    assert_eq!(words(&follower.rest().await), ["one", "READY", "settled"]);
    assert_eq!(
        words(&second.rest().await),
        ["PREPARING", "READY", "settled"]
    );
    assert_eq!(agent.asked_after(), [0], "no stream was opened again");
}

#[tokio::test]
async fn a_connection_is_opened_for_the_newest_session_alone() {
    let plane = Plane::fresh(&[]).await;
    let agent = FakeAgent::start("n1").await;
    let register = |boot_id: &str| RegisterRequest {
        node: "n1".into(),
        info: Some(hearth_api::v1::NodeInfo {
            boot_id: boot_id.into(),
            ..agent.info()
        }),
        workspace_ids: Vec::new(),
    };
    let first = plane.registry().await.register(register("a")).await;
    plane.began("n1", &first.expect("an answer").into_inner().session_token);
    let old = plane.session_of("n1");
    let (_tunnel, _) = old.open_connection().await.expect("a connection");
    let second = plane.registry().await.register(register("b")).await;
    second.expect("an answer");
    let refused = old.open_connection().await.err().expect("a refusal");
    assert_eq!(refused.code(), Code::Unauthenticated);
}
