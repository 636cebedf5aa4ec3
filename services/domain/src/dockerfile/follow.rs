//! Follows a Dockerfile from its target backwards and collects what the build depends on.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    canonical::{Step, Word},
    lines::{self, Instruction, Lines},
    plan::{BuildOptions, BuildPlan, ImageFacts},
    sources::{self, ContextSource, Origin},
    stages::{self, Stage},
    variables::{Declared, Globals, Variables},
    words,
};

/// More instructions than any real Dockerfile has, or any image defers.
pub(super) const MAX_INSTRUCTIONS: usize = 10_000;

pub(super) struct Planner<'a> {
    pub lines: &'a Lines,
    pub stages: Vec<Stage<'a>>,
    pub global: Globals,
    pub options: &'a BuildOptions<'a>,
    pub facts: &'a BTreeMap<String, Option<ImageFacts>>,
    pub plan: BuildPlan,
    /// Stages that the target needs, with the variables that stages built on them see. `None` while a stage is being
    /// followed.
    pub reached: BTreeMap<usize, Option<Variables>>,
    /// What is carried out in each of them.
    pub steps: BTreeMap<usize, Vec<Step>>,
    /// Arguments without which something would be another thing.
    pub used: BTreeSet<String>,
    /// All values of arguments are known.
    pub is_plain: bool,
}

impl<'a> Planner<'a> {
    pub fn reach(&mut self, at: usize) {
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
        // A trigger counts by what it does here: it may use names and defaults of this Dockerfile.
        for instruction in deferred.iter().chain(self.stages[at].body) {
            let step = match self.follow(instruction, &mut variables) {
                Followed::Declares(names) => self.declaration(instruction, names),
                Followed::Sets(pairs) => Step::of_pairs("ENV", pairs),
                Followed::Other => Step::of(
                    instruction,
                    &variables.seen,
                    self.lines.escape,
                    &self.stages,
                ),
            };
            self.steps.entry(at).or_default().push(step);
        }
        self.reached.insert(at, Some(variables.handed_on()));
    }

    /// An ARG of a stage, with the values that it gives.
    fn declaration(&mut self, instruction: &Instruction, names: Vec<(String, Declared)>) -> Step {
        let mut pairs = Vec::new();
        for (name, value) in names {
            let word = match value {
                Declared::Given => Word::Given {
                    given: name.clone(),
                },
                Declared::Default(value) => Word::Known(value),
                Declared::Nothing => Word::Unset(()),
                Declared::Unknown => {
                    self.is_plain = false;
                    Word::raw(&instruction.rest)
                }
            };
            if matches!(word, Word::Given { .. } | Word::Raw { .. }) {
                self.used.insert(name.clone());
            }
            pairs.push((name, word));
        }
        Step::of_pairs("ARG", pairs)
    }

    /// What a stage gets from its base: variables, and ONBUILD instructions.
    fn base_of(&mut self, at: usize) -> (Variables, Vec<Instruction>) {
        let written = self.stages[at].base;
        let Ok(base) = words::expand(written, &self.global.values, self.lines.escape) else {
            self.opaque("the name of a base image cannot be resolved");
            return Default::default();
        };
        // A stage of this name is taken before the empty image.
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
                self.opaque("an ONBUILD cannot be parsed");
            }
            return (variables.unwrap_or_default(), deferred.unwrap_or_default());
        }
        if base == "scratch" || base.is_empty() {
            return (Variables::of_image(&BTreeMap::new()), Vec::new());
        }
        self.plan.images.insert(base.clone());
        match self.facts.get(&base) {
            None => {
                self.plan.missing_facts.insert(base);
                Default::default()
            }
            Some(None) => {
                self.opaque(&format!(
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
                    self.opaque(&format!("an ONBUILD of {base} cannot be parsed"));
                }
                let deferred = deferred
                    .unwrap_or_default()
                    .into_iter()
                    .flat_map(|lines| lines.instructions);
                (Variables::of_image(&facts.environment), deferred.collect())
            }
        }
    }

    fn follow(&mut self, instruction: &Instruction, variables: &mut Variables) -> Followed {
        let escape = self.lines.escape;
        let origins = match instruction.keyword.as_str() {
            "ARG" => {
                let given = self.options.args;
                return Followed::Declares(variables.arg(instruction, escape, given, &self.global));
            }
            "ENV" => return Followed::Sets(variables.env(instruction, escape)),
            "COPY" | "ADD" => sources::of_copy(instruction, &variables.seen, escape),
            "RUN" => sources::of_run(instruction, &variables.seen, escape),
            _ => return Followed::Other,
        };
        for origin in origins {
            match origin {
                Origin::Context(source) => {
                    self.plan.context.insert(source);
                }
                Origin::From(name) => match stages::named(&self.stages, &name) {
                    Some(stage) => self.reach(stage),
                    None if name == "scratch" => {}
                    None if name.contains('$') => {
                        self.opaque("the name of an image has a variable")
                    }
                    None => {
                        self.plan.images.insert(name);
                    }
                },
                Origin::Remote(url, pin) => {
                    self.plan.remotes.insert(url, pin);
                }
                Origin::Unknown(why) if instruction.keyword == "COPY" => self.whole_context(why),
                Origin::Unknown(why) => self.opaque(why),
            }
        }
        Followed::Other
    }

    /// Something may take files, images and downloads that are not known.
    fn opaque(&mut self, why: &str) {
        self.whole_context(why);
        let what = format!("images or downloads that cannot be found: {why}");
        self.plan.unpinned.insert(what);
    }

    fn whole_context(&mut self, why: &str) {
        self.plan.context.insert(ContextSource::all());
        self.plan
            .careful
            .insert(format!("The whole build context counts: {why}."));
    }
}

/// What an instruction does, beside what it takes.
enum Followed {
    /// It declares arguments.
    Declares(Vec<(String, Declared)>),
    /// It sets variables.
    Sets(Vec<(String, Word)>),
    Other,
}
