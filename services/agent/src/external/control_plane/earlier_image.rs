use hearth_api::v1::CacheEntry;
use hearth_domain::{CacheRepository, CommitHash, Digest, GitRef, KeyedManifest, Platform};
use hearth_signatures::Claim;

use super::trusted_keys::TrustedKeys;

/// An image that the index has of what an attempt was not asked for by a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EarlierImage {
    /// Its digest.
    pub digest: Digest,
    /// The commit that it was built from, where that is known.
    pub commit: Option<CommitHash>,
    /// The ref that it was built from.
    pub git_ref: GitRef,
}

/// The image of an entry, if it is of this repository and platform, and proven to be what its entry says as an exact hit is.
pub(super) fn earlier(
    entry: CacheEntry,
    repository: &CacheRepository,
    platform: &Platform,
    keys: &TrustedKeys,
) -> Result<EarlierImage, String> {
    if entry.repository != repository.as_str() || entry.platform != platform.as_str() {
        return Err("it answered with the entry of another repository or platform".to_owned());
    }
    let manifest = match entry.key_manifest.as_str() {
        "" => None,
        text => {
            let manifest = text.parse::<KeyedManifest>();
            Some(
                manifest
                    .map_err(|error| format!("it answered with a malformed manifest: {error}"))?,
            )
        }
    };
    let key = entry.key.parse();
    let claim = Claim {
        digest: parsed(&entry.digest)?,
        repository: repository.clone(),
        key: key.map_err(|error| format!("it answered with a malformed key: {error}"))?,
        platform: platform.clone(),
        manifest,
        config: entry.config,
        source: entry.source,
        git_ref: entry.r#ref,
        commit: entry.commit,
    };
    if claim
        .manifest
        .as_ref()
        .is_some_and(|manifest| *manifest.key() != claim.key)
    {
        return Err("it answered with the manifest of another key".to_owned());
    }
    keys.check(&claim, &entry.signature)?;
    Ok(EarlierImage {
        commit: claim.commit.parse().ok(),
        git_ref: claim.git_ref.parse().unwrap_or(GitRef::Default),
        digest: claim.digest,
    })
}

/// A digest of an answer.
pub(super) fn parsed(digest: &str) -> Result<Digest, String> {
    let parsed = digest.parse::<Digest>();
    parsed.map_err(|error| format!("it answered with a malformed digest: {error}"))
}

/// A digest of an answer; empty: there is none.
pub(super) fn optional(digest: &str) -> Result<Option<Digest>, String> {
    match digest {
        "" => Ok(None),
        digest => parsed(digest).map(Some),
    }
}

#[cfg(test)]
mod tests {
    use hearth_domain::KeyManifest;
    use hearth_signatures::{LocalKey, PublicKeys, Signer as _};

    use super::*;

    #[tokio::test]
    async fn only_what_is_signed_for_this_repository_and_platform_is_an_image_that_worked() {
        let key = LocalKey::from_pem(&LocalKey::generate().unwrap()).unwrap();
        let keys = TrustedKeys::pinned(PublicKeys::from(key.public_key().clone()));
        let manifest = KeyedManifest::from(KeyManifest::default());
        let repository: CacheRepository = "r/x".parse().unwrap();
        let platform: Platform = "linux/amd64".parse().unwrap();
        let claim = Claim {
            digest: Digest::of("image"),
            repository: repository.clone(),
            key: manifest.key().clone(),
            platform: platform.clone(),
            manifest: Some(manifest.clone()),
            config: "api".to_owned(),
            source: String::new(),
            git_ref: "main".to_owned(),
            commit: "1".repeat(40),
        };
        let signature = claim.statement().sign(&key).await.unwrap();
        let signed = CacheEntry {
            repository: repository.to_string(),
            key: claim.key.to_string(),
            digest: claim.digest.to_string(),
            key_manifest: manifest.canonical_json().to_owned(),
            config: "api".to_owned(),
            platform: platform.to_string(),
            r#ref: "main".to_owned(),
            commit: "1".repeat(40),
            signature: signature.as_der().to_vec(),
            ..CacheEntry::default()
        };
        let read = |change: &dyn Fn(&mut CacheEntry)| {
            let mut entry = signed.clone();
            change(&mut entry);
            earlier(entry, &repository, &platform, &keys)
        };
        let good = read(&|_| {}).unwrap();
        assert_eq!(good.digest, claim.digest);
        assert_eq!(good.git_ref.to_string(), "main");
        for (what, change) in [
            (
                "unsigned",
                &(|entry: &mut CacheEntry| entry.signature.clear()) as &dyn Fn(&mut CacheEntry),
            ),
            ("image", &|entry| {
                entry.digest = Digest::of("other").to_string()
            }),
            ("config", &|entry| entry.config.clear()),
            ("commit", &|entry| entry.commit = "2".repeat(40)),
            ("repository", &|entry| entry.repository = "r/y".to_owned()),
            ("platform", &|entry| {
                entry.platform = "linux/arm64".to_owned()
            }),
            ("manifest", &|entry| entry.key_manifest = "{}".to_owned()),
            ("digest", &|entry| entry.digest = "sha256:0".to_owned()),
        ] {
            assert!(read(change).is_err(), "{what}");
        }
    }
}
