use http::HeaderMap;
use secrecy::{ExposeSecret as _, SecretString};

use crate::{error::CallError, node::new_token as random};

/// Tells what it is wherever it is found.
const PREFIX: &str = "hearth_";

/// A new token of a client: 256 random bits.
pub(super) fn new_token() -> Result<SecretString, CallError> {
    Ok(format!("{PREFIX}{}", random()?.expose_secret()).into())
}

/// The token in `authorization: Bearer TOKEN`, if there is that header.
pub(super) fn bearer(headers: &HeaderMap) -> Result<Option<&str>, CallError> {
    let read = hearth_runtime::bearer(headers);
    read.map_err(|error| CallError::CallerUnknown(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_differ_and_say_what_they_are() {
        let tokens = [(); 2].map(|()| new_token().expect("a token"));
        let [one, other] = tokens.each_ref().map(|token| token.expose_secret());
        assert_ne!(one, other);
        let digits = one.strip_prefix("hearth_").expect("a prefix");
        assert!(digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
    }
}
