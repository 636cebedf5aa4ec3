//! The images of a Docker Compose project are cached like others: each service that is built has its own.

use std::process::Command;

use hearth_api::v1::{CacheReport, CacheResult, PushOutcome, WorkspaceState, event::Kind};
use hearth_tests::{
    Lab, Repo,
    client::{Story, request},
    process::{binary, eventually},
};

const COMPOSE: &str = "\
services:
  app:
    build: {context: .., dockerfile: .devcontainer/Dockerfile, args: ['BASE=IMAGE']}
    command: sleep infinity
    volumes: ['..:/project']
    depends_on: {db: {condition: service_healthy}, api: {condition: service_started}}
  api:
    build: {context: ../api, args: {BASE: 'IMAGE', WORD: moin}, target: dev}
    command: sleep infinity
  web:
    # The same files up to another stage.
    build: {context: ../api, args: {BASE: 'IMAGE', WORD: moin}, target: web}
    command: sleep infinity
  db:
    image: IMAGE
    command: sleep infinity
    healthcheck: {test: ['CMD', 'true'], interval: 1s}
  debug:
    build: {context: ../debug}
volumes: {rows: {}}
";

/// A database that is only named, two services of one Dockerfile, and the devcontainer's own with a feature.
fn repo(lab: &Lab, name: &str) -> Repo {
    let base = &lab.base;
    lab.git.repo(
        name,
        &[
            (
                ".devcontainer/devcontainer.json",
                r#"{ "dockerComposeFile": "compose.yml", "service": "app", "workspaceFolder": "/project",
                     "runServices": ["web"], "features": { "./hello": { "greeting": "moin" } },
                     "remoteUser": "dev", "postCreateCommand": "id -un >> .hook-runs" }"#,
            ),
            (".devcontainer/compose.yml", &COMPOSE.replace("IMAGE", base)),
            (".devcontainer/Dockerfile", "ARG BASE\nFROM $BASE\nRUN echo tools > /opt/tools\n"),
            (
                ".devcontainer/hello/devcontainer-feature.json",
                r#"{ "id": "hello", "version": "1.0.0", "options": { "greeting": { "type": "string", "default": "hi" } } }"#,
            ),
            (
                ".devcontainer/hello/install.sh",
                "#!/bin/sh\nset -e\necho \"$GREETING\" > /opt/greeting\n",
            ),
            (
                "api/Dockerfile",
                "ARG BASE\nFROM $BASE AS dev\nARG WORD\nRUN echo $WORD > /opt/word\nCOPY main /opt/main\nRUN cp /opt/main /opt/built\n\
                 FROM $BASE AS web\nCOPY page /opt/page\n",
            ),
            ("api/main", "first\n"),
            ("api/page", "page\n"),
            ("debug/Dockerfile", &format!("FROM {base}\nRUN false\n")),
        ],
    )
}

/// The container of another service of a workspace.
fn container(lab: &Lab, node: usize, story: &Story, service: &str) -> String {
    let project = format!(
        "label=com.docker.compose.project=hearth-{}",
        story.workspace.id
    );
    let service = format!("label=com.docker.compose.service={service}");
    let listed = ["ps", "--quiet", "--filter", &project, "--filter", &service];
    lab.vms[node - 1].docker(&listed).trim().to_owned()
}

fn outcomes(report: &CacheReport) -> Vec<(&str, CacheResult)> {
    let services = report.services.iter();
    services
        .map(|of| (of.service.as_str(), of.result()))
        .collect()
}

/// Nothing ran that builds.
#[track_caller]
fn assert_nothing_built(story: &Story) {
    let built = story
        .kinds()
        .find(|kind| matches!(kind, Kind::BuildStep(_)));
    assert_eq!(built, None, "{:#?}", story.cache());
}

fn explained(lab: &Lab, workspace_id: &str) -> String {
    let explain = Command::new(binary("hearth"))
        .args(["cache", "explain", workspace_id])
        .env("HEARTH_CONTROL_PLANE", lab.control_plane.url())
        .output()
        .unwrap();
    String::from_utf8_lossy(&explain.stdout).into_owned()
}

