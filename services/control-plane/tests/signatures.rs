//! What the control plane enters is signed, and of what only the registry has it believes what it has signed.

use hearth_api::v1::{
    AccessCheckStatus as Status, CacheEntry, EntryCheckKind as Kind, GetPublicKeyRequest,
    HeartbeatRequest, InvalidateEntryRequest, VerifiedEntry, VerifyCacheRequest,
    resolve_cache_response::Decision,
};
use hearth_domain::{Digest, KeyManifest};
use hearth_signatures::{Claim, LocalKey, Signature, Signer as _};

use crate::support::{
    agent::FakeAgent,
    cache::{self, dockerfile},
    plane::{Plane, shop},
    registry::{Registry, SigningKey, claim, image},
};

fn is_build(decision: &Decision) -> bool {
    matches!(decision, Decision::Build(_))
}

/// Whether an entry is signed for what it says, as an agent checks it.
fn is_signed(entry: &CacheEntry, key: &LocalKey) -> bool {
    let claim = Claim {
        digest: entry.digest.parse().expect("a digest"),
        repository: entry.repository.parse().expect("a repository"),
        key: entry.key.parse().expect("a key"),
        platform: entry.platform.parse().expect("a platform"),
        manifest: Some(entry.key_manifest.parse().expect("a manifest")),
        config: entry.config.clone(),
        source: entry.source.clone(),
        git_ref: entry.r#ref.clone(),
        commit: entry.commit.clone(),
    };
    let signature = Signature::from_der(&entry.signature);
    signature.is_ok_and(|signature| {
        let keys = key.public_key().clone().into();
        claim.statement().verify(&keys, &signature)
    })
}

async fn hit(registry: &Registry, plane: &Plane, id: &str, manifest: &KeyManifest) -> CacheEntry {
    match registry.resolve(plane, id, manifest).await {
        Decision::Hit(hit) => hit,
        other => panic!("no hit: {other:?}"),
    }
}

