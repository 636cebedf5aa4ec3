//! An exact hit is audited: BuildKit finds all steps in the build cache that came with the image, or the image goes.

use hearth_api::v1::{CacheAccess, CacheResult, PushOutcome, WorkspaceState, event::Kind};
use hearth_tests::{
    Lab, Vm, app,
    client::{Story, request},
};

use crate::keyed::add_node_with_cli;

const CONFIG: &str = r#"{ "build": { "dockerfile": "Dockerfile", "context": ".." },
    "onCreateCommand": "echo changed | tee one", "features": { "./feature": {} } }"#;

fn dockerfile(lab: &Lab, text: &str) -> String {
    format!(
        "FROM {} AS builder\nCOPY one /one\nRUN cat /one > /built\n\
         FROM {}\nCOPY --from=builder /built /built\nRUN --mount=type=cache,target=/c echo {text} > /text\n",
        lab.base, lab.base
    )
}

fn warnings(story: &Story) -> Vec<String> {
    let warning = |kind: &Kind| match kind {
        Kind::Warning(warning) => Some(warning.message.clone()),
        _ => None,
    };
    story.kinds().filter_map(warning).collect()
}

fn audits(lab: &Lab, node: usize) -> Vec<String> {
    let metrics = lab.agents[node - 1].metrics();
    let lines = metrics
        .lines()
        .filter(|line| line.starts_with("hearth_agent_cache_audits_total"));
    lines.map(str::to_owned).collect()
}

async fn database(lab: &Lab) -> sqlx::SqlitePool {
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(lab.control_plane.database());
    sqlx::SqlitePool::connect_with(options).await.unwrap()
}

