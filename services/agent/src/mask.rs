use std::{borrow::Cow, sync::Arc};

use hearth_domain::Secret;
use parking_lot::RwLock;

/// What stands in place of a secret.
const MASK: &str = "***";
/// Shorter values are found in everything.
const MIN_CHARS: usize = 4;

/// Takes secrets out of what commands print. Its copies are the same.
///
/// Output is read by lines, so that the lines of a value are looked for one by one. What a command encodes, it shows: this
/// keeps secrets out of logs, and not from who can run commands.
#[derive(Clone, Debug, Default)]
pub struct Mask(Arc<RwLock<Vec<String>>>);

impl Mask {
    /// Looks for these secrets from now on, too.
    pub fn add(&self, secrets: &[Secret]) {
        let values = secrets
            .iter()
            .flat_map(|secret| secret.value.expose().lines());
        let values = values.map(str::trim);
        let long = values.filter(|line| line.chars().nth(MIN_CHARS - 1).is_some());
        let mut texts = self.0.write();
        texts.extend(long.map(str::to_owned));
        // One may be a part of another.
        texts.sort_by(|one, other| (other.len(), other.as_str()).cmp(&(one.len(), one.as_str())));
        texts.dedup();
    }

    /// A text without secrets.
    pub fn of<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let mut masked = Cow::Borrowed(text);
        for secret in self.0.read().iter() {
            if masked.contains(secret.as_str()) {
                masked = Cow::Owned(masked.replace(secret.as_str(), MASK));
            }
        }
        masked
    }

    fn longest(&self) -> usize {
        self.0.read().first().map_or(0, String::len)
    }
}

/// Lines of one output without secrets.
#[derive(Debug, Default)]
pub struct MaskedLines {
    mask: Mask,
    /// The line before was cut, so that this one goes on with it.
    goes_on: bool,
}

impl MaskedLines {
    /// Nothing was printed yet.
    pub fn new(mask: Mask) -> Self {
        Self {
            mask,
            goes_on: false,
        }
    }

    /// The next line; `cut` if it ends because it is too long. A secret may be in both parts of a line that is cut: the second
    /// one begins after as much text as that could be.
    pub fn line<'a>(&mut self, line: &'a str, cut: bool) -> Cow<'a, str> {
        let longest = self.mask.longest();
        if !std::mem::replace(&mut self.goes_on, cut) || longest == 0 {
            return self.mask.of(line);
        }
        let rest = &line[line.ceil_char_boundary(longest)..];
        Cow::Owned(format!("{MASK}{}", self.mask.of(rest)))
    }

    /// A line that is going to be replaced.
    pub fn update<'a>(&self, line: &'a str) -> Cow<'a, str> {
        self.mask.of(line)
    }
}

#[cfg(test)]
mod tests {
    use hearth_domain::SecretValue;

    use super::*;

    fn mask(values: &[&str]) -> Mask {
        let secret = |value: &&str| Secret {
            name: "A".parse().unwrap(),
            value: SecretValue::new((*value).to_owned()).unwrap(),
        };
        let mask = Mask::default();
        mask.add(&values.iter().map(secret).collect::<Vec<_>>());
        mask
    }

    #[test]
    fn values_of_four_characters_are_masked_and_shorter_ones_are_not() {
        let mask = mask(&["abc", "äöüß", "token", "token-long", " padded \n"]);
        for (text, masked) in [
            ("abc", "abc"),
            ("x äöüß y", "x *** y"),
            ("token", "***"),
            ("a token-long b token", "a *** b ***"),
            ("tokentoken", "******"),
            ("padded", "***"),
            ("to ken", "to ken"),
            ("", ""),
        ] {
            assert_eq!(mask.of(text), masked);
        }
    }

    #[test]
    fn each_line_of_a_value_is_masked_by_itself() {
        let mask = mask(&["-----BEGIN KEY-----\r\nMIIplanted\n\nend\n-----END KEY-----\n"]);
        assert_eq!(mask.of("-----BEGIN KEY-----"), "***");
        assert_eq!(mask.of("key: MIIplanted!"), "key: ***!");
        assert_eq!(mask.of("the end"), "the end");
    }

    #[test]
    fn a_secret_in_both_parts_of_a_line_that_was_cut_is_in_neither() {
        let (secret, after) = ("planted-secret", " and more of the line after it");
        for at in 1..secret.len() {
            let mut lines = MaskedLines::new(mask(&[secret]));
            let (first, second) = secret.split_at(at);
            let first = format!("before {first}");
            lines.line(&first, true);
            let second = format!("{second}{after}");
            let masked = lines.line(&second, false);
            let shown = masked.strip_prefix("***").expect("a mask");
            // Nothing of the secret is in what comes after it.
            assert!(after.ends_with(shown), "{masked}");
            assert!(shown.ends_with("line after it"), "{masked}");
            assert_eq!(lines.line("next", false), "next");
        }
        let mut none = MaskedLines::new(Mask::default());
        none.line("a", true);
        assert_eq!(none.line("b", false), "b");
    }
}
