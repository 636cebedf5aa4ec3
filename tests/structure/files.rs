//! Who touches files by their paths. Code that works with a clone or a volume does so through `clone_files` alone: a path
//! that a repository or a container can write to leads anywhere.

use std::path::Path;

use crate::module_tree::ModuleTree;

/// Where code knows paths of clones and volumes, below the agent's `src`.
const PLACES: [&str; 5] = [
    "pipeline",
    "devcontainer",
    "key",
    "external/git.rs",
    "external/git",
];

/// Files of the agent's own that are touched there, and by what.
const ALLOWED: [(&str, &str); 5] = [
    // What the devcontainer CLI is given, in the attempt's private folder.
    ("pipeline/compose/judge.rs", "std::fs"),
    ("pipeline/container.rs", "tokio::fs"),
    ("pipeline/hook_runner.rs", "tokio::fs"),
    ("pipeline/sources.rs", "tokio::fs"),
    ("pipeline/up.rs", "tokio::fs"),
];

/// Crates and modules that open files.
const BANNED: [&[&str]; 5] = [
    &["std", "fs"],
    &["tokio", "fs"],
    &["rustix", "fs"],
    &["cap_std"],
    &["walkdir"],
];

/// Methods of `std::path::Path` that look at the disk.
const METHODS: [&str; 9] = [
    "canonicalize",
    "exists",
    "is_dir",
    "is_file",
    "is_symlink",
    "read_dir",
    "read_link",
    "symlink_metadata",
    "try_exists",
];

/// What touches files by their paths in places where it must not; `src` is that of the agent.
pub fn by_path(tree: &ModuleTree, src: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for module in &tree.modules {
        let Ok(file) = module.file.strip_prefix(src) else {
            continue;
        };
        if !PLACES.iter().any(|place| file.starts_with(place)) {
            continue;
        }
        let imports = module.imports.iter().map(|import| &import.path);
        let banned = imports.chain(&module.paths).filter_map(|path| {
            let names = |banned: &&&[&str]| path.iter().zip(**banned).all(|(a, b)| a == b);
            let banned = BANNED
                .iter()
                .find(|banned| path.len() >= banned.len() && names(banned))?;
            Some(banned.join("::"))
        });
        let methods = module.methods.iter();
        let methods = methods.filter(|name| METHODS.contains(&name.as_str()));
        let methods = methods.map(|name| format!("Path::{name}"));
        for what in banned.chain(methods) {
            let is_allowed = |(at, by): &(&str, &str)| file == Path::new(at) && what == *by;
            if !ALLOWED.iter().any(is_allowed) {
                found.push(format!("{}: {what}", file.display()));
            }
        }
    }
    found.sort();
    found.dedup();
    found
}
