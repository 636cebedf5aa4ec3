//! Which configuration a workspace gets, and what it becomes when that fails.

use hearth_api::v1::{
    CacheResult, CacheSkipReason, ConfigKind, FailureReason, Fallback, GetBuildLogRequest,
    ListConfigsRequest, PushOutcome, WorkspaceState,
};
use hearth_tests::{Lab, app, client::request};

/// A monorepo: two folders with configurations of their own, and a named one.
fn monorepo(lab: &Lab) -> hearth_tests::Repo {
    let own = |what: &str| {
        format!(
            r#"{{ "name": "{what}", "build": {{ "dockerfile": "Dockerfile", "context": "." }}, "remoteUser": "dev",
                 "runArgs": ["--env-file", "run.env"],
                 "postCreateCommand": "echo \"$PWD ${{localWorkspaceFolderBasename}} ${{containerWorkspaceFolder}} $(id -un) $LEVEL\" > where.txt" }}"#
        )
    };
    let dockerfile = |what: &str| format!("FROM {}\nRUN echo {what} > /opt/what\n", lab.base);
    lab.git.repo(
        "mono",
        &[
            ("services/api/.devcontainer.json", &own("api")),
            ("services/api/Dockerfile", &dockerfile("api")),
            ("services/api/run.env", "LEVEL=high\n"),
            ("services/web/.devcontainer/devcontainer.json", &own("web")),
            ("services/web/.devcontainer/Dockerfile", &dockerfile("web")),
            ("services/web/run.env", "LEVEL=low\n"),
            (
                ".devcontainer/tools/devcontainer.json",
                &format!(
                    r#"{{ "image": "{}", "containerEnv": {{ "KIND": "tools" }} }}"#,
                    lab.base
                ),
            ),
            (".devcontainer/bad/devcontainer.json", "{\n  \"image\": [\n"),
        ],
    )
}

#[tokio::test]
async fn configurations_of_a_monorepo_are_listed_and_each_folder_has_its_own_workspace_and_cache() {
    let lab = Lab::new(2).await;
    let repo = monorepo(&lab);
    let listed = lab
        .client
        .workspaces()
        .list_configs(ListConfigsRequest {
            repository: repo.url.clone(),
            r#ref: "main".into(),
        })
        .await
        .expect("a list")
        .into_inner();
    let shown: Vec<_> = listed
        .configs
        .iter()
        .map(|one| (one.config.as_str(), one.kind(), one.name.as_str()))
        .collect();
    assert_eq!(
        shown,
        [
            ("bad", ConfigKind::Unspecified, ""),
            ("tools", ConfigKind::Image, ""),
            ("services/api", ConfigKind::Dockerfile, "api"),
            ("services/web", ConfigKind::Dockerfile, "web"),
        ]
    );
    assert!(
        listed.configs[0].error.contains("line"),
        "{:?}",
        listed.configs[0]
    );
    assert_eq!((listed.used, listed.commit.len()), (None, 40));
    let listings = lab.agents[0].attempts_dir().with_file_name("listings");
    let left = std::fs::read_dir(&listings).map_or(0, |found| found.count());
    assert_eq!(left, 0, "nothing of it is left");

    for (config, level, others) in [
        ("services/api", "high", "web"),
        ("./services/web", "low", "api"),
    ] {
        for (node, result) in [
            ("node-1", CacheResult::Miss),
            ("node-2", CacheResult::Exact),
        ] {
            let mut request = request(node, &repo.url);
            request.spec.as_mut().unwrap().config = config.to_owned();
            let story = lab.client.run(request).await;
            story.assert_whole();
            story.assert_state(WorkspaceState::Ready);
            story.assert_result(result);
            let name = config.rsplit('/').next().unwrap();
            let folder = format!("/workspaces/mono/services/{name}");
            assert_eq!(story.workspace.remote_folder, folder);
            let vm = &lab.vms[usize::from(node == "node-2")];
            let id = &story.workspace.container_id;
            let place = vm.cat(id, &format!("{folder}/where.txt"));
            assert_eq!(place, format!("{folder} {name} {folder} dev {level}"));
            assert_eq!(vm.cat(id, "/opt/what"), name);
            // The whole repository is there.
            let other = vm.cat(id, &format!("/workspaces/mono/services/{others}/run.env"));
            assert!(other.starts_with("LEVEL="));
        }
    }
    let none = lab.client.prepare("node-1", &repo.url).await;
    none.assert_state(WorkspaceState::Ready);
    let reasons = none.cache().reasons.join(" ");
    assert!(
        reasons.contains("the configurations bad, tools"),
        "{reasons}"
    );
    let mut wrong = request("node-1", &repo.url);
    wrong.spec.as_mut().unwrap().config = "services/db".into();
    let story = lab.client.run(wrong).await;
    story.assert_state(WorkspaceState::Failed);
    let failure = story.workspace.failure.unwrap();
    assert_eq!(failure.reason(), FailureReason::ConfigNotFound);
    assert!(
        failure
            .message
            .contains("bad, tools, services/api, services/web"),
        "{failure:?}"
    );

    // The only one is used unasked.
    let repo = lab.git.repo(
        "only",
        &[(
            ".devcontainer/api/devcontainer.json",
            r#"{ "containerEnv": { "SHOP": "open" }, "postCreateCommand": "echo $SHOP > ran" }"#,
        )],
    );
    let story = lab.client.prepare("node-1", &repo.url).await;
    story.assert_state(WorkspaceState::Ready);
    let reasons = story.cache().reasons.join(" ");
    assert!(
        reasons.contains("its only other one, api, is used"),
        "{reasons}"
    );
    assert_eq!(
        lab.vms[0].cat(&story.workspace.container_id, "/workspaces/only/ran"),
        "open"
    );
}

