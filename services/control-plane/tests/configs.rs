//! Configurations are listed by a node, with the login that attempts get; and which image a workspace gets that names none.

use hearth_api::v1::{
    AgentServiceListConfigsResponse, CacheSkipReason, ConfigKind, DevcontainerConfig, Fallback,
    GetBuildLogRequest, ListConfigsRequest, ListConfigsResponse, Rebuild,
};
use hearth_runtime::{Reason, status};
use tonic::{Code, Status};

use crate::support::{
    agent::FakeAgent,
    events::{failed, preparing, ready, settled},
    logins::LoginLab,
    plane::{Plane, again, shop},
    start::{begin, with_agent},
};

fn listing(config: &str) -> AgentServiceListConfigsResponse {
    AgentServiceListConfigsResponse {
        commit: "1".repeat(40),
        configs: vec![DevcontainerConfig {
            config: config.to_owned(),
            kind: ConfigKind::Image.into(),
            ..DevcontainerConfig::default()
        }],
        used: Some(config.to_owned()),
    }
}

async fn list(plane: &Plane, repository: &str) -> Result<ListConfigsResponse, Status> {
    let mut client = plane.workspaces().await;
    let request = ListConfigsRequest {
        repository: repository.to_owned(),
        r#ref: "main".to_owned(),
    };
    client
        .list_configs(request)
        .await
        .map(|answer| answer.into_inner())
}

fn reason(status: &Status) -> String {
    use tonic_types::StatusExt as _;
    let details = status.get_error_details();
    let info = details.error_info().expect("an ErrorInfo");
    info.reason.clone()
}

