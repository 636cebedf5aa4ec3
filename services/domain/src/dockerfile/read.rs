//! Plans the build of a Dockerfile, and writes down what is carried out.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    canonical::{Arguments, Step, Word, is_about_image},
    follow::{MAX_INSTRUCTIONS, Planner},
    lines::{self, DockerfileError, Instruction},
    plan::{BuildOptions, BuildPlan, ImageFacts},
    stages::{self, Stage},
    variables::{self, Globals},
    words,
};

/// Build arguments that have an effect without being declared.
const ALWAYS: [&str; 5] = [
    "SOURCE_DATE_EPOCH",
    "BUILDKIT_SYNTAX",
    "BUILDKIT_CONTEXT_KEEP_GIT_DIR",
    "BUILDKIT_SANDBOX_HOSTNAME",
    "BUILDKIT_MULTI_PLATFORM",
];

/// Stages are followed by recursion. No real Dockerfile has nearly as many.
const MAX_STAGES: usize = 200;
/// The same of variables that instructions set.
const MAX_VARIABLES: usize = 2_000;
/// The same of paths, images and downloads, each of which is looked for.
const MAX_ORIGINS: usize = 1_000;
/// The same of their names together, in bytes: those of images and downloads are in the key's manifest.
const MAX_NAMES: usize = 256 * 1024;

/// Plans the build of a Dockerfile. `facts` are those of base images by name; `None` for an image whose configuration
/// cannot be read.
pub fn plan(
    text: &str,
    options: &BuildOptions<'_>,
    facts: &BTreeMap<String, Option<ImageFacts>>,
) -> Result<BuildPlan, DockerfileError> {
    let lines = lines::parse(text)?;
    let malformed = DockerfileError {
        line: 1,
        why: "no FROM, or a malformed one",
    };
    let (globals, stages) = stages::split(&lines).ok_or(malformed)?;
    let too_large = |why| Err(DockerfileError { line: 1, why });
    if stages.len() > MAX_STAGES {
        return too_large("too large: more stages than are followed");
    }
    if lines.instructions.len() > MAX_INSTRUCTIONS {
        return too_large("too large: more instructions than are followed");
    }
    if variables::count(&lines) > MAX_VARIABLES {
        return too_large("too large: more variables than are followed");
    }
    let target = match options.target {
        None => stages.len() - 1,
        Some(name) => stages::named(&stages, name).ok_or(DockerfileError {
            line: 1,
            why: "the target stage does not exist",
        })?,
    };
    let predefined = variables::predefined(options.platform, options.target);
    let mut planner = Planner {
        global: Globals::new(globals, lines.escape, options.args, predefined),
        lines: &lines,
        stages,
        options,
        facts,
        plan: BuildPlan {
            frontend: options
                .args
                .get("BUILDKIT_SYNTAX")
                .cloned()
                .or_else(|| lines.syntax.clone()),
            ..BuildPlan::default()
        },
        reached: BTreeMap::new(),
        steps: BTreeMap::new(),
        used: ALWAYS.map(str::to_owned).into(),
        is_plain: true,
    };
    planner.reach(target);
    if !is_bounded(&planner.plan) {
        return too_large("too large: more paths, images and downloads than are followed");
    }
    planner.write(globals, target);
    Ok(planner.plan)
}

