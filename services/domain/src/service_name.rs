use std::{fmt, str::FromStr};

/// Longest name, in bytes. Compose sets no limit; a container's hostname has 63.
const MAX_BYTES: usize = 128;

/// Name of a service of a Docker Compose project.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceName(String);

/// The text is not the name of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must have at most {MAX_BYTES} letters, digits, dots, underscores and dashes")]
pub struct ServiceNameError;

impl ServiceName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ServiceName {
    type Err = ServiceNameError;

    fn from_str(text: &str) -> Result<Self, ServiceNameError> {
        let good = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        match (1..=MAX_BYTES).contains(&text.len()) && text.bytes().all(good) {
            true => Ok(Self(text.to_owned())),
            false => Err(ServiceNameError),
        }
    }
}

impl fmt::Display for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_that_compose_takes() {
        for good in ["api", "My.api_2-x", "0"] {
            assert_eq!(good.parse::<ServiceName>().unwrap().as_str(), good);
        }
        let long = "a".repeat(MAX_BYTES + 1);
        for bad in ["", "a b", "a/b", "a:b", "\u{e4}", "a\n", &long] {
            assert_eq!(bad.parse::<ServiceName>(), Err(ServiceNameError), "{bad}");
        }
    }
}
