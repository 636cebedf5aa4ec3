//! The table of join tokens.

use hearth_api::v1::JoinToken;
use prost_types::Timestamp;

use super::{
    format::{age, between},
    table::{Room, fitted},
};

/// `hearth token ls`
pub(crate) fn table(tokens: &[JoinToken], now: &Timestamp) -> String {
    let rows = tokens.iter().map(|token| {
        [
            token.id.clone(),
            state(token, now),
            match token.uses_left {
                Some(uses) => uses.to_string(),
                None => "any".to_owned(),
            },
            match token.nodes.as_str() {
                "" => "*".to_owned(),
                nodes => nodes.to_owned(),
            },
            age(token.last_use_time.as_ref(), now),
            token.description.clone(),
        ]
    });
    let head = ["ID", "EXPIRES", "USES LEFT", "NODES", "USED", "FOR"];
    fitted(head, rows, &[5], Room::Wide)
}

/// When it expires: `in 3h`.
fn state(token: &JoinToken, now: &Timestamp) -> String {
    match &token.expire_time {
        Some(end) if between(now, end) > 0.0 => format!("in {}", age(Some(now), end)),
        _ => "expired".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_shown_with_what_is_left_of_it() {
        let at = |seconds| Timestamp { seconds, nanos: 0 };
        let token = JoinToken {
            id: "jt-1".into(),
            expire_time: Some(at(7200)),
            uses_left: Some(1),
            create_time: Some(at(0)),
            ..JoinToken::default()
        };
        let used = JoinToken {
            id: "jt-2".into(),
            expire_time: Some(at(50)),
            uses_left: None,
            nodes: "build-*".into(),
            last_use_time: Some(at(40)),
            description: "the pool".into(),
            ..token.clone()
        };
        let text = table(&[token, used], &at(100));
        let lines: Vec<Vec<&str>> = text
            .lines()
            .map(|line| {
                line.split("  ")
                    .map(str::trim)
                    .filter(|cell| !cell.is_empty())
                    .collect()
            })
            .collect();
        assert_eq!(lines[1], ["jt-1", "in 1h", "1", "*", "-", "-"], "{text}");
        assert_eq!(
            lines[2],
            ["jt-2", "expired", "any", "build-*", "1m", "the pool"],
            "{text}"
        );
    }
}
