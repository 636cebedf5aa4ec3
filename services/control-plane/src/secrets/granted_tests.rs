use hearth_api::v1::{Workspace, WorkspaceSpec};

use super::*;
use crate::{record::Progress, store::Sqlite};

struct World {
    store: Arc<Sqlite>,
    _folder: tempfile::TempDir,
}

fn keys(lines: &str) -> SecretKeys {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("keys");
    std::fs::write(&path, lines).expect("a write");
    SecretKeys::load(&path).expect("keys")
}

fn key(byte: &str) -> String {
    byte.repeat(32)
}

impl World {
    async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        Self {
            store: Arc::new(Sqlite::of_test(folder.path()).await),
            _folder: folder,
        }
    }

    fn secrets(&self, lines: &str) -> Secrets {
        let rules = CacheRules {
            registry: "ghcr.io".parse().expect("a registry"),
            writers: "*".parse().expect("patterns"),
        };
        Secrets::new(self.store.clone(), Arc::new(rules), Some(keys(lines)))
    }
}

async fn set(secrets: &Secrets, name: &str, repositories: &str, all_refs: bool, value: &str) {
    let value = SecretValue::new(value.to_owned()).expect("a value");
    let name = name.parse().expect("a name");
    let repositories = repositories.parse().expect("a pattern");
    let set = secrets.set(name, repositories, all_refs, &value).await;
    set.expect("a secret");
}

/// What a workspace gets, as `NAME=VALUE`, and what it is told.
async fn given(secrets: &Secrets, repository: &str, git_ref: &str) -> (Vec<String>, Vec<String>) {
    let workspace = Workspace {
        id: "ws-1".into(),
        spec: Some(WorkspaceSpec {
            repository: repository.into(),
            r#ref: git_ref.into(),
            ..WorkspaceSpec::default()
        }),
        ..Workspace::default()
    };
    let record = Record::read(workspace, Progress::default()).expect("a record");
    let (given, problems) = secrets.of(&record).await.expect("secrets");
    let given = given.iter();
    let given = given.map(|secret| format!("{}={}", secret.name, secret.value.expose()));
    (given.collect(), problems)
}

#[tokio::test]
async fn a_workspace_gets_the_secrets_of_its_repository_and_a_fork_only_those_for_all_refs() {
    let world = World::new().await;
    let secrets = world.secrets(&key("01"));
    set(&secrets, "TOKEN", "github.com/acme/*", false, "wide").await;
    set(&secrets, "TOKEN", "github.com/acme/shop", false, "narrow").await;
    set(&secrets, "MIRROR", "*", true, "for all").await;
    set(&secrets, "OTHER", "github.com/other/*", true, "no").await;
    let shop = "https://github.com/Acme/Shop.git";
    for (repository, git_ref, expected) in [
        (shop, "", &["MIRROR=for all", "TOKEN=narrow"][..]),
        (shop, "refs/heads/main", &["MIRROR=for all", "TOKEN=narrow"]),
        (
            "git@github.com:acme/site",
            "",
            &["MIRROR=for all", "TOKEN=wide"],
        ),
        ("https://github.com/acme2/shop", "", &["MIRROR=for all"]),
        (
            "https://evil.example/github.com/acme/shop",
            "",
            &["MIRROR=for all"],
        ),
        // What others than the repository's people can write.
        (shop, "refs/pull/7/head", &["MIRROR=for all"]),
        (shop, "refs/merge-requests/7/head", &["MIRROR=for all"]),
        (
            shop,
            "0123456789012345678901234567890123456789",
            &["MIRROR=for all"],
        ),
    ] {
        let (given, problems) = given(&secrets, repository, git_ref).await;
        assert_eq!(given, expected, "{repository} {git_ref}");
        assert!(problems.is_empty());
    }
}

#[tokio::test]
async fn a_secret_is_replaced_listed_without_its_value_and_deleted() {
    let world = World::new().await;
    let secrets = world.secrets(&key("01"));
    set(&secrets, "A", "x/*", false, "first-planted").await;
    set(&secrets, "A", "x/*", true, "second-planted").await;
    let listed = secrets.list().await.expect("a list");
    assert_eq!(listed.len(), 1);
    assert!(listed[0].1.all_refs);
    assert!(!format!("{listed:?}").contains("planted"));
    let (name, pattern) = (
        "A".parse().expect("a name"),
        "x/*".parse().expect("a pattern"),
    );
    secrets.delete(&name, &pattern).await.expect("deleted");
    let again = secrets.delete(&name, &pattern).await;
    assert!(matches!(again, Err(CallError::SecretUnknown { .. })));
    let without = Secrets::new(world.store.clone(), secrets.rules.clone(), None);
    let value = SecretValue::new("x".to_owned()).expect("a value");
    let refused = without.set(name, pattern, false, &value).await;
    assert!(matches!(refused, Err(CallError::NoSecretsKey)));
}

#[tokio::test]
async fn after_a_start_with_a_new_key_the_one_before_is_not_needed_any_more() {
    let world = World::new().await;
    let (old, new) = (key("01"), key("02"));
    set(&world.secrets(&old), "A", "*", true, "planted").await;
    let lost = given(&world.secrets(&new), "https://git.example/a/b", "").await;
    assert_eq!(lost.0, [""; 0]);
    assert!(lost.1[0].contains("the secret A is left out"), "{lost:?}");
    let both = world.secrets(&format!("{new}\n{old}\n"));
    both.reseal().await.expect("sealed anew");
    let (given, problems) = given(&world.secrets(&new), "https://git.example/a/b", "").await;
    assert_eq!(given, ["A=planted"]);
    assert!(problems.is_empty());
}
