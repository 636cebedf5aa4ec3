//! What BuildKit does beside the steps of a Dockerfile: it looks images up, fetches and unpacks them, exports the result.

use std::collections::{BTreeMap, HashMap};

use super::status::{Vertex, VertexStatus, is_step};

/// More layers than an image can have; statuses beyond are not counted.
const MAX_LAYERS: usize = 256;

/// Something that began, goes on or has ended.
#[derive(Clone, Debug, PartialEq)]
pub struct ActivityChange {
    /// What goes on, for example `base image docker.io/library/debian:12`.
    pub name: String,
    /// What it does now; empty when that is not known.
    pub detail: String,
    /// Bytes so far.
    pub done: u64,
    /// Bytes in total; 0 when there is nothing to count.
    pub total: u64,
    /// It has ended.
    pub finished: bool,
}

/// The vertexes that are no steps and have not ended, by digest.
#[derive(Debug, Default)]
pub(super) struct Activities {
    open: HashMap<String, Open>,
}

#[derive(Debug)]
struct Open {
    name: String,
    detail: String,
    /// Bytes so far and in total of each layer on its way.
    layers: BTreeMap<String, (u64, u64)>,
}

impl Activities {
    pub(super) fn vertex(&mut self, vertex: &Vertex) -> Option<ActivityChange> {
        let ended = vertex.completed.is_some() || vertex.cached;
        match (self.open.contains_key(&vertex.digest), ended) {
            (true, true) => {
                let open = self.open.remove(&vertex.digest)?;
                Some(open.change(true))
            }
            (false, false) if vertex.started.is_some() => {
                let open = Open {
                    name: name(&vertex.name)?,
                    detail: String::new(),
                    layers: BTreeMap::new(),
                };
                let change = open.change(false);
                self.open.insert(vertex.digest.clone(), open);
                Some(change)
            }
            _ => None,
        }
    }

    pub(super) fn status(&mut self, status: VertexStatus) -> Option<ActivityChange> {
        let open = self.open.get_mut(&status.vertex)?;
        let ended = status.completed.is_some();
        let is_layer = status.id.starts_with("sha256:");
        if is_layer || status.id.starts_with("transferring") {
            let size = |bytes: i64| u64::try_from(bytes).unwrap_or(0);
            let (done, total) = (size(status.current), size(status.total));
            if open.layers.contains_key(&status.id) || open.layers.len() < MAX_LAYERS {
                open.layers.insert(status.id, (done, total.max(done)));
            }
            let complete = open.layers.values().all(|(done, total)| done >= total);
            let detail = match (is_layer, complete) {
                (true, true) => "unpacking",
                (true, false) => "fetching",
                (false, _) => "sending",
            };
            detail.clone_into(&mut open.detail);
        } else if status.id.starts_with("extracting ") {
            // Other layers may still be on their way, which is the longer part.
            if open.detail != "fetching" {
                "unpacking".clone_into(&mut open.detail);
            }
        } else if !ended {
            // `exporting manifest sha256:…`, `unpacking to docker.io/…`: the first words say what it does.
            let words = status
                .id
                .split(' ')
                .take_while(|word| *word != "to" && !word.contains(':'));
            open.detail = words.collect::<Vec<_>>().join(" ");
        }
        Some(open.change(false))
    }

    /// Ends what is still open when the build is over.
    pub(super) fn close(&mut self) -> impl Iterator<Item = ActivityChange> {
        let mut open: Vec<_> = self
            .open
            .drain()
            .map(|(_, open)| open.change(true))
            .collect();
        open.sort_by(|one, other| one.name.cmp(&other.name));
        open.into_iter()
    }
}

impl Open {
    fn change(&self, finished: bool) -> ActivityChange {
        let layers = self.layers.values();
        let (done, total) = layers.fold((0u64, 0u64), |(done, total), layer| {
            (done.saturating_add(layer.0), total.saturating_add(layer.1))
        });
        ActivityChange {
            name: self.name.clone(),
            detail: self.detail.clone(),
            done,
            total,
            finished,
        }
    }
}

