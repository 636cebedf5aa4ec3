//! Submodules whose description is made to run commands, or to reach what is the node's.

use super::*;
use crate::external::git::tests::{Remote, clone};

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
        ("s", format!("url = \"--upload-pack={touch}\""), ""),
        ("s", format!("url = \"-u{touch}\""), ""),
        ("s", format!("url = ../repo\n\tupdate = !{touch}"), ""),
        ("../../../x", "url = ../repo".to_owned(), ""),
    ];
    for (number, (name, field, refused)) in fields.into_iter().enumerate() {
        let url = remote.repo(
            &format!("super-{number}"),
            &format!(
                "printf '%s\\n' '[submodule \"{name}\"]' '\tpath = s' '\t{field}' > .gitmodules; git add .gitmodules
                 git update-index --add --cacheinfo 160000,$(git -C ../repo rev-parse HEAD),s; git commit -qm x"
            ),
        );
        let (_scratch, made) = clone(&GitCli::default(), &url, "").await.unwrap();
        assert!(made.commit.is_some(), "{field}");
        assert!(!made.warnings.is_empty(), "{field}");
        assert!(
            made.warnings.iter().all(|told| told.contains(refused)),
            "{field}: {made:?}"
        );
        assert!(!canary.exists(), "{field}");
    }
}
