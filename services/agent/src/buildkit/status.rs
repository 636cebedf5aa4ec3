//! The part of BuildKit's progress that is read.

use hearth_domain::Digest;
use serde::Deserialize;

/// The part of BuildKit's `client.SolveStatus` that is read.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct SolveStatus {
    pub(super) vertexes: Vec<Vertex>,
    pub(super) statuses: Vec<VertexStatus>,
    pub(super) logs: Vec<VertexLog>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Vertex {
    pub(super) digest: String,
    pub(super) name: String,
    pub(super) started: Option<String>,
    pub(super) completed: Option<String>,
    pub(super) cached: bool,
    pub(super) error: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct VertexLog {
    pub(super) vertex: String,
    pub(super) data: String,
}

/// The part of BuildKit's `client.VertexStatus` that is read.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct VertexStatus {
    pub(super) id: String,
    pub(super) vertex: String,
    pub(super) current: i64,
    pub(super) total: i64,
    pub(super) completed: Option<String>,
}

impl Vertex {
    /// Whether it is the failed import of a build cache, after which the build goes on without.
    pub(super) fn lost_cache(&self) -> bool {
        self.name.starts_with("importing cache manifest") && !self.error.is_empty()
    }

    /// The image, if it is the load of one: `[name 1/5] FROM IMAGE`, and `docker-image://IMAGE` of a frontend.
    pub(super) fn image(&self) -> Option<&str> {
        let name = &self.name;
        if let Some(image) = name.strip_prefix("docker-image://") {
            return Some(image);
        }
        let bracket = name
            .strip_prefix('[')
            .and_then(|rest| rest.split_once("] "));
        let instruction = bracket.map_or(name.as_str(), |(_, instruction)| instruction);
        instruction.strip_prefix("FROM ")
    }
}

impl VertexStatus {
    /// The digest of the build cache, if this is its export.
    pub(super) fn exported_cache(&self) -> Option<Digest> {
        // As an OCI image (`image-manifest=true`), and as an index.
        let what = ["writing cache image manifest ", "writing cache manifest "];
        let digest = what.iter().find_map(|what| self.id.strip_prefix(what))?;
        digest.parse().ok()
    }

    /// The image, if this is the look-up of one that the build takes. Named contexts, and what a foreign frontend gives
    /// a name of its own, are told by this alone; with the classic store, frontends are told by their vertexes alone.
    pub(super) fn image(&self) -> Option<&str> {
        self.id.strip_prefix("resolve ")
    }
}

/// Whether a vertex is a step of the Dockerfile, such as `[name 2/5] RUN …`: the bracket ends with a position.
pub(super) fn is_step(text: &str) -> bool {
    let Some((bracket, instruction)) = text
        .strip_prefix('[')
        .and_then(|rest| rest.split_once("] "))
    else {
        return false;
    };
    let position = bracket.rsplit(' ').next().unwrap_or(bracket);
    let is_position = position.split_once('/').is_some_and(|(n, m)| {
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        digits(n) && digits(m)
    });
    is_position && !instruction.starts_with("FROM ")
}
