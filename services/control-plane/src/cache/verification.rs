//! Compares the index with what the registry has and with what is signed.

use std::{collections::BTreeMap, sync::Arc};

use futures_util::{StreamExt as _, stream};
use hearth_api::v1::{AccessCheckStatus as Status, EntryCheck, EntryCheckKind as Kind};
use hearth_domain::{CacheRepository, Platform, annotation};
use hearth_layers::{RegistryClient, RegistryError};
use hearth_signatures::{CLAIM_TYPE, COSIGN_TYPE};
use serde::Deserialize;

use super::{
    registry_logins::RegistryLogins,
    signing::{Signed, Signing, published, statements},
};
use crate::{
    credentials::Rights,
    error::CallError,
    store::{Entry, Store},
};

/// Entries that are checked at once. Each is asked about in a dozen requests.
const AT_ONCE: usize = 4;
const REPAIR: &str = "`hearth cache verify REPO --repair`";

/// Checks entries.
pub(crate) struct Verification {
    store: Arc<dyn Store>,
    registry: Arc<RegistryLogins>,
    signing: Arc<Signing>,
}

/// An entry, without its manifest, and what was found.
pub(crate) type Verified = (Entry, Vec<EntryCheck>);

/// What was found, and what to do about it.
type Finding = (Status, String);

impl Verification {
    pub(crate) fn new(
        store: Arc<dyn Store>,
        registry: Arc<RegistryLogins>,
        signing: Arc<Signing>,
    ) -> Self {
        Self {
            store,
            registry,
            signing,
        }
    }

    /// Checks at most `limit` entries of a repository, newest first, beginning below `before`; with their numbers. `None`: it
    /// cannot be read, or was dropped meanwhile. `repair`: first signs what is not signed and pushes signatures that are
    /// missing.
    pub(crate) async fn page(
        &self,
        repository: &CacheRepository,
        before: Option<u64>,
        limit: u32,
        repair: bool,
    ) -> Result<Vec<(u64, Option<Verified>)>, CallError> {
        let listed = self.store.cache_entries(Some(repository), before, limit);
        let check = |(number, entry): (u64, Option<Entry>)| async move {
            let place = entry.map(|entry| entry.place);
            // With its manifest, which lists leave out and which is signed.
            let entry = match &place {
                Some(place) => self.store.cache_entry(place).await?,
                None => None,
            };
            let Some(entry) = entry else {
                return Ok((number, None));
            };
            Ok((number, Some(self.check(entry, repair).await)))
        };
        let checks = stream::iter(listed.await?).map(check).buffered(AT_ONCE);
        let checked: Vec<Result<_, CallError>> = checks.collect().await;
        checked.into_iter().collect()
    }

    async fn check(&self, mut entry: Entry, repair: bool) -> Verified {
        let repaired = match repair {
            true => self.repair(&mut entry).await,
            false => Ok(()),
        };
        let client = self
            .registry
            .client(
                entry.source.as_ref(),
                &entry.place.repository,
                Rights::Read,
                &entry.platform,
            )
            .await;
        let image = entry.place.repository.image(&entry.digest);
        let annotations = client.annotations(&image).await;
        let mut findings = vec![(Kind::Image, there(annotations.as_ref().err()))];
        match &annotations {
            Ok(annotations) => {
                findings.push((Kind::Annotations, says_key(annotations, &entry)));
                let platform = platform(&client, &image, &entry.platform).await;
                findings.push((Kind::Platform, platform));
            }
            Err(_) => findings.extend([Kind::Annotations, Kind::Platform].map(not_checked)),
        }
        findings.push((Kind::Signature, self.signature(&entry)));
        for (kind, predicate_type) in [(Kind::Cosign, COSIGN_TYPE), (Kind::Attestation, CLAIM_TYPE)]
        {
            findings.push(match annotations.is_ok() {
                true => (
                    kind,
                    self.published(&client, &entry, predicate_type, &repaired)
                        .await,
                ),
                false => not_checked(kind),
            });
        }
        entry.manifest = None;
        let checks = findings.into_iter();
        let checks = checks.map(|(kind, (status, message))| EntryCheck {
            kind: kind.into(),
            status: status.into(),
            message,
        });
        (entry, checks.collect())
    }

    async fn repair(&self, entry: &mut Entry) -> Result<(), String> {
        self.signing.renew(entry).await;
        let published = self.signing.publish(entry).await;
        published.map_err(|error| error.to_string())
    }

