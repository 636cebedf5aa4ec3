//! The values of the options that name files, images or URLs.

use std::path::PathBuf;

use super::{build_option::BuildOption, clone_path::SeenFrom};

/// Why builds look for steps in no cache that a repository names. BuildKit believes what a cache says about the result of a
/// step, and keeps it: the engine's own cache would have it for every later build of the node.
pub(crate) const CACHE_SOURCE: &str = "later builds of the node would believe what it says; hearth itself keeps the build cache of images that it caches";

/// `name=where`, as `--build-context` has it.
pub(super) fn context(value: &str, seen: SeenFrom<'_>) -> Result<BuildOption, String> {
    let (name, from) = value
        .split_once('=')
        .filter(|(name, _)| !name.is_empty())
        .ok_or("it has the form NAME=WHERE")?;
    let name = name.to_owned();
    let scheme = from
        .split_once("://")
        .map(|(scheme, _)| scheme.to_lowercase());
    match scheme.as_deref() {
        Some("docker-image" | "https" | "http" | "git") => Ok(BuildOption::Remote {
            name,
            from: from.to_owned(),
        }),
        Some(other) => Err(format!(
            "a context is a folder of the repository, docker-image:// or a URL, not {other}://"
        )),
        // The daemon has no keys, and docker would take those for URLs.
        None if from.starts_with("git@") || from.starts_with("target:") || from.is_empty() => {
            Err("a context is a folder of the repository, docker-image:// or a URL".to_owned())
        }
        None => Ok(BuildOption::Folder {
            name,
            folder: seen.path(from).map_err(|error| format!("{from} {error}"))?,
        }),
    }
}

/// A secret as `--secret` has it: `id=…,src=…`.
pub(super) fn secret(value: &str, seen: SeenFrom<'_>) -> Result<BuildOption, String> {
    let (mut id, mut source, mut kind) = (String::new(), None, "file".to_owned());
    for field in csv_fields(value)? {
        let (key, value) = field
            .split_once('=')
            .ok_or("it has the form id=ID,src=FILE")?;
        match key.to_lowercase().as_str() {
            "id" => id = value.to_owned(),
            "src" | "source" => source = Some(value.to_owned()),
            "type" => kind = value.to_owned(),
            "env" => kind = "env".to_owned(),
            _ => return Err(format!("it has no field {key}")),
        }
    }
    if kind != "file" {
        return Err("the environment of the node is not the repository's; a file of the repository can be a secret".to_owned());
    }
    // Docker takes the id for the name of a file.
    let source = source.unwrap_or_else(|| id.clone());
    if id.is_empty() || source.is_empty() {
        return Err("it has the form id=ID,src=FILE".to_owned());
    }
    let file = seen
        .path(&source)
        .map_err(|error| format!("{source} {error}"))?;
    Ok(BuildOption::Secret { id, file })
}

/// Keys as `--ssh` has them: `ID=FILE,FILE`.
pub(super) fn ssh(value: &str, seen: SeenFrom<'_>) -> Result<BuildOption, String> {
    let (id, paths) = value
        .split_once('=')
        .filter(|(id, paths)| !id.is_empty() && !paths.is_empty())
        .ok_or("the node's agent and keys are not the repository's; give it files of the repository: ID=FILE")?;
    let keys: Result<Vec<PathBuf>, String> = paths
        .split(',')
        .map(|path| seen.path(path).map_err(|error| format!("{path} {error}")))
        .collect();
    Ok(BuildOption::Ssh {
        id: id.to_owned(),
        keys: keys?,
    })
}

/// The fields of one line of CSV, as docker splits the values of its options.
fn csv_fields(line: &str) -> Result<Vec<String>, String> {
    let malformed = || "its value is malformed".to_owned();
    if line.contains(['\n', '\r']) {
        return Err("its value has several lines".to_owned());
    }
    let mut fields = Vec::new();
    let mut rest = line;
    loop {
        let mut field = String::new();
        match rest.strip_prefix('"') {
            Some(mut quoted) => loop {
                let end = quoted.find('"').ok_or_else(malformed)?;
                field.push_str(&quoted[..end]);
                quoted = &quoted[end + 1..];
                match quoted.strip_prefix('"') {
                    Some(more) => {
                        field.push('"');
                        quoted = more;
                    }
                    None => {
                        rest = quoted;
                        break;
                    }
                }
            },
            None => {
                let end = rest.find(',').unwrap_or(rest.len());
                field.push_str(&rest[..end]);
                rest = &rest[end..];
                if field.contains('"') {
                    return Err(malformed());
                }
            }
        }
        fields.push(field);
        match rest.strip_prefix(',') {
            Some(more) => rest = more,
            None if rest.is_empty() => return Ok(fields),
            None => return Err(malformed()),
        }
    }
}
