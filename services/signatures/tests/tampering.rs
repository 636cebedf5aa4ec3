//! Of what an attacker can make from what was signed, nothing verifies.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hearth_domain::{Digest, Input, KeyManifest, KeyedManifest};
use hearth_signatures::{Bundle, Claim, LocalKey, PublicKeys, Signature, Signer as _, Statement};

/// A signed entry of the cache.
struct Entry {
    claim: Claim,
    signature: Signature,
}

impl Entry {
    async fn signed(claim: Claim, key: &LocalKey) -> Self {
        let signature = claim.statement().sign(key).await.expect("a signature");
        Self { claim, signature }
    }

    fn json(&self, key: &LocalKey) -> String {
        let bundle = self.claim.statement().bundle(self.signature.clone());
        String::from_utf8(bundle.to_json(key.public_key())).expect("UTF-8")
    }
}

fn key() -> LocalKey {
    LocalKey::from_pem(&LocalKey::generate().expect("a key")).expect("its own form")
}

fn keys(key: &LocalKey) -> PublicKeys {
    key.public_key().clone().into()
}

fn manifest(file: &str) -> KeyedManifest {
    let mut manifest = KeyManifest::default();
    manifest.insert(
        Input::Dockerfile,
        "Dockerfile",
        Digest::of("FROM x").as_str(),
    );
    manifest.insert(
        Input::File,
        "name \"in\" quotes\n",
        Digest::of(file).as_str(),
    );
    manifest.into()
}

fn claim(repository: &str, file: &str, image: &str) -> Claim {
    let manifest = manifest(file);
    Claim {
        digest: Digest::of(image),
        repository: repository.parse().expect("a repository"),
        key: manifest.key().clone(),
        platform: "linux/amd64".parse().expect("a platform"),
        manifest: Some(manifest),
        config: "gpu".to_owned(),
        source: "https://github.com/acme/shop".to_owned(),
        git_ref: "main".to_owned(),
        commit: "c0".repeat(20),
    }
}

/// Every way in which one of the claim's parts is another one.
fn changed(claim: &Claim) -> Vec<Claim> {
    let with = |change: &dyn Fn(&mut Claim)| {
        let mut changed = claim.clone();
        change(&mut changed);
        changed
    };
    let other = manifest("another file");
    vec![
        with(&|claim| claim.digest = Digest::of("another image")),
        with(&|claim| claim.repository = "ghcr.io/acme/other".parse().expect("a repository")),
        with(&|claim| claim.repository = "ghcr.io:443/acme/shop".parse().expect("a repository")),
        with(&|claim| claim.key = other.key().clone()),
        with(&|claim| claim.platform = "linux/arm64".parse().expect("a platform")),
        with(&|claim| claim.manifest = Some(other.clone())),
        with(&|claim| claim.manifest = None),
        with(&|claim| claim.config.clear()),
        with(&|claim| claim.source.push('/')),
        with(&|claim| claim.git_ref = "refs/pull/7/head".to_owned()),
        with(&|claim| claim.commit.clear()),
        // Parts that run into each other.
        with(&|claim| {
            claim.config = format!("{}\",\"source\":\"{}", claim.config, claim.source);
            claim.source.clear();
        }),
    ]
}

#[tokio::test]
async fn what_was_signed_verifies_and_reads_back() {
    let key = key();
    for manifest in [true, false] {
        let mut claim = claim("ghcr.io/acme/shop", "a", "image");
        if !manifest {
            claim.manifest = None;
        }
        let entry = Entry::signed(claim, &key).await;
        assert!(
            entry
                .claim
                .statement()
                .verify(&keys(&key), &entry.signature)
        );
        let bundle = Bundle::read(entry.json(&key).as_bytes()).expect("a bundle");
        assert_eq!(Claim::read(&bundle, &keys(&key)), Ok(entry.claim));
    }
    let both: PublicKeys = format!("{}\n{}", self::key().public_key(), key.public_key())
        .parse()
        .expect("two keys");
    let entry = Entry::signed(claim("ghcr.io/acme/shop", "a", "image"), &key).await;
    assert!(entry.claim.statement().verify(&both, &entry.signature));
    assert!(both.contain_first_of(&keys(&key)) && !keys(&key).contain_first_of(&both));
    assert_eq!(both.clone().and(keys(&key)), Ok(both));
}

