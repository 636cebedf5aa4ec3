use std::{fmt, str::FromStr};

use secrecy::{ExposeSecret as _, SecretString};

const MAX_NAME_BYTES: usize = 128;
const MAX_VALUE_BYTES: usize = 32 * 1024;

/// The name of a secret, which is that of a variable of the environment: letters, digits and underscores, no digit first.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SecretName(String);

/// The text is not the name of a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be at most 128 letters, digits and underscores, with no digit at its start")]
pub struct SecretNameError;

impl SecretName {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for SecretName {
    type Err = SecretNameError;

    fn from_str(text: &str) -> Result<Self, SecretNameError> {
        let good = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        let begins_well = text
            .bytes()
            .next()
            .is_some_and(|byte| !byte.is_ascii_digit());
        match begins_well && text.len() <= MAX_NAME_BYTES && text.bytes().all(good) {
            true => Ok(Self(text.to_owned())),
            false => Err(SecretNameError),
        }
    }
}

impl fmt::Display for SecretName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A secret of a repository, for the environment of its workspaces.
#[derive(Clone, Debug)]
pub struct Secret {
    /// Its name.
    pub name: SecretName,
    /// Its value.
    pub value: SecretValue,
}

/// The value of a secret: a text of 1 to 32768 bytes, as a variable of the environment can have it.
#[derive(Clone, Debug)]
pub struct SecretValue(SecretString);

/// The text is not the value of a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be a text of 1 to 32768 bytes, without a zero byte")]
pub struct SecretValueError;

impl SecretValue {
    /// A value.
    pub fn new(text: String) -> Result<Self, SecretValueError> {
        match (1..=MAX_VALUE_BYTES).contains(&text.len()) && !text.contains('\0') {
            true => Ok(Self(text.into())),
            false => Err(SecretValueError),
        }
    }

    /// The text.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_of_a_variable() {
        for good in ["A", "_", "NPM_TOKEN", "a1", &"x".repeat(128)] {
            assert_eq!(good.parse::<SecretName>().expect(good).as_str(), good);
        }
        for bad in ["", "1A", "A-B", "A=B", "A B", "Ä", "A\n", &"x".repeat(129)] {
            assert_eq!(bad.parse::<SecretName>(), Err(SecretNameError), "{bad}");
        }
    }

    #[test]
    fn a_value_is_bounded_and_is_not_printed() {
        let value = SecretValue::new("planted".to_owned()).expect("a value");
        assert_eq!(value.expose(), "planted");
        let secret = Secret {
            name: "A".parse().expect("a name"),
            value,
        };
        assert!(!format!("{secret:?}").contains("planted"));
        for bad in ["", "a\0b", &"x".repeat(MAX_VALUE_BYTES + 1)] {
            assert!(SecretValue::new(bad.to_owned()).is_err());
        }
    }
}
