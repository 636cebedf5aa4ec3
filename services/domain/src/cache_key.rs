use std::{collections::BTreeMap, fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{Digest, digest::sha256_hex};

/// Version of the rules by which inputs are chosen and written down. A change of the rules is a new
/// version, so that keys made by different rules never meet.
pub const KEY_VERSION: &str = "k2";

/// Digest of everything that determines an image: the version of the rules, such as `k2:`, and 64 hex digits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CacheKey(String);

/// The text is not a cache key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a cache key of the form {KEY_VERSION}:<64 hex digits>")]
pub struct KeyParseError(String);

impl CacheKey {
    /// The whole text, version included.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first 16 hex digits, as used in tags.
    pub fn short(&self) -> &str {
        &self.hex()[..16]
    }

    /// The digest of the key manifest: the key is its SHA-256, behind the version of the rules.
    pub fn manifest_digest(&self) -> Digest {
        Digest::from_hex(self.hex())
    }

    /// The key of a manifest in its canonical form.
    pub fn of(canonical_json: &str) -> Self {
        Self(format!("{KEY_VERSION}:{}", sha256_hex(canonical_json)))
    }

    fn hex(&self) -> &str {
        self.0.rsplit(':').next().unwrap_or_default()
    }
}

impl FromStr for CacheKey {
    type Err = KeyParseError;

    fn from_str(text: &str) -> Result<Self, KeyParseError> {
        // Entries of other versions are kept until they are removed.
        let parts = text.strip_prefix('k').and_then(|rest| rest.split_once(':'));
        let valid = parts.is_some_and(|(version, hex)| {
            let is_number =
                matches!(version.len(), 1..=3) && version.bytes().all(|b| b.is_ascii_digit());
            is_number
                && hex.len() == 64
                && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        });
        if valid {
            Ok(Self(text.to_owned()))
        } else {
            Err(KeyParseError(text.to_owned()))
        }
    }
}

impl fmt::Display for CacheKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Kinds of inputs of an image, in the order of their names, which is the order that they are written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Input {
    /// A base image; the value is the digest that its name resolved to.
    BaseImage,
    /// A build argument.
    BuildArg,
    /// A property of the configuration that shapes the image.
    Config,
    /// A Dockerfile.
    Dockerfile,
    /// A feature, local or from a registry.
    Feature,
    /// A file that a build can see.
    File,
    /// `os/architecture`.
    Platform,
    /// Something outside the repository that cannot be pinned down.
    Remote,
    /// A tool whose version changes the image.
    Tool,
}

/// Every input of an image with its own digest or value. Its canonical form is JSON without white space: the version,
/// then the inputs, kinds and names in the order of their UTF-8 bytes, kinds without inputs left out. In strings, `"`,
/// `\` and control characters are escaped (`\b \t \n \f \r`, else `\u00xx` in lower case), nothing else. The SHA-256 of
/// those bytes is the key:
///
/// ```text
/// {"version":"k2","inputs":{"<kind>":{"<name>":"<digest or value>"}}}
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyManifest {
    version: String,
    inputs: BTreeMap<Input, BTreeMap<String, String>>,
}

impl Default for KeyManifest {
    fn default() -> Self {
        Self {
            version: KEY_VERSION.to_owned(),
            inputs: BTreeMap::new(),
        }
    }
}

impl KeyManifest {
    /// Adds an input. The same input twice counts once.
    pub fn insert(&mut self, kind: Input, name: impl Into<String>, value: impl Into<String>) {
        self.inputs
            .entry(kind)
            .or_default()
            .insert(name.into(), value.into());
    }

    /// The inputs of one kind, by name.
    pub fn inputs(&self, kind: Input) -> impl Iterator<Item = (&str, &str)> {
        self.inputs
            .get(&kind)
            .into_iter()
            .flatten()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The bytes that the key is the digest of.
    pub fn canonical_json(&self) -> String {
        // Maps with string keys and string values always serialise.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The key.
    pub fn key(&self) -> CacheKey {
        CacheKey::of(&self.canonical_json())
    }
}

/// A key manifest that is complete: its canonical form and its key, both computed once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyedManifest {
    inputs: KeyManifest,
    canonical_json: String,
    key: CacheKey,
}

/// The text is not a key manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be a key manifest of version {KEY_VERSION} in its canonical form")]
pub struct ManifestParseError;

impl KeyedManifest {
    /// The inputs.
    pub fn inputs(&self) -> &KeyManifest {
        &self.inputs
    }

    /// The bytes that the key is the digest of.
    pub fn canonical_json(&self) -> &str {
        &self.canonical_json
    }

    /// The key.
    pub fn key(&self) -> &CacheKey {
        &self.key
    }
}

impl From<KeyManifest> for KeyedManifest {
    fn from(inputs: KeyManifest) -> Self {
        let canonical_json = inputs.canonical_json();
        Self {
            key: CacheKey::of(&canonical_json),
            canonical_json,
            inputs,
        }
    }
}

impl FromStr for KeyedManifest {
    type Err = ManifestParseError;

    fn from_str(text: &str) -> Result<Self, ManifestParseError> {
        let inputs: KeyManifest = serde_json::from_str(text).map_err(|_| ManifestParseError)?;
        let manifest = Self::from(inputs);
        // Another order or white space would be another key of the same inputs.
        if manifest.inputs.version == KEY_VERSION && manifest.canonical_json == text {
            Ok(manifest)
        } else {
            Err(ManifestParseError)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_of_a_known_manifest_never_changes() {
        let mut manifest = KeyManifest::default();
        manifest.insert(Input::Platform, "platform", "linux/amd64");
        manifest.insert(Input::Config, "remoteUser", "\"dev\"");
        assert_eq!(
            manifest.canonical_json(),
            r#"{"version":"k2","inputs":{"config":{"remoteUser":"\"dev\""},"platform":{"platform":"linux/amd64"}}}"#
        );
        assert_eq!(
            manifest.key().as_str(),
            "k2:5dec2d9ede03a90742b8c84ee023d97cacacb4afe01aba17ed63c308bf424b33"
        );
    }

    #[test]
    fn kinds_are_written_in_the_order_of_their_names() {
        let kinds = [
            Input::BaseImage,
            Input::BuildArg,
            Input::Config,
            Input::Dockerfile,
            Input::Feature,
            Input::File,
            Input::Platform,
            Input::Remote,
            Input::Tool,
        ];
        let name = |kind: &Input| serde_json::to_string(kind).unwrap();
        assert!(kinds.is_sorted());
        assert!(kinds.is_sorted_by_key(name));
    }

    #[test]
    fn the_order_in_which_inputs_are_found_does_not_matter() {
        let (mut one, mut two) = (KeyManifest::default(), KeyManifest::default());
        one.insert(Input::File, "a", "1");
        one.insert(Input::File, "b", "2");
        two.insert(Input::File, "b", "2");
        two.insert(Input::File, "a", "1");
        assert_eq!(one.key(), two.key());
    }

    #[test]
    fn a_key_reads_back() {
        let key = KeyManifest::default().key();
        assert_eq!(key.as_str().parse(), Ok(key.clone()));
        assert_eq!(key.short().len(), 16);
        let old = format!("k1:{}", "0".repeat(64));
        assert_eq!(old.parse::<CacheKey>().unwrap().short(), &old[3..19]);
        for bad in ["k2:00", "k:00", "2:00"] {
            assert!(bad.parse::<CacheKey>().is_err(), "{bad}");
        }
        assert_eq!(
            key.manifest_digest().as_str().strip_prefix("sha256:"),
            key.as_str().strip_prefix("k2:")
        );
    }

    #[test]
    fn a_manifest_reads_back_from_its_canonical_form_only() {
        let mut manifest = KeyManifest::default();
        manifest.insert(Input::Platform, "platform", "linux/amd64");
        let keyed = KeyedManifest::from(manifest.clone());
        assert_eq!(keyed.key(), &manifest.key());
        assert_eq!(keyed.canonical_json().parse(), Ok(keyed.clone()));
        for bad in [
            format!("{} ", keyed.canonical_json()),
            keyed.canonical_json().replace("k2", "k1"),
            "{}".to_owned(),
            String::new(),
        ] {
            assert_eq!(bad.parse::<KeyedManifest>(), Err(ManifestParseError));
        }
    }
}
