//! No secret is ever found where it should not be.

use std::{collections::BTreeSet, path::PathBuf};

use hearth_api::v1::{CacheResult, PushOutcome};

use crate::support::{
    Lab,
    github::{Repositories, Visibility},
    leaks::{CommandLines, Secrets},
};

/// Stands in a file of the repository, and so in the volume, the image and BuildKit's cache: a search that does not find
/// it there would find no secret either.
const MARKER: &str = "marker-that-is-no-secret-4711";

/// The hook fetches with git inside of the workspace, so that a login goes all the way.
const CONFIG: &str = r#"{
  "build": { "dockerfile": "Dockerfile", "context": ".." },
  "remoteUser": "dev",
  "postCreateCommand": "git fetch origin && env > /tmp/environment && git config --list --show-origin > /tmp/git-config"
}"#;

#[tokio::test]
async fn secrets_are_in_no_argument_log_event_database_image_volume_or_file() {
    let mut lab = Lab::guarded(0).await;
    for _ in 0..2 {
        let vm = lab.next_vm();
        lab.add_node_on(vm, &["--log-level", "trace"]).await;
    }
    let github = lab.github();
    github.create_repository("acme/shop", Visibility::Private);
    github.install(
        "acme",
        Repositories::All,
        &[
            ("contents", "read"),
            ("metadata", "read"),
            ("packages", "write"),
        ],
    );
    let dockerfile = format!("FROM {}\nCOPY marker /marker\nRUN cp /marker /copy\n", lab.git_base());
    github.commit(
        "acme/shop",
        &[
            (".devcontainer/devcontainer.json", CONFIG),
            (".devcontainer/Dockerfile", &dockerfile),
            ("marker", MARKER),
        ],
    );
    let url = github.clone_url("acme/shop");

    let arguments = CommandLines::watch();
    let mut told = String::new();
    for (node, result) in [("node-1", CacheResult::Miss), ("node-2", CacheResult::Exact)] {
        let story = lab.client.prepare(node, &url).await;
        assert_eq!(story.result(), result, "{:#?}", story.workspace);
        assert_ne!(story.push(), PushOutcome::Failed);
        told.push_str(&format!("{:?} {:?}", story.events, story.workspace));
    }
    let arguments = arguments.stop();

    let secrets = Secrets::new(
        (1..)
            .zip(github.secrets())
            .map(|(number, secret)| (format!("secret {number}"), secret)),
    );
    let mut found: BTreeSet<String> = secrets.find_in("an event", told.as_bytes()).into_iter().collect();
    assert!(!arguments.is_empty());
    for line in &arguments {
        found.extend(secrets.find_in("a command line", line));
    }
    let everything = [vec![lab.root().to_owned()], lab.engine_folders()].concat();
    // GitHub's own folder, with the App's key that the control plane is given.
    let except = [lab.folder("github")];
    found.extend(secrets.find_in_files(&everything, &except));
    assert_eq!(found, BTreeSet::new());

    let marker = Secrets::new([("marker".to_owned(), MARKER.to_owned())]);
    let seen = marker.find_in_files(&everything, &except);
    for place in ["/volumes/", "guarded-registry", "/vm1/", "/vm2/"] {
        assert!(
            seen.iter().any(|found| found.contains(place)),
            "the search sees nothing in {place}: {seen:?}"
        );
    }
    let _: &PathBuf = &everything[0];
}
