use std::{fs, os::unix::fs::symlink};

use super::*;

/// A clone with configurations whose image is named like their file.
fn clone_with(paths: &[&str]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for path in paths {
        let file = dir.path().join(path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, format!("\u{feff}{{\"image\": {path:?}}}\r\n")).unwrap();
    }
    dir
}

fn found(clone: &Path, name: Option<&str>) -> Result<Found, ConfigError> {
    let place = Place {
        clone,
        default_image: "default:1",
    };
    find(place, name.map(|name| name.parse().unwrap()).as_ref())
}

#[test]
fn a_configuration_that_leads_nowhere_is_not_none() {
    let fault = |make: &dyn Fn(&Path), name| {
        let dir = clone_with(&["README"]);
        make(dir.path());
        found(dir.path(), name).unwrap_err().to_string()
    };
    let nowhere = "is a link that leads nowhere";
    let folder = |clone: &Path| symlink("vendor/dc", clone.join(".devcontainer")).unwrap();
    assert_eq!(fault(&folder, None), format!(".devcontainer: {nowhere}"));
    assert_eq!(
        fault(&folder, Some("a")),
        format!(".devcontainer: {nowhere}")
    );
    let file = |clone: &Path| symlink("nowhere.json", clone.join(".devcontainer.json")).unwrap();
    assert_eq!(fault(&file, None), format!(".devcontainer.json: {nowhere}"));
    let itself =
        |clone: &Path| symlink(".devcontainer.json", clone.join(".devcontainer.json")).unwrap();
    assert_eq!(
        fault(&itself, None),
        format!(".devcontainer.json: {nowhere}")
    );
    let is_folder =
        |clone: &Path| fs::create_dir_all(clone.join(".devcontainer/devcontainer.json")).unwrap();
    assert!(fault(&is_folder, None).contains("devcontainer.json: is a folder"));
}

#[test]
fn links_that_lead_nowhere_or_out_are_told_whichever_file_they_stand_for() {
    let targets = [
        ("itself", "leads nowhere"),
        ("missing/file", "leads nowhere"),
        ("/etc/passwd", "leads out of the repository"),
        (
            "../../../../../../etc/passwd",
            "leads out of the repository",
        ),
    ];
    let optional = [
        "ctx/.dockerignore",
        "Dockerfile.dockerignore",
        ".devcontainer-lock.json",
        ".devcontainer/devcontainer.json",
        ".devcontainer",
    ];
    let linked = |path: &str, target: &str| {
        let dir = clone_with(&["Dockerfile", "ctx/x"]);
        let link = dir.path().join(path);
        fs::create_dir_all(link.parent().unwrap()).unwrap();
        let itself = link.file_name().unwrap().to_owned();
        let target = if target == "itself" {
            itself.as_os_str()
        } else {
            target.as_ref()
        };
        symlink(target, &link).unwrap();
        dir
    };
    let text = r#"{"build": {"dockerfile": "Dockerfile", "context": "ctx"}}"#;
    for (path, (target, why)) in optional
        .iter()
        .flat_map(|path| targets.map(|to| (path, to)))
    {
        let dir = linked(path, target);
        fs::write(dir.path().join(".devcontainer.json"), text).unwrap();
        let told = match found(dir.path(), None) {
            Ok(Found::Config(config)) => config.unread,
            // What leads out could be the configuration that is meant.
            Err(error) if why.contains("out") => vec![error.to_string()],
            other => panic!("{other:?}"),
        };
        let names = |told: &String| told.starts_with(path) && told.contains(why);
        assert!(
            told.len() == 1 && told.iter().all(names),
            "{path} {target}: {told:?}"
        );
    }
    // Without another one it is an error.
    for path in [
        ".devcontainer",
        ".devcontainer.json",
        ".devcontainer/devcontainer.json",
    ] {
        for (target, why) in targets {
            let error = found(linked(path, target).path(), None)
                .unwrap_err()
                .to_string();
            assert!(
                error.starts_with(".devcontainer") && error.contains(why),
                "{error}"
            );
        }
    }
    assert!(
        found(clone_with(&[".devcontainer.json"]).path(), None)
            .is_ok_and(|found| matches!(found, Found::Config(config) if config.unread.is_empty()))
    );
}

#[test]
fn the_encoding_that_is_not_read_is_named() {
    let dir = clone_with(&["README"]);
    let utf16: Vec<u8> = "\u{feff}{}"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    fs::write(dir.path().join(".devcontainer.json"), utf16).unwrap();
    let fault = found(dir.path(), None).unwrap_err().to_string();
    assert_eq!(fault, ".devcontainer.json: is UTF-16; save it as UTF-8");
}

