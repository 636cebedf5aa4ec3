//! Builds pairs and counts what BuildKit and hearth say of them.

use std::{collections::BTreeMap, fmt::Write as _};

use hearth_agent::key::{KeyError, KeyReading};

use super::{edits::Edit, nasty::Family, random::Random};
use crate::{
    engine::{Build, Engine},
    judge::{Twice, Verdict, is_fetched, verdict},
    named::{Cause, misnamed},
    tree::Tree,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    Realistic,
    Nasty,
}

/// What was found.
#[derive(Default)]
pub struct Report {
    counts: BTreeMap<(Class, Verdict), usize>,
    /// Edited so that they cannot be built, or no key can be read before and after.
    invalid: usize,
    lax: Vec<String>,
    careful: Vec<String>,
    explained: usize,
    misnamed: Vec<String>,
}

type Key = Result<KeyReading, KeyError>;

/// Most of the realistic edits that may be built without need, in percent.
const MAX_CAREFUL: usize = 5;

impl Report {
    fn add(&mut self, class: Class, verdict: Verdict) {
        *self.counts.entry((class, verdict)).or_default() += 1;
    }

    fn count(&self, class: Class, verdict: Verdict) -> usize {
        self.counts
            .get(&(class, verdict))
            .copied()
            .unwrap_or_default()
    }

    fn total(&self, class: Class) -> usize {
        let counts = self.counts.iter().filter(|((of, _), _)| *of == class);
        counts.map(|(_, count)| count).sum()
    }

    pub fn print(&self) {
        for class in [Class::Realistic, Class::Nasty] {
            eprintln!(
                "{class:?}: {} pairs: {} agree, {} too lax, {} too careful, {} never cached by BuildKit",
                self.total(class),
                self.count(class, Verdict::Agree),
                self.count(class, Verdict::TooLax),
                self.count(class, Verdict::TooCareful),
                self.count(class, Verdict::NeverCached),
            );
        }
        eprintln!("{} pairs cannot be built", self.invalid);
        eprintln!("too careful: {:#?}", self.careful);
        eprintln!(
            "{} of {} other keys are explained by what was edited",
            self.explained - self.misnamed.len(),
            self.explained
        );
        for misnamed in &self.misnamed {
            eprintln!("not explained: {misnamed}");
        }
    }

    pub fn check(&self, counts_careful: bool) {
        assert!(
            self.lax.is_empty(),
            "BuildKit builds again, and the image would be fetched:\n{}",
            self.lax.join("\n")
        );
        assert!(
            self.misnamed.is_empty(),
            "explained by something else:\n{}",
            self.misnamed.join("\n")
        );
        let (careful, all) = (
            self.count(Class::Realistic, Verdict::TooCareful),
            self.total(Class::Realistic),
        );
        assert!(
            !counts_careful || careful * 100 <= all * MAX_CAREFUL,
            "{careful} of {all} realistic edits are built without need"
        );
    }
}

/// A tree that was looked at.
struct Seen {
    key: Key,
    twice: Twice,
}

fn checked_out<T>(tree: &Tree, then: impl FnOnce(&std::path::Path) -> T) -> T {
    let folder = tempfile::tempdir().unwrap();
    let clone = folder.path().join("clone");
    tree.check_out(&clone);
    then(&clone)
}

fn seen(engine: &Engine, tree: &Tree) -> Result<Seen, String> {
    let (key, first) = once(engine, tree)?;
    // Elsewhere, so that the engine has to look at everything again.
    let again = checked_out(tree, |clone| tree.build(engine, clone))?;
    Ok(Seen {
        key,
        twice: Twice { first, again },
    })
}

fn once(engine: &Engine, tree: &Tree) -> Result<(Key, Build), String> {
    checked_out(tree, |clone| {
        let build = tree.build(engine, clone)?;
        Ok((tree.key(engine, clone), build))
    })
}

/// Judges the edits of one tree.
pub fn edited(
    engine: &Engine,
    report: &mut Report,
    class: Class,
    name: &str,
    tree: &Tree,
    edits: Vec<Edit>,
) {
    engine.forget();
    let before = match seen(engine, tree) {
        Ok(before) => before,
        Err(_) if class == Class::Nasty => {
            report.invalid += edits.len();
            return;
        }
        Err(why) => panic!("{name}: {why}\n{tree}"),
    };
    for edit in edits {
        let Ok((key, after)) = once(engine, &edit.tree) else {
            report.invalid += 1;
            continue;
        };
        let pair = Pair {
            name: format!("{name}: {}", edit.name),
            class,
            trees: [tree, &edit.tree],
            keys: [&before.key, &key],
        };
        pair.judge(engine, report, &before.twice, &after);
        if class == Class::Realistic {
            pair.explain(report, &edit.cause);
        }
    }
}

