use http::{HeaderMap, header::AUTHORIZATION};
use secrecy::{ExposeSecret as _, SecretString};

use crate::{error::CallError, node::new_token as random};

/// Tells what it is wherever it is found.
const PREFIX: &str = "hearth_";
const SCHEME: &str = "bearer";

/// A new token of a client: 256 random bits.
pub(super) fn new_token() -> Result<SecretString, CallError> {
    Ok(format!("{PREFIX}{}", random()?.expose_secret()).into())
}

/// The token in `authorization: Bearer TOKEN`, if there is that header.
pub(super) fn bearer(headers: &HeaderMap) -> Result<Option<&str>, CallError> {
    let wrong = |why: &str| {
        CallError::CallerUnknown(format!(
            "{why}: it has to be `authorization: Bearer TOKEN`, once"
        ))
    };
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(wrong("the call has several authorization headers"));
    }
    let value = value.to_str().ok().and_then(|text| text.split_once(' '));
    let token = value.filter(|(scheme, _)| scheme.eq_ignore_ascii_case(SCHEME));
    let token = token
        .map(|(_, token)| token.trim())
        .filter(|token| !token.is_empty());
    token
        .map(Some)
        .ok_or_else(|| wrong("the call's authorization header is malformed"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(values: &[&str]) -> Option<Option<String>> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, value.parse().expect("a header"));
        }
        let read = bearer(&headers).ok()?;
        Some(read.map(str::to_owned))
    }

    #[test]
    fn a_token_is_read_from_one_header_of_one_scheme() {
        assert_eq!(read(&[]), Some(None));
        for good in ["Bearer x", "bearer x", "BEARER  x "] {
            assert_eq!(read(&[good]), Some(Some("x".to_owned())), "{good}");
        }
        for bad in [
            "", "x", "Bearer", "Bearer ", "Basic x", "Bearerx", "Bearer,x",
        ] {
            assert_eq!(read(&[bad]), None, "{bad}");
        }
        assert_eq!(read(&["Bearer x", "Bearer x"]), None);
    }

    #[test]
    fn tokens_differ_and_say_what_they_are() {
        let tokens = [(); 2].map(|()| new_token().expect("a token"));
        let [one, other] = tokens.each_ref().map(|token| token.expose_secret());
        assert_ne!(one, other);
        let digits = one.strip_prefix("hearth_").expect("a prefix");
        assert!(digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
    }
}
