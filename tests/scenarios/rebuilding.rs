//! A rebuild keeps the work in the clone, whatever becomes of it.

use hearth_api::v1::{
    CacheResult, CacheSkipReason, FailureReason, PipelineStep, PrepareWorkspaceRequest,
    PushOutcome, Rebuild, WatchUntil, WorkspaceState, event::Kind,
};
use hearth_tests::{
    Lab, app,
    client::{Story, request},
    process::eventually,
};

fn rebuild(id: &str, kind: Rebuild) -> PrepareWorkspaceRequest {
    PrepareWorkspaceRequest {
        workspace_id: id.to_owned(),
        rebuild: kind.into(),
        until: WatchUntil::Settled.into(),
        ..PrepareWorkspaceRequest::default()
    }
}

#[tokio::test]
async fn a_rebuild_builds_from_the_files_as_they_are_and_a_failure_or_an_interruption_keeps_them() {
    let mut lab = Lab::new(1).await;
    let repo = app::with_dockerfile(
        &lab,
        "shop",
        "FROM BASE\nRUN date +%s%N > /opt/built\nCOPY tool /opt/tool\n",
        r#", "remoteUser": "dev""#,
    );
    repo.commit(&[(".devcontainer/tool", "one\n")]);
    let first = lab.client.prepare("node-1", &repo.url).await;
    first.assert_push(PushOutcome::Pushed);
    let id = first.workspace.id.clone();
    let write = |story: &Story, script: &str| {
        let container = &story.workspace.container_id;
        lab.vms[0].docker(&[
            "exec",
            "-u",
            "dev",
            "-w",
            "/workspaces/shop",
            container,
            "sh",
            "-ec",
            script,
        ]);
    };
    let cat = |story: &Story, path: &str| lab.vms[0].cat(&story.workspace.container_id, path);
    let built = cat(&first, "/opt/built");
    let tags = lab.registry.tags(&lab.cache_path(&repo.url)).await;

    // Nothing has changed that shapes the image: it is the one of the cache, and work is there.
    write(
        &first,
        "echo unpushed > work; mkfifo pipe; ln -s /etc/shadow link",
    );
    let same = lab.client.run(rebuild(&id, Rebuild::WithCache)).await;
    same.assert_whole();
    same.assert_state(WorkspaceState::Ready);
    same.assert_result(CacheResult::Exact);
    assert_eq!(same.workspace.commit, first.workspace.commit);
    assert_ne!(same.workspace.container_id, first.workspace.container_id);
    assert_eq!(cat(&same, "/workspaces/shop/work"), "unpushed");

    // The files as they are shape the image, which nobody else gets.
    write(&same, "echo two > .devcontainer/tool");
    let edited = lab.client.run(rebuild(&id, Rebuild::WithCache)).await;
    edited.assert_result(CacheResult::Partial);
    edited.assert_push(PushOutcome::SkippedReadOnly);
    assert_eq!(cat(&edited, "/opt/tool"), "two");
    assert_eq!(cat(&edited, "/opt/built"), built, "from the build cache");
    let anew = lab.client.run(rebuild(&id, Rebuild::WithoutCache)).await;
    anew.assert_state(WorkspaceState::Ready);
    assert_eq!(anew.cache().skip_reason(), CacheSkipReason::Rebuild);
    anew.assert_push(PushOutcome::SkippedOff);
    assert_ne!(cat(&anew, "/opt/built"), built);
    assert_eq!(lab.registry.tags(&lab.cache_path(&repo.url)).await, tags);

    // A build that fails, without a fallback of its own: the default image, with the clone.
    write(&anew, "echo 'RUN exit 9' >> .devcontainer/Dockerfile");
    let broken = lab.client.run(rebuild(&id, Rebuild::WithCache)).await;
    broken.assert_state(WorkspaceState::Recovery);
    assert_eq!(cat(&broken, "/workspaces/shop/work"), "unpushed");
    // An attempt that is replaced in the middle, and an agent that is killed then: the clone stays.
    write(
        &broken,
        "sed -i 's/exit 9/sleep 600/' .devcontainer/Dockerfile",
    );
    let builds =
        |kind: &Kind| matches!(kind, Kind::BuildStep(step) if step.name.contains("sleep 600"));
    lab.client
        .begin_until(rebuild(&id, Rebuild::WithCache), builds)
        .await;
    lab.client
        .begin_until(rebuild(&id, Rebuild::WithCache), builds)
        .await;
    lab.agents[0].restart();
    lab.until_online("node-1").await;
    let failed = lab.client.watch(&id, 0).await;
    failed.assert_state(WorkspaceState::Failed);
    let reason = failed.workspace.failure.clone().unwrap().reason();
    assert_eq!(reason, FailureReason::AgentRestarted);
    eventually("nothing but the volume is left", || {
        lab.vms[0].docker(&["ps", "--all", "--quiet"]).is_empty()
    })
    .await;
    assert_eq!(
        lab.vms[0]
            .docker(&["volume", "ls", "--quiet"])
            .lines()
            .count(),
        1
    );
    let volume = format!("hearth-{id}");
    let folder = lab.vms[0].docker(&["volume", "inspect", "--format", "{{.Mountpoint}}", &volume]);
    let dockerfile = std::path::Path::new(folder.trim()).join("shop/.devcontainer/Dockerfile");
    let text = std::fs::read_to_string(&dockerfile).unwrap();
    std::fs::write(&dockerfile, text.replace("sleep 600", "true")).unwrap();
    let mended = lab.client.run(rebuild(&id, Rebuild::WithCache)).await;
    mended.assert_state(WorkspaceState::Ready);
    assert_eq!(cat(&mended, "/workspaces/shop/work"), "unpushed");

    // A fresh clone takes its place where that is asked for.
    let mut fresh = rebuild(&id, Rebuild::WithCache);
    fresh.fresh_clone = true;
    let fresh = lab.client.run(fresh).await;
    fresh.assert_state(WorkspaceState::Ready);
    fresh.assert_result(CacheResult::Exact);
    lab.client.delete(&id).await;
    lab.assert_nothing_left(1).await;
}

