//! Logins for one repository at a time: what they allow, what they do not, and what users see of it.

use std::time::Duration;

use hearth_api::v1::{
    AccessCheckKind, AccessCheckStatus, CacheAccess, CacheResult, ProbeAccessRequest,
    ProbeAccessResponse, PushOutcome, WatchUntil, WorkspaceSpec, WorkspaceState,
    cache_service_client::CacheServiceClient, event::Kind,
};
use hearth_layers::{RegistryClient, RegistryError, RegistryLogin};
use hearth_tests::{
    Lab,
    client::{Story, next, request},
    github::{READER, Repositories, Route, Visibility, WRITER},
};

const REPOSITORY: &str = "acme/shop";
/// A private repository with a devcontainer, and the App installed with these permissions.
fn private(lab: &Lab, permissions: &[(&str, &str)]) -> String {
    let github = lab.github();
    github.create_repository(REPOSITORY, Visibility::Private);
    github.install("acme", Repositories::All, permissions);
    edit(lab, "1");
    github.clone_url(REPOSITORY)
}

/// Changes what is built.
fn edit(lab: &Lab, version: &str) {
    let dockerfile = format!(
        "FROM {}\nRUN echo {version} > /version\nRUN head -c 300000 /dev/urandom > /data\n",
        lab.base
    );
    lab.github().commit(
        REPOSITORY,
        &[
            (
                ".devcontainer/devcontainer.json",
                r#"{ "build": { "dockerfile": "Dockerfile" } }"#,
            ),
            (".devcontainer/Dockerfile", &dockerfile),
        ],
    );
}

fn push_message(story: &Story) -> &str {
    &story.workspace.push.as_ref().expect("a push").message
}

fn warnings(story: &Story) -> Vec<&str> {
    story
        .kinds()
        .filter_map(|kind| match kind {
            Kind::Warning(warning) => Some(warning.message.as_str()),
            _ => None,
        })
        .collect()
}

async fn probe(lab: &Lab, repository: &str, git_ref: &str) -> ProbeAccessResponse {
    let request = ProbeAccessRequest {
        repository: repository.to_owned(),
        r#ref: git_ref.to_owned(),
    };
    CacheServiceClient::connect(lab.control_plane.url())
        .await
        .unwrap()
        .probe_access(request)
        .await
        .unwrap()
        .into_inner()
}

fn status(answer: &ProbeAccessResponse, kind: AccessCheckKind) -> AccessCheckStatus {
    let check = answer.checks.iter().find(|check| check.kind() == kind);
    check.unwrap_or_else(|| panic!("{answer:#?}")).status()
}

#[tokio::test]
async fn without_the_permission_to_write_packages_workspaces_come_up_and_the_push_says_what_is_missing()
 {
    let lab = Lab::guarded(2).await;
    let url = private(&lab, &READER);

    let denied = lab.client.prepare("node-1", &url).await;
    denied.assert_whole();
    assert_eq!(
        denied.states().last(),
        Some(&WorkspaceState::Ready),
        "{:#?}",
        denied.workspace
    );
    denied.assert_result(CacheResult::Miss);
    denied.assert_push(PushOutcome::Denied);
    assert!(
        push_message(&denied).contains("packages: write"),
        "{}",
        push_message(&denied)
    );
    let told = warnings(&denied);
    assert!(
        told.iter().any(|text| text.contains("packages: write")),
        "{told:?}"
    );

    // What is granted counts for the next attempt.
    lab.github().grant("acme", "packages", "write");
    let pushed = lab.client.prepare("node-1", &url).await;
    pushed.assert_push(PushOutcome::Pushed);

    // Reading is enough to fetch.
    let mut reader = request("node-2", &url);
    reader.spec.as_mut().unwrap().cache_access = CacheAccess::ReadOnly.into();
    let warm = lab.client.run(reader).await;
    warm.assert_result(CacheResult::Exact);
    assert!(
        lab.github().installation_tokens().len() >= 2,
        "one token reads, another one writes"
    );
    assert_eq!(lab.github().unexpected(), []);
}

#[tokio::test]
async fn a_token_that_ends_while_the_image_is_pushed_is_replaced_and_the_image_arrives() {
    let lab = Lab::guarded(1).await;
    let url = private(&lab, &WRITER);
    let github = lab.github();
    let mut stream = lab.client.begin(request("node-1", &url)).await.unwrap();
    let mut id = String::new();
    let mut held = None;
    while let Some(message) = next(&mut stream).await {
        use hearth_api::v1::prepare_workspace_response::Message;
        match message.message.unwrap() {
            Message::Snapshot(snapshot) => id = snapshot.id,
            Message::Event(event) => match event.kind.unwrap() {
                // The image is there: from now on a token of the registry is for a push.
                Kind::StepStarted(step)
                    if step.step() == hearth_api::v1::PipelineStep::Container =>
                {
                    held = Some((
                        github.hold(Route::RegistryToken),
                        github.requests_to(Route::RegistryToken),
                    ));
                }
                Kind::StateChanged(changed) if changed.state() == WorkspaceState::Ready => {
                    let (hold, before) = held.take().expect("the container was started");
                    github.arrived(Route::RegistryToken, before + 1).await;
                    github.revoke_all();
                    drop(hold);
                }
                _ => {}
            },
        }
    }
    let workspace = lab.client.get(&id).await;
    let push = workspace.push.clone().unwrap();
    assert_eq!(push.outcome(), PushOutcome::Pushed, "{push:?}");
    assert!(github.mints() >= 2, "{}", github.mints());
    // BuildKit's cache is exported after the image, with a login that has not expired.
    let tags = lab.cache().tags(&lab.cache_path(&url)).await;
    assert!(
        tags.iter().any(|tag| tag.ends_with("-buildcache")),
        "{tags:?}"
    );
}

