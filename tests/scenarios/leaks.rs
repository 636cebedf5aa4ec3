//! No secret is in files, logs, images or process arguments.

use std::collections::BTreeSet;

use hearth_api::v1::{CacheResult, PushOutcome};
use hearth_tests::{
    Lab, Vm,
    github::{Repositories, Visibility},
    leaks::{CommandLines, Secrets},
};

/// Stands in a file of the repository, and so in the volume, the image and BuildKit's cache: a search that does not find
/// it there would find no secret either.
const MARKER: &str = "marker-that-is-no-secret-4711";

/// The hook fetches with git inside of the workspace, so that a login goes all the way, and leaves what it saw of it.
const CONFIG: &str = r#"{
  "build": { "dockerfile": "Dockerfile", "context": ".." },
  "remoteUser": "dev",
  "runArgs": ["--network=host"],
  "postCreateCommand": "git fetch origin && env > /tmp/environment && git config --list --show-origin > /tmp/git-config"
}"#;

#[tokio::test]
async fn secrets_are_in_no_argument_log_event_database_image_volume_or_file() {
    // Everything is logged that can be.
    let mut lab = Lab::guarded_with(0, &["--log", "trace"]).await;
    for number in 1..=2 {
        let vm = Vm::start(lab.folder(&format!("vm{number}")));
        if number == 1 {
            lab.registry.base_image("git-tiny", &vm).await;
        }
        lab.add_node_on(vm, &["--log", "trace"]).await;
    }
    let github = lab.github();
    github.create_repository("acme/shop", Visibility::Private);
    // The base image's registry is public.
    github.publish_package("base/git-tiny");
    let permissions = [
        ("contents", "read"),
        ("metadata", "read"),
        ("packages", "write"),
    ];
    github.install("acme", Repositories::All, &permissions);
    let base = format!("{}/base/git-tiny:1", lab.registry.host());
    let dockerfile = format!("FROM {base}\nCOPY marker /marker\nRUN cp /marker /copy\n");
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
    for (node, result, push) in [
        ("node-1", CacheResult::Miss, PushOutcome::Pushed),
        ("node-2", CacheResult::Exact, PushOutcome::Unchanged),
    ] {
        let story = lab.client.prepare(node, &url).await;
        assert_eq!(story.result(), result, "{:#?}", story.workspace);
        assert_eq!(story.push(), push, "{:#?}", story.workspace);
        told.push_str(&format!("{:?} {:?}", story.events, story.workspace));
    }
    let arguments = arguments.stop();

    let issued = github.secrets();
    assert!(issued.len() > 5, "few secrets were made: {}", issued.len());
    let secrets = (1..).zip(issued);
    let secrets = secrets.map(|(number, secret)| (format!("secret {number}"), secret));
    let secrets = Secrets::new(secrets);
    let mut found = BTreeSet::new();
    found.extend(secrets.find_in("an event", told.as_bytes()));
    for line in &arguments {
        let line_as_text = String::from_utf8_lossy(line).replace('\0', " ");
        found.extend(secrets.find_in(&format!("the arguments {line_as_text:?}"), line));
    }
    // GitHub's own folder has the App's key, and the repositories are no secret of hearth's.
    let except = [lab.folder("github")];
    found.extend(secrets.find_in_files(&lab.folders(), &except));
    assert_eq!(found, BTreeSet::new());

    // The same search finds what is there, in each place and also in compressed layers.
    let marker = Secrets::new([("marker".to_owned(), MARKER.to_owned())]);
    let seen = marker.find_in_files(&lab.folders(), &except);
    for place in ["/volumes/", "/guarded-registry/", "/vm1/", "/vm2/"] {
        assert!(
            seen.iter().any(|found| found.contains(place)),
            "the search sees nothing in {place}: {seen:?}"
        );
    }
    let commands = marker_of(&arguments, "clone");
    assert!(commands, "no command of hearth's was seen");
}

/// Whether a command with this word among its arguments was seen.
fn marker_of(arguments: &std::collections::HashSet<Vec<u8>>, word: &str) -> bool {
    arguments.iter().any(|line| {
        line.split(|byte| *byte == 0)
            .any(|part| part == word.as_bytes())
    })
}