#[tokio::test]
async fn a_failing_build_falls_back_to_what_was_asked_for_and_leaves_its_log_and_nothing_else() {
    let lab = Lab::new(1).await;
    let good = "FROM BASE\nRUN echo good > /opt/state\n";
    let properties = r#", "remoteUser": "dev", "containerEnv": { "NOW": "first" }"#;
    let repo = app::with_dockerfile(&lab, "shop", good, properties);
    let first = lab.client.prepare("node-1", &repo.url).await;
    first.assert_push(PushOutcome::Pushed);
    lab.client.delete(&first.workspace.id).await;

    // Broken on the default branch: the image of the commit before is there, the container is that of now.
    let bad = format!(
        "FROM {}\nRUN i=0; while [ $i -lt 3000 ]; do echo line $i; i=$((i+1)); done; exit 7\n",
        lab.base
    );
    repo.commit(&[
        (".devcontainer/Dockerfile", &bad),
        (
            ".devcontainer/devcontainer.json",
            r#"{ "build": { "dockerfile": "Dockerfile" }, "remoteUser": "dev", "containerEnv": { "NOW": "second" },
                 "postCreateCommand": "echo $NOW > now" }"#,
        ),
    ]);
    let run = async |fallback: Fallback, git_ref: &str| {
        let mut request = request("node-1", &repo.url);
        let spec = request.spec.as_mut().unwrap();
        (spec.fallback, spec.r#ref) = (fallback.into(), git_ref.into());
        let story = lab.client.run(request).await;
        story.assert_whole();
        story
    };
    let log = async |id: &str| {
        let request = GetBuildLogRequest {
            workspace_id: id.to_owned(),
        };
        let mut pieces = lab
            .client
            .workspaces()
            .get_build_log(request)
            .await?
            .into_inner();
        let mut text = String::new();
        while let Some(piece) = pieces.message().await? {
            text.push_str(&piece.text);
        }
        Ok::<_, tonic::Status>(text)
    };
    let vm = &lab.vms[0];
    for (fallback, git_ref) in [
        (Fallback::LastGood, ""),
        (Fallback::LastGood, "refs/heads/main"),
    ] {
        let story = run(fallback, git_ref).await;
        story.assert_state(WorkspaceState::Recovery);
        let failure = story.workspace.failure.clone().unwrap();
        assert_eq!(failure.reason(), FailureReason::BuildFailed);
        let commit = &first.workspace.commit[..12];
        assert!(
            failure.message.contains(commit) && failure.message.contains("sha256:"),
            "{failure:?}"
        );
        assert_eq!(story.cache().skip_reason(), CacheSkipReason::Fallback);
        story.assert_push(PushOutcome::SkippedFallback);
        let id = &story.workspace.container_id;
        assert_eq!(vm.cat(id, "/opt/state"), "good");
        assert_eq!(vm.cat(id, "/workspaces/shop/now"), "second");
        let kept = vm.docker(&["exec", "-u", "dev", id, "sh", "-c", "cd /workspaces && stat -c '%U %n' hearth-*; tail -n 3 hearth-build.log >/dev/null && grep -c '^#. line' hearth-build.log"]);
        let (files, lines) = kept.rsplit_once('\n').expect("three lines");
        assert_eq!(files, "dev hearth-build.log\ndev hearth-recovery.txt");
        // It is built with the registry's build cache, and again without it; BuildKit leaves some lines out.
        assert!(lines.parse::<u32>().expect("a number") >= 3000, "{lines}");
        let whole = log(&story.workspace.id).await.expect("a log");
        assert!(
            whole.contains("line 0\n") && whole.contains("line 2999\n"),
            "{} bytes",
            whole.len()
        );
        assert!(
            whole.contains("FAILED after"),
            "{}",
            &whole[whole.len() - 500..]
        );
        assert_eq!(vm.docker(&["ps", "--all", "--quiet"]).lines().count(), 1);
        lab.client.delete(&story.workspace.id).await;
        assert!(log(&story.workspace.id).await.is_err());
    }
    let story = run(Fallback::None, "").await;
    story.assert_state(WorkspaceState::Failed);
    lab.assert_nothing_left(1).await;
    let whole = log(&story.workspace.id)
        .await
        .expect("a log of what has failed");
    assert!(whole.contains("line 2999\n"));
    let images = vm.docker(&["image", "ls", "--format", "{{.Repository}}"]);
    assert!(!images.contains("hearth-ws"), "{images}");

    // A container that cannot start: its networks, volumes and image go too.
    let other = format!("{}RUN true\n", good.replace("BASE", &lab.base));
    repo.commit(&[
        (".devcontainer/Dockerfile", &other),
        (
            ".devcontainer/devcontainer.json",
            r#"{ "build": { "dockerfile": "Dockerfile" }, "mounts": ["source=extra,target=/extra,type=volume"],
                 "runArgs": ["--user", "nosuchuser"] }"#,
        ),
    ]);
    let story = run(Fallback::DefaultImage, "").await;
    story.assert_state(WorkspaceState::Recovery);
    let failure = story.workspace.failure.clone().unwrap();
    assert_eq!(
        failure.reason(),
        FailureReason::ContainerFailed,
        "{failure:?}"
    );
    assert_eq!(vm.docker(&["ps", "--all", "--quiet"]).lines().count(), 1);
    assert_eq!(vm.docker(&["volume", "ls", "--quiet"]).lines().count(), 1);
    let images = vm.docker(&["image", "ls", "--format", "{{.Repository}}"]);
    assert!(!images.contains("hearth-ws"), "{images}");
    lab.client.delete(&story.workspace.id).await;

    // A configuration that cannot be read, and an image for a branch that has none of its own.
    repo.branch("broken");
    repo.commit(&[(".devcontainer/devcontainer.json", "[]")]);
    let story = run(Fallback::LastGood, "broken").await;
    story.assert_state(WorkspaceState::Recovery);
    let failure = story.workspace.failure.clone().unwrap();
    assert_eq!(failure.reason(), FailureReason::ConfigInvalid);
    assert!(
        failure.message.contains("of the default branch"),
        "{failure:?}"
    );
    assert_eq!(vm.cat(&story.workspace.container_id, "/opt/state"), "good");
}
