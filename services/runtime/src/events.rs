//! What agent and control plane both have to know of events: which of them may be dropped, and how large one may be.

use hearth_api::v1::{Failure, event::Kind};

/// Most bytes of output in an event.
const MAX_OUTPUT: usize = 64 * 1024;
/// Most bytes of any other text.
const MAX_TEXT: usize = 16 * 1024;
/// Most bytes of a name: a snapshot has many of them.
const MAX_NAME: usize = 256;
/// Most bytes of all sentences of a list.
const MAX_LIST: usize = 64 * 1024;

/// Whether an event only shows what goes on. The others tell what became of an attempt: they are kept as long as the
/// workspace, and these as long as there is room.
pub fn is_progress(kind: &Kind) -> bool {
    match kind {
        Kind::Log(_)
        | Kind::Transfer(_)
        | Kind::BuildStep(_)
        | Kind::Waiting(_)
        | Kind::Activity(_)
        // Announced again and again while a workspace is used now and then.
        | Kind::Expiring(_) => true,
        Kind::StateChanged(_)
        | Kind::StepStarted(_)
        | Kind::StepFinished(_)
        | Kind::Cloned(_)
        | Kind::Cache(_)
        | Kind::Push(_)
        | Kind::Container(_)
        | Kind::Warning(_)
        | Kind::ContainerEnded(_)
        | Kind::Hook(_)
        | Kind::Settled(_) => false,
    }
}

/// Cuts the texts of an event, so that events and the snapshot that they lead to fit into a message. What is cut ends with
/// `…`; of the tail of an output it is the beginning that goes.
pub fn cut(kind: &mut Kind) {
    match kind {
        Kind::Log(log) => cut_text(&mut log.text, MAX_OUTPUT),
        Kind::StateChanged(change) => {
            if let Some(failure) = &mut change.failure {
                cut_failure(failure);
            }
        }
        Kind::StepStarted(step) => cut_text(&mut step.description, MAX_TEXT),
        Kind::Cloned(cloned) => cut_text(&mut cloned.commit, MAX_TEXT),
        Kind::BuildStep(step) => cut_text(&mut step.name, MAX_TEXT),
        Kind::Cache(report) => {
            for text in [&mut report.key, &mut report.image_digest] {
                cut_text(text, MAX_TEXT);
            }
            let mut left = MAX_LIST;
            report.reasons.retain_mut(|reason| {
                cut_text(reason, MAX_TEXT);
                // An empty one costs something, too.
                let fits = reason.len() < left;
                left = if fits { left - reason.len() - 1 } else { 0 };
                fits
            });
        }
        Kind::Push(report) => {
            for text in [&mut report.digest, &mut report.message] {
                cut_text(text, MAX_TEXT);
            }
        }
        Kind::Container(container) => {
            let ids = [&mut container.container_id, &mut container.remote_user];
            for text in ids.into_iter().chain([&mut container.remote_folder]) {
                cut_text(text, MAX_TEXT);
            }
        }
        Kind::Warning(warning) => cut_text(&mut warning.message, MAX_TEXT),
        Kind::Hook(hook) => {
            for text in [&mut hook.name, &mut hook.origin, &mut hook.command] {
                cut_text(text, MAX_NAME);
            }
        }
        Kind::Waiting(waiting) => cut_text(&mut waiting.node, MAX_TEXT),
        Kind::Activity(activity) => {
            for text in [&mut activity.name, &mut activity.detail] {
                cut_text(text, MAX_TEXT);
            }
        }
        Kind::ContainerEnded(ended) => {
            cut_text(&mut ended.container_id, MAX_TEXT);
            cut_tail(&mut ended.output_tail);
        }
        Kind::StepFinished(_) | Kind::Transfer(_) | Kind::Expiring(_) | Kind::Settled(_) => {}
    }
}

fn cut_failure(failure: &mut Failure) {
    cut_text(&mut failure.message, MAX_TEXT);
    cut_tail(&mut failure.output_tail);
}

