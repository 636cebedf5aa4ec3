//! Why the cache did what it did, in plain words. One set of sentences serves the agent's report and the explanations.

mod sentences;
mod services;

use hearth_api::v1::{
    CacheReport, CacheResult, CacheSkipReason, Explanation, InputChange, InputKind, Workspace,
    WorkspaceState,
};
use hearth_domain::{
    CommitHash, GitRef, Input, KeyChange, KeyedManifest,
    text::{printable_line, shortened},
};

use self::sentences::{UNUSED, sentence_of};
use super::cost::{PASSED_OVER, too_slow};
use crate::store::{Decided, Entry, Lookup};

/// A longer list would not be read; the first ones say where to look.
const MAX_CHANGES: usize = 5;
/// Values longer than this are not repeated in sentences; the changes have them in full.
const MAX_VALUE: usize = 80;

/// Why an attempt is to build, sentence by sentence.
pub(super) fn reasons(lookup: &Lookup) -> Vec<String> {
    match (lookup.decided, &lookup.entry) {
        (Decided::Hit, Some(entry)) => vec![same(entry)],
        (Decided::Slower, Some(entry)) => vec![slower(entry, lookup.rate)],
        (Decided::Build, Some(newest)) => differences(newest, lookup.manifest.as_ref()),
        (_, None) => vec![
            "Nothing is in the cache yet for this repository, configuration and platform.".into(),
        ],
    }
}

/// Explains the newest attempt of a workspace, or what one would find now. `None` while it has not come so far that there
/// is anything to explain. A Docker Compose project has a lookup for each image that it builds.
pub(super) fn explain(lookups: &[Lookup], workspace: Option<&Workspace>) -> Option<Explanation> {
    let report = workspace.and_then(|workspace| workspace.cache.as_ref());
    let result = report.map(CacheReport::result).unwrap_or_default();
    let failed = workspace.and_then(failed);
    let lookup = lookups.first();
    let is_project = lookups.len() > 1 || lookup.is_some_and(|lookup| lookup.service.is_some());
    let mut sentences = match lookup {
        Some(_) if is_project => services::asked(lookups, report, asked),
        Some(lookup) => asked(lookup, report, result),
        None if result != CacheResult::Unspecified => not_asked(report),
        None if failed.is_some() => vec!["The cache was not asked.".to_owned()],
        None => return None,
    };
    match (report, result) {
        (Some(report), CacheResult::Partial) if report.steps_total > 0 => {
            sentences.push(format!(
                "The build took {} of its {} steps from earlier builds.",
                report.steps_reused, report.steps_total
            ));
        }
        (Some(report), CacheResult::Miss) if lookup.is_none() => sentences.push(format!(
            "All {} steps of the image were built.",
            report.steps_total
        )),
        _ => {}
    }
    sentences.extend(failed);
    let hit = lookup.filter(|lookup| lookup.decided != Decided::Build);
    let found = lookup.and_then(|lookup| lookup.entry.as_ref());
    let key = lookup.map(|lookup| lookup.place.key.to_string());
    Some(Explanation {
        text: sentences.join(" "),
        key: key.unwrap_or_else(|| report.map(|report| report.key.clone()).unwrap_or_default()),
        image_digest: built(workspace)
            .or_else(|| Some(hit?.entry.as_ref()?.digest.to_string()))
            .unwrap_or_default(),
        entry: found.cloned().map(Into::into),
        changes: lookups.iter().flat_map(changed).collect(),
    })
}

/// What an image is built for that is not the newest one.
fn changed(lookup: &Lookup) -> Vec<InputChange> {
    let found = lookup
        .entry
        .as_ref()
        .filter(|_| lookup.decided == Decided::Build);
    let changes =
        found.and_then(|found| changes(found.manifest.as_ref(), lookup.manifest.as_ref()));
    let changes = changes.into_iter().flatten();
    changes
        .map(|change| message(change, lookup.service_text()))
        .collect()
}

/// What the cache was asked, what it had, and what came of it.
fn asked(lookup: &Lookup, report: Option<&CacheReport>, result: CacheResult) -> Vec<String> {
    let is_built = matches!(result, CacheResult::Partial | CacheResult::Miss);
    let mut sentences = reasons(lookup);
    let end = match (lookup.decided, is_built) {
        (Decided::Hit, true) => {
            sentences.push(unused(report));
            "So it was built again."
        }
        (Decided::Hit, false) if result == CacheResult::Exact => {
            "So the image was fetched, and nothing was built."
        }
        (Decided::Hit, false) => "So the image is fetched, and nothing has to be built.",
        (Decided::Slower, _) => return sentences,
        (Decided::Build, true) => "So a new image was built.",
        (Decided::Build, false) => "So a new image has to be built.",
    };
    sentences.push(end.to_owned());
    if !lookup.finding.is_empty() {
        sentences.push(format!(
            "An audit found afterwards that the key does not see one of the image's inputs, so its entry was removed: {}.",
            lookup.finding
        ));
    }
    sentences
}

