//! Whether `hearth cache explain` names what was changed.

use hearth_domain::{Input, KeyChange, KeyedManifest, changes};

/// What a change touches.
#[derive(Clone, Debug, PartialEq)]
pub enum Cause {
    /// Files of the tree.
    Files(Vec<String>),
    /// The Dockerfile at this path.
    Dockerfile(String),
    IgnoreFile,
    /// A build argument.
    Arg(String),
    /// A property of the configuration.
    Property(String),
    /// The names of commits.
    Git,
}

/// Where the configuration is, which a build may see as a file.
const CONFIG: &str = ".devcontainer/devcontainer.json";

/// What is told of a change whose cause is not told, or that is told to have another cause.
pub fn misnamed(cause: &Cause, before: &KeyedManifest, after: &KeyedManifest) -> Option<String> {
    let changes = changes(before.inputs(), after.inputs());
    let told: Vec<&KeyChange> = changes.iter().filter(|change| !change.follows).collect();
    let is_named = told.iter().any(|change| names(cause, change));
    let fits = told
        .iter()
        .all(|change| names(cause, change) || is_part(cause, change, &told));
    (!is_named || !fits).then(|| format!("{cause:?} is told as {told:?}"))
}

fn names(cause: &Cause, change: &KeyChange) -> bool {
    let KeyChange { kind, name, .. } = change;
    let is_file = |path: &str| *kind == Input::File && name == path;
    match cause {
        Cause::Files(paths) => *kind == Input::File && paths.contains(name),
        // Another base image or download is named itself, and the build may see the Dockerfile as a file.
        Cause::Dockerfile(path) => {
            matches!(kind, Input::BaseImage | Input::Remote)
                || *kind == Input::Dockerfile && name == path
                || is_file(path)
        }
        // It names what the build sees now, or does not see any more.
        Cause::IgnoreFile => *kind == Input::File,
        Cause::Arg(arg) => *kind == Input::BuildArg && name == arg || is_file(CONFIG),
        Cause::Property(property) => {
            let rest = name.strip_prefix(property.as_str());
            let is_it = rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
            *kind == Input::Config && is_it || is_file(CONFIG)
        }
        Cause::Git => *kind == Input::File && name.starts_with(".git/"),
    }
}

/// Whether a change cannot be told from one that the cause may have made: an argument may be given now, or used now.
fn is_part(cause: &Cause, change: &KeyChange, told: &[&KeyChange]) -> bool {
    let comes_or_goes = |change: &KeyChange| change.before.is_none() || change.after.is_none();
    match cause {
        Cause::Dockerfile(_) => change.kind == Input::BuildArg && comes_or_goes(change),
        Cause::Arg(_) => {
            let is_new = |told: &&&KeyChange| names(cause, told) && comes_or_goes(told);
            change.kind == Input::Dockerfile && told.iter().any(|told| is_new(&told))
        }
        _ => false,
    }
}