#[tokio::test]
async fn of_a_thousand_tampered_swapped_and_replayed_entries_none_verifies() {
    let (key, other_key) = (key(), key());
    let keys = keys(&key);
    let mut tried = 0;
    let mut refuse = |claim: &Claim, signature: &Signature, why: &str| {
        assert!(
            !claim.statement().verify(&keys, signature),
            "{why}: {claim:?}"
        );
        tried += 1;
    };
    let mut entries = Vec::new();
    for repository in [
        "ghcr.io/acme/shop",
        "ghcr.io/acme/other",
        "localhost:5000/acme/shop",
    ] {
        for file in ["a", "b", "c"] {
            for image in ["old", "new"] {
                entries.push(Entry::signed(claim(repository, file, image), &key).await);
            }
        }
    }
    for (number, entry) in entries.iter().enumerate() {
        let forged = changed(&entry.claim);
        for claim in forged.iter().filter(|claim| **claim != entry.claim) {
            refuse(claim, &entry.signature, "changed");
        }
        // Another image's, repository's, key's signature, and that of the older image of the same key.
        for (other, swapped) in entries.iter().enumerate() {
            if other != number {
                refuse(&entry.claim, &swapped.signature, "swapped");
            }
        }
        let forged = Entry::signed(entry.claim.clone(), &other_key).await;
        refuse(&entry.claim, &forged.signature, "another signing key");
        let small = Statement::for_cosign(&entry.claim.digest);
        let small = small.sign(&key).await.expect("a signature");
        refuse(&entry.claim, &small, "signed for cosign");
        let payload = entry.claim.statement().bundle(small).payload;
        let plain = key.sign(&payload).await.expect("a signature");
        refuse(&entry.claim, &plain, "signed without the envelope");
        let other_type = format!("DSSEv1 16 application/json {} ", payload.len());
        let other_type = [other_type.as_bytes(), &payload].concat();
        let other_type = key.sign(&other_type).await.expect("a signature");
        refuse(&entry.claim, &other_type, "another payload type");
    }
    // Every bit of a signature; what is no signature any more is refused even earlier.
    let entry = &entries[0];
    let der = entry.signature.as_der();
    let mut no_signature = 0;
    for bit in 0..der.len() * 8 {
        let mut flipped = der.to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        match Signature::from_der(&flipped) {
            Ok(signature) => refuse(&entry.claim, &signature, "a flipped bit"),
            Err(_) => no_signature += 1,
        }
    }
    for length in 0..der.len() {
        assert!(Signature::from_der(&der[..length]).is_err(), "{length}");
        no_signature += 1;
    }
    assert!(
        tried >= 500 && tried + no_signature >= 1_000,
        "{tried} {no_signature}"
    );
}

#[tokio::test]
async fn the_second_signature_that_anybody_can_make_is_none() {
    let key = key();
    let entry = Entry::signed(claim("ghcr.io/acme/shop", "a", "image"), &key).await;
    let der = entry.signature.as_der();
    // n − s, with n the order of P-256.
    let order = hex::decode("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551");
    let mut large = order.expect("hex");
    let r = usize::from(der[3]);
    let s = &der[4 + r + 2..];
    let mut borrow = 0;
    for (place, digit) in large.iter_mut().rev().enumerate() {
        let taken = s.iter().rev().nth(place).copied().unwrap_or_default();
        let left = i16::from(*digit) - i16::from(taken) - borrow;
        borrow = i16::from(left < 0);
        *digit = left.rem_euclid(256) as u8;
    }
    let large = [&[0], &large[..]].concat();
    let mut malleable = der[..4 + r].to_vec();
    malleable.extend([2, large.len() as u8]);
    malleable.extend(&large);
    malleable[1] = (malleable.len() - 2) as u8;
    let message = [b"DSSEv1 28 application/vnd.in-toto+json ".to_vec(), {
        let payload = entry
            .claim
            .statement()
            .bundle(entry.signature.clone())
            .payload;
        [format!("{} ", payload.len()).into_bytes(), payload].concat()
    }]
    .concat();
    // It is right by the rules of ECDSA, which is why it has to be refused by its form.
    let parsed = aws_lc_rs::signature::UnparsedPublicKey::new(
        &aws_lc_rs::signature::ECDSA_P256_SHA256_ASN1,
        pem::parse(key.public_key().to_string())
            .expect("PEM")
            .into_contents(),
    );
    assert!(parsed.verify(&message, der).is_ok());
    assert!(parsed.verify(&message, &malleable).is_ok());
    assert!(Signature::from_der(&malleable).is_err());
}

