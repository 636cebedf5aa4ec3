use super::*;
use crate::devcontainer::BuildOption;

fn place() -> Place<'static> {
    Place {
        clone: Path::new("/node/app"),
        default_image: "default:1",
    }
}

fn read(properties: Value) -> Result<DevcontainerConfig, String> {
    let Value::Object(properties) = properties else {
        panic!("no object")
    };
    let path = Path::new(".devcontainer/devcontainer.json");
    DevcontainerConfig::new(place(), path, properties)
}

fn recipe(properties: Value) -> Recipe {
    read(properties).unwrap().recipe().unwrap().clone()
}

fn build(properties: Value) -> Build {
    match recipe(properties).base {
        Base::Dockerfile(build) => build,
        other => panic!("{other:?}"),
    }
}

#[test]
fn both_spellings_of_a_build_are_one() {
    let new = build(json!({"build": {
        "dockerfile": "../Dockerfile", "context": "..", "target": "dev", "args": {"A": "1"},
        "options": ["--no-cache"], "cacheFrom": "x",
    }}));
    let rest =
        json!({"target": "dev", "args": {"A": "1"}, "options": ["--no-cache"], "cacheFrom": ["x"]});
    let old = build(json!({"dockerFile": "../Dockerfile", "context": "..", "build": rest}));
    assert_eq!(new, old);
    assert_eq!(new.dockerfile, Path::new("Dockerfile"));
    assert_eq!(new.context, Path::new(""));
    assert_eq!(new.options, [BuildOption::Plain("--no-cache".to_owned())]);
    // The context of the other spelling does not count.
    let mixed = build(
        json!({"dockerFile": "Dockerfile", "build": {"dockerfile": "x", "context": "../.."}}),
    );
    assert_eq!(mixed.dockerfile, Path::new(".devcontainer/Dockerfile"));
    assert_eq!(mixed.context, Path::new(".devcontainer"));
}

#[test]
fn a_dockerfile_comes_before_an_image_and_an_image_before_compose() {
    let all = json!({"build": {"dockerfile": "D"}, "image": "x", "dockerComposeFile": "c.yml"});
    assert!(matches!(recipe(all).base, Base::Dockerfile(_)));
    let two = read(json!({"image": "x", "dockerComposeFile": "c.yml", "service": "s"})).unwrap();
    assert_eq!(two.recipe().unwrap().base, Base::Image("x".to_owned()));
    assert!(!two.container.properties.contains_key("service"));
}

#[test]
fn an_empty_text_is_no_value_wherever_it_comes_from() {
    for empty in [json!(""), json!("${localEnv:X}"), json!(null)] {
        let config = read(json!({
            "image": empty, "dockerFile": empty, "dockerComposeFile": empty, "workspaceFolder": empty,
            "remoteUser": empty, "containerUser": empty, "context": empty,
            "build": {"dockerfile": empty, "context": empty, "target": empty},
        }))
        .unwrap();
        let default = Base::Default("default:1".to_owned());
        assert_eq!(config.recipe().unwrap().base, default, "{empty}");
        let folder = json!({"workspaceFolder": "/workspaces/app"});
        assert_eq!(
            Value::Object(config.container.properties),
            folder,
            "{empty}"
        );
        let build = build(json!({"build": {"dockerfile": "D", "context": empty, "target": empty}}));
        assert_eq!(
            (build.context, build.target),
            (".devcontainer".into(), None)
        );
    }
    // The clone is in a volume of its own, which is not left out.
    let config = read(json!({"workspaceMount": "", "workspaceFolder": ""})).unwrap();
    assert_eq!(config.container.text("workspaceMount"), None);
}

#[test]
fn variables_are_resolved_in_both_halves() {
    let config = read(json!({
        "build": {
            "dockerfile": "${localWorkspaceFolder}/docker/Dockerfile",
            "args": {"DIR": "${containerWorkspaceFolder}", "NAME": "${containerWorkspaceFolderBasename}",
                     "ID": "${devcontainerId}", "N": 1},
        },
        "features": {"./f": {"dir": "${containerWorkspaceFolder}/x"}},
        "workspaceFolder": "/workspaces/${localWorkspaceFolderBasename}/sub",
        "containerEnv": {"A": "${localEnv:A:none}", "P": "${containerEnv:PATH}"},
    }))
    .unwrap();
    let Recipe { base, features, .. } = config.recipe().unwrap().clone();
    let Base::Dockerfile(build) = base else {
        panic!("{base:?}")
    };
    assert_eq!(build.dockerfile, Path::new("docker/Dockerfile"));
    assert_eq!(
        json!(build.args),
        json!({"DIR": "/workspaces/app/sub", "NAME": "sub", "ID": "${devcontainerId}", "N": "1"})
    );
    assert_eq!(
        json!(features.unwrap().options),
        json!({"./f": {"dir": "/workspaces/app/sub/x"}})
    );
    assert_eq!(
        Value::Object(config.container.properties),
        json!({
            "workspaceFolder": "/workspaces/app/sub",
            "containerEnv": {"A": "none", "P": "${containerEnv:PATH}"},
        })
    );
}

