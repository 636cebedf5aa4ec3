//! What is in the cache is signed: stock cosign verifies it offline, and what only the registry has is used if it is signed.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hearth_api::v1::{
    AccessCheckStatus, CacheAccess, CacheResult, EntryCheck, GetPublicKeyRequest, PushOutcome,
    VerifyCacheRequest, cache_service_client::CacheServiceClient,
};
use hearth_domain::{CacheKey, KeyManifest, KeyedManifest};
use hearth_tests::{
    Client, Lab, app,
    client::{Story, request},
    process::{PATIENCE, script},
};

const CLAIM: &str = "https://hearth.dev/cache-entry/v1";

/// Stock cosign, with a home of its own and without a network but for the registry on loopback.
struct Cosign {
    program: PathBuf,
    home: tempfile::TempDir,
}

impl Cosign {
    fn get() -> Self {
        let tools = script("tools", ["cosign"]);
        Self {
            program: Path::new(&tools).join("cosign"),
            home: tempfile::tempdir().unwrap(),
        }
    }

    fn run(&self, command: &[&str], key: &Path, image: &str) -> Output {
        Command::new(&self.program)
            .env_clear()
            .env("HOME", self.home.path())
            // Nothing listens there: what is not on loopback cannot be reached.
            .env("HTTPS_PROXY", "http://127.0.0.1:9")
            .env("HTTP_PROXY", "http://127.0.0.1:9")
            .env("NO_PROXY", "localhost,127.0.0.1")
            .args(command)
            .arg("--key")
            .arg(key)
            .args(["--insecure-ignore-tlog=true", image])
            .output()
            .expect("cosign")
    }
}

fn said(output: &Output) -> String {
    let [out, error] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
    format!("{}: {out}\n{error}", output.status)
}

