use hearth_domain::Repository;

/// A repository that git reaches over HTTP, as git names it when it asks for a login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GitRemote {
    protocol: &'static str,
    pub(super) host: String,
    path: String,
    any_case: bool,
}

impl GitRemote {
    /// `None` for a repository that is reached in another way.
    pub fn of(repository: &Repository) -> Option<Self> {
        let url = repository.clone_url();
        let protocol = ["https", "http"]
            .into_iter()
            .find(|protocol| url.split("://").next() == Some(protocol))?;
        Some(Self {
            protocol,
            host: repository.host_port(),
            path: repository.path().to_owned(),
            any_case: repository.is_github(),
        })
    }

    /// Scheme and host, as git's configuration names them.
    pub fn origin(&self) -> String {
        format!("{}://{}", self.protocol, self.host)
    }

    /// Whether the attributes of git's request name this repository.
    pub(super) fn is_meant(&self, attributes: &str) -> bool {
        let value = |name| attribute(attributes, name).unwrap_or_default();
        let default_port = if self.protocol == "https" {
            ":443"
        } else {
            ":80"
        };
        let host = value("host").to_ascii_lowercase();
        let host = host.strip_suffix(default_port).unwrap_or(&host);
        let path = own_path(value("path"));
        let same_path = if self.any_case {
            path.eq_ignore_ascii_case(&self.path)
        } else {
            path == self.path
        };
        value("protocol") == self.protocol && host == self.host && same_path
    }
}

/// The repository of a path: without `.git`, and without the suffix that Git LFS adds.
fn own_path(path: &str) -> &str {
    let path = path.trim_matches('/');
    let path = path
        .find("/info/lfs")
        .filter(|at| matches!(path.as_bytes().get(at + 9), None | Some(b'/')))
        .map_or(path, |at| &path[..at]);
    path.strip_suffix(".git").unwrap_or(path)
}

/// The value of an attribute; the last one counts, as for git.
pub(super) fn attribute<'a>(attributes: &'a str, name: &str) -> Option<&'a str> {
    attributes
        .lines()
        .rev()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
}

#[cfg(test)]
#[path = "git_remote_tests.rs"]
mod tests;