#[tokio::test]
async fn a_bundle_that_can_be_read_in_two_ways_is_not_read() {
    let key = key();
    let keys = keys(&key);
    let entry = Entry::signed(claim("ghcr.io/acme/shop", "a", "image"), &key).await;
    let good = entry.json(&key);
    let sig = STANDARD.encode(entry.signature.as_der());
    let signed = format!(r#"{{"sig":"{sig}"}}"#);
    for (what, bad) in [
        ("nothing", String::new()),
        ("something after it", format!("{good} {{}}")),
        ("another media type", good.replace("v0.3", "v0.2")),
        (
            "another payload type",
            good.replace("vnd.in-toto+json", "json"),
        ),
        (
            "two signatures",
            good.replace(&signed, &format!("{signed},{signed}")),
        ),
        ("no signature", good.replace(&signed, "")),
        (
            "a field twice",
            good.replace(r#""payloadType""#, r#""payload":"e30=","payloadType""#),
        ),
        (
            "a field of its own",
            good.replace(r#""sig""#, r#""keyid":"x","sig""#),
        ),
        (
            "a certificate",
            good.replace(r#""hint""#, r#""certificate":"x","hint""#),
        ),
        ("bytes that are no base64", good.replace(&sig, "!")),
    ] {
        assert!(
            good != bad && Bundle::read(bad.as_bytes()).is_err(),
            "{what}"
        );
    }
    // Statements that the key has signed, but never in this form.
    let payload = Bundle::read(good.as_bytes()).expect("a bundle").payload;
    let payload = String::from_utf8(payload).expect("UTF-8");
    let hex = entry.claim.digest.as_str().trim_start_matches("sha256:");
    let other = Digest::of("other");
    let other = other.as_str().trim_start_matches("sha256:");
    for (what, bad) in [
        ("white space", payload.replace("\":", "\": ")),
        (
            "a field twice",
            payload.replace(r#""commit""#, r#""key":"x","commit""#),
        ),
        (
            "a field more",
            payload.replace(r#""commit""#, r#""more":1,"commit""#),
        ),
        (
            "another kind",
            payload.replace("Statement/v1", "Statement/v0.1"),
        ),
        (
            "another predicate",
            payload.replace("cache-entry/v1", "cache-entry/v2"),
        ),
        (
            "two digests",
            payload.replace(
                &format!(r#""sha256":"{hex}""#),
                &format!(r#""sha256":"{hex}","sha512":"{other}""#),
            ),
        ),
        (
            "the key of other inputs",
            payload.replacen(
                &entry.claim.key.to_string(),
                &manifest("b").key().to_string(),
                1,
            ),
        ),
    ] {
        assert_ne!(payload, bad, "{what}");
        let message = format!("DSSEv1 28 application/vnd.in-toto+json {} {bad}", bad.len());
        let bundle = Bundle {
            signature: key.sign(message.as_bytes()).await.expect("a signature"),
            payload: bad.into_bytes(),
        };
        assert!(Claim::read(&bundle, &keys).is_err(), "{what}");
    }
}

#[test]
fn keys_are_pem_of_p256_and_nothing_else() {
    let key = key();
    let public = key.public_key().to_string();
    assert_eq!(public.parse(), Ok(keys(&key)));
    for bad in [
        "",
        "x",
        &public.replace("PUBLIC", "PRIVATE"),
        &public.repeat(17),
        &public[1..],
    ] {
        assert!(bad.parse::<PublicKeys>().is_err(), "{bad}");
    }
    // A key of Ed25519, and a point that is not on the curve.
    for bad in [
        "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n",
        &public
            .replacen("AAAA", "BBBB", 1)
            .replace(&public[60..64], "0000"),
    ] {
        assert!(bad.parse::<PublicKeys>().is_err(), "{bad}");
    }
    for bad in ["", "x", &public] {
        assert!(LocalKey::from_pem(&bad.to_owned().into()).is_err(), "{bad}");
    }
    assert!(!format!("{key:?}").contains("BEGIN"));
}
