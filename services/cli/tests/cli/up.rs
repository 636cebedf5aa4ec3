use hearth_api::v1::{
    CacheAccess, CloneDepth, Fallback, GetWorkspaceRequest, GitOptions, Lifetime,
    PrepareWorkspaceRequest, Rebuild, TtlAction, WatchUntil, WorkspaceSpec, WorkspaceState,
};
use hearth_runtime::{FieldFaults, Reason, status};
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt as _, BufReader};

use crate::{
    story::{ID, REPOSITORY, prepared, spec, story, workspace},
    support::{Answer, Call, ControlPlane, End, LIMIT, ended, hearth, run},
};

/// A preparation that goes through in one stream and leaves the workspace in `last`.
pub fn smooth(last: WorkspaceState) -> [Answer; 2] {
    let messages = prepared(workspace(WorkspaceState::Pending, 0), &story(last));
    [
        Answer::Prepare(messages, End::Well),
        Answer::Get(Box::new(workspace(last, 6))),
    ]
}

#[tokio::test]
async fn a_pipe_gets_plain_lines_and_then_the_summary() {
    let plane = ControlPlane::start(smooth(WorkspaceState::Ready)).await;
    let ended = run(plane.hearth(&["up", REPOSITORY, "--request-id", "r-1"])).await;
    assert_eq!(
        ended.stderr,
        "\
workspace sample-1 on node-1: PENDING
[   0.0s] PREPARING
[   1.0s] clone: clones the repository
[   2.0s] clone done (1.2 s)
[   3.0s] [3/10] RUN make (cached)
[   5.0s] READY after 5.0 s
"
    );
    assert_eq!(
        ended.stdout,
        "\
READY in 9.0 s: sample-1 on node-1
  repository https://git.example/team/sample
  cache      partial hit: 7 of 10 steps reused, built in 5.0 s
  container  0123456789ab, user vscode, folder /workspaces/sample
  enter      hearth shell sample-1
  push       running in the background; follow it with: hearth logs sample-1 --follow
"
    );
    assert_eq!(ended.code, Some(0));
    assert_eq!(
        plane.calls(),
        [
            Call::Prepare(PrepareWorkspaceRequest {
                request_id: "r-1".into(),
                spec: Some(spec()),
                until: WatchUntil::Hooks.into(),
                ..Default::default()
            }),
            Call::Get(GetWorkspaceRequest {
                workspace_id: ID.into()
            }),
        ]
    );
}

/// Its container was stopped, or its node lost, between the last event and the summary.
#[tokio::test]
async fn what_becomes_of_a_workspace_after_it_was_prepared_is_told_and_is_not_the_exit_code() {
    for (reached, code) in [(WorkspaceState::Ready, 0), (WorkspaceState::Recovery, 3)] {
        let [prepared, _] = smooth(reached);
        let lost = Answer::Get(Box::new(workspace(WorkspaceState::Lost, 6)));
        let plane = ControlPlane::start([prepared, lost]).await;
        let ended = run(plane.hearth(&["up", REPOSITORY])).await;
        assert_eq!(ended.code, Some(code), "{}", ended.stderr);
        assert!(ended.stdout.starts_with("LOST: "), "{}", ended.stdout);
    }
}

#[tokio::test]
async fn every_option_reaches_the_request() {
    let plane = ControlPlane::start(smooth(WorkspaceState::Ready)).await;
    let mut command = plane.hearth(&["up", REPOSITORY]);
    command.args([
        "--ref",
        "main",
        "--config",
        "web",
        "--node",
        "node-2",
        "--lightweight",
    ]);
    command.args([
        "--cache",
        "read-only",
        "--timeout",
        "60",
        "--clone",
        "shallow",
        "--sparse",
        "web,docs/",
        "--author",
        "Ada <ada@example.org>",
        "--fallback",
        "none",
        "--request-id",
        "r-1",
    ]);
    command.args(["--label", "team=web", "--owner", "ann", "--ttl", "3600"]);
    command.args(["--idle-timeout", "60", "--ttl-action", "delete"]);
    assert_eq!(run(command).await.code, Some(0));
    let expected = Call::Prepare(PrepareWorkspaceRequest {
        request_id: "r-1".into(),
        spec: Some(WorkspaceSpec {
            repository: REPOSITORY.into(),
            r#ref: "main".into(),
            config: "web".into(),
            lightweight: true,
            cache_access: CacheAccess::ReadOnly.into(),
            timeout_seconds: 60,
            git: Some(GitOptions {
                depth: CloneDepth::Shallow.into(),
                sparse: vec!["web".into(), "docs".into()],
                author_name: "Ada".into(),
                author_email: "ada@example.org".into(),
            }),
            fallback: Fallback::None.into(),
        }),
        node: "node-2".into(),
        workspace_id: String::new(),
        until: WatchUntil::Hooks.into(),
        labels: [("team".to_owned(), "web".to_owned())].into(),
        owner: "ann".into(),
        lifetime: Some(Lifetime {
            ttl_seconds: Some(3600),
            idle_timeout_seconds: Some(60),
            ttl_action: TtlAction::Delete.into(),
        }),
        ..Default::default()
    });
    assert_eq!(plane.calls()[0], expected);
}

