//! Configurations as the field writes them start as they do with the plain devcontainer CLI.

use hearth_api::v1::{CacheResult, FailureReason, PushOutcome, WorkspaceState, event::Kind};
use hearth_tests::{
    Lab,
    client::{Story, request},
};

const CONFIG: &str = ".devcontainer/devcontainer.json";

/// What a file of a workspace's container has, without white space around it.
#[track_caller]
fn content(lab: &Lab, story: &Story, path: &str) -> String {
    story.assert_whole();
    story.assert_state(WorkspaceState::Ready);
    let node: usize = story.workspace.node["node-".len()..].parse().unwrap();
    let container = &story.workspace.container_id;
    lab.vms[node - 1].cat(container, path).trim().to_owned()
}

fn warnings(story: &Story) -> String {
    let texts = story.kinds().filter_map(|kind| match kind {
        Kind::Warning(warning) => Some(warning.message.clone()),
        _ => None,
    });
    texts.collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn a_build_in_the_old_spelling_and_with_the_containers_folder_in_it_is_that_of_the_cli() {
    let lab = Lab::new(2).await;
    let config = |folder: &str, flavour: &str| {
        format!(
            r#"{{ "dockerFile": "Dockerfile", "context": "..", "workspaceFolder": "/workspaces/old/{folder}",
                 "build": {{ "args": {{ "FLAVOUR": "{flavour}", "DIR": "${{containerWorkspaceFolder}}" }}, "cacheFrom": "" }},
                 "features": {{ "./dir": {{ "dir": "${{containerWorkspaceFolderBasename}}" }} }},
                 "postCreateCommand": "pwd > ran-in" }}"#
        )
    };
    let dockerfile = format!(
        "FROM {}\nARG FLAVOUR\nARG DIR\nCOPY tools/list /opt/list\nRUN echo $FLAVOUR > /opt/flavour; echo $DIR > /opt/dir\n",
        lab.base
    );
    let repo = lab.git.repo(
        "old",
        &[
            (CONFIG, &config("api", "vanilla")),
            (".devcontainer/Dockerfile", &dockerfile),
            (".devcontainer/dir/devcontainer-feature.json", "\u{feff}{ \"id\": \"dir\", \"version\": \"1.0.0\", \"options\": { \"dir\": { \"type\": \"string\", \"default\": \"\" } } }"),
            (".devcontainer/dir/install.sh", "#!/bin/sh\necho $DIR > /opt/feature-dir\n"),
            ("tools/list", "hammer\n"),
            ("api/x", ""),
            ("web/x", ""),
        ],
    );
    for (node, result) in [
        ("node-1", CacheResult::Miss),
        ("node-2", CacheResult::Exact),
    ] {
        let story = lab.client.prepare(node, &repo.url).await;
        story.assert_result(result);
        for (path, expected) in [
            ("/opt/list", "hammer"),
            ("/opt/flavour", "vanilla"),
            ("/opt/dir", "/workspaces/old/api"),
            ("/opt/feature-dir", "api"),
            ("/workspaces/old/api/ran-in", "/workspaces/old/api"),
        ] {
            assert_eq!(content(&lab, &story, path), expected, "{path}");
        }
    }
    repo.commit(&[(CONFIG, &config("web", "lemon"))]);
    let story = lab.client.prepare("node-2", &repo.url).await;
    assert_ne!(story.result(), CacheResult::Exact);
    assert!(
        story
            .cache()
            .reasons
            .iter()
            .any(|reason| reason.contains("FLAVOUR"))
    );
    assert_eq!(content(&lab, &story, "/opt/flavour"), "lemon");
    assert_eq!(content(&lab, &story, "/opt/dir"), "/workspaces/old/web");
    assert_eq!(content(&lab, &story, "/opt/feature-dir"), "web");
}

