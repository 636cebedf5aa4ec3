//! A fixture is a text: what it shows, what is expected, and the files of a repository.
//!
//! ```text
//! # What it shows, for people.
//! cache: skipped
//! differs: volume-names
//! -- .devcontainer/devcontainer.json --
//! { "image": "@BASE@" }
//! -- image labelled --
//! FROM @BASE@
//! -- setup --
//! ln -s here there
//! ```
//!
//! `@BASE@` is the image in `base`, `@labelled@` one that the fixture makes, `@GIT@` where its other repositories are. `setup`
//! is a script that runs in the repository before its only commit; what it says of itself with `git` is committed as it is.

use std::path::PathBuf;

use hearth_api::v1::{CacheResult, FailureReason};
use hearth_tests::process::checkout;

/// What becomes of a workspace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// `up` succeeds, and the workspace is READY.
    Ready,
    /// `up` fails, and the workspace is in RECOVERY for this reason.
    Recovery(FailureReason),
    /// `up` fails where hearth has a workspace that is READY. Such a fixture names the difference.
    ReadyByHearthAlone,
}

/// A fixture.
#[derive(Debug)]
pub struct Fixture {
    pub name: String,
    pub outcome: Outcome,
    /// What the cache comes to on the second node.
    pub cache: CacheResult,
    /// Names of the rules that the fixture shows.
    pub differs: Vec<String>,
    /// What warnings say; a workspace that is READY has no others.
    pub warns: Vec<String>,
    /// The name of the configuration that is asked for.
    pub config: Option<String>,
    /// User and group of the developer on the machine where the plain CLI runs.
    pub developer: u32,
    pub files: Vec<(String, String)>,
    /// Images besides the base image, by their Dockerfiles.
    pub images: Vec<(String, String)>,
    pub setup: Option<String>,
}

/// The folder of all fixtures.
pub fn folder() -> PathBuf {
    checkout().join("tests/conformance/fixtures")
}

impl Fixture {
    /// Reads a fixture by its name.
    pub fn read(name: &str) -> Self {
        let path = folder().join(format!("{name}.txt"));
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{name}: {error}"));
        Self::parse(name, &text)
    }

    fn parse(name: &str, text: &str) -> Self {
        let mut fixture = Self {
            name: name.to_owned(),
            outcome: Outcome::Ready,
            cache: CacheResult::Exact,
            differs: Vec::new(),
            warns: Vec::new(),
            config: None,
            developer: 1000,
            files: Vec::new(),
            images: Vec::new(),
            setup: None,
        };
        let mut sections = text.split("\n-- ");
        for line in sections.next().expect("a head").lines() {
            if !line.starts_with('#') && !line.is_empty() {
                fixture.expect(line);
            }
        }
        for section in sections {
            let (title, body) = section.split_once(" --\n").unwrap_or_else(|| {
                panic!("{name}: a section without \" --\" behind its title: {section}")
            });
            let body = format!("{}\n", body.strip_suffix('\n').unwrap_or(body));
            if title == "setup" {
                fixture.setup = Some(body);
            } else if let Some(image) = title.strip_prefix("image ") {
                fixture.images.push((image.to_owned(), body));
            } else {
                fixture.files.push((title.to_owned(), body));
            }
        }
        fixture
    }

    fn expect(&mut self, line: &str) {
        let fault = || -> ! { panic!("{}: no expectation: {line}", self.name) };
        let Some((key, value)) = line.split_once(": ") else {
            fault()
        };
        match (key, value) {
            ("outcome", "ready by hearth alone") => self.outcome = Outcome::ReadyByHearthAlone,
            ("recovery", reason) => {
                let reason = FailureReason::from_str_name(&format!("FAILURE_REASON_{reason}"));
                self.outcome = Outcome::Recovery(reason.unwrap_or_else(|| fault()));
            }
            ("cache", result) => {
                let name = format!("CACHE_RESULT_{}", result.to_uppercase());
                self.cache = CacheResult::from_str_name(&name).unwrap_or_else(|| fault());
            }
            ("differs", rule) => self.differs.push(rule.to_owned()),
            ("warns", text) => self.warns.push(text.to_owned()),
            ("config", name) => self.config = Some(name.to_owned()),
            ("developer", id) => self.developer = id.parse().unwrap_or_else(|_| fault()),
            _ => fault(),
        }
    }
}
