//! Clients come and go; the log stays.

use hearth_api::v1::WatchUntil;
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::support::{
    events::{line, preparing, ready, settled, words},
    plane::shop,
    start::{begin, with_agent},
};

#[tokio::test]
async fn a_client_goes_away_and_another_goes_on_where_it_was() {
    let (plane, agent) = with_agent(&[]).await;
    let (mut follower, id) = begin(&plane, &agent, shop()).await;
    agent.say(&id, 1, [preparing(), line("one")]);
    follower.take(2).await;
    drop(follower);

    agent.say(&id, 1, [line("two")]);
    let mut second = plane.watch(&id, 2).await;
    let events = second.take(1).await;
    assert_eq!(words(&events), ["two"]);
    assert_eq!(events[0].sequence, 3);
    agent.say(&id, 1, [ready(), settled()]);
    assert_eq!(words(&second.rest().await), ["READY", "settled"]);
    assert_eq!(agent.starts(), 1);
}

#[tokio::test]
async fn everybody_who_watches_sees_the_same() {
    let (plane, agent) = with_agent(&[]).await;
    let (first, id) = begin(&plane, &agent, shop()).await;
    agent.say(&id, 1, [preparing()]);
    let second = plane.watch(&id, 0).await;
    let third = plane.watch(&id, 0).await;
    agent.say(&id, 1, (0..300).map(|number| line(number.to_string())));
    agent.say(&id, 1, [ready(), settled()]);
    let (first, second, third) = tokio::join!(first.rest(), second.rest(), third.rest());
    assert_eq!(first.len(), 303);
    assert_eq!(first, second);
    assert_eq!(first, third);
}

#[tokio::test]
async fn a_stream_that_breaks_between_agent_and_control_plane_shows_nowhere() {
    let (plane, agent) = with_agent(&[]).await;
    let (mut follower, id) = begin(&plane, &agent, shop()).await;
    agent.say(&id, 1, [preparing(), line("one")]);
    follower.take(2).await;
    agent.break_streams();
    agent.say(&id, 1, [line("two")]);
    assert_eq!(words(&follower.take(1).await), ["two"]);
    agent.break_streams();
    agent.say(&id, 1, [ready(), settled()]);
    assert_eq!(words(&follower.rest().await), ["READY", "settled"]);
    assert_eq!(agent.asked_after(), [0, 2, 3]);
    assert_eq!(
        agent.starts(),
        1,
        "a stream is taken up, an attempt is not repeated"
    );
}

#[tokio::test]
async fn who_asks_for_events_that_are_gone_learns_which_is_the_oldest() {
    let (plane, agent) = with_agent(&["--history-limit=5"]).await;
    let follower = plane.prepare(shop()).await;
    let id = follower.id().to_owned();
    drop(follower);
    agent.started(&id, 1).await;
    agent.say(&id, 1, [preparing()]);
    agent.say(&id, 1, (0..18).map(|number| line(number.to_string())));
    agent.say(&id, 1, [ready(), settled()]);
    // 21 events, of which 1 and 18 to 21 are kept: output goes first.
    let all = plane.watch(&id, 20).await.rest().await;
    assert_eq!(words(&all), ["settled"]);
    let status = plane.try_watch(&id, 3, WatchUntil::Settled).await;
    let status = status.err().expect("a refusal");
    assert_eq!(status.code(), Code::OutOfRange);
    let details = status.get_error_details();
    let info = details.error_info().expect("error info");
    assert_eq!(info.reason, "HISTORY_TRIMMED");
    assert_eq!(info.metadata["oldest_sequence"], "18");
    // The oldest from which nothing is missing may be asked for, and zero means all that is kept.
    let events = plane.watch(&id, 17).await.rest().await;
    assert_eq!(words(&events), ["16", "17", "READY", "settled"]);
    let events = plane.watch(&id, 0).await.rest().await;
    assert_eq!(
        words(&events),
        ["PREPARING", "16", "17", "READY", "settled"]
    );
    let sequences: Vec<_> = events.iter().map(|event| event.sequence).collect();
    assert_eq!(sequences, [1, 18, 19, 20, 21]);
}
