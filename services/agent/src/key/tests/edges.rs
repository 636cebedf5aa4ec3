//! Keys of `.git`, of links and pipes, of too much, and without an answer.

use super::*;
use crate::{clone_files::CloneFiles, devcontainer::ClonePath};

#[test]
fn without_an_answer_there_is_no_key_and_the_reason_says_what_to_do() {
    let clone = clone_of(FILES);
    std::os::unix::fs::symlink("/etc", clone.path().join("out")).unwrap();
    for (properties, expected) in [
        (
            json!({"image": "missing:1"}),
            "missing:1 could not be resolved (no such image); check",
        ),
        (json!({"dockerComposeFile": "x"}), "no key of its own"),
        (json!({}), "names no image, Dockerfile or Compose file"),
        (
            json!({"build": {"dockerfile": "Nothing"}}),
            "Nothing: No such file",
        ),
        (
            json!({"build": {"dockerfile": "Dockerfile", "context": "../out"}}),
            "leads out of the repository",
        ),
        (
            json!({"build": {"dockerfile": "Dockerfile", "options": ["--build-context", "a=https://x/y.git"]}}),
            "--build-context a cannot be part",
        ),
        (
            json!({"build": {"dockerfile": "Dockerfile", "options": ["--secret=id=x,src=none"]}}),
            "--secret id=x cannot be part of a cache key (it is left out: none: No such file",
        ),
        (
            json!({"build": {"dockerfile": "Dockerfile", "options": ["--secret=id=x,env=TOKEN"]}}),
            "--secret cannot be part of a cache key (it is left out: the environment",
        ),
        (
            json!({"build": {"dockerfile": "Dockerfile", "options": ["--network=host"]}}),
            "--network=host cannot be part",
        ),
        (
            json!({"image": "a:1", "features": {"./none": {}}}),
            "No such file",
        ),
        (
            json!({"build": {"dockerfile": "Dockerfile", "args": {"V": "${localWorkspaceFolder}/x"}}}),
            "the build argument V cannot be part of a cache key (it has the path of the clone",
        ),
        (
            json!({"image": "a:1", "features": {"./tool": {"at": "${localWorkspaceFolder}"}}}),
            "the property features../tool cannot be part",
        ),
    ] {
        let error = read_with(clone.path(), &properties, &Registry::default()).unwrap_err();
        assert!(
            error.to_string().contains(expected),
            "{properties}: {error}"
        );
    }
}

