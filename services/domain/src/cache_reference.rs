use std::{fmt, str::FromStr};

use crate::{CacheKey, ConfigName, Digest, Platform, Repository, ServiceName, digest::sha256_hex};

/// Longest tag that the OCI distribution spec allows.
const MAX_TAG: usize = 128;
/// Tag of the newest image of the default configuration, with which all tags of caches begin. Other tools pull it, so it never
/// changes.
pub const BASE_TAG: &str = "devcontainer-cache";
const BUILD_CACHE: &str = "buildcache";
/// Hex digits of the hashes in names.
const HASH: usize = 32;
/// Longest path of a repository without its hash.
const MAX_PATH: usize = 160;
/// `-` and an architecture.
const MAX_ARCH_SUFFIX: usize = 1 + Platform::MAX_ARCHITECTURE;
/// `-k` and 16 hex digits; longer than `-buildcache`.
const MAX_KIND_SUFFIX: usize = 18;
const GHCR: &str = "ghcr.io";

/// The registry that caches are kept in: `host[:port][/prefix]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CacheRegistry {
    host: String,
    prefix: Option<String>,
}

/// The text is not a registry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a registry of the form host[:port][/prefix], in lower case and without a scheme"
)]
pub struct RegistryParseError(String);

/// A repository whose cache cannot be in this registry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the cache of a repository on {host} cannot be in {GHCR}, which is for repositories on GitHub by https or ssh: configure another registry"
)]
pub struct NotCacheable {
    host: String,
}

impl CacheRegistry {
    /// `host[:port]`.
    pub fn host(&self) -> &str {
        &self.host
    }
}

impl FromStr for CacheRegistry {
    type Err = RegistryParseError;

    fn from_str(text: &str) -> Result<Self, RegistryParseError> {
        let (host, prefix) = match text.split_once('/') {
            Some((host, prefix)) => (host, Some(prefix)),
            None => (text, None),
        };
        let (name, port) = match host.rsplit_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (host, None),
        };
        let good_host = !name.is_empty()
            && name
                .bytes()
                .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-'))
            && port.is_none_or(|port| port.parse::<u16>().is_ok());
        if !good_host || prefix.is_some_and(|prefix| !prefix.split('/').all(is_path_component)) {
            return Err(RegistryParseError(text.to_owned()));
        }
        Ok(Self {
            host: host.to_owned(),
            prefix: prefix.map(str::to_owned),
        })
    }
}

impl fmt::Display for CacheRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.host)?;
        match &self.prefix {
            Some(prefix) => write!(f, "/{prefix}"),
            None => Ok(()),
        }
    }
}

/// The image repository that holds a repository's cache: `<registry>/<path>`, without a tag.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CacheRepository(String);

/// The text is not an image repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must have the form host[:port]/path, in lower case and without a tag")]
pub struct CacheRepositoryError;

impl CacheRepository {
    /// The whole text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// `host[:port]` of the registry.
    pub fn registry_host(&self) -> &str {
        self.0.split_once('/').map_or(&*self.0, |(host, _)| host)
    }

    /// An image in it by its digest, which names the same bytes for ever.
    pub fn image(&self, digest: &Digest) -> String {
        format!("{self}@{digest}")
    }
}

impl FromStr for CacheRepository {
    type Err = CacheRepositoryError;

    fn from_str(text: &str) -> Result<Self, CacheRepositoryError> {
        let registry: CacheRegistry = text.parse().map_err(|_| CacheRepositoryError)?;
        match registry.prefix {
            Some(_) => Ok(Self(text.to_owned())),
            None => Err(CacheRepositoryError),
        }
    }
}

impl fmt::Display for CacheRepository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where the cache of one repository and configuration is.
///
/// Two repositories never share a place, and different hosts, ports and schemes never meet: what is not GitHub's own name
/// carries a hash of the whole URL. Two configurations of a repository never share a tag: a name that had to be changed to fit, or that
/// could be taken for one of the endings below, carries a hash of its original.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CacheReference {
    repository: CacheRepository,
    tag: String,
}

/// The text is not the tag of a cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be {BASE_TAG}, or begin with it and a dash")]
pub struct CacheTagError;

impl CacheReference {
    /// The place in `registry` for `repository` and `config` (`None`: the default configuration).
    pub fn new(
        registry: &CacheRegistry,
        repository: &Repository,
        config: Option<&ConfigName>,
    ) -> Result<Self, NotCacheable> {
        if registry.host == GHCR && !repository.is_github() {
            return Err(NotCacheable {
                host: repository.host_port(),
            });
        }
        let path = if repository.is_github() {
            // GitHub ignores letter case, so lower case loses nothing.
            let path = repository.path().to_ascii_lowercase();
            match repository.is_github_https() {
                true => own_path(&path),
                false => hashed_path(&path, &repository.clone_url().to_ascii_lowercase()),
            }
        } else {
            let path = format!("{}/{}", repository.host_port(), repository.path());
            hashed_path(&path, &repository.clone_url())
        };
        let tag = match config {
            None => BASE_TAG.to_owned(),
            Some(name) => format!("{BASE_TAG}-{}", tag_part(name.as_str())),
        };
        Ok(Self {
            repository: CacheRepository(format!("{registry}/{path}")),
            tag,
        })
    }

