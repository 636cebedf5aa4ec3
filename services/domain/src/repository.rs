use std::{fmt, str::FromStr};

use url::{Host, Url};

const MAX_LEN: usize = 2048;
const GITHUB: &str = "github.com";

/// A git repository, named by where it is cloned from.
///
/// `https://`, `http://`, `ssh://` and `git://` URLs are understood, and git's short form
/// `git@host:owner/name`. Two spellings of one place (letter case of the host, `.git`, slashes at the end)
/// are equal.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Repository {
    scheme: Scheme,
    user: Option<String>,
    host: String,
    port: Option<u16>,
    path: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Scheme {
    Https,
    Http,
    Ssh,
    Git,
}

/// Why a text is not a repository.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RepositoryError {
    /// The text is empty.
    #[error("must not be empty")]
    Empty,
    /// No sensible URL is that long.
    #[error("is {0} bytes long; at most {MAX_LEN} are allowed")]
    TooLong(usize),
    /// It does not parse as a URL.
    #[error("is not a URL; write https://host/owner/name or git@host:owner/name")]
    NotAUrl,
    /// `file:`, `ext::` and other transports could read the node itself.
    #[error("has a scheme other than https, http, ssh and git")]
    Scheme,
    /// A secret in a URL ends up in process lists and logs. The text is not repeated.
    #[error("carries a user name or password; credentials come from the control plane")]
    UserInfo,
    /// There is no host, or it is written in a way that hides which one it is.
    #[error("names no host, or hides which one")]
    NoHost,
    /// There is a query or fragment.
    #[error("must not have a query or a fragment")]
    Query,
    /// The path is empty, or has parts that git hosts do not use.
    #[error("needs a path like owner/name out of letters, digits, `.`, `_`, `-` and `~`")]
    Path,
    /// Repositories on GitHub have exactly an owner and a name.
    #[error("needs exactly an owner and a name on github.com")]
    GitHubPath,
}

impl Repository {
    /// The URL for git.
    pub fn clone_url(&self) -> String {
        let scheme = match self.scheme {
            Scheme::Https => "https",
            Scheme::Http => "http",
            Scheme::Ssh => "ssh",
            Scheme::Git => "git",
        };
        let user = self.user.as_deref().map(|user| format!("{user}@"));
        format!(
            "{scheme}://{}{}/{}",
            user.unwrap_or_default(),
            self.host_port(),
            self.path
        )
    }

    /// Lower-case host, with the port where it is not the scheme's own.
    pub fn host_port(&self) -> String {
        match self.port {
            Some(port) => format!("{}:{port}", self.host),
            None => self.host.clone(),
        }
    }

    /// Path on the host, without slashes at either end and without `.git`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Last part of the path, which is the name of the clone's folder.
    pub fn name(&self) -> &str {
        self.path
            .rsplit_once('/')
            .map_or(self.path.as_str(), |(_, name)| name)
    }

    /// Whether it is on github.com, where letter case does not matter, and git reaches it in a way that proves the host. A
    /// host of this name at another port, or without encryption, may be anybody's.
    pub fn is_github(&self) -> bool {
        self.host == GITHUB
            && self.port.is_none()
            && matches!(self.scheme, Scheme::Https | Scheme::Ssh)
    }

    /// Whether [`Self::is_github`], by its usual URL.
    pub fn is_github_https(&self) -> bool {
        self.is_github() && self.scheme == Scheme::Https
    }
}

impl FromStr for Repository {
    type Err = RepositoryError;

