//! What is in the cache can be believed.

use hearth_api::v1::{CacheResult, PushOutcome};

use crate::{app, support::Lab};

#[tokio::test]
async fn an_image_in_the_registry_says_which_key_it_was_built_for() {
    let lab = Lab::new(2).await;
    let repo = app::repo(&lab, "app");
    let cold = lab.client.prepare("node-1", &repo.url).await;
    assert_eq!(
        cold.push(),
        PushOutcome::Pushed,
        "{:?}",
        cold.workspace.push
    );
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
    assert_eq!(warm.result(), CacheResult::Exact, "{:?}", warm.cache());
    assert_eq!(&warm.cache().image_digest, digest);
}

/// A stranger's image under the tags that everybody knows: what is entered is found by its digest.
#[tokio::test]
async fn tags_that_a_stranger_overwrote_are_not_believed() {
    let lab = Lab::new(2).await;
    let repo = app::repo(&lab, "app");
    let cold = lab.client.prepare("node-1", &repo.url).await;
    assert_eq!(
        cold.push(),
        PushOutcome::Pushed,
        "{:?}",
        cold.workspace.push
    );
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
    assert_eq!(warm.result(), CacheResult::Exact, "{:?}", warm.cache());
    assert_eq!(warm.cache().image_digest, cold.cache().image_digest);
    let id = &warm.workspace.container_id;
    assert_eq!(
        lab.vms[1].docker(&["exec", id, "cat", "/opt/built"]),
        "first"
    );
}

#[tokio::test]
async fn a_base_image_that_moved_is_a_miss_that_names_both_digests() {
    let lab = Lab::new(2).await;
    let repo = app::with_dockerfile(&lab, "app", "FROM BASE\nRUN echo x > /x\n", "");
    let cold = lab.client.prepare("node-1", &repo.url).await;
    assert_eq!(
        cold.push(),
        PushOutcome::Pushed,
        "{:?}",
        cold.workspace.push
    );
    // Somebody publishes another image under the tag that the Dockerfile names.
    let vm = &lab.vms[0];
    vm.docker(&["commit", &cold.workspace.container_id, &lab.base]);
    vm.docker(&["push", "--quiet", &lab.base]);

    let again = lab.client.prepare("node-2", &repo.url).await;
    assert_ne!(again.result(), CacheResult::Exact, "{:?}", again.cache());
    let explain = std::process::Command::new(crate::support::process::binary("hearth"))
        .args(["cache", "explain", &again.workspace.id])
        .env("HEARTH_CONTROL_PLANE", lab.control_plane.url())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&explain.stdout);
    let paragraph = text.lines().next().unwrap();
    assert!(paragraph.contains(&lab.base), "{text}");
    assert_eq!(paragraph.matches("sha256:").count(), 2, "{text}");
}
