use std::str::FromStr;

use hearth_domain::Digest;
use secrecy::SecretString;

const MAX_SECRET_BYTES: usize = 1024;

/// What `hearth token create` prints: `<secret>@<SHA-256 of the CA's certificate, in hex>`.
#[derive(Debug)]
pub(crate) struct JoinToken {
    /// What lets the node join.
    pub(crate) secret: SecretString,
    /// The CA of the control plane that may hear it.
    pub(crate) ca_sha256: String,
}

/// The text is no join token. It is secret, so it is not shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is no join token: `hearth token create` prints one, as SECRET@SHA256-OF-THE-CA")]
pub(crate) struct JoinTokenError;

impl FromStr for JoinToken {
    type Err = JoinTokenError;

    fn from_str(text: &str) -> Result<Self, JoinTokenError> {
        let (secret, ca) = text.trim().split_once('@').ok_or(JoinTokenError)?;
        let is_plain = secret.bytes().all(|byte| byte.is_ascii_graphic());
        let has_length = (1..=MAX_SECRET_BYTES).contains(&secret.len());
        let is_digest = format!("sha256:{ca}").parse::<Digest>().is_ok();
        match is_plain && has_length && is_digest {
            true => Ok(Self {
                secret: secret.to_owned().into(),
                ca_sha256: ca.to_owned(),
            }),
            false => Err(JoinTokenError),
        }
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    #[test]
    fn a_token_has_a_secret_and_the_digest_of_a_ca() {
        let ca = "ab".repeat(32);
        let token: JoinToken = format!("secret@{ca}\n").parse().unwrap();
        assert_eq!(token.secret.expose_secret(), "secret");
        assert_eq!(token.ca_sha256, ca);
        for bad in [
            "",
            "secret",
            "secret@",
            "secret@abc",
            &format!("@{ca}"),
            &format!("secret@{}", ca.to_uppercase()),
            &format!("se cret@{ca}"),
            &format!("secret@{ca}@{ca}"),
            &format!("{}@{ca}", "x".repeat(1025)),
        ] {
            assert_eq!(
                bad.parse::<JoinToken>().unwrap_err(),
                JoinTokenError,
                "{bad}"
            );
        }
    }
}
