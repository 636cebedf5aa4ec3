//! BuildKit's progress as JSON (`BUILDKIT_PROGRESS=rawjson`), read line by line out of a mixed output.
//!
//! The plain text would be easier to read, but it is wrong: it shows a step that was restored from a registry's cache as
//! executed. Only the JSON says `cached`.

mod activities;
mod status;

use std::collections::{BTreeSet, HashMap};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hearth_domain::{Digest, text::shortened};
use prost_types::Timestamp;

pub use self::activities::ActivityChange;
use self::{
    activities::Activities,
    status::{SolveStatus, Vertex, VertexLog, VertexStatus, is_step},
};

/// Largest JSON document that is read, in bytes. A larger one is passed on as text.
const MAX_DOCUMENT: usize = 4 * 1024 * 1024;

/// Status of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It runs.
    Started,
    /// It was executed.
    Done,
    /// It was taken from the cache.
    Cached,
    /// It failed.
    Failed,
    /// The build ended before the step did.
    Canceled,
}

/// A step that began or ended.
#[derive(Clone, Debug, PartialEq)]
pub struct StepChange {
    /// Number of the step, by the order in which steps began.
    pub number: u32,
    /// The step, for example `[stage-0 2/5] RUN apt-get update`.
    pub name: String,
    /// Its status now.
    pub status: Status,
    /// Seconds that it ran; 0 until it has ended.
    pub seconds: f64,
}

/// What a line of a build's progress means.
#[derive(Clone, Debug, PartialEq)]
pub enum Update {
    /// A step began or ended.
    Step(StepChange),
    /// Something beside the steps began, goes on or has ended.
    Activity(ActivityChange),
    /// A line of output. The output of a step begins with its number, `#7 `.
    Output(String),
}

/// Numbers of steps in a build, so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Steps that ran or were reused.
    pub total: u32,
    /// Steps that were taken from the cache.
    pub reused: u32,
}

/// Follows a build's progress. Base images (`FROM`) and BuildKit's internal vertexes do not count as steps.
#[derive(Debug, Default)]
pub struct Progress {
    document: String,
    steps: HashMap<String, Step>,
    activities: Activities,
    begun: u32,
    counts: Counts,
    failed: Option<String>,
    exported_cache: Option<Digest>,
    lost_cache: bool,
    images: BTreeSet<String>,
}

#[derive(Debug)]
struct Step {
    number: u32,
    name: String,
    began: Option<Timestamp>,
    ended: bool,
    open_line: Vec<u8>,
    /// The last line that it printed.
    last_line: String,
}

/// The devcontainer CLI gives this name to a last stage that has none.
const ADDED_LABEL: &str = "[dev_container_auto_added_stage_label ";
/// Longest name of a step in its failure.
const MAX_NAME_CHARS: usize = 120;
/// How BuildKit ends the error of a command, which begins with the whole command.
const EXIT_CODE: &str = " did not complete successfully: ";

impl Progress {
    /// Takes a line. A JSON document may be one line, or several from `{` to `}`.
    pub fn line(&mut self, line: &str) -> Vec<Update> {
        if self.document.is_empty() && !line.starts_with('{') {
            return vec![Update::Output(line.to_owned())];
        }
        self.document.push_str(line);
        self.document.push('\n');
        if !line.ends_with('}') || (line != "}" && line.starts_with(' ')) {
            if self.document.len() > MAX_DOCUMENT {
                return vec![Update::Output(std::mem::take(&mut self.document))];
            }
            return Vec::new();
        }
        let document = std::mem::take(&mut self.document);
        match serde_json::from_str::<SolveStatus>(&document) {
            Ok(status) => self.status(status),
            Err(_) => vec![Update::Output(document.trim_end().to_owned())],
        }
    }

    /// Steps so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// The name of the first step that failed, and its error.
    pub fn failed(&self) -> Option<&str> {
        self.failed.as_deref()
    }

    /// The digest of the build cache that was exported.
    pub fn exported_cache(&self) -> Option<&Digest> {
        self.exported_cache.as_ref()
    }

    /// Whether a build cache could not be read, so that steps ran that may be in it.
    pub fn lost_cache(&self) -> bool {
        self.lost_cache
    }

    /// The images that the build took, as BuildKit names them: base images, those that are copied from or mounted, and
    /// frontends; `name:tag@digest` or `name@digest`.
    pub fn images(&self) -> &BTreeSet<String> {
        &self.images
    }

    /// Ends the steps that are still open when the build is over.
    pub fn close(&mut self) -> Vec<Update> {
        let mut updates = Vec::new();
        let mut open: Vec<String> = self
            .steps
            .iter()
            .filter(|(_, step)| !step.ended)
            .map(|(digest, _)| digest.clone())
            .collect();
        open.sort_by_key(|digest| self.steps.get(digest).map(|step| step.number));
        for digest in open {
            self.end(&digest, Status::Canceled, None, &mut updates);
        }
        updates.extend(self.activities.close().map(Update::Activity));
        updates
    }