    /// The place of the image of a service of this configuration's Docker Compose project, other than the devcontainer's own.
    /// Its tag always has a hash of both names: dashes alone would not tell where one ends.
    pub fn of_service(&self, service: &ServiceName) -> Self {
        let named = &self.tag[BASE_TAG.len()..];
        let written = format!("{named}-{service}");
        let room = MAX_TAG - BASE_TAG.len() - 1 - HASH - MAX_ARCH_SUFFIX - MAX_KIND_SUFFIX;
        let written = &written[..written.len().min(room)];
        let hash = hash(&format!("{} {service}", self.tag));
        Self {
            repository: self.repository.clone(),
            tag: format!("{BASE_TAG}{written}-{hash}"),
        }
    }

    /// A reference that travelled in two parts, as [`Self::repository`] and [`Self::tag`].
    pub fn from_parts(repository: CacheRepository, tag: &str) -> Result<Self, CacheTagError> {
        let rest = tag.strip_prefix(BASE_TAG).ok_or(CacheTagError)?;
        let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        if tag.len() > MAX_TAG
            || !rest.bytes().all(good)
            || !(rest.is_empty() || rest.starts_with('-'))
        {
            return Err(CacheTagError);
        }
        Ok(Self {
            repository,
            tag: tag.to_owned(),
        })
    }

    /// The image repository, without a tag.
    pub fn repository(&self) -> &CacheRepository {
        &self.repository
    }

    /// Tag of the newest image on linux/amd64; all other tags begin with it.
    pub fn tag(&self) -> &str {
        &self.tag
    }

    /// The newest trusted image for `platform`, which other tools may pull.
    pub fn newest(&self, platform: &Platform) -> String {
        format!("{}:{}{}", self.repository, self.tag, platform.tag_suffix())
    }

    /// The image of one key.
    pub fn entry(&self, platform: &Platform, key: &CacheKey) -> String {
        format!("{}-k{}", self.newest(platform), key.short())
    }

    /// BuildKit's cache, all stages included.
    pub fn build_cache(&self, platform: &Platform) -> String {
        format!("{}-{BUILD_CACHE}", self.newest(platform))
    }
}

/// The path of a repository on GitHub, which is its own where registries allow that. Names without a hash are GitHub's
/// alone.
fn own_path(original: &str) -> String {
    let path = allowed_path(original);
    match path == original && !has_hash_ending(original) {
        true => path,
        false => hashed_path(original, original),
    }
}

/// A path that the OCI distribution spec allows, like `original`. Its end is a hash of `whole`, which names one repository by
/// scheme, user, host, port and path: no two share a path, whoever chooses their names.
fn hashed_path(original: &str, whole: &str) -> String {
    format!("{}-{}", allowed_path(original), hash(whole))
}

/// What of a path registries allow.
fn allowed_path(original: &str) -> String {
    let path: Vec<String> = original.split('/').map(path_component).collect();
    let path = path.join("/");
    // 255 is the limit for name and host together; a long path keeps its end, which says most.
    match path.len() > MAX_PATH {
        true => path[path.len() - MAX_PATH..]
            .trim_start_matches(|c: char| !c.is_ascii_alphanumeric())
            .to_owned(),
        false => path,
    }
}

/// 128 bits: nobody finds two names with one hash.
fn hash(name: &str) -> String {
    sha256_hex(name)[..HASH].to_owned()
}

fn path_component(part: &str) -> String {
    let mut kept = String::with_capacity(part.len());
    for c in part.to_ascii_lowercase().chars() {
        match c {
            'a'..='z' | '0'..='9' => kept.push(c),
            // Separators are allowed one at a time and between letters only.
            _ if kept.is_empty() || kept.ends_with(['.', '_', '-']) => {}
            '.' | '-' => kept.push(c),
            _ => kept.push('_'),
        }
    }
    let kept = kept.trim_end_matches(['.', '_', '-']);
    if kept.is_empty() {
        "x".to_owned()
    } else {
        kept.to_owned()
    }
}

fn is_path_component(part: &str) -> bool {
    !part.is_empty() && path_component(part) == part
}

fn tag_part(name: &str) -> String {
    let room = MAX_TAG - BASE_TAG.len() - 1 - MAX_ARCH_SUFFIX - MAX_KIND_SUFFIX;
    let clean: String = name
        .chars()
        .map(|c| match c {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '_' | '.' | '-' => c,
            _ => '_',
        })
        .collect();
    if clean == name && clean.len() <= room && !is_ambiguous(name) {
        return clean;
    }
    format!(
        "{}-{}",
        &clean[..clean.len().min(room - HASH - 1)],
        hash(name)
    )
}

/// Whether a configuration's name ends like something that hearth itself appends to a tag.
fn is_ambiguous(name: &str) -> bool {
    const ARCHITECTURES: [&str; 14] = [
        "amd64", "386", "arm", "arm64", "v5", "v6", "v7", "v8", "ppc64le", "s390x", "riscv64",
        "loong64", "mips64le", "mips64",
    ];
    let last = name.rsplit('-').next().unwrap_or(name);
    let is_key = last.len() == 17
        && last.starts_with('k')
        && last[1..].bytes().all(|b| b.is_ascii_hexdigit());
    last == BUILD_CACHE || is_key || ARCHITECTURES.contains(&last) || has_hash_ending(name)
}

fn has_hash_ending(name: &str) -> bool {
    name.rsplit_once('-')
        .is_some_and(|(_, end)| end.len() == HASH && end.bytes().all(|b| b.is_ascii_hexdigit()))
}

#[cfg(test)]
#[path = "cache_reference_tests.rs"]
mod tests;
