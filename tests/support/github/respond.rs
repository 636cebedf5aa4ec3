//! Answers, and what they are about in a request.

use axum::{
    body::Body,
    http::{HeaderMap, HeaderName, HeaderValue, Response, header},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

pub type Answer = Response<Body>;

/// An answer that ends a request early.
pub type Refusal = Box<Answer>;

/// JSON.
pub fn json(status: u16, value: &Value) -> Answer {
    let body = Body::from(value.to_string());
    let mut answer = answer(status, body);
    set(
        &mut answer,
        "content-type",
        "application/json; charset=utf-8",
    );
    answer
}

/// An error of the REST API.
pub fn error(status: u16, message: &str) -> Answer {
    let value = json!({
        "message": message,
        "documentation_url": "https://docs.github.com/rest",
        "status": status.to_string(),
    });
    json(status, &value)
}

/// What is not there, or not for this token.
pub fn not_found() -> Answer {
    error(404, "Not Found")
}

/// Plain text, as the git host answers.
pub fn text(status: u16, text: &str) -> Answer {
    let mut answer = answer(status, Body::from(text.to_owned()));
    set(&mut answer, "content-type", "text/plain; charset=UTF-8");
    answer
}

/// Asks for a login.
pub fn challenge(message: &str) -> Answer {
    let mut answer = text(401, message);
    set(&mut answer, "www-authenticate", "Basic realm=\"GitHub\"");
    answer
}

/// An answer with this body.
pub fn answer(status: u16, body: Body) -> Answer {
    let mut answer = Response::new(body);
    *answer.status_mut() = status.try_into().expect("a status");
    answer
}

/// Sets a header.
pub fn set(answer: &mut Answer, name: &'static str, value: &str) {
    let value = HeaderValue::from_str(value).expect("a header");
    answer
        .headers_mut()
        .insert(HeaderName::from_static(name), value);
}

/// A header as text.
pub fn get<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// The secret in `Authorization: Bearer …` or `token …`.
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, secret) = authorization(headers)?;
    (scheme.eq_ignore_ascii_case("bearer") || scheme.eq_ignore_ascii_case("token"))
        .then_some(secret)
}

/// User and password in `Authorization: Basic …`. Another scheme, or what does not decode, is an empty login: it was
/// tried, and is wrong.
pub fn basic(headers: &HeaderMap) -> Option<(String, String)> {
    let login = || {
        let (scheme, encoded) = authorization(headers)?;
        if !scheme.eq_ignore_ascii_case("basic") {
            return None;
        }
        let decoded = String::from_utf8(STANDARD.decode(encoded).ok()?).ok()?;
        let (user, password) = decoded.split_once(':')?;
        Some((user.to_owned(), password.to_owned()))
    };
    headers
        .contains_key(header::AUTHORIZATION)
        .then(|| login().unwrap_or_default())
}

fn authorization(headers: &HeaderMap) -> Option<(&str, &str)> {
    let (scheme, secret) = get(headers, "authorization")?.split_once(' ')?;
    Some((scheme, secret.trim()))
}
