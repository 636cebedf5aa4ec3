//! Which file uses which, by what names.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use crate::{
    module_tree::{ModuleId, ModuleTree},
    paths::{Import, Name},
    resolve::{Target, resolve},
};

/// From who uses to who is used: the names that tie them.
pub type Arrows<T> = BTreeMap<(T, T), BTreeSet<String>>;

/// The arrows between modules of a package.
pub fn between_modules(tree: &ModuleTree) -> Arrows<ModuleId> {
    let mut arrows = Arrows::new();
    for (from, module) in tree.modules.iter().enumerate() {
        let imported = module
            .imports
            .iter()
            .filter(|import| !hands_on(tree, from, import))
            .map(|import| import.path.as_slice());
        let named = module.paths.iter().map(Vec::as_slice);
        for path in imported.chain(named) {
            // A module alone is a shorter way to name what is in it, and no use of anything.
            if let Some(Target::Item { module: to, name }) = resolve(tree, from, path)
                && to != from
            {
                arrows.entry((from, to)).or_default().insert(name);
            }
        }
    }
    arrows
}

/// Whether an import makes a name of a module below known here. Whether that name is used here as well, paths tell.
fn hands_on(tree: &ModuleTree, module: ModuleId, import: &Import) -> bool {
    import.is_public
        && import.name != Name::Unnamed
        && matches!(
            resolve(tree, module, &import.path),
            Some(Target::Item { module: of, .. }) if tree.is_within(of, module)
        )
}

/// The same arrows between what modules belong to: their files, their rooms.
pub fn between<T: Ord + Clone>(
    arrows: &Arrows<ModuleId>,
    belongs_to: impl Fn(ModuleId) -> T,
) -> Arrows<T> {
    let mut grouped = Arrows::new();
    for ((from, to), names) in arrows {
        let (from, to) = (belongs_to(*from), belongs_to(*to));
        if from != to {
            let known: &mut BTreeSet<String> = grouped.entry((from, to)).or_default();
            known.extend(names.iter().cloned());
        }
    }
    grouped
}

/// The arrows between files.
pub fn between_files<'a>(tree: &'a ModuleTree, arrows: &Arrows<ModuleId>) -> Arrows<&'a Path> {
    between(arrows, |module| tree.modules[module].file.as_path())
}

/// The arrows between rooms: the first-level modules of a library, each with all that is in it.
pub fn between_rooms(tree: &ModuleTree, arrows: &Arrows<ModuleId>) -> Arrows<String> {
    between(arrows, |module| room_of(tree, module))
}

fn room_of(tree: &ModuleTree, module: ModuleId) -> String {
    let mut at = module;
    loop {
        match tree.modules[at].parent {
            None => return format!("({})", tree.modules[at].file.display()),
            Some(parent) if tree.modules[parent].parent.is_none() => {
                let mut rooms = tree.modules[parent].children.iter();
                let room = rooms.find(|(_, id)| **id == at);
                return room.map_or_else(String::new, |(name, _)| name.clone());
            }
            Some(parent) => at = parent,
        }
    }
}

/// Groups whose members reach each other by arrows, each with at least two members.
pub fn circles<T: Ord + Clone>(arrows: &Arrows<T>) -> Vec<BTreeSet<T>> {
    let mut next: BTreeMap<&T, Vec<&T>> = BTreeMap::new();
    for (from, to) in arrows.keys() {
        next.entry(from).or_default().push(to);
    }
    let reach: BTreeMap<&T, BTreeSet<&T>> = next
        .keys()
        .map(|&start| (start, reached_from(&next, start)))
        .collect();
    let mut circles: Vec<BTreeSet<T>> = Vec::new();
    for (&start, reached) in &reach {
        let back = |other: &&T| {
            reach
                .get(other)
                .is_some_and(|reached| reached.contains(start))
        };
        let circle: BTreeSet<T> = reached.iter().copied().filter(back).cloned().collect();
        if circle.len() > 1 && !circles.contains(&circle) {
            circles.push(circle);
        }
    }
    circles
}

fn reached_from<'a, T: Ord>(next: &BTreeMap<&'a T, Vec<&'a T>>, start: &'a T) -> BTreeSet<&'a T> {
    let mut reached = BTreeSet::new();
    let mut ahead = vec![start];
    while let Some(at) = ahead.pop() {
        for &to in next.get(at).into_iter().flatten() {
            if reached.insert(to) {
                ahead.push(to);
            }
        }
    }
    reached
}

/// The arrows within a circle, one a line, with the names that tie its members.
pub fn ties<T: Ord + Clone>(
    arrows: &Arrows<T>,
    circle: &BTreeSet<T>,
    print: impl Fn(&T) -> String,
) -> Vec<String> {
    let within = arrows
        .iter()
        .filter(|((from, to), _)| circle.contains(from) && circle.contains(to));
    within
        .map(|((from, to), names)| {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            format!("{} -> {}: {}", print(from), print(to), names.join(", "))
        })
        .collect()
}
