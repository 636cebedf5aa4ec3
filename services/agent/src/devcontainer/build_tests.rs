use std::sync::Arc;

use super::*;
use crate::{
    devcontainer::{DevcontainerConfig, Place},
    policy::{HostAccess, Policy},
};

fn read(build: Value) -> Result<Build, String> {
    let place = Place {
        clone: Path::new("/node/app"),
        default_image: "default:1",
    };
    let path = Path::new(".devcontainer/devcontainer.json");
    let mut written = Map::from_iter([("build".to_owned(), build)]);
    written["build"]["dockerfile"] = json!("Dockerfile");
    let config = DevcontainerConfig::new(place, path, written)?;
    match &config.recipe().unwrap().base {
        crate::devcontainer::Base::Dockerfile(build) => Ok(build.clone()),
        other => panic!("{other:?}"),
    }
}

fn left_out(build: &Build) -> Vec<String> {
    build
        .left_out
        .iter()
        .map(|left| left.what.clone())
        .collect()
}

#[test]
fn options_that_are_fields_of_a_build_become_them() {
    let build = read(json!({"args": {"A": 1, "B": "1"}, "target": "one", "options": [
        "--build-arg", "A=2", "--build-arg=C=3=4", "--build-arg", "HTTP_PROXY", "--target=two", "-f", "docker/../other",
        "--platform=linux/amd64", "--no-cache",
    ]}))
    .unwrap();
    assert_eq!(json!(build.args), json!({"A": "2", "B": "1", "C": "3=4"}));
    assert_eq!(build.target.as_deref(), Some("two"));
    assert_eq!(build.dockerfile, Path::new("other"));
    assert_eq!(build.context, Path::new(".devcontainer"));
    let expected = [
        BuildOption::Platform("linux/amd64".to_owned()),
        BuildOption::Plain("--no-cache".to_owned()),
    ];
    assert_eq!(build.options, expected);
    assert_eq!(build.left_out, []);
}

#[test]
fn cache_mounts_are_not_the_repositorys_to_choose_in_any_spelling() {
    let ns = "BUILDKIT_CACHE_MOUNT_NS";
    for build in [
        json!({"args": {ns: "x"}}),
        json!({"args": {format!("{ns}=x"): ""}}),
        json!({"options": ["--build-arg", format!("{ns}=x")]}),
        json!({"options": [format!("--build-arg={ns}=x=y")]}),
    ] {
        let build = read(build).unwrap();
        assert_eq!(build.args, BTreeMap::new());
        assert_eq!(left_out(&build), [format!("the build argument {ns}")]);
    }
}

#[test]
fn no_cache_that_a_repository_names_is_looked_at() {
    for build in [
        json!({"cacheFrom": "a:1"}),
        json!({"cacheFrom": ["type=registry,ref=b", "type=local,src=/"]}),
        json!({"options": ["--cache-from", "a:1"]}),
        json!({"options": ["--cache-from=type=registry,ref=b"]}),
    ] {
        let build = read(build).unwrap();
        assert_eq!(build.options, []);
        assert_eq!(build.left_out.len(), 1);
        assert!(
            !build.left_out[0].shapes,
            "without it the image is the same"
        );
    }
    for nothing in [json!({"cacheFrom": ""}), json!({"cacheFrom": []})] {
        assert_eq!(read(nothing).unwrap().left_out, []);
    }
}

#[test]
fn values_that_no_build_can_have_are_told_before_it() {
    for (build, expected) in [
        (
            json!({"target": "--push"}),
            "build.target \"--push\" cannot be the name of a stage",
        ),
        (json!({"target": "a\nb"}), "cannot be the name of a stage"),
        (
            json!({"args": {"A": "x\u{0}"}}),
            "the build argument A has a character 0",
        ),
        (
            json!({"args": {"A": "x".repeat(130_000)}}),
            "the build argument A has 130001 bytes",
        ),
        (
            json!({"options": [format!("--label=a={}", "x".repeat(130_000))]}),
            "is longer than",
        ),
        (
            json!({"options": vec![format!("--label=a={}", "x".repeat(100_000)); 20]}),
            "have 2000200 bytes",
        ),
    ] {
        let error = read(build).unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
    // These are values like others.
    let args = json!({"A": "--push", "B": "a\nb"});
    assert_eq!(json!(read(json!({"args": args})).unwrap().args), args);
}

#[test]
fn what_is_asked_of_the_node_is_decided_for_each_attempt() {
    let all = json!({"options": ["--network=host", "--allow", "security.insecure", "--platform=amd64", "--platform", "linux/arm64"]});
    let granted = |doors: &[&str]| {
        let mut build = read(all.clone()).unwrap();
        let allowed = Policy {
            host_access: HostAccess::Never,
            open_doors: doors
                .iter()
                .map(|door| door.parse().unwrap())
                .collect::<Arc<[_]>>(),
        }
        .allow(false, None);
        build.grant(&BuildGrant {
            platform: &"linux/amd64".parse().unwrap(),
            allowed: &allowed,
        });
        build
    };
    let closed = granted(&[]);
    assert_eq!(closed.options, []);
    let name = |option: &str| format!("the build option {option}");
    let platform = name("--platform linux/arm64");
    assert_eq!(
        left_out(&closed),
        [
            name("--network=host"),
            name("--allow=security.insecure"),
            platform.clone()
        ]
    );
    assert!(
        closed.left_out[0]
            .why
            .contains("does not open host-network")
    );
    assert!(closed.left_out.iter().all(|left| left.shapes));
    let open = granted(&["host-network"]);
    assert_eq!(
        open.options,
        [BuildOption::Plain("--network=host".to_owned())]
    );
    assert_eq!(
        left_out(&open),
        [name("--allow=security.insecure"), platform]
    );
}
