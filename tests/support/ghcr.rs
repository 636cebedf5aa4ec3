//! Refusals as GHCR words them. A registry of the distribution project asks again for a login where a token has too few
//! rights; GHCR says 403, and why.

use std::path::Path;

/// GHCR's own answer to a request, where it differs from the registry's. `packages` has a folder for each package.
pub fn refusal(request: &str, answer: &str, packages: &Path) -> Option<String> {
    let refused = answer.starts_with("HTTP/1.1 401") && answer.contains("insufficient_scope");
    if !refused {
        return None;
    }
    let mut words = request.split(' ');
    let (method, path) = (words.next()?, words.next()?);
    let message = match method {
        "GET" | "HEAD" => "permission_denied: read_package",
        _ if exists(path, packages) => "permission_denied: write_package",
        _ => "installation not allowed to Create organization package",
    };
    Some(denied(message))
}

/// An answer with 403.
pub fn denied(message: &str) -> String {
    let body = format!(r#"{{"errors":[{{"code":"DENIED","message":"{message}"}}]}}"#);
    format!(
        "HTTP/1.1 403 Forbidden\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

fn exists(path: &str, packages: &Path) -> bool {
    let package = path.strip_prefix("/v2/").and_then(|rest| {
        ["/blobs/", "/manifests/", "/tags/"]
            .iter()
            .find_map(|part| rest.split_once(part))
    });
    package.is_some_and(|(package, _)| packages.join(package).join("_manifests").is_dir())
}
