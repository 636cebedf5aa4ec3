//! The structure of the product: imports between its files run one way, files stay short, and packages depend on each
//! other in the direction that ARCHITECTURE.md names. `examples.rs` tests the checks themselves on made-up packages.

#![allow(missing_docs, reason = "tests")]

mod arrows;
mod examples;
mod files;
mod module_tree;
mod packages;
mod paths;
mod resolve;

use std::{fs, path::Path};

use hearth_tests::process::checkout;

use self::{
    arrows::{Arrows, between_files, between_modules, between_rooms, circles, ties},
    module_tree::{ModuleTree, Sources},
};

/// Lines of the longest file of product code.
const MOST_LINES: usize = 400;

/// A package below `services`.
struct Package {
    name: String,
    tree: ModuleTree,
    sources: Sources,
}

/// All packages of the product; paths are those below the checkout.
fn packages() -> Vec<Package> {
    let services = fs::read_dir(checkout().join("services")).expect("services");
    let folders = services.map(|entry| entry.expect("an entry").path());
    let mut packages: Vec<Package> = folders
        .filter(|folder| folder.join("Cargo.toml").is_file())
        .map(|folder| {
            let folder = folder.strip_prefix(checkout()).expect("below the checkout");
            let name = folder.file_name().expect("a name").to_string_lossy();
            let sources = sources(&folder.join("src"));
            Package {
                name: name.into_owned(),
                tree: ModuleTree::of_package(&folder.join("src"), &sources),
                sources,
            }
        })
        .collect();
    packages.sort_by(|a, b| a.name.cmp(&b.name));
    packages
}

fn sources(folder: &Path) -> Sources {
    let mut sources = Sources::new();
    for entry in fs::read_dir(checkout().join(folder)).expect("a folder") {
        let entry = entry.expect("an entry");
        let path = folder.join(entry.file_name());
        if entry.file_type().expect("a type").is_dir() {
            sources.extend(self::sources(&path));
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            let text = fs::read_to_string(entry.path()).expect("UTF-8");
            sources.insert(path, text);
        }
    }
    sources
}

fn assert_none(what: &str, found: &[String]) {
    assert!(found.is_empty(), "{what}:\n{}", found.join("\n"));
}

/// Each circle among things of a package, with what ties its members.
fn report<T: Ord + Clone>(
    package: &str,
    arrows: &Arrows<T>,
    print: fn(&T) -> String,
) -> Vec<String> {
    let mut lines = Vec::new();
    for circle in circles(arrows) {
        lines.push(format!("{package}, a circle of {}:", circle.len()));
        let ties = ties(arrows, &circle, print);
        lines.extend(ties.iter().map(|tie| format!("  {tie}")));
    }
    lines
}

#[test]
fn no_files_of_a_package_use_each_other_in_a_circle() {
    let mut found = Vec::new();
    for package in packages() {
        let arrows = between_modules(&package.tree);
        let files = between_files(&package.tree, &arrows);
        found.extend(report(&package.name, &files, |file| {
            file.display().to_string()
        }));
    }
    assert_none("files use each other in circles", &found);
}

/// The order is not written down anywhere: there is one as long as no rooms use each other in a circle.
#[test]
fn the_rooms_of_a_package_have_an_order_in_which_none_uses_one_above_it() {
    let mut found = Vec::new();
    for package in packages() {
        let arrows = between_modules(&package.tree);
        let rooms = between_rooms(&package.tree, &arrows);
        found.extend(report(&package.name, &rooms, String::clone));
    }
    assert_none("first-level modules use each other in circles", &found);
}

#[test]
fn no_file_of_product_code_is_longer_than_400_lines() {
    let mut found = Vec::new();
    for package in packages() {
        for file in package.tree.files() {
            let lines = package.sources[file].lines().count();
            if lines > MOST_LINES {
                found.push(format!("{}: {lines} lines", file.display()));
            }
        }
    }
    assert_none("these files are too long", &found);
}

#[test]
fn the_files_of_a_clone_are_touched_through_one_module() {
    let packages = packages();
    let agent = packages.iter().find(|package| package.name == "agent");
    let agent = agent.expect("the agent");
    let found = files::by_path(&agent.tree, Path::new("services/agent/src"));
    assert_none("use clone_files, or say in files.rs why not", &found);
}

#[test]
fn packages_depend_only_on_those_below_them() {
    let dependencies = packages::of_workspace(checkout());
    let wrong = packages::wrong_directions(&dependencies, &packages::LEVELS);
    assert_none("dependencies run upwards", &wrong);
}

#[test]
fn no_binary_contains_a_client_that_is_another_services() {
    let mut found = Vec::new();
    for (package, banned) in packages::BANNED {
        let contents = packages::contents(checkout(), package);
        let wrong = contents
            .iter()
            .filter(|name| banned.contains(&name.as_str()));
        found.extend(wrong.map(|name| format!("{package} contains {name}")));
    }
    assert_none("these crates have no place there", &found);
}
