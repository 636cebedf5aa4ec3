use std::{path::Path, time::Duration};

use hearth_domain::{CloneDepth, GitOptions, GitRef, Login};

/// A clone to make.
pub struct CloneRequest<'a> {
    /// URL without credentials.
    pub url: &'a str,
    /// What to check out.
    pub git_ref: &'a GitRef,
    /// A folder that does not exist yet.
    pub into: &'a Path,
    /// Private scratch folder of the attempt.
    pub scratch: &'a Path,
    /// Login for this repository, and for nothing else on its host.
    pub login: Option<&'a Login>,
    /// How long its submodules may take together, and its files in Git LFS.
    pub submodules_within: Duration,
    /// How it is cloned.
    pub options: &'a GitOptions,
}

/// Git's options by which less is fetched. Of a commit alone its files are, unless some are left out.
pub(super) fn fetched(options: &GitOptions) -> &'static [&'static str] {
    match (options.depth, options.sparse.is_empty()) {
        (CloneDepth::Blobless, _) => &["--filter=blob:none"],
        (CloneDepth::Shallow, true) => &["--depth=1"],
        (CloneDepth::Shallow, false) => &["--depth=1", "--filter=blob:none"],
        (CloneDepth::Full, _) => &[],
    }
}
