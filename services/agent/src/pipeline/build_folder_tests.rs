use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
};

use serde_json::json;

use super::*;
use crate::devcontainer::Place;

fn open(clone: &Path) -> CloneFiles {
    CloneFiles::open(clone).unwrap()
}

fn parsed(clone: &Path, path: &str, text: &str) -> DevcontainerConfig {
    let place = Place {
        clone,
        default_image: "default:1",
    };
    DevcontainerConfig::parse(place, Path::new(path), text).unwrap()
}

fn config(path: &str, text: &str) -> (tempfile::TempDir, PathBuf, DevcontainerConfig) {
    let dir = tempfile::tempdir().unwrap();
    let clone = dir.path().join("volume/app");
    fs::create_dir_all(clone.join(path).parent().unwrap()).unwrap();
    fs::write(clone.join("Dockerfile"), "FROM scratch").unwrap();
    let config = parsed(&clone, path, text);
    (dir, clone, config)
}

/// A feature in `folder` of the clone.
fn feature(clone: &Path, folder: &str, metadata: &str) {
    let folder = clone.join(folder);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("devcontainer-feature.json"), metadata).unwrap();
    let script = folder.join("install.sh");
    fs::write(&script, "true").unwrap();
    fs::set_permissions(script, fs::Permissions::from_mode(0o755)).unwrap();
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
    let made = make(&dir.path().join("build"), &open(&clone), &clone, &config).unwrap();
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
    let made = make(&dir.path().join("build"), &open(&clone), &clone, &config).unwrap();
    assert_eq!(read(&made.config)["build"]["context"], json!(clone));
}

#[test]
fn a_build_in_the_old_spelling_is_written_in_the_new_one() {
    let (dir, clone, config) = config(
        ".devcontainer/devcontainer.json",
        r#"{ "dockerFile": "../Dockerfile", "context": "../src", "build": { "args": { "A": "1" } } }"#,
    );
    fs::create_dir(clone.join("src")).unwrap();
    let made = make(&dir.path().join("build"), &open(&clone), &clone, &config).unwrap();
    assert_eq!(
        read(&made.config),
        json!({ "build": {
            "dockerfile": clone.join("Dockerfile"), "context": clone.join("src"), "args": { "A": "1" },
        } })
    );
}

#[test]
fn local_features_and_the_lockfile_come_along_and_see_the_users() {
    let (dir, clone, config) = config(
        ".devcontainer/api/devcontainer.json",
        r#"{ "image": "x", "features": { "../f": {} }, "remoteUser": "dev", "containerEnv": {"A": "1"} }"#,
    );
    feature(
        &clone,
        ".devcontainer/f",
        r#"{ "dependsOn": { "./g": {} } }"#,
    );
    feature(&clone, ".devcontainer/api/g", "{}");
    feature(&clone, ".devcontainer/unused", "{}");
    let lockfile = clone.join(".devcontainer/api/devcontainer-lock.json");
    fs::write(lockfile, "\u{feff}{}").unwrap();
    let made = make(&dir.path().join("build"), &open(&clone), &clone, &config).unwrap();
    let copy = made.folder.join(".devcontainer");
    for script in ["f/install.sh", "api/g/install.sh"] {
        let mode = fs::metadata(copy.join(script))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o755, "{script}");
    }
    assert!(!copy.join("unused").exists());
    // The CLI's own reader of it chokes on a mark.
    let lockfile = fs::read_to_string(copy.join("api/devcontainer-lock.json")).unwrap();
    assert_eq!(lockfile, "{}");
    assert_eq!(
        read(&made.config),
        json!({ "image": "x", "features": { "../f": {} }, "remoteUser": "dev" })
    );
}