/// The name of a vertex that is no step, in words; `None` for steps, and for what takes no time.
fn name(vertex: &str) -> Option<String> {
    let (bracket, text) = match vertex
        .strip_prefix('[')
        .and_then(|rest| rest.split_once("] "))
    {
        Some((bracket, text)) => (bracket, text),
        None => ("", vertex),
    };
    if let Some(image) = text.strip_prefix("FROM ") {
        return Some(format!("base image {}", without_digest(image)));
    }
    if is_step(vertex) {
        return None;
    }
    if bracket == "internal" {
        let image = text.strip_prefix("load metadata for ");
        let context = (text == "load build context").then(|| "build context".to_owned());
        return image
            .map(|image| format!("looking up {}", without_digest(image)))
            .or(context);
    }
    let imported = text.strip_prefix("importing cache manifest from ");
    if let Some(cache) = imported {
        return Some(format!("looking up the build cache {cache}"));
    }
    text.starts_with("exporting ").then(|| text.to_owned())
}

fn without_digest(image: &str) -> &str {
    image.split_once("@sha256:").map_or(image, |(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vertex(digest: &str, name: &str, completed: bool) -> Vertex {
        Vertex {
            digest: digest.into(),
            name: name.into(),
            started: Some("2026-01-01T00:00:00Z".into()),
            completed: completed.then(|| "2026-01-01T00:00:01Z".into()),
            ..Vertex::default()
        }
    }

    fn status(id: &str, current: i64, total: i64) -> VertexStatus {
        VertexStatus {
            id: id.into(),
            vertex: "a".into(),
            current,
            total,
            ..VertexStatus::default()
        }
    }

    #[test]
    fn what_takes_time_has_a_name_in_words_and_steps_have_none() {
        for (vertex, expected) in [
            (
                "[stage-0 1/7] FROM docker.io/library/debian:12@sha256:8ef7",
                Some("base image docker.io/library/debian:12"),
            ),
            (
                "[internal] load metadata for docker.io/library/debian:12",
                Some("looking up docker.io/library/debian:12"),
            ),
            ("[internal] load build context", Some("build context")),
            ("[internal] load .dockerignore", None),
            ("exporting to image", Some("exporting to image")),
            (
                "importing cache manifest from localhost:5000/a:buildcache",
                Some("looking up the build cache localhost:5000/a:buildcache"),
            ),
            ("[stage-0 2/7] RUN make", None),
            ("[auth] a/b:pull token for registry.example", None),
        ] {
            assert_eq!(name(vertex).as_deref(), expected, "{vertex}");
        }
    }

    #[test]
    fn a_base_image_is_fetched_by_its_layers_and_then_unpacked() {
        let mut activities = Activities::default();
        let from = "[1/2] FROM a:1@sha256:00";
        let mut told = Vec::new();
        told.extend(activities.vertex(&vertex("a", from, false)));
        told.extend(activities.status(status("resolve a:1@sha256:00", 0, 0)));
        told.extend(activities.status(status("sha256:1", 10, 100)));
        told.extend(activities.status(status("sha256:2", 0, 50)));
        told.extend(activities.status(status("sha256:1", 100, 100)));
        told.extend(activities.status(status("sha256:2", 50, 50)));
        told.extend(activities.status(status("extracting sha256:1", 0, 0)));
        told.extend(activities.vertex(&vertex("a", from, true)));
        told.extend(activities.vertex(&vertex("a", from, true)));
        let told: Vec<_> = told
            .iter()
            .map(|change| {
                (
                    change.detail.as_str(),
                    change.done,
                    change.total,
                    change.finished,
                )
            })
            .collect();
        assert_eq!(
            told,
            [
                ("", 0, 0, false),
                ("resolve", 0, 0, false),
                ("fetching", 10, 100, false),
                ("fetching", 10, 150, false),
                ("fetching", 100, 150, false),
                ("unpacking", 150, 150, false),
                ("unpacking", 150, 150, false),
                ("unpacking", 150, 150, true),
            ]
        );
    }

    #[test]
    fn an_export_says_what_it_is_at_and_ends_with_the_build() {
        let mut activities = Activities::default();
        activities.vertex(&vertex("a", "exporting to image", false));
        let detail = |activities: &mut Activities, id| {
            activities
                .status(status(id, 0, 0))
                .expect("a change")
                .detail
        };
        for (id, expected) in [
            ("exporting layers", "exporting layers"),
            ("exporting manifest sha256:12", "exporting manifest"),
            ("unpacking to docker.io/library/x:latest", "unpacking"),
        ] {
            assert_eq!(detail(&mut activities, id), expected);
        }
        let ends: Vec<_> = activities.close().map(|change| change.finished).collect();
        assert_eq!(
            (ends.as_slice(), activities.close().count()),
            (&[true][..], 0)
        );
    }
}