#[tokio::test]
async fn paths_in_the_options_of_a_build_begin_at_the_workspace() {
    let lab = Lab::new(2).await;
    let config = |options: &str| {
        format!(r#"{{ "build": {{ "dockerfile": "Dockerfile", "options": [{options}] }} }}"#)
    };
    let secret = r#""--secret", "id=settings,src=.devcontainer/settings.txt""#;
    let dockerfile = format!(
        "FROM {}\nRUN --mount=type=secret,id=settings wc -c < /run/secrets/settings > /opt/bytes\n",
        lab.base
    );
    let repo = lab.git.repo(
        "options",
        &[
            (CONFIG, &config(secret)),
            (".devcontainer/Dockerfile", &dockerfile),
            (".devcontainer/settings.txt", "hush-hush"),
            ("shared/name", "shared"),
        ],
    );
    for (node, result) in [
        ("node-1", CacheResult::Miss),
        ("node-2", CacheResult::Exact),
    ] {
        let story = lab.client.prepare(node, &repo.url).await;
        story.assert_result(result);
        assert_eq!(content(&lab, &story, "/opt/bytes"), "9");
        assert!(!format!("{:?}", story.events).contains("hush-hush"));
    }

    let dockerfile = format!("FROM {}\nCOPY --from=shared name /opt/name\n", lab.base);
    let context = config(r#""--build-context=shared=shared""#);
    repo.commit(&[
        (CONFIG, &context),
        (".devcontainer/Dockerfile", &dockerfile),
    ]);
    let story = lab.client.prepare("node-1", &repo.url).await;
    assert_ne!(story.result(), CacheResult::Exact);
    assert_eq!(content(&lab, &story, "/opt/name"), "shared");
    let reasons = story.cache().reasons.join(" ");
    assert!(
        reasons.contains("build.additional_contexts.shared is new"),
        "{reasons}"
    );

    repo.commit(&[(CONFIG, &config(r#""--secret=id=settings,src=missing.txt""#))]);
    let dockerfile = format!("FROM {}\nRUN echo 1 > /opt/name\n", lab.base);
    repo.commit(&[(".devcontainer/Dockerfile", &dockerfile)]);
    let story = lab.client.prepare("node-1", &repo.url).await;
    assert_eq!(content(&lab, &story, "/opt/name"), "1");
    let warnings = warnings(&story);
    let expected = "--secret id=settings is left out: missing.txt: No such file";
    assert!(warnings.contains(expected), "{warnings}");
}

#[tokio::test]
async fn a_configuration_behind_links_and_a_byte_order_mark_is_read() {
    let lab = Lab::new(2).await;
    let config = format!(
        "\u{feff}{{\r\n  // shared\r\n  \"image\": \"{}\",\r\n  \"features\": {{ \"./hello\": {{}} }},\r\n  \"postCreateCommand\": \"cat /opt/hello > greeting\"\r\n}}\r\n",
        lab.base
    );
    let repo = lab.git.repo(
        "linked",
        &[
            ("tools/dev/devcontainer.json", &config),
            (
                "tools/dev/hello/devcontainer-feature.json",
                "\u{feff}{ \"id\": \"hello\", \"version\": \"1.0.0\" }",
            ),
            (
                "tools/dev/hello/install.sh",
                "#!/bin/sh\necho moin > /opt/hello\n",
            ),
        ],
    );
    repo.link(&[(".devcontainer", "tools/dev")]);
    repo.commit(&[]);
    for (node, result) in [
        ("node-1", CacheResult::Miss),
        ("node-2", CacheResult::Exact),
    ] {
        let story = lab.client.prepare(node, &repo.url).await;
        story.assert_result(result);
        assert_eq!(content(&lab, &story, "/workspaces/linked/greeting"), "moin");
    }
    // The folder of a named configuration can be a link as well.
    let named = lab.git.repo(
        "named",
        &[
            ("tools/dev/devcontainer.json", &config),
            (
                "tools/dev/hello/devcontainer-feature.json",
                r#"{ "id": "hello", "version": "1.0.0" }"#,
            ),
            (
                "tools/dev/hello/install.sh",
                "#!/bin/sh\necho servus > /opt/hello\n",
            ),
        ],
    );
    named.link(&[(".devcontainer/api", "../tools/dev")]);
    named.commit(&[]);
    let story = lab.client.prepare("node-1", &named.url).await;
    // The only one is used without being asked for, and that is said.
    assert_eq!(
        content(&lab, &story, "/workspaces/named/greeting"),
        "servus"
    );
    let said = warnings(&story);
    assert!(said.contains("api"), "{said}");
    let mut api = request("node-1", &named.url);
    api.spec.as_mut().unwrap().config = "api".to_owned();
    let story = lab.client.run(api).await;
    assert_eq!(
        content(&lab, &story, "/workspaces/named/greeting"),
        "servus"
    );
}

#[tokio::test]
async fn an_empty_user_is_none_and_no_image_is_the_default_one() {
    let lab = Lab::new(1).await;
    for (name, users) in [
        ("remote", r#""remoteUser": "${localEnv:USER}""#),
        (
            "container",
            r#""containerUser": "${localEnv:USER}", "remoteUser": """#,
        ),
        (
            "arguments",
            r#""runArgs": ["--user", "dev"], "remoteUser": """#,
        ),
    ] {
        let user = if name == "arguments" {
            ""
        } else {
            "USER dev\n"
        };
        let config = format!(
            r#"{{ "build": {{ "dockerfile": "Dockerfile", "target": "" }}, {users}, "postCreateCommand": "id -un > user" }}"#
        );
        let dockerfile = format!("FROM {}\n{user}", lab.base);
        let files = [
            (CONFIG, &*config),
            (".devcontainer/Dockerfile", &*dockerfile),
        ];
        let repo = lab.git.repo(name, &files);
        let story = lab.client.prepare("node-1", &repo.url).await;
        assert_eq!(
            content(&lab, &story, &format!("/workspaces/{name}/user")),
            "dev"
        );
    }

    let config = r#"{ "image": "", "containerEnv": { "GATE": "open" }, "postCreateCommand": "echo $GATE > gate" }"#;
    let repo = lab.git.repo("bare", &[(CONFIG, config)]);
    let story = lab.client.prepare("node-1", &repo.url).await;
    assert_eq!(content(&lab, &story, "/workspaces/bare/gate"), "open");
    story.assert_result(CacheResult::Skipped);
    assert!(story.cache().reasons.join(" ").contains("names no image"));
    story.assert_push(PushOutcome::SkippedNotEligible);
    let config =
        r#"{ "features": { "./hello": {} }, "postCreateCommand": "cat /opt/hello > hello" }"#;
    repo.commit(&[
        (CONFIG, config),
        (
            ".devcontainer/hello/devcontainer-feature.json",
            r#"{ "id": "hello", "version": "1.0.0" }"#,
        ),
        (
            ".devcontainer/hello/install.sh",
            "#!/bin/sh\necho moin > /opt/hello\n",
        ),
    ]);
    let story = lab.client.prepare("node-1", &repo.url).await;
    assert_eq!(content(&lab, &story, "/workspaces/bare/hello"), "moin");
    story.assert_result(CacheResult::Skipped);
    story.assert_push(PushOutcome::SkippedNotEligible);
}

#[tokio::test]
async fn initialize_command_runs_once_and_before_the_image_is_built() {
    let lab = Lab::new(2).await;
    let config = r#"{ "build": { "dockerfile": "Dockerfile", "context": ".." },
        "initializeCommand": { "make": "sed s/^/from-/ version > generated", "count": ["sh", "-c", "echo ran >> runs"] },
        "remoteUser": "dev", "postCreateCommand": "cat /opt/generated > seen" }"#;
    let dockerfile = format!("FROM {}\nCOPY generated /opt/generated\n", lab.base);
    let repo = lab.git.repo(
        "generated",
        &[
            (CONFIG, config),
            (".devcontainer/Dockerfile", &dockerfile),
            (".gitignore", "generated\nruns\n"),
            ("version", "1"),
        ],
    );
    for (version, node, result) in [
        ("1", "node-1", Some(CacheResult::Miss)),
        ("1", "node-2", Some(CacheResult::Exact)),
        ("2", "node-2", None),
    ] {
        if version == "2" {
            repo.commit(&[("version", version)]);
        }
        let story = lab.client.prepare(node, &repo.url).await;
        match result {
            Some(result) => story.assert_result(result),
            None => assert_ne!(story.result(), CacheResult::Exact),
        }
        let seen = content(&lab, &story, "/workspaces/generated/seen");
        assert_eq!(seen, format!("from-{version}"));
        assert_eq!(content(&lab, &story, "/workspaces/generated/runs"), "ran");
    }

    let failing = config.replace(
        "sed s/^/from-/ version > generated",
        "echo no network; exit 7",
    );
    repo.commit(&[(CONFIG, &failing)]);
    let story = lab.client.prepare("node-1", &repo.url).await;
    story.assert_whole();
    story.assert_state(WorkspaceState::Recovery);
    let failure = story.workspace.failure.clone().unwrap();
    assert_eq!(failure.reason(), FailureReason::HookFailed);
    assert_eq!(
        failure.message,
        "initializeCommand \"make\" failed: no network"
    );
    let logged = |kind: &Kind| matches!(kind, Kind::Log(log) if log.text.contains("no network"));
    assert!(story.position(logged).is_some());
}
