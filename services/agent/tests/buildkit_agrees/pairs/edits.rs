//! Edits as people make them.

mod configuration;
mod dockerfile;
mod files;

use super::random::Random;
use crate::{named::Cause, tree::Tree};

pub struct Edit {
    pub name: String,
    pub cause: Cause,
    pub tree: Tree,
}

/// The edits of a tree, each made at a few places.
pub fn of(tree: &Tree, random: &mut Random) -> Vec<Edit> {
    let mut all = files::of(tree, random);
    all.extend(files::ignored(tree));
    all.extend(files::history(tree));
    all.extend(dockerfile::of(tree, random));
    all.extend(configuration::of(tree));
    all.retain(|edit| edit.tree != *tree);
    all
}