    fn from_str(text: &str) -> Result<Self, RepositoryError> {
        if text.is_empty() {
            return Err(RepositoryError::Empty);
        }
        if text.len() > MAX_LEN {
            return Err(RepositoryError::TooLong(text.len()));
        }
        // The URL parser drops tabs and newlines and trims spaces; a name with them is a mistake.
        if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err(RepositoryError::NotAUrl);
        }
        let expanded = expand_short_form(text);
        let url = Url::parse(expanded.as_deref().unwrap_or(text))
            .map_err(|_| RepositoryError::NotAUrl)?;
        let scheme = match url.scheme() {
            "https" => Scheme::Https,
            "http" => Scheme::Http,
            "ssh" => Scheme::Ssh,
            "git" => Scheme::Git,
            _ => return Err(RepositoryError::Scheme),
        };
        let user = checked_user(&url, scheme)?;
        if url.query().is_some() || url.fragment().is_some() {
            return Err(RepositoryError::Query);
        }
        let written = expanded.as_deref().unwrap_or(text);
        let host = match url.host() {
            Some(Host::Domain(domain)) if is_dns_name(domain) && is_written(domain, written) => {
                domain.to_ascii_lowercase()
            }
            Some(Host::Ipv4(address)) if is_written(&address.to_string(), written) => {
                address.to_string()
            }
            Some(Host::Ipv6(address)) => format!("[{address}]"),
            _ => return Err(RepositoryError::NoHost),
        };
        let path = checked_path(raw_path(written))?;
        let repository = Self {
            scheme,
            user,
            port: url.port().filter(|port| default_port(scheme) != *port),
            host,
            path,
        };
        if repository.host == GITHUB && repository.path.split('/').count() != 2 {
            return Err(RepositoryError::GitHubPath);
        }
        Ok(repository)
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.host_port(), self.path)
    }
}

/// `git@host:owner/name` is git's short form of `ssh://git@host/owner/name`.
fn expand_short_form(text: &str) -> Option<String> {
    if text.contains("://") {
        return None;
    }
    let (host, path) = text.split_once(':')?;
    let (user, host) = host.split_once('@')?;
    Some(format!(
        "ssh://{user}@{host}/{}",
        path.trim_start_matches('/')
    ))
}

/// Only ssh has a user, and it is not a secret there.
fn checked_user(url: &Url, scheme: Scheme) -> Result<Option<String>, RepositoryError> {
    match (scheme, url.username(), url.password()) {
        (_, _, Some(_)) => Err(RepositoryError::UserInfo),
        (_, "", None) => Ok(None),
        (Scheme::Ssh, user, None) if user.bytes().all(is_word_byte) && !user.starts_with('-') => {
            Ok(Some(user.to_owned()))
        }
        _ => Err(RepositoryError::UserInfo),
    }
}

/// The path as it was written: the URL parser would resolve `..` silently, but that is a mistake.
fn raw_path(url: &str) -> &str {
    url.split_once("://")
        .and_then(|(_, rest)| rest.split_once('/'))
        .map_or("", |(_, path)| path)
}

fn checked_path(raw: &str) -> Result<String, RepositoryError> {
    let path = raw.trim_matches('/');
    let path = path.strip_suffix(".git").unwrap_or(path);
    let good_part = |part: &str| {
        !part.is_empty()
            && part != "."
            && part != ".."
            && !part.starts_with('-')
            && part.bytes().all(|byte| is_word_byte(byte) || byte == b'~')
    };
    if path.is_empty() || !path.split('/').all(good_part) {
        return Err(RepositoryError::Path);
    }
    Ok(path.to_owned())
}

fn is_word_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-')
}

/// The URL parser finds hosts where no reader would see them: `https:///0/x` is at 0.0.0.0, `https://0x7f.1/x` at
/// 127.0.0.1, and `%67ithub.com` is github.com. Only names in other scripts may change.
fn is_written(host: &str, url: &str) -> bool {
    let authority = url
        .split_once("://")
        .and_then(|(_, rest)| rest.split('/').next())
        .unwrap_or_default();
    let place = authority.rsplit('@').next().unwrap_or_default();
    let name = place.split(':').next().unwrap_or_default();
    !name.is_ascii() || name.eq_ignore_ascii_case(host)
}

/// `ssh` and `git` URLs are opaque to the URL parser, which then lets anything pass as host.
fn is_dns_name(host: &str) -> bool {
    !host.is_empty()
        && !host.starts_with(['-', '.'])
        && host
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-'))
}

fn default_port(scheme: Scheme) -> u16 {
    match scheme {
        Scheme::Https => 443,
        Scheme::Http => 80,
        Scheme::Ssh => 22,
        Scheme::Git => 9418,
    }
}

#[cfg(test)]
#[path = "repository_tests.rs"]
mod tests;
