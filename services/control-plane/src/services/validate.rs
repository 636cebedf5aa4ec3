use std::collections::BTreeMap;

use hearth_api::v1::{ListConfigsRequest, PrepareWorkspaceRequest, Rebuild, WatchUntil};
use hearth_domain::{GitRef, Labels, Repository, WorkspaceId, WorkspaceOwner, sha256_hex};
use hearth_runtime::{FieldFaults, contract};
use prost::Message as _;

use crate::{
    error::CallError,
    record::Rebuilding,
    store::RequestId,
    workspace::{LifetimeArgs, Until, Wanted, What},
};

const MAX_REQUEST_ID_BYTES: usize = 128;
/// Longer than the name of any node.
const MAX_NODE_BYTES: usize = 128;

/// Reads a request for a workspace, and where its stream is to end. One that names no owner is `caller`'s.
pub(super) fn prepare(
    request: PrepareWorkspaceRequest,
    lifetimes: &LifetimeArgs,
    caller: &str,
) -> Result<(Wanted, Until), CallError> {
    let mut faults = FieldFaults::default();
    if request.request_id.len() > MAX_REQUEST_ID_BYTES {
        faults.add("request_id", "is longer than 128 bytes");
    }
    if request.node.len() > MAX_NODE_BYTES {
        faults.add("node", "is longer than 128 bytes");
    }
    let until = read_until(request.until, &mut faults);
    let again = !request.workspace_id.is_empty();
    if !again && (request.rebuild != 0 || request.fresh_clone) {
        faults.add(
            "rebuild",
            "is for a workspace that there is: set workspace_id",
        );
    }
    let what = match &request.spec {
        _ if again => {
            let id = read_id(&request.workspace_id, &mut faults);
            let how = rebuilding(&request, &mut faults);
            id.zip(how).map(|(id, how)| What::Again(id, how))
        }
        Some(message) => {
            let spec = contract::spec(message, &mut faults);
            let labels = faults.check("labels", Labels::new(request.labels.clone()));
            let owner = faults.check_optional::<WorkspaceOwner>("owner", &request.owner);
            let lifetime = lifetimes.resolve(request.lifetime, None, &mut faults);
            let all = spec.zip(labels).zip(owner).zip(lifetime);
            all.map(|(((spec, labels), owner), lifetime)| What::New {
                spec: Box::new(spec),
                message: Box::new(message.clone()),
                labels: labels.into_map(),
                owner: owner.map_or_else(|| caller.to_owned(), |owner| owner.to_string()),
                lifetime,
            })
        }
        None => {
            faults.add("spec", "must be set, or workspace_id");
            None
        }
    };
    let (what, until) = faults.complete(what.zip(until))?;

    // What a request id stands for: `until` does not count, and neither does a spec that is ignored.
    let payload = PrepareWorkspaceRequest {
        request_id: String::new(),
        spec: request.spec.filter(|_| !again),
        node: request.node,
        workspace_id: request.workspace_id,
        until: 0,
        rebuild: request.rebuild,
        fresh_clone: request.fresh_clone,
        labels: if again {
            BTreeMap::new()
        } else {
            request.labels
        },
        owner: if again { String::new() } else { request.owner },
        lifetime: request.lifetime.filter(|_| !again),
    };
    let id = request.request_id;
    let request = (!id.is_empty()).then(|| RequestId {
        id,
        payload: sha256_hex(payload.encode_to_vec()),
    });
    let wanted = Wanted {
        request,
        node: Some(payload.node).filter(|node| !node.is_empty()),
        what,
    };
    Ok((wanted, until))
}

/// Reads what an attempt keeps of a workspace.
fn rebuilding(request: &PrepareWorkspaceRequest, faults: &mut FieldFaults) -> Option<Rebuilding> {
    let rebuild = Rebuild::try_from(request.rebuild);
    let rebuild = rebuild.map_err(|_| "must be one of the values of Rebuild");
    let rebuild = faults.check("rebuild", rebuild)?;
    Some(Rebuilding {
        keep_clone: rebuild != Rebuild::Unspecified && !request.fresh_clone,
        no_cache: rebuild == Rebuild::WithoutCache,
    })
}

