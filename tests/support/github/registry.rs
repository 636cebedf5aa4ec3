//! The token endpoint: rights on packages, from rights on repositories.
//!
//! `GET` with Basic as in the distribution project's "Token Authentication Specification", and `POST` with a form as in
//! its "OAuth2 Token Authentication".

use std::{collections::HashMap, sync::Arc};

use axum::{
    body::{Body, to_bytes},
    http::{Method, Request},
};
use serde_json::json;
use url::form_urlencoded;

use super::{
    Shared, clock,
    registry_tokens::{Access, SERVICE},
    respond::{self, Answer, Refusal},
    world::{Token, World},
};

const LARGEST_FORM: usize = 64 * 1024;
/// Clients accept no token with a shorter lifetime.
const SHORTEST_SECONDS: i64 = 60;

struct Asked {
    login: Option<(String, String)>,
    service: Option<String>,
    scopes: Vec<String>,
}

/// Answers a request for a token of the registry.
pub async fn answer(shared: &Arc<Shared>, request: Request<Body>) -> Answer {
    let asked = match asked(request).await {
        Ok(asked) => asked,
        Err(refusal) => return *refusal,
    };
    if asked.service.as_deref() != Some(SERVICE) {
        return refused(400, "UNSUPPORTED", "this service is not known here");
    }
    shared.change(|world| give(shared, world, &asked))
}

async fn asked(request: Request<Body>) -> Result<Asked, Refusal> {
    let (head, body) = request.into_parts();
    if head.method == Method::GET {
        let query = head.uri.query().unwrap_or_default();
        let (mut fields, scopes) = fields(query.as_bytes());
        return Ok(Asked {
            login: respond::basic(&head.headers),
            service: fields.remove("service"),
            scopes,
        });
    }
    let Ok(form) = to_bytes(body, LARGEST_FORM).await else {
        return Err(refused(413, "UNSUPPORTED", "this form is too large").into());
    };
    let (mut fields, scopes) = fields(&form);
    if fields.get("grant_type").map(String::as_str) != Some("password") {
        let error = json!({"error": "unsupported_grant_type"});
        return Err(respond::json(400, &error).into());
    }
    Ok(Asked {
        login: Some((
            fields.remove("username").unwrap_or_default(),
            fields.remove("password").unwrap_or_default(),
        )),
        service: fields.remove("service"),
        scopes,
    })
}

/// The fields of a form, and its scopes: there may be several, in one field or in many.
fn fields(form: &[u8]) -> (HashMap<String, String>, Vec<String>) {
    let mut scopes = Vec::new();
    let mut fields = HashMap::new();
    for (name, value) in form_urlencoded::parse(form) {
        if name == "scope" {
            scopes.extend(value.split_whitespace().map(str::to_owned));
        } else {
            fields.insert(name.into_owned(), value.into_owned());
        }
    }
    (fields, scopes)
}

fn give(shared: &Shared, world: &mut World, asked: &Asked) -> Answer {
    let admin = shared.signer.admin_password();
    let (user, access) = match &asked.login {
        None => (
            "",
            rights(asked, |path, actions| {
                only(actions, |it| {
                    it == "pull" && world.public_packages.contains(path)
                })
            }),
        ),
        Some((user, password)) if user == "admin" && password == admin => {
            (user.as_str(), rights(asked, |_, actions| actions.to_vec()))
        }
        Some((user, password)) => match world.token(password) {
            Ok(token) => (
                user.as_str(),
                rights(asked, |path, actions| allowed(world, token, path, actions)),
            ),
            Err(_) => return refused(401, "UNAUTHORIZED", "authentication required"),
        },
    };
    let lifetime = clock::seconds(world.registry_token_lifetime).max(SHORTEST_SECONDS);
    let now = clock::machine_seconds();
    let token = shared.signer.sign(user, &access, now, lifetime);
    world.records.secret(&token);
    respond::json(
        200,
        &json!({
            "token": token,
            "access_token": token,
            "expires_in": lifetime,
            "issued_at": clock::rfc3339(now),
            "scope": scope_text(&access),
        }),
    )
}

/// What of the scopes is given; what is not known is left out.
fn rights(asked: &Asked, allowed: impl Fn(&str, &[String]) -> Vec<String>) -> Vec<Access> {
    let mut access = Vec::new();
    for scope in &asked.scopes {
        let mut parts = scope.splitn(3, ':');
        let (Some(kind), Some(name), Some(actions)) = (parts.next(), parts.next(), parts.next())
        else {
            continue;
        };
        let actions: Vec<String> = actions.split(',').map(str::to_owned).collect();
        let actions = allowed(name, &actions);
        if !actions.is_empty() {
            access.push(Access {
                kind: kind.to_owned(),
                name: name.to_owned(),
                actions,
            });
        }
    }
    access
}

fn allowed(world: &World, token: &Token, path: &str, actions: &[String]) -> Vec<String> {
    let level = |level| {
        owners(path).any(|(owner, name)| world.allows(token, owner, name, "packages", level))
    };
    let (reads, writes) = (level("read"), level("write"));
    let creates = !world.faults.no_new_packages || exists(world, path);
    only(actions, |action| match action {
        "pull" => reads || world.public_packages.contains(path),
        "push" => writes && creates,
        "delete" => writes,
        _ => false,
    })
}

fn only(actions: &[String], allowed: impl Fn(&str) -> bool) -> Vec<String> {
    let mut actions = actions.to_vec();
    actions.retain(|action| allowed(action));
    actions
}

/// The repositories that a package's path may belong to: `owner/name` anywhere in it, with or without the hash that
/// hearth puts at the end of a path that it had to change.
fn owners(path: &str) -> impl Iterator<Item = (&str, &str)> {
    let parts: Vec<&str> = path.split('/').collect();
    let pairs: Vec<(&str, &str)> = parts.windows(2).map(|pair| (pair[0], pair[1])).collect();
    pairs.into_iter().flat_map(|(owner, name)| {
        let original = name
            .rsplit_once('-')
            .filter(|(_, hash)| {
                hash.len() == 32 && hash.bytes().all(|byte| byte.is_ascii_hexdigit())
            })
            .map(|(name, _)| name);
        std::iter::once(name)
            .chain(original)
            .map(move |name| (owner, name))
    })
}

/// Whether something was ever pushed there.
fn exists(world: &World, path: &str) -> bool {
    let packages = world.packages.as_deref();
    packages.is_some_and(|dir| dir.join(path).join("_manifests").is_dir())
}

fn scope_text(access: &[Access]) -> String {
    let scopes: Vec<String> = access
        .iter()
        .map(|at| format!("{}:{}:{}", at.kind, at.name, at.actions.join(",")))
        .collect();
    scopes.join(" ")
}

fn refused(status: u16, code: &str, message: &str) -> Answer {
    respond::json(
        status,
        &json!({"errors": [{"code": code, "message": message}]}),
    )
}
