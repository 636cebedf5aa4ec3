//! However many workspaces there are, each repository needs one token.

use std::sync::Arc;

use hearth_api::v1::CacheResult;
use hearth_tests::github::{GitHub, Repositories, Visibility, WRITER};

use crate::{
    external::FakeRegistry,
    fleet::Fleet,
    once::{NODES, assert_ready, names, results},
};

#[tokio::test]
async fn two_hundred_workspaces_of_twenty_private_repositories_need_twenty_tokens() {
    let dir = tempfile::tempdir().expect("a folder");
    let github = Arc::new(GitHub::start(dir.path().join("github")).await);
    github.install("acme", Repositories::All, &WRITER);
    let repositories: Vec<_> = (1..=20)
        .map(|number| {
            let name = format!("acme/repository-{number}");
            github.create_repository(&name, Visibility::Private);
            github.clone_url(&name)
        })
        .collect();
    let registry = Arc::<FakeRegistry>::default();
    let flags = [
        "--credentials=github-app".to_owned(),
        format!("--github-app-id={}", github.app_id()),
        format!("--github-app-key-file={}", github.key_file().display()),
        format!("--github-api-url={}", github.url()),
        format!("--github-hosts={},{}", github.host(), registry.host()),
    ];
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let fleet = Fleet::at(registry, NODES, &flags).await;

    let names = names();
    // Each repository on ten nodes, and each node with ten repositories.
    let wishes = (0..200).map(|n| (names[(n + n / 20) % NODES].as_str(), &*repositories[n % 20]));
    let stories = fleet.prepare(wishes).stories().await;
    assert_ready(&stories);
    let built = results(&stories).get(&CacheResult::Miss).copied();
    assert_eq!(built, Some(20));

    assert_eq!(github.mints(), 20);
    assert_eq!(github.lookups(), 20);
    for number in 1..=20 {
        let name = format!("acme/repository-{number}");
        assert_eq!(github.mints_for(&name), 1, "{name}");
    }
}
