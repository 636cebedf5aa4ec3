//! Ids of devcontainer features. They look like image references and have rules of their own: `a/b` is not an image on
//! Docker Hub, and letter case does not matter.

use std::fmt;

/// Where a feature comes from (<https://containers.dev/implementors/features/#referencing-a-feature>).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FeatureId {
    /// A folder, relative to the folder of the configuration.
    Local(String),
    /// An archive that is downloaded.
    Tarball(String),
    /// An image reference with tag or digest.
    Oci(String),
}

/// Where an id without a path is found.
const FIRST_REGISTRY: &str = "ghcr.io/devcontainers/features";

impl FeatureId {
    /// Reads an id as a configuration has it.
    pub fn new(id: &str) -> Self {
        if id.starts_with("./") || id.starts_with("../") {
            return Self::Local(id.to_owned());
        }
        if id.starts_with("https://") || id.starts_with("http://") {
            return Self::Tarball(id.to_owned());
        }
        if !id.contains('/') {
            // Features that were renamed or became options of another one, see `getBackwardCompatibleFeatureId` and
            // `updateDeprecatedFeaturesIntoOptions` of the CLI.
            let (name, version) = id.split_once([':', '@']).unwrap_or((id, "1"));
            let name = match name {
                "golang" => "go",
                "common" => "common-utils",
                "gradle" | "maven" => "java",
                "jupyterlab" => "python",
                other => other,
            };
            return Self::Oci(format!("{FIRST_REGISTRY}/{name}:{version}").to_lowercase());
        }
        let lower = id.to_lowercase();
        let last = lower.rsplit('/').next().unwrap_or_default();
        let pinned = last.contains([':', '@']);
        Self::Oci(if pinned {
            lower
        } else {
            format!("{lower}:latest")
        })
    }
}

impl fmt::Display for FeatureId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Local(text) | Self::Tarball(text) | Self::Oci(text)) = self;
        f.write_str(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_folders_archives_or_references() {
        let oci = |text: &str| FeatureId::Oci(text.to_owned());
        for (id, expected) in [
            ("./here", FeatureId::Local("./here".to_owned())),
            ("../there", FeatureId::Local("../there".to_owned())),
            (
                "https://x/devcontainer-feature-a.tgz",
                FeatureId::Tarball("https://x/devcontainer-feature-a.tgz".to_owned()),
            ),
            ("ghcr.io/Owner/repo/Go:1", oci("ghcr.io/owner/repo/go:1")),
            ("localhost:5000/a/b", oci("localhost:5000/a/b:latest")),
            ("ghcr.io/a/b@sha256:00", oci("ghcr.io/a/b@sha256:00")),
            ("node", oci("ghcr.io/devcontainers/features/node:1")),
            ("golang", oci("ghcr.io/devcontainers/features/go:1")),
            ("maven", oci("ghcr.io/devcontainers/features/java:1")),
        ] {
            assert_eq!(FeatureId::new(id), expected);
        }
    }
}
