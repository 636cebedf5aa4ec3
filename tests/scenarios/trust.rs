//! What is in the cache can be believed.

use std::process::Command;

use hearth_api::v1::{CacheResult, PushOutcome};
use hearth_tests::{
    Lab, app,
    process::{binary, path},
};

#[tokio::test]
async fn an_image_in_the_registry_says_which_key_it_was_built_for() {
    let lab = Lab::new(2).await;
    let repo = app::repo(&lab, "app");
    let cold = lab.client.prepare("node-1", &repo.url).await;
    cold.assert_push(PushOutcome::Pushed);
    let key = cold.cache().key.clone();
    let hex = key.split_once(':').expect("a versioned key").1;
    let digest = &cold.workspace.push.as_ref().unwrap().digest;
    let manifest = lab
        .registry
        .manifest(&lab.cache_path(&repo.url), digest)
        .await;
    for annotation in [
        format!("\"dev.hearth.key\":\"{key}\""),
        format!("\"dev.hearth.manifest-digest\":\"sha256:{hex}\""),
    ] {
        let compact: String = manifest.split_whitespace().collect();
        assert!(compact.contains(&annotation), "{annotation}: {manifest}");
    }

    let warm = lab.client.prepare("node-2", &repo.url).await;
    warm.assert_result(CacheResult::Exact);
    assert_eq!(&warm.cache().image_digest, digest);
}

/// Tags can be overwritten; the index names images by their digests.
#[tokio::test]
async fn tags_that_a_stranger_overwrote_are_not_believed() {
    let lab = Lab::new(2).await;
    let repo = app::repo(&lab, "app");
    let cold = lab.client.prepare("node-1", &repo.url).await;
    cold.assert_push(PushOutcome::Pushed);
    let path = lab.cache_path(&repo.url);
    let vm = &lab.vms[0];
    for tag in lab.registry.tags(&path).await {
        if tag.ends_with("-buildcache") {
            continue;
        }
        let name = format!("{}/{path}:{tag}", lab.registry.host());
        vm.docker(&["tag", &lab.base, &name]);
        vm.docker(&["push", &name]);
    }

    let warm = lab.client.prepare("node-2", &repo.url).await;
    warm.assert_result(CacheResult::Exact);
    assert_eq!(warm.cache().image_digest, cold.cache().image_digest);
    let id = &warm.workspace.container_id;
    assert_eq!(lab.vms[1].cat(id, "/opt/built"), "first");
}

#[tokio::test]
async fn a_base_image_that_moved_is_a_miss_that_names_both_digests() {
    let lab = Lab::new(2).await;
    let repo = app::with_dockerfile(&lab, "app", "FROM BASE\nRUN echo x > /x\n", "");
    let cold = lab.client.prepare("node-1", &repo.url).await;
    cold.assert_push(PushOutcome::Pushed);
    // Another image is published under the tag that the Dockerfile names.
    let vm = &lab.vms[0];
    vm.docker(&["commit", &cold.workspace.container_id, &lab.base]);
    vm.docker(&["push", "--quiet", &lab.base]);

    let again = lab.client.prepare("node-2", &repo.url).await;
    assert_ne!(again.result(), CacheResult::Exact, "{:?}", again.cache());
    let paragraph = explained(&lab, &again.workspace.id);
    assert!(paragraph.contains(&lab.base), "{paragraph}");
    assert_eq!(paragraph.matches("sha256:").count(), 2, "{paragraph}");
}

/// The first paragraph of what `hearth cache explain` says.
fn explained(lab: &Lab, workspace_id: &str) -> String {
    let explain = Command::new(binary("hearth"))
        .args(["cache", "explain", workspace_id])
        .env("HEARTH_CONTROL_PLANE", lab.control_plane.url())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&explain.stdout);
    text.lines().next().unwrap_or_default().to_owned()
}

/// Publishes a version of a feature, which moves the tag of its major version, and returns the digest of its manifest.
async fn publish(lab: &Lab, version: &str) -> String {
    let folder = lab.folder(&format!("features-{version}")).join("hello");
    std::fs::create_dir_all(&folder).unwrap();
    let metadata = format!(r#"{{ "id": "hello", "version": "{version}", "name": "hello" }}"#);
    let script = format!("#!/bin/sh\necho {version} > /opt/hello\n");
    std::fs::write(folder.join("devcontainer-feature.json"), metadata).unwrap();
    std::fs::write(folder.join("install.sh"), script).unwrap();
    let published = Command::new("devcontainer")
        .args(["features", "publish", "--namespace", "tools/features"])
        .args(["--registry", &lab.registry.host()])
        .arg(&folder)
        .env("PATH", path())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&published.stderr);
    assert!(published.status.success(), "{told}");
    let manifest = lab.registry.manifest("tools/features/hello", "1").await;
    hearth_domain::Digest::of(manifest).to_string()
}

#[tokio::test]
async fn a_feature_whose_tag_moved_is_a_miss_that_names_it_and_both_digests() {
    let lab = Lab::new(2).await;
    let feature = format!("{}/tools/features/hello:1", lab.registry.host());
    let before = publish(&lab, "1.0.0").await;
    let config = format!(
        r#"{{ "image": "{}", "features": {{ "{feature}": {{}} }} }}"#,
        lab.base
    );
    let repo = lab
        .git
        .repo("app", &[(".devcontainer/devcontainer.json", &config)]);
    let hello = |node: usize, container: &str| lab.vms[node - 1].cat(container, "/opt/hello");
    let cold = lab.client.prepare("node-1", &repo.url).await;
    cold.assert_push(PushOutcome::Pushed);
    assert_eq!(hello(1, &cold.workspace.container_id), "1.0.0");

    let after = publish(&lab, "1.1.0").await;
    let again = lab.client.prepare("node-2", &repo.url).await;
    assert_ne!(again.result(), CacheResult::Exact, "{:?}", again.cache());
    let paragraph = explained(&lab, &again.workspace.id);
    for said in [&feature, &before, &after] {
        assert!(paragraph.contains(said), "{said}: {paragraph}");
    }
    assert_eq!(hello(2, &again.workspace.container_id), "1.1.0");

    let third = lab.client.prepare("node-1", &repo.url).await;
    third.assert_result(CacheResult::Exact);
    assert_eq!(hello(1, &third.workspace.container_id), "1.1.0");
}
