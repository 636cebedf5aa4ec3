//! What one node built, another node has.

use hearth_api::v1::{CacheResult, PipelineStep, PushOutcome, WorkspaceState, event::Kind};
use hearth_tests::{
    Lab, app,
    client::request,
    proxy::{Fault, Proxy},
};

fn hook_runs(lab: &Lab, node: usize, container: &str) -> String {
    lab.vms[node - 1].cat(container, "/workspaces/app/.hook-runs")
}

#[tokio::test]
async fn what_one_node_built_another_fetches_by_digest_without_any_build() {
    let lab = Lab::new(2).await;
    let repo = app::repo(&lab, "app");

    let cold = lab.client.prepare("node-1", &repo.url).await;
    cold.assert_whole();
    assert_eq!(
        cold.states().last(),
        Some(&WorkspaceState::Ready),
        "{:#?}",
        cold.workspace
    );
    cold.assert_result(CacheResult::Miss);
    assert_eq!(
        (cold.cache().steps_reused, cold.cache().steps_total > 5),
        (0, true)
    );
    cold.assert_push(PushOutcome::Pushed);
    let ready = cold.position(
        |kind| matches!(kind, Kind::StateChanged(c) if c.state() == WorkspaceState::Ready),
    );
    let push = cold
        .position(|kind| matches!(kind, Kind::StepStarted(s) if s.step() == PipelineStep::Push));
    assert!(
        push.unwrap() < ready.unwrap(),
        "the push does not wait for the container"
    );

    let warm = lab.client.prepare("node-2", &repo.url).await;
    warm.assert_whole();
    let cache = warm.cache();
    assert_eq!(warm.result(), CacheResult::Exact, "{cache:?}");
    assert_eq!((cache.steps_total, cache.steps_reused), (0, 0));
    assert!(
        !warm.kinds().any(|kind| matches!(kind, Kind::BuildStep(_))),
        "nothing is built"
    );
    assert!(cache.bytes_fetched > 1_000_000, "{cache:?}");
    assert_eq!(cache.key, cold.cache().key);
    assert_eq!(
        cache.image_digest,
        cold.workspace.push.as_ref().unwrap().digest
    );
    warm.assert_push(PushOutcome::Unchanged);

    for (node, story) in [(1, &cold), (2, &warm)] {
        let workspace = &story.workspace;
        assert_eq!(workspace.remote_user, "dev");
        assert_eq!(workspace.remote_folder, "/workspaces/app");
        assert_eq!(
            hook_runs(&lab, node, &workspace.container_id),
            "dev",
            "the hook ran once, as the user"
        );
        let greeting = lab.vms[node - 1].cat(&workspace.container_id, "/opt/greeting");
        assert_eq!(greeting, "moin");
        // Nothing but the hook's own file changed in the clone.
        let status = [
            "exec",
            "-u",
            "dev",
            "-w",
            "/workspaces/app",
            &workspace.container_id,
            "ls",
            "-A",
        ];
        assert_eq!(
            lab.vms[node - 1]
                .docker(&status)
                .split_whitespace()
                .collect::<Vec<_>>(),
            [
                ".devcontainer",
                ".git",
                ".hook-runs",
                "app",
                "requirements.txt"
            ]
        );
    }

    // Any other tool finds the newest image under a well-known tag.
    let tags = lab.registry.tags(&lab.cache_path(&repo.url)).await;
    assert!(tags.contains(&"devcontainer-cache".to_owned()), "{tags:?}");
    assert!(
        tags.contains(&"devcontainer-cache-buildcache".to_owned()),
        "{tags:?}"
    );
}