/// Reads the id of a workspace that a request names.
pub(super) fn workspace_id(id: &str) -> Result<WorkspaceId, CallError> {
    let mut faults = FieldFaults::default();
    let id = read_id(id, &mut faults);
    Ok(faults.complete(id)?)
}

/// Reads which ref of which repository a request is about.
pub(super) fn list_configs(
    request: &ListConfigsRequest,
) -> Result<(Repository, GitRef), CallError> {
    let mut faults = FieldFaults::default();
    let repository = faults.check("repository", request.repository.parse());
    let git_ref = faults.check("ref", request.r#ref.parse());
    Ok(faults.complete(repository.zip(git_ref))?)
}

/// Reads where a stream is to end.
pub(super) fn until(number: i32) -> Result<Until, CallError> {
    let mut faults = FieldFaults::default();
    let until = read_until(number, &mut faults);
    Ok(faults.complete(until)?)
}

fn read_id(id: &str, faults: &mut FieldFaults) -> Option<WorkspaceId> {
    faults.check("workspace_id", id.parse())
}

fn read_until(number: i32, faults: &mut FieldFaults) -> Option<Until> {
    let until = WatchUntil::try_from(number).map_err(|_| "must be one of the values of WatchUntil");
    faults.check("until", until).map(|until| match until {
        WatchUntil::Ready => Until::Ready,
        WatchUntil::Hooks => Until::Hooks,
        WatchUntil::Settled | WatchUntil::Unspecified => Until::Settled,
        WatchUntil::Deleted => Until::Deleted,
    })
}

#[cfg(test)]
mod tests {
    use hearth_api::v1::{Lifetime, WorkspaceSpec};
    use tonic::Status;
    use tonic_types::StatusExt as _;

    use super::*;

    fn request() -> PrepareWorkspaceRequest {
        PrepareWorkspaceRequest {
            request_id: "r1".into(),
            spec: Some(WorkspaceSpec {
                repository: "https://github.com/acme/shop".into(),
                ..WorkspaceSpec::default()
            }),
            ..PrepareWorkspaceRequest::default()
        }
    }

    const LIFETIMES: LifetimeArgs = LifetimeArgs {
        ttl_seconds: 0,
        max_ttl_seconds: 0,
        idle_timeout_seconds: 0,
        max_idle_timeout_seconds: 3600,
        expiry_warning_seconds: 300,
    };

    fn read(request: PrepareWorkspaceRequest) -> Result<(Wanted, Until), CallError> {
        prepare(request, &LIFETIMES, "ci")
    }

    fn faulty_fields(request: PrepareWorkspaceRequest) -> Vec<String> {
        let status = Status::from(read(request).expect_err("a fault"));
        let details = status.get_error_details();
        let violations = &details.bad_request().expect("bad request").field_violations;
        violations.iter().map(|v| v.field.clone()).collect()
    }

    type Spoil = fn(&mut PrepareWorkspaceRequest, &mut WorkspaceSpec);

    #[test]
    fn each_malformed_field_is_named() {
        let table: [(&str, Spoil); 18] = [
            ("labels", |request, _| {
                request.labels.insert("a b".into(), String::new());
            }),
            ("owner", |request, _| request.owner = "a b".into()),
            ("lifetime.idle_timeout_seconds", |request, _| {
                request.lifetime = Some(Lifetime {
                    idle_timeout_seconds: Some(0),
                    ..Lifetime::default()
                });
            }),
            ("spec.fallback", |_, spec| spec.fallback = 99),
            ("spec.repository", |_, spec| spec.repository = String::new()),
            ("spec.repository", |_, spec| spec.repository = "shop".into()),
            ("spec.repository", |_, spec| {
                spec.repository = "file:///etc".into();
            }),
            ("spec.repository", |_, spec| {
                spec.repository = "https://user:planted@github.com/acme/shop".into();
            }),
            ("spec.ref", |_, spec| spec.r#ref = "--upload-pack=x".into()),
            ("spec.ref", |_, spec| spec.r#ref = "x".repeat(256)),
            ("spec.config", |_, spec| spec.config = "../etc".into()),
            ("spec.config", |_, spec| spec.config = "a//b".into()),
            ("spec.cache_access", |_, spec| spec.cache_access = 99),
            ("spec.timeout_seconds", |_, spec| {
                spec.timeout_seconds = 14_401;
            }),
            ("request_id", |request, _| {
                request.request_id = "x".repeat(129);
            }),
            ("node", |request, _| request.node = "x".repeat(200)),
            ("workspace_id", |request, _| {
                request.workspace_id = "x".repeat(200);
            }),
            ("until", |request, _| request.until = 99),
        ];
        for (field, spoil) in table {
            let mut request = request();
            let mut spec = request.spec.take().expect("a spec");
            spoil(&mut request, &mut spec);
            request.spec = Some(spec);
            assert_eq!(faulty_fields(request), [field]);
        }
        let mut rebuild = request();
        rebuild.rebuild = Rebuild::WithCache.into();
        assert_eq!(
            faulty_fields(rebuild.clone()),
            ["rebuild"],
            "a new workspace"
        );
        rebuild.workspace_id = "w".into();
        let (wanted, _) = read(rebuild.clone()).expect("a good request");
        let keeps = Rebuilding {
            keep_clone: true,
            no_cache: false,
        };
        assert!(matches!(wanted.what, What::Again(_, how) if how == keeps));
        rebuild.fresh_clone = true;
        let (fresh, _) = read(rebuild.clone()).expect("a good request");
        assert!(matches!(fresh.what, What::Again(_, how) if how == Rebuilding::default()));
        assert_ne!(fresh.request, wanted.request);
        rebuild.rebuild = 99;
        assert_eq!(faulty_fields(rebuild), ["rebuild"]);
        let mut none = request();
        none.spec = None;
        assert_eq!(faulty_fields(none), ["spec"]);
    }

    #[test]
    fn a_request_id_stands_for_everything_but_where_the_stream_ends() {
        let payload = |request: PrepareWorkspaceRequest| {
            let (wanted, _) = read(request).expect("a good request");
            wanted.request.expect("a request id").payload
        };
        let original = payload(request());
        let mut until = request();
        until.until = WatchUntil::Ready.into();
        assert_eq!(payload(until), original);
        let mut node = request();
        node.node = "n1".into();
        assert_ne!(payload(node), original);
        let mut spec = request();
        spec.spec.as_mut().expect("a spec").r#ref = "main".into();
        assert_ne!(payload(spec), original);
        let mut labels = request();
        labels.labels.insert("team".into(), "web".into());
        let labelled = payload(labels.clone());
        assert_ne!(labelled, original);
        labels.labels.insert("a".into(), "b".into());
        assert_ne!(payload(labels), labelled);
        let mut owner = request();
        owner.owner = "ann".into();
        assert_ne!(payload(owner), original);
        let mut lifetime = request();
        lifetime.lifetime = Some(Lifetime {
            ttl_seconds: Some(60),
            ..Lifetime::default()
        });
        assert_ne!(payload(lifetime), original);
    }

    #[test]
    fn a_workspace_belongs_to_who_calls_unless_another_is_named() {
        let owner_of = |request| match read(request).expect("a good request").0.what {
            What::New { owner, .. } => owner,
            What::Again(..) => panic!("a new one"),
        };
        assert_eq!(owner_of(request()), "ci");
        let mut other = request();
        other.owner = "ann".into();
        assert_eq!(owner_of(other), "ann");
    }
}
