//! Installation tokens.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    api::repository_json,
    clock,
    faults::Lie,
    respond::{self, Answer},
    world::{Installation, Permissions, Repositories, Token, World, full_name, has, rank},
};

/// The longest list that GitHub accepts.
const MOST_REPOSITORIES: usize = 500;

#[derive(Default, Deserialize)]
struct Wanted {
    repositories: Option<Vec<String>>,
    permissions: Option<Permissions>,
}

/// Makes a token with exactly what was asked for, or says why not.
pub fn answer(world: &mut World, installation: u64, body: &[u8]) -> Answer {
    let Some(at) = world.installations.get(&installation) else {
        return respond::not_found();
    };
    if at.suspended_at.is_some() {
        return respond::error(403, "This installation has been suspended");
    }
    let wanted = match body {
        [] => Wanted::default(),
        body => match serde_json::from_slice(body) {
            Ok(wanted) => wanted,
            Err(_) => return respond::error(400, "Problems parsing JSON"),
        },
    };
    let listed = wanted.repositories.is_some();
    let rights = repositories(world, at, wanted.repositories)
        .and_then(|repositories| Ok((repositories, permissions(at, wanted.permissions)?)));
    let (repositories, permissions) = match rights {
        Ok(rights) => rights,
        Err(message) => return respond::error(422, message),
    };
    let mut token = Token {
        installation,
        account: at.account.clone(),
        repositories,
        permissions,
        expires: world.now() + clock::seconds(world.token_lifetime),
    };
    let lie = world.faults.lie.clone();
    match &lie {
        Some(Lie::Permissions(permissions)) => token.permissions = permissions.clone(),
        Some(Lie::Repository(name)) => token.repositories = Repositories::selected(&[name]),
        Some(Lie::NoToken) | None => {}
    }
    let secret = new_secret();
    let mut value = token_json(world, &token, listed);
    if lie != Some(Lie::NoToken) {
        value.insert("token".to_owned(), secret.clone().into());
    }
    record(world, &token, &secret);
    world.tokens.insert(secret, token);
    respond::json(201, &value.into())
}

fn repositories(
    world: &World,
    at: &Installation,
    wanted: Option<Vec<String>>,
) -> Result<Repositories, &'static str> {
    let Some(names) = wanted.filter(|names| !names.is_empty()) else {
        return Ok(at.repositories.clone());
    };
    if names.len() > MOST_REPOSITORIES {
        return Err("Too many repositories were requested");
    }
    let reachable = |name: &String| {
        world
            .installation_of(&at.account, name)
            .is_some_and(|found| found.id == at.id)
    };
    if !names.iter().all(reachable) {
        return Err(
            "There is at least one repository that does not exist or is not accessible to the parent installation.",
        );
    }
    let names: BTreeSet<String> = names.iter().map(|name| name.to_ascii_lowercase()).collect();
    Ok(Repositories::Selected(names))
}

fn permissions(
    at: &Installation,
    wanted: Option<Permissions>,
) -> Result<Permissions, &'static str> {
    let Some(mut permissions) = wanted.filter(|wanted| !wanted.is_empty()) else {
        return Ok(at.permissions.clone());
    };
    let granted = |(permission, level): (&String, &String)| {
        rank(level) > 0 && has(&at.permissions, permission, level)
    };
    if !permissions.iter().all(granted) {
        return Err("The permissions requested are not granted to this installation.");
    }
    // Every permission on a repository includes this one.
    permissions.insert("metadata".to_owned(), "read".to_owned());
    Ok(permissions)
}

fn token_json(world: &World, token: &Token, listed: bool) -> Map<String, Value> {
    let mut value = Map::new();
    value.insert(
        "expires_at".to_owned(),
        clock::rfc3339(token.expires).into(),
    );
    value.insert("permissions".to_owned(), json!(token.permissions));
    value.insert(
        "repository_selection".to_owned(),
        token.repositories.selection().into(),
    );
    if let (true, Repositories::Selected(names)) = (listed, &token.repositories) {
        let repositories: Vec<Value> = names
            .iter()
            .filter_map(|name| world.repository(&token.account, name))
            .map(|repository| repository_json(repository, &token.permissions))
            .collect();
        value.insert("repositories".to_owned(), repositories.into());
    }
    value
}

fn record(world: &mut World, token: &Token, secret: &str) {
    let records = &mut world.records;
    records.secret(secret);
    records.mints += 1;
    if let Repositories::Selected(names) = &token.repositories {
        for name in names {
            *records
                .minted
                .entry(full_name(&token.account, name))
                .or_default() += 1;
        }
    }
}

/// `ghs_` and 36 letters and digits.
fn new_secret() -> String {
    const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut secret = "ghs_".to_owned();
    for _ in 0..2 {
        let mut random = uuid::Uuid::new_v4().as_u128();
        for _ in 0..18 {
            let digit = usize::try_from(random % 62).expect("a digit");
            secret.push(char::from(ALPHABET[digit]));
            random /= 62;
        }
    }
    secret
}
