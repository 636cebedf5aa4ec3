use std::{fmt, str::FromStr};

/// Name of a devcontainer configuration: the folder `NAME` of `.devcontainer/NAME/devcontainer.json`.
///
/// It becomes part of a path in the clone, so a name that could lead out of the `.devcontainer` folder is refused.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ConfigName(String);

/// Why a text is not the name of a configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigNameError {
    /// The text is empty.
    #[error("must not be empty")]
    Empty,
    /// A file name has at most 255 bytes on Linux.
    #[error("is {0} bytes long; at most 255 are allowed")]
    TooLong(usize),
    /// It would lead out of the `.devcontainer` folder, or hide in it.
    #[error(
        "must be the name of one folder: no `/`, `\\` or `..`, and no dot or dash at its start"
    )]
    NotAFolder,
    /// It has a control character.
    #[error("must not contain control characters")]
    Control,
}

impl ConfigName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ConfigName {
    type Err = ConfigNameError;

    fn from_str(text: &str) -> Result<Self, ConfigNameError> {
        if text.is_empty() {
            return Err(ConfigNameError::Empty);
        }
        if text.len() > 255 {
            return Err(ConfigNameError::TooLong(text.len()));
        }
        if text.contains(['/', '\\']) || text.contains("..") || text.starts_with(['.', '-']) {
            return Err(ConfigNameError::NotAFolder);
        }
        if text.chars().any(char::is_control) {
            return Err(ConfigNameError::Control);
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for ConfigName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_leaves_its_folder_is_refused() {
        for bad in ["..", "a/b", "../x", "a..b", ".hidden", "a\\b", "-x", "/etc"] {
            assert_eq!(
                bad.parse::<ConfigName>(),
                Err(ConfigNameError::NotAFolder),
                "{bad}"
            );
        }
        assert_eq!("".parse::<ConfigName>(), Err(ConfigNameError::Empty));
        assert_eq!("a\nb".parse::<ConfigName>(), Err(ConfigNameError::Control));
        assert_eq!(
            "x".repeat(256).parse::<ConfigName>(),
            Err(ConfigNameError::TooLong(256))
        );
    }

    #[test]
    fn ordinary_folder_names_are_taken() {
        for good in ["python", "My Config", "gpu_v1.2", "größe"] {
            assert!(good.parse::<ConfigName>().is_ok(), "{good}");
        }
    }
}
