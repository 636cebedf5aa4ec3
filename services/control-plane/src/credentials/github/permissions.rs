use std::collections::BTreeMap;

use crate::credentials::ask::Rights;

/// Names and levels as GitHub writes them.
pub(super) type Granted = BTreeMap<String, String>;

/// What a token may do, in one repository. `metadata: read` comes on top: every token of an App has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Permissions {
    /// Clone and fetch.
    pub(super) contents: bool,
    /// The container registry.
    pub(super) packages: Option<Access>,
}

/// How far a permission goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Access {
    Read,
    Write,
}

impl Permissions {
    /// Exactly what logins for these hosts and rights need.
    pub(super) fn needed(git: bool, registry: bool, rights: Rights) -> Self {
        let packages = match rights {
            Rights::Workspace => None,
            Rights::Read => Some(Access::Read),
            Rights::Write => Some(Access::Write),
        };
        Self {
            contents: git,
            packages: packages.filter(|_| registry),
        }
    }

    /// What of it an installation can give.
    pub(super) fn within(self, granted: &Granted) -> Self {
        let level = |name: &str| match granted.get(name).map(String::as_str) {
            Some("read") => Some(Access::Read),
            Some("write" | "admin") => Some(Access::Write),
            _ => None,
        };
        Self {
            contents: self.contents && level("contents").is_some(),
            packages: self
                .packages
                .and_then(|needed| level("packages").map(|given| needed.min(given))),
        }
    }

    /// Whether a token would be good for nothing.
    pub(super) fn is_empty(self) -> bool {
        !self.contents && self.packages.is_none()
    }

    /// As GitHub is asked for it, and as it has to answer. Without the list a token could do all that the installation can.
    pub(super) fn listed(self) -> Granted {
        let packages = self.packages.map(|access| match access {
            Access::Read => "read",
            Access::Write => "write",
        });
        let contents = self.contents.then_some("read");
        [
            ("contents", contents),
            ("metadata", Some("read")),
            ("packages", packages),
        ]
        .into_iter()
        .filter_map(|(name, level)| Some((name.to_owned(), level?.to_owned())))
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn granted(list: &[(&str, &str)]) -> Granted {
        list.iter()
            .map(|(name, level)| ((*name).to_owned(), (*level).to_owned()))
            .collect()
    }

    #[test]
    fn a_token_is_asked_for_with_what_it_is_for_and_nothing_else() {
        for (registry, rights, list) in [
            (
                true,
                Rights::Workspace,
                &[("contents", "read"), ("metadata", "read")][..],
            ),
            (
                false,
                Rights::Write,
                &[("contents", "read"), ("metadata", "read")],
            ),
            (
                true,
                Rights::Read,
                &[
                    ("contents", "read"),
                    ("metadata", "read"),
                    ("packages", "read"),
                ],
            ),
            (
                true,
                Rights::Write,
                &[
                    ("contents", "read"),
                    ("metadata", "read"),
                    ("packages", "write"),
                ],
            ),
        ] {
            let needed = Permissions::needed(true, registry, rights);
            assert_eq!(needed.listed(), granted(list), "{registry} {rights:?}");
        }
    }

    #[test]
    fn what_an_installation_was_not_granted_is_left_out() {
        let needed = Permissions::needed(true, true, Rights::Write);
        for (given, contents, packages) in [
            (
                &[("contents", "write"), ("packages", "write")][..],
                true,
                Some(Access::Write),
            ),
            (
                &[("contents", "read"), ("packages", "admin")],
                true,
                Some(Access::Write),
            ),
            (
                &[("contents", "read"), ("packages", "read")],
                true,
                Some(Access::Read),
            ),
            (&[("contents", "read")], true, None),
            (&[("packages", "none"), ("issues", "write")], false, None),
        ] {
            let expected = Permissions { contents, packages };
            assert_eq!(needed.within(&granted(given)), expected, "{given:?}");
        }
        let read = Permissions::needed(true, true, Rights::Read);
        let given = granted(&[("contents", "write"), ("packages", "write")]);
        assert_eq!(read.within(&given), read, "never more than is needed");
    }
}
