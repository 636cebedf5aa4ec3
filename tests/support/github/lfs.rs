//! Git LFS: the batch API, with the rights of the repository, and the files, which are at a place of their own that takes no
//! login but the one in the answer.

use std::sync::Arc;

use axum::{
    body::{Body, to_bytes},
    http::{HeaderMap, Request},
};
use hearth_domain::sha256_hex;
use serde_json::{Value, json};

use super::{
    GitHub, Shared, git,
    repositories::split,
    respond::{self, Answer},
    world::full_name,
};

const MAX_BYTES: usize = 1024 * 1024;
/// What the place of the files takes.
const TRANSFER: &str = "RemoteAuth transfer-of-one-file";

impl GitHub {
    /// Keeps a content for a repository, and returns the pointer to it.
    pub fn lfs(&self, repository: &str, content: &str) -> String {
        let (owner, name) = split(repository);
        let (oid, of) = (sha256_hex(content), full_name(owner, name));
        let pointer = format!(
            "version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {}\n",
            content.len()
        );
        self.shared
            .change(|world| world.lfs.insert(oid, (of, content.to_owned())));
        pointer
    }
}

/// Says where files are.
pub async fn batch(
    shared: &Arc<Shared>,
    owner: &str,
    name: &str,
    request: Request<Body>,
) -> Answer {
    let login = respond::basic(request.headers());
    let password = login.as_ref().map(|(_, password)| password.as_str());
    if let Err(refusal) = git::access(&shared.world(), owner, name, password, false) {
        return *refusal;
    }
    let host = respond::get(request.headers(), "host").unwrap_or_default();
    let host = host.to_owned();
    let body = to_bytes(request.into_body(), MAX_BYTES).await;
    let asked: Option<Value> = body
        .ok()
        .and_then(|body| serde_json::from_slice(&body).ok());
    let Some(asked) = asked.filter(|asked| asked["operation"] == "download") else {
        return respond::error(422, "only downloads");
    };
    let objects = asked["objects"].as_array().cloned().unwrap_or_default();
    let world = shared.world();
    let answers = objects.iter().map(|object| {
        let oid = object["oid"].as_str().unwrap_or_default();
        let kept = world.lfs.get(oid);
        match kept.filter(|(of, _)| *of == full_name(owner, name)) {
            Some((_, content)) => json!({
                "oid": oid,
                "size": content.len(),
                "actions": { "download": {
                    "href": format!("http://{host}/lfs-objects/{oid}"),
                    "header": { "Authorization": TRANSFER },
                }},
            }),
            None => json!({
                "oid": oid,
                "size": object["size"],
                "error": { "code": 404, "message": "Object does not exist" },
            }),
        }
    });
    let answers: Vec<_> = answers.collect();
    let mut answer = respond::json(200, &json!({ "transfer": "basic", "objects": answers }));
    respond::set(&mut answer, "content-type", "application/vnd.git-lfs+json");
    answer
}

/// A file.
pub fn object(shared: &Arc<Shared>, oid: &str, headers: &HeaderMap) -> Answer {
    // A login of the git host has no business here.
    if respond::get(headers, "authorization") != Some(TRANSFER) {
        return respond::text(403, "this is not the login of the answer");
    }
    match shared.world().lfs.get(oid) {
        Some((_, content)) => respond::answer(200, Body::from(content.clone())),
        None => respond::not_found(),
    }
}
