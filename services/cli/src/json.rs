use std::fmt::Write as _;

use anyhow::Context as _;
use hearth_domain::text;
use prost::{Message, Name};
use prost_reflect::{DescriptorPool, DynamicMessage};

use crate::{error::CliError, out};

/// Prints messages as proto3 JSON, one line each: lowerCamelCase names, enums by name, 64-bit numbers as strings,
/// fields with their default value left out.
#[derive(Debug)]
pub(crate) struct Json {
    pool: DescriptorPool,
}

impl Json {
    pub(crate) fn new() -> anyhow::Result<Self> {
        let pool = DescriptorPool::decode(hearth_api::FILE_DESCRIPTOR_SET)
            .context("cannot read the contract")?;
        Ok(Self { pool })
    }

    /// Prints a message on stdout.
    pub(crate) fn print<M: Message + Name>(&self, message: &M) -> Result<(), CliError> {
        out::print(&self.line(message).map_err(CliError::Local)?)
    }

    /// Prints messages on stdout.
    pub(crate) fn print_all<M: Message + Name>(&self, messages: &[M]) -> Result<(), CliError> {
        messages.iter().try_for_each(|message| self.print(message))
    }

    fn line<M: Message + Name>(&self, message: &M) -> anyhow::Result<String> {
        let name = M::full_name();
        let descriptor = self
            .pool
            .get_message_by_name(&name)
            .with_context(|| format!("{name} is not in the contract"))?;
        let dynamic = DynamicMessage::decode(descriptor, message.encode_to_vec().as_slice())?;
        Ok(escape(&serde_json::to_string(&dynamic)?))
    }
}

/// JSON may contain DEL and C1 controls, which a terminal obeys, and bidirectional marks. They only occur inside strings,
/// where an escape means the same.
fn escape(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    for c in json.chars() {
        if text::is_harmful(c) {
            // Writing to a `String` cannot fail.
            write!(escaped, "\\u{:04x}", u32::from(c)).ok();
        } else {
            escaped.push(c);
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use hearth_api::v1::{self, LogChunk, PipelineStep, WorkspaceState, event};

    use super::*;

    #[test]
    fn json_is_canonical() {
        let json = Json::new().expect("the contract");
        let workspace = v1::Workspace {
            id: "w-1".into(),
            state: WorkspaceState::Ready.into(),
            last_sequence: 9,
            ready_seconds: 1.5,
            create_time: Some(prost_types::Timestamp {
                seconds: 0,
                nanos: 500_000_000,
            }),
            ..Default::default()
        };
        assert_eq!(
            json.line(&workspace).expect("json"),
            r#"{"id":"w-1","state":"WORKSPACE_STATE_READY","readySeconds":1.5,"createTime":"1970-01-01T00:00:00.500Z","lastSequence":"9"}"#
        );
    }

    #[test]
    fn no_control_character_survives_and_the_text_stays_the_same() {
        let text = "a\u{9b}31m\u{1b}[0m\u{7f}\u{202e}\n";
        let event = v1::Event {
            kind: Some(event::Kind::Log(LogChunk {
                step: PipelineStep::Image.into(),
                text: text.into(),
                dropped_lines: 0,
            })),
            ..Default::default()
        };
        let line = Json::new()
            .and_then(|json| json.line(&event))
            .expect("json");
        assert!(line.chars().all(|c| !c.is_control()), "{line:?}");
        let parsed: serde_json::Value = serde_json::from_str(&line).expect("valid JSON");
        assert_eq!(parsed["log"]["text"], text);
    }
}
