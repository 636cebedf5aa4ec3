use hearth_api::v1::{
    AccessCheck, AccessCheckKind, AccessCheckStatus, ListNodesResponse, Node, NodeState,
    ProbeAccessRequest, ProbeAccessResponse,
};

use crate::support::{Answer, Call, ControlPlane, run};

const REPOSITORY: &str = "https://github.com/acme/shop";

fn nodes(states: &[NodeState]) -> Answer {
    Answer::Nodes(ListNodesResponse {
        nodes: (1..)
            .zip(states)
            .map(|(number, &state)| Node {
                name: format!("node-{number}"),
                state: state.into(),
                ..Node::default()
            })
            .collect(),
        ..ListNodesResponse::default()
    })
}

fn probed(push: AccessCheckStatus) -> Answer {
    let check = |kind: AccessCheckKind, status: AccessCheckStatus, message: &str| AccessCheck {
        kind: kind.into(),
        status: status.into(),
        message: message.into(),
    };
    Answer::Probed(ProbeAccessResponse {
        summary: "The sum\u{1b}[7mmary.".into(),
        cache_repository: "ghcr.io/acme/shop".into(),
        checks: vec![
            check(AccessCheckKind::GitRead, AccessCheckStatus::Ok, "is read"),
            check(AccessCheckKind::Push, push, "is not allowed"),
        ],
    })
}

fn asked(git_ref: &str) -> Call {
    Call::Probe(ProbeAccessRequest {
        repository: REPOSITORY.into(),
        r#ref: git_ref.into(),
    })
}

#[tokio::test]
async fn doctor_tells_why_a_control_plane_takes_no_work() {
    let Answer::Nodes(answer) = nodes(&[NodeState::Online]) else {
        unreachable!()
    };
    let plane = ControlPlane::start([Answer::Nodes(ListNodesResponse {
        problem: "the database cannot be written; look after its disk".into(),
        ..answer
    })])
    .await;
    let doctor = run(plane.hearth(&["doctor"])).await;
    assert_eq!(doctor.code, Some(4), "{doctor:?}");
    let told = "takes no work: the database cannot be written; look after its disk";
    assert!(doctor.stdout.contains(told), "{doctor:?}");
    assert!(doctor.stdout.contains("FAILED"), "{doctor:?}");
}

#[tokio::test]
async fn probe_shows_each_check_and_the_summary_and_its_exit_code_says_whether_all_is_well() {
    let plane = ControlPlane::start([
        probed(AccessCheckStatus::Failed),
        probed(AccessCheckStatus::Warning),
    ])
    .await;
    let text = run(plane.hearth(&["cache", "probe", REPOSITORY])).await;
    assert_eq!(
        text.stdout,
        "\
CHECK     STATUS  FINDING
git read  OK      is read
push      FAILED  is not allowed

The summary.
"
    );
    assert_eq!(text.code, Some(4));
    let arguments = [
        "cache", "probe", REPOSITORY, "--ref", "main", "--output", "json",
    ];
    let json = run(plane.hearth(&arguments)).await;
    assert_eq!(json.code, Some(0), "{}", json.stderr);
    let answer: serde_json::Value = serde_json::from_str(&json.stdout).expect("JSON");
    assert_eq!(answer["cacheRepository"], "ghcr.io/acme/shop");
    assert_eq!(plane.calls(), [asked(""), asked("main")]);
}

#[tokio::test]
async fn doctor_looks_at_the_nodes_and_at_a_repository_when_there_is_one() {
    let (online, lost) = (NodeState::Online, NodeState::Lost);
    for (states, code, finding) in [
        (
            &[][..],
            4,
            "nodes          FAILED  no node has ever registered",
        ),
        (
            &[lost],
            4,
            "nodes          FAILED  no node is online; lost: node-1",
        ),
        (
            &[online, lost],
            0,
            "nodes          WARNING  1 online; lost: node-2",
        ),
        (&[online, online], 0, "nodes          OK      2 online"),
    ] {
        let plane = ControlPlane::start([nodes(states)]).await;
        let text = run(plane.hearth(&["doctor"])).await;
        assert_eq!(text.code, Some(code), "{}", text.stderr);
        assert!(text.stdout.contains(finding), "{}", text.stdout);
        assert_eq!(plane.calls(), [Call::Nodes]);
    }
    let plane = ControlPlane::start([nodes(&[online]), probed(AccessCheckStatus::Failed)]).await;
    let text = run(plane.hearth(&["doctor", REPOSITORY])).await;
    assert_eq!(text.code, Some(4));
    assert!(
        text.stdout
            .contains("push           FAILED  is not allowed")
    );
    assert!(text.stdout.ends_with("\nThe summary.\n"), "{}", text.stdout);
    assert_eq!(plane.calls(), [Call::Nodes, asked("")]);
}

#[tokio::test]
async fn a_ref_without_a_repository_is_wrong_usage() {
    let plane = ControlPlane::start([]).await;
    let ended = run(plane.hearth(&["doctor", "--ref", "main"])).await;
    assert_eq!(ended.code, Some(64), "{}", ended.stderr);
}
