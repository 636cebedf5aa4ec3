//! `build.options`: what of it reaches a build. Each option is read once into a [`BuildOption`], or is left out by its name.

use std::{collections::BTreeMap, path::PathBuf};

use hearth_domain::Platform;

use super::{
    build_flags::{self, Rule, Written},
    build_option::{BuildOption, LeftOut},
    build_values::{context, secret, ssh},
    clone_path::SeenFrom,
};
use crate::policy::{Allowed, Door};

/// What the options say.
#[derive(Debug, Default)]
pub(super) struct Options {
    pub options: Vec<BuildOption>,
    pub left_out: Vec<LeftOut>,
    pub target: Option<String>,
    pub dockerfile: Option<PathBuf>,
}

impl Options {
    /// Reads the words of the property. Build arguments go to `args`: docker takes the last value of each, and options come
    /// after the arguments. Paths are seen from the workspace's folder.
    pub fn read(
        words: Vec<String>,
        seen: SeenFrom<'_>,
        args: &mut BTreeMap<String, String>,
    ) -> Self {
        let mut options = Self::default();
        for Written { flag, value } in build_flags::read(words) {
            let (name, decided) = match (flag, value) {
                (Err(name), _) if name.starts_with('-') && name != "-" && name != "--" => {
                    let why = "hearth knows no such option, and passes on only what it knows";
                    (name, Err((why.to_owned(), true)))
                }
                (Err(word), _) => {
                    let why = "it belongs to no option".to_owned();
                    (format!("{word:?}"), Err((why, true)))
                }
                (Ok(flag), None) => {
                    let why = "its value is missing".to_owned();
                    (flag.name.to_owned(), Err((why, true)))
                }
                (Ok(flag), Some(value)) if flag.takes_value => {
                    let decided = options.take(flag, value, seen, args);
                    (flag.name.to_owned(), decided)
                }
                (Ok(flag), Some(value)) => (flag.name.to_owned(), options.switch(flag, &value)),
            };
            if let Err((why, shapes)) = decided {
                let name: String = name.chars().take(60).collect();
                options.left_out.push(LeftOut {
                    what: format!("the build option {name}"),
                    why,
                    shapes,
                });
            }
        }
        options
    }

    /// An option without a value.
    fn switch(&mut self, flag: &build_flags::Flag, value: &str) -> Result<(), (String, bool)> {
        // The texts that Go takes for a boolean value.
        match value {
            "1" | "t" | "T" | "TRUE" | "true" | "True" => {}
            "0" | "f" | "F" | "FALSE" | "false" | "False" => return Ok(()),
            _ => return Err(("its value is neither true nor false".to_owned(), true)),
        }
        match flag.rule {
            Rule::Refuse { why, shapes } => return Err((why.to_owned(), shapes)),
            Rule::Pass => self.plain(flag.name.to_owned()),
            _ => {}
        }
        Ok(())
    }

    fn take(
        &mut self,
        flag: &build_flags::Flag,
        value: String,
        seen: SeenFrom<'_>,
        args: &mut BTreeMap<String, String>,
    ) -> Result<(), (String, bool)> {
        let word = || format!("{}={value}", flag.name);
        let shaping = |why: String| (why, true);
        if value.contains('\0') {
            return Err(shaping("its value has a character 0".to_owned()));
        }
        match flag.rule {
            Rule::Ignore => {}
            Rule::Refuse { why, shapes } => return Err((why.to_owned(), shapes)),
            Rule::Pass => self.plain(word()),
            Rule::Label => {
                let name = value.split('=').next().unwrap_or_default();
                if is_hearths_own(name) {
                    let why = format!("{name} is a label of hearth's own");
                    return Err(shaping(why));
                }
                self.plain(word());
            }
            // Without a value, an argument has that of a variable of docker's environment: on a node, a proxy at most, which
            // BuildKit keeps out of images.
            Rule::BuildArg => {
                if let Some((name, value)) = value.split_once('=') {
                    args.insert(name.to_owned(), value.to_owned());
                }
            }
            Rule::Target => self.target = Some(value).filter(|target| !target.is_empty()),
            Rule::File => {
                let path = seen.path(&value);
                self.dockerfile = Some(path.map_err(|error| shaping(error.to_string()))?);
            }
            Rule::BuildContext => self.options.push(context(&value, seen).map_err(shaping)?),
            Rule::Secret => self.options.push(secret(&value, seen).map_err(shaping)?),
            Rule::Ssh => self.options.push(ssh(&value, seen).map_err(shaping)?),
            Rule::Network => match value.as_str() {
                "" | "default" => {}
                "none" => self.plain(word()),
                "host" => self
                    .options
                    .push(BuildOption::Asks(word(), Door::HostNetwork)),
                _ => {
                    return Err(shaping(
                        "BuildKit has the networks default, none and host".to_owned(),
                    ));
                }
            },
            Rule::Allow => {
                let door = match value.as_str() {
                    "network.host" => Door::HostNetwork,
                    "security.insecure" => Door::Privileged,
                    _ => {
                        return Err(shaping(
                            "hearth knows network.host and security.insecure".to_owned(),
                        ));
                    }
                };
                self.options.push(BuildOption::Asks(word(), door));
            }
            Rule::Platform => self.options.push(BuildOption::Platform(value)),
        }
        Ok(())
    }

    fn plain(&mut self, word: String) {
        self.options.push(BuildOption::Plain(word));
    }
}

/// Labels by which hearth, or the control plane, recognises what is its own.
fn is_hearths_own(label: &str) -> bool {
    label.starts_with("hearth.") || label.starts_with("dev.hearth.")
}

/// Decides what depends on the attempt.
pub(super) fn decide(
    options: &mut Vec<BuildOption>,
    platform: &Platform,
    allowed: &Allowed,
) -> Vec<LeftOut> {
    let mut left_out = Vec::new();
    let mut left = |option: &BuildOption, why: String| {
        left_out.push(LeftOut {
            what: format!("the build option {}", option.name()),
            why,
            shapes: true,
        });
    };
    options.retain_mut(|option| match &*option {
        BuildOption::Asks(word, door) if allowed.is_open(door) => {
            *option = BuildOption::Plain(word.clone());
            true
        }
        BuildOption::Asks(_, door) => {
            let why =
                format!("this node does not open {door} to this ref (--host-access, --open-doors)");
            left(option, why);
            false
        }
        BuildOption::Platform(asked) => {
            if !is_platform(asked, platform) {
                left(option, format!("this node builds for {platform}"));
            }
            false
        }
        _ => true,
    });
    left_out
}

/// Whether `asked` is another name of `platform`, as containerd's package `platforms` reads them.
pub(super) fn is_platform(asked: &str, platform: &Platform) -> bool {
    let plain = |text: &str| {
        let text = text.trim().to_lowercase();
        let text = text
            .replace("x86_64", "amd64")
            .replace("x86-64", "amd64")
            .replace("aarch64", "arm64");
        let text = match text.strip_suffix("arm64/v8") {
            Some(os) => format!("{os}arm64"),
            None => text,
        };
        if text.contains('/') {
            text
        } else {
            format!("linux/{text}")
        }
    };
    plain(asked) == plain(platform.as_str()) || asked == "local"
}

#[cfg(test)]
#[path = "build_options_tests.rs"]
mod tests;
