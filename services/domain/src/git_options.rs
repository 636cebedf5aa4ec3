use std::{fmt, str::FromStr};

const MAX_PATH_BYTES: usize = 255;
const MAX_PATHS: usize = 100;
const MAX_AUTHOR_BYTES: usize = 255;

/// How a repository is cloned, and who commits in the clone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GitOptions {
    /// How much of its history is fetched.
    pub depth: CloneDepth,
    /// Which folders are checked out; empty: all.
    pub sparse: SparsePaths,
    /// Who commits; `None`: nobody is named.
    pub author: Option<GitAuthor>,
}

/// How much of a repository's history is fetched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum CloneDepth {
    /// All commits; contents of files when they are needed.
    #[default]
    Blobless,
    /// The commit that is checked out.
    Shallow,
    /// Everything.
    Full,
}

/// Folders of a repository that are checked out. The files in its root, and in the folders above these, are too.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SparsePaths(Vec<String>);

/// The texts are not folders of a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be folders of the repository, relative to its root, of at most 255 bytes each and without \\ * ? [ ] \" ! #; at most 100"
)]
pub struct SparsePathsError;

impl SparsePaths {
    /// Those of a list.
    pub fn new<'a>(paths: impl IntoIterator<Item = &'a str>) -> Result<Self, SparsePathsError> {
        let paths = paths.into_iter().map(|path| {
            let path = path.strip_suffix('/').unwrap_or(path);
            let good = |part: &str| {
                !part.is_empty() && part != "." && part != ".." && !part.starts_with('-')
            };
            let forbidden = |c: char| c.is_control() || r#"\*?[]"!#"#.contains(c);
            match path.len() <= MAX_PATH_BYTES
                && path.split('/').all(good)
                && !path.chars().any(forbidden)
            {
                true => Ok(path.to_owned()),
                false => Err(SparsePathsError),
            }
        });
        let paths = paths.collect::<Result<Vec<_>, _>>()?;
        match paths.len() > MAX_PATHS {
            true => Err(SparsePathsError),
            false => Ok(Self(paths)),
        }
    }

    /// Whether everything is checked out.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The folders.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// Whether a path is checked out.
    pub fn has(&self, path: &str) -> bool {
        let below = |folder: &str| {
            let rest = path.strip_prefix(folder);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        self.is_empty() || !path.contains('/') || self.iter().any(below)
    }
}

/// With commas between them.
impl FromStr for SparsePaths {
    type Err = SparsePathsError;

    fn from_str(text: &str) -> Result<Self, SparsePathsError> {
        match text {
            "" => Ok(Self::default()),
            text => Self::new(text.split(',')),
        }
    }
}

/// Who commits: git's `user.name` and `user.email`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GitAuthor {
    name: String,
    email: String,
}

/// The texts do not name who commits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be a name and an e-mail address of at most 255 bytes each, as NAME <EMAIL>")]
pub struct GitAuthorError;

impl GitAuthor {
    /// An author of this name and e-mail address.
    pub fn new(name: &str, email: &str) -> Result<Self, GitAuthorError> {
        let good = |text: &str| {
            let forbidden = |c: char| c.is_control() || matches!(c, '<' | '>');
            !text.is_empty()
                && text.len() <= MAX_AUTHOR_BYTES
                && !text.starts_with('-')
                && !text.chars().any(forbidden)
        };
        let (name, email) = (name.trim(), email.trim());
        match good(name) && good(email) {
            true => Ok(Self {
                name: name.to_owned(),
                email: email.to_owned(),
            }),
            false => Err(GitAuthorError),
        }
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The e-mail address.
    pub fn email(&self) -> &str {
        &self.email
    }
}

/// `NAME <EMAIL>`
impl FromStr for GitAuthor {
    type Err = GitAuthorError;

    fn from_str(text: &str) -> Result<Self, GitAuthorError> {
        let (name, email) = text.trim().split_once('<').ok_or(GitAuthorError)?;
        Self::new(name, email.strip_suffix('>').ok_or(GitAuthorError)?)
    }
}

impl fmt::Display for GitAuthor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} <{}>", self.name, self.email)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_to_check_out_stay_in_the_repository() {
        let paths: SparsePaths = "services/api,docs/".parse().expect("folders");
        assert_eq!(paths.iter().collect::<Vec<_>>(), ["services/api", "docs"]);
        for (path, there) in [
            ("README.md", true),
            ("services/api/main.rs", true),
            ("services/api", true),
            ("services/apis/main.rs", false),
            ("web/x", false),
        ] {
            assert_eq!(paths.has(path), there, "{path}");
        }
        assert!("".parse::<SparsePaths>().expect("all").has("web/x"));
        for bad in [
            "/",
            "/etc",
            "..",
            "a/../b",
            "a//b",
            "-x",
            "a/-x",
            "a,",
            "a*",
            "a\nb",
            "!a",
            &"x".repeat(256),
        ] {
            assert_eq!(bad.parse::<SparsePaths>(), Err(SparsePathsError), "{bad}");
        }
        assert!(SparsePaths::new(["a"; MAX_PATHS + 1]).is_err());
    }

    #[test]
    fn an_author_is_a_name_and_an_address() {
        let author: GitAuthor = "Ada L. <ada@example.org>".parse().expect("an author");
        assert_eq!(
            (author.name(), author.email()),
            ("Ada L.", "ada@example.org")
        );
        assert_eq!(author.to_string(), "Ada L. <ada@example.org>");
        for bad in [
            "",
            "Ada",
            "<a@b>",
            "Ada <>",
            "Ada <a@b",
            "-c x <a@b>",
            "A\nB <a@b>",
            "A <b> <c>",
        ] {
            assert_eq!(bad.parse::<GitAuthor>(), Err(GitAuthorError), "{bad}");
        }
    }
}
