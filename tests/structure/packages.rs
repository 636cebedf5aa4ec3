//! Which packages of the workspace may depend on which, and what none of their binaries may contain.

use std::{collections::BTreeMap, path::Path, process::Command};

use serde_json::Value;

/// Packages from the ground up. Each may depend on those of lower levels, and on none of its own.
pub const LEVELS: [&[&str]; 4] = [
    &["hearth-api", "hearth-domain"],
    &["hearth-layers", "hearth-runtime", "hearth-signatures"],
    &["hearth-agent", "hearth-cli", "hearth-control-plane"],
    &["hearth-fuzz", "hearth-tests"],
];

/// Crates that a package must not contain, not even by way of another: GitHub's client is for the control plane, the
/// engine's for the agent.
pub const BANNED: [(&str, &[&str]); 3] = [
    ("hearth-agent", &["octocrab", "sqlx"]),
    ("hearth-control-plane", &["bollard"]),
    ("hearth-cli", &["bollard", "octocrab", "sqlx"]),
];

/// What a package needs to be built, by its name: dependencies of tests do not count.
pub type Dependencies = BTreeMap<String, Vec<String>>;

/// Dependencies between the packages of the workspace.
pub fn of_workspace(checkout: &Path) -> Dependencies {
    let text = cargo(checkout, &["metadata", "--no-deps", "--format-version=1"]);
    let metadata: Value = serde_json::from_str(&text).expect("JSON");
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    list(&metadata["packages"])
        .iter()
        .map(|package| {
            let needed = list(&package["dependencies"]);
            let needed = needed.iter().filter(|it| it["kind"] != "dev");
            let names = needed.map(|it| text(&it["name"]));
            let of_workspace = names.filter(|name| name.starts_with("hearth-"));
            (text(&package["name"]), of_workspace.collect())
        })
        .collect()
}

/// What is wrong with dependencies, one sentence each.
pub fn wrong_directions(dependencies: &Dependencies, levels: &[&[&str]]) -> Vec<String> {
    let level = |name: &str| levels.iter().position(|level| level.contains(&name));
    let mut wrong = Vec::new();
    for (package, needed) in dependencies {
        let Some(own) = level(package) else {
            wrong.push(format!("{package} is on no level"));
            continue;
        };
        let upward = needed.iter().filter(|name| level(name) >= Some(own));
        wrong.extend(
            upward.map(|name| format!("{package} depends on {name}, which is not below it")),
        );
    }
    wrong
}

/// The crates that a package contains when it is built alone.
pub fn contents(checkout: &Path, package: &str) -> Vec<String> {
    // Not `cargo metadata`: it gives each crate the features that any package of the workspace wants of it.
    let tree = ["tree", "--edges=normal", "--prefix=none", "--format={p}"];
    let text = cargo(checkout, &[&tree[..], &["--package", package]].concat());
    let names = text.lines().filter_map(|line| line.split(' ').next());
    names.map(str::to_owned).collect()
}

fn cargo(checkout: &Path, arguments: &[&str]) -> String {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(arguments)
        .args(["--locked", "--offline"])
        .current_dir(checkout)
        .output()
        .expect("cargo");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo {arguments:?}: {said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_package_may_depend_on_what_is_below_it_and_on_nothing_else() {
    let levels: [&[&str]; 2] = [&["ground"], &["left", "right"]];
    let dependencies = |list: &[(&str, &[&str])]| -> Dependencies {
        list.iter()
            .map(|(name, needed)| {
                let needed = needed.iter().map(|name| (*name).to_owned());
                ((*name).to_owned(), needed.collect())
            })
            .collect()
    };
    let right = dependencies(&[
        ("ground", &[]),
        ("left", &["ground"]),
        ("right", &["ground"]),
    ]);
    assert_eq!(wrong_directions(&right, &levels), Vec::<String>::new());

    let wrong = dependencies(&[("ground", &["left"]), ("left", &["right"]), ("new", &[])]);
    assert_eq!(
        wrong_directions(&wrong, &levels),
        [
            "ground depends on left, which is not below it",
            "left depends on right, which is not below it",
            "new is on no level",
        ]
    );
}
