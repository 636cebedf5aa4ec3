//! An audit that finds an image wrong removes it for good, and what was built together with it.

use hearth_api::v1::{
    CacheAccess, ExplainWorkspaceRequest, FindBuildCacheResponse, resolve_cache_response::Decision,
};
use hearth_domain::Digest;
use tonic::Code;

use crate::support::{
    cache::{self, dockerfile},
    plane::shop,
    refusals::mismatch,
    registry::{Registry, SigningKey, image},
};

const STEP: &str = "RUN make";

#[tokio::test]
async fn an_image_that_an_audit_found_wrong_is_removed_by_who_was_told_of_it_and_not_adopted_again()
{
    let key = SigningKey::new();
    let registry = Registry::start().await;
    let repository = registry.repository();
    let (plane, _agent, writer) = registry.workspace(&[&key.flag()]).await;
    let ours = dockerfile("ours");
    let digest = registry.holds(&ours, &image(&ours));
    let entry = registry.entry(&ours, &image(&ours));
    registry.commit(&plane, &writer, &ours, &image(&ours)).await;
    let written = Digest::of("a build cache").to_string();
    let noted = cache::commit_build_cache(&plane, &writer, &entry, &written, 0).await;
    noted.expect("a build cache");
    let told = plane.prepare(shop()).await.id().to_owned();
    let Decision::Hit(hit) = registry.resolve(&plane, &told, &ours).await else {
        panic!("the image is there");
    };
    assert_eq!(
        (hit.digest.as_str(), &hit.build_cache),
        (digest.as_str(), &written)
    );

    let stranger = plane.prepare(shop()).await.id().to_owned();
    let mut other = entry.clone();
    other.digest = Digest::of("another image").to_string();
    for (id, entry) in [(&stranger, &entry), (&writer, &entry), (&told, &other)] {
        let refused = mismatch(cache::drop_entry(&plane, id, entry, STEP).await);
        assert!(
            refused.contains("not the one that the attempt"),
            "{refused}"
        );
    }
    // Who may only read removes nothing of those who may write.
    let mut reads_only = shop();
    let spec = reads_only.spec.as_mut().expect("a spec");
    spec.cache_access = CacheAccess::ReadOnly.into();
    let reader = plane.prepare(reads_only).await.id().to_owned();
    let decision = registry.resolve(&plane, &reader, &ours).await;
    assert!(matches!(decision, Decision::Hit(_)), "{decision:?}");
    let refused = cache::drop_entry(&plane, &reader, &entry, STEP).await;
    assert_eq!(refused.unwrap_err().code(), Code::PermissionDenied);
    let before = cache::build_cache(&plane, &told, &repository).await;
    assert_eq!((before.digest.as_str(), before.generation), (&*written, 0));
    let dropped = cache::drop_entry(&plane, &told, &entry, STEP).await;
    dropped.expect("a removal");

    // A control plane with the same key that never had it adopts it: it is in the registry, and signed.
    registry.until_signed(&digest).await;
    let (elsewhere, _other_agent, id) = registry.workspace(&[&key.flag()]).await;
    let decision = registry.resolve(&elsewhere, &id, &ours).await;
    assert!(matches!(decision, Decision::Hit(_)), "{decision:?}");
    let decision = registry.resolve(&plane, &told, &ours).await;
    assert!(matches!(decision, Decision::Build(_)), "{decision:?}");
    let decision = registry.resolve(&plane, &stranger, &ours).await;
    assert!(matches!(decision, Decision::Wait(_)), "{decision:?}");

    let after = cache::build_cache(&plane, &told, &repository).await;
    let (digest, generation) = (String::new(), 1);
    assert_eq!(after, FindBuildCacheResponse { digest, generation });
    // A build that began before the removal may have used the wrong steps.
    let late = cache::commit_build_cache(&plane, &writer, &entry, &written, 0).await;
    assert!(mismatch(late).contains("after the build had begun"));
    let late = cache::try_commit(&plane, &writer, 1, entry.clone()).await;
    assert!(mismatch(late).contains("was removed by"));
    // Who was told to build since then enters what it builds, with its build cache.
    let built = cache::try_commit(&plane, &told, 1, entry.clone()).await;
    built.expect("a commit");
    let noted = cache::commit_build_cache(&plane, &told, &entry, &written, 1).await;
    noted.expect("a build cache");
}

#[tokio::test]
async fn what_an_audit_found_is_part_of_the_explanation() {
    let registry = Registry::start().await;
    let (plane, _agent, writer) = registry.workspace(&[]).await;
    for (content, step, said) in [
        (
            "a",
            "RUN make\n&& make install",
            "would have run \"RUN make",
        ),
        ("b", "", "would have set Env, Labels of its configuration"),
    ] {
        let ours = dockerfile(content);
        registry.holds(&ours, &image(&ours));
        registry.commit(&plane, &writer, &ours, &image(&ours)).await;
        let entry = registry.entry(&ours, &image(&ours));
        let told = plane.prepare(shop()).await.id().to_owned();
        let decision = registry.resolve(&plane, &told, &ours).await;
        assert!(matches!(decision, Decision::Hit(_)), "{decision:?}");
        let explained = async || {
            let request = ExplainWorkspaceRequest {
                workspace_id: told.clone(),
            };
            let explained = plane.cache_service().await.explain_workspace(request).await;
            let explained = explained.expect("an answer").into_inner().explanation;
            explained.expect("an explanation").text
        };
        assert!(!explained().await.contains("audit"));
        match step {
            "" => cache::drop_differing(&plane, &told, &entry, "Env, Labels").await,
            step => cache::drop_entry(&plane, &told, &entry, step).await,
        }
        .expect("a removal");
        let text = explained().await;
        assert!(text.contains(said) && !text.contains('\n'), "{text}");
        let decision = registry.resolve(&plane, &told, &ours).await;
        assert!(matches!(decision, Decision::Build(_)), "{decision:?}");
        assert!(!explained().await.contains("audit"));
    }
}