#[test]
fn hooks_and_commands_of_the_node_are_apart_from_the_rest() {
    let container = read(json!({
        "image": "x", "initializeCommand": "a", "postCreateCommand": "b", "remoteUser": 1000,
    }))
    .unwrap()
    .container;
    assert_eq!(container.initialize[0].words, ["/bin/sh", "-c", "a"]);
    assert_eq!(json!(container.hooks), json!({"postCreateCommand": "b"}));
    assert_eq!(container.text("remoteUser"), Some("1000"));
    assert_eq!(json!(container.whole())["postCreateCommand"], "b");
    assert!(!container.whole().contains_key("initializeCommand"));
}

#[test]
fn users_are_in_the_recipe_only_where_features_see_them() {
    let users = |features: Value| {
        let recipe = recipe(
            json!({"image": "x", "features": features, "remoteUser": "dev", "containerEnv": {"A": "1"}}),
        );
        Value::Object(recipe.to_properties(None))
    };
    assert_eq!(users(json!({})), json!({"image": "x"}));
    let features = json!({"./f": {}});
    assert_eq!(
        users(features.clone()),
        json!({"image": "x", "features": features, "remoteUser": "dev"})
    );
}

#[test]
fn a_compose_project_keeps_all_properties_but_the_features_of_its_image() {
    let config = read(json!({
        "dockerComposeFile": ["a.yml", "../b.yml"], "service": "s", "features": {"./f": {}},
        "runServices": ["db"], "containerEnv": {"DIR": "${containerWorkspaceFolder}"},
    }))
    .unwrap();
    let Source::Compose(compose) = config.source else {
        panic!("{:?}", config.source)
    };
    let files = [".devcontainer/a.yml", "b.yml"].map(PathBuf::from);
    assert_eq!(compose.files, files);
    assert_eq!(
        (compose.service.as_deref(), &*compose.run),
        (Some("s"), &["db".to_owned()][..])
    );
    assert_eq!(json!(compose.features.unwrap().options), json!({"./f": {}}));
    assert_eq!(
        Value::Object(config.container.properties),
        json!({
            "dockerComposeFile": ["a.yml", "../b.yml"], "service": "s",
            "runServices": ["db"], "containerEnv": {"DIR": "/"},
        })
    );
}

#[test]
fn what_no_property_can_be_is_refused_by_its_name() {
    for (properties, expected) in [
        (json!({"image": []}), "image must be a text"),
        (
            json!({"build": {"dockerfile": {}}}),
            "dockerfile must be a text",
        ),
        (
            json!({"image": "${localEnv}"}),
            "names no environment variable",
        ),
        (
            json!({"dockerFile": "/etc/passwd"}),
            "dockerFile \"/etc/passwd\" leads out of the repository",
        ),
        (
            json!({"build": {"dockerfile": "D", "context": "../.."}}),
            "context \"../..\" leads out",
        ),
    ] {
        let error = read(properties).unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn a_text_is_repaired_as_the_cli_does_and_the_repair_is_told() {
    let path = Path::new(".devcontainer.json");
    let config =
        DevcontainerConfig::parse(place(), path, "{\"image\": \"x\"\n \"remoteUser\": \"dev\"")
            .unwrap();
    assert_eq!(config.container.text("remoteUser"), Some("dev"));
    assert_eq!(
        config.repaired.as_deref(),
        Some("line 2: a comma is missing")
    );
    for text in ["", "[]", "// x", "null"] {
        let error = DevcontainerConfig::parse(place(), path, text)
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with(".devcontainer.json: is not a JSON object"),
            "{error}"
        );
    }
}

#[test]
fn an_image_is_no_option_of_a_command() {
    let error = read(json!({"image": "--privileged"})).unwrap_err();
    assert!(error.contains("cannot be the name of an image"), "{error}");
}
