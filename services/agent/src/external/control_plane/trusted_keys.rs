use std::sync::Arc;

use hearth_signatures::{Claim, PublicKeys, Signature};
use parking_lot::RwLock;

/// The keys that entries of the cache have to be signed with.
#[derive(Clone, Debug, Default)]
pub struct TrustedKeys(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// Those of the agent's own configuration, which count before what the control plane says.
    pinned: Option<PublicKeys>,
    told: RwLock<Told>,
}

/// What the control plane says about its keys.
#[derive(Clone, Debug, Default, PartialEq)]
enum Told {
    /// It has none, and signs nothing.
    #[default]
    NoKey,
    /// The first signs, and signatures of the others count.
    Key(PublicKeys),
    /// Something else than a key: nothing verifies.
    Unreadable,
}

impl TrustedKeys {
    /// These, whatever the control plane says.
    pub fn pinned(keys: PublicKeys) -> Self {
        Self(Arc::new(Inner {
            pinned: Some(keys),
            told: RwLock::default(),
        }))
    }

    /// Takes what the control plane says about its key.
    pub(super) fn learn(&self, pem: &str) {
        let told = match pem {
            "" => Told::NoKey,
            pem => pem.parse().map_or(Told::Unreadable, Told::Key),
        };
        let before = std::mem::replace(&mut *self.0.told.write(), told.clone());
        if before == told {
            return;
        }
        match (&self.0.pinned, &told) {
            (Some(pinned), Told::Key(key)) if pinned.contain_first_of(key) => {}
            (Some(_), _) => tracing::warn!(
                "the control plane does not sign with a key of --cache-public-key (HEARTH_CACHE_PUBLIC_KEY): no image of the cache is used"
            ),
            (None, Told::Key(keys)) => {
                let keys = keys.fingerprints().collect::<Vec<_>>().join(", ");
                tracing::info!(keys.sha256 = keys, "entries of the cache have to be signed");
            }
            (None, Told::NoKey) => {
                tracing::info!("the control plane does not sign the entries of the cache");
            }
            (None, Told::Unreadable) => tracing::warn!(
                "the control plane's public key cannot be read: no image of the cache is used"
            ),
        }
    }

    /// Whether an image may be used: there is no key to check it with, or its entry is signed. Otherwise why not, in a
    /// sentence.
    pub(super) fn check(&self, claim: &Claim, signature: &[u8]) -> Result<(), String> {
        let refused = |why: &str| Err(format!("the image for this key is not used: {why}"));
        let told = self.0.told.read();
        let keys = match (&self.0.pinned, &*told) {
            (Some(keys), _) | (None, Told::Key(keys)) => keys,
            (None, Told::NoKey) => return Ok(()),
            (None, Told::Unreadable) => {
                return refused("the control plane's public key cannot be read");
            }
        };
        if signature.is_empty() {
            return refused("its entry is not signed, and this node uses none that is not");
        }
        match Signature::from_der(signature) {
            Ok(signature) if claim.statement().verify(keys, &signature) => Ok(()),
            _ => refused(
                "the signature of its entry is not the control plane's for this repository, key, platform and image; \
                 `hearth cache verify REPO` says more",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use hearth_domain::{Digest, KeyManifest, KeyedManifest};
    use hearth_signatures::{LocalKey, Signer as _};

    use super::*;

    fn key() -> LocalKey {
        LocalKey::from_pem(&LocalKey::generate().unwrap()).unwrap()
    }

    fn claim() -> Claim {
        let manifest = KeyedManifest::from(KeyManifest::default());
        Claim {
            digest: Digest::of("image"),
            repository: "r/x".parse().unwrap(),
            key: manifest.key().clone(),
            platform: "linux/amd64".parse().unwrap(),
            manifest: Some(manifest),
            config: String::new(),
            source: String::new(),
            git_ref: String::new(),
            commit: String::new(),
        }
    }

    #[tokio::test]
    async fn the_agents_own_key_counts_before_the_one_that_it_is_told() {
        let (ours, other) = (key(), key());
        let claim = claim();
        let signed = claim.statement().sign(&ours).await.unwrap();
        let is_used = |keys: &TrustedKeys| keys.check(&claim, signed.as_der()).is_ok();
        let unsigned = |keys: &TrustedKeys| keys.check(&claim, &[]).unwrap_err();

        let told = TrustedKeys::default();
        assert!(
            is_used(&told) && told.check(&claim, &[]).is_ok(),
            "there is no key"
        );
        told.learn(&ours.public_key().to_string());
        assert!(is_used(&told));
        assert!(unsigned(&told).contains("not signed"));
        told.learn(&other.public_key().to_string());
        assert!(!is_used(&told));
        told.learn("no key");
        assert!(!is_used(&told) && unsigned(&told).contains("cannot be read"));
        told.learn("");
        assert!(is_used(&told));

        let pinned = TrustedKeys::pinned(ours.public_key().clone().into());
        assert!(is_used(&pinned));
        assert!(
            unsigned(&pinned).contains("not signed"),
            "also if nothing was told"
        );
        pinned.learn(&other.public_key().to_string());
        assert!(is_used(&pinned));
        let pinned = TrustedKeys::pinned(other.public_key().clone().into());
        pinned.learn(&ours.public_key().to_string());
        assert!(!is_used(&pinned));
    }

    #[tokio::test]
    async fn bytes_that_are_no_signature_are_refused_like_a_wrong_one() {
        let ours = key();
        let keys = TrustedKeys::pinned(ours.public_key().clone().into());
        let signed = claim().statement().sign(&ours).await.unwrap();
        let cut = &signed.as_der()[..10];
        let other = Claim {
            digest: Digest::of("another image"),
            ..claim()
        };
        for (claim, signature) in [(claim(), cut), (other, signed.as_der())] {
            let why = keys.check(&claim, signature).unwrap_err();
            assert!(why.contains("hearth cache verify"), "{why}");
        }
    }
}
