//! Pairs of repositories that an edit lies between, most of them made by chance.
//!
//! Realistic edits of realistic repositories are also counted for what is built without need. Nasty pairs are those that
//! two readers of a Dockerfile could read in different ways; they only must not be too lax.

mod edits;
mod nasty;
mod random;
mod repositories;
mod run;

use std::collections::BTreeMap;

use hearth_domain::sha256_hex;
use random::Random;
use run::{Class, Report};

use crate::{
    engine::Engine,
    tree::{Node, Tree},
    web::Web,
};

/// So many realistic and so many nasty ones in a run of the gate.
const SHORT: usize = 12;

/// `HEARTH_PAIRS` is how many of each class, `HEARTH_PAIRS_SEED` chooses them and is printed.
#[test]
fn no_edit_makes_a_stale_image_and_few_are_built_without_need() {
    let number = |name: &str| {
        std::env::var(name)
            .ok()
            .map(|text| text.parse::<u64>().expect(name))
    };
    let count = number("HEARTH_PAIRS").map_or(SHORT, |count| usize::try_from(count).unwrap());
    let seed = number("HEARTH_PAIRS_SEED").unwrap_or(if count == SHORT {
        1
    } else {
        u64::from(std::process::id())
    });
    let only = std::env::var("HEARTH_PAIRS_ONLY").unwrap_or_default();
    eprintln!("{count} pairs of each class, HEARTH_PAIRS_SEED={seed}");
    let (engine, web) = (Engine::start("pairs"), Web::start());
    web.publish("tool", TOOL);
    let mut random = Random(seed);
    let mut report = Report::default();

    let mut realistic = Vec::new();
    for (name, tree) in repositories::all() {
        let tree = filled_in(tree, &web);
        let edits = edits::of(&tree, &mut random);
        realistic.extend(edits.into_iter().map(|edit| (name, tree.clone(), edit)));
    }
    realistic.retain(|(name, _, edit)| format!("{name}: {}", edit.name).contains(&only));
    let mut of: BTreeMap<&str, (Tree, Vec<_>)> = BTreeMap::new();
    for (name, tree, edit) in random.some(realistic, count) {
        let (_, edits) = of.entry(name).or_insert((tree, Vec::new()));
        edits.push(edit);
    }
    for (name, (tree, edits)) in of {
        run::edited(&engine, &mut report, Class::Realistic, name, &tree, edits);
    }

    let mut families = nasty::families();
    families.retain(|family| family.name.contains(&only));
    for family in &mut families {
        for (_, tree) in &mut family.trees {
            *tree = filled_in(tree.clone(), &web);
        }
    }
    for family in run::choose(families, count, &mut random) {
        run::family(&engine, &mut report, family);
    }
    let mut seen = nasty::seen();
    seen.retain(|(name, ..)| name.contains(&only));
    for (name, tree, edits) in random.some(seen, count.div_ceil(EDITS)) {
        let tree = filled_in(tree, &web);
        let edits = random.some(edits, EDITS);
        run::edited(&engine, &mut report, Class::Nasty, &name, &tree, edits);
    }
    report.print();
    report.check(only.is_empty() && count > SHORT);
}

/// So many files of a tree are edited.
const EDITS: usize = 16;

/// What the test's web server has.
const TOOL: &str = "tool\n";

fn filled_in(mut tree: Tree, web: &Web) -> Tree {
    for node in tree.nodes.values_mut() {
        if let Node::File(content, _) = node
            && let Ok(text) = std::str::from_utf8(content)
        {
            let text = web.filled_in(text).replace("{sha}", &sha256_hex(TOOL));
            *content = text.into_bytes();
        }
    }
    tree
}
