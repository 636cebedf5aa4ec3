//! The plan for a Dockerfile that cannot be parsed.

use std::collections::BTreeSet;

use super::{BuildOptions, BuildPlan, ContextSource};

/// Most images that are looked for, and the longest name of one. The plan is not a pinned one anyway.
const MAX_IMAGES: usize = 100;
const MAX_NAME_BYTES: usize = 1_024;

/// The plan for a Dockerfile that cannot be parsed, for the reason `why`: its whole text and its whole context count,
/// and every image that a line seems to start from. There may be others, so the plan is not a pinned one.
pub fn plan_blindly(text: &str, options: &BuildOptions<'_>, why: &str) -> BuildPlan {
    let mut stages = BTreeSet::from(["scratch".to_owned()]);
    let mut images = BTreeSet::new();
    for line in text.lines() {
        let mut words = line
            .split_whitespace()
            .filter(|word| !word.starts_with("--"));
        let is_from = words
            .next()
            .is_some_and(|word| word.eq_ignore_ascii_case("from"));
        let Some(base) = words.next().filter(|_| is_from) else {
            continue;
        };
        let is_image = !stages.contains(&base.to_lowercase()) && !base.contains('$');
        if is_image && images.len() < MAX_IMAGES && base.len() <= MAX_NAME_BYTES {
            images.insert(base.to_owned());
        }
        stages.extend(words.next_back().map(str::to_lowercase));
    }
    BuildPlan {
        instructions: vec![text.to_owned()],
        args: options.args.clone(),
        images,
        context: BTreeSet::from([ContextSource::all()]),
        unpinned: BTreeSet::from([format!("images or downloads that cannot be found: {why}")]),
        careful: BTreeSet::from([format!("The whole build context counts: {why}.")]),
        ..BuildPlan::default()
    }
}