#[tokio::test]
async fn a_node_lists_with_the_repositorys_login_and_another_one_if_that_is_refused() {
    let lab = LoginLab::start().await;
    let url = lab.github.clone_url("acme/shop");
    let refused = || {
        Err(status(
            Reason::LoginRefused,
            "the host does not accept the login",
        ))
    };
    lab.agent.lists(refused());
    lab.agent.lists(Ok(listing("api")));
    let listed = list(&lab.plane, &url).await.expect("a list");
    assert_eq!(
        (listed.configs.len(), listed.used.as_deref()),
        (1, Some("api"))
    );
    let asked = lab.agent.asked_to_list();
    let passwords: Vec<_> = asked
        .iter()
        .map(|asked| asked.login.clone().expect("a login").password)
        .collect();
    assert_ne!(passwords[0], passwords[1]);
    let (repositories, permissions) = lab.github.rights_of(&passwords[1]);
    assert_eq!(repositories, ["shop"]);
    assert_eq!(permissions, ["contents:read", "metadata:read"]);
    assert_eq!(asked[1].r#ref, "main");
    // No login is accepted.
    lab.agent.lists(refused());
    lab.agent.lists(refused());
    let error = list(&lab.plane, &url).await.expect_err("a refusal");
    assert_eq!(
        (error.code(), reason(&error).as_str()),
        (Code::Unavailable, "REPOSITORY_UNAVAILABLE")
    );
    assert!(!format!("{asked:?}").contains(&passwords[1]), "printed");
}

#[tokio::test]
async fn what_a_node_says_of_the_repository_is_passed_on_and_another_node_is_asked_otherwise() {
    let (plane, agent) = with_agent(&[]).await;
    let url = "https://git.example/a/b";
    for (told, code, reason_told) in [
        (Reason::RefUnknown, Code::NotFound, "REF_UNKNOWN"),
        (
            Reason::RepositoryUnavailable,
            Code::Unavailable,
            "REPOSITORY_UNAVAILABLE",
        ),
        (Reason::Overloaded, Code::ResourceExhausted, "OVERLOADED"),
        (Reason::Internal, Code::Unavailable, "NODE_UNAVAILABLE"),
    ] {
        agent.lists(Err(status(told, "because of this")));
        let error = list(&plane, url).await.expect_err("a refusal");
        assert_eq!((error.code(), reason(&error).as_str()), (code, reason_told));
        assert!(error.message().contains("because of this"), "{error}");
    }
    for malformed in ["file:///etc", "", "https://u:p@git.example/a/b"] {
        let error = list(&plane, malformed).await.expect_err("a refusal");
        assert_eq!(error.code(), Code::InvalidArgument, "{malformed}");
    }
    // One of an earlier version, in whatever order they are asked.
    let other = FakeAgent::join(&plane, "n2").await;
    for _ in 0..4 {
        other.lists(Ok(listing("")));
        list(&plane, url).await.expect("a list");
    }
    let nowhere = Plane::fresh(&[]).await;
    let error = list(&nowhere, url).await.expect_err("a refusal");
    assert_eq!(reason(&error), "NODE_UNAVAILABLE");
}

#[tokio::test]
async fn the_log_of_a_build_comes_from_its_node() {
    let (plane, agent) = with_agent(&[]).await;
    let (_follower, id) = begin(&plane, &agent, shop()).await;
    let mut client = plane.workspaces().await;
    let mut read = async |id: &str| {
        let request = GetBuildLogRequest {
            workspace_id: id.to_owned(),
        };
        let mut pieces = client.get_build_log(request).await?.into_inner();
        let mut text = String::new();
        while let Some(piece) = pieces.message().await? {
            text.push_str(&piece.text);
        }
        Ok::<_, Status>(text)
    };
    let error = read(&id).await.expect_err("none yet");
    assert_eq!(
        (error.code(), reason(&error).as_str()),
        (Code::NotFound, "BUILD_LOG_UNKNOWN")
    );
    agent.keeps_log(&id, &["one\n", "two\n"]);
    assert_eq!(read(&id).await.expect("a log"), "one\ntwo\n");
    let error = read("ws-none").await.expect_err("no such workspace");
    assert_eq!(reason(&error), "WORKSPACE_UNKNOWN");
    agent.deregister(&plane).await;
    let error = read(&id).await.expect_err("it has left");
    assert_eq!(reason(&error), "NODE_UNAVAILABLE");
}

#[tokio::test]
async fn a_rebuild_keeps_a_clone_that_was_whole_and_its_failure_does_not_cost_it() {
    let (plane, agent) = with_agent(&[]).await;
    let (_follower, id) = begin(&plane, &agent, shop()).await;
    let rebuild = |kind: Rebuild| {
        let mut request = again(&id);
        request.rebuild = kind.into();
        request
    };
    let mut attempt = 1;
    let mut next = async |request, kinds: Vec<_>| {
        attempt += 1;
        let follower = plane.prepare(request).await;
        let asked = agent.started(&id, attempt).await;
        agent.say(&id, attempt, kinds);
        follower.rest().await;
        asked
    };
    // The first attempt is not ready: its clone may be half done.
    let asked = next(
        rebuild(Rebuild::WithCache),
        vec![preparing(), ready(), settled()],
    )
    .await;
    assert!(!asked.keep_clone && asked.cache.is_some());
    let failed_build = || {
        let reason = hearth_api::v1::FailureReason::BuildFailed;
        vec![preparing(), failed(reason), settled()]
    };
    let asked = next(rebuild(Rebuild::WithoutCache), failed_build()).await;
    assert!(asked.keep_clone && asked.no_cache && asked.cache.is_none());
    assert_eq!(asked.cache_skip_reason(), CacheSkipReason::Rebuild);
    // The node registers again with the volume of the failed attempt: it is not removed.
    agent.register(&plane, &[&id]).await;
    let asked = next(rebuild(Rebuild::WithCache), failed_build()).await;
    assert!(asked.keep_clone && !asked.no_cache);
    assert!(!agent.was_asked_to_remove(&id));
    // A retry replaces it, and what has failed then is removed.
    let asked = next(again(&id), failed_build()).await;
    assert!(!asked.keep_clone);
    agent.register(&plane, &[&id]).await;
    agent.asked_to_remove(&id).await;
    let error = {
        let mut request = shop();
        request.rebuild = Rebuild::WithCache.into();
        plane.try_prepare(request).await.err().expect("a refusal")
    };
    assert_eq!(error.code(), Code::InvalidArgument);
    plane.stop().await;
}

#[tokio::test]
async fn the_default_image_follows_the_repository_and_nodes_hear_of_all_of_them() {
    let images = "--default-images=github.com/acme/*=acme:1,*/tool=tool:1";
    let (plane, agent) = with_agent(&[images]).await;
    let told = agent.register(&plane, &[]).await;
    assert_eq!(told.default_images, ["acme:1", "tool:1"]);
    let mut request = shop();
    request.spec.as_mut().expect("a spec").fallback = Fallback::LastGood.into();
    let (_follower, id) = begin(&plane, &agent, request).await;
    let asked = agent.started(&id, 1).await;
    assert_eq!(asked.default_image, "acme:1");
    assert_eq!(asked.spec.expect("a spec").fallback(), Fallback::LastGood);
    let mut request = shop();
    request.spec.as_mut().expect("a spec").repository = "https://git.example/a/b".into();
    let (_follower, id) = begin(&plane, &agent, request).await;
    assert_eq!(agent.started(&id, 1).await.default_image, "");
}
