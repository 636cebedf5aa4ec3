use std::{fmt, str::FromStr};

/// What an image runs on: `os/architecture` or `os/architecture/variant`, as the OCI image spec names them
/// (`GOOS` and `GOARCH`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Platform(String);

/// The text is not a platform.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must have the form os/architecture")]
pub struct PlatformError;

impl Platform {
    /// The platform whose tags have no suffix.
    const USUAL: &str = "linux/amd64";
    /// Longest architecture with its variant, in bytes: none that OCI knows is longer than `mips64p32le`. Tags keep
    /// room for it.
    pub(crate) const MAX_ARCHITECTURE: usize = 11;

    /// The whole text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What the tags of this platform end with: nothing for linux/amd64, otherwise a dash and the architecture.
    pub(crate) fn tag_suffix(&self) -> String {
        match self.0.split_once('/') {
            Some((_, architecture)) if self.0 != Self::USUAL => {
                format!("-{}", architecture.replace('/', "-"))
            }
            _ => String::new(),
        }
    }
}

impl FromStr for Platform {
    type Err = PlatformError;

    fn from_str(text: &str) -> Result<Self, PlatformError> {
        let good = |part: &str| {
            (1..=16).contains(&part.len())
                && part
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
        };
        let architecture = text
            .split_once('/')
            .map_or("", |(_, architecture)| architecture);
        if matches!(text.split('/').count(), 2 | 3)
            && text.split('/').all(good)
            && architecture.len() <= Self::MAX_ARCHITECTURE
        {
            Ok(Self(text.to_owned()))
        } else {
            Err(PlatformError)
        }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_platform_has_an_os_an_architecture_and_perhaps_a_variant() {
        for (good, suffix) in [
            ("linux/amd64", ""),
            ("linux/arm64", "-arm64"),
            ("linux/arm/v7", "-arm-v7"),
            ("linux/mips64p32le", "-mips64p32le"),
        ] {
            let platform: Platform = good.parse().unwrap();
            assert_eq!(platform.to_string(), good);
            assert_eq!(platform.tag_suffix(), suffix);
        }
        for bad in [
            "",
            "linux",
            "linux/",
            "/amd64",
            "linux/amd64/v2/x",
            "linux/AMD64",
            "a/b:c",
            "linux/mips64p/32le",
        ] {
            assert_eq!(bad.parse::<Platform>(), Err(PlatformError), "{bad}");
        }
    }
}
