//! What signing costs a commit, and checking an exact hit.

use std::time::Instant;

use hearth_domain::{Digest, Input, KeyManifest, KeyedManifest};
use hearth_signatures::{Bundle, Claim, LocalKey, PublicKeys, Signer as _};

use crate::median;

/// Files of a small and of a large repository, and as many as a list of inputs has room for.
const INPUTS: [usize; 3] = [10, 1_000, 15_000];

pub async fn run(rounds: usize) {
    println!("\nSigned entries, median of {rounds}, milliseconds\n");
    println!("| inputs | KiB | sign | check a hit | read a bundle |");
    println!("| --- | --- | --- | --- | --- |");
    let key = LocalKey::from_pem(&LocalKey::generate().expect("a key")).expect("a key");
    let keys: PublicKeys = key.public_key().clone().into();
    for inputs in INPUTS {
        let claim = claim(inputs);
        let kib = claim
            .manifest
            .as_ref()
            .map(|manifest| manifest.canonical_json().len());
        let (mut sign, mut check, mut read) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..=rounds {
            let began = Instant::now();
            let signature = claim.statement().sign(&key).await.expect("a signature");
            sign.push(began.elapsed().as_secs_f64() * 1_000.0);
            let began = Instant::now();
            assert!(claim.statement().verify(&keys, &signature));
            check.push(began.elapsed().as_secs_f64() * 1_000.0);
            let json = claim
                .statement()
                .bundle(signature)
                .to_json(key.public_key());
            let began = Instant::now();
            let bundle = Bundle::read(&json).expect("a bundle");
            Claim::read(&bundle, &keys).expect("a claim");
            read.push(began.elapsed().as_secs_f64() * 1_000.0);
        }
        println!(
            "| {inputs} | {} | {:.2} | {:.2} | {:.2} |",
            kib.unwrap_or_default() / 1024,
            median(sign),
            median(check),
            median(read)
        );
    }
}

fn claim(inputs: usize) -> Claim {
    let mut manifest = KeyManifest::default();
    for number in 0..inputs {
        let name = format!("a/folder/of/the/repository/file-{number}.rs");
        manifest.insert(
            Input::File,
            name,
            Digest::of(number.to_string()).to_string(),
        );
    }
    let manifest = KeyedManifest::from(manifest);
    Claim {
        digest: Digest::of("image"),
        repository: "ghcr.io/acme/shop".parse().expect("a repository"),
        key: manifest.key().clone(),
        platform: "linux/amd64".parse().expect("a platform"),
        manifest: Some(manifest),
        config: String::new(),
        source: "https://github.com/acme/shop".to_owned(),
        git_ref: "main".to_owned(),
        commit: "c0".repeat(20),
    }
}
