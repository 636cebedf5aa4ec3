use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use hearth_domain::{RepositoryPattern, SecretName, SecretValue, sha256_hex};

/// Bytes of a key.
pub(super) const KEY_BYTES: usize = 32;
/// Hex digits that tell a key from others.
const ID_DIGITS: usize = 16;

/// Why a value cannot be encrypted or decrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum SealError {
    #[error("it was changed, or belongs to another secret")]
    Altered,
    #[error("it cannot be encrypted")]
    NotSealed,
}

/// What a value belongs to. It is bound to that: in the place of another secret, or for more refs, it is no value any more.
#[derive(Clone, Copy)]
pub(super) struct Bound<'a> {
    pub(super) name: &'a SecretName,
    pub(super) repositories: &'a RepositoryPattern,
    pub(super) all_refs: bool,
}

impl Bound<'_> {
    fn data(&self) -> Vec<u8> {
        // None of the texts has a zero byte.
        let all_refs = u8::from(self.all_refs);
        format!(
            "hearth secret 1\0{}\0{}\0{all_refs}",
            self.name, self.repositories
        )
        .into_bytes()
    }
}

/// A key for values: AES-256-GCM.
pub(super) struct SealingKey {
    id: String,
    key: RandomizedNonceKey,
}

impl SealingKey {
    /// That of these bytes.
    pub(super) fn new(bytes: &[u8; KEY_BYTES]) -> Option<Self> {
        let mut id = sha256_hex(bytes);
        id.truncate(ID_DIGITS);
        let key = RandomizedNonceKey::new(&AES_256_GCM, bytes).ok()?;
        Some(Self { id, key })
    }

    /// What tells it from others.
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// The value, encrypted: a nonce of its own, cipher text, tag.
    pub(super) fn seal(&self, value: &SecretValue, bound: Bound<'_>) -> Result<Vec<u8>, SealError> {
        let mut text = value.expose().as_bytes().to_vec();
        let nonce = self
            .key
            .seal_in_place_append_tag(Aad::from(bound.data()), &mut text)
            .map_err(|_| SealError::NotSealed)?;
        Ok([nonce.as_ref().as_slice(), &text].concat())
    }

    /// The value.
    pub(super) fn open(&self, sealed: &[u8], bound: Bound<'_>) -> Result<SecretValue, SealError> {
        let (nonce, text) = sealed
            .split_at_checked(NONCE_LEN)
            .ok_or(SealError::Altered)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| SealError::Altered)?;
        let mut text = text.to_vec();
        let opened = self
            .key
            .open_in_place(nonce, Aad::from(bound.data()), &mut text)
            .map_err(|_| SealError::Altered)?;
        let value = String::from_utf8(opened.to_vec()).map_err(|_| SealError::Altered)?;
        SecretValue::new(value).map_err(|_| SealError::Altered)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> SealingKey {
        SealingKey::new(&[byte; KEY_BYTES]).expect("a key")
    }

    #[test]
    fn a_value_is_opened_for_its_own_secret_by_its_own_key_and_only_unchanged() {
        let (name, other) = ("A".parse().expect("a name"), "B".parse().expect("a name"));
        let repositories = "git.example/a/*".parse().expect("a pattern");
        let wider = "git.example/*".parse().expect("a pattern");
        let bound = Bound {
            name: &name,
            repositories: &repositories,
            all_refs: false,
        };
        let value = SecretValue::new("planted".to_owned()).expect("a value");
        let sealed = key(1).seal(&value, bound).expect("a sealed value");
        assert!(!sealed.windows(7).any(|part| part == b"planted"));
        assert_ne!(sealed, key(1).seal(&value, bound).expect("another nonce"));
        let opened = key(1).open(&sealed, bound).expect("the value");
        assert_eq!(opened.expose(), "planted");
        for wrong in [
            Bound {
                name: &other,
                ..bound
            },
            Bound {
                repositories: &wider,
                ..bound
            },
            Bound {
                all_refs: true,
                ..bound
            },
        ] {
            assert_eq!(key(1).open(&sealed, wrong).err(), Some(SealError::Altered));
        }
        assert_eq!(key(2).open(&sealed, bound).err(), Some(SealError::Altered));
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(key(1).open(&changed, bound).is_err(), "byte {at}");
            assert!(key(1).open(&sealed[..at], bound).is_err(), "byte {at}");
        }
    }
}
