//! The ignore files of a build context.

use std::path::{Path, PathBuf};

use hearth_domain::Ignore;

use super::error::KeyError;
use crate::clone_files::CloneFiles;

/// Largest ignore file that is read, in bytes. Real ones have a few KiB.
const MAX_BYTES: u64 = 1024 * 1024;

/// The ignore files that may apply, of a context and a Dockerfile in the clone, where it is a file. A file is left out when all of them leave
/// it out.
///
/// BuildKit takes `<Dockerfile>.dockerignore` instead of the context's `.dockerignore`. But the devcontainer CLI builds
/// from a copy of the Dockerfile in a folder of its own, where the former is not found. So which of the two applies
/// depends on the CLI's version.
pub(super) fn read(
    files: &CloneFiles,
    context: &Path,
    dockerfile: Option<&Path>,
    careful: &mut Vec<String>,
) -> Result<Vec<Ignore>, KeyError> {
    let mut special = dockerfile.unwrap_or(context).as_os_str().to_owned();
    special.push(".dockerignore");
    let special = PathBuf::from(special);
    let mut paths = vec![context.join(".dockerignore")];
    if dockerfile.is_some()
        && special != paths[0]
        && (files.has_file(&special) || files.is_link(&special))
    {
        careful.push(format!(
            "Only files that both {} and .dockerignore leave out are left out: which of the two applies depends on the \
             version of the devcontainer CLI.",
            special.file_name().unwrap_or_default().to_string_lossy()
        ));
        paths.push(special);
    }
    let mut ignores = Vec::new();
    for path in paths {
        if files.is_link(&path) {
            // BuildKit follows it within the context, and ignores an error; the CLI's own readers follow it elsewhere.
            let why =
                "is a link, which programs follow in different ways; put the file itself there";
            return Err(KeyError::file(&path, why));
        }
        let ignore = match files.text(&path, MAX_BYTES) {
            Ok(text) => Ignore::parse(&text),
            Err(error) if error.is_not_found() => Ok(Ignore::default()),
            Err(error) => return Err(KeyError::reading(&path, error)),
        };
        ignores.push(ignore.unwrap_or_else(|error| {
            careful.push(format!(
                "No file is left out of the build context: {error}."
            ));
            Ignore::default()
        }));
    }
    Ok(ignores)
}
