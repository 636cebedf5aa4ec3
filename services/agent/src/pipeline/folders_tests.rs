use std::os::unix::fs::PermissionsExt as _;

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
    let made = build_folder(&dir.path().join("build"), &clone, &config).unwrap();
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
    let made = build_folder(&dir.path().join("build"), &clone, &config).unwrap();
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
    let made = build_folder(&dir.path().join("build"), &clone, &config).unwrap();
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
        let error = build_folder(&dir.path().join("build"), &clone, &config).unwrap_err();
        assert!(error.starts_with(property), "{error}");
    }
}

#[test]
fn the_container_gets_the_clones_configuration_on_the_finished_image() {
    let (_dir, clone, config) = config(
        ".devcontainer.json",
        r#"{ "build": { "dockerfile": "Dockerfile" }, "features": {}, "postCreateCommand": "make", "runArgs": ["--init"] }"#,
    );
    let clone = Clone {
        volume: clone.parent().unwrap().to_path_buf(),
        folder: clone,
        commit: String::new(),
    };
    assert_eq!(
        Value::Object(override_config(
            &clone,
            "ws-1",
            Some(&config),
            "localhost:5000/a/b@sha256:0"
        )),
        json!({
            "postCreateCommand": "make",
            "runArgs": ["--init"],
            "image": "localhost:5000/a/b@sha256:0",
            "workspaceMount": "source=hearth-ws-1,target=/workspaces,type=volume",
            "workspaceFolder": "/workspaces/app",
        })
    );
}

#[test]
fn a_mount_of_the_repositorys_own_is_kept() {
    let (_dir, clone, config) = config(
        ".devcontainer.json",
        r#"{ "image": "x", "workspaceMount": "source=${localWorkspaceFolder},target=/app,type=bind", "workspaceFolder": "/app" }"#,
    );
    let clone = Clone {
        volume: clone.parent().unwrap().to_path_buf(),
        folder: clone,
        commit: String::new(),
    };
    let made = override_config(&clone, "ws-1", Some(&config), "y");
    assert_eq!(made["workspaceFolder"], "/app");
    assert_eq!(
        made["workspaceMount"],
        "source=${localWorkspaceFolder},target=/app,type=bind"
    );
}

#[test]
fn an_attempts_folder_is_private_and_ends_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let attempt = AttemptRef {
        workspace_id: "ws-1".into(),
        attempt: 2,
    };
    let scratch = Scratch::create(dir.path(), &attempt, Some("localhost:5000")).unwrap();
    let path = scratch.path().to_path_buf();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o700);
    assert_eq!(mode(&path.join("bin/docker-credential-hearth")), 0o755);
    let docker = read(&path.join("docker/config.json"));
    assert_eq!(docker["credHelpers"], json!({ "localhost:5000": "hearth" }));
    assert_eq!(docker["auths"], Value::Null, "no login is in a file");
    drop(scratch);
    assert!(!path.exists());
}
