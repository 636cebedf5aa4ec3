//! Keys of features, of `.git`, and of builds that cannot be understood.

use super::*;
use crate::{clone_files::CloneFiles, devcontainer::ClonePath};

#[test]
fn features_are_followed_to_those_that_they_depend_on() {
    let clone = clone_of(&[
        (
            ".devcontainer/one/devcontainer-feature.json",
            "{// x\n\"dependsOn\": {\"./two\": {}, \"ghcr.io/a/b\": {}}}",
        ),
        (
            ".devcontainer/two/devcontainer-feature.json",
            "{\"dependsOn\": {\"./one\": {}}}",
        ),
    ]);
    let registry = Registry {
        depends_on: BTreeMap::from([("ghcr.io/a/b:latest", vec!["ghcr.io/a/c:1"])]),
        ..Registry::default()
    };
    let reading = read_with(
        clone.path(),
        &json!({"image": "a:1", "features": {"./one": {}}}),
        &registry,
    )
    .unwrap();
    let names: Vec<_> = reading
        .manifest
        .inputs()
        .inputs(Input::Feature)
        .map(|(name, _)| name)
        .collect();
    assert_eq!(names, ["ghcr.io/a/b:latest", "ghcr.io/a/c:1"]);
    let files: Vec<_> = reading
        .manifest
        .inputs()
        .inputs(Input::File)
        .map(|(name, _)| name)
        .collect();
    assert_eq!(
        files,
        [
            ".devcontainer/one",
            ".devcontainer/one/devcontainer-feature.json",
            ".devcontainer/two",
            ".devcontainer/two/devcontainer-feature.json",
        ]
    );
}

#[test]
fn a_lockfile_comes_before_the_registry() {
    let clone = clone_of(&[(
        ".devcontainer/devcontainer-lock.json",
        "\u{feff}{\"features\": {\"ghcr.io/a/missing:1\": {\"version\": \"1\", \"resolved\": \"x\", \"integrity\": \"sha256:1\", \"dependsOn\": [\"https://x/f.tgz\"]}}}",
    )]);
    let properties = json!({"image": "a:1", "features": {"ghcr.io/a/missing:1": {}}});
    let reading = read(clone.path(), &properties);
    assert_eq!(
        reading
            .manifest
            .inputs()
            .inputs(Input::Feature)
            .collect::<Vec<_>>(),
        [("ghcr.io/a/missing:1", "sha256:1")]
    );
    assert_eq!(
        reading
            .manifest
            .inputs()
            .inputs(Input::Remote)
            .collect::<Vec<_>>(),
        [("https://x/f.tgz", "unpinned")]
    );
    assert_eq!(reading.unpinned, ["https://x/f.tgz"]);
}