    fn signature(&self, entry: &Entry) -> Finding {
        match (self.signing.signed(entry), &entry.signature) {
            (Some(Signed::Now), _) => ok("the control plane has signed the entry"),
            (Some(Signed::Earlier), _) => earlier(),
            (Some(Signed::Not), None) => failed(format!(
                "the entry is not signed; it is when it is found next, or by {REPAIR}"
            )),
            (Some(Signed::Not), Some(_)) => failed(format!(
                "the entry is not signed with this control plane's key; it is when it is found next, or by {REPAIR}"
            )),
            (None, _) => unsigned(),
        }
    }

    async fn published(
        &self,
        client: &RegistryClient,
        entry: &Entry,
        predicate_type: &str,
        repaired: &Result<(), String>,
    ) -> Finding {
        if self.signing.keys().is_none() {
            return unsigned();
        }
        let statement = statements(entry).into_iter();
        let mut statement = statement.filter(|one| one.predicate_type() == predicate_type);
        let repository = &entry.place.repository;
        let there = published(client, repository, &entry.digest, predicate_type).await;
        let there = match there {
            Ok(there) => there,
            Err(error) => {
                return failed(format!("the registry does not say what it has: {error}"));
            }
        };
        let signed = statement
            .next()
            .map(|statement| self.signing.signed_in(&statement, &there));
        match signed.unwrap_or(Some(Signed::Not)) {
            None => unsigned(),
            Some(Signed::Now) => ok("the registry has it, and it verifies"),
            Some(Signed::Earlier) => earlier(),
            Some(Signed::Not) => {
                let what = match there.len() {
                    0 => "the registry does not have it".to_owned(),
                    others => format!(
                        "of {others} in the registry none is signed with this control plane's key for this entry"
                    ),
                };
                failed(match repaired {
                    Err(why) => format!("{what}, and it could not be pushed: {why}"),
                    Ok(()) => format!("{what}; {REPAIR} pushes it"),
                })
            }
        }
    }
}

fn ok(message: &str) -> Finding {
    (Status::Ok, message.to_owned())
}

fn failed(message: String) -> Finding {
    (Status::Failed, message)
}

fn not_checked(kind: Kind) -> (Kind, Finding) {
    (
        kind,
        (Status::Skipped, "there is no image to check".to_owned()),
    )
}

fn earlier() -> Finding {
    let message = format!(
        "it is signed with an earlier key, which counts too; {REPAIR} signs it with the one of now"
    );
    (Status::Warning, message)
}

fn unsigned() -> Finding {
    let why = "the control plane signs nothing: start it with --signing-key (HEARTH_SIGNING_KEY)";
    (Status::Skipped, why.to_owned())
}

fn there(error: Option<&RegistryError>) -> Finding {
    match error {
        None => ok("the registry has the image"),
        Some(RegistryError::NotFound(_)) => failed(
            "the registry does not have the image; `hearth cache rm REPO --key KEY` drops the entry".to_owned(),
        ),
        Some(error) => failed(format!("the image cannot be read: {error}")),
    }
}

/// Whether the image says which key it was built for.
fn says_key(annotations: &BTreeMap<String, String>, entry: &Entry) -> Finding {
    let key = &entry.place.key;
    let expected = [
        (annotation::KEY, key.to_string()),
        (
            annotation::MANIFEST_DIGEST,
            key.manifest_digest().to_string(),
        ),
    ];
    let found = expected
        .each_ref()
        .map(|(name, value)| annotations.get(*name).map(|found| found == value));
    match found {
        [Some(true), Some(true)] => ok("they name the key"),
        // The classic image store does not keep them.
        [None, None] => (
            Status::Warning,
            "it has none of hearth, as images of Docker's classic image store".to_owned(),
        ),
        _ => failed(
            "they name another key; `hearth cache rm REPO --key KEY` drops the entry".to_owned(),
        ),
    }
}

/// Whether the image is for the platform of its entry.
async fn platform(client: &RegistryClient, image: &str, expected: &Platform) -> Finding {
    /// OCI image spec, "OCI Image Configuration".
    #[derive(Deserialize)]
    struct Config {
        os: String,
        architecture: String,
        variant: Option<String>,
    }
    let config = match client.config(image).await {
        Ok(config) => config,
        Err(error) => return failed(format!("the image's configuration cannot be read: {error}")),
    };
    let Ok(config) = serde_json::from_str::<Config>(&config) else {
        return failed("the image's configuration has an unknown form".to_owned());
    };
    let plain = format!("{}/{}", config.os, config.architecture);
    let full = config.variant.map(|variant| format!("{plain}/{variant}"));
    match plain == expected.as_str() || full.as_deref() == Some(expected.as_str()) {
        true => ok("it is that of the entry"),
        false => failed(format!("the image is for {}", full.unwrap_or(plain))),
    }
}
