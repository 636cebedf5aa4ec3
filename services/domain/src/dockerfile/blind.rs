//! What is left when a Dockerfile is not understood.

use std::collections::BTreeSet;

use super::{BuildOptions, BuildPlan, ContextSource};

/// Plans the build of a Dockerfile that is not understood: all of its text and all of its context count, and every
/// image that a line seems to begin with.
pub fn plan_blindly(text: &str, options: &BuildOptions<'_>, why: &str) -> BuildPlan {
    let images = text.lines().filter_map(|line| {
        let mut words = line
            .split_whitespace()
            .skip_while(|word| word.starts_with("--"));
        words
            .next()
            .filter(|word| word.eq_ignore_ascii_case("from"))?;
        let image = words.find(|word| !word.starts_with("--"))?;
        // A stage's name would be taken for an image.
        (!image.contains('$') && image.contains(['/', ':', '@'])).then(|| image.to_owned())
    });
    BuildPlan {
        instructions: vec![text.to_owned()],
        args: options.args.clone(),
        images: images.collect(),
        context: BTreeSet::from([ContextSource::all()]),
        careful: BTreeSet::from([format!("The whole build context counts: {why}.")]),
        ..BuildPlan::default()
    }
}