    fn status(&mut self, status: SolveStatus) -> Vec<Update> {
        let mut updates = Vec::new();
        let exported = status
            .statuses
            .iter()
            .find_map(VertexStatus::exported_cache);
        self.exported_cache = exported.or(self.exported_cache.take());
        self.lost_cache |= status.vertexes.iter().any(Vertex::lost_cache);
        let looked_up = status.statuses.iter().filter_map(VertexStatus::image);
        let loaded = status.vertexes.iter().filter_map(Vertex::image);
        self.images
            .extend(looked_up.chain(loaded).map(str::to_owned));
        for log in status.logs {
            self.log(&log, &mut updates);
        }
        let (ended, begun): (Vec<_>, Vec<_>) = status
            .vertexes
            .iter()
            .partition(|vertex| vertex.completed.is_some());
        let activities = &mut self.activities;
        let changes = begun
            .into_iter()
            .filter_map(|vertex| activities.vertex(vertex));
        updates.extend(changes.map(Update::Activity));
        let changes = status
            .statuses
            .into_iter()
            .filter_map(|status| activities.status(status));
        updates.extend(changes.map(Update::Activity));
        let changes = ended
            .into_iter()
            .filter_map(|vertex| activities.vertex(vertex));
        updates.extend(changes.map(Update::Activity));
        for vertex in status.vertexes {
            self.vertex(vertex, &mut updates);
        }
        updates
    }

    fn vertex(&mut self, vertex: Vertex, updates: &mut Vec<Update>) {
        if !is_step(&vertex.name) || vertex.started.is_none() {
            return;
        }
        let time = |text: Option<&String>| text.and_then(|text| text.parse::<Timestamp>().ok());
        if !self.steps.contains_key(&vertex.digest) {
            self.begun += 1;
            let name = vertex.name.replacen(ADDED_LABEL, "[", 1);
            updates.push(Update::Step(StepChange {
                number: self.begun,
                name: name.clone(),
                status: Status::Started,
                seconds: 0.0,
            }));
            let step = Step {
                number: self.begun,
                name,
                began: time(vertex.started.as_ref()),
                ended: false,
                open_line: Vec::new(),
                last_line: String::new(),
            };
            self.steps.insert(vertex.digest.clone(), step);
        }
        // A cached step ends once more for every layer that is fetched for it. Its first end is the true one.
        let status = if vertex.cached {
            Status::Cached
        } else if vertex.completed.is_none() {
            return;
        } else if vertex.error.contains("context canceled") {
            Status::Canceled
        } else if !vertex.error.is_empty() {
            Status::Failed
        } else {
            Status::Done
        };
        if status == Status::Failed && self.failed.is_none() {
            let step = self.steps.get(&vertex.digest);
            self.failed = step.map(|step| step.failure(&vertex.error));
        }
        self.end(
            &vertex.digest,
            status,
            time(vertex.completed.as_ref()),
            updates,
        );
    }

    fn end(
        &mut self,
        digest: &str,
        status: Status,
        at: Option<Timestamp>,
        updates: &mut Vec<Update>,
    ) {
        let Some(step) = self.steps.get_mut(digest).filter(|step| !step.ended) else {
            return;
        };
        step.ended = true;
        if !step.open_line.is_empty() {
            let line = std::mem::take(&mut step.open_line);
            updates.push(output(step.number, &line));
        }
        updates.push(Update::Step(StepChange {
            number: step.number,
            name: step.name.clone(),
            status,
            seconds: match (&step.began, &at) {
                (Some(began), Some(at)) => seconds_between(began, at),
                _ => 0.0,
            },
        }));
        match status {
            Status::Cached => {
                self.counts.total += 1;
                self.counts.reused += 1;
            }
            Status::Done | Status::Failed => self.counts.total += 1,
            Status::Started | Status::Canceled => {}
        }
    }

    fn log(&mut self, log: &VertexLog, updates: &mut Vec<Update>) {
        let Ok(data) = STANDARD.decode(&log.data) else {
            return;
        };
        let Some(step) = self.steps.get_mut(&log.vertex) else {
            return;
        };
        step.open_line.extend_from_slice(&data);
        if let Some(end) = step.open_line.iter().rposition(|byte| *byte == b'\n') {
            let rest = step.open_line.split_off(end + 1);
            let lines = std::mem::replace(&mut step.open_line, rest);
            for line in lines.split_inclusive(|byte| *byte == b'\n') {
                let text = text(line);
                if !text.trim().is_empty() {
                    text.trim().clone_into(&mut step.last_line);
                }
                updates.push(output(step.number, line));
            }
        }
        // A line without an end is a progress bar, and must not grow without limit.
        if step.open_line.len() > 64 * 1024 {
            step.open_line.clear();
        }
    }
}

impl Step {
    /// The step with its error; of a command its exit code and the last line that it printed.
    fn failure(&self, error: &str) -> String {
        let Self {
            name, open_line, ..
        } = self;
        let open_line = text(open_line);
        let last_line = match open_line.trim() {
            "" => &self.last_line,
            line => line,
        };
        // It has the whole script.
        let name = shortened(name, MAX_NAME_CHARS);
        match error.rsplit_once(EXIT_CODE) {
            Some((_, code)) if last_line.is_empty() => format!("{name}: {code}"),
            Some((_, code)) => format!("{name}: {code}: {last_line}"),
            None => format!("{name}: {error}"),
        }
    }
}

fn output(number: u32, line: &[u8]) -> Update {
    Update::Output(format!("#{number} {}", text(line)))
}

fn text(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    // A line that was overwritten in place: only its last text counts.
    let text = text.trim_end_matches(['\n', '\r']);
    text.rsplit('\r').next().unwrap_or(text).to_owned()
}

fn seconds_between(from: &Timestamp, to: &Timestamp) -> f64 {
    let whole = to.seconds - from.seconds;
    let rest = f64::from(to.nanos - from.nanos) / 1e9;
    #[expect(
        clippy::cast_precision_loss,
        reason = "a build does not take 2^52 seconds"
    )]
    let whole = whole as f64;
    (whole + rest).max(0.0)
}

#[cfg(test)]
#[path = "buildkit_tests.rs"]
mod tests;
