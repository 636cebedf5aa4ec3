//! The paths that are served, and nothing but them.

use axum::http::Method;

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Route {
    /// `GET /app`
    App,
    /// `GET /repos/OWNER/NAME/installation`
    Lookup,
    /// `POST /app/installations/ID/access_tokens`
    Mint,
    /// `GET /installation/repositories`
    Repositories,
    /// `GET /repos/OWNER/NAME`
    Repository,
    /// Git's own paths.
    Git,
    /// Git LFS: questions for files, and the files.
    Lfs,
    /// `/token`, for the registry.
    RegistryToken,
    /// Everything else.
    Unknown,
}

impl Route {
    /// The REST API.
    pub const API: [Self; 5] = [
        Self::App,
        Self::Lookup,
        Self::Mint,
        Self::Repositories,
        Self::Repository,
    ];
}

/// A request that has been understood so far.
#[derive(Clone, Debug)]
pub enum Call {
    App,
    Lookup {
        owner: String,
        name: String,
    },
    Mint {
        installation: u64,
    },
    Repositories,
    Repository {
        owner: String,
        name: String,
    },
    /// `action` is what comes after the repository: `info/refs`, `git-upload-pack`, `git-receive-pack`.
    Git {
        owner: String,
        name: String,
        action: String,
    },
    /// `POST /OWNER/NAME/info/lfs/objects/batch`
    LfsBatch {
        owner: String,
        name: String,
    },
    /// `GET /lfs-objects/OID`
    LfsObject {
        oid: String,
    },
    RegistryToken,
    Unknown,
}

impl Call {
    pub fn parse(method: &Method, path: &str) -> Self {
        let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        match (method.as_str(), parts.as_slice()) {
            ("GET", ["app"]) => Self::App,
            ("GET", ["repos", owner, name, "installation"]) => Self::Lookup {
                owner: (*owner).to_owned(),
                name: (*name).to_owned(),
            },
            ("POST", ["app", "installations", id, "access_tokens"]) => id
                .parse()
                .map_or(Self::Unknown, |installation| Self::Mint { installation }),
            ("GET", ["installation", "repositories"]) => Self::Repositories,
            ("GET", ["repos", owner, name]) => Self::Repository {
                owner: (*owner).to_owned(),
                name: (*name).to_owned(),
            },
            ("GET" | "POST", ["token"]) => Self::RegistryToken,
            ("POST", [owner, name, "info", "lfs", "objects", "batch"]) => Self::LfsBatch {
                owner: (*owner).to_owned(),
                name: name.strip_suffix(".git").unwrap_or(name).to_owned(),
            },
            ("GET", ["lfs-objects", oid]) => Self::LfsObject {
                oid: (*oid).to_owned(),
            },
            ("GET", [owner, name, "info", "refs"]) => Self::git(owner, name, "info/refs"),
            (
                "POST",
                [
                    owner,
                    name,
                    action @ ("git-upload-pack" | "git-receive-pack"),
                ],
            ) => Self::git(owner, name, action),
            _ => Self::Unknown,
        }
    }

    fn git(owner: &str, name: &str, action: &str) -> Self {
        Self::Git {
            owner: owner.to_owned(),
            name: name.strip_suffix(".git").unwrap_or(name).to_owned(),
            action: action.to_owned(),
        }
    }

    pub fn route(&self) -> Route {
        match self {
            Self::App => Route::App,
            Self::Lookup { .. } => Route::Lookup,
            Self::Mint { .. } => Route::Mint,
            Self::Repositories => Route::Repositories,
            Self::Repository { .. } => Route::Repository,
            Self::Git { .. } => Route::Git,
            Self::LfsBatch { .. } | Self::LfsObject { .. } => Route::Lfs,
            Self::RegistryToken => Route::RegistryToken,
            Self::Unknown => Route::Unknown,
        }
    }
}
