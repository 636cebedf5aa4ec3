//! What an image says of itself (the label `devcontainer.metadata`) is written by strangers.

use hearth_api::v1::{WorkspaceState, event::Kind};
use hearth_tests::Lab;

#[tokio::test]
async fn no_metadata_of_an_image_hangs_or_ends_anything() {
    let lab = Lab::new(1).await;
    let vm = &lab.vms[0];
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let labels = [
        ("nested", nested(10_000)),
        ("nested-entry", format!(r#"[{{"customizations":{}}}]"#, nested(10_000))),
        ("no-json", "{".to_owned()),
        ("null", "null".to_owned()),
        ("nulls", "[null, 1, \"a\", [], true]".to_owned()),
        ("number", "7".to_owned()),
        ("twice", r#"[{"remoteUser":"dev","remoteUser":"root","remoteUser":7}]"#.to_owned()),
        ("one-null", "[null]".to_owned()),
        ("mounts", r#"[{"mounts":{"a":1}}]"#.to_owned()),
        ("types", r#"[{"remoteUser":[],"mounts":7,"containerEnv":"a","postCreateCommand":1,"capAdd":{}}]"#.to_owned()),
    ];
    for (name, label) in &labels {
        let image = format!("{}/labels:{name}", lab.registry.host());
        let folder = lab.folder(&format!("labels/{name}"));
        std::fs::create_dir_all(&folder).unwrap();
        let label = label.replace('\\', "\\\\").replace('\'', "");
        let dockerfile = format!("FROM {}\nLABEL devcontainer.metadata='{label}'\n", lab.base);
        std::fs::write(folder.join("Dockerfile"), dockerfile).unwrap();
        let folder = folder.to_str().unwrap();
        vm.docker(&["buildx", "build", "--tag", &image, folder]);
        vm.docker(&["push", "--quiet", &image]);
        for feature in [false, true] {
            let features = if feature {
                r#", "features": {"./f": {}}"#
            } else {
                ""
            };
            let config = format!(r#"{{ "image": "{image}" {features} }}"#);
            let repo = lab.git.repo(
                &format!("{name}-{feature}"),
                &[
                    (".devcontainer/devcontainer.json", &config),
                    (
                        ".devcontainer/f/devcontainer-feature.json",
                        r#"{ "id": "f", "version": "1.0.0" }"#,
                    ),
                    (".devcontainer/f/install.sh", "#!/bin/sh\n"),
                ],
            );
            let story = lab.client.prepare("node-1", &repo.url).await;
            let failure = story.workspace.failure.clone();
            let named = "the label devcontainer.metadata of the image ";
            match story.workspace.state() {
                WorkspaceState::Ready => {}
                WorkspaceState::Recovery => {
                    let failure = failure.expect("a failure");
                    assert!(failure.message.contains(named), "{name}: {failure:?}");
                }
                other => panic!("{name} {feature}: {other:?} {failure:?}"),
            }
            let is_told = story.events.iter().any(|event| match &event.kind {
                Some(Kind::Warning(warning)) => {
                    warning.message.starts_with(&format!("{named}{image} "))
                }
                _ => false,
            });
            assert!(is_told, "{name} {feature}: {:#?}", story.events);
            lab.client.delete(&story.workspace.id).await;
        }
    }
    let after = lab.git.repo(
        "after",
        &[(
            ".devcontainer.json",
            &format!(r#"{{ "image": "{}" }}"#, lab.base),
        )],
    );
    lab.client
        .prepare("node-1", &after.url)
        .await
        .assert_state(WorkspaceState::Ready);
}
