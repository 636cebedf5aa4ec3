//! The calls of the engine's API that an attempt may make. What is not in the table is refused.

use http::Method;
use percent_encoding::percent_decode_str;
use url::form_urlencoded;

/// Version from which a volume can be mounted by a folder in it.
const SUBPATHS: (u32, u32) = (1, 45);

/// What is done with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It says nothing of others.
    Pass,
    /// The description of the engine.
    Info,
    /// A list; what carries the workspace's label.
    List,
    /// The list of images.
    ListImages,
    /// A call about a container of the workspace.
    Container,
    /// The same, with a connection that carries bytes both ways.
    AttachContainer,
    /// The same, with an archive.
    FillContainer,
    RenameContainer,
    RemoveContainer,
    CreateContainer,
    CreateExec,
    /// A call about a process in a container of the workspace.
    Exec,
    StartExec,
    /// A look at an image.
    Image,
    PullImage,
    TagImage,
    RemoveImage,
    Network,
    CreateNetwork,
    ConnectNetwork,
    Volume,
    CreateVolume,
    /// BuildKit's channels.
    BuildKit,
}

struct Endpoint {
    method: &'static str,
    /// `*` is one segment of the path, `**` are several.
    path: &'static str,
    query: &'static [&'static str],
    action: Action,
}

const fn on(
    method: &'static str,
    path: &'static str,
    query: &'static [&'static str],
    action: Action,
) -> Endpoint {
    Endpoint {
        method,
        path,
        query,
        action,
    }
}

const STREAMS: &[&str] = &["detachKeys", "logs", "stream", "stdin", "stdout", "stderr"];
const LOGS: &[&str] = &[
    "follow",
    "stdout",
    "stderr",
    "since",
    "until",
    "timestamps",
    "tail",
    "details",
];

#[rustfmt::skip]
const ENDPOINTS: &[Endpoint] = &[
    on("GET", "_ping", &[], Action::Pass),
    on("HEAD", "_ping", &[], Action::Pass),
    on("GET", "version", &[], Action::Pass),
    on("GET", "info", &[], Action::Info),
    on("GET", "events", &["since", "until", "filters"], Action::List),
    on("GET", "containers/json", &["all", "limit", "size", "filters"], Action::List),
    on("POST", "containers/create", &["name", "platform"], Action::CreateContainer),
    on("GET", "containers/**/json", &["size"], Action::Container),
    on("GET", "containers/*/top", &["ps_args"], Action::Container),
    on("GET", "containers/*/logs", LOGS, Action::Container),
    on("GET", "containers/*/stats", &["stream", "one-shot"], Action::Container),
    on("GET", "containers/*/changes", &[], Action::Container),
    on("GET", "containers/*/archive", &["path"], Action::Container),
    on("HEAD", "containers/*/archive", &["path"], Action::Container),
    on("PUT", "containers/*/archive", &["path", "noOverwriteDirNonDir", "copyUIDGID"], Action::FillContainer),
    on("POST", "containers/*/start", &["detachKeys"], Action::Container),
    on("POST", "containers/*/stop", &["t", "signal"], Action::Container),
    on("POST", "containers/*/restart", &["t", "signal"], Action::Container),
    on("POST", "containers/*/kill", &["signal"], Action::Container),
    on("POST", "containers/*/pause", &[], Action::Container),
    on("POST", "containers/*/unpause", &[], Action::Container),
    on("POST", "containers/*/wait", &["condition"], Action::Container),
    on("POST", "containers/*/resize", &["h", "w"], Action::Container),
    on("POST", "containers/*/attach", STREAMS, Action::AttachContainer),
    on("POST", "containers/*/rename", &["name"], Action::RenameContainer),
    on("DELETE", "containers/*", &["v", "force"], Action::RemoveContainer),
    on("POST", "containers/*/exec", &[], Action::CreateExec),
    on("GET", "exec/*/json", &[], Action::Exec),
    on("POST", "exec/*/resize", &["h", "w"], Action::Exec),
    on("POST", "exec/*/start", &[], Action::StartExec),
    on("GET", "images/json", &["all", "filters", "shared-size", "digests", "manifests"], Action::ListImages),
    on("GET", "images/**/json", &["manifests", "platform"], Action::Image),
    on("GET", "images/**/history", &["platform"], Action::Image),
    on("GET", "distribution/**/json", &[], Action::Pass),
    on("POST", "images/create", &["fromImage", "tag", "platform"], Action::PullImage),
    on("POST", "images/**/tag", &["repo", "tag"], Action::TagImage),
    on("DELETE", "images/**", &["force", "noprune"], Action::RemoveImage),
    on("GET", "networks", &["filters"], Action::List),
    on("GET", "networks/**", &["verbose", "scope"], Action::Network),
    on("POST", "networks/create", &[], Action::CreateNetwork),
    on("POST", "networks/*/connect", &[], Action::ConnectNetwork),
    on("POST", "networks/*/disconnect", &[], Action::ConnectNetwork),
    on("DELETE", "networks/*", &[], Action::Network),
    on("GET", "volumes", &["filters"], Action::List),
    on("GET", "volumes/**", &[], Action::Volume),
    on("POST", "volumes/create", &[], Action::CreateVolume),
    on("DELETE", "volumes/*", &["force"], Action::Volume),
    on("POST", "session", &[], Action::BuildKit),
    on("POST", "grpc", &[], Action::BuildKit),
];

/// A call, parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    pub method: Method,
    pub action: Action,
    /// The version of the API, as in `/v1.45/`.
    version: Option<(u32, u32)>,
    /// Segments of the path behind the version.
    path: Vec<String>,
    /// Which of them name the thing that the call is about.
    name: std::ops::Range<usize>,
    query: Vec<(String, String)>,
}