fn image(clone: &Path, name: Option<&str>) -> (PathBuf, String) {
    match found(clone, name).unwrap() {
        Found::Config(config) => match &config.recipe().unwrap().base {
            Base::Image(image) => (config.path.clone(), image.clone()),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_folder_comes_before_the_file_and_a_mark_in_front_is_skipped() {
    let (folder, file) = (".devcontainer/devcontainer.json", ".devcontainer.json");
    assert_eq!(image(clone_with(&[folder, file]).path(), None).1, folder);
    assert_eq!(image(clone_with(&[file]).path(), None).1, file);
}

#[test]
fn without_a_default_and_for_a_missing_name_those_that_there_are_are_listed() {
    let gpu = ".devcontainer/gpu/devcontainer.json";
    let clone = clone_with(&[
        gpu,
        ".devcontainer/b/devcontainer.json",
        ".devcontainer/none/x",
    ]);
    symlink("gpu", clone.path().join(".devcontainer/linked")).unwrap();
    assert_eq!(image(clone.path(), Some("gpu")).1, gpu);
    let Found::NoDefault(named) = found(clone.path(), None).unwrap() else {
        panic!("there is one")
    };
    assert_eq!(named, ["b", "gpu", "linked"]);
    let error = found(clone.path(), Some("cpu")).unwrap_err().to_string();
    assert_eq!(
        error,
        "the repository has no .devcontainer/cpu/devcontainer.json; it has the configurations b, gpu, linked"
    );
    // Those of other folders can be asked for too.
    let clone = clone_with(&[
        "web/.devcontainer.json",
        "api/.devcontainer/x/devcontainer.json",
    ]);
    let error = found(clone.path(), Some("./api")).unwrap_err().to_string();
    assert_eq!(
        error,
        "the repository has no api/.devcontainer/devcontainer.json; it has the configurations api/.devcontainer/x, ./web"
    );
    assert!(
        matches!(found(clone.path(), None).unwrap(), Found::NoDefault(named) if named.len() == 2)
    );
    for number in 0..30 {
        let folder = clone.path().join(format!(".devcontainer/n{number:02}"));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("devcontainer.json"), "{}").unwrap();
    }
    let error = found(clone.path(), Some("cpu")).unwrap_err().to_string();
    assert!(error.ends_with("n19, and 12 more"), "{error}");
    let error = found(clone_with(&["x"]).path(), Some("cpu"))
        .unwrap_err()
        .to_string();
    assert_eq!(
        error,
        "the repository has no .devcontainer/cpu/devcontainer.json"
    );
}

#[test]
fn the_only_named_one_is_used_unasked_and_a_folders_own_one_is_worked_in() {
    let gpu = ".devcontainer/gpu/devcontainer.json";
    let clone = clone_with(&[gpu, "api/.devcontainer/devcontainer.json"]);
    let Found::Only(config, name) = found(clone.path(), None).unwrap() else {
        panic!("there is one");
    };
    assert_eq!((config.path.to_str(), name.as_str()), (Some(gpu), "gpu"));
    assert_eq!(config.workspace(), Path::new(""));
    fs::write(clone.path().join(gpu), "no JSON").unwrap();
    let error = found(clone.path(), None).unwrap_err().to_string();
    assert!(error.starts_with(gpu), "{error}");
    let file = "services/api/.devcontainer.json";
    let text = r#"{"build": {"dockerfile": "D", "options": ["--secret=id=s,src=key"]},
        "postCreateCommand": "${localWorkspaceFolderBasename} ${containerWorkspaceFolder}"}"#;
    let clone = clone_with(&[file]);
    fs::write(clone.path().join(file), text).unwrap();
    let Found::Config(config) = found(clone.path(), Some("services/api")).unwrap() else {
        panic!("it is there");
    };
    assert_eq!(config.workspace(), Path::new("services/api"));
    let folder = config.container.text("workspaceFolder").unwrap();
    assert!(
        folder.starts_with("/workspaces/") && folder.ends_with("/services/api"),
        "{folder}"
    );
    let hook = config.container.hooks["postCreateCommand"]
        .as_str()
        .unwrap();
    assert_eq!(hook, format!("api {folder}"));
    // Options name files as they are seen from the folder that is worked in.
    let Base::Dockerfile(build) = &config.recipe().unwrap().base else {
        panic!("{config:?}");
    };
    assert_eq!(build.dockerfile, Path::new("services/api/D"));
    let secret = format!("{:?}", build.options);
    assert!(secret.contains("services/api/key"), "{secret}");
}

#[test]
fn links_inside_the_clone_are_followed_and_others_refused() {
    for (link, target) in [
        (".devcontainer", "tools/dev"),
        (
            ".devcontainer/devcontainer.json",
            "../tools/dev/devcontainer.json",
        ),
        (".devcontainer.json", "tools/dev/devcontainer.json"),
    ] {
        let clone = clone_with(&["tools/dev/devcontainer.json"]);
        let link = clone.path().join(link);
        fs::create_dir_all(link.parent().unwrap()).unwrap();
        symlink(target, link).unwrap();
        assert_eq!(image(clone.path(), None).1, "tools/dev/devcontainer.json");
    }
    let clone = clone_with(&[]);
    symlink("/etc/passwd", clone.path().join(".devcontainer.json")).unwrap();
    let error = found(clone.path(), None).unwrap_err().to_string();
    assert_eq!(error, ".devcontainer.json: leads out of the repository");
}