#[tokio::test]
async fn output_of_commands_is_shown_on_demand_and_without_escape_sequences() {
    let plane = ControlPlane::start(smooth(WorkspaceState::Ready)).await;
    let ended = run(plane.hearth(&["up", REPOSITORY, "--verbose"])).await;
    assert!(
        ended
            .stderr
            .contains("[   4.0s] image | hello from the build\n"),
        "{}",
        ended.stderr
    );
    for text in [ended.stdout, ended.stderr] {
        assert!(
            !text.contains(|c: char| c.is_control() && c != '\n'),
            "{text:?}"
        );
    }
}

#[tokio::test]
async fn json_is_one_event_a_line_and_the_workspace_last() {
    let plane = ControlPlane::start(smooth(WorkspaceState::Ready)).await;
    let ended = run(plane.hearth(&["up", REPOSITORY, "--output", "json"])).await;
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    let lines: Vec<serde_json::Value> = ended
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let (last, events) = lines.split_last().expect("lines");
    let sequences: Vec<_> = events.iter().map(|event| &event["sequence"]).collect();
    assert_eq!(sequences, ["1", "2", "3", "4", "5", "6"]);
    assert_eq!(events[5]["stateChanged"]["state"], "WORKSPACE_STATE_READY");
    assert_eq!(last["id"], ID);
    assert_eq!(last["cache"]["result"], "CACHE_RESULT_PARTIAL");
    assert_eq!(last["containerId"], "0123456789abcdef");
}

#[tokio::test]
async fn a_failed_workspace_exits_with_2_and_shows_the_tail_of_the_output() {
    let plane = ControlPlane::start(smooth(WorkspaceState::Failed)).await;
    let ended = run(plane.hearth(&["up", REPOSITORY])).await;
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""));
    let tail = "\
BUILD_FAILED in image: the image could not be built
  | make: nothing to be done
  | make: *** Error 2
  next       mend what the build stumbled over, push it, and prepare the workspace again
  again      hearth up --workspace sample-1
  log        hearth logs sample-1 --build
";
    assert!(ended.stderr.ends_with(tail), "{}", ended.stderr);

    let plane = ControlPlane::start(smooth(WorkspaceState::Failed)).await;
    let ended = run(plane.hearth(&["up", REPOSITORY, "--output", "json"])).await;
    assert_eq!(
        (ended.code, ended.stderr.as_str()),
        (
            Some(2),
            "\
hearth: sample-1 is FAILED: BUILD_FAILED in image: the image could not be built
  next: mend what the build stumbled over, push it, and prepare the workspace again
  again: hearth up --workspace sample-1
  log: hearth logs sample-1 --build
"
        )
    );
}

#[tokio::test]
async fn a_workspace_in_recovery_exits_with_3_and_says_why() {
    let plane = ControlPlane::start(smooth(WorkspaceState::Recovery)).await;
    let ended = run(plane.hearth(&["up", REPOSITORY])).await;
    assert_eq!(ended.code, Some(3));
    assert!(
        ended.stdout.starts_with("RECOVERY in 9.0 s"),
        "{}",
        ended.stdout
    );
    assert!(
        ended.stdout.contains("BUILD_FAILED in image"),
        "{}",
        ended.stdout
    );
}

#[tokio::test]
async fn a_field_that_the_control_plane_refuses_is_named() {
    let mut faults = FieldFaults::default();
    faults.add("node", "must be the name of one folder");
    let refusal = faults.into_result().expect_err("a fault");
    let plane = ControlPlane::start([Answer::Refuse(refusal)]).await;
    let ended = run(plane.hearth(&["up", REPOSITORY, "--node", "../x", "--output", "json"])).await;
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(64), ""));
    assert_eq!(
        ended.stderr,
        "hearth: --node '../x' must be the name of one folder\n"
    );
}

#[tokio::test]
async fn a_bad_argument_is_named_before_anything_is_asked() {
    for (arguments, message) in [
        (
            &["up", "https://robot:secret@git.example/a"][..],
            "hearth: REPO '…@git.example/a' carries a user name or password",
        ),
        (
            &["up", REPOSITORY, "--config", "../x"],
            "hearth: --config '../x' must be the name of one folder",
        ),
        (
            &["doctor", REPOSITORY, "--ref", "a..b"],
            "hearth: --ref 'a..b' is not the name of a branch, tag or commit",
        ),
    ] {
        let plane = ControlPlane::start([]).await;
        let ended = run(plane.hearth(arguments)).await;
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(64), ""));
        assert!(ended.stderr.starts_with(message), "{}", ended.stderr);
        assert!(!ended.stderr.contains("secret"), "{}", ended.stderr);
        assert_eq!(plane.calls(), []);
    }
}