#[test]
fn without_an_answer_there_is_no_key_and_the_reason_says_what_to_do() {
    let clone = clone_of(FILES);
    std::os::unix::fs::symlink("/etc", clone.path().join("out")).unwrap();
    for (properties, expected) in [
        (
            json!({"image": "missing:1"}),
            "missing:1 could not be resolved (no such image); check",
        ),
        (json!({"dockerComposeFile": "x"}), "no cache key yet"),
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
            json!({"build": {"dockerfile": "Dockerfile", "options": ["--build-context", "a=b"]}}),
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
fn a_build_that_is_asked_for_every_time_is_never_fetched() {
    let clone = clone_of(&[("Dockerfile", "FROM a:1\nRUN date\n")]);
    let with = |options: &[&str]| {
        let build = json!({"dockerfile": "../Dockerfile", "options": options});
        read(clone.path(), &json!({ "build": build }))
    };
    std::fs::create_dir(clone.path().join(".devcontainer")).unwrap();
    for option in ["--no-cache", "--no-cache=1", "--no-cache-filter=x"] {
        let unpinned = with(&[option]).unpinned;
        assert_eq!(unpinned.len(), 1, "{option}");
        assert!(
            unpinned[0].contains("asks for a build every time"),
            "{unpinned:?}"
        );
    }
    let before = with(&[]);
    // What docker does not get, or what changes nothing.
    for same in [
        &["--no-cache=false"][..],
        &["--pull"],
        &["--build-arg", "PATH"],
        &["--rm", "--quiet"],
    ] {
        assert_eq!(with(same), before, "{same:?}");
    }
    assert_eq!(
        with(&["--add-host=a:1", "--shm-size=1g"]),
        with(&["--shm-size", "1g", "--add-host", "a:1"])
    );
    assert_ne!(
        with(&["--add-host=a:1", "--add-host=a:2"]).manifest,
        with(&["--add-host=a:2", "--add-host=a:1"]).manifest
    );
}

/// BuildKit has the step in its cache whatever the secret is.
#[test]
fn a_secret_counts_with_its_content() {
    let clone = clone_of(&[
        (
            ".devcontainer/Dockerfile",
            "FROM a:1\nRUN --mount=type=secret,id=x cp /run/secrets/x /x\n",
        ),
        ("x", "honest"),
    ]);
    let properties =
        json!({"build": {"dockerfile": "Dockerfile", "options": ["--secret", "id=x,src=x"]}});
    let before = read(clone.path(), &properties).manifest;
    write(clone.path(), &[("x", "evil")]);
    assert_ne!(read(clone.path(), &properties).manifest, before);
}

#[test]
fn the_dockerfile_counts_as_the_cli_makes_it() {
    for (dockerfile, file) in [
        ("FROM a:1\nONBUILD COPY b /b\n", "b"),
        (
            "FROM a:1 AS one\nCOPY b /\nFROM a:1\nRUN cat <<E\nFROM x AS one\nE\n",
            "b",
        ),
        (
            "FROM a:1\nARG TARGETSTAGE\nCOPY $TARGETSTAGE /x\n",
            "dev_containers_target_stage",
        ),
    ] {
        let clone = clone_of(&[(".devcontainer/Dockerfile", dockerfile)]);
        let properties = json!({"build": {"dockerfile": "Dockerfile"}});
        let before = read(clone.path(), &properties).manifest;
        write(clone.path(), &[(&format!(".devcontainer/{file}"), "1")]);
        assert_ne!(
            read(clone.path(), &properties).manifest,
            before,
            "{dockerfile}"
        );
    }
    // With a feature the CLI looks for the user, and finds it in places of its own.
    let clone = clone_of(FILES);
    let with = |features: &[&str], dockerfile: &str| {
        write(clone.path(), &[(".devcontainer/Dockerfile", dockerfile)]);
        let features: serde_json::Map<String, Value> = features
            .iter()
            .map(|id| ((*id).to_owned(), json!({})))
            .collect();
        let build = json!({"dockerfile": "Dockerfile"});
        read(clone.path(), &json!({"build": build, "features": features})).manifest
    };
    let (joined, apart) = (
        "FROM a:1\nRUN true USER dev\n",
        "FROM a:1\nRUN true \\\nUSER dev\n",
    );
    assert_ne!(with(&["./tool"], joined), with(&["./tool"], apart));
    assert_eq!(with(&[], joined), with(&[], apart));
}

#[test]
fn an_option_of_a_feature_that_is_its_default_does_not_count() {
    let metadata =
        r#"{"options": {"at": {"type": "string", "default": "a"}, "on": {"default": true}}}"#;
    let clone = clone_of(&[(".devcontainer/f/devcontainer-feature.json", metadata)]);
    let with = |options: Value| {
        read(
            clone.path(),
            &json!({"image": "a:1", "features": {"./f": options}}),
        )
    };
    let none = with(json!({}));
    for same in [json!({"at": "a"}), json!({"on": true, "at": "a"})] {
        assert_eq!(with(same), none);
    }
    for other in [
        json!({"at": "b"}),
        json!({"on": "true"}),
        json!({"new": "a"}),
        json!("a"),
    ] {
        assert_ne!(with(other.clone()).manifest, none.manifest, "{other}");
    }
}

#[test]
fn a_target_that_is_built_anyway_does_not_count() {
    let clone = clone_of(&[(
        ".devcontainer/Dockerfile",
        "FROM a:1 AS one\nRUN 1\nFROM one AS two\nRUN 2\n",
    )]);
    let with = |target: Value| {
        read(
            clone.path(),
            &json!({"build": {"dockerfile": "Dockerfile", "target": target}}),
        )
    };
    assert_eq!(with(json!("two")), with(json!(null)));
    let names = |reading: &KeyReading| -> Vec<String> {
        let inputs = reading.manifest.inputs().inputs(Input::Config);
        inputs.map(|(name, _)| name.to_owned()).collect()
    };
    assert!(names(&with(json!("one"))).contains(&"build.target".to_owned()));
}

#[test]
fn what_is_not_understood_counts_as_a_whole_and_says_so() {
    for dockerfile in [
        "FROM a:1\nINCLUDE x\n",
        "# syntax=someone/else:1\nFROM a:1\n",
    ] {
        let clone = clone_of(&[
            (".devcontainer/Dockerfile", dockerfile),
            (".devcontainer/a", "1"),
        ]);
        let properties = json!({"build": {"dockerfile": "Dockerfile"}});
        let before = read(clone.path(), &properties);
        assert_eq!(before.unpinned.len(), 1);
        assert!(
            before.careful[0].starts_with("The whole build context counts: "),
            "{:?}",
            before.careful
        );
        write(clone.path(), &[(".devcontainer/a", "2")]);
        assert_ne!(read(clone.path(), &properties).manifest, before.manifest);
        let registry = Registry {
            moved: BTreeMap::from([("a:1", "2")]),
            ..Registry::default()
        };
        assert_ne!(
            read_with(clone.path(), &properties, &registry)
                .unwrap()
                .manifest,
            before.manifest
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

#[test]
fn both_spellings_of_a_build_have_one_key() {
    let clone = clone_of(FILES);
    let new = json!({"build": {"dockerfile": "Dockerfile", "context": "..", "args": {"V": "1"}}});
    let old = json!({"dockerFile": "Dockerfile", "context": "..", "build": {"args": {"V": "1"}}});
    assert_eq!(read(clone.path(), &new), read(clone.path(), &old));
}

#[test]
fn a_feature_s_files_count_by_the_names_that_the_configuration_knows() {
    let plain = clone_of(FILES);
    let linked = clone_of(FILES);
    std::fs::rename(
        linked.path().join(".devcontainer"),
        linked.path().join("tools"),
    )
    .unwrap();
    std::os::unix::fs::symlink("tools", linked.path().join(".devcontainer")).unwrap();
    let properties = json!({"image": "a:1", "features": {"./tool": {}}});
    let reading = read(plain.path(), &properties);
    assert_eq!(reading, read(linked.path(), &properties));
    let mut files = reading.manifest.inputs().inputs(Input::File);
    assert!(files.any(|(name, _)| name == ".devcontainer/tool/install.sh"));
}
