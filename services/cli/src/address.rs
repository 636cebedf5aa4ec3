use std::{fmt, str::FromStr};

use tonic::transport::Uri;

/// Address of a control plane: `http://HOST:PORT`.
#[derive(Clone, Debug)]
pub struct Address {
    text: String,
    pub(crate) uri: Uri,
}

/// Why a text is not the address of a control plane.
#[derive(Clone, Copy, Debug)]
pub enum AddressError {
    /// TLS would be spoken there.
    Tls,
    /// Anything else.
    Malformed,
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tls => "asks for TLS, which hearth does not have: it must be http://HOST:PORT",
            Self::Malformed => "must be http://HOST:PORT, without a path or a user",
        })
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let uri: Uri = text.parse().map_err(|_| AddressError::Malformed)?;
        match uri.scheme_str() {
            Some("http") => {}
            Some("https") => return Err(AddressError::Tls),
            _ => return Err(AddressError::Malformed),
        }
        let user = uri
            .authority()
            .is_some_and(|whole| whole.as_str().contains('@'));
        if uri.path() != "/" || uri.query().is_some() || user {
            return Err(AddressError::Malformed);
        }
        Ok(Self {
            text: text.to_owned(),
            uri,
        })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_plain_http_address_without_a_path_or_a_user_is_one_of_a_control_plane() {
        for good in [
            "http://127.0.0.1:7400",
            "http://plane.example/",
            "http://[::1]:1",
        ] {
            assert!(good.parse::<Address>().is_ok(), "{good}");
        }
        for wrong in [
            "",
            "localhost:7400",
            "127.0.0.1",
            "https://a",
            "http://a/b",
            "http://a?b",
            "http://robot@a",
            "http://",
            "unix:///run/hearth",
        ] {
            assert!(wrong.parse::<Address>().is_err(), "{wrong}");
        }
    }
}