#[tokio::test]
async fn after_an_edit_only_the_steps_behind_it_are_built() {
    let lab = Lab::new(2).await;
    let repo = app::repo(&lab, "app");
    let cold = lab.client.prepare("node-1", &repo.url).await;
    cold.assert_push(PushOutcome::Pushed);

    repo.commit(&[("app/main", "second\n")]);
    let partial = lab.client.prepare("node-2", &repo.url).await;
    partial.assert_whole();
    let cache = partial.cache();
    assert_eq!(partial.result(), CacheResult::Partial, "{cache:?}");
    assert!(
        0 < cache.steps_reused && cache.steps_reused < cache.steps_total,
        "{cache:?}"
    );
    assert_ne!(cache.key, cold.cache().key);
    let container = &partial.workspace.container_id;
    assert_eq!(lab.vms[1].cat(container, "/opt/built"), "second");
    assert_eq!(hook_runs(&lab, 2, container), "dev");
    // The reused step brought the first node's bytes along.
    let sum = |node: usize, id: &str| lab.vms[node].docker(&["exec", id, "sha256sum", "/opt/data"]);
    assert_eq!(sum(0, &cold.workspace.container_id), sum(1, container));
}

#[tokio::test]
async fn a_changed_hook_runs_once_on_an_image_that_is_still_an_exact_hit() {
    let lab = Lab::new(2).await;
    let repo = app::repo(&lab, "app");
    lab.client.prepare("node-1", &repo.url).await;

    let changed =
        app::config(&lab.base).replace("id -un >> .hook-runs", "echo changed >> .hook-runs");
    repo.commit(&[(".devcontainer/devcontainer.json", &changed)]);
    let warm = lab.client.prepare("node-2", &repo.url).await;
    warm.assert_result(CacheResult::Exact);
    assert_eq!(hook_runs(&lab, 2, &warm.workspace.container_id), "changed");
}

#[tokio::test]
async fn an_image_that_the_registry_lost_is_built_again_and_entered_anew() {
    let mut lab = Lab::new(2).await;
    let repo = app::repo(&lab, "app");
    let cold = lab.client.prepare("node-1", &repo.url).await;
    let digest = cold.workspace.push.as_ref().unwrap().digest.clone();
    lab.registry
        .delete(&lab.cache_path(&repo.url), &digest)
        .await;

    let again = lab.client.prepare("node-2", &repo.url).await;
    again.assert_whole();
    assert_eq!(again.states().last(), Some(&WorkspaceState::Ready));
    assert_ne!(again.result(), CacheResult::Exact);
    let reasons = again.cache().reasons.join("; ");
    assert!(reasons.contains("could not be fetched"), "{reasons}");
    again.assert_push(PushOutcome::Pushed);

    lab.add_node(&[]).await;
    let third = lab.client.prepare("node-3", &repo.url).await;
    third.assert_result(CacheResult::Exact);
}

#[tokio::test]
async fn two_repositories_at_once_on_one_node_do_not_meet() {
    let lab = Lab::new(1).await;
    let (one, two) = (app::repo(&lab, "one/app"), app::repo(&lab, "two/app"));
    two.commit(&[("app/main", "two\n")]);
    let (first, second) = tokio::join!(
        lab.client.prepare("node-1", &one.url),
        lab.client.prepare("node-1", &two.url)
    );
    for (story, built) in [(&first, "first"), (&second, "two")] {
        story.assert_whole();
        story.assert_state(WorkspaceState::Ready);
        let id = &story.workspace.container_id;
        assert_eq!(lab.vms[0].cat(id, "/opt/built"), built);
        assert_eq!(hook_runs(&lab, 1, id), "dev");
    }
    assert_ne!(first.workspace.container_id, second.workspace.container_id);

    lab.client.delete(&first.workspace.id).await;
    assert!(lab.client.try_get(&first.workspace.id).await.is_err());
    let id = &second.workspace.container_id;
    assert_eq!(
        lab.vms[0].cat(id, "/opt/built"),
        "two",
        "the other one still runs"
    );
    lab.client.delete(&second.workspace.id).await;
    lab.assert_nothing_left(1).await;
}