#[tokio::test]
async fn a_true_hit_stays_and_one_that_buildkit_would_build_otherwise_goes() {
    let mut lab = Lab::new(1).await;
    for _ in 0..2 {
        lab.add_node(&["--cache-audit-percent", "100"]).await;
    }
    let repo = lab.git.repo(
        "app",
        &[
            (".devcontainer/devcontainer.json", CONFIG),
            (".devcontainer/Dockerfile", &dockerfile(&lab, "first")),
            (
                ".devcontainer/feature/devcontainer-feature.json",
                r#"{ "id": "feature", "version": "1.0.0", "name": "feature" }"#,
            ),
            (
                ".devcontainer/feature/install.sh",
                "#!/bin/sh\necho feature > /feature\n",
            ),
            ("one", "one\n"),
        ],
    );
    let first = lab.client.prepare("node-1", &repo.url).await;
    first.assert_state(WorkspaceState::Ready);
    repo.commit(&[(".devcontainer/Dockerfile", &dockerfile(&lab, "second"))]);
    let second = lab.client.prepare("node-1", &repo.url).await;
    second.assert_result(CacheResult::Partial);

    let hit = lab.client.prepare("node-2", &repo.url).await;
    hit.assert_result(CacheResult::Exact);
    hit.assert_state(WorkspaceState::Ready);
    assert_eq!(warnings(&hit), Vec::<String>::new());
    assert_eq!(
        audits(&lab, 2),
        [r#"hearth_agent_cache_audits_total{outcome="AGREES"} 1"#]
    );

    // A pull request, whose cache mounts have other names, is not audited, and removes nothing.
    repo.git(&["update-ref", "refs/pull/1/head", "HEAD"]);
    let mut fork = request("node-3", &repo.url);
    fork.spec.as_mut().unwrap().r#ref = "refs/pull/1/head".to_owned();
    let fork = lab.client.run(fork).await;
    fork.assert_result(CacheResult::Exact);
    assert_eq!(warnings(&fork), Vec::<String>::new());
    assert_eq!(audits(&lab, 3), Vec::<String>::new());

    // As if the key did not see the changed step: the entry has what the build before has written.
    let database = database(&lab).await;
    let changed = sqlx::query(
        "UPDATE build_caches SET digest = (SELECT digest FROM build_caches WHERE key = ?) WHERE key = ?",
    )
    .bind(first.cache().key)
    .bind(second.cache().key)
    .execute(&database)
    .await;
    assert_eq!(changed.unwrap().rows_affected(), 1);
    database.close().await;

    // Node 2 has the steps in its engine now.
    let wrong = lab.client.prepare("node-3", &repo.url).await;
    wrong.assert_result(CacheResult::Exact);
    wrong.assert_state(WorkspaceState::Ready);
    let told = warnings(&wrong);
    assert_eq!(told.len(), 1, "{told:?}");
    for part in [
        "echo second > /text",
        &wrong.cache().key,
        "its entry is dropped",
    ] {
        assert!(told[0].contains(part), "{told:?}");
    }
    assert_eq!(
        audits(&lab, 3),
        [r#"hearth_agent_cache_audits_total{outcome="EXECUTES"} 1"#]
    );
    let built = lab.client.prepare("node-2", &repo.url).await;
    assert_ne!(built.result(), CacheResult::Exact);
    built.assert_state(WorkspaceState::Ready);
}

#[tokio::test]
async fn an_image_of_another_configuration_goes_and_steps_and_versions_of_others_accuse_none() {
    const AUDITED: [&str; 2] = ["--cache-audit-percent", "100"];
    let mut lab = Lab::new(1).await;
    lab.add_node(&AUDITED).await;
    // The key has the CLI's version without its last part.
    let version = "case \"$1\" in --version) exec echo 0.89.99 ;; esac";
    let vm = Vm::start(lab.folder("other-version"));
    add_node_with_cli(&mut lab, vm, version, &AUDITED).await;
    lab.add_node(&AUDITED).await;
    let said = |env: &str| {
        format!(
            "FROM {}\nRUN head -c 8 /dev/urandom > /random\nENV SAID={env}\n",
            lab.base
        )
    };
    let repo = app::with_dockerfile(&lab, "app", &said("first"), "");
    let first = lab.client.prepare("node-1", &repo.url).await;
    first.assert_push(PushOutcome::Pushed);
    repo.commit(&[(".devcontainer/Dockerfile", &said("second"))]);
    let second = lab.client.prepare("node-1", &repo.url).await;
    second.assert_push(PushOutcome::Pushed);

    // It has executed the step itself, with another result.
    let mut own = request("node-2", &repo.url);
    own.spec.as_mut().unwrap().cache_access = CacheAccess::Off.into();
    lab.client
        .run(own)
        .await
        .assert_state(WorkspaceState::Ready);
    for (node, outcome) in [(2, "OWN_STEPS"), (3, "OTHER_BUILDER")] {
        let hit = lab.client.prepare(&format!("node-{node}"), &repo.url).await;
        hit.assert_result(CacheResult::Exact);
        assert_eq!(warnings(&hit), Vec::<String>::new());
        let counted = format!("hearth_agent_cache_audits_total{{outcome=\"{outcome}\"}} 1");
        assert_eq!(audits(&lab, node), [counted]);
    }

    // As if the key did not see the variable: the entry has the image with the earlier one.
    let database = database(&lab).await;
    let changed = sqlx::query("UPDATE cache_entries SET digest = ? WHERE key = ?")
        .bind(first.pushed_digest())
        .bind(second.cache().key)
        .execute(&database)
        .await;
    assert_eq!(changed.unwrap().rows_affected(), 1);
    database.close().await;
    let wrong = lab.client.prepare("node-4", &repo.url).await;
    wrong.assert_result(CacheResult::Exact);
    assert_eq!(wrong.cache().image_digest, first.pushed_digest());
    let told = warnings(&wrong);
    assert_eq!(told.len(), 1, "{told:?}");
    for part in ["set Env of its configuration", "its entry is dropped"] {
        assert!(told[0].contains(part), "{told:?}");
    }
    let names = lab.vms[3].docker(&["image", "ls", "--format", "{{.Repository}}:{{.Tag}}"]);
    assert!(!names.contains("-audit"), "{names}");
    let built = lab.client.prepare("node-1", &repo.url).await;
    assert_ne!(built.result(), CacheResult::Exact);
}
