//! Follows a Dockerfile from its target backwards and collects what the build depends on.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    lines::{self, DockerfileError, Instruction, Lines},
    sources::{self, ContextSource, Origin},
    stages::{self, Stage},
    variables::{self, Variables},
    words::{self, Env},
};

/// How the Dockerfile is built.
#[derive(Clone, Copy, Debug)]
pub struct BuildOptions<'a> {
    /// Stage to build; `None` for the last one.
    pub target: Option<&'a str>,
    /// Build arguments.
    pub args: &'a BTreeMap<String, String>,
    /// `os/architecture[/variant]`.
    pub platform: &'a str,
}

/// What a build takes from the configuration of its base image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageFacts {
    /// Environment variables.
    pub environment: BTreeMap<String, String>,
    /// Its ONBUILD instructions, as Dockerfile text.
    pub onbuild: Vec<String>,
}

/// What a build depends on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BuildPlan {
    /// The instructions that are executed, and no others, in canonical form.
    pub instructions: Vec<String>,
    /// Build arguments that have an effect.
    pub args: BTreeMap<String, String>,
    /// Images that stages start from, or that files are copied or mounted from.
    pub images: BTreeSet<String>,
    /// Base images whose [`ImageFacts`] were needed and not given: plan again with them.
    pub missing_facts: BTreeSet<String>,
    /// The frontend that a syntax directive names.
    pub frontend: Option<String>,
    /// Files of the context that the build can see.
    pub context: BTreeSet<ContextSource>,
    /// URLs that are downloaded, with what pins their content, if anything does.
    pub remotes: BTreeMap<String, Option<String>>,
    /// What the build may use and cannot be listed here, in words.
    pub unpinned: BTreeSet<String>,
    /// Why more counts than the build may need, in sentences.
    pub careful: BTreeSet<String>,
}

impl BuildPlan {
    fn is_bounded(&self) -> bool {
        let paths = self.context.iter().map(|source| &source.path);
        let names = paths.chain(&self.images).chain(self.remotes.keys());
        let pins = self.remotes.values().flatten();
        let bytes: usize = names.clone().chain(pins).map(String::len).sum();
        names.count() <= MAX_ORIGINS && bytes <= MAX_NAMES
    }
}

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
/// The same of instructions.
const MAX_INSTRUCTIONS: usize = 10_000;
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
        global: variables::global_args(globals, lines.escape, options.args, predefined),
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
        declared: BTreeSet::new(),
    };
    planner.reach(target);
    if !planner.plan.is_bounded() {
        return too_large("too large: more paths, images and downloads than are followed");
    }
    planner.write(globals, target);
    Ok(planner.plan)
}

struct Planner<'a> {
    lines: &'a Lines,
    stages: Vec<Stage<'a>>,
    global: Env,
    options: &'a BuildOptions<'a>,
    facts: &'a BTreeMap<String, Option<ImageFacts>>,
    plan: BuildPlan,
    /// Stages that the target needs, with the variables that stages built on them see. `None` while a stage is being
    /// followed.
    reached: BTreeMap<usize, Option<Variables>>,
    /// Arguments that reached stages declare.
    declared: BTreeSet<String>,
}

impl<'a> Planner<'a> {
    fn reach(&mut self, at: usize) {
        match self.reached.get(&at) {
            Some(Some(_)) => return,
            Some(None) => {
                // BuildKit refuses a circle.
                return self.whole_context("stages depend on each other in a circle");
            }
            None => {}
        }
        self.reached.insert(at, None);
        let (mut variables, deferred) = self.base_of(at);
        for instruction in &deferred {
            self.follow(instruction, &mut variables);
        }
        for instruction in self.stages[at].body {
            self.follow(instruction, &mut variables);
        }
        self.reached.insert(at, Some(variables.handed_on()));
    }

