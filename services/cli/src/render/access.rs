//! Who may call what.

use hearth_api::v1::{Client, GetCallerResponse, Secret};
use hearth_domain::text::printable_line;
use prost_types::Timestamp;

use super::{
    format::{age, between},
    names,
    table::{Room, fitted},
};

/// `hearth client ls`
pub(crate) fn clients(clients: &[Client], room: Room, now: &Timestamp) -> String {
    let rows = clients.iter().map(|client| {
        [
            client.name.clone(),
            scopes(client, ","),
            repositories(client),
            age(client.create_time.as_ref(), now),
            age(client.last_use_time.as_ref(), now),
            ends(client.expire_time.as_ref(), now),
        ]
    });
    let head = [
        "NAME",
        "SCOPES",
        "REPOSITORIES",
        "AGE",
        "LAST USE",
        "ENDS IN",
    ];
    fitted(head, rows, &[0, 2], room)
}

/// `hearth secret ls`
pub(crate) fn secrets(secrets: &[Secret], room: Room, now: &Timestamp) -> String {
    let rows = secrets.iter().map(|secret| {
        let refs = match secret.all_refs {
            true => "all",
            false => "trusted",
        };
        [
            secret.name.clone(),
            secret.repositories.clone(),
            refs.to_owned(),
            age(secret.create_time.as_ref(), now),
            age(secret.update_time.as_ref(), now),
        ]
    });
    let head = ["NAME", "REPOSITORIES", "REFS", "AGE", "SET"];
    fitted(head, rows, &[0, 1], room)
}

/// Who calls, and what they may.
pub(crate) fn caller(caller: &GetCallerResponse) -> String {
    match &caller.client {
        Some(client) => format!("you are {}", described(client)),
        None => "it lets everybody in, and asks for no token".to_owned(),
    }
}

/// `client ci (prepare, exec), for github.com/acme/*`
pub(crate) fn described(client: &Client) -> String {
    let text = format!(
        "client {} ({}), for {}",
        client.name,
        scopes(client, ", "),
        repositories(client)
    );
    printable_line(&text)
}

fn scopes(client: &Client, between: &str) -> String {
    let scopes = client.scopes.iter().map(|scope| names::scope(*scope));
    scopes.collect::<Vec<_>>().join(between)
}

fn repositories(client: &Client) -> String {
    match client.repositories.is_empty() {
        true => "all repositories".to_owned(),
        false => client.repositories.join(","),
    }
}

fn ends(time: Option<&Timestamp>, now: &Timestamp) -> String {
    match time {
        Some(time) if between(now, time) > 0.0 => age(Some(now), time),
        Some(_) => "expired".to_owned(),
        None => "-".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use hearth_api::v1::ClientScope;

    use super::*;

    #[test]
    fn secrets_are_a_table() {
        let at = |seconds| Some(Timestamp { seconds, nanos: 0 });
        let secret = Secret {
            name: "NPM_TOKEN".into(),
            repositories: "github.com/acme/*".into(),
            all_refs: false,
            create_time: at(0),
            update_time: at(3540),
        };
        assert_eq!(
            secrets(&[secret], Room::Fitted, &at(3600).expect("a time")),
            "\
NAME       REPOSITORIES       REFS     AGE  SET
NPM_TOKEN  github.com/acme/*  trusted  1h   1m
"
        );
    }

    #[test]
    fn clients_are_a_table_and_what_they_may_is_a_sentence() {
        let at = |seconds| Some(Timestamp { seconds, nanos: 0 });
        let ci = Client {
            name: "ci".into(),
            scopes: vec![ClientScope::Read.into(), ClientScope::Prepare.into()],
            repositories: vec!["github.com/acme/*".into(), "git.example/\u{1b}[31mx".into()],
            create_time: at(0),
            expire_time: at(7200),
            last_use_time: at(3540),
        };
        let old = Client {
            name: "old".into(),
            scopes: vec![ClientScope::Admin.into()],
            create_time: at(0),
            expire_time: at(10),
            ..Client::default()
        };
        assert_eq!(
            clients(&[ci.clone(), old], Room::Fitted, &at(3600).expect("a time")),
            "\
NAME  SCOPES        REPOSITORIES                     AGE  LAST USE  ENDS IN
ci    read,prepare  github.com/acme/*,git.example/x  1h   1m        1h
old   admin         all repositories                 1h   -         expired
"
        );
        assert_eq!(
            caller(&GetCallerResponse { client: Some(ci) }),
            "you are client ci (read, prepare), for github.com/acme/*,git.example/x"
        );
    }
}