fn cut_tail(tail: &mut String) {
    if tail.len() > MAX_TEXT {
        let start = tail.ceil_char_boundary(tail.len() - MAX_TEXT);
        tail.replace_range(..start, "…");
    }
}

fn cut_text(text: &mut String, max: usize) {
    const CUT: &str = "…";
    if text.len() > max {
        text.truncate(text.floor_char_boundary(max - CUT.len()));
        text.push_str(CUT);
        // What was sent is as large as it came in.
        text.shrink_to_fit();
    }
}

#[cfg(test)]
mod tests {
    use hearth_api::v1::{
        Activity, BuildStep, CacheReport, Cloned, ContainerEnded, ContainerStarted, Hook, LogChunk,
        PushReport, StateChanged, StepStarted, Waiting, Warning,
    };
    use prost::Message as _;

    use super::*;

    /// Every kind with texts, filled with what `text` makes.
    fn filled(text: &dyn Fn() -> String, sentences: usize) -> Vec<Kind> {
        vec![
            Kind::Log(LogChunk {
                text: text(),
                ..LogChunk::default()
            }),
            Kind::StateChanged(StateChanged {
                failure: Some(Failure {
                    message: text(),
                    output_tail: text(),
                    ..Failure::default()
                }),
                ..StateChanged::default()
            }),
            Kind::Hook(Hook {
                name: text(),
                origin: text(),
                command: text(),
                ..Hook::default()
            }),
            Kind::StepStarted(StepStarted {
                description: text(),
                ..StepStarted::default()
            }),
            Kind::ContainerEnded(ContainerEnded {
                container_id: text(),
                output_tail: text(),
                ..ContainerEnded::default()
            }),
            Kind::Cloned(Cloned { commit: text() }),
            Kind::BuildStep(BuildStep {
                name: text(),
                ..BuildStep::default()
            }),
            Kind::Cache(CacheReport {
                reasons: (0..sentences).map(|_| text()).collect(),
                key: text(),
                image_digest: text(),
                ..CacheReport::default()
            }),
            Kind::Push(PushReport {
                digest: text(),
                message: text(),
                ..PushReport::default()
            }),
            Kind::Container(ContainerStarted {
                container_id: text(),
                remote_user: text(),
                remote_folder: text(),
            }),
            Kind::Warning(Warning { message: text() }),
            Kind::Waiting(Waiting {
                node: text(),
                ..Waiting::default()
            }),
            Kind::Activity(Activity {
                name: text(),
                detail: text(),
                ..Activity::default()
            }),
        ]
    }

    #[test]
    fn no_kind_of_event_is_large_and_an_ordinary_one_stays_as_it_is() {
        for mut kind in filled(&|| "ä".repeat(1_000_000), 30) {
            cut(&mut kind);
            let event = hearth_api::v1::Event {
                kind: Some(kind.clone()),
                ..hearth_api::v1::Event::default()
            };
            assert!(event.encoded_len() < 128 * 1024, "{}", event.encoded_len());
        }
        for kind in filled(&|| "a word or two".into(), 5) {
            let mut after = kind.clone();
            cut(&mut after);
            assert_eq!(after, kind);
        }
        let mut many = Kind::Cache(CacheReport {
            reasons: vec![String::new(); 1_000_000],
            ..CacheReport::default()
        });
        cut(&mut many);
        let Kind::Cache(many) = many else {
            unreachable!()
        };
        assert!(many.reasons.len() <= MAX_LIST);
    }

    #[test]
    fn of_a_long_tail_the_end_is_kept() {
        let mut failure = Failure {
            message: format!("first{}", "x".repeat(100_000)),
            output_tail: format!("{}last", "x".repeat(100_000)),
            ..Failure::default()
        };
        cut_failure(&mut failure);
        assert!(failure.message.starts_with("first") && failure.message.ends_with('…'));
        assert!(failure.output_tail.starts_with('…') && failure.output_tail.ends_with("last"));
    }
}
