//! Every kind of repository gets a workspace.

use hearth_api::v1::{
    CacheResult, CacheSkipReason, FailureReason, ImageStore, PushOutcome, WorkspaceState,
};
use hearth_tests::{Lab, Vm, app, client::request};

#[tokio::test]
async fn a_repository_without_a_devcontainer_gets_the_default_image() {
    let lab = Lab::new(1).await;
    let repo = lab.git.repo("plain", &[("README", "hello\n")]);
    let story = lab.client.prepare("node-1", &repo.url).await;
    story.assert_whole();
    story.assert_state(WorkspaceState::Ready);
    assert_eq!(story.cache().skip_reason(), CacheSkipReason::NoDevcontainer);
    story.assert_push(PushOutcome::SkippedNotEligible);
    let id = &story.workspace.container_id;
    assert_eq!(lab.vms[0].cat(id, "/workspaces/plain/README"), "hello");
}

#[tokio::test]
async fn lightweight_mode_leaves_the_projects_devcontainer_aside() {
    let lab = Lab::new(1).await;
    let repo = app::repo(&lab, "app");
    let mut request = request("node-1", &repo.url);
    request.spec.as_mut().unwrap().lightweight = true;
    let story = lab.client.run(request).await;
    story.assert_state(WorkspaceState::Ready);
    assert_eq!(story.cache().skip_reason(), CacheSkipReason::Lightweight);
    story.assert_push(PushOutcome::SkippedLightweight);
    assert_eq!(story.workspace.remote_user, "root");
}

#[tokio::test]
async fn a_configuration_that_fails_leaves_a_workspace_to_mend_it_in() {
    let lab = Lab::new(1).await;
    for (name, dockerfile, properties, reason, says) in [
        (
            "build",
            "FROM BASE\nRUN echo oh no && exit 7\n",
            "",
            FailureReason::BuildFailed,
            "oh no",
        ),
        (
            "outside",
            "FROM BASE\n",
            r#", "image": 7, "context": "../..""#,
            FailureReason::ConfigInvalid,
            "",
        ),
    ] {
        let properties = properties.replace(r#", "image": 7, "context": "../..""#, "");
        let repo = app::with_dockerfile(&lab, name, dockerfile, &properties);
        if name == "outside" {
            repo.commit(&[(
                ".devcontainer/devcontainer.json",
                r#"{ "build": { "dockerfile": "Dockerfile", "context": "../../.." } }"#,
            )]);
        }
        let story = lab.client.prepare("node-1", &repo.url).await;
        story.assert_whole();
        assert_eq!(
            story.workspace.state(),
            WorkspaceState::Recovery,
            "{name}: {:#?}",
            story.workspace
        );
        let failure = story.workspace.failure.clone().unwrap();
        assert_eq!(failure.reason(), reason, "{failure:?}");
        assert!(failure.output_tail.contains(says), "{failure:?}");
        story.assert_push(PushOutcome::SkippedFallback);
        let id = &story.workspace.container_id;
        let note = lab.vms[0].cat(id, "/workspaces/hearth-recovery.txt");
        assert!(note.contains(says), "{note}");
    }
}

#[tokio::test]
async fn a_named_configuration_is_used_and_has_a_cache_of_its_own() {
    let lab = Lab::new(2).await;
    let repo = app::repo(&lab, "app");
    let dockerfile = format!("FROM {}\nRUN echo gpu > /opt/kind\n", lab.base);
    repo.commit(&[
        (
            ".devcontainer/gpu/devcontainer.json",
            r#"{ "build": { "dockerfile": "Dockerfile" } }"#,
        ),
        (".devcontainer/gpu/Dockerfile", &dockerfile),
    ]);
    for (node, result) in [
        ("node-1", CacheResult::Miss),
        ("node-2", CacheResult::Exact),
    ] {
        let mut request = request(node, &repo.url);
        request.spec.as_mut().unwrap().config = "gpu".to_owned();
        let story = lab.client.run(request).await;
        assert_eq!(story.result(), result, "{:?}", story.cache());
    }
    let tags = lab.registry.tags(&lab.cache_path(&repo.url)).await;
    assert!(
        tags.contains(&"devcontainer-cache-gpu".to_owned()),
        "{tags:?}"
    );
    assert!(!tags.contains(&"devcontainer-cache".to_owned()), "{tags:?}");
}

#[tokio::test]
async fn a_compose_project_runs_with_the_clone_in_it() {
    let lab = Lab::new(1).await;
    let compose = format!(
        "services:\n  app:\n    image: {}\n    command: sleep infinity\n    volumes: ['..:/project']\n",
        lab.base
    );
    let repo = lab.git.repo(
        "composed",
        &[
            (
                ".devcontainer/devcontainer.json",
                r#"{ "dockerComposeFile": "compose.yml", "service": "app", "workspaceFolder": "/project",
                     "remoteUser": "dev", "postCreateCommand": "id -un >> .hook-runs" }"#,
            ),
            (".devcontainer/compose.yml", &compose),
        ],
    );
    let story = lab.client.prepare("node-1", &repo.url).await;
    story.assert_whole();
    story.assert_state(WorkspaceState::Ready);
    // Its one image is used as it is.
    assert_eq!(story.cache().skip_reason(), CacheSkipReason::NotEligible);
    let id = &story.workspace.container_id;
    assert_eq!(lab.vms[0].cat(id, "/project/.hook-runs"), "dev");
    lab.client.delete(&story.workspace.id).await;
    lab.assert_nothing_left(1).await;
}

#[tokio::test]
async fn the_classic_image_store_caches_too() {
    let mut lab = Lab::new(0).await;
    for number in 1..=3 {
        let vm = Vm::start_classic(lab.folder(&format!("vm{number}")));
        lab.add_node_on(vm, &[]).await;
    }
    let stores: Vec<_> = lab
        .client
        .nodes()
        .await
        .iter()
        .map(|node| node.info.as_ref().unwrap().image_store())
        .collect();
    assert_eq!(stores, [ImageStore::Classic; 3]);
    let repo = app::repo(&lab, "app");
    let cold = lab.client.prepare("node-1", &repo.url).await;
    assert_eq!(
        (cold.result(), cold.push()),
        (CacheResult::Miss, PushOutcome::Pushed),
        "{:#?}",
        cold.workspace
    );
    let warm = lab.client.prepare("node-2", &repo.url).await;
    warm.assert_result(CacheResult::Exact);
    repo.commit(&[("app/main", "second\n")]);
    let partial = lab.client.prepare("node-3", &repo.url).await;
    partial.assert_result(CacheResult::Partial);
}