#[test]
fn a_configuration_behind_links_is_written_where_it_is_named() {
    for (link, target) in [
        (".devcontainer", "shared"),
        (".devcontainer/api", "../shared/api"),
        (
            ".devcontainer/api/devcontainer.json",
            "../../shared/api/devcontainer.json",
        ),
        (".devcontainer/api/f", "../../shared/api/f"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let clone = dir.path().join("app");
        let text = r#"{ "image": "x", "features": { "./f": {} } }"#;
        feature(&clone, "shared/api/f", "{}");
        fs::write(clone.join("shared/api/devcontainer.json"), text).unwrap();
        symlink("/nowhere", clone.join("shared/api/f/dangling")).unwrap();
        let link = clone.join(link);
        fs::create_dir_all(link.parent().unwrap()).unwrap();
        symlink(target, &link).unwrap();
        let path = ".devcontainer/api/devcontainer.json";
        if !clone.join(".devcontainer/api/f").exists() {
            feature(&clone, ".devcontainer/api/f", "{}");
        }
        let config = parsed(&clone, path, text);
        let made = make(&dir.path().join("build"), &open(&clone), &clone, &config).unwrap();
        assert!(!made.config.is_symlink(), "{link:?}");
        assert_eq!(read(&made.config)["image"], "x");
        assert!(made.config.with_file_name("f").join("install.sh").is_file());
    }
}

#[test]
fn nothing_is_written_through_what_was_copied() {
    // The feature is the configuration's own folder, with links where hearth writes.
    let (dir, clone, config) = config(
        ".devcontainer/devcontainer.json",
        r#"{ "image": "x", "features": { "./": {} } }"#,
    );
    feature(&clone, ".devcontainer", "{}");
    let victim = dir.path().join("victim");
    fs::write(&victim, "before").unwrap();
    for name in ["devcontainer.json", "a"] {
        symlink(&victim, clone.join(".devcontainer").join(name)).unwrap();
    }
    let made = make(&dir.path().join("build"), &open(&clone), &clone, &config).unwrap();
    assert_eq!(fs::read_to_string(&victim).unwrap(), "before");
    assert_eq!(read(&made.config)["image"], "x");
    assert!(made.config.with_file_name("a").is_symlink());
}

#[test]
fn a_dockerfile_or_context_that_is_missing_or_outside_is_refused_by_its_path() {
    for (text, expected) in [
        (
            r#"{ "build": { "dockerfile": "Missing" } }"#,
            "Missing: No such file or directory (os error 2)",
        ),
        (
            r#"{ "build": { "dockerfile": "Dockerfile", "context": "out" } }"#,
            "out: leads out of the repository",
        ),
    ] {
        let (dir, clone, config) = config(".devcontainer.json", text);
        symlink("/etc", clone.join("out")).unwrap();
        let error = make(&dir.path().join("build"), &open(&clone), &clone, &config).unwrap_err();
        assert_eq!(error, expected);
    }
}

#[test]
fn a_link_out_of_the_repository_is_not_copied_from() {
    for link in [".devcontainer-lock.json", "f"] {
        let (dir, clone, config) = config(
            ".devcontainer.json",
            r#"{ "image": "x", "features": { "./f": {} } }"#,
        );
        if link != "f" {
            feature(&clone, "f", "{}");
        }
        feature(dir.path(), "outside", "{}");
        symlink(dir.path().join("outside"), clone.join(link)).unwrap();
        let error = make(&dir.path().join("build"), &open(&clone), &clone, &config).unwrap_err();
        assert!(error.ends_with("leads out of the repository"), "{error}");
    }
}

#[test]
fn secrets_are_copied_and_what_leads_out_is_left_out() {
    let (dir, clone, config) = config(
        ".devcontainer/devcontainer.json",
        r#"{ "build": { "dockerfile": "../Dockerfile", "options":
             ["--secret=id=a,src=a", "--secret=id=b,src=out", "--network=host", "--build-context=c=.devcontainer"] } }"#,
    );
    fs::write(clone.join("a"), "hush").unwrap();
    fs::write(dir.path().join("node"), "secret of the node").unwrap();
    symlink("../../node", clone.join("out")).unwrap();
    let made = make(&dir.path().join("build"), &open(&clone), &clone, &config).unwrap();
    let copy = dir.path().join("build.files/1");
    assert_eq!(fs::read_to_string(&copy).unwrap(), "hush");
    assert_eq!(
        fs::metadata(&copy).unwrap().permissions().mode() & 0o777,
        0o600
    );
    // What needs a decision that nobody made is not passed on.
    let expected = json!([
        format!("--secret=\"id=a\",\"src={}\"", copy.display()),
        format!("--build-context=c={}/.devcontainer", clone.display()),
    ]);
    assert_eq!(read(&made.config)["build"]["options"], expected);
    assert_eq!(made.left_out.len(), 1);
    assert_eq!(made.left_out[0].what, "the build option --secret id=b");
    assert!(
        made.left_out[0].why.contains("leads out"),
        "{:?}",
        made.left_out
    );
}