impl Planner<'_> {
    /// Writes down what is executed: directives, the global ARGs where their values are not known, the stages in their order.
    fn write(&mut self, globals: &[Instruction], target: usize) {
        let escape = self.lines.escape;
        let order: Vec<usize> = self.reached.keys().copied().collect();
        let number = |stage: usize| order.binary_search(&stage).unwrap_or_default();
        let mut written = Vec::new();
        if escape != '\\' {
            written.push(format!("escape={escape}"));
        }
        let mut bases = BTreeMap::new();
        for &at in &order {
            bases.insert(at, self.begin(at));
        }
        let relevant = self.names_that_stages_begin_with(globals);
        let has_effect = |name: &String| !self.global.is_default(name, self.options.args);
        self.used.extend(relevant.into_iter().filter(has_effect));
        if !self.is_plain {
            self.used.extend(self.options.args.keys().cloned());
            let raw = globals
                .iter()
                .map(|global| Step::of_text("ARG", &global.rest));
            written.extend(raw.map(|step| step.text(number)));
        }
        self.plan.args = self.options.args.clone();
        self.plan.args.retain(|name, _| self.used.contains(name));

        let ancestors = self.ancestors(target);
        for &at in &order {
            written.extend(bases.remove(&at).map(|from| from.text(number)));
            let steps = self.steps.remove(&at).unwrap_or_default();
            let steps = steps.into_iter().filter(|step| match step.keyword() {
                // Where it fires, what it does is a step of its own.
                "ONBUILD" => at == target,
                // Of a stage that files are taken from, nobody sees the image.
                keyword => ancestors.contains(&at) || !is_about_image(keyword),
            });
            written.extend(steps.map(|step| step.text(number)));
        }
        written.push(format!("target={}", number(target)));
        self.plan.instructions = written;
    }

    /// The stages that a stage is built upon, and itself.
    fn ancestors(&self, target: usize) -> BTreeSet<usize> {
        let above = |at: &usize| {
            let base = words::expand(
                self.stages[*at].base,
                &self.global.values,
                self.lines.escape,
            );
            stages::before(&self.stages, *at, &base.ok()?)
        };
        std::iter::successors(Some(target), above).collect()
    }

    /// The FROM of a stage.
    fn begin(&mut self, at: usize) -> Step {
        let escape = self.lines.escape;
        let Stage { from, base, .. } = &self.stages[at];
        let known = |text: &str| words::expand(text, &self.global.values, escape).ok();
        let flags: Option<Vec<String>> = from.flags.iter().map(|flag| known(flag)).collect();
        // The platform that is built for is the one without the flag.
        let own = format!("--platform={}", self.options.platform);
        let flags = flags.map(|flags| flags.into_iter().filter(|flag| *flag != own).collect());
        let (Some(base), Some(flags)) = (known(base), flags) else {
            self.is_plain = false;
            let text = Arguments::Text(from.rest.clone());
            return Step::of_from(text, None, from.flags.clone());
        };
        let stage = stages::before(&self.stages, at, &base);
        // Images stand here by their number: another one is named by its own input.
        let image = self.plan.images.iter().position(|image| *image == base);
        let base = match (stage, image) {
            (Some(_), _) => Word::Unset(()),
            (None, Some(number)) => Word::Known(format!("#{number}")),
            (None, None) => Word::Known(base),
        };
        Step::of_from(Arguments::Words(vec![base]), stage, flags)
    }

    /// Arguments by which stages find what they begin with.
    fn names_that_stages_begin_with(&self, globals: &[Instruction]) -> BTreeSet<String> {
        let mut names = BTreeSet::new();
        for &at in self.reached.keys() {
            let Stage { from, base, .. } = &self.stages[at];
            for text in from.flags.iter().map(String::as_str).chain([*base]) {
                names.extend(words::references(text).map(str::to_owned));
            }
        }
        // Backwards, so that the names in a default are met before their own ARGs.
        for instruction in globals.iter().rev() {
            let declared = variables::declared(instruction, self.lines.escape);
            if declared.iter().any(|name| names.contains(name)) {
                names.extend(words::references(&instruction.rest).map(str::to_owned));
            }
        }
        names
    }
}

/// Whether the names of what the build takes are few and short enough to be looked for.
fn is_bounded(plan: &BuildPlan) -> bool {
    let paths = plan.context.iter().map(|source| &source.path);
    let names = paths.chain(&plan.images).chain(plan.remotes.keys());
    let pins = plan.remotes.values().flatten();
    let bytes: usize = names.clone().chain(pins).map(String::len).sum();
    names.count() <= MAX_ORIGINS && bytes <= MAX_NAMES
}