/// Why an image that was found was not used, in the agent's words.
fn unused(report: Option<&CacheReport>) -> String {
    let mut reasons = report.iter().flat_map(|report| &report.reasons);
    match reasons.find(|reason| reason.starts_with(UNUSED)) {
        Some(reason) => sentence_of(&format!("But {reason}")),
        None => "But the image could not be fetched: the registry lost it, or did not deliver it."
            .to_owned(),
    }
}

/// Why the cache was not asked: what the agent said about this attempt, or else what its reason means in general.
fn not_asked(report: Option<&CacheReport>) -> Vec<String> {
    let report = report.cloned().unwrap_or_default();
    let reasons = report.reasons.join("; ");
    if reasons.is_empty() {
        return vec![skipped(report.skip_reason()).to_owned()];
    }
    vec![match report.skip_reason() {
        CacheSkipReason::Unspecified => sentence_of(&format!(
            "The cache was not asked, since the image has no key: {reasons}"
        )),
        CacheSkipReason::NotEligible => sentence_of(&format!("The cache was not used: {reasons}")),
        reason => format!("{} {}", skipped(reason), sentence_of(&reasons)),
    }]
}

/// How an attempt ended that did not end well.
fn failed(workspace: &Workspace) -> Option<String> {
    let failure = workspace.failure.as_ref()?;
    let report = workspace.cache.as_ref();
    let fallback = report.map(CacheReport::skip_reason) == Some(CacheSkipReason::Fallback);
    let what = match workspace.state() {
        WorkspaceState::Recovery if fallback => "The project's own devcontainer failed",
        WorkspaceState::Recovery => "The image is not the problem: something failed after it",
        WorkspaceState::Failed => "The attempt failed",
        _ => return None,
    };
    Some(sentence_of(&format!("{what}: {}", failure.message)))
}

/// The image that an attempt made.
fn built(workspace: Option<&Workspace>) -> Option<String> {
    let workspace = workspace?;
    let pushed = workspace.push.as_ref().map(|push| push.digest.clone());
    let runs = workspace
        .cache
        .as_ref()
        .filter(|report| matches!(report.result(), CacheResult::Partial | CacheResult::Miss));
    let runs = runs.map(|report| report.image_digest.clone());
    [pushed, runs]
        .into_iter()
        .flatten()
        .find(|digest| !digest.is_empty())
}

fn skipped(reason: CacheSkipReason) -> &'static str {
    match reason {
        CacheSkipReason::Unspecified => {
            "The cache was not asked: no key could be computed from the repository's inputs."
        }
        CacheSkipReason::Off => {
            "The cache was not used because the request, or the settings, switched it off."
        }
        CacheSkipReason::NoDevcontainer => {
            "The cache was not used: the repository has no default devcontainer configuration, so the default image is used \
             as it is and there is nothing to build."
        }
        CacheSkipReason::Lightweight => {
            "The cache was not used: the request asked for lightweight mode, which leaves the project's own devcontainer \
             aside and uses the default image."
        }
        CacheSkipReason::Fallback => {
            "The cache was not used: the repository's own configuration failed, and another image runs instead."
        }
        CacheSkipReason::Compose => {
            "The cache was not used: the configuration starts several containers with Docker Compose, and their images \
             are not cached."
        }
        CacheSkipReason::NotEligible => {
            "The cache was not used: the image has nothing of the repository's own in it, or the registry keeps no images \
             for repositories of this host."
        }
        CacheSkipReason::Rebuild => {
            "The cache was not used because the request asked for a build without it."
        }
        CacheSkipReason::Slower => {
            "There is a finished image, but fetching it was expected to take longer than building it."
        }
    }
}

fn same(entry: &Entry) -> String {
    format!(
        "The cache has an image that was made from exactly these inputs{}.",
        origin(entry)
    )
}

fn slower(entry: &Entry, rate: Option<f64>) -> String {
    let fetch = too_slow(entry.bytes, entry.build_seconds, rate).unwrap_or_default();
    format!(
        "The cache has an image that was made from exactly these inputs{}, but fetching it is expected to take {fetch:.0} \
         s on this node by what it fetched last, and building it took {:.0} s. So it is built. Fetching is tried again \
         after at most {PASSED_OVER} such builds on this node, the sooner the less it is slower, or after a day.",
        origin(entry),
        entry.build_seconds
    )
}

