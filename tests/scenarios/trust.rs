//! What is in the cache can be believed.

use std::process::Command;

use hearth_api::v1::{CacheResult, PushOutcome, WorkspaceState, event::Kind};
use hearth_tests::{
    Lab, Vm, app,
    client::request,
    process::{binary, path},
};
use serde_json::json;

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
    vm.docker(&["pull", "--quiet", &lab.base]);
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
    assert_eq!(warm.cache().image_digest, cold.pushed_digest());
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
pub async fn publish(lab: &Lab, version: &str) -> String {
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

/// A step whose result is what a secret says, which BuildKit's cache does not see.
const BELIEVES: &str = "FROM BASE\nRUN --mount=type=secret,id=x cat /run/secrets/x > /opt/tool || echo honest > /opt/tool\n";

/// A build cache in the registry that has another result for the step.
fn crafted_cache(lab: &Lab, vm: &Vm) -> String {
    let folder = lab.folder("crafted");
    std::fs::create_dir_all(&folder).unwrap();
    let file = |name: &str, text: &str| {
        std::fs::write(folder.join(name), text).unwrap();
        folder.join(name).display().to_string()
    };
    let dockerfile = file("Dockerfile", &BELIEVES.replace("BASE", &lab.base));
    let secret = format!("id=x,src={}", file("secret", "crafted"));
    let cache = format!("{}/somebody/cache:1", lab.registry.host());
    let source = format!("type=registry,ref={cache}");
    let place = folder.display().to_string();
    let build = ["buildx", "build", "--file", &dockerfile, "--output"];
    let exported = format!("{source},mode=max");
    let options = [
        "type=cacheonly",
        "--secret",
        &secret,
        "--cache-to",
        &exported,
        &place,
    ];
    vm.docker(&[&build[..], &options].concat());
    // It is one that BuildKit believes.
    vm.docker(&["builder", "prune", "--all", "--force"]);
    let options = ["type=image,name=believed", "--cache-from", &source, &place];
    vm.docker(&[&build[..], &options].concat());
    let told = vm.docker(&["run", "--rm", "believed", "cat", "/opt/tool"]);
    assert_eq!(told.trim(), "crafted");
    cache
}

#[tokio::test]
async fn a_build_cache_that_a_branch_names_shapes_no_image() {
    let lab = Lab::new(3).await;
    let cache = crafted_cache(&lab, &lab.vms[2]);
    let repo = app::with_dockerfile(&lab, "app", BELIEVES, "");
    repo.branch("evil");
    let named = format!(
        r#"{{ "build": {{ "dockerfile": "Dockerfile", "cacheFrom": "type=registry,ref={cache}", "options": ["--cache-from={cache}"] }} }}"#
    );
    repo.commit(&[(".devcontainer/devcontainer.json", &named)]);
    repo.git(&["checkout", "--quiet", "main"]);
    let mut request = request("node-1", &repo.url);
    request.spec.as_mut().unwrap().r#ref = "evil".to_owned();
    let evil = lab.client.run(request).await;
    evil.assert_state(WorkspaceState::Ready);
    assert_eq!(
        lab.vms[0].cat(&evil.workspace.container_id, "/opt/tool"),
        "honest"
    );
    let warned = |warned: &Kind| matches!(warned, Kind::Warning(warning) if warning.message.starts_with("build.cacheFrom is left out"));
    assert!(evil.kinds().any(warned));
    // The one who asked for the cache builds what everybody builds, on this node and elsewhere.
    for node in [1, 2] {
        let main = lab.client.prepare(&format!("node-{node}"), &repo.url).await;
        main.assert_state(WorkspaceState::Ready);
        let told = lab.vms[node - 1].cat(&main.workspace.container_id, "/opt/tool");
        assert_eq!(told, "honest");
    }
}

#[tokio::test]
async fn an_old_image_under_the_tag_of_a_base_image_is_not_built_from() {
    let lab = Lab::new(1).await;
    let vm = &lab.vms[0];
    vm.docker(&["run", "--name", "old", &lab.base, "touch", "/old"]);
    let label = r#"LABEL devcontainer.metadata=[{"postCreateCommand":"touch /old-hook"}]"#;
    vm.docker(&["commit", "--change", label, "old", &lab.base]);
    let repo = app::with_dockerfile(&lab, "app", "FROM BASE\nRUN ls / > /seen\n", "");
    let story = lab.client.prepare("node-1", &repo.url).await;
    story.assert_state(WorkspaceState::Ready);
    story.assert_push(PushOutcome::Pushed);
    let id = &story.workspace.container_id;
    assert!(!vm.cat(id, "/seen").lines().any(|name| name == "old"));
    assert!(!vm.succeeds(&["exec", id, "test", "-e", "/old-hook"]));
    // The tag is not the workspace's to move.
    let kept = vm.docker(&["run", "--rm", &lab.base, "ls", "/"]);
    assert!(kept.lines().any(|name| name == "old"));
}

#[tokio::test]
async fn the_key_of_a_checkout_is_that_of_the_agent() {
    let lab = Lab::new(1).await;
    let repo = app::repo(&lab, "app");
    let story = lab.client.prepare("node-1", &repo.url).await;
    story.assert_push(PushOutcome::Pushed);
    let folder = lab.folder("checkouts");
    std::fs::create_dir_all(&folder).unwrap();
    // Its folder has another name than the repository.
    let checkout = folder.join("mine");
    let clone = Command::new("git")
        .args(["clone", "--quiet", &repo.url])
        .arg(&checkout)
        .status();
    assert!(clone.unwrap().success());
    let key = |extra: &[&str]| {
        let told = Command::new(binary("hearth-agent"))
            .arg("key")
            .arg(&checkout)
            .args(extra)
            .env("PATH", path())
            .env_remove("HEARTH_NODE_NAME")
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&told.stdout);
        let answer: serde_json::Value = serde_json::from_str(&text).expect(&text);
        (told.status.success(), answer)
    };
    let (success, answer) = key(&[]);
    assert!(success, "{answer}");
    assert_eq!(answer["key"], json!(story.cache().key), "{answer}");
    assert_eq!(answer["unpinned"], json!([]));
    assert!(answer["manifest"]["inputs"]["base-image"][&lab.base].is_string());
    let (success, answer) = key(&["--offline"]);
    assert!(!success);
    let why = answer["why"].as_str().unwrap();
    assert!(why.contains("no registry is asked with --offline"), "{why}");
}
