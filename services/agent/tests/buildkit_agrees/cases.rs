//! The table: small trees, and one change of each.

mod dockerfiles;
mod trees;

use std::collections::BTreeMap;

/// What happens between the builds.
pub enum Change {
    Write(&'static str, &'static str),
    Mode(&'static str, u32),
    Remove(&'static str),
    Folder(&'static str),
    Link(&'static str, &'static str),
    Touch(&'static str),
    Remote(&'static str, &'static str),
    Arg(&'static str, &'static str),
}

pub struct Case {
    pub name: &'static str,
    pub files: &'static [(&'static str, &'static str)],
    pub change: Change,
    /// Done before the first build: what `files` cannot say.
    pub before: Option<Change>,
    pub dockerfile: &'static str,
    pub context: &'static str,
    pub target: Option<&'static str>,
    pub args: &'static [(&'static str, &'static str)],
    /// The image may be built although BuildKit finds everything in its cache.
    pub careful: bool,
}

impl Case {
    pub fn args(&self) -> BTreeMap<String, String> {
        self.args
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    fn careful(mut self) -> Self {
        self.careful = true;
        self
    }

    fn after(mut self, before: Change) -> Self {
        self.before = Some(before);
        self
    }

    fn with_args(mut self, args: &'static [(&'static str, &'static str)]) -> Self {
        self.args = args;
        self
    }

    /// Context and Dockerfile are in the folder `sub`.
    fn in_sub(mut self) -> Self {
        (self.context, self.dockerfile) = ("sub", "sub/Dockerfile");
        self
    }

    fn target(mut self, target: &'static str) -> Self {
        self.target = Some(target);
        self
    }
}

fn case(
    name: &'static str,
    files: &'static [(&'static str, &'static str)],
    change: Change,
) -> Case {
    Case {
        name,
        files,
        change,
        before: None,
        dockerfile: "Dockerfile",
        context: ".",
        target: None,
        args: &[],
        careful: false,
    }
}

pub fn table() -> Vec<Case> {
    let mut all = trees::cases();
    all.extend(dockerfiles::cases());
    all
}