/// Why a call is not made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("hearth does not pass {method} {path} on to the engine: {why}")]
pub struct Refused {
    method: Method,
    path: String,
    why: &'static str,
}

impl Call {
    /// Reads the target of a request.
    pub fn parse(method: &Method, path: &str, query: Option<&str>) -> Result<Self, Refused> {
        let refused = |why| Refused {
            method: method.clone(),
            path: hearth_domain::text::shortened(path, 200),
            why,
        };
        let mut segments = segments(path).ok_or_else(|| refused("its path is not a plain one"))?;
        let version = version(&segments[0]);
        if version.is_some() {
            segments.remove(0);
        }
        let found = ENDPOINTS
            .iter()
            .filter(|endpoint| endpoint.method == method.as_str())
            .find_map(|endpoint| Some((endpoint, matches(endpoint.path, &segments)?)));
        let (endpoint, name) =
            found.ok_or_else(|| refused("it is not among the calls that a workspace may make"))?;
        let mut asked: Vec<(String, String)> = Vec::new();
        for (key, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
            if !endpoint.query.contains(&&*key) {
                // Clients send empty ones of other calls.
                if matches!(&*value, "" | "0" | "false") {
                    continue;
                }
                return Err(refused(
                    "one of its parameters is not among those that a workspace may set",
                ));
            }
            if asked.iter().any(|(known, _)| *known == *key) {
                return Err(refused("one of its parameters is there twice"));
            }
            asked.push((key.into_owned(), value.into_owned()));
        }
        Ok(Self {
            method: method.clone(),
            action: endpoint.action,
            version,
            path: segments,
            name,
            query: asked,
        })
    }

    /// What the call is about: a container, a network, a volume, an image.
    pub fn name(&self) -> String {
        self.path[self.name.clone()].join("/")
    }

    /// Names it otherwise. The name is one of the engine's own.
    pub fn rename(&mut self, name: &str) {
        let name = name.split('/').map(str::to_owned);
        let length = name.clone().count();
        self.path.splice(self.name.clone(), name);
        self.name.end = self.name.start + length;
    }

    /// Whether the path ends with a word of the API's.
    pub fn ends_with(&self, word: &str) -> bool {
        self.name.end < self.path.len() && self.path.last().is_some_and(|last| last == word)
    }

    /// Whether the path is one of these words and nothing else.
    pub fn path_is(&self, words: &[&str]) -> bool {
        matches!(self.path.as_slice(), [only] if words.contains(&only.as_str()))
    }

    pub fn parameter(&self, key: &str) -> Option<&str> {
        let found = self.query.iter().find(|(known, _)| known == key);
        found.map(|(_, value)| value.as_str())
    }

    pub fn set(&mut self, key: &str, value: String) {
        self.query.retain(|(known, _)| known != key);
        self.query.push((key.to_owned(), value));
    }

    /// Whether the engine reads, at this version, which folder of a volume is mounted.
    pub fn has_subpaths(&self) -> bool {
        self.version.is_some_and(|version| version >= SUBPATHS)
    }

    /// The target of the request to the engine.
    pub fn target(&self) -> String {
        let mut target = String::new();
        if let Some((major, minor)) = self.version {
            target.push_str(&format!("/v{major}.{minor}"));
        }
        for segment in &self.path {
            target.push('/');
            target.push_str(segment);
        }
        if !self.query.is_empty() {
            let query = form_urlencoded::Serializer::new(String::new())
                .extend_pairs(&self.query)
                .finish();
            target.push('?');
            target.push_str(&query);
        }
        target
    }
}

/// The path's segments, decoded once. Those of the engine's API need no other characters than these, so that no two
/// programs read them differently.
fn segments(path: &str) -> Option<Vec<String>> {
    let good = |c: char| c.is_ascii_alphanumeric() || "_.-:@+".contains(c);
    let segments = path.strip_prefix('/')?.split('/').map(|segment| {
        let segment = percent_decode_str(segment).decode_utf8().ok()?;
        let plain =
            !segment.is_empty() && segment.chars().all(good) && segment != "." && segment != "..";
        plain.then(|| segment.into_owned())
    });
    segments.collect()
}

fn version(segment: &str) -> Option<(u32, u32)> {
    let (major, minor) = segment.strip_prefix('v')?.split_once('.')?;
    let number = |text: &str| {
        let digits =
            !text.is_empty() && text.len() < 5 && text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse().ok())?
    };
    Some((number(major)?, number(minor)?))
}

/// Where the name stands in a path that an endpoint matches.
fn matches(pattern: &str, segments: &[String]) -> Option<std::ops::Range<usize>> {
    let pattern: Vec<&str> = pattern.split('/').collect();
    let several = pattern.iter().position(|part| *part == "**");
    let length_fits = match several {
        Some(_) => segments.len() >= pattern.len(),
        None => segments.len() == pattern.len(),
    };
    if !length_fits {
        return None;
    }
    let at = several.or_else(|| pattern.iter().position(|part| *part == "*"));
    let Some(at) = at else {
        return pattern
            .iter()
            .zip(segments)
            .all(|(part, segment)| part == segment)
            .then_some(0..0);
    };
    let end = segments.len() - (pattern.len() - at - 1);
    let before = pattern[..at].iter().zip(&segments[..at]);
    let after = pattern[at + 1..].iter().zip(&segments[end..]);
    before
        .chain(after)
        .all(|(part, segment)| part == segment)
        .then_some(at..end)
}

#[cfg(test)]
#[path = "endpoint_tests.rs"]
mod tests;
