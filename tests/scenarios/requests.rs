//! Requests that are wrong, and requests that come twice.

use hearth_api::v1::{FailureReason, PrepareWorkspaceRequest, WorkspaceState};
use hearth_tests::{Lab, app, client::request};
use tonic::Code;
use tonic_types::StatusExt as _;

#[tokio::test]
async fn the_same_request_twice_is_one_workspace_and_another_payload_is_refused() {
    let lab = Lab::new(1).await;
    let repo = app::with_dockerfile(&lab, "app", "FROM BASE\nRUN echo x > /x\n", "");
    let twice = PrepareWorkspaceRequest {
        request_id: "r-1".to_owned(),
        ..request("node-1", &repo.url)
    };
    let (first, second) =
        tokio::join!(lab.client.run(twice.clone()), lab.client.run(twice.clone()));
    assert_eq!(first.workspace.id, second.workspace.id);
    assert_eq!(first.workspace.attempt, 1);
    let containers = lab.vms[0].docker(&["ps", "--quiet"]);
    assert_eq!(containers.lines().count(), 1, "{containers}");

    let mut other = twice;
    other.spec.as_mut().unwrap().r#ref = "other".to_owned();
    let status = lab.client.begin(other).await.unwrap_err();
    assert_eq!(status.code(), Code::AlreadyExists);
    assert_eq!(
        status.get_error_details().error_info().unwrap().reason,
        "REQUEST_ID_REUSED"
    );
}

type Change = fn(&mut PrepareWorkspaceRequest);

#[tokio::test]
async fn a_wrong_request_is_refused_by_the_name_of_its_field() {
    let lab = Lab::new(1).await;
    let repo = lab.git.repo("plain", &[("README", "x")]);
    let refused = |change: Change| {
        let mut request = request("node-1", &repo.url);
        change(&mut request);
        let client = lab.client.clone();
        async move { client.begin(request).await.unwrap_err() }
    };
    let cases: [(Change, Code, &str); 7] = [
        (|r| r.node = "nowhere".into(), Code::NotFound, "node"),
        (
            |r| r.spec.as_mut().unwrap().repository = "no url".into(),
            Code::InvalidArgument,
            "spec.repository",
        ),
        (
            |r| r.spec.as_mut().unwrap().repository = "file:///etc".into(),
            Code::InvalidArgument,
            "spec.repository",
        ),
        (
            |r| r.spec.as_mut().unwrap().config = "../x".into(),
            Code::InvalidArgument,
            "spec.config",
        ),
        (
            |r| r.spec.as_mut().unwrap().config = "a/../b".into(),
            Code::InvalidArgument,
            "spec.config",
        ),
        (
            |r| r.spec.as_mut().unwrap().r#ref = "--upload-pack=x".into(),
            Code::InvalidArgument,
            "spec.ref",
        ),
        (
            |r| r.spec.as_mut().unwrap().timeout_seconds = 1_000_000,
            Code::InvalidArgument,
            "spec.timeout_seconds",
        ),
    ];
    for (change, code, field) in cases {
        let status = refused(change).await;
        assert_eq!(status.code(), code, "{field}: {status:?}");
        let details = status.get_error_details();
        let violations = &details
            .bad_request()
            .expect("field violations")
            .field_violations;
        assert_eq!(violations[0].field, field);
        assert!(status.message().contains(field), "{}", status.message());
        assert_eq!(details.error_info().unwrap().domain, "hearth");
    }
    assert!(lab.vms[0].docker(&["volume", "ls", "--quiet"]).is_empty());
}

#[tokio::test]
async fn what_only_the_node_can_find_out_is_a_failed_workspace_with_the_commands_last_lines() {
    let lab = Lab::new(1).await;
    let repo = lab.git.repo("plain", &[("README", "x")]);
    let mut no_ref = request("node-1", &repo.url);
    no_ref.spec.as_mut().unwrap().r#ref = "nowhere".to_owned();
    let mut no_config = request("node-1", &repo.url);
    no_config.spec.as_mut().unwrap().config = "gpu".to_owned();
    let unreachable = request("node-1", "git://127.0.0.1:1/a/b");
    let missing = request("node-1", &lab.git.url("missing"));
    for (request, reason, says) in [
        (no_ref, FailureReason::RefNotFound, "nowhere"),
        (
            no_config,
            FailureReason::ConfigNotFound,
            ".devcontainer/gpu/devcontainer.json",
        ),
        (
            unreachable,
            FailureReason::CloneFailed,
            "Connection refused",
        ),
        (missing, FailureReason::CloneFailed, "missing"),
    ] {
        let story = lab.client.run(request).await;
        story.assert_whole();
        story.assert_state(WorkspaceState::Failed);
        let failure = story.workspace.failure.clone().unwrap();
        assert_eq!(failure.reason(), reason, "{failure:?}");
        assert!(
            format!("{} {}", failure.message, failure.output_tail).contains(says),
            "{failure:?}"
        );
    }
    lab.assert_nothing_left(1).await;
}

#[tokio::test]
async fn a_branch_a_tag_or_a_commit_is_what_is_checked_out() {
    let lab = Lab::new(1).await;
    let repo = lab.git.repo("plain", &[("README", "one")]);
    let first = lab
        .client
        .prepare("node-1", &repo.url)
        .await
        .workspace
        .commit;
    repo.commit(&[("README", "two")]);
    let mut old = request("node-1", &repo.url);
    old.spec.as_mut().unwrap().r#ref = first.clone();
    let story = lab.client.run(old).await;
    assert_eq!(story.workspace.commit, first);
    let id = &story.workspace.container_id;
    assert_eq!(lab.vms[0].cat(id, "/workspaces/plain/README"), "one");
}

#[tokio::test]
async fn an_attempt_that_is_not_ready_in_time_is_stopped_and_told() {
    let lab = Lab::new(1).await;
    let repo = app::with_dockerfile(&lab, "app", "FROM BASE\nRUN sleep 600\n", "");
    let mut short = request("node-1", &repo.url);
    short.spec.as_mut().unwrap().timeout_seconds = 3;
    let story = lab.client.run(short).await;
    story.assert_whole();
    assert_eq!(
        story.workspace.failure.unwrap().reason(),
        FailureReason::TimedOut
    );
    lab.assert_nothing_left(1).await;
}
