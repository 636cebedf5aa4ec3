//! What a user reads when something fails, in full: `failures/NAME.txt`, made by the real client. `UPDATE_SNAPSHOTS=1`
//! writes the files anew.

mod workspaces;

use std::{env, fs, path::Path};

use hearth_api::v1::{
    CacheReport, CacheResult, CacheSkipReason, Failure, FailureReason as Reason, PipelineStep,
    PushOutcome, PushReport, Workspace, WorkspaceState as State,
};
use hearth_runtime::{FieldFaults, Reason as Refusal, status};
use tonic::Status;

use self::workspaces::{failures, pushes};
use crate::{
    story::{ID, REPOSITORY, prepared, story, workspace},
    support::{Answer, ControlPlane, End, hearth, run},
};

/// A command, and how the control plane answers.
struct Case {
    name: String,
    arguments: Vec<&'static str>,
    answers: Vec<Answer>,
}

fn case(name: &str, arguments: &[&'static str], answers: Vec<Answer>) -> Case {
    Case {
        name: name.to_owned(),
        arguments: arguments.to_vec(),
        answers,
    }
}

/// `hearth get` of a workspace; `hearth up` ends with the same.
fn shown(name: &str, workspace: Workspace) -> Case {
    case(name, &["get", ID], vec![Answer::Get(Box::new(workspace))])
}

fn gone() -> Status {
    Status::unavailable("connection reset by peer")
}

fn spoilt(state: State, reason: Reason, step: PipelineStep, message: &str) -> Workspace {
    Workspace {
        failure: Some(Failure {
            reason: reason.into(),
            message: message.into(),
            step: step.into(),
            output_tail: String::new(),
        }),
        ..workspace(state, 9)
    }
}

fn failed(reason: Reason, step: PipelineStep, message: &str) -> Workspace {
    spoilt(State::Failed, reason, step, message)
}

/// In RECOVERY; the default image runs.
fn fallback(reason: Reason, step: PipelineStep, message: &str, tail: &str) -> Workspace {
    let mut workspace = spoilt(State::Recovery, reason, step, message);
    workspace.cache = Some(CacheReport {
        result: CacheResult::Skipped.into(),
        skip_reason: CacheSkipReason::Fallback.into(),
        ..CacheReport::default()
    });
    if let Some(failure) = &mut workspace.failure {
        failure.output_tail = tail.into();
    }
    workspace
}

fn refused(name: &str, arguments: &[&'static str], reason: Refusal, message: &str) -> Case {
    case(
        name,
        arguments,
        vec![Answer::Refuse(status(reason, message))],
    )
}

fn malformed(name: &str, arguments: &[&'static str], field: &str, why: &str) -> Case {
    let mut faults = FieldFaults::default();
    faults.add(field, why);
    let refusal = faults.into_result().expect_err("a fault");
    case(name, arguments, vec![Answer::Refuse(refusal)])
}

fn arguments() -> Vec<Case> {
    let cases: [(&str, &[&str]); 13] = [
        ("repository-without-a-host", &["up", "owner/repo"]),
        (
            "repository-page",
            &["up", "https://github.com/owner/repo/tree/main"],
        ),
        (
            "repository-with-a-password",
            &["up", "https://robot:planted@git.example/a"],
        ),
        ("ref", &["up", REPOSITORY, "--ref", "a..b"]),
        ("ref-with-a-dash", &["up", REPOSITORY, "--ref", "-x"]),
        ("config-path", &["up", REPOSITORY, "--config", "../gpu"]),
        ("timeout", &["up", REPOSITORY, "--timeout", "99999"]),
        ("timeout-zero", &["up", REPOSITORY, "--timeout", "0"]),
        ("id-with-a-dash", &["get", "-ws-1"]),
        ("id-left-out", &["rm"]),
        (
            "address-without-a-scheme",
            &["ls", "--control-plane", "localhost:7400"],
        ),
        (
            "address-not-encrypted",
            &["ls", "--control-plane", "http://plane.example:7400"],
        ),
        (
            "nothing-listens",
            &["ls", "--control-plane", "http://127.0.0.1:1"],
        ),
    ];
    cases
        .map(|(name, arguments)| case(name, arguments, Vec::new()))
        .into()
}

fn refusals() -> Vec<Case> {
    vec![
        malformed(
            "node-unknown",
            &["up", REPOSITORY, "--node", "nope"],
            "node",
            "is no node of this control plane; `hearth nodes` lists them",
        ),
        malformed(
            "key-too-short",
            &["cache", "rm", REPOSITORY, "--key", "zz"],
            "key",
            "must be a cache key or at least its first 8 hex digits",
        ),
        malformed(
            "request-id",
            &["up", REPOSITORY, "--request-id", "a-very-long-one"],
            "request_id",
            "is longer than 128 bytes",
        ),
        refused(
            "workspace-unknown",
            &["get", "ws-none"],
            Refusal::WorkspaceUnknown,
            "there is no workspace ws-none",
        ),
        refused(
            "no-node-online",
            &["up", REPOSITORY],
            Refusal::NodeUnavailable,
            "no node is online; start an agent that registers with this control plane",
        ),
        refused(
            "request-id-reused",
            &["up", REPOSITORY, "--request-id", "r-1"],
            Refusal::RequestIdReused,
            "the request id was used with another payload",
        ),
        refused(
            "ref-never-prepared",
            &["cache", "explain", REPOSITORY],
            Refusal::RefUnknown,
            "no workspace has been prepared from this ref and configuration of the repository",
        ),
        refused(
            "key-not-known-yet",
            &["cache", "explain", ID],
            Refusal::CacheKeyUnknown,
            "the cache key of workspace \"sample-1\" is not known yet",
        ),
        refused(
            "internal-error",
            &["ls"],
            Refusal::Internal,
            "an internal error of the control plane; its log has details",
        ),
        case(
            "lost-before-the-first-answer",
            &[
                "up",
                REPOSITORY,
                "--request-id",
                "r-1",
                "--reconnect-seconds",
                "0",
            ],
            vec![Answer::Refuse(gone())],
        ),
        case(
            "lost-on-the-way",
            &["up", REPOSITORY, "--reconnect-seconds", "0"],
            vec![Answer::Prepare(
                prepared(workspace(State::Pending, 0), &story(State::Ready)[..2]),
                End::With(gone()),
            )],
        ),
    ]
}

/// What the user sees: the command, stderr, stdout, and the exit code.
async fn seen(case: &Case) -> String {
    let plane = ControlPlane::start(case.answers.clone()).await;
    let command = match case.answers.is_empty() {
        true => hearth("http://127.0.0.1:1", &case.arguments),
        false => plane.hearth(&case.arguments),
    };
    let ended = run(command).await;
    plane.calls();
    assert!(!ended.stderr.contains("planted"), "{}", ended.stderr);
    format!(
        "$ hearth {}\n{}{}(exit code {})\n",
        case.arguments.join(" "),
        ended.stderr,
        ended.stdout,
        ended.code.expect("a code")
    )
    .replace("planted", "…")
}

#[tokio::test]
async fn every_failure_reads_as_it_was_agreed() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli/failures");
    let update = env::var_os("UPDATE_SNAPSHOTS").is_some();
    let mut wrong = Vec::new();
    for case in [arguments(), refusals(), failures(), pushes()]
        .into_iter()
        .flatten()
    {
        let seen = seen(&case).await;
        let path = folder.join(format!("{}.txt", case.name));
        if update {
            fs::create_dir_all(&folder).expect("a folder");
            fs::write(&path, &seen).expect("a file");
        }
        let agreed = fs::read_to_string(&path).unwrap_or_default();
        if agreed != seen {
            wrong.push(format!("{}\nagreed:\n{agreed}\nseen:\n{seen}", case.name));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