#[tokio::test]
async fn a_fleet_without_room_is_an_answer_and_not_tried_again() {
    let refusal = status(Reason::NodeUnavailable, "no node can take the workspace");
    let plane = ControlPlane::start([Answer::Refuse(refusal)]).await;
    let ended = run(plane.hearth(&["up", REPOSITORY])).await;
    assert_eq!(ended.code, Some(1));
    assert!(
        ended.stderr.contains("try again in 5 s"),
        "{}",
        ended.stderr
    );
    assert_eq!(plane.calls().len(), 1);
}

#[tokio::test]
async fn a_control_plane_that_is_not_there_exits_with_69() {
    // A port that was just freed could be given to another test; nothing listens on port 1.
    for arguments in [["up", REPOSITORY], ["get", ID], ["logs", ID]] {
        let ended = run(hearth("http://127.0.0.1:1", &arguments)).await;
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(69), ""));
        assert!(
            ended.stderr.starts_with(
                "hearth: no control plane listens at http://127.0.0.1:1 (connection refused)\n"
            ),
            "{}",
            ended.stderr
        );
    }
}

#[tokio::test]
async fn an_interrupt_says_that_preparation_continues_and_how_to_watch_it() {
    let messages = prepared(
        workspace(WorkspaceState::Pending, 0),
        &story(WorkspaceState::Ready)[..2],
    );
    let plane = ControlPlane::start([Answer::Prepare(messages, End::Never)]).await;
    let mut child = plane
        .hearth(&["up", REPOSITORY, "--output", "json"])
        .spawn()
        .expect("the client");
    let mut lines = BufReader::new(child.stdout.take().expect("stdout")).lines();
    let first = tokio::time::timeout(LIMIT, lines.next_line()).await;
    assert!(first.expect("in time").expect("readable").is_some());
    let id = child
        .id()
        .and_then(|id| Pid::from_raw(id as i32))
        .expect("a process");
    kill_process(id, Signal::INT).expect("a signal");
    let ended = ended(child).await;
    assert_eq!(ended.code, Some(130));
    assert_eq!(
        ended.stderr,
        "\
hearth: interrupted; preparation continues in the background
  watch: hearth logs sample-1 --follow
  stop:  hearth rm sample-1
"
    );
}

#[tokio::test]
async fn a_reader_that_leaves_ends_the_client_quietly() {
    let plane = ControlPlane::start(smooth(WorkspaceState::Ready)).await;
    let mut child = plane
        .hearth(&["up", REPOSITORY, "--output", "json"])
        .spawn()
        .expect("the client");
    drop(child.stdout.take());
    let ended = ended(child).await;
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(141), ""));
}

#[tokio::test]
async fn a_rebuild_asks_for_what_it_keeps_and_shows_its_progress() {
    for (arguments, rebuild, fresh_clone) in [
        (&[][..], Rebuild::WithCache, false),
        (&["--no-cache"], Rebuild::WithoutCache, false),
        (
            &["--no-cache", "--fresh-clone"],
            Rebuild::WithoutCache,
            true,
        ),
    ] {
        let plane = ControlPlane::start(smooth(WorkspaceState::Ready)).await;
        let command = [&["rebuild", ID, "--request-id", "r-1"], arguments].concat();
        let ended = run(plane.hearth(&command)).await;
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        assert!(
            ended.stderr.contains("READY after 5.0 s"),
            "{}",
            ended.stderr
        );
        let asked = Call::Prepare(PrepareWorkspaceRequest {
            request_id: "r-1".into(),
            workspace_id: ID.into(),
            until: WatchUntil::Hooks.into(),
            rebuild: rebuild.into(),
            fresh_clone,
            ..Default::default()
        });
        assert_eq!(plane.calls()[0], asked);
    }
}

#[tokio::test]
async fn what_a_failure_leads_to_and_folders_of_the_repository_are_asked_for() {
    let plane = ControlPlane::start(smooth(WorkspaceState::Ready)).await;
    let config = "./services/api/.devcontainer/devcontainer.json";
    let command = [
        "up",
        REPOSITORY,
        "--config",
        config,
        "--fallback",
        "last-good",
    ];
    run(plane.hearth(&command)).await;
    let Call::Prepare(request) = &plane.calls()[0] else {
        panic!("a call to prepare");
    };
    let spec = request.spec.clone().expect("a spec");
    assert_eq!(spec.config, "services/api");
    assert_eq!(spec.fallback(), Fallback::LastGood);
}
