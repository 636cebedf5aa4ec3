use std::{fmt, str::FromStr};

use hearth_domain::is_loopback;
use tonic::transport::Uri;

/// Address of a control plane: `https://HOST:PORT`, or `http://HOST:PORT` on this machine.
#[derive(Clone, Debug)]
pub struct Address {
    text: String,
    pub(crate) uri: Uri,
}

/// Why a text is not the address of a control plane.
#[derive(Clone, Copy, Debug)]
pub enum AddressError {
    /// What is said there, a token too, could be read on the way.
    NotEncrypted,
    /// Anything else.
    Malformed,
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotEncrypted => {
                "is not encrypted: http:// is for loopback addresses only, such as 127.0.0.1 and localhost"
            }
            Self::Malformed => {
                "must be https://HOST:PORT, or http://HOST:PORT for a loopback address, without a path or a user"
            }
        })
    }
}

impl Address {
    /// Whether what is said there is encrypted.
    pub(crate) fn is_tls(&self) -> bool {
        self.uri.scheme_str() == Some("https")
    }

    /// The host, without the brackets of an IPv6 address.
    pub(crate) fn host(&self) -> &str {
        let host = self.uri.host().unwrap_or_default();
        host.trim_start_matches('[').trim_end_matches(']')
    }

    /// Whether both lead to the same place.
    pub(crate) fn is(&self, other: &Self) -> bool {
        let port = |address: &Self| {
            let own = if address.is_tls() { 443 } else { 80 };
            address.uri.port_u16().unwrap_or(own)
        };
        self.is_tls() == other.is_tls()
            && self.host().eq_ignore_ascii_case(other.host())
            && port(self) == port(other)
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let uri: Uri = text.parse().map_err(|_| AddressError::Malformed)?;
        let authority = uri.authority().ok_or(AddressError::Malformed)?.as_str();
        if uri.path() != "/" || uri.query().is_some() || authority.contains('@') {
            return Err(AddressError::Malformed);
        }
        match uri.scheme_str() {
            Some("https") => {}
            Some("http") if is_loopback(authority) => {}
            Some("http") => return Err(AddressError::NotEncrypted),
            _ => return Err(AddressError::Malformed),
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
    fn an_address_has_no_path_and_no_user_and_is_encrypted_or_on_this_machine() {
        for good in [
            "http://127.0.0.1:7400",
            "http://localhost/",
            "http://[::1]:1",
            "https://plane.example",
            "https://plane.example:7400/",
            "https://[2001:db8::1]:7400",
        ] {
            assert!(good.parse::<Address>().is_ok(), "{good}");
        }
        for wrong in [
            "",
            "localhost:7400",
            "127.0.0.1",
            "http://plane.example:7400",
            "http://10.0.0.1:7400",
            "http://127.0.0.1.example:7400",
            "http://localhost@plane.example",
            "https://a/b",
            "https://a?b",
            "https://robot@a",
            "http://",
            "https://",
            "unix:///run/hearth",
        ] {
            assert!(wrong.parse::<Address>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn two_spellings_of_an_address_are_the_same_place() {
        let address = |text: &str| text.parse::<Address>().expect("an address");
        for (one, other, same) in [
            ("https://plane.example", "https://PLANE.example:443/", true),
            ("https://plane.example", "https://plane.example:7400", false),
            ("http://localhost:443", "https://localhost:443", false),
            ("https://plane.example", "https://plane.example.evil", false),
            ("https://[::1]:7", "https://[::1]:7/", true),
        ] {
            assert_eq!(address(one).is(&address(other)), same, "{one} {other}");
        }
    }
}