#[tokio::test]
async fn a_compose_project_is_fetched_as_a_whole_and_only_the_service_that_changed_is_built() {
    let lab = Lab::new(2).await;
    let repo = repo(&lab, "composed");
    let cold = lab.client.prepare("node-1", &repo.url).await;
    cold.assert_whole();
    cold.assert_state(WorkspaceState::Ready);
    cold.assert_result(CacheResult::Miss);
    let miss = CacheResult::Miss;
    assert_eq!(
        outcomes(&cold.cache()),
        [("app", miss), ("api", miss), ("web", miss)]
    );
    cold.assert_push(PushOutcome::Pushed);

    let warm = lab.client.prepare("node-2", &repo.url).await;
    warm.assert_whole();
    warm.assert_state(WorkspaceState::Ready);
    warm.assert_result(CacheResult::Exact);
    assert_nothing_built(&warm);
    warm.assert_push(PushOutcome::Unchanged);
    let images = lab.vms[1].docker(&["image", "ls", "--format", "{{.Repository}}"]);
    assert!(!images.contains("<none>"), "{images}");
    for (node, story) in [(1, &cold), (2, &warm)] {
        let vm = &lab.vms[node - 1];
        let own = &story.workspace.container_id;
        assert_eq!(story.workspace.remote_user, "dev");
        assert_eq!(
            vm.cat(own, "/project/.hook-runs"),
            "dev",
            "once, as the user"
        );
        assert_eq!(vm.cat(own, "/opt/greeting"), "moin");
        assert_eq!(vm.cat(own, "/opt/tools"), "tools");
        let api = container(&lab, node, story, "api");
        assert_eq!(
            (vm.cat(&api, "/opt/word"), vm.cat(&api, "/opt/built")),
            ("moin".into(), "first".into())
        );
        assert_eq!(
            vm.cat(&container(&lab, node, story, "web"), "/opt/page"),
            "page"
        );
        assert_ne!(container(&lab, node, story, "db"), "");
        assert_eq!(
            container(&lab, node, story, "debug"),
            "",
            "it is not asked for"
        );
    }
    let tags = lab.registry.tags(&lab.cache_path(&repo.url)).await;
    let has = |begins: &str, ends: &str| {
        let mut tags = tags.iter();
        tags.any(|tag| tag.starts_with(begins) && tag.ends_with(ends))
    };
    assert!(has("devcontainer-cache", "e"), "{tags:?}");
    assert!(has("devcontainer-cache-api-", "-buildcache"), "{tags:?}");

    repo.commit(&[("api/main", "second\n")]);
    let edited = lab.client.prepare("node-2", &repo.url).await;
    edited.assert_whole();
    edited.assert_result(CacheResult::Partial);
    let exact = CacheResult::Exact;
    let report = edited.cache();
    let partial = CacheResult::Partial;
    assert_eq!(
        outcomes(&report),
        [("app", exact), ("api", partial), ("web", exact)]
    );
    assert!(
        0 < report.steps_reused && report.steps_reused < report.steps_total,
        "{report:?}"
    );
    let built = edited.kinds().filter_map(|kind| match kind {
        Kind::BuildStep(step) => Some(step.name.as_str()),
        _ => None,
    });
    assert!(built.into_iter().all(|name| name.starts_with("api: ")));
    edited.assert_push(PushOutcome::Pushed);
    let text = explained(&lab, &edited.workspace.id);
    assert!(text.contains("api: The inputs differ"), "{text}");
    assert!(text.contains("The file api/main changed."), "{text}");
    assert!(text.contains("app: The cache has an image"), "{text}");
    let (first, second) = (
        container(&lab, 2, &warm, "api"),
        container(&lab, 2, &edited, "api"),
    );
    assert_eq!(
        lab.vms[1].cat(&first, "/opt/built"),
        "first",
        "side by side"
    );
    assert_eq!(lab.vms[1].cat(&second, "/opt/built"), "second");

    // A pull request reads what is there, and leaves nothing.
    repo.commit(&[("api/main", "third\n")]);
    repo.git(&["update-ref", "refs/pull/7/head", "HEAD"]);
    let mut fork = request("node-1", &repo.url);
    fork.spec.get_or_insert_default().r#ref = "refs/pull/7/head".to_owned();
    let before = lab.registry.tags(&lab.cache_path(&repo.url)).await;
    let forked = lab.client.run(fork).await;
    forked.assert_state(WorkspaceState::Ready);
    assert_eq!(outcomes(&forked.cache())[0], ("app", exact));
    forked.assert_push(PushOutcome::SkippedReadOnly);
    assert_eq!(lab.registry.tags(&lab.cache_path(&repo.url)).await, before);

    for story in [&cold, &warm, &edited, &forked] {
        lab.client.delete(&story.workspace.id).await;
    }
    lab.assert_nothing_left(1).await;
    lab.assert_nothing_left(2).await;
}

