//! Ways for `tests/fuzz` into parsers that the agent has for itself alone.

use std::path::Path;

use secrecy::ExposeSecret as _;
use serde_json::{Map, Value};

pub use crate::door::fuzzing::{Node, call};
use crate::{
    clone_files::CloneFiles,
    credentials::GitRemote,
    devcontainer::{Build, DevcontainerConfig, ServiceBuild},
    external::{
        devcontainer::log::LogLines,
        engine::LocalImage,
        git::{
            CloneFailure,
            failure::{classify, not_storable},
            submodules,
        },
        process::{Line, Lines, ProcessFailure},
    },
    identity::JoinToken,
    key::Lockfile,
    pipeline::{compose, git_mount, hook_sentences::Said, owner},
    policy::Allowed,
};

/// The lines that the log of the devcontainer CLI has for people, and the last of them as a failure tells them. What they say
/// of hooks is read, too.
pub fn cli_log(log: &str) -> (Vec<String>, String) {
    let mut told = Vec::new();
    let mut on_line = |line: Line<'_>| {
        if let Line::Text(line) = line {
            let _ = Said::of(line);
            told.push(line.to_owned());
        }
    };
    let mut lines = LogLines::new(&mut on_line);
    for line in log.lines() {
        lines.take(Line::Text(line));
        if line.is_empty() {
            lines.take(Line::Quiet);
        }
    }
    let printed = lines.finish();
    (told, printed.tail)
}

/// The lines of an output that comes in these pieces, with a pause behind each.
pub fn lines<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Vec<String> {
    let mut told = Vec::new();
    let mut on_line = |line: Line<'_>| {
        if let Line::Text(line) = line {
            told.push(line.to_owned());
        }
    };
    let mut lines = Lines::default();
    for piece in pieces {
        lines.push(piece, &mut on_line);
        lines.pause(&mut on_line);
    }
    lines.end(&mut on_line);
    told
}

/// What a failure of git says that printed this, and the files that a checkout could not make.
pub fn git_failure(output: &str) -> (String, Vec<String>) {
    let failure = ProcessFailure {
        message: "git failed".to_owned(),
        tail: output.to_owned(),
    };
    let files = not_storable(&failure).unwrap_or_default();
    let files = files.into_iter().map(str::to_owned).collect();
    let (CloneFailure::RefNotFound(failure, _)
    | CloneFailure::LoginRefused(failure)
    | CloneFailure::DiskFull(failure)
    | CloneFailure::Failed(failure)) = classify(failure);
    (failure.message, files)
}

/// The paths and commits of submodules, in what git prints of `.gitmodules` and of the index.
pub fn submodules(config: &str, index: &str) -> (Vec<String>, Vec<(String, String)>) {
    let paths = submodules::paths_in(config).into_iter();
    let listed = submodules::in_commit(index).map(|one| (one.path, one.commit));
    (paths.map(str::to_owned).collect(), listed.collect())
}

/// The secret of a join token, and the digest of the CA that it names.
pub fn join_token(text: &str) -> Option<(String, String)> {
    let token: JoinToken = text.parse().ok()?;
    Some((token.secret.expose_secret().to_owned(), token.ca_sha256))
}

/// A text without the passwords of the URLs in it.
pub fn without_passwords(text: &str) -> String {
    submodules::without_passwords(text)
}

/// Whether a text is a lockfile of features.
pub fn is_lockfile(text: &str) -> bool {
    Lockfile::parse(text).is_ok()
}

/// A Compose project of the clone in this folder as it may be started, by the workspace `hearth-ws-1`, and the warnings
/// about it.
pub fn compose(clone: &Path, allowed: &Allowed, project: &str) -> Option<(String, Vec<String>)> {
    let files = CloneFiles::open(clone).ok()?;
    let rules = compose::Rules {
        own: "hearth-ws-1",
        allowed,
        cache_mounts: "ns",
        clone: (clone, &files),
    };
    let judged = rules.judge(project).ok()?;
    let of_builds = judged.left_out.values().flatten().map(ToString::to_string);
    let warnings = judged.warnings.into_iter().chain(of_builds).collect();
    Some((judged.project.to_string(), warnings))
}

/// The builds of the services of a Compose project that hearth makes itself, by the services. Their files are in `/clone`.
pub fn service_builds(clone: &Path, allowed: &Allowed, project: &str) -> Vec<(String, Build)> {
    let (Some((judged, _)), Ok(platform)) =
        (compose(clone, allowed, project), "linux/amd64".parse())
    else {
        return Vec::new();
    };
    let judged: Value = serde_json::from_str(&judged).unwrap_or_default();
    let of = |name: &str| judged.get(name).and_then(Value::as_object).cloned();
    let (services, secrets) = (of("services"), of("secrets").unwrap_or_default());
    let services = services.into_iter().flatten();
    let builds = services.filter_map(|(name, service)| {
        let of = ServiceBuild {
            properties: service.as_object()?,
            secrets: &secrets,
            clone: Path::new("/clone"),
            platform: &platform,
        };
        Some((name, Build::of_service(of, Vec::new()).ok()??))
    });
    builds.collect()
}

/// The user of an image's workspace, and the configuration after git's settings were added to it.
pub fn image(
    config: &DevcontainerConfig,
    image: &LocalImage,
    remote: &GitRemote,
) -> (String, Map<String, Value>) {
    let mut properties = config.container.whole();
    git_mount::into_container(&mut properties, "/helper".as_ref(), remote, image);
    (owner::remote_user(Some(config), image), properties)
}