/// Judges all pairs of a family. Only those of one key are built again: the others are told apart.
pub fn family(engine: &Engine, report: &mut Report, family: Family) {
    engine.forget();
    let mut members: Vec<(&str, &Tree, Key, Build, Option<Twice>)> = Vec::new();
    for (name, tree) in &family.trees {
        let (key, after) = match once(engine, tree) {
            Ok(built) => built,
            Err(why) => {
                if is_shown() {
                    let why: Vec<&str> = why.lines().rev().take(2).collect();
                    eprintln!("{}: {name} cannot be built: {why:?}", family.name);
                }
                report.invalid += 1;
                continue;
            }
        };
        for (other, earlier, before, first, twice) in &mut members {
            if !is_fetched(before, &key) {
                report.add(Class::Nasty, Verdict::Agree);
                continue;
            }
            let twice = twice.get_or_insert_with(|| Twice {
                first: first.clone(),
                again: once(engine, earlier).unwrap().1,
            });
            let pair = Pair {
                name: format!("{}: {other} / {name}", family.name),
                class: Class::Nasty,
                trees: [earlier, tree],
                keys: [before, &key],
            };
            pair.judge(engine, report, twice, &after);
        }
        members.push((name, tree, key, after, None));
    }
}

/// Whether to tell more.
fn is_shown() -> bool {
    std::env::var_os("HEARTH_PAIRS_SHOW").is_some()
}

struct Pair<'a> {
    name: String,
    class: Class,
    trees: [&'a Tree; 2],
    keys: [&'a Key; 2],
}

impl Pair<'_> {
    fn judge(&self, engine: &Engine, report: &mut Report, before: &Twice, after: &Build) {
        let fetched = is_fetched(self.keys[0], self.keys[1]);
        let mut found = verdict(before, after, fetched);
        let doubtful = match self.class {
            Class::Realistic => found != Verdict::Agree,
            Class::Nasty => found == Verdict::TooLax,
        };
        if doubtful {
            // Builds of other pairs may have left something in the cache.
            engine.forget();
            let [one, other] = self.trees;
            let before = seen(engine, one).unwrap();
            let (_, after) = once(engine, other).unwrap();
            found = verdict(&before.twice, &after, fetched);
            if found == Verdict::TooLax {
                let told = self.told(&after);
                eprintln!("{told}");
                report.lax.push(told);
            }
        }
        if found == Verdict::TooCareful && self.class == Class::Realistic {
            report.careful.push(self.name.clone());
            if is_shown() {
                eprintln!("too careful: {}\n{}", self.name, self.manifests());
            }
        }
        report.add(self.class, found);
    }

    /// Where the keys differ, what is told has to be what was edited.
    fn explain(&self, report: &mut Report, cause: &Cause) {
        let [Ok(before), Ok(after)] = self.keys else {
            return;
        };
        let (before, after) = (&before.manifest, &after.manifest);
        if before.key() == after.key() {
            return;
        }
        report.explained += 1;
        if let Some(told) = misnamed(cause, before, after) {
            report.misnamed.push(format!("{}: {told}", self.name));
        }
    }

    fn manifests(&self) -> String {
        let mut text = String::new();
        for key in self.keys {
            let _ = match key {
                Ok(key) => writeln!(
                    text,
                    "{} unpinned {:?} careful {:?}",
                    key.manifest.canonical_json(),
                    key.unpinned,
                    key.careful
                ),
                Err(error) => writeln!(text, "no key: {error}"),
            };
        }
        text
    }

    /// Both trees and both manifests.
    fn told(&self, after: &Build) -> String {
        let [one, other] = self.trees;
        format!(
            "too lax: {}\n{one}\nand\n{other}\n{}\n{:?}\n{}",
            self.name,
            self.manifests(),
            after.ran,
            after.log
        )
    }
}

/// Families with about `count` pairs altogether: some trees of each.
pub fn choose(mut families: Vec<Family>, count: usize, random: &mut Random) -> Vec<Family> {
    let all: usize = families.iter().map(Family::pairs).sum();
    // Pairs grow with the square of the trees.
    let rest = (count * 10_000 / all.max(1)).min(10_000).isqrt();
    let mut order: Vec<Family> = Vec::new();
    while !families.is_empty() {
        order.push(families.remove(random.below(families.len())));
    }
    let mut left = count;
    order.retain_mut(|family| {
        let size = (family.trees.len() * rest / 100).max(2);
        family.trees = random.some(std::mem::take(&mut family.trees), size);
        let is_left = left > 0;
        left = left.saturating_sub(family.pairs());
        is_left
    });
    order
}