    /// What a stage gets from its base: variables, and ONBUILD instructions.
    fn base_of(&mut self, at: usize) -> (Variables, Vec<Instruction>) {
        let Ok(base) = words::expand(self.stages[at].base, &self.global, self.lines.escape) else {
            self.whole_context("the name of a base image cannot be resolved");
            return Default::default();
        };
        if base == "scratch" || base.is_empty() {
            return Default::default();
        }
        if let Some(stage) = stages::before(&self.stages, at, &base) {
            self.reach(stage);
            let variables = self.reached.get(&stage).cloned().flatten();
            let deferred = self.stages[stage]
                .body
                .iter()
                .filter(|instruction| instruction.keyword == "ONBUILD")
                .map(|instruction| instruction.deferred(self.lines.escape));
            let deferred: Result<Vec<_>, _> = deferred.collect();
            if deferred.is_err() {
                self.whole_context("an ONBUILD cannot be parsed");
            }
            return (variables.unwrap_or_default(), deferred.unwrap_or_default());
        }
        self.plan.images.insert(base.clone());
        match self.facts.get(&base) {
            None => {
                self.plan.missing_facts.insert(base);
                Default::default()
            }
            Some(None) => {
                self.whole_context(&format!(
                    "{base} may have ONBUILD instructions that could not be read"
                ));
                Default::default()
            }
            Some(Some(facts)) => {
                let deferred: Result<Vec<_>, _> = facts
                    .onbuild
                    .iter()
                    .take(MAX_INSTRUCTIONS)
                    .map(|text| lines::parse(text))
                    .collect();
                if deferred.is_err() || facts.onbuild.len() > MAX_INSTRUCTIONS {
                    self.whole_context(&format!("an ONBUILD of {base} cannot be parsed"));
                }
                let deferred = deferred
                    .unwrap_or_default()
                    .into_iter()
                    .flat_map(|lines| lines.instructions);
                (Variables::of_image(&facts.environment), deferred.collect())
            }
        }
    }

    fn follow(&mut self, instruction: &Instruction, variables: &mut Variables) {
        let escape = self.lines.escape;
        let origins = match instruction.keyword.as_str() {
            "ARG" => {
                let names = variables.arg(instruction, escape, self.options.args, &self.global);
                self.declared.extend(names);
                return;
            }
            "ENV" => return variables.env(instruction, escape),
            "COPY" | "ADD" => sources::of_copy(instruction, &variables.seen, escape),
            "RUN" => sources::of_run(instruction, &variables.seen, escape),
            _ => return,
        };
        for origin in origins {
            match origin {
                Origin::Context(source) => {
                    self.plan.context.insert(source);
                }
                Origin::From(name) => match stages::named(&self.stages, &name) {
                    Some(stage) => self.reach(stage),
                    None if name == "scratch" => {}
                    None => {
                        self.plan.images.insert(name);
                    }
                },
                Origin::Remote(url, pin) => {
                    self.plan.remotes.insert(url, pin);
                }
                Origin::Unknown(why) => self.whole_context(why),
            }
        }
    }

    fn whole_context(&mut self, why: &str) {
        self.plan.context.insert(ContextSource::all());
        self.plan
            .careful
            .insert(format!("The whole build context counts: {why}."));
    }

    /// Writes down what is executed: directives, the global ARGs that have an effect, the stages in their order.
    fn write(&mut self, globals: &[Instruction], target: usize) {
        let escape = self.lines.escape;
        let mut relevant = self.declared.clone();
        for &at in self.reached.keys() {
            let from = self.stages[at].from;
            let texts = from.flags.iter().chain([&from.rest]);
            relevant.extend(
                texts
                    .flat_map(|text| words::references(text))
                    .map(str::to_owned),
            );
        }
        // Backwards, so that the names in a default are relevant before their own ARGs are met.
        let mut kept = Vec::new();
        for instruction in globals.iter().rev() {
            let names = variables::declared(instruction, escape);
            if names.iter().any(|name| relevant.contains(name)) {
                relevant.extend(words::references(&instruction.rest).map(str::to_owned));
                kept.push(instruction);
            }
        }
        relevant.extend(ALWAYS.map(str::to_owned));
        self.plan.args = self.options.args.clone();
        self.plan.args.retain(|name, _| relevant.contains(name));

        let order: Vec<usize> = self.reached.keys().copied().collect();
        let number = |stage: usize| order.binary_search(&stage).unwrap_or_default();
        let mut written = Vec::new();
        if escape != '\\' {
            written.push(format!("escape={escape}"));
        }
        written.extend(
            kept.iter()
                .rev()
                .map(|instruction| canonical(instruction, None)),
        );
        for &at in &order {
            let stage = &self.stages[at];
            let base = words::expand(stage.base, &self.global, escape).unwrap_or_default();
            let base = stages::before(&self.stages, at, &base).map(number);
            written.push(canonical(stage.from, base));
            written.extend(stage.body.iter().map(|instruction| {
                let from = instruction
                    .flag("from")
                    .and_then(|name| stages::named(&self.stages, name));
                canonical(instruction, from.map(number))
            }));
        }
        written.push(format!("target={}", number(target)));
        self.plan.instructions = written;
    }
}

/// One instruction as JSON, with the number of the stage that it refers to.
fn canonical(instruction: &Instruction, stage: Option<usize>) -> String {
    // Strings, lists of strings and numbers always serialise.
    serde_json::to_string(&(instruction, stage)).unwrap_or_default()
}