/// `, built from <commit> of <ref>`, as far as it is known.
fn origin(entry: &Entry) -> String {
    let commit = entry.commit.as_ref().map(CommitHash::short);
    let git_ref = Some(&entry.git_ref).filter(|git_ref| **git_ref != GitRef::Default);
    match (commit, git_ref) {
        (Some(commit), Some(git_ref)) => format!(", built from commit {commit} of {git_ref}"),
        (Some(commit), None) => format!(", built from commit {commit}"),
        (None, Some(git_ref)) => format!(", built from {git_ref}"),
        (None, None) => String::new(),
    }
}

fn differences(newest: &Entry, wanted: Option<&KeyedManifest>) -> Vec<String> {
    let origin = origin(newest);
    let Some(changes) = changes(newest.manifest.as_ref(), wanted) else {
        return vec![format!(
            "There is no image for exactly these inputs; they differ from the newest image in the cache{origin}."
        )];
    };
    let mut reasons = vec![format!(
        "The inputs differ from the newest image in the cache{origin}."
    )];
    let told = changes.iter().filter(|change| !change.follows).count();
    reasons.extend(changes[..told].iter().take(MAX_CHANGES).map(sentence));
    if told > MAX_CHANGES {
        reasons.push(format!("And {} more.", told - MAX_CHANGES));
    }
    if told < changes.len() {
        reasons.push(following(&changes[told..]));
    }
    reasons
}

/// What differs since other inputs do.
fn following(changes: &[KeyChange]) -> String {
    let names: Vec<String> = changes
        .iter()
        .take(MAX_CHANGES)
        .map(|change| printable_line(&change.name))
        .collect();
    let more = match changes.len() {
        count if count > names.len() => format!(" and {} more", count - names.len()),
        _ => String::new(),
    };
    format!("Other inputs follow from that: {}{more}.", names.join(", "))
}

fn sentence(change: &KeyChange) -> String {
    let KeyChange { kind, name, .. } = change;
    let what = match kind {
        Input::Config => "configuration property",
        Input::Dockerfile => "Dockerfile",
        Input::File => "file",
        Input::BuildArg => "build argument",
        Input::BaseImage => "base image",
        Input::Feature => "feature",
        Input::Platform => "platform",
        Input::Tool => "tool",
        Input::Remote => "download",
    };
    let (before, after) = match (&change.before, &change.after) {
        (Some(before), Some(after)) => (before, after),
        // It was added, or something else left it out.
        (None, _) if *kind == Input::File => {
            return format!("The build sees the file {name}, which it did not see before.");
        }
        (_, None) if *kind == Input::File => {
            return format!("The build does not see the file {name} any more.");
        }
        (None, _) => return format!("The {what} {name} is new."),
        (_, None) => return format!("The {what} {name} is gone."),
    };
    // Values come from repositories: one line, and not too long.
    let [was, is] = [before, after].map(|value| shortened(&printable_line(value), MAX_VALUE));
    match kind {
        Input::BaseImage => format!(
            "The base image {name} is another one now: the registry's image under this name had the digest {was} and has \
             {is}."
        ),
        // A feature in the repository has the digest of its folder.
        Input::Feature if name.starts_with('.') => {
            format!("The feature {name} changed: a file in its folder is not what it was.")
        }
        Input::Feature => {
            format!("The feature {name} is another version now: its digest was {was} and is {is}.")
        }
        Input::BuildArg => {
            format!("The build argument {name} was {was} and is {is}.")
        }
        Input::Config => format!("The configuration property {name} was {was} and is {is}."),
        Input::Platform => {
            format!("The image is for another platform: it was {was} and is {is}.")
        }
        Input::Tool => format!(
            "The tool {name}, which takes part in the build, was of version {was} and is of {is}."
        ),
        Input::Remote => {
            format!("What {name} stands for outside the repository changed.")
        }
        Input::Dockerfile | Input::File => format!("The {what} {name} changed."),
    }
}

/// What differs between two key manifests; `None` when one of them is not known.
fn changes(
    before: Option<&KeyedManifest>,
    after: Option<&KeyedManifest>,
) -> Option<Vec<KeyChange>> {
    Some(hearth_domain::changes(before?.inputs(), after?.inputs()))
}

fn message(change: KeyChange, service: &str) -> InputChange {
    InputChange {
        kind: kind(change.kind).into(),
        name: change.name,
        before: change.before.unwrap_or_default(),
        after: change.after.unwrap_or_default(),
        service: service.to_owned(),
    }
}

fn kind(input: Input) -> InputKind {
    match input {
        Input::BaseImage => InputKind::BaseImage,
        Input::BuildArg => InputKind::BuildArg,
        Input::Config => InputKind::Config,
        Input::Dockerfile => InputKind::Dockerfile,
        Input::Feature => InputKind::Feature,
        Input::File => InputKind::File,
        Input::Platform => InputKind::Platform,
        Input::Remote => InputKind::Remote,
        Input::Tool => InputKind::Tool,
    }
}

#[cfg(test)]
#[path = "explain_tests.rs"]
mod tests;
