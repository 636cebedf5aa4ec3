//! Only what was built from what its key says is entered into the cache.

use std::{fs, os::unix::fs::PermissionsExt as _};

use hearth_api::v1::{CacheResult, PushOutcome, WorkspaceState, event::Kind};
use hearth_tests::{Lab, Vm, app, client::Story};

use crate::trust::publish;

/// Adds a node whose devcontainer CLI does `first` before it does its work.
pub async fn add_node_with_cli(lab: &mut Lab, vm: Vm, first: &str, flags: &[&str]) {
    let folder = lab.folder("going-around");
    fs::create_dir_all(&folder).unwrap();
    let cli = folder.join("other-devcontainer");
    fs::write(
        &cli,
        format!("#!/bin/sh\n{first}\nexec devcontainer \"$@\"\n"),
    )
    .unwrap();
    fs::set_permissions(&cli, fs::Permissions::from_mode(0o755)).unwrap();
    let (cli, folder) = (cli.display().to_string(), folder.display().to_string());
    let with_cli = ["--devcontainer-cli", &cli, "--command-folders", &folder];
    lab.add_node_on(vm, &[&with_cli[..], flags].concat()).await;
}

/// The reason why an image was not pushed, which is told as a warning too.
#[track_caller]
fn refused(story: &Story) -> String {
    story.assert_state(WorkspaceState::Ready);
    story.assert_push(PushOutcome::SkippedNoKey);
    let why = story.workspace.push.as_ref().unwrap().message.clone();
    let mut kinds = story.kinds();
    let warned = kinds.any(|kind| matches!(kind, Kind::Warning(it) if it.message.contains(&why)));
    assert!(warned, "{why}");
    why
}

#[tokio::test]
async fn an_image_on_another_base_than_the_keys_is_not_entered() {
    for classic in [false, true] {
        let mut lab = Lab::new(1).await;
        let folder = lab.folder("other-vm");
        let vm = if classic {
            Vm::start_classic(folder)
        } else {
            Vm::start(folder)
        };
        // An engine serves a tag that it has, and BuildKit is not told the digests.
        let stop_pins = "unset EXPERIMENTAL_BUILDKIT_SOURCE_POLICY";
        add_node_with_cli(&mut lab, vm, stop_pins, &[]).await;
        let vm = &lab.vms[1];
        vm.docker(&["pull", "--quiet", &lab.base]);
        let container = vm.docker(&["create", &lab.base, "true"]);
        vm.docker(&["commit", "--message", "another", &container, &lab.base]);
        let repo = app::with_dockerfile(&lab, "app", "FROM BASE\nRUN echo x > /x\n", "");

        let other = lab.client.prepare("node-2", &repo.url).await;
        let why = refused(&other);
        assert!(why.contains(&lab.base), "{why}");
        let keyed = hearth_domain::Digest::of(lab.registry.manifest("base/tiny", "1").await);
        assert!(why.contains(keyed.as_str()), "{why}");
        // The classic store has no digest of an image that was never in a registry.
        let digests = why.matches("sha256:").count();
        assert_eq!(digests, if classic { 1 } else { 2 }, "{why}");
        assert_eq!(
            lab.registry.tags(&lab.cache_path(&repo.url)).await,
            Vec::<String>::new()
        );

        let true_one = lab.client.prepare("node-1", &repo.url).await;
        true_one.assert_result(CacheResult::Miss);
        true_one.assert_push(PushOutcome::Pushed);
    }
}

#[tokio::test]
async fn an_image_with_another_version_of_a_feature_than_the_keys_is_not_entered() {
    let mut lab = Lab::new(1).await;
    let feature = format!("{}/tools/features/hello:1", lab.registry.host());
    let earlier = publish(&lab, "1.0.0").await;
    let keyed = publish(&lab, "1.1.0").await;
    // As if the tag moved after the key was computed.
    let vm = Vm::start(lab.folder("other-vm"));
    let move_tag = r#"case "$*" in build*) find "$TMPDIR/.." -path '*/build/*' -name devcontainer.json -exec sed -i 's|/hello:1"|/hello:1.0.0"|' {} + ;; esac"#;
    add_node_with_cli(&mut lab, vm, move_tag, &[]).await;
    let config = format!(
        r#"{{ "image": "{}", "features": {{ "{feature}": {{}} }} }}"#,
        lab.base
    );
    let repo = lab
        .git
        .repo("app", &[(".devcontainer/devcontainer.json", &config)]);
    let other = lab.client.prepare("node-2", &repo.url).await;
    let why = refused(&other);
    let id = &other.workspace.container_id;
    assert_eq!(lab.vms[1].cat(id, "/opt/hello"), "1.0.0");
    assert!(why.contains(&earlier), "{why}");
    assert!(!why.contains(&keyed), "{why}");

    let true_one = lab.client.prepare("node-1", &repo.url).await;
    true_one.assert_push(PushOutcome::Pushed);
}
