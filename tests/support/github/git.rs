//! Git over HTTP, and its access rights.

use std::sync::Arc;

use axum::{body::Body, http::Request};

use super::{
    Shared, cgi,
    respond::{self, Answer, Refusal},
    world::{BadToken, Visibility, World, full_name},
};

/// Answers one of git's requests.
pub async fn answer(
    shared: &Arc<Shared>,
    owner: &str,
    name: &str,
    action: &str,
    request: Request<Body>,
) -> Answer {
    let query = request.uri().query().unwrap_or_default();
    let service = match action {
        "info/refs" => query.strip_prefix("service=").unwrap_or_default(),
        service => service,
    };
    let write = match service {
        "git-upload-pack" => false,
        "git-receive-pack" => true,
        _ => return respond::text(403, "Please upgrade your git client."),
    };
    let login = respond::basic(request.headers());
    let password = login.as_ref().map(|(_, password)| password.as_str());
    if let Err(refusal) = access(&shared.world(), owner, name, password, write) {
        return *refusal;
    }
    let repository = format!("{}.git", full_name(owner, name));
    let user = login.map_or_else(String::new, |(user, _)| user);
    cgi::run(&shared.repositories, &repository, action, &user, request).await
}

pub(super) fn access(
    world: &World,
    owner: &str,
    name: &str,
    password: Option<&str>,
    write: bool,
) -> Result<(), Refusal> {
    let repository = world.repository(owner, name);
    let public = repository.is_some_and(|at| at.visibility == Visibility::Public);
    let Some(password) = password else {
        // What is private and what does not exist look the same.
        return if public && !write {
            Ok(())
        } else {
            Err(respond::challenge("Repository not found.").into())
        };
    };
    let token = world.token(password).map_err(|bad| match bad {
        BadToken::Unknown => respond::challenge("Invalid username or token."),
        BadToken::Suspended => respond::text(403, "This installation has been suspended"),
    })?;
    let reads = public || world.allows(token, owner, name, "contents", "read");
    if !reads {
        return Err(respond::text(404, "Repository not found.").into());
    }
    if write && !world.allows(token, owner, name, "contents", "write") {
        return Err(respond::text(403, "Write access to repository not granted.").into());
    }
    Ok(())
}
