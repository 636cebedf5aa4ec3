//! The ignore files of a build context.

use std::path::{Path, PathBuf};

use hearth_domain::Ignore;

use super::{error::KeyError, tree};

/// The ignore files that may hold. A file is left out when all of them leave it out.
///
/// BuildKit takes `<Dockerfile>.dockerignore` instead of the context's `.dockerignore`. But the devcontainer CLI builds
/// from a copy of the Dockerfile in a folder of its own, where the former is not found; whether it holds therefore
/// depends on the CLI's version.
pub(super) fn read(
    context: &Path,
    dockerfile: &Path,
    careful: &mut Vec<String>,
) -> Result<Vec<Ignore>, KeyError> {
    let mut special = dockerfile.as_os_str().to_owned();
    special.push(".dockerignore");
    let special = PathBuf::from(special);
    let mut paths = vec![context.join(".dockerignore")];
    if special.is_file() && special != paths[0] {
        careful.push(format!(
            "Only files that both {} and .dockerignore leave out are left out: which of the two holds depends on the \
             version of the devcontainer CLI.",
            special.file_name().unwrap_or_default().to_string_lossy()
        ));
        paths.push(special);
    }
    let mut ignores = Vec::new();
    for path in paths {
        let ignore = match std::fs::read(&path) {
            Ok(text) => Ignore::parse(&String::from_utf8_lossy(&text)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Ignore::default()),
            Err(error) => return Err(tree::unreadable(&path, error)),
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
