use std::fmt::Write as _;

use anyhow::Context as _;
use hearth_api::v1;
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage};

/// Messages that are printed, with their names in the contract.
pub(crate) trait Named: Message {
    const NAME: &'static str;
}

impl Named for v1::Event {
    const NAME: &'static str = "hearth.v1.Event";
}
impl Named for v1::Workspace {
    const NAME: &'static str = "hearth.v1.Workspace";
}
impl Named for v1::Node {
    const NAME: &'static str = "hearth.v1.Node";
}
impl Named for v1::DeleteWorkspaceResponse {
    const NAME: &'static str = "hearth.v1.DeleteWorkspaceResponse";
}
impl Named for v1::CacheEntry {
    const NAME: &'static str = "hearth.v1.CacheEntry";
}
impl Named for v1::Explanation {
    const NAME: &'static str = "hearth.v1.Explanation";
}
impl Named for v1::InvalidateEntryResponse {
    const NAME: &'static str = "hearth.v1.InvalidateEntryResponse";
}
impl Named for v1::ProbeAccessResponse {
    const NAME: &'static str = "hearth.v1.ProbeAccessResponse";
}
impl Named for v1::GetStatsResponse {
    const NAME: &'static str = "hearth.v1.GetStatsResponse";
}

/// Turns messages into proto3 JSON, one line each: lowerCamelCase names, enums by name, 64-bit numbers as strings,
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

    pub(crate) fn line<M: Named>(&self, message: &M) -> anyhow::Result<String> {
        let descriptor = self
            .pool
            .get_message_by_name(M::NAME)
            .with_context(|| format!("{} is not in the contract", M::NAME))?;
        let dynamic = DynamicMessage::decode(descriptor, message.encode_to_vec().as_slice())?;
        Ok(escape(&serde_json::to_string(&dynamic)?))
    }
}

/// JSON may carry DEL and the C1 controls as they are, which a terminal takes for commands, and the marks that turn
/// the direction of writing. They only occur inside strings, where an escape means the same.
fn escape(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    for c in json.chars() {
        if crate::render::clean::is_harmful(c) {
            // Writing to a String cannot fail.
            write!(escaped, "\\u{:04x}", u32::from(c)).ok();
        } else {
            escaped.push(c);
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use hearth_api::v1::{LogChunk, PipelineStep, WorkspaceState, event};

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