#[tokio::test]
async fn an_attempt_that_is_replaced_and_then_cancelled_at_any_step_leaves_nothing() {
    let lab = Lab::new(1).await;
    let vm = &lab.vms[0];
    let networks = vm.docker(&["network", "ls", "--quiet"]);
    let repo = app::with_dockerfile(
        &lab,
        "shop",
        "FROM BASE\n",
        r#", "postCreateCommand": "sleep 600""#,
    );
    for (number, step) in [
        PipelineStep::Validate,
        PipelineStep::Clone,
        PipelineStep::Key,
        PipelineStep::Resolve,
        PipelineStep::Image,
        PipelineStep::Container,
        PipelineStep::Push,
        PipelineStep::Hooks,
    ]
    .into_iter()
    .enumerate()
    {
        // Another image each time, so that there is something to build.
        let dockerfile = format!(
            "FROM {}\nRUN echo {number} > /opt/number && sleep 1\n",
            lab.base
        );
        repo.commit(&[(".devcontainer/Dockerfile", &dockerfile)]);
        let is_it = |kind: &Kind| matches!(kind, Kind::StepStarted(began) if began.step() == step);
        let (id, _) = lab
            .client
            .begin_until(request("node-1", &repo.url), is_it)
            .await;
        let again = PrepareWorkspaceRequest {
            workspace_id: id.clone(),
            until: WatchUntil::Settled.into(),
            ..PrepareWorkspaceRequest::default()
        };
        // What was pushed meanwhile is not built again.
        let begins = |kind: &Kind| matches!(kind, Kind::StepStarted(began) if began.step() == step.min(PipelineStep::Image));
        lab.client.begin_until(again, begins).await;
        lab.client.delete(&id).await;
        assert_eq!(vm.docker(&["ps", "--all", "--quiet"]), "", "{step:?}");
        assert_eq!(vm.docker(&["volume", "ls", "--quiet"]), "", "{step:?}");
        assert_eq!(
            vm.docker(&["network", "ls", "--quiet"]),
            networks,
            "{step:?}"
        );
        let own = format!("hearth-{id}");
        eventually("its images and its folder are gone", || {
            let images = vm.docker(&["image", "ls", "--format", "{{.Repository}}"]);
            let folders =
                std::fs::read_dir(lab.agents[0].attempts_dir()).map_or(0, Iterator::count);
            !images.contains(&own) && folders == 0
        })
        .await;
    }
}
