//! What was asked, and which secrets were given out.

use std::collections::BTreeMap;

use super::{
    routes::{Call, Route},
    world::full_name,
};

/// More requests than any test makes; a client that runs wild is found out by this.
const MOST: usize = 100_000;

/// A request, without anything secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub route: Route,
    pub method: String,
    pub path: String,
    /// `owner/name` in lower case, where the path names one.
    pub repository: Option<String>,
    /// Unset while it is not answered.
    pub status: Option<u16>,
}

/// Everything that is remembered.
#[derive(Default)]
pub struct Records {
    pub seen: Vec<Seen>,
    /// Tokens that were made, by repository; those without a list are in the total only.
    pub minted: BTreeMap<String, usize>,
    pub mints: usize,
    /// Everything that opens something: installation tokens, registry tokens, App JWTs.
    pub secrets: Vec<String>,
}

impl Records {
    /// Remembers a request and returns its number.
    pub fn arrived(&mut self, call: &Call, method: &str, path: &str) -> usize {
        assert!(self.seen.len() < MOST, "too many requests");
        let repository = match call {
            Call::Lookup { owner, name }
            | Call::Repository { owner, name }
            | Call::Git { owner, name, .. } => Some(full_name(owner, name)),
            _ => None,
        };
        self.seen.push(Seen {
            route: call.route(),
            method: method.to_owned(),
            path: path.to_owned(),
            repository,
            status: None,
        });
        self.seen.len() - 1
    }

    pub fn answered(&mut self, number: usize, status: u16) {
        self.seen[number].status = Some(status);
    }

    pub fn count(&self, route: Route) -> usize {
        self.seen.iter().filter(|seen| seen.route == route).count()
    }

    /// Remembers a secret once.
    pub fn secret(&mut self, secret: &str) {
        if !self.secrets.iter().any(|known| known == secret) {
            self.secrets.push(secret.to_owned());
        }
    }
}
