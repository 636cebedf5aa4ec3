//! The REST API.

use std::sync::Arc;

use axum::{
    body::{Body, to_bytes},
    http::{HeaderMap, Request},
};
use serde_json::{Value, json};

use super::{
    Shared, clock, mint,
    respond::{self, Answer, Refusal},
    routes::Call,
    world::{BadToken, Installation, Permissions, Repository, Token, Visibility, World, has},
};

/// GitHub accepts more; no request of hearth comes near.
const LARGEST_BODY: usize = 64 * 1024;

/// Answers a request to the API.
pub async fn answer(shared: &Arc<Shared>, call: &Call, request: Request<Body>) -> Answer {
    let (head, body) = request.into_parts();
    if respond::get(&head.headers, "user-agent").is_none_or(str::is_empty) {
        return respond::text(
            403,
            "Request forbidden by administrative rules. Please make sure your request has a User-Agent header",
        );
    }
    let Ok(body) = to_bytes(body, LARGEST_BODY).await else {
        return respond::error(413, "Payload Too Large");
    };
    shared.change(|world| {
        let result = match call {
            Call::App => app_only(shared, world, &head.headers).map(|()| app(shared)),
            Call::Lookup { owner, name } => {
                app_only(shared, world, &head.headers).map(|()| lookup(shared, world, owner, name))
            }
            Call::Mint { installation } => app_only(shared, world, &head.headers)
                .map(|()| mint::answer(world, *installation, &body)),
            Call::Repositories => {
                token_only(world, &head.headers).map(|token| repositories(world, token))
            }
            Call::Repository { owner, name } => repository(world, &head.headers, owner, name),
            Call::Git { .. }
            | Call::LfsBatch { .. }
            | Call::LfsObject { .. }
            | Call::RegistryToken
            | Call::Unknown => Ok(respond::not_found()),
        };
        result.unwrap_or_else(|refusal| *refusal)
    })
}

fn app_only(shared: &Shared, world: &mut World, headers: &HeaderMap) -> Result<(), Refusal> {
    let Some(jwt) = respond::bearer(headers) else {
        return Err(respond::error(401, "Requires authentication").into());
    };
    let checked = shared.app.check(jwt, world.now());
    checked.map_err(|not| respond::error(not.status, not.message))?;
    world.records.secret(jwt);
    Ok(())
}

fn token_only<'a>(world: &'a World, headers: &HeaderMap) -> Result<&'a Token, Refusal> {
    let Some(secret) = respond::bearer(headers) else {
        return Err(respond::error(401, "Requires authentication").into());
    };
    world.token(secret).map_err(|bad| {
        Box::new(match bad {
            BadToken::Unknown => respond::error(401, "Bad credentials"),
            BadToken::Suspended => respond::error(403, "This installation has been suspended"),
        })
    })
}

fn app(shared: &Shared) -> Answer {
    respond::json(
        200,
        &json!({"id": shared.app.id(), "slug": "hearth", "name": "hearth", "events": []}),
    )
}

fn lookup(shared: &Shared, world: &World, owner: &str, name: &str) -> Answer {
    world
        .installation_of(owner, name)
        .map_or_else(respond::not_found, |installation| {
            respond::json(200, &installation_json(shared, installation))
        })
}

fn installation_json(shared: &Shared, installation: &Installation) -> Value {
    let id = installation.id;
    json!({
        "id": id,
        "app_id": shared.app.id(),
        "app_slug": "hearth",
        "account": {"login": installation.account, "type": "Organization"},
        "target_type": "Organization",
        "repository_selection": installation.repositories.selection(),
        "permissions": installation.permissions,
        "events": [],
        "suspended_at": installation.suspended_at.map(clock::rfc3339),
    })
}

fn repositories(world: &World, token: &Token) -> Answer {
    let visible: Vec<Value> = world
        .repositories
        .values()
        .filter(|at| world.allows(token, &at.owner, &at.name, "metadata", "read"))
        .map(|at| repository_json(at, &token.permissions))
        .collect();
    respond::json(
        200,
        &json!({
            "total_count": visible.len(),
            "repository_selection": token.repositories.selection(),
            "repositories": visible,
        }),
    )
}

fn repository(
    world: &World,
    headers: &HeaderMap,
    owner: &str,
    name: &str,
) -> Result<Answer, Refusal> {
    let token = match respond::bearer(headers) {
        Some(_) => Some(token_only(world, headers)?),
        None if headers.contains_key("authorization") => {
            return Err(respond::error(401, "Bad credentials").into());
        }
        None => None,
    };
    let repository = world
        .repository(owner, name)
        .ok_or_else(respond::not_found)?;
    let allowed = token.filter(|token| world.allows(token, owner, name, "metadata", "read"));
    match (repository.visibility, allowed) {
        (_, Some(token)) => Ok(respond::json(
            200,
            &repository_json(repository, &token.permissions),
        )),
        (Visibility::Public, None) => Ok(respond::json(
            200,
            &repository_json(repository, &Permissions::new()),
        )),
        (Visibility::Private, None) => Err(respond::not_found().into()),
    }
}

/// A repository, with what a token may do to it.
pub fn repository_json(repository: &Repository, permissions: &Permissions) -> Value {
    let may = |level| has(permissions, "contents", level);
    json!({
        "id": repository.id,
        "name": repository.name,
        "full_name": format!("{}/{}", repository.owner, repository.name),
        "private": repository.visibility == Visibility::Private,
        "owner": {"login": repository.owner, "type": "Organization"},
        "default_branch": "main",
        "permissions": {"admin": false, "push": may("write"), "pull": may("read")},
    })
}
