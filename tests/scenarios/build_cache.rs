//! BuildKit's cache in the registry is made from exactly what the image was built from.

use hearth_api::v1::{CacheResult, WorkspaceState, event::Kind};
use hearth_tests::{Lab, Repo, client::Story};

/// Prepares on one node, commits `edit`, and prepares on a node that has built nothing: returns how many of how many
/// steps were reused.
async fn reused_after(lab: &Lab, repo: &Repo, edit: &[(&str, &str)]) -> (u32, u32) {
    let cold = lab.client.prepare("node-1", &repo.url).await;
    cold.assert_state(WorkspaceState::Ready);
    assert_no_warning(&cold);
    repo.commit(edit);
    let partial = lab.client.prepare("node-2", &repo.url).await;
    partial.assert_state(WorkspaceState::Ready);
    partial.assert_result(CacheResult::Partial);
    (partial.cache().steps_reused, partial.cache().steps_total)
}

#[track_caller]
fn assert_no_warning(story: &Story) {
    let warning = story.kinds().find(|kind| matches!(kind, Kind::Warning(_)));
    assert_eq!(warning, None);
}

fn files(lab: &Lab, dockerfile: &str, properties: &str) -> [(String, String); 2] {
    let config =
        format!(r#"{{ "build": {{ "dockerfile": "Dockerfile", "context": ".." }} {properties} }}"#);
    let dockerfile = dockerfile.replace("BASE", &lab.base);
    [
        (".devcontainer/devcontainer.json".to_owned(), config),
        (".devcontainer/Dockerfile".to_owned(), dockerfile),
    ]
}

fn repo(lab: &Lab, name: &str, dockerfile: &str, properties: &str) -> Repo {
    let files = files(lab, dockerfile, properties);
    let mut files: Vec<_> = files
        .iter()
        .map(|(path, text)| (&**path, &**text))
        .collect();
    files.extend([("one", "one\n"), ("two", "two\n")]);
    lab.git.repo(name, &files)
}

#[tokio::test]
async fn a_build_that_reads_git_has_a_build_cache() {
    let lab = Lab::new(2).await;
    let dockerfile = "FROM BASE\nRUN echo 1 > /a\nRUN echo 2 > /b\nCOPY . /src\nRUN cat /src/.git/HEAD > /head\n";
    let repo = repo(&lab, "app", dockerfile, "");
    assert_eq!(reused_after(&lab, &repo, &[("two", "2\n")]).await, (2, 4));
}

#[tokio::test]
async fn what_hooks_change_in_the_clone_is_not_in_the_build_cache() {
    let lab = Lab::new(2).await;
    let dockerfile =
        "FROM BASE\nCOPY one /one\nRUN cat /one > /a\nCOPY two /two\nRUN cat /two > /b\n";
    let hook = r#", "onCreateCommand": "echo changed | tee one two""#;
    let repo = repo(&lab, "app", dockerfile, hook);
    assert_eq!(reused_after(&lab, &repo, &[("two", "2\n")]).await, (2, 4));
}

#[tokio::test]
async fn a_repository_with_submodules_has_a_build_cache() {
    let lab = Lab::new(2).await;
    let library = lab.git.repo("library", &[("header", "library\n")]);
    let dockerfile = "FROM BASE\nCOPY library/header /header\nRUN cat /header > /a\nCOPY two /two\nRUN cat /two > /b\n";
    let repo = repo(&lab, "app", dockerfile, "");
    repo.add_submodule("library", &library.url);
    assert_eq!(reused_after(&lab, &repo, &[("two", "2\n")]).await, (2, 4));
}

/// BuildKit counts the name of a cache mount as an input of its step.
#[tokio::test]
async fn steps_with_cache_mounts_are_found_on_another_node() {
    let lab = Lab::new(2).await;
    let dockerfile = "FROM BASE\nCOPY one /one\nRUN --mount=type=cache,target=/c cat /one > /a\n\
                      COPY two /two\nRUN cat /two > /b\n";
    let repo = repo(&lab, "app", dockerfile, "");
    assert_eq!(reused_after(&lab, &repo, &[("two", "2\n")]).await, (2, 4));
}
