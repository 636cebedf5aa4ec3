//! The filters of the engine's lists.

use std::collections::{BTreeMap, BTreeSet};

use hearth_domain::WorkspaceId;
use serde::Deserialize;

use crate::external::engine::WORKSPACE_LABEL;

#[derive(Deserialize)]
#[serde(untagged)]
enum Values {
    Set(BTreeMap<String, bool>),
    List(BTreeSet<String>),
}

/// The filters that a client asked for, and in any case the workspace's label. `None` if they cannot be read.
pub fn with_label(asked: Option<&str>, workspace: &WorkspaceId) -> Option<String> {
    let asked: BTreeMap<String, Values> = match asked {
        None | Some("") => BTreeMap::new(),
        Some(text) => serde_json::from_str(text).ok()?,
    };
    let mut filters: BTreeMap<String, BTreeMap<String, bool>> = asked
        .into_iter()
        .map(|(key, values)| {
            let values: Vec<String> = match values {
                Values::Set(set) => set.into_keys().collect(),
                Values::List(list) => list.into_iter().collect(),
            };
            (key, values.into_iter().map(|value| (value, true)).collect())
        })
        .collect();
    // All labels of a filter have to be there.
    let labels = filters.entry("label".to_owned()).or_default();
    labels.insert(format!("{WORKSPACE_LABEL}={workspace}"), true);
    serde_json::to_string(&filters).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_has_the_workspaces_label_whatever_is_asked_for() {
        let workspace = "ws-1".parse().unwrap();
        let filters = |asked| with_label(asked, &workspace);
        let own = r#"{"label":{"hearth.workspace=ws-1":true}}"#;
        assert_eq!(filters(None).unwrap(), own);
        assert_eq!(filters(Some("")).unwrap(), own);
        assert_eq!(
            filters(Some(r#"{"label":["hearth.workspace=ws-1"]}"#)).unwrap(),
            own
        );
        assert_eq!(
            filters(Some(r#"{"label":{"a=b":false},"event":["start"]}"#)).unwrap(),
            r#"{"event":{"start":true},"label":{"a=b":true,"hearth.workspace=ws-1":true}}"#
        );
        for bad in ["[]", "x", r#"{"label":"a"}"#, r#"{"label":{"a":{}}}"#] {
            assert_eq!(filters(Some(bad)), None, "{bad}");
        }
    }
}
