use std::{collections::BTreeSet, fmt, str::FromStr};

/// What a client may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Look at workspaces, nodes and the cache.
    Read,
    /// Prepare and delete workspaces, and drop what is in the cache of their repositories. Includes `read`.
    Prepare,
    /// Run commands in workspaces. Includes `read`.
    Exec,
    /// Everything, of all repositories.
    Admin,
}

impl Scope {
    /// All scopes.
    pub const ALL: [Self; 4] = [Self::Read, Self::Prepare, Self::Exec, Self::Admin];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Prepare => "prepare",
            Self::Exec => "exec",
            Self::Admin => "admin",
        }
    }

    fn includes(self, other: Self) -> bool {
        self == Self::Admin || self == other || other == Self::Read
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The scopes of a client: one at least.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scopes(BTreeSet<Scope>);

/// The text names no scopes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be one or more of read, prepare, exec and admin, separated by commas")]
pub struct ScopesError;

impl Scopes {
    /// These scopes.
    pub fn new(scopes: impl IntoIterator<Item = Scope>) -> Result<Self, ScopesError> {
        let scopes: BTreeSet<_> = scopes.into_iter().collect();
        match scopes.is_empty() {
            true => Err(ScopesError),
            false => Ok(Self(scopes)),
        }
    }

    /// Whether one of them is or includes this one.
    pub fn allow(&self, scope: Scope) -> bool {
        self.0.iter().any(|own| own.includes(scope))
    }

    /// The scopes, in the order of [`Scope`].
    pub fn iter(&self) -> impl Iterator<Item = Scope> {
        self.0.iter().copied()
    }
}

impl From<Scope> for Scopes {
    fn from(scope: Scope) -> Self {
        Self(BTreeSet::from([scope]))
    }
}

impl FromStr for Scopes {
    type Err = ScopesError;

    fn from_str(text: &str) -> Result<Self, ScopesError> {
        let one = |name: &str| {
            let mut all = Scope::ALL.into_iter();
            all.find(|scope| scope.as_str() == name.trim())
                .ok_or(ScopesError)
        };
        let scopes: Result<Vec<_>, _> = text.split(',').map(one).collect();
        Self::new(scopes?)
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.iter().map(Scope::as_str).collect();
        f.write_str(&names.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_are_read_as_they_are_written_and_nothing_else_is_one() {
        for (text, written) in [
            ("read", "read"),
            ("admin, prepare", "prepare,admin"),
            ("exec,read,exec", "read,exec"),
        ] {
            assert_eq!(text.parse::<Scopes>().unwrap().to_string(), written);
        }
        for bad in ["", ",", "read,", "Read", "all", "read;exec"] {
            assert_eq!(bad.parse::<Scopes>(), Err(ScopesError), "{bad}");
        }
        assert_eq!(Scopes::new([]), Err(ScopesError));
    }

    #[test]
    fn admin_includes_all_and_every_scope_includes_read() {
        use Scope::{Admin, Exec, Prepare, Read};
        for (scopes, allowed) in [
            ("read", &[Read][..]),
            ("prepare", &[Read, Prepare]),
            ("exec", &[Read, Exec]),
            ("exec,prepare", &[Read, Prepare, Exec]),
            ("admin", &[Read, Prepare, Exec, Admin]),
        ] {
            let scopes: Scopes = scopes.parse().unwrap();
            let allows: Vec<_> = Scope::ALL
                .into_iter()
                .filter(|s| scopes.allow(*s))
                .collect();
            assert_eq!(allows, allowed, "{scopes}");
        }
    }
}
