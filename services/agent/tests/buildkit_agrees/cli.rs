//! The Dockerfile that the real devcontainer CLI builds is the one that the key is read from.

use std::{fs, os::unix::fs::PermissionsExt as _, process::Command};

use hearth_domain::as_built;
use hearth_tests::process::path;

/// A docker that keeps the Dockerfile and the arguments of a build, and builds nothing.
const DOCKER: &str = r#"#!/bin/sh
case "$1 $2" in
    "buildx version") echo "github.com/docker/buildx v0.13.1" ;;
    "version "*) echo 26.1.5 ;;
    "inspect "*) echo '[{"Id":"sha256:1","Os":"linux","Architecture":"amd64","Config":{"Env":[],"Labels":{}}}]' ;;
    "buildx build")
        printf '%s\n' "$@" > OUT/arguments
        while [ $# -gt 0 ]; do
            [ "$1" = -f ] && cp "$2" OUT/Dockerfile
            shift
        done ;;
esac
"#;

/// Text and stage as the CLI makes them; nothing if it builds nothing.
fn by_the_cli(dockerfile: &str) -> Option<(String, String)> {
    let folder = tempfile::tempdir().unwrap();
    let app = folder.path().join("app");
    fs::create_dir(&app).unwrap();
    fs::write(app.join("Dockerfile"), dockerfile).unwrap();
    let config = r#"{ "build": { "dockerfile": "Dockerfile" } }"#;
    fs::write(app.join(".devcontainer.json"), config).unwrap();
    let docker = folder.path().join("docker");
    fs::write(
        &docker,
        DOCKER.replace("OUT", folder.path().to_str().unwrap()),
    )
    .unwrap();
    fs::set_permissions(&docker, fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = Command::new("devcontainer");
    command
        .args(["build", "--image-name", "x", "--workspace-folder"])
        .arg(&app);
    let told = command
        .arg("--docker-path")
        .arg(&docker)
        .env("PATH", path())
        .output()
        .unwrap();
    let read = |name: &str| fs::read_to_string(folder.path().join(name)).ok();
    let Some(text) = read("Dockerfile") else {
        let told = String::from_utf8_lossy(&told.stderr);
        assert!(told.contains("Dockerfile"), "{told}");
        return None;
    };
    let arguments = read("arguments").unwrap();
    let stage = arguments
        .lines()
        .find_map(|line| line.strip_prefix("_DEV_CONTAINERS_BASE_IMAGE="));
    Some((plain(&text), stage.unwrap().to_owned()))
}

/// Without the label, and without white space at the ends of lines, which only the order of lines gives a meaning. Carriage
/// returns stay: a here-document has them.
fn plain(text: &str) -> String {
    let lines = text.trim_end().split('\n');
    let lines = lines.map(|line| line.trim_end_matches([' ', '\t']));
    let lines: Vec<&str> = lines
        .filter(|line| !line.starts_with("LABEL devcontainer.metadata"))
        .collect();
    lines.join("\n").replace("\n    ARG _DEV", "\nARG _DEV")
}

#[test]
fn the_cli_builds_the_dockerfile_that_the_key_is_read_from() {
    for dockerfile in [
        "FROM a:1\nRUN true\n",
        "FROM a:1 AS one\nFROM --platform=linux/amd64 b:1\nRUN true",
        "# syntax=docker/dockerfile:1\nFROM a:1 as one # x\n",
        "#  syntax = a/b:1 \n# escape=`\n\nFROM \"a:1\"\n",
        "# check=skip=all\n# syntax=a=b\nFROM a\n",
        "# Syntax=a/b\n# x\nFROM a\nRUN cat <<E\n  from x  AS  two \nE\n",
        "\n\n #syntax=a/b\nARG V=1\n\tFROM a:$V\nRUN echo \\\n FROM b\n",
        "FROM a\r\nRUN true\r\nFROM b  \r\n",
        "FROM a AS x\r\nCOPY <<E /x\r\n1\r\nE\r\nRUN true\r\n",
        "RUN true\n",
        "FROM --platform=x\n",
    ] {
        let expected = by_the_cli(dockerfile);
        let built = as_built(dockerfile, None).ok();
        let built = built.map(|built| (plain(&built.text), built.arg.1));
        assert_eq!(built, expected, "{dockerfile:?}");
    }
}
