//! Keys of builds from a Dockerfile: options, targets, secrets, texts that cannot be understood.

use super::*;

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
fn both_spellings_of_a_build_have_one_key() {
    let clone = clone_of(FILES);
    let new = json!({"build": {"dockerfile": "Dockerfile", "context": "..", "args": {"V": "1"}}});
    let old = json!({"dockerFile": "Dockerfile", "context": "..", "build": {"args": {"V": "1"}}});
    assert_eq!(read(clone.path(), &new), read(clone.path(), &old));
}
