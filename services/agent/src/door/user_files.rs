//! The files of a container that the engine opens to start it.

use std::path::Path;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{Method, Request, StatusCode};
use serde::Deserialize;
use url::form_urlencoded;

use super::{
    answer::No,
    upstream::{self, Unanswered, Upstream},
};

/// What the engine and its runtime look users and groups up in.
const USER_FILES: [&str; 2] = ["/etc/passwd", "/etc/group"];
/// Most links that are followed. The engine itself tells the end of a chain of links.
const MAX_LINKS: usize = 8;
const HEADER: &str = "x-docker-container-path-stat";

/// Bits of Go's `os.FileMode`.
const DIRECTORY: u32 = 1 << 31;
const LINK: u32 = 1 << 27;
const DEVICE: u32 = 1 << 26;
const PIPE: u32 = 1 << 25;
const SOCKET: u32 = 1 << 24;
const CHARACTER_DEVICE: u32 = 1 << 21;
const IRREGULAR: u32 = 1 << 19;

#[derive(Deserialize)]
struct Stat {
    mode: u32,
    #[serde(rename = "linkTarget", default)]
    link_target: String,
}

#[derive(Debug, PartialEq, Eq)]
enum Kind {
    Regular,
    Link,
    Other,
}

/// What a file is, by its mode.
fn kind(mode: u32) -> Kind {
    if mode & LINK != 0 {
        Kind::Link
    } else if mode & (DIRECTORY | DEVICE | PIPE | SOCKET | CHARACTER_DEVICE | IRREGULAR) != 0 {
        Kind::Other
    } else {
        Kind::Regular
    }
}

/// Refuses to start a container in which one of the files is no file: the engine would wait for ever for who writes into
/// a pipe, with the container locked, so that it could not even be removed.
pub async fn check(engine: &Upstream, container: &str) -> Result<(), No> {
    let [passwd, group] = USER_FILES;
    tokio::try_join!(
        check_file(engine, container, passwd),
        check_file(engine, container, group),
    )?;
    Ok(())
}

async fn check_file(engine: &Upstream, container: &str, file: &str) -> Result<(), No> {
    let mut path = file.to_owned();
    for _ in 0..=MAX_LINKS {
        // What the engine cannot find or tell it does not open either.
        let Some(stat) = stat(engine, container, &path).await? else {
            return Ok(());
        };
        match kind(stat.mode) {
            Kind::Regular => return Ok(()),
            Kind::Link => {
                let folder = Path::new(&path).parent().unwrap_or(Path::new("/"));
                // The engine keeps `..` within the container.
                let target = folder.join(stat.link_target);
                path = target.to_string_lossy().into_owned();
            }
            Kind::Other => break,
        }
    }
    Err(No::Forbidden(format!(
        "the image's {file} is not a regular file: the container would never start"
    )))
}

/// What the engine says of a path in a container. It opens nothing for it.
async fn stat(engine: &Upstream, container: &str, path: &str) -> Result<Option<Stat>, Unanswered> {
    let query = form_urlencoded::Serializer::new(String::new())
        .append_pair("path", path)
        .finish();
    let mut request = Request::new(upstream::empty());
    *request.method_mut() = Method::HEAD;
    // An id and an encoded query are what a URI may have.
    *request.uri_mut() = format!("/containers/{container}/archive?{query}")
        .parse()
        .unwrap_or_default();
    let answer = engine.send(request).await?;
    if answer.status() != StatusCode::OK {
        return Ok(None);
    }
    let stat = answer.headers().get(HEADER);
    let stat = stat.and_then(|stat| STANDARD.decode(stat).ok());
    Ok(stat.and_then(|stat| serde_json::from_slice(&stat).ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_are_regular_whatever_their_rights() {
        for (mode, expected) in [
            (0o644, Kind::Regular),
            (0, Kind::Regular),
            // Setuid, setgid and sticky.
            (1 << 23 | 1 << 22 | 1 << 20 | 0o777, Kind::Regular),
            (LINK | 0o777, Kind::Link),
            (DIRECTORY | 0o755, Kind::Other),
            (PIPE | 0o644, Kind::Other),
            (SOCKET | 0o644, Kind::Other),
            (DEVICE | 0o660, Kind::Other),
            (DEVICE | CHARACTER_DEVICE | 0o666, Kind::Other),
        ] {
            assert_eq!(kind(mode), expected, "{mode:o}");
        }
    }

    #[test]
    fn what_the_engine_tells_is_read() {
        let told = r#"{"name":"passwd","size":0,"mode":134218239,"mtime":"2026-01-01T00:00:00Z","linkTarget":"/etc/other"}"#;
        let stat: Stat = serde_json::from_str(told).unwrap();
        assert_eq!(kind(stat.mode), Kind::Link);
        assert_eq!(stat.link_target, "/etc/other");
    }
}
