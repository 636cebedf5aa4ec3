use super::*;

fn config(path: &str, text: &str) -> (tempfile::TempDir, PathBuf, DevcontainerConfig) {
    let dir = tempfile::tempdir().unwrap();
    let clone = dir.path().join("volume/app");
    let file = clone.join(path);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(&file, text).unwrap();
    fs::write(clone.join("Dockerfile"), "FROM scratch").unwrap();
    let config = DevcontainerConfig::find(&clone, None).unwrap().unwrap();
    (dir, clone, config)
}

fn read(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn a_build_sees_what_makes_the_image_and_nothing_else() {
    let (dir, clone, config) = config(
        ".devcontainer/devcontainer.json",
        r#"{ "name": "x", "build": { "dockerfile": "../Dockerfile", "context": "..",
             "args": { "WHERE": "${localWorkspaceFolder}/a" } },
             "remoteUser": "dev", "postCreateCommand": "true", "runArgs": ["--init"] }"#,
    );
    let made = make(&dir.path().join("build"), &clone, &config).unwrap();
    assert!(made.folder.ends_with("build/app"));
    assert!(
        made.config
            .ends_with("build/app/.devcontainer/devcontainer.json")
    );
    let clone = clone.to_string_lossy();
    assert_eq!(
        read(&made.config),
        json!({ "build": {
            "dockerfile": format!("{clone}/Dockerfile"),
            "context": format!("{clone}"),
            "args": { "WHERE": format!("{clone}/a") },
        } })
    );
}

#[test]
fn without_a_context_it_is_the_dockerfiles_folder() {
    let (dir, clone, config) = config(
        ".devcontainer/devcontainer.json",
        r#"{ "build": { "dockerfile": "../Dockerfile" } }"#,
    );
    let made = make(&dir.path().join("build"), &clone, &config).unwrap();
    assert_eq!(read(&made.config)["build"]["context"], json!(clone));
}

#[test]
fn local_features_and_the_lockfile_come_along_and_see_the_users() {
    let (dir, clone, config) = config(
        ".devcontainer/devcontainer.json",
        r#"{ "image": "x", "features": { "./f": {} }, "remoteUser": "dev", "customizations": {} }"#,
    );
    fs::create_dir(clone.join(".devcontainer/f")).unwrap();
    fs::write(clone.join(".devcontainer/f/install.sh"), "true").unwrap();
    fs::write(clone.join(".devcontainer/devcontainer-lock.json"), "{}").unwrap();
    let made = make(&dir.path().join("build"), &clone, &config).unwrap();
    let beside = made.config.parent().unwrap();
    assert!(beside.join("f/install.sh").is_file());
    assert!(beside.join("devcontainer-lock.json").is_file());
    assert_eq!(
        read(&made.config),
        json!({ "image": "x", "features": { "./f": {} }, "remoteUser": "dev" })
    );
}

#[test]
fn a_dockerfile_or_context_outside_the_repository_is_refused_by_its_property() {
    for (text, property) in [
        (
            r#"{ "build": { "dockerfile": "/etc/passwd" } }"#,
            "dockerfile",
        ),
        (
            r#"{ "build": { "dockerfile": "Dockerfile", "context": "../.." } }"#,
            "context",
        ),
        (r#"{ "dockerFile": "../../x" }"#, "dockerFile"),
    ] {
        let (dir, clone, config) = config(".devcontainer.json", text);
        let error = make(&dir.path().join("build"), &clone, &config).unwrap_err();
        assert!(error.starts_with(property), "{error}");
    }
}

#[test]
fn a_configuration_without_a_folder_of_its_own_may_have_features() {
    let (dir, clone, config) = config(
        ".devcontainer.json",
        r#"{ "image": "x", "features": { "ghcr.io/x/y:1": {} } }"#,
    );
    let made = make(&dir.path().join("build"), &clone, &config).unwrap();
    assert_eq!(read(&made.config)["image"], "x");
}

#[test]
fn a_link_out_of_the_repository_is_not_copied_from() {
    for link in ["devcontainer-lock.json", ".devcontainer"] {
        let (dir, clone, config) = config(
            ".devcontainer.json",
            r#"{ "image": "x", "features": { "./f": {} } }"#,
        );
        fs::create_dir(dir.path().join("outside")).unwrap();
        symlink(dir.path().join("outside"), clone.join(link)).unwrap();
        let error = make(&dir.path().join("build"), &clone, &config).unwrap_err();
        assert!(error.ends_with("leads out of the repository"), "{error}");
    }
}