#[tokio::test]
async fn every_form_of_a_compose_project_has_keys_and_comes_from_the_cache() {
    let lab = Lab::new(2).await;
    let base = &lab.base;
    let compose = format!(
        "include: [included.yml]\nservices:\n\
         \x20 app: {{image: '{base}', command: sleep infinity, volumes: ['..:/project']}}\n\
         \x20 inline:\n    build:\n      context: ../files\n      args: {{NOTHING: , KIND: '$KIND'}}\n      dockerfile_inline: |\n\
         \x20       FROM {base}\n        ARG KIND\n        ENV COST=1$$\n        RUN echo $$KIND > /opt/kind\n        COPY a /opt/a\n\
         \x20   command: sleep infinity\n\
         \x20 base: {{build: {{context: ../base}}, image: our-base, profiles: [chosen], command: sleep infinity}}\n\
         \x20 on-base:\n    build: {{context: ../on-base, additional_contexts: {{below: 'service:base', more: ../files}}}}\n    command: sleep infinity\n\
         \x20 named:\n    build: {{context: ../named}}\n    command: sleep infinity\n\
         \x20 by-profile: {{image: '{base}', command: sleep infinity, profiles: [chosen]}}\n"
    );
    let repo = lab.git.repo(
        "forms",
        &[
            (
                ".devcontainer/devcontainer.json",
                r#"{ "dockerComposeFile": ["compose.yml", "more.yml"], "service": "app", "workspaceFolder": "/project",
                     "features": { "./hello": {} }, "postCreateCommand": "echo x >> .hook-runs" }"#,
            ),
            (".devcontainer/compose.yml", &compose),
            (".devcontainer/more.yml", "services: {inline: {environment: {MORE: '1'}}}\n"),
            (
                ".devcontainer/included.yml",
                "services: {included: {extends: {file: extended.yml, service: e}, command: sleep infinity}}\n",
            ),
            (
                ".devcontainer/extended.yml",
                "services: {e: {build: {context: ../extended, labels: [a=b], extra_hosts: ['h:10.0.0.1']}}}\n",
            ),
            (".devcontainer/.env", "KIND=from-env\nCOMPOSE_PROFILES=chosen\n"),
            (
                ".devcontainer/hello/devcontainer-feature.json",
                r#"{ "id": "hello", "version": "1.0.0" }"#,
            ),
            (".devcontainer/hello/install.sh", "#!/bin/sh\necho hello > /opt/hello\n"),
            ("files/a", "a\n"),
            ("base/Dockerfile", &format!("FROM {base}\nRUN echo base > /opt/base\n")),
            (
                "on-base/Dockerfile",
                "FROM below\nRUN cat /opt/base > /opt/on-base\nCOPY --from=more a /opt/more\n",
            ),
            ("named/Dockerfile", "FROM our-base\nRUN cat /opt/base > /opt/named\n"),
            ("extended/Dockerfile", &format!("FROM {base}\nRUN echo e > /opt/extended\n")),
        ],
    );
    let cold = lab.client.prepare("node-1", &repo.url).await;
    cold.assert_state(WorkspaceState::Ready);
    cold.assert_push(PushOutcome::Pushed);
    let warm = lab.client.prepare("node-2", &repo.url).await;
    warm.assert_whole();
    warm.assert_state(WorkspaceState::Ready);
    assert_nothing_built(&warm);
    warm.assert_result(CacheResult::Exact);
    let exact = CacheResult::Exact;
    let names = ["app", "base", "included", "inline", "named", "on-base"];
    assert_eq!(outcomes(&warm.cache()), names.map(|name| (name, exact)));
    for (node, story) in [(1, &cold), (2, &warm)] {
        let vm = &lab.vms[node - 1];
        let own = &story.workspace.container_id;
        assert_eq!(vm.cat(own, "/opt/hello"), "hello");
        assert_eq!(vm.cat(own, "/project/.hook-runs"), "x");
        for (service, file, text) in [
            ("inline", "/opt/kind", "from-env"),
            ("inline", "/opt/a", "a"),
            ("on-base", "/opt/on-base", "base"),
            ("on-base", "/opt/more", "a"),
            ("named", "/opt/named", "base"),
            ("included", "/opt/extended", "e"),
        ] {
            let found = container(&lab, node, story, service);
            assert_eq!(vm.cat(&found, file), text, "{service} on node {node}");
        }
        let inline = container(&lab, node, story, "inline");
        let env = vm.docker(&["exec", &inline, "env"]);
        assert!(env.contains("MORE=1") && env.contains("COST=1$"), "{env}");
        assert_ne!(container(&lab, node, story, "by-profile"), "");
    }
    // What is below changes what is on top of it, and nothing else.
    let changed = format!("FROM {base}\nRUN echo other > /opt/base\n");
    repo.commit(&[("base/Dockerfile", &changed)]);
    let edited = lab.client.prepare("node-2", &repo.url).await;
    edited.assert_state(WorkspaceState::Ready);
    let of = outcomes_of(&edited);
    assert_eq!(
        (of("app"), of("inline"), of("included")),
        (exact, exact, exact)
    );
    assert!(of("named") != exact && of("on-base") != exact);
    let named = container(&lab, 2, &edited, "named");
    assert_eq!(lab.vms[1].cat(&named, "/opt/named"), "other");
}

