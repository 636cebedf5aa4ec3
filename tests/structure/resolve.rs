//! Where a name is defined, however many `pub use` lie between.

use std::collections::BTreeSet;

use crate::{
    module_tree::{ModuleId, ModuleTree},
    paths::Name,
};

/// What a path leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A module, and nothing in it.
    Module(ModuleId),
    /// An item.
    Item {
        /// The module that defines it.
        module: ModuleId,
        /// Its name there.
        name: String,
    },
    /// What another crate defines.
    Elsewhere,
}

/// What has been asked on the way: imports may lead back to themselves.
type Asked = BTreeSet<(ModuleId, String)>;

/// Follows a path that stands in a module; `None` where no module has its first name: it is a
/// local one, or another crate's.
pub fn resolve(tree: &ModuleTree, from: ModuleId, path: &[String]) -> Option<Target> {
    follow(tree, from, path, &mut Asked::new())
}

fn follow(tree: &ModuleTree, from: ModuleId, path: &[String], asked: &mut Asked) -> Option<Target> {
    let (mut at, mut rest) = start(tree, from, path)?;
    // A name that no module defines is made by a macro, where the path says so by itself.
    let is_certain = rest.len() < path.len();
    while let Some((name, after)) = rest.split_first() {
        match look_up(tree, at, name, after.is_empty(), asked) {
            Some(Target::Module(module)) => at = module,
            Some(found) => return Some(found),
            None if is_certain || at != from => {
                let name = name.clone();
                return Some(Target::Item { module: at, name });
            }
            None => return None,
        }
        rest = after;
    }
    Some(Target::Module(at))
}

/// The module at which a path begins, and the segments after that.
fn start<'a>(
    tree: &ModuleTree,
    from: ModuleId,
    path: &'a [String],
) -> Option<(ModuleId, &'a [String])> {
    let (head, mut rest) = path.split_first()?;
    match head.as_str() {
        "crate" => return Some((tree.root_of(from), rest)),
        "self" if !rest.is_empty() => return Some((from, rest)),
        "super" => {}
        _ => return Some((from, path)),
    }
    let mut at = tree.modules[from].parent?;
    while let Some(("super", after)) = rest
        .split_first()
        .map(|(word, after)| (word.as_str(), after))
    {
        (at, rest) = (tree.modules[at].parent?, after);
    }
    Some((at, rest))
}

/// A name in a module. The last name of a path is rather an item, one before it rather a module.
fn look_up(
    tree: &ModuleTree,
    module: ModuleId,
    name: &str,
    is_last: bool,
    asked: &mut Asked,
) -> Option<Target> {
    if !asked.insert((module, name.to_owned())) {
        return None;
    }
    let here = &tree.modules[module];
    let child = here.children.get(name).copied().map(Target::Module);
    let item = here.items.contains(name).then(|| Target::Item {
        module,
        name: name.to_owned(),
    });
    let declared = if is_last {
        item.or(child)
    } else {
        child.or(item)
    };
    let imported = || {
        let mut imports = here.imports.iter();
        let import = imports.find(|import| import.name == Name::Is(name.to_owned()))?;
        follow(tree, module, &import.path, asked).or(Some(Target::Elsewhere))
    };
    declared.or_else(imported).or_else(|| {
        let globs = here
            .imports
            .iter()
            .filter(|import| import.name == Name::All);
        globs
            .into_iter()
            .find_map(|glob| match follow(tree, module, &glob.path, asked)? {
                Target::Module(module) => look_up(tree, module, name, is_last, asked),
                Target::Item { .. } | Target::Elsewhere => None,
            })
    })
}