#[tokio::test]
async fn an_attempt_at_a_forks_ref_has_no_right_to_push_at_the_registry_itself() {
    let lab = Lab::guarded(1).await;
    let url = private(&lab, &WRITER);
    let github = lab.github();
    github.git(REPOSITORY, &["update-ref", "refs/pull/7/head", "main"]);
    let mut fork = request("node-1", &url);
    fork.spec.as_mut().unwrap().r#ref = "refs/pull/7/head".into();
    let story = lab.client.run(fork).await;
    assert_eq!(
        story.states().last(),
        Some(&WorkspaceState::Ready),
        "{:#?}",
        story.workspace
    );
    story.assert_push(PushOutcome::SkippedReadOnly);

    // Each token that the control plane has made for it, tried on everything else.
    let tokens = github.installation_tokens();
    assert!(!tokens.is_empty());
    let place = format!("{}/{}", lab.cache().host(), lab.cache_path(&url));
    for token in tokens {
        let login = RegistryLogin {
            registry: lab.cache().host(),
            username: "x-access-token".into(),
            password: token.into(),
        };
        let client = RegistryClient::new(Some(login), "linux/amd64");
        client.try_pull(&place).await.unwrap();
        let refused = client.try_push(&place).await;
        assert!(
            matches!(refused, Err(RegistryError::Denied(_))),
            "{refused:?}"
        );
    }
}

#[tokio::test]
async fn a_probe_says_in_a_sentence_what_is_missing() {
    use AccessCheckKind as Check;
    use AccessCheckStatus as Is;
    let lab = Lab::guarded(0).await;
    let github = lab.github();
    github.create_repository(REPOSITORY, Visibility::Private);
    let url = github.clone_url(REPOSITORY);

    let answer = probe(&lab, &url, "").await;
    assert_eq!(status(&answer, Check::Login), Is::Failed);
    assert!(answer.summary.contains("not installed"), "{answer:#?}");
    assert_eq!(status(&answer, Check::GitRead), Is::Failed);

    github.install("acme", Repositories::All, &READER);
    edit(&lab, "1");
    let answer = probe(&lab, &url, "").await;
    assert!(answer.summary.contains("packages: write"), "{answer:#?}");
    assert_eq!(status(&answer, Check::GitRead), Is::Ok);
    assert_eq!(status(&answer, Check::Pull), Is::Ok);
    assert_eq!(status(&answer, Check::Push), Is::Failed);

    github.grant("acme", "packages", "write");
    let answer = probe(&lab, &url, "").await;
    for kind in [
        Check::Login,
        Check::Clock,
        Check::GitRead,
        Check::Pull,
        Check::Push,
        Check::Delete,
    ] {
        assert_eq!(status(&answer, kind), Is::Ok, "{answer:#?}");
    }
    assert!(answer.summary.contains("are cached in"), "{answer:#?}");
    let answer = probe(&lab, &url, "refs/pull/1/head").await;
    assert_eq!(status(&answer, Check::Push), Is::Skipped, "{answer:#?}");

    // A token that was revoked while it was kept is replaced.
    github.revoke_all();
    let answer = probe(&lab, &url, "").await;
    assert_eq!(status(&answer, Check::Push), Is::Ok, "{answer:#?}");

    github.deny_package_creation();
    let answer = probe(&lab, &url, "").await;
    assert_eq!(status(&answer, Check::Push), Is::Failed, "{answer:#?}");
    github.heal();

    // Nothing is left of all the trying.
    let tags = lab.cache().tags(&lab.cache_path(&url)).await;
    assert_eq!(tags, Vec::<String>::new());

    lab.cache().stop();
    let answer = probe(&lab, &url, "").await;
    assert_eq!(status(&answer, Check::Pull), Is::Failed);
    assert!(answer.summary.contains("does not answer"), "{answer:#?}");
}

/// GitHub is down, and the repository is public.
#[tokio::test]
async fn a_public_repository_comes_up_while_github_gives_no_tokens() {
    use hearth_tests::github::{Fault, Times};
    let lab = Lab::guarded(1).await;
    let github = lab.github();
    github.create_repository(REPOSITORY, Visibility::Public);
    github.install("acme", Repositories::All, &WRITER);
    edit(&lab, "1");
    github.fail(&Route::API, Times::Always, Fault::Status(502));
    let url = github.clone_url(REPOSITORY);
    let mut asked = request("node-1", &url);
    asked.until = WatchUntil::Settled.into();
    asked.spec = Some(WorkspaceSpec {
        timeout_seconds: Duration::from_secs(110).as_secs() as u32,
        ..asked.spec.unwrap_or_default()
    });
    let story = lab.client.run(asked).await;
    story.assert_whole();
    assert_eq!(
        story.states().last(),
        Some(&WorkspaceState::Ready),
        "{:#?}",
        story.workspace
    );
    story.assert_push(PushOutcome::LoginFailed);
    assert!(!warnings(&story).is_empty());
}