fn outcomes_of(story: &Story) -> impl Fn(&str) -> CacheResult {
    let report = story.cache();
    move |name| {
        let of = report.services.iter().find(|of| of.service == name);
        of.map(|of| of.result()).unwrap_or_default()
    }
}

#[tokio::test]
async fn a_project_whose_agent_is_killed_while_a_service_is_built_leaves_nothing() {
    let mut lab = Lab::new(1).await;
    let repo = repo(&lab, "killed");
    repo.commit(&[(
        "api/Dockerfile",
        &format!("FROM {} AS dev\nRUN sleep 3\nFROM dev AS web\n", lab.base),
    )]);
    let builds = |kind: &Kind| matches!(kind, Kind::BuildStep(step) if step.name.contains("sleep"));
    let begun = lab.client.begin_until(request("node-1", &repo.url), builds);
    let (id, _) = begun.await;
    lab.agents[0].kill();
    lab.agents[0].restart();
    let story = lab.client.watch(&id, 0).await;
    story.assert_whole();
    story.assert_state(WorkspaceState::Failed);
    let again = lab.client.prepare_anew(&id).await;
    again.assert_state(WorkspaceState::Ready);
    lab.client.delete(&id).await;
    lab.assert_nothing_left(1).await;
    let vm = &lab.vms[0];
    eventually("no image of the workspace is left", || {
        let images = vm.docker(&["image", "ls", "--format", "{{.Repository}}"]);
        !images.contains("hearth-ws") && !images.contains(&format!("hearth-{id}"))
    })
    .await;
}
