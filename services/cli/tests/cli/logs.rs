use hearth_api::v1::{
    GetBuildLogRequest, GetBuildLogResponse, WatchUntil, WatchWorkspaceRequest, WorkspaceState,
};
use hearth_runtime::{Reason, status, status_with_metadata};

use crate::{
    story::{ID, settled, story, watched, workspace},
    support::{Answer, Call, ControlPlane, End, run},
};

fn watch(after_sequence: u64) -> Call {
    Call::Watch(WatchWorkspaceRequest {
        workspace_id: ID.into(),
        after_sequence,
        until: WatchUntil::Settled.into(),
    })
}

#[tokio::test]
async fn the_log_is_printed_to_its_present_end_although_the_stream_goes_on() {
    let preparing = WorkspaceState::Preparing;
    let events = &story(WorkspaceState::Ready)[..5];
    let plane = ControlPlane::start([Answer::Watch(
        watched(workspace(preparing, 5), events),
        End::Never,
    )])
    .await;
    let ended = run(plane.hearth(&["logs", ID])).await;
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    assert_eq!(
        ended.stdout,
        "\
2023-11-14T22:13:21Z PREPARING
2023-11-14T22:13:22Z clone: clones the repository
2023-11-14T22:13:23Z clone done (1.2 s)
2023-11-14T22:13:24Z [3/10] RUN make (cached)
2023-11-14T22:13:25Z image | hello from the build
"
    );
    assert_eq!(plane.calls(), [watch(0)]);
}

#[tokio::test]
async fn following_resumes_a_broken_stream_and_ends_when_the_workspace_has_settled() {
    let (preparing, ready) = (WorkspaceState::Preparing, WorkspaceState::Ready);
    let events = story(ready);
    let stopping = status(Reason::ShuttingDown, "shutting down");
    let plane = ControlPlane::start([
        Answer::Watch(
            watched(workspace(preparing, 4), &events[3..4]),
            End::With(stopping),
        ),
        Answer::Watch(
            watched(workspace(ready, 6), &[&events[4..], &[settled()]].concat()),
            End::Well,
        ),
    ])
    .await;
    let arguments = ["logs", ID, "--after", "3", "--follow", "--output", "json"];
    let ended = run(plane.hearth(&arguments)).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let sequences: Vec<_> = ended
        .stdout
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON"))
        .map(|event| event["sequence"].as_str().map(str::to_owned))
        .collect();
    assert_eq!(
        sequences,
        ["4", "5", "6", "7"].map(|text| Some(text.to_owned()))
    );
    assert_eq!(plane.calls(), [watch(3), watch(4)]);
}

#[tokio::test]
async fn a_trimmed_log_is_printed_from_the_oldest_event_with_a_note() {
    let ready = WorkspaceState::Ready;
    let trimmed = status_with_metadata(
        Reason::HistoryTrimmed,
        "events up to 4 were trimmed",
        [("oldest_sequence", "5".into())],
    );
    let rest = || Answer::Watch(watched(workspace(ready, 6), &story(ready)[4..]), End::Well);

    let plane = ControlPlane::start([Answer::Refuse(trimmed), rest()]).await;
    let after = run(plane.hearth(&["logs", ID, "--after", "2"])).await;
    assert_eq!(plane.calls(), [watch(2), watch(4)]);
    // Without --after the stream begins at the oldest event that is kept.
    let plane = ControlPlane::start([rest()]).await;
    let all = run(plane.hearth(&["logs", ID])).await;
    assert_eq!(plane.calls(), [watch(0)]);

    for (ended, first) in [(after, 3), (all, 1)] {
        assert_eq!(ended.code, Some(0));
        assert_eq!(
            ended.stderr,
            format!("hearth: events {first} to 4 are no longer kept; continuing with event 5\n")
        );
        assert_eq!(ended.stdout.lines().count(), 2, "{}", ended.stdout);
    }
}

#[tokio::test]
async fn an_unknown_workspace_is_an_error_of_the_call() {
    let plane = ControlPlane::start([Answer::Refuse(status(
        Reason::WorkspaceUnknown,
        "there is no workspace `gone`",
    ))])
    .await;
    let ended = run(plane.hearth(&["logs", "gone"])).await;
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""));
    assert_eq!(
        ended.stderr,
        "hearth: there is no workspace `gone`\n  reason WORKSPACE_UNKNOWN (NOT_FOUND)\n  list the workspaces with: hearth ls\n"
    );
}

#[tokio::test]
async fn the_log_of_a_build_is_printed_whole_and_safe_for_a_terminal() {
    let piece = |text: &str| GetBuildLogResponse {
        attempt: 2,
        text: text.into(),
    };
    let unknown = status(Reason::BuildLogUnknown, "nothing was built");
    let plane = ControlPlane::start([
        Answer::BuildLog(vec![piece("one\n"), piece("t\u{1b}[2Jwo\n")]),
        Answer::BuildLog(vec![piece("one\n")]),
        Answer::Refuse(unknown),
    ])
    .await;
    let text = run(plane.hearth(&["logs", ID, "--build"])).await;
    assert_eq!((text.code, text.stdout.as_str()), (Some(0), "one\ntwo\n"));
    let json = run(plane.hearth(&["logs", ID, "--build", "--output", "json"])).await;
    let parsed: serde_json::Value = serde_json::from_str(&json.stdout).expect("JSON");
    assert_eq!(parsed["text"], "one\n");
    let none = run(plane.hearth(&["logs", ID, "--build"])).await;
    assert!(
        none.code != Some(0) && none.stderr.contains("nothing was built"),
        "{}",
        none.stderr
    );
    let both = run(plane.hearth(&["logs", ID, "--build", "--follow"])).await;
    assert_eq!(both.code, Some(64));
    let asked = Call::BuildLog(GetBuildLogRequest {
        workspace_id: ID.into(),
    });
    assert_eq!(plane.calls(), vec![asked; 3]);
}
