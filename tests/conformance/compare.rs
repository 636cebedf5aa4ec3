//! Two runs of a fixture beside each other.

use std::collections::BTreeSet;

use crate::{
    fixture::Fixture,
    observe::Observed,
    rules::{Difference, RULES, Rule},
};

/// Panics where hearth's workspace differs from the plain CLI's in what no rule of the fixture explains, and where a
/// difference that the fixture is to show is not there.
#[track_caller]
pub fn assert_alike(fixture: &Fixture, run: &str, cli: &Observed, hearth: &Observed) {
    let applies =
        |rule: &&Rule| rule.everywhere || fixture.differs.iter().any(|name| name == rule.name);
    let rules: Vec<_> = RULES.iter().filter(applies).collect();
    let mut shown = BTreeSet::new();
    let mut faults = Vec::new();
    let names: BTreeSet<_> = cli.keys().chain(hearth.keys()).collect();
    for name in names {
        let [cli, hearth] = [cli, hearth].map(|seen| seen.get(name).map_or("", String::as_str));
        if cli == hearth {
            continue;
        }
        let difference = Difference { name, cli, hearth };
        match rules.iter().find(|rule| (rule.explains)(&difference)) {
            Some(rule) => {
                shown.insert(rule.name);
            }
            None => faults.push(format!("{name}\n      CLI: {cli}\n   hearth: {hearth}")),
        }
    }
    for rule in rules.iter().filter(|rule| !shown.contains(rule.name)) {
        faults.push(format!("{}: the difference does not show", rule.name));
    }
    assert!(
        faults.is_empty(),
        "{}, {run}: {} of {} things differ, and no rule of the fixture explains it\n{}",
        fixture.name,
        faults.len(),
        cli.len(),
        faults.join("\n")
    );
}
