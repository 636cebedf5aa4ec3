//! Streams that break.

use hearth_api::v1::{WatchUntil, WatchWorkspaceRequest, WorkspaceState};
use hearth_runtime::{Reason, status, status_with_metadata};
use tokio::io::{AsyncBufReadExt as _, BufReader};

use crate::{
    story::{ID, REPOSITORY, prepared, settled, story, watched, workspace},
    support::{Answer, Call, ControlPlane, End, LIMIT, ended, run},
};

fn watch(after_sequence: u64, until: WatchUntil) -> Call {
    Call::Watch(WatchWorkspaceRequest {
        workspace_id: ID.into(),
        after_sequence,
        until: until.into(),
    })
}

#[tokio::test]
async fn a_cut_connection_resumes_after_the_last_event_and_repeats_none() {
    let (pending, ready) = (WorkspaceState::Pending, WorkspaceState::Ready);
    let events = story(ready);
    let plane = ControlPlane::start([
        Answer::Prepare(prepared(workspace(pending, 0), &events[..2]), End::Never),
        // Event 2 again, although only later ones were requested: the client must not print it twice.
        Answer::Watch(watched(workspace(ready, 6), &events[1..]), End::Well),
        Answer::Get(Box::new(workspace(ready, 6))),
    ])
    .await;
    let mut child = plane
        .hearth(&["up", REPOSITORY, "--output", "json"])
        .spawn()
        .expect("the client");
    let mut lines = BufReader::new(child.stdout.take().expect("stdout")).lines();
    let mut sequences = Vec::new();
    while let Some(line) = tokio::time::timeout(LIMIT, lines.next_line())
        .await
        .expect("in time")
        .expect("readable")
    {
        let line: serde_json::Value = serde_json::from_str(&line).expect("JSON");
        sequences.extend(line["sequence"].as_str().map(str::to_owned));
        if sequences.len() == 2 && line["sequence"] == "2" {
            plane.cut();
        }
    }
    let ended = ended(child).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(sequences, ["1", "2", "3", "4", "5", "6"]);
    assert_eq!(plane.calls()[1], watch(2, WatchUntil::Hooks));
    let notes: Vec<_> = ended.stderr.lines().collect();
    assert_eq!(notes.len(), 2, "{notes:?}");
    assert!(
        notes[0].starts_with("hearth: the connection to the control plane was lost ("),
        "{notes:?}"
    );
    assert_eq!(notes[1], "hearth: reconnected; continuing after event 2");
}

#[tokio::test]
async fn a_control_plane_that_restarts_before_it_answers_is_asked_again_with_the_same_request_id() {
    let ready = WorkspaceState::Ready;
    let messages = prepared(workspace(WorkspaceState::Pending, 0), &story(ready));
    let plane = ControlPlane::start([
        Answer::Refuse(status(Reason::ShuttingDown, "shutting down")),
        Answer::Prepare(
            Vec::new(),
            End::With(status(Reason::ShuttingDown, "shutting down")),
        ),
        Answer::Prepare(messages, End::Well),
        Answer::Get(Box::new(workspace(ready, 6))),
    ])
    .await;
    let ended = run(plane.hearth(&["up", REPOSITORY])).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let calls = plane.calls();
    let Call::Prepare(first) = &calls[0] else {
        panic!("{calls:?}")
    };
    assert!(!first.request_id.is_empty());
    assert_eq!(calls[1], calls[0]);
    assert_eq!(calls[2], calls[0]);
}

#[tokio::test]
async fn a_stream_that_ends_too_early_is_taken_for_broken() {
    let ready = WorkspaceState::Ready;
    let events = story(ready);
    let plane = ControlPlane::start([
        Answer::Prepare(
            prepared(workspace(WorkspaceState::Pending, 0), &events[..4]),
            End::Well,
        ),
        Answer::Watch(watched(workspace(ready, 6), &events[4..]), End::Well),
        Answer::Get(Box::new(workspace(ready, 6))),
    ])
    .await;
    let ended = run(plane.hearth(&["up", REPOSITORY])).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(plane.calls()[1], watch(4, WatchUntil::Hooks));
}