#[tokio::test]
async fn an_image_that_two_nodes_need_at_once_is_built_once() {
    let lab = Lab::new(2).await;
    let dockerfile = "FROM BASE\nRUN sleep 4\nRUN head -c 100000 /dev/urandom > /opt/once\n";
    let repo = app::with_dockerfile(&lab, "app", dockerfile, "");
    let (one, two) = tokio::join!(
        lab.client.prepare("node-1", &repo.url),
        lab.client.prepare("node-2", &repo.url)
    );
    let waited = |story: &hearth_tests::client::Story| {
        story.kinds().any(|kind| matches!(kind, Kind::Waiting(_)))
    };
    let (builder, waiter) = if waited(&one) {
        (&two, &one)
    } else {
        (&one, &two)
    };
    assert!(waited(waiter) && !waited(builder));
    builder.assert_result(CacheResult::Miss);
    waiter.assert_result(CacheResult::Exact);
    let sum = |node: usize, story: &hearth_tests::client::Story| {
        lab.vms[node].docker(&[
            "exec",
            &story.workspace.container_id,
            "sha256sum",
            "/opt/once",
        ])
    };
    assert_eq!(sum(0, &one), sum(1, &two));
}

#[tokio::test]
async fn early_stages_are_reused_after_an_edit_of_the_last_one() {
    let lab = Lab::new(2).await;
    let dockerfile = |last: &str| {
        format!(
            "FROM BASE AS tools\nRUN head -c 100000 /dev/urandom > /tool\n\
             FROM BASE\nCOPY --from=tools /tool /opt/tool\nRUN echo {last} > /opt/last\n"
        )
    };
    let repo = app::with_dockerfile(&lab, "app", &dockerfile("one"), "");
    let cold = lab.client.prepare("node-1", &repo.url).await;
    let edited = dockerfile("two").replace("BASE", &lab.base);
    repo.commit(&[(".devcontainer/Dockerfile", &edited)]);
    let partial = lab.client.prepare("node-2", &repo.url).await;
    partial.assert_result(CacheResult::Partial);
    let sum = |node: usize, id: &str| lab.vms[node].docker(&["exec", id, "sha256sum", "/opt/tool"]);
    assert_eq!(
        sum(0, &cold.workspace.container_id),
        sum(1, &partial.workspace.container_id)
    );
}

/// Both write the same tag; whichever is last, what is under it is whole.
#[tokio::test]
async fn two_nodes_that_export_their_build_cache_at_once_leave_one_that_can_be_used() {
    let mut lab = Lab::new(0).await;
    let proxy = Proxy::to(lab.registry.port()).await;
    lab = lab.caching_at(&proxy.host());
    for _ in 0..2 {
        lab.add_node(&[]).await;
    }
    let repo = app::repo(&lab, "app");
    repo.branch("other");
    repo.commit(&[("requirements.txt", "two\n")]);
    proxy.set(Fault::Meet("-buildcache"));
    let at = |node: &str, branch: &str| {
        let mut request = request(node, &repo.url);
        request.spec.as_mut().unwrap().r#ref = branch.to_owned();
        lab.client.run(request)
    };
    let stories = tokio::join!(at("node-1", "main"), at("node-2", "other"));
    for story in [&stories.0, &stories.1] {
        story.assert_whole();
        story.assert_result(CacheResult::Miss);
        story.assert_push(PushOutcome::Pushed);
        let warning = story.position(|kind| matches!(kind, Kind::Warning(_)));
        assert_eq!(warning, None, "{:?}", story.events);
    }

    assert_eq!(proxy.meetings(), 1, "both were at their last step at once");
    proxy.set(Fault::None);
    repo.commit(&[("app/main", "second\n")]);
    lab.add_node(&[]).await;
    let mut request = request("node-3", &repo.url);
    request.spec.as_mut().unwrap().r#ref = "other".to_owned();
    let edited = lab.client.run(request).await;
    edited.assert_whole();
    edited.assert_result(CacheResult::Partial);
    let reasons = edited.cache().reasons.join("; ");
    assert!(!reasons.contains("repeated"), "{reasons}");
    let id = &edited.workspace.container_id;
    let file = |path: &str| lab.vms[2].cat(id, path);
    assert_eq!(file("/opt/installed"), "two");
    assert_eq!(file("/opt/built"), "second");
}
