//! The configurations of a repository.

use hearth_api::v1::{ConfigKind, DevcontainerConfig, ListConfigsResponse};
use hearth_domain::text::printable_line;

use super::table::{Room, fitted};

/// What stands for the default configuration, which has no name.
const DEFAULT: &str = "(default)";

/// `hearth configs`
pub(crate) fn table(listed: &ListConfigsResponse, room: Room) -> String {
    let mut text = if listed.configs.is_empty() {
        let what = match listed.commit.as_str() {
            "" => "the repository has no commit yet",
            _ => "it has no devcontainer configuration",
        };
        format!("{what}\n")
    } else {
        let rows = listed.configs.iter().map(|config| {
            [
                asked_for(&config.config).to_owned(),
                kind(config).to_owned(),
                config.name.clone(),
                config.path.clone(),
            ]
        });
        fitted(["CONFIG", "KIND", "NAME", "FILE"], rows, &[2, 3], room)
    };
    let told = listed.configs.iter().flat_map(|config| {
        let (error, warning) = (&config.error, &config.warning);
        let told = [error, warning].into_iter().filter(|text| !text.is_empty());
        told.map(|text| format!("{}: {}\n", asked_for(&config.config), text))
    });
    text.extend(told.map(|line| format!("{}\n", printable_line(line.trim_end()))));
    text.push_str(&match &listed.used {
        Some(used) if used.is_empty() => "without --config: the default one".to_owned(),
        Some(used) => format!("without --config: {}, the only one", printable_line(used)),
        None => "without --config: the default image".to_owned(),
    });
    text
}

fn asked_for(config: &str) -> &str {
    match config {
        "" => DEFAULT,
        config => config,
    }
}

fn kind(config: &DevcontainerConfig) -> &'static str {
    match config.kind() {
        ConfigKind::Unspecified => "unreadable",
        ConfigKind::Image => "image",
        ConfigKind::Dockerfile => "dockerfile",
        ConfigKind::Compose => "compose",
        ConfigKind::None => "none",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(config: &str, kind: ConfigKind) -> DevcontainerConfig {
        DevcontainerConfig {
            config: config.into(),
            path: format!(".devcontainer/{config}/devcontainer.json"),
            name: format!("the {config}"),
            kind: kind.into(),
            ..DevcontainerConfig::default()
        }
    }

    #[test]
    fn configurations_are_shown_with_what_asks_for_them_and_what_is_wrong() {
        let mut broken = config("gpu", ConfigKind::Unspecified);
        broken.error = "line 3:\u{1b}[31m no value".into();
        let listed = ListConfigsResponse {
            commit: "1".into(),
            configs: vec![config("", ConfigKind::Compose), broken],
            used: Some(String::new()),
        };
        let text = table(&listed, Room::Wide);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[1].starts_with("(default)  compose"), "{text}");
        assert!(lines[2].starts_with("gpu        unreadable"), "{text}");
        assert!(
            lines[3].starts_with("gpu: line 3:") && !text.contains('\u{1b}'),
            "{text}"
        );
        assert_eq!(lines[4], "without --config: the default one");
    }

    #[test]
    fn what_is_used_without_a_name_is_told_also_when_there_is_none() {
        let only = ListConfigsResponse {
            commit: "1".into(),
            configs: vec![config("api", ConfigKind::Image)],
            used: Some("api".into()),
        };
        assert!(table(&only, Room::Wide).ends_with("without --config: api, the only one"));
        let none = ListConfigsResponse {
            commit: "1".into(),
            ..ListConfigsResponse::default()
        };
        let text = table(&none, Room::Wide);
        assert_eq!(
            text,
            "it has no devcontainer configuration\nwithout --config: the default image"
        );
        let empty = table(&ListConfigsResponse::default(), Room::Wide);
        assert!(
            empty.starts_with("the repository has no commit yet"),
            "{empty}"
        );
    }
}
