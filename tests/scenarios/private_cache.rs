//! The cache of a private repository, in a registry that asks for logins that expire.

use hearth_api::v1::{
    AccessCheckStatus, BuildStepStatus, CacheResult, EntryCheck, Event, PushOutcome,
    WorkspaceState, event::Kind,
};
use hearth_tests::{
    Lab,
    client::request,
    github::{READER, Repositories, Visibility, WRITER},
};

use crate::signatures::verified;

async fn lab(nodes: usize, permissions: &[(&str, &str)], dockerfile: &str) -> (Lab, String) {
    let lab = Lab::guarded(nodes).await;
    let github = lab.github();
    github.create_repository("acme/app", Visibility::Private);
    let config = r#"{ "build": { "dockerfile": "Dockerfile" } }"#;
    let dockerfile = on_base(&lab, dockerfile);
    let files = [
        (".devcontainer/devcontainer.json", config),
        (".devcontainer/Dockerfile", &dockerfile),
    ];
    github.commit("acme/app", &files);
    github.install("acme", Repositories::selected(&["app"]), permissions);
    let url = github.clone_url("acme/app");
    (lab, url)
}

/// The base image by another name of the machine: containerd tells registries apart by their host without the port, and
/// would ask the guarded one for layers of the open one's repositories.
fn on_base(lab: &Lab, dockerfile: &str) -> String {
    dockerfile.replace("BASE", &lab.base.replace("localhost", "127.0.0.1"))
}

/// Stands in the registry's log for every upload.
const UPLOADS: &str = "/blobs/uploads/";
const QUICK: &str = "FROM BASE\nRUN echo one > /opt/one\nRUN echo two > /opt/two\n";

#[tokio::test]
async fn a_private_repository_is_built_once_and_fetched_by_the_next_node() {
    let (lab, url) = lab(3, &WRITER, QUICK).await;
    let cold = lab.client.prepare("node-1", &url).await;
    cold.assert_whole();
    assert_eq!(
        (cold.result(), cold.push()),
        (CacheResult::Miss, PushOutcome::Pushed),
        "{:#?}",
        cold.workspace
    );
    let warm = lab.client.prepare("node-2", &url).await;
    warm.assert_result(CacheResult::Exact);
    assert!(lab.cache().log().contains(UPLOADS));
    // Its signatures are there, too: the control plane pushes them with a login of its own.
    let checks = verified(&lab, &url).await;
    let is_ok = |check: &EntryCheck| check.status() == AccessCheckStatus::Ok;
    assert!(checks.len() == 6 && checks.iter().all(is_ok), "{checks:#?}");
    for story in [&cold, &warm] {
        assert_eq!(warnings(&story.events), Vec::<String>::new());
    }
    // BuildKit reads its cache with the login too.
    let dockerfile = on_base(&lab, QUICK).replace("two", "three");
    let edit = [(".devcontainer/Dockerfile", dockerfile.as_str())];
    lab.github().commit("acme/app", &edit);
    let partial = lab.client.prepare("node-3", &url).await;
    partial.assert_result(CacheResult::Partial);
}

#[tokio::test]
async fn a_login_that_is_revoked_while_the_image_is_built_does_not_fail_its_push() {
    let slow = "FROM BASE\nRUN echo now building && sleep 3\n";
    let (lab, url) = lab(1, &WRITER, slow).await;
    let request = request("node-1", &url);
    let begins_the_slow_step = |kind: &Kind| {
        matches!(kind, Kind::BuildStep(step)
            if step.name.contains("sleep") && step.status() == BuildStepStatus::Started)
    };
    let (id, seen) = lab.client.begin_until(request, begins_the_slow_step).await;
    lab.github().revoke_all();
    let workspace = lab.client.watch(&id, seen).await.workspace;
    let push = workspace.push.clone().unwrap();
    assert_eq!(push.outcome(), PushOutcome::Pushed, "{push:?}");
    assert!(lab.github().mints() > 1, "the first login had been revoked");
}

#[tokio::test]
async fn a_push_without_the_permission_for_it_is_denied_and_says_what_to_do() {
    let (lab, url) = lab(1, &READER, QUICK).await;
    let story = lab.client.prepare("node-1", &url).await;
    story.assert_whole();
    story.assert_state(WorkspaceState::Ready);
    story.assert_push(PushOutcome::Denied);
    let message = story.workspace.push.unwrap().message;
    assert!(message.contains("packages"), "{message}");
    let told = warnings(&story.events);
    assert_eq!(told.len(), 1, "one warning: {told:?}");
    // Nothing was tried in the registry.
    let log = lab.cache().log();
    assert!(!log.contains(UPLOADS), "{log}");
}

fn warnings(events: &[Event]) -> Vec<String> {
    events
        .iter()
        .filter_map(|event| match &event.kind {
            Some(Kind::Warning(warning)) => Some(warning.message.clone()),
            _ => None,
        })
        .collect()
}
