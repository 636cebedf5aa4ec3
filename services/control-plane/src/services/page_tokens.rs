use std::sync::Arc;

use anyhow::anyhow;
use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey},
    error::Unspecified,
};
use secrecy::ExposeSecret as _;

use crate::{node::new_token, store::Store};

/// What the store calls their key.
const SECRET: &str = "page tokens";

/// Seals the tokens of pages. A page begins at a row of the database, and the number of a row would tell a client that sees few
/// rows how many there are.
#[derive(Clone, Debug)]
pub(crate) struct PageTokens {
    key: Arc<RandomizedNonceKey>,
    /// A token leads on in the list alone that it is of.
    list: &'static str,
}

impl PageTokens {
    /// Those of no list yet. Their key is made once, with the database: a token stays valid over a restart.
    pub(crate) async fn load(store: &dyn Store) -> anyhow::Result<Self> {
        let key = store.secret(SECRET, &new_token()?).await?;
        let made = Self::with(&hex::decode(key.expose_secret())?);
        made.map_err(|_| anyhow!("the key of the tokens of pages cannot be used"))
    }

    fn with(key: &[u8]) -> Result<Self, Unspecified> {
        Ok(Self {
            key: Arc::new(RandomizedNonceKey::new(&AES_256_GCM, key)?),
            list: "",
        })
    }

    #[cfg(test)]
    pub(super) fn of_test() -> Self {
        Self::with(&[7; 32]).expect("a key")
    }

    /// Those of a list.
    pub(super) fn of(&self, list: &'static str) -> Self {
        Self {
            key: self.key.clone(),
            list,
        }
    }

    /// The token of a page that begins below a number. Empty: there is none.
    pub(super) fn seal(&self, before: u64) -> String {
        let mut sealed = before.to_be_bytes().to_vec();
        let nonce = self
            .key
            .seal_in_place_append_tag(Aad::from(self.list), &mut sealed);
        nonce.map_or_else(
            |_| String::new(),
            |nonce| hex::encode(nonce.as_ref()) + &hex::encode(&sealed),
        )
    }

    /// Where a page begins; `None`: the text is no token of this list.
    pub(super) fn open(&self, token: &str) -> Option<u64> {
        let bytes = hex::decode(token).ok()?;
        let (nonce, sealed) = bytes.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut sealed = sealed.to_vec();
        let opened = self
            .key
            .open_in_place(nonce, Aad::from(self.list), &mut sealed);
        let number: &[u8] = opened.ok()?;
        Some(u64::from_be_bytes(number.try_into().ok()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_of_one_list_and_tells_nothing() {
        let tokens = PageTokens::with(&[7; 32]).expect("a key");
        let (one, other) = (tokens.of("workspaces"), tokens.of("clients"));
        for number in [0, 1, 4711, u64::MAX] {
            let sealed = one.seal(number);
            assert_eq!(one.open(&sealed), Some(number));
            assert_eq!(other.open(&sealed), None);
            assert_ne!(one.seal(number), sealed, "two of them cannot be compared");
            assert_eq!(one.seal(0).len(), sealed.len());
            let again = PageTokens::with(&[7; 32]).expect("the same key");
            assert_eq!(again.of("workspaces").open(&sealed), Some(number));
            let elsewhere = PageTokens::with(&[8; 32]).expect("a key");
            assert_eq!(elsewhere.of("workspaces").open(&sealed), None);
            let mut forged = sealed.into_bytes();
            let last = forged.len() - 1;
            forged[last] ^= 1;
            assert_eq!(one.open(&String::from_utf8_lossy(&forged)), None);
        }
        for bad in ["", "7", "third", &"0".repeat(72), &"0".repeat(1000)] {
            assert_eq!(one.open(bad), None, "{bad}");
        }
        assert!(PageTokens::with(b"short").is_err());
    }
}