#[tokio::test]
async fn watching_until_settled_goes_on_after_ready() {
    let ready = WorkspaceState::Ready;
    let events = story(ready);
    let plane = ControlPlane::start([
        Answer::Prepare(
            prepared(workspace(WorkspaceState::Pending, 0), &events),
            End::Well,
        ),
        Answer::Watch(watched(workspace(ready, 7), &[settled()]), End::Well),
        Answer::Get(Box::new(workspace(ready, 7))),
    ])
    .await;
    let ended = run(plane.hearth(&["up", REPOSITORY, "--until", "settled"])).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(plane.calls()[1], watch(6, WatchUntil::Settled));
}

#[tokio::test]
async fn history_that_was_trimmed_meanwhile_is_noted_and_skipped() {
    let ready = WorkspaceState::Ready;
    let events = story(ready);
    let trimmed = status_with_metadata(
        Reason::HistoryTrimmed,
        "events up to 4 were trimmed",
        [("oldest_sequence", "5".into())],
    );
    let plane = ControlPlane::start([
        Answer::Prepare(
            prepared(workspace(WorkspaceState::Pending, 0), &events[..2]),
            End::With(status(Reason::ShuttingDown, "shutting down")),
        ),
        Answer::Refuse(trimmed),
        Answer::Watch(watched(workspace(ready, 6), &events[4..]), End::Well),
        Answer::Get(Box::new(workspace(ready, 6))),
    ])
    .await;
    let ended = run(plane.hearth(&["up", REPOSITORY])).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(
        ended
            .stderr
            .contains("hearth: events 3 to 4 are no longer kept; continuing with event 5\n"),
        "{}",
        ended.stderr
    );
    assert_eq!(plane.calls()[1], watch(2, WatchUntil::Hooks));
    assert_eq!(plane.calls()[2], watch(4, WatchUntil::Hooks));
}

#[tokio::test]
async fn a_control_plane_that_does_not_come_back_exits_with_69_and_says_how_to_continue() {
    let plane = ControlPlane::start([Answer::Prepare(
        prepared(workspace(WorkspaceState::Pending, 0), &[]),
        End::With(status(Reason::ShuttingDown, "shutting down")),
    )])
    .await;
    let ended = run(plane.hearth(&["up", REPOSITORY, "--reconnect-seconds", "0"])).await;
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(69), ""));
    assert!(
        ended
            .stderr
            .ends_with("  when it is back, continue with: hearth logs sample-1 --follow\n"),
        "{}",
        ended.stderr
    );
}

#[tokio::test]
async fn a_request_id_that_finds_an_existing_workspace_shows_its_whole_log() {
    let ready = WorkspaceState::Ready;
    let events = story(ready);
    let plane = ControlPlane::start([
        Answer::Prepare(
            prepared(workspace(WorkspaceState::Preparing, 3), &events[3..4]),
            End::Never,
        ),
        Answer::Watch(watched(workspace(ready, 6), &events), End::Well),
        Answer::Get(Box::new(workspace(ready, 6))),
    ])
    .await;
    let arguments = ["up", REPOSITORY, "--request-id", "r-1", "--output", "json"];
    let ended = run(plane.hearth(&arguments)).await;
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    assert_eq!(ended.stdout.lines().count(), 7, "{}", ended.stdout);
    assert_eq!(plane.calls()[1], watch(0, WatchUntil::Hooks));
}

#[tokio::test]
async fn a_workspace_prepared_again_is_followed_from_its_new_attempt() {
    let ready = WorkspaceState::Ready;
    let events = story(ready);
    let plane = ControlPlane::start([
        Answer::Prepare(
            prepared(workspace(WorkspaceState::Pending, 3), &events[3..]),
            End::Well,
        ),
        Answer::Get(Box::new(workspace(ready, 6))),
    ])
    .await;
    let arguments = ["up", "--workspace", ID, "--output", "json"];
    let ended = run(plane.hearth(&arguments)).await;
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    assert_eq!(ended.stdout.lines().count(), 4, "{}", ended.stdout);
    let calls = plane.calls();
    assert!(
        matches!(&calls[0], Call::Prepare(request) if request.workspace_id == ID && request.spec.is_none()),
        "{calls:?}"
    );
}
