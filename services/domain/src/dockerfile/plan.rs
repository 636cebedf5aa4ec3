//! What a build depends on.

use std::collections::{BTreeMap, BTreeSet};

use super::sources::ContextSource;

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
