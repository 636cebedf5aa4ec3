//! Submodules that are not there as they should be.

use super::*;

#[tokio::test]
async fn a_submodule_that_cannot_be_fetched_is_told_and_the_others_are_there() {
    let remote = Remote::start();
    let nested = "[submodule \"n\"]\n\tpath = n\n\turl = ../repo\n[submodule \"dead\"]\n\tpath = dead\n\turl = ../dead\n";
    let main = head(&remote.path());
    remote.repo(
        "nests",
        &format!(
            "printf '{nested}' > .gitmodules; git add .gitmodules
             for p in n dead; do git update-index --add --cacheinfo 160000,{main},$p; done; git commit -qm x"
        ),
    );
    let nests = head(&remote.dir.path().join("nests"));
    let submodule = |name: &str, url: &str, commit: &str| {
        format!(
            "printf '[submodule \"{name}\"]\n\tpath = v/{name}\n\turl = {url}\n' >> .gitmodules
             git update-index --add --cacheinfo 160000,{commit},v/{name}\n"
        )
    };
    let gone = "1111111111111111111111111111111111111111";
    let script = [
        submodule("ssh", "ssh://git@127.0.0.1:9/x/y", &main),
        submodule("ok", "../repo", &main),
        submodule("gone", "../repo", gone),
        submodule("up", "../../../../../../../up", &main),
        submodule("local", "/etc", &main),
        submodule("http", "http://u:secret@127.0.0.1:1/x", &main),
        submodule("nests", "../nests", &nests),
        // Neither is a submodule for git: no commit, no entry.
        "printf '[submodule \"stale\"]\n\tpath = stale\n\turl = ../x\n' >> .gitmodules\n"
            .to_owned(),
        format!("git update-index --add --cacheinfo 160000,{main},orphan"),
    ];
    let url = remote.repo(
        "super",
        &format!("{}\ngit add .gitmodules; git commit -qm x", script.concat()),
    );
    let (scratch, made) = clone(&GitCli::default(), &url, "").await.unwrap();
    let folder = scratch.path().join("clone");
    for there in ["v/ok/file", "v/nests/n/file"] {
        assert!(folder.join(there).is_file(), "{there} {made:?}");
    }
    let told = |path: &str, why: &str| {
        let is_empty = fs::read_dir(folder.join(path)).unwrap().next().is_none();
        let mut warnings = made.warnings.iter();
        let start = format!("the submodule {path} ");
        let warning = warnings.find(|warning| warning.starts_with(&start));
        let warning = warning.unwrap_or_else(|| panic!("{path} {made:?}"));
        assert!(is_empty && warning.contains(why), "{path} {warning}");
    };
    told("v/ssh", "not with the node's ssh keys or files");
    told("v/gone", "not our ref");
    told("v/up", "");
    told("v/local", "repository '/etc' does not exist");
    told("v/nests/dead", "not exported");
    told("v/http", "127.0.0.1 port 1");
    assert_eq!(made.warnings.len(), 6, "{made:?}");
    assert!(!made.warnings.concat().contains("secret"));
    run(&folder, "test -z \"$(git status --porcelain)\"");
}

#[tokio::test]
async fn submodules_that_git_cannot_read_are_told() {
    let remote = Remote::start();
    let url = remote.repo(
        "broken",
        "printf '[submodule\n<<<<\n' > .gitmodules; git add .; git commit -qm x",
    );
    let (_, made) = clone(&GitCli::default(), &url, "").await.unwrap();
    assert!(
        made.warnings[0].contains("the submodules are not fetched: bad config"),
        "{made:?}"
    );
}
