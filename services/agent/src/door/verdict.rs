//! What is asked of the node, and what becomes of it.

use std::fmt;

use crate::policy::{Allowed, Door};

/// The policy, and the warnings about what it keeps out.
pub struct Verdicts<'a> {
    allowed: &'a Allowed,
    pub warnings: Vec<String>,
}

impl<'a> Verdicts<'a> {
    pub fn new(allowed: &'a Allowed) -> Self {
        Self {
            allowed,
            warnings: Vec::new(),
        }
    }

    /// Whether something may be asked for; a warning says that it is left out if not.
    pub fn may(&mut self, what: impl fmt::Display, door: &Door) -> bool {
        let open = self.allowed.is_open(door);
        if !open {
            self.warnings.push(self.allowed.refusal(what, door));
        }
        open
    }

    pub fn warn(&mut self, message: String) {
        self.warnings.push(message);
    }

    /// Takes a value away where it says something and may not.
    pub fn judge<T>(
        &mut self,
        value: &mut Option<T>,
        door: &Door,
        what: impl FnOnce(&T) -> Option<String>,
    ) {
        if let Some(asked) = value.as_ref().and_then(what)
            && !self.may(asked, door)
        {
            *value = None;
        }
    }

    /// Keeps the members of a list that may be asked for.
    pub fn sift<T>(
        &mut self,
        list: &mut Option<Vec<T>>,
        mut keep: impl FnMut(&mut Self, &T) -> bool,
    ) {
        if let Some(list) = list {
            list.retain(|member| keep(self, member));
        }
    }
}
