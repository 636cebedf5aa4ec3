//! What exists at the stand-in, and the rights on it. Names are kept in lower case: GitHub ignores case.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    time::Duration,
};

use super::{clock::machine_seconds, faults::Faults, records::Records};

/// Permission → level, as in `{"contents": "read"}`.
pub type Permissions = BTreeMap<String, String>;

/// Whether reading a repository takes a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visibility {
    /// It does not.
    Public,
    /// It does.
    Private,
}

/// The repositories of an installation or of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Repositories {
    /// All of the account, those of tomorrow too.
    All,
    /// Names without their owner.
    Selected(BTreeSet<String>),
}

impl Repositories {
    /// These, by their names without the owner.
    pub fn selected(names: &[&str]) -> Self {
        Self::Selected(names.iter().map(|name| name.to_ascii_lowercase()).collect())
    }

    /// As GitHub calls it.
    pub fn selection(&self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Selected(_) => "selected",
        }
    }

    fn contains(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Selected(names) => names.contains(name),
        }
    }
}

/// A repository.
pub struct Repository {
    pub id: u64,
    pub owner: String,
    pub name: String,
    pub visibility: Visibility,
}

/// The App in an account.
pub struct Installation {
    pub id: u64,
    pub account: String,
    pub repositories: Repositories,
    pub permissions: Permissions,
    pub suspended_at: Option<i64>,
}

/// An installation token.
#[derive(Clone)]
pub struct Token {
    pub installation: u64,
    pub account: String,
    pub repositories: Repositories,
    pub permissions: Permissions,
    pub expires: i64,
}

/// Why a token is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadToken {
    /// Never given out, expired, revoked, or of an installation that is gone.
    Unknown,
    /// Of an installation that is suspended.
    Suspended,
}

/// Everything there is.
pub struct World {
    /// Seconds by which the stand-in's clock is ahead of the machine's.
    pub clock_offset: i64,
    pub token_lifetime: Duration,
    pub registry_token_lifetime: Duration,
    pub repositories: BTreeMap<String, Repository>,
    pub installations: BTreeMap<u64, Installation>,
    pub tokens: BTreeMap<String, Token>,
    pub faults: Faults,
    pub records: Records,
    /// Where the registry keeps its packages: tells whether one exists.
    pub packages: Option<PathBuf>,
    /// Packages that are pulled without a login.
    pub public_packages: BTreeSet<String>,
    /// Contents of Git LFS by their SHA-256, each with the repository that has it.
    pub lfs: BTreeMap<String, (String, String)>,
    last_id: u64,
}

impl Default for World {
    fn default() -> Self {
        Self {
            clock_offset: 0,
            token_lifetime: Duration::from_secs(3600),
            registry_token_lifetime: Duration::from_secs(300),
            repositories: BTreeMap::new(),
            installations: BTreeMap::new(),
            tokens: BTreeMap::new(),
            faults: Faults::default(),
            records: Records::default(),
            packages: None,
            public_packages: BTreeSet::new(),
            lfs: BTreeMap::new(),
            last_id: 1000,
        }
    }
}

impl World {
    /// Seconds since 1970, as the stand-in sees it.
    pub fn now(&self) -> i64 {
        machine_seconds() + self.clock_offset
    }

    /// An id that nothing else has.
    pub fn new_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    pub fn repository(&self, owner: &str, name: &str) -> Option<&Repository> {
        self.repositories.get(&full_name(owner, name))
    }

    /// The installation that has this repository.
    pub fn installation_of(&self, owner: &str, name: &str) -> Option<&Installation> {
        let repository = self.repository(owner, name)?;
        self.installations.values().find(|installation| {
            installation.account == repository.owner.to_ascii_lowercase()
                && installation
                    .repositories
                    .contains(&repository.name.to_ascii_lowercase())
        })
    }

    /// The token, unless it has expired or its installation is suspended or gone.
    pub fn token(&self, secret: &str) -> Result<&Token, BadToken> {
        let token = self.tokens.get(secret).ok_or(BadToken::Unknown)?;
        let installation = self
            .installations
            .get(&token.installation)
            .ok_or(BadToken::Unknown)?;
        if installation.suspended_at.is_some() {
            return Err(BadToken::Suspended);
        }
        if token.expires <= self.now() {
            return Err(BadToken::Unknown);
        }
        Ok(token)
    }

    /// Whether a token has this right on this repository, which has to exist.
    pub fn allows(
        &self,
        token: &Token,
        owner: &str,
        name: &str,
        permission: &str,
        level: &str,
    ) -> bool {
        let reaches = self.repository(owner, name).is_some()
            && token.account == owner.to_ascii_lowercase()
            && token.repositories.contains(&name.to_ascii_lowercase())
            // Taken from the installation after the token was made, it is gone from the token too.
            && self.installation_of(owner, name).is_some_and(|at| at.id == token.installation);
        reaches && has(&token.permissions, permission, level)
    }
}

/// Whether permissions include one, or more than it.
pub fn has(permissions: &Permissions, permission: &str, level: &str) -> bool {
    let given = permissions.get(permission).map(String::as_str);
    rank(given.unwrap_or("")) >= rank(level)
}

/// More is higher; zero is nothing.
pub fn rank(level: &str) -> u8 {
    match level {
        "read" => 1,
        "write" => 2,
        "admin" => 3,
        _ => 0,
    }
}

/// Key of a repository.
pub fn full_name(owner: &str, name: &str) -> String {
    format!("{owner}/{name}").to_ascii_lowercase()
}
