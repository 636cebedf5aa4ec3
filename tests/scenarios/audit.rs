//! An exact hit is audited: BuildKit finds all steps in the build cache that came with the image, or the image goes.

use hearth_api::v1::{CacheResult, WorkspaceState, event::Kind};
use hearth_tests::{
    Lab,
    client::{Story, request},
};

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
    let audits = |lab: &Lab, node: usize| {
        let metrics = lab.agents[node - 1].metrics();
        let lines = metrics
            .lines()
            .filter(|line| line.starts_with("hearth_agent_cache_audits_total"));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
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
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(lab.control_plane.database());
    let database = sqlx::SqlitePool::connect_with(options).await.unwrap();
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
