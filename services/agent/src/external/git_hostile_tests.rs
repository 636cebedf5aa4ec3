//! Submodules whose description is made to run commands, or to reach what is the node's.

use super::*;
use crate::external::git::tests::{Remote, clone};

/// What git says of a value that could be an option.
const DASH: &str = "may be interpreted as a command-line option";

#[tokio::test]
async fn a_submodule_runs_nothing_and_reaches_nothing_of_the_node() {
    let remote = Remote::start();
    let node = tempfile::tempdir().unwrap();
    let canary = node.path().join("canary");
    let touch = format!("touch {}", canary.display());
    let fields = [
        ("s", "url = ssh://git@127.0.0.1:1/x".to_owned(), "'ssh'"),
        ("s", "url = git@127.0.0.1:x".to_owned(), "'ssh'"),
        ("s", "url = file:///etc".to_owned(), "'file'"),
        // The sandbox shows git no such folder.
        ("s", format!("url = {}", remote.path().display()), ""),
        ("s", format!("url = \"ext::sh -c {touch}\""), "'ext'"),
        ("s", format!("url = \"--upload-pack={touch}\""), DASH),
        ("s", format!("url = \"-u{touch}\""), DASH),
        (
            "s",
            format!("url = ../repo\n\tupdate = !{touch}"),
            "'submodule.s.update'",
        ),
        (
            "s",
            "url = ../repo\n\tupdate = often".to_owned(),
            "'submodule.s.update'",
        ),
        (
            "s",
            "url = ../repo\n\tfetchRecurseSubmodules = often".to_owned(),
            "submodule.s.fetchrecursesubmodules",
        ),
        (
            "s",
            "url = ../repo\n\tshallow = often".to_owned(),
            "'submodule.s.shallow'",
        ),
        ("s", "url".to_owned(), "missing value"),
        ("../../../x", "url = ../repo".to_owned(), "suspicious"),
        ("..", "url = ../repo".to_owned(), "suspicious"),
    ];
    for (number, (name, field, refused)) in fields.into_iter().enumerate() {
        let url = remote.repo(
            &format!("super-{number}"),
            &format!(
                "printf '%s\\n' '[submodule \"{name}\"]' '\tpath = s' '\t{field}' > .gitmodules; git add .gitmodules
                 git update-index --add --cacheinfo 160000,$(git -C ../repo rev-parse HEAD),s; git commit -qm x"
            ),
        );
        // By its name a branch is fetched into a clone that is there.
        let made = clone(&GitCli::default(), &url, "refs/heads/main").await;
        let (_scratch, made) = made.unwrap();
        assert!(made.commit.is_some(), "{field}");
        assert!(!made.warnings.is_empty(), "{field}");
        assert!(
            made.warnings.iter().all(|told| told.contains(refused)),
            "{field}: {made:?}"
        );
        assert!(!canary.exists(), "{field}");
    }
}
