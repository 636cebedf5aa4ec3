use http::{HeaderMap, header::AUTHORIZATION};

const SCHEME: &str = "bearer";

/// The header is there, and is not what it has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}: it has to be `authorization: Bearer TOKEN`, once")]
pub struct MalformedBearer(&'static str);

/// The token in `authorization: Bearer TOKEN`, if there is that header.
///
/// # Errors
///
/// When there are several of them, or it says something else.
pub fn bearer(headers: &HeaderMap) -> Result<Option<&str>, MalformedBearer> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(MalformedBearer(
            "the call has several authorization headers",
        ));
    }
    let value = value.to_str().ok().and_then(|text| text.split_once(' '));
    let token = value.filter(|(scheme, _)| scheme.eq_ignore_ascii_case(SCHEME));
    let token = token
        .map(|(_, token)| token.trim())
        .filter(|token| !token.is_empty());
    token.map(Some).ok_or(MalformedBearer(
        "the call's authorization header is malformed",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(values: &[&str]) -> Option<Option<String>> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, value.parse().unwrap());
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
}
