//! How a repository is cloned: depth, folders, author, and which names lead to a commit.

use std::time::Duration;

use hearth_domain::GitOptions;

use super::{
    tests::{Remote, clone},
    *,
};

fn options(depth: CloneDepth, sparse: &str) -> GitOptions {
    GitOptions {
        depth,
        sparse: sparse.parse().unwrap(),
        author: Some("Ada L. <ada@example.org>".parse().unwrap()),
    }
}

async fn cloned(
    url: &str,
    git_ref: &str,
    options: &GitOptions,
) -> Result<(tempfile::TempDir, GitClone), CloneFailure> {
    let scratch = tempfile::tempdir().unwrap();
    let request = CloneRequest {
        url,
        git_ref: &git_ref.parse().unwrap(),
        into: &scratch.path().join("clone"),
        scratch: scratch.path(),
        login: None,
        submodules_within: Duration::from_secs(60),
        options,
    };
    let clone = GitCli::default()
        .clone_repository(&request, &mut |_| {})
        .await?;
    Ok((scratch, clone))
}

/// What git says about the clone.
fn says(scratch: &tempfile::TempDir, args: &[&str]) -> String {
    let output = std::process::Command::new("git")
        .args(args)
        .current_dir(scratch.path().join("clone"))
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .output()
        .unwrap();
    assert!(output.status.success(), "{args:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn folders(remote: &Remote) -> String {
    remote.repo(
        "folders",
        "echo r > root; mkdir -p a/in b .devcontainer; echo a > a/in/x; echo b > b/x; echo {} > .devcontainer/devcontainer.json
         git add .; git commit -qm one; echo 2 > b/x; git commit -qam two; git branch side; git tag v1; git update-ref refs/pull/1/head HEAD",
    )
}

#[tokio::test]
async fn of_the_history_there_is_as_much_as_was_asked_for_whatever_is_checked_out() {
    let remote = Remote::start();
    let url = folders(&remote);
    for git_ref in [
        "",
        "side",
        "v1",
        "refs/heads/side",
        "refs/tags/v1",
        "refs/pull/1/head",
    ] {
        for (depth, commits, shallow) in [
            (CloneDepth::Blobless, "2", "false"),
            (CloneDepth::Full, "2", "false"),
            (CloneDepth::Shallow, "1", "true"),
        ] {
            let (scratch, clone) = cloned(&url, git_ref, &options(depth, "")).await.unwrap();
            assert_eq!(clone.warnings, [""; 0], "{git_ref} {depth:?}");
            assert_eq!(
                says(&scratch, &["rev-list", "--count", "HEAD"]),
                commits,
                "{git_ref} {depth:?}"
            );
            assert_eq!(
                says(&scratch, &["rev-parse", "--is-shallow-repository"]),
                shallow
            );
            assert_eq!(says(&scratch, &["status", "--porcelain"]), "");
            let head = says(&scratch, &["rev-parse", "--abbrev-ref", "HEAD"]);
            let branch = match git_ref {
                "" => "main",
                "side" | "refs/heads/side" => "side",
                _ => "HEAD",
            };
            assert_eq!(head, branch, "{git_ref} {depth:?}");
            if branch == "side" {
                assert_eq!(
                    says(&scratch, &["rev-parse", "--abbrev-ref", "@{upstream}"]),
                    "origin/side"
                );
            }
            let there = says(
                &scratch,
                &["cat-file", "--batch-check", "--batch-all-objects"],
            );
            let blobs = there.lines().filter(|line| line.contains(" blob ")).count();
            // The older content of a file is there in a whole clone alone.
            assert_eq!(
                blobs,
                if depth == CloneDepth::Full { 5 } else { 4 },
                "{there}"
            );
        }
    }
}

#[tokio::test]
async fn folders_that_were_asked_for_are_there_with_the_configuration_and_the_author_commits() {
    let remote = Remote::start();
    let url = folders(&remote);
    for depth in [CloneDepth::Blobless, CloneDepth::Shallow] {
        let (scratch, _) = cloned(&url, "", &options(depth, "a/in")).await.unwrap();
        let there = |path: &str| scratch.path().join("clone").join(path).exists();
        assert!(there("root") && there("a/in/x") && there(".devcontainer/devcontainer.json"));
        assert!(!there("b"), "{depth:?}");
        assert_eq!(says(&scratch, &["status", "--porcelain"]), "");
        assert_eq!(says(&scratch, &["config", "user.name"]), "Ada L.");
        assert_eq!(says(&scratch, &["config", "user.email"]), "ada@example.org");
    }
}

#[tokio::test]
async fn a_short_hash_leads_to_a_commit_of_a_branch_and_a_branch_of_that_name_comes_first() {
    let remote = Remote::start();
    let url = folders(&remote);
    let (_scratch, newest) = clone(&GitCli::default(), &url, "").await.unwrap();
    let full = newest.commit.unwrap();
    let short = &full.as_str()[..9];
    let (scratch, found) = clone(&GitCli::default(), &url, short).await.unwrap();
    assert_eq!(
        (found.commit.as_ref(), found.at),
        (Some(&full), At::Detached)
    );
    assert_eq!(says(&scratch, &["status", "--porcelain"]), "");
    let shallow = cloned(&url, short, &options(CloneDepth::Shallow, "")).await;
    assert!(
        matches!(shallow, Err(CloneFailure::RefNotFound(..))),
        "{shallow:?}"
    );
    let unknown = clone(&GitCli::default(), &url, "0000000").await;
    assert!(matches!(unknown, Err(CloneFailure::RefNotFound(..))));
    let url = remote.repo("named", "echo a > a; git add .; git commit -qm a; git checkout -qb deadbeef; git commit -q --allow-empty -m b");
    let (scratch, _) = clone(&GitCli::default(), &url, "deadbeef").await.unwrap();
    assert_eq!(
        says(&scratch, &["rev-parse", "--abbrev-ref", "HEAD"]),
        "deadbeef"
    );
}

#[tokio::test]
async fn names_that_git_allows_are_found() {
    let remote = Remote::start();
    let names = [
        "a/b/c",
        "ä-ö/日本",
        "a@b",
        "@a",
        "x{y}",
        "-dash",
        "a'b\"c",
        "HEAD2",
        "refs",
        "feature/#1;$(x)&|",
    ];
    let make = names.map(|name| {
        let quoted = name.replace('\'', r"'\''");
        format!("git update-ref 'refs/heads/{quoted}' HEAD")
    });
    let url = remote.repo(
        "odd",
        &format!(
            "echo a > a; git add .; git commit -qm a; {}",
            make.join("; ")
        ),
    );
    for name in names {
        for depth in [CloneDepth::Blobless, CloneDepth::Shallow] {
            let full = format!("refs/heads/{name}");
            let found = cloned(&url, &full, &options(depth, "")).await;
            let (scratch, found) = found.unwrap_or_else(|failure| panic!("{full}: {failure:?}"));
            assert!(found.commit.is_some(), "{full}");
            assert!(scratch.path().join("clone/a").exists(), "{full}");
        }
    }
}