#[tokio::test]
async fn an_image_that_only_the_registry_knows_is_used_if_exactly_it_was_signed_for_the_key() {
    let (key, other_key) = (SigningKey::new(), SigningKey::new());
    let registry = Registry::start().await;
    let (plane, _agent, id) = registry.workspace(&[&key.flag()]).await;
    // What an attacker may push: the tag, the right annotations, and signatures that are not for this.
    for (number, forge) in (0..).zip([
        |_: &mut Claim| (),
        |claim: &mut Claim| claim.digest = Digest::of("another image"),
        |claim: &mut Claim| claim.repository = "ghcr.io/acme/shop".parse().expect("a place"),
        |claim: &mut Claim| claim.platform = "linux/arm64".parse().expect("a platform"),
        |claim: &mut Claim| {
            let other = dockerfile("other");
            claim.key = other.key();
            claim.manifest = Some(other.into());
        },
    ]) {
        let wanted = dockerfile(&format!("forged {number}"));
        let digest = registry.holds(&wanted, &image(&wanted));
        assert!(
            is_build(&registry.resolve(&plane, &id, &wanted).await),
            "annotations alone"
        );
        let mut forged = claim(&registry, &wanted, &digest);
        forge(&mut forged);
        // The first one is right but for the key that signed it.
        let signer = if number == 0 { &other_key } else { &key };
        registry.attach(&digest, &forged, &signer.pair).await;
        let decision = registry.resolve(&plane, &id, &wanted).await;
        assert!(is_build(&decision), "{number}: {decision:?}");
    }
    let ours = dockerfile("ours");
    let digest = registry.holds(&ours, &image(&ours));
    // Forgeries beside it do not hide it.
    let mut forged = claim(&registry, &ours, &digest);
    registry.attach(&digest, &forged, &other_key.pair).await;
    forged.commit = "ff".repeat(20);
    registry.attach(&digest, &forged, &other_key.pair).await;
    let signed = claim(&registry, &ours, &digest);
    registry.attach(&digest, &signed, &key.pair).await;
    let hit = hit(&registry, &plane, &id, &ours).await;
    assert_eq!(hit.digest, digest.to_string());
    assert_eq!((hit.writer.as_str(), hit.bytes), ("registry", cache::BYTES));
    assert_eq!((hit.r#ref.as_str(), &hit.commit), ("main", &signed.commit));
    assert!(is_signed(&hit, &key.pair));
}

#[tokio::test]
async fn without_a_key_nothing_is_adopted_and_nothing_is_signed() {
    let key = SigningKey::new();
    let registry = Registry::start().await;
    let (plane, _agent, id) = registry.workspace(&[]).await;
    let ours = dockerfile("ours");
    let digest = registry.holds(&ours, &image(&ours));
    let claim = claim(&registry, &ours, &digest);
    registry.attach(&digest, &claim, &key.pair).await;
    assert!(is_build(&registry.resolve(&plane, &id, &ours).await));
    registry.commit(&plane, &id, &ours, &image(&ours)).await;
    assert!(
        hit(&registry, &plane, &id, &ours)
            .await
            .signature
            .is_empty()
    );
    let mut service = plane.cache_service().await;
    let answer = service.get_public_key(GetPublicKeyRequest {}).await;
    assert_eq!(answer.expect("an answer").into_inner().public_key, "");
    let checked = verify(&plane, false).await;
    assert_eq!(status(&checked[0], Kind::Image), Status::Ok);
    assert_eq!(status(&checked[0], Kind::Signature), Status::Skipped);
}

#[tokio::test]
async fn what_is_entered_is_signed_whatever_the_agent_sends_and_both_statements_are_pushed() {
    let key = SigningKey::new();
    let registry = Registry::start().await;
    let (plane, _agent, id) = registry.workspace(&[&key.flag()]).await;
    let ours = dockerfile("ours");
    let digest = registry.has(&image(&ours));
    let mut entry = registry.entry(&ours, &image(&ours));
    entry.signature = b"not a signature".to_vec();
    let committed = cache::commit(&plane, &id, 1, entry).await;
    committed.expect("a commit");
    assert!(is_signed(
        &hit(&registry, &plane, &id, &ours).await,
        &key.pair
    ));
    registry.until_signed(&digest).await;
}

#[tokio::test]
async fn a_registry_that_takes_no_signatures_fails_no_commit_and_gets_them_later() {
    let key = SigningKey::new();
    let registry = Registry::start().await;
    let (plane, _agent, id) = registry.workspace(&[&key.flag()]).await;
    let ours = dockerfile("ours");
    registry.refuse_pushes(true);
    registry.commit(&plane, &id, &ours, &image(&ours)).await;
    assert!(is_signed(
        &hit(&registry, &plane, &id, &ours).await,
        &key.pair
    ));
    registry.asked_to_take().await;
    let checked = verify(&plane, true).await;
    assert_eq!(status(&checked[0], Kind::Image), Status::Ok);
    assert_eq!(status(&checked[0], Kind::Signature), Status::Ok);
    assert_eq!(status(&checked[0], Kind::Cosign), Status::Failed);
    let digest = image(&ours).digest();
    assert_eq!(registry.attached(&digest), Vec::<String>::new());
    registry.refuse_pushes(false);
    // Nobody asks for it.
    registry.until_signed(&digest).await;
    let checked = verify(&plane, true).await;
    let kinds = [
        Kind::Image,
        Kind::Annotations,
        Kind::Platform,
        Kind::Signature,
        Kind::Cosign,
        Kind::Attestation,
    ];
    for kind in kinds {
        assert_eq!(status(&checked[0], kind), Status::Ok, "{checked:#?}");
    }
    let twice = verify(&plane, true).await;
    assert_eq!(twice, checked);
    assert_eq!(
        registry.attached(&digest).len(),
        2,
        "nothing is pushed twice"
    );
}

#[tokio::test]
async fn entries_from_before_the_key_or_of_another_key_are_signed_when_they_are_found() {
    let registry = Registry::start().await;
    let directory = tempfile::tempdir().expect("a directory");
    let place = format!("--cache-registry={}", registry.server.address());
    let ours = dockerfile("ours");
    let digest = registry.has(&image(&ours));
    let plane = Plane::start(directory.path(), &[&place]).await;
    let _agent = FakeAgent::join(&plane, "n1").await;
    let id = plane.prepare(shop()).await.id().to_owned();
    registry.commit(&plane, &id, &ours, &image(&ours)).await;
    plane.stop().await;
    for key in [SigningKey::new(), SigningKey::new()] {
        let plane = Plane::start(directory.path(), &[&place, &key.flag()]).await;
        let checked = verify(&plane, false).await;
        assert_eq!(status(&checked[0], Kind::Signature), Status::Failed);
        assert!(is_signed(
            &hit(&registry, &plane, &id, &ours).await,
            &key.pair
        ));
        registry.until_signed(&digest).await;
        let checked = verify(&plane, true).await;
        assert_eq!(status(&checked[0], Kind::Attestation), Status::Ok);
        plane.stop().await;
    }
}

#[tokio::test]
async fn signatures_of_earlier_keys_count_until_repairing_signs_with_the_new_one() {
    let (old, new) = (SigningKey::new(), SigningKey::new());
    let registry = Registry::start().await;
    let directory = tempfile::tempdir().expect("a directory");
    let place = format!("--cache-registry={}", registry.server.address());
    let ours = dockerfile("ours");
    let digest = registry.holds(&ours, &image(&ours));
    let plane = Plane::start(directory.path(), &[&place, &old.flag()]).await;
    let _agent = FakeAgent::join(&plane, "n1").await;
    let id = plane.prepare(shop()).await.id().to_owned();
    registry.commit(&plane, &id, &ours, &image(&ours)).await;
    registry.until_signed(&digest).await;
    plane.stop().await;

    let public = |key: &SigningKey| key.pair.public_key().to_string();
    let file = directory.path().join("earlier.pub");
    std::fs::write(&file, public(&old)).expect("a write");
    let earlier = format!("--earlier-public-keys={}", file.display());
    let flags = [place.as_str(), &new.flag(), &earlier];
    let plane = Plane::start(directory.path(), &flags).await;
    let agent = FakeAgent::join(&plane, "n2").await;
    let told = agent.register(&plane, &[]).await.cache_public_key;
    assert_eq!(told, public(&new) + &public(&old));
    // Agents that know only the old key use it still.
    let found = hit(&registry, &plane, &id, &ours).await;
    assert!(is_signed(&found, &old.pair));
    let checked = verify(&plane, false).await;
    for kind in [Kind::Signature, Kind::Cosign, Kind::Attestation] {
        assert_eq!(status(&checked[0], kind), Status::Warning, "{checked:#?}");
    }
    // So does a control plane that lost its index.
    let (elsewhere, _other_agent, other) = registry.workspace(&[&new.flag(), &earlier]).await;
    let adopted = hit(&registry, &elsewhere, &other, &ours).await;
    assert_eq!(adopted.writer, "registry");
    let (stranger, _another_agent, another) = registry.workspace(&[&new.flag()]).await;
    assert!(is_build(
        &registry.resolve(&stranger, &another, &ours).await
    ));

    let checked = verify(&plane, true).await;
    for kind in [Kind::Signature, Kind::Cosign, Kind::Attestation] {
        assert_eq!(status(&checked[0], kind), Status::Ok, "{checked:#?}");
    }
    let found = hit(&registry, &plane, &id, &ours).await;
    assert!(is_signed(&found, &new.pair));
}

#[tokio::test]
async fn agents_learn_the_key_when_they_register_and_with_each_heartbeat() {
    let key = SigningKey::new();
    let registry = Registry::start().await;
    let (plane, agent, _) = registry.workspace(&[&key.flag()]).await;
    let pem = key.pair.public_key().to_string();
    let mut service = plane.cache_service().await;
    let answer = service.get_public_key(GetPublicKeyRequest {}).await;
    assert_eq!(answer.expect("an answer").into_inner().public_key, pem);
    let mut nodes = plane.registry().await;
    let heartbeat = HeartbeatRequest {
        node: "n1".into(),
        boot_id: "another".into(),
        ..HeartbeatRequest::default()
    };
    let answer = nodes.heartbeat(plane.of_node("n1", heartbeat)).await;
    assert_eq!(
        answer.expect("an answer").into_inner().cache_public_key,
        pem
    );
    assert_eq!(agent.register(&plane, &[]).await.cache_public_key, pem);
}

#[tokio::test]
async fn verifying_says_what_is_wrong_with_an_image() {
    let key = SigningKey::new();
    let registry = Registry::start().await;
    let (plane, _agent, id) = registry.workspace(&[&key.flag()]).await;
    let ours = dockerfile("ours");
    // An image that says that it is for another key, and was signed for this one all the same.
    let wrong = image(&dockerfile("other"));
    let digest = registry.holds(&ours, &wrong);
    let signed = claim(&registry, &ours, &digest);
    registry.attach(&digest, &signed, &key.pair).await;
    hit(&registry, &plane, &id, &ours).await;
    let checked = verify(&plane, true).await;
    assert_eq!(status(&checked[0], Kind::Annotations), Status::Failed);
    assert_eq!(status(&checked[0], Kind::Platform), Status::Ok);
    let config = wrong.config.replace("amd64", "arm64");
    registry.configures(&wrong, &config);
    let checked = verify(&plane, false).await;
    assert_eq!(
        status(&checked[0], Kind::Platform),
        Status::Failed,
        "its digest is another"
    );
    registry.loses(&digest);
    let checked = verify(&plane, false).await;
    assert_eq!(status(&checked[0], Kind::Image), Status::Failed);
    assert_eq!(status(&checked[0], Kind::Signature), Status::Ok);
    assert_eq!(status(&checked[0], Kind::Cosign), Status::Skipped);
    registry.has(&wrong);
    let request = InvalidateEntryRequest {
        repository: "https://github.com/acme/shop".into(),
        ..InvalidateEntryRequest::default()
    };
    registry.answers_deletions(202).await;
    let dropped = plane.cache_service().await.invalidate_entry(request).await;
    dropped.expect("an answer");
    assert_eq!(verify(&plane, false).await, []);
    // The image, two signatures, and the list of them.
    assert_eq!(registry.deletions().await.len(), 4);
}

async fn verify(plane: &Plane, repair: bool) -> Vec<VerifiedEntry> {
    let request = VerifyCacheRequest {
        repository: "https://github.com/acme/shop".into(),
        repair,
        ..VerifyCacheRequest::default()
    };
    let answer = plane.cache_service().await.verify_cache(request).await;
    let mut entries = answer.expect("a page").into_inner().entries;
    for entry in &mut entries {
        // It changes with every hit.
        entry.entry.as_mut().expect("an entry").last_use_time = None;
    }
    entries
}

fn status(verified: &VerifiedEntry, kind: Kind) -> Status {
    let mut checks = verified.checks.iter();
    let check = checks.find(|check| check.kind() == kind);
    check.expect("a check of each kind").status()
}