/// All checks of all entries of a repository, once none fails: signatures are pushed in the background.
pub async fn verified(lab: &Lab, url: &str) -> Vec<EntryCheck> {
    let mut service = CacheServiceClient::connect(lab.control_plane.url())
        .await
        .unwrap();
    let whole = async {
        loop {
            let request = VerifyCacheRequest {
                repository: url.to_owned(),
                ..VerifyCacheRequest::default()
            };
            let page = service.verify_cache(request).await.unwrap().into_inner();
            let entries = page.entries.into_iter();
            let checks: Vec<EntryCheck> = entries.flat_map(|entry| entry.checks).collect();
            let fails = |check: &EntryCheck| check.status() == AccessCheckStatus::Failed;
            if !checks.iter().any(fails) {
                return checks;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, whole)
        .await
        .expect("everything verifies")
}

/// Prepares a repository on a node that builds, and returns the story and the image by its digest.
async fn pushed(lab: &Lab, node: &str, url: &str) -> (Story, String) {
    let story = lab.client.prepare(node, url).await;
    story.assert_push(PushOutcome::Pushed);
    let digest = &story.workspace.push.as_ref().unwrap().digest;
    let image = format!("{}/{}@{digest}", lab.registry.host(), lab.cache_path(url));
    (story, image)
}

#[tokio::test]
async fn stock_cosign_verifies_offline_every_entry_of_a_cold_a_warm_and_an_edited_preparation() {
    let lab = Lab::new(3).await;
    let repo = app::repo(&lab, "app");
    let (story, image) = pushed(&lab, "node-1", &repo.url).await;
    let warm = lab.client.prepare("node-2", &repo.url).await;
    warm.assert_result(CacheResult::Exact);
    repo.commit(&[("app/main", "second\n")]);
    let (_, edited) = pushed(&lab, "node-3", &repo.url).await;
    let checks = verified(&lab, &repo.url).await;
    assert_eq!(checks.len(), 2 * 6);
    assert!(
        checks
            .iter()
            .all(|check| check.status() == AccessCheckStatus::Ok),
        "{checks:#?}"
    );

    let mut service = CacheServiceClient::connect(lab.control_plane.url())
        .await
        .unwrap();
    let answer = service.get_public_key(GetPublicKeyRequest {}).await;
    let key = lab.folder("cosign.pub");
    std::fs::write(&key, answer.unwrap().into_inner().public_key).unwrap();
    let beside = lab.folder("control-plane").join("signing.pem.pub");
    assert_eq!(
        std::fs::read(&beside).unwrap(),
        std::fs::read(&key).unwrap()
    );

    let cosign = Cosign::get();
    let attest = ["verify-attestation", "--type", CLAIM];
    for image in [&image, &edited] {
        for command in [&["verify"][..], &attest] {
            let verified = cosign.run(command, &key, image);
            assert!(verified.status.success(), "{}", said(&verified));
        }
    }
    let attestation = cosign.run(&attest, &key, &image);
    assert!(attestation.status.success(), "{}", said(&attestation));
    let envelope: serde_json::Value = serde_json::from_slice(&attestation.stdout).unwrap();
    let payload = STANDARD
        .decode(envelope["payload"].as_str().unwrap())
        .unwrap();
    let statement: serde_json::Value = serde_json::from_slice(&payload).unwrap();
    let predicate = &statement["predicate"];
    assert_eq!(predicate["key"], story.cache().key.as_str());
    assert_eq!(predicate["platform"], "linux/amd64");
    assert_eq!(predicate["source"], repo.url.as_str());
    // Everything that the image was made from is in it, and the key is the digest of that.
    let manifest: KeyManifest = serde_json::from_value(predicate["keyManifest"].clone()).unwrap();
    let manifest = KeyedManifest::from(manifest);
    assert_eq!(manifest.key().as_str(), story.cache().key);

    let other = lab.folder("other.pub");
    std::fs::write(&other, include_str!("../fleet/signed/other-key.pem")).unwrap();
    for command in [&["verify"][..], &attest[..]] {
        let refused = cosign.run(command, &other, &image);
        assert!(!refused.status.success(), "{}", said(&refused));
    }
    // The base image is in the same registry, and nobody has signed it.
    let unsigned = cosign.run(&["verify"], &key, &lab.base);
    assert!(!unsigned.status.success(), "{}", said(&unsigned));
}

#[tokio::test]
async fn without_its_index_the_control_plane_believes_what_it_has_signed_and_nothing_else() {
    let mut lab = Lab::new(2).await;
    let repo = app::repo(&lab, "app");
    let (cold, image) = pushed(&lab, "node-1", &repo.url).await;
    verified(&lab, &repo.url).await;

    // A stranger who may push knows the key of the next commit, and puts an image under its tag that says so.
    repo.commit(&[("app/main", "second\n")]);
    let mut dry = request("node-1", &repo.url);
    dry.spec.as_mut().unwrap().cache_access = CacheAccess::ReadOnly.into();
    let key: CacheKey = lab.client.run(dry).await.cache().key.parse().unwrap();
    let place = image.split_once('@').unwrap().0;
    let forged = format!("{place}:devcontainer-cache-k{}", key.short());
    let folder = lab.folder("forged");
    std::fs::create_dir(&folder).unwrap();
    let dockerfile = format!("FROM {}\nRUN echo forged > /opt/forged\n", lab.base);
    std::fs::write(folder.join("Dockerfile"), dockerfile).unwrap();
    let output = format!(
        "type=image,name={forged},push=true,oci-mediatypes=true,annotation-manifest.dev.hearth.key={key},\
         annotation-manifest.dev.hearth.manifest-digest={}",
        key.manifest_digest()
    );
    let folder = folder.to_str().unwrap();
    let build = [
        "buildx",
        "build",
        "--provenance=false",
        "--output",
        &output,
        folder,
    ];
    lab.vms[0].docker(&build);
    let edited = lab.client.prepare("node-1", &repo.url).await;
    assert_ne!(edited.result(), CacheResult::Exact);
    let container = &edited.workspace.container_id;
    assert_eq!(lab.vms[0].cat(container, "/opt/built"), "second");
    verified(&lab, &repo.url).await;

    // The index is lost. Both images are signed, and are for their keys.
    lab.control_plane.restart_without_database();
    lab.client = Client::new(&lab.control_plane.url());
    lab.until_online("node-2").await;
    let found = lab.client.prepare("node-2", &repo.url).await;
    found.assert_result(CacheResult::Exact);
    assert_eq!(found.cache().image_digest, edited.pushed_digest());
    repo.commit(&[("app/main", "first\n")]);
    let found = lab.client.prepare("node-2", &repo.url).await;
    found.assert_result(CacheResult::Exact);
    assert_eq!(found.cache().image_digest, cold.pushed_digest());
    assert_eq!(found.workspace.cache.unwrap().key, cold.cache().key);
}
