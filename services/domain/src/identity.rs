use std::{fmt, str::FromStr};

const MAX_NAME_BYTES: usize = 63;
const NODE: &str = "spiffe://hearth/node/";
const CLIENT: &str = "spiffe://hearth/client/";

/// The name of a node or a client: 1 to 63 lower-case letters, digits, dashes and dots.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(String);

/// Why a text is not the name of a node or a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// It has no character.
    #[error("must not be empty")]
    Empty,
    /// It is too long, or has other characters.
    #[error("must be at most 63 lower-case letters, digits, dashes and dots")]
    Malformed,
}

impl Name {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let good = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.');
        match text {
            "" => Err(NameError::Empty),
            text if text.len() <= MAX_NAME_BYTES && text.bytes().all(good) => {
                Ok(Self(text.to_owned()))
            }
            _ => Err(NameError::Malformed),
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Who holds a certificate of hearth, as the URI in it says: `spiffe://hearth/node/NAME` or
/// `spiffe://hearth/client/NAME`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Identity {
    /// The agent of a node.
    Node(Name),
    /// A client.
    Client(Name),
}

/// The text is not the URI of an identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be spiffe://hearth/node/NAME or spiffe://hearth/client/NAME")]
pub struct IdentityError;

impl FromStr for Identity {
    type Err = IdentityError;

    fn from_str(uri: &str) -> Result<Self, IdentityError> {
        let name = |name: &str| name.parse().map_err(|_| IdentityError);
        if let Some(node) = uri.strip_prefix(NODE) {
            name(node).map(Self::Node)
        } else if let Some(client) = uri.strip_prefix(CLIENT) {
            name(client).map(Self::Client)
        } else {
            Err(IdentityError)
        }
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node(name) => write!(f, "{NODE}{name}"),
            Self::Client(name) => write!(f, "{CLIENT}{name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_short_and_plain() {
        for good in ["n1", "node-7.rack-2", &"x".repeat(63)] {
            assert_eq!(good.parse::<Name>().unwrap().as_str(), good);
        }
        assert_eq!("".parse::<Name>(), Err(NameError::Empty));
        for bad in ["N1", "a b", "a/b", "ä", "a\n", &"x".repeat(64)] {
            assert_eq!(bad.parse::<Name>(), Err(NameError::Malformed), "{bad}");
        }
    }

    #[test]
    fn an_identity_is_read_as_it_is_written_and_nothing_else_is_one() {
        for good in ["spiffe://hearth/node/n1", "spiffe://hearth/client/ci.main"] {
            assert_eq!(good.parse::<Identity>().unwrap().to_string(), good);
        }
        for bad in [
            "",
            "spiffe://hearth/node/",
            "spiffe://hearth/node/a/b",
            "spiffe://hearth/node/n1?x",
            "spiffe://other/node/n1",
            "spiffe://hearth/Node/n1",
            "SPIFFE://hearth/node/n1",
            "https://hearth/node/n1",
        ] {
            assert_eq!(bad.parse::<Identity>(), Err(IdentityError), "{bad}");
        }
    }
}