#[test]
fn what_is_too_deep_or_too_much_has_no_key_and_the_reason_says_so() {
    let clone = clone_of(FILES);
    let deep: std::path::PathBuf = std::iter::repeat_n("d", 1_500).collect();
    std::fs::create_dir_all(clone.path().join("src").join(&deep)).unwrap();
    for number in 0..150 {
        let metadata = format!("{{\"dependsOn\": {{\"./f{}\": {{}}}}}}", number + 1);
        let path = format!(".devcontainer/f{number}/devcontainer-feature.json");
        write(clone.path(), &[(&path, &metadata)]);
    }
    let tool = clone.path().join(".devcontainer/tool");
    std::fs::create_dir_all(tool.join(&deep)).unwrap();
    for (properties, expected) in [
        (
            json!({"build": {"dockerfile": "Dockerfile", "context": ".."}}),
            "more than 100 folders in each other",
        ),
        (
            json!({"image": "a:1", "features": {"./tool": {}}}),
            "more than 100 folders in each other",
        ),
        (
            json!({"image": "a:1", "features": {"./f0": {}}}),
            "more than 100 features",
        ),
    ] {
        let error = read_with(clone.path(), &properties, &Registry::default()).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
}

#[test]
fn what_nobody_waits_for_any_more_ends() {
    let clone = clone_of(FILES);
    let files = CloneFiles::open(clone.path()).unwrap();
    let folder = ClonePath::new(&files, Path::new("")).unwrap();
    let limits = tree::Limits::default();
    let found = tree::walk(&files, &folder, &limits).unwrap();
    limits.stop.cancel();
    assert!(tree::walk(&files, &folder, &limits).is_err());
    assert!(tree::values(&files, found, &limits).is_err());
}

#[test]
fn the_commit_stands_for_git_s_own_folder() {
    let commit = "0123456789012345678901234567890123456789";
    let clone = clone_of(&[
        ("Dockerfile", "FROM scratch\nCOPY . /x\n"),
        (".git/HEAD", "ref: refs/heads/main\n"),
        (
            ".git/packed-refs",
            &format!("# pack-refs\n{commit} refs/heads/main\n"),
        ),
        (".git/index", "1"),
    ]);
    let properties = json!({"build": {"dockerfile": "../Dockerfile", "context": ".."}});
    std::fs::create_dir(clone.path().join(".devcontainer")).unwrap();
    let before = read(clone.path(), &properties);
    let git: Vec<_> = before
        .manifest
        .inputs()
        .inputs(Input::File)
        .filter(|(name, _)| name.starts_with(".git"))
        .collect();
    assert_eq!(git[1], (".git/HEAD", format!("commit {commit}").as_str()));
    assert!(git[2].1.starts_with("names "), "{git:?}");
    assert!(before.careful[0].contains(".git"), "{:?}", before.careful);
    write(clone.path(), &[(".git/index", "2")]);
    assert_eq!(read(clone.path(), &properties), before);
    // Another branch that moved, of another commit.
    let other = commit.replace('0', "1");
    write(clone.path(), &[(".git/refs/remotes/origin/x", &other)]);
    assert_eq!(read(clone.path(), &properties), before);
    let packed = format!("# pack-refs\n{commit} refs/heads/main\n");
    for (path, text) in [
        (".git/refs/tags/v1", commit.to_owned()),
        (".git/refs/tags/deep/v1", other.clone()),
        (".git/refs/remotes/origin/y", commit.to_owned()),
        (
            ".git/packed-refs",
            format!("{packed}{other} refs/tags/v2\n^{commit}\n"),
        ),
        (".git/HEAD", commit.to_owned()),
        (".git/refs/heads/main", other.clone()),
    ] {
        write(clone.path(), &[(path, &text)]);
        assert_ne!(
            read(clone.path(), &properties).manifest,
            before.manifest,
            "{path}"
        );
        if path.contains("refs/") {
            std::fs::remove_file(clone.path().join(path)).unwrap();
        }
        write(
            clone.path(),
            &[
                (".git/packed-refs", &packed),
                (".git/HEAD", "ref: refs/heads/main\n"),
            ],
        );
        assert_eq!(
            read(clone.path(), &properties).manifest,
            before.manifest,
            "{path}"
        );
    }
}

#[test]
fn many_files_are_folded_and_still_count() {
    let clone = clone_of(&[(".devcontainer/Dockerfile", "FROM scratch\nCOPY . /x\n")]);
    for number in 0..1100 {
        write(clone.path(), &[(&format!("d{}/{number}", number % 3), "")]);
    }
    let properties = json!({"build": {"dockerfile": "Dockerfile", "context": ".."}});
    let before = read(clone.path(), &properties).manifest;
    assert_eq!(
        before
            .inputs()
            .inputs(Input::File)
            .map(|(name, _)| name)
            .collect::<Vec<_>>(),
        [".devcontainer", "d0", "d1", "d2"]
    );
    write(clone.path(), &[("d1/1", "x")]);
    let after = read(clone.path(), &properties).manifest;
    let changed: Vec<_> = before
        .inputs()
        .inputs(Input::File)
        .zip(after.inputs().inputs(Input::File))
        .filter(|(a, b)| a != b)
        .collect();
    assert_eq!(changed.len(), 1);
}

#[test]
fn a_link_out_of_the_repository_is_followed_nowhere() {
    let outside = clone_of(&[("file", "{}")]);
    for link in [
        ".devcontainer/Dockerfile",
        ".devcontainer/devcontainer-lock.json",
        ".devcontainer/tool/devcontainer-feature.json",
    ] {
        let clone = clone_of(FILES);
        let path = clone.path().join(link);
        let _ = std::fs::remove_file(&path);
        std::os::unix::fs::symlink(outside.path().join("file"), path).unwrap();
        let error = read_with(clone.path(), &properties(), &Registry::default()).unwrap_err();
        assert_eq!(error, KeyError::LeadsOut(link.into()));
    }
    // BuildKit follows these within the context alone, wherever they lead.
    for link in [".devcontainer/Dockerfile.dockerignore", ".dockerignore"] {
        for target in [
            outside.path().join("file"),
            "README.md".into(),
            "../none".into(),
        ] {
            let clone = clone_of(FILES);
            let path = clone.path().join(link);
            let _ = std::fs::remove_file(&path);
            std::os::unix::fs::symlink(&target, path).unwrap();
            let error = read_with(clone.path(), &properties(), &Registry::default()).unwrap_err();
            assert!(error.to_string().contains("is a link"), "{error}");
        }
    }
}

/// The Dockerfile is a pipe, and has a text only after some heartbeats.
#[test]
fn a_pipe_in_a_files_place_is_not_waited_for_and_told() {
    let files = [
        (".devcontainer/devcontainer.json", ""),
        (".devcontainer/f/install.sh", "x"),
        ("Dockerfile", "FROM scratch\nCOPY . /\n"),
    ];
    for (pipe, properties) in [
        (
            ".devcontainer/Dockerfile",
            json!({"build": {"dockerfile": "Dockerfile"}}),
        ),
        (
            ".dockerignore",
            json!({"build": {"dockerfile": "../Dockerfile", "context": ".."}}),
        ),
        (
            ".devcontainer/devcontainer-lock.json",
            json!({"image": "base:1", "features": {"a/b/c:1": {}}}),
        ),
        (
            ".devcontainer/f/devcontainer-feature.json",
            json!({"image": "base:1", "features": {"./f": {}}}),
        ),
    ] {
        let clone = clone_of(&files);
        let mode = rustix::fs::Mode::from_raw_mode(0o644);
        rustix::fs::mkfifoat(rustix::fs::CWD, clone.path().join(pipe), mode).unwrap();
        let read = read_with(clone.path(), &properties, &Registry::default());
        assert_eq!(
            read.unwrap_err().to_string(),
            format!("{pipe}: is a pipe, and has to be a file")
        );
    }
}

#[test]
fn what_the_place_of_the_clone_does_not_change_has_the_same_key_in_every_clone() {
    let properties = json!({
        "build": {"dockerfile": "${localWorkspaceFolder}/.devcontainer/Dockerfile", "context": "..",
                  "args": {"V": "${containerWorkspaceFolder}", "UNUSED": "${localWorkspaceFolder}"},
                  "options": ["--secret", "id=x,src=${localWorkspaceFolder}/x"]},
        "workspaceFolder": "/workspaces/a",
    });
    let (one, two) = (clone_of(FILES), clone_of(FILES));
    for clone in [&one, &two] {
        write(clone.path(), &[("x", "hush")]);
    }
    let reading = read(one.path(), &properties);
    assert_eq!(reading, read(two.path(), &properties));
    let args: Vec<_> = reading.manifest.inputs().inputs(Input::BuildArg).collect();
    assert_eq!(args, [("V", "/workspaces/a")]);
    let mut moved = properties.clone();
    moved["workspaceFolder"] = json!("/workspaces/b");
    assert_ne!(read(one.path(), &moved).manifest, reading.manifest);
}
