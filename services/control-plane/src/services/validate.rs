use hearth_api::v1::{ListConfigsRequest, PrepareWorkspaceRequest, Rebuild, WatchUntil};
use hearth_domain::{GitRef, Repository, WorkspaceId, sha256_hex};
use hearth_runtime::{FieldFaults, contract};
use prost::Message as _;

use crate::{
    error::CallError,
    record::Rebuilding,
    store::RequestId,
    workspace::{Until, Wanted, What},
};

const MAX_REQUEST_ID_BYTES: usize = 128;
/// Longer than the name of any node.
const MAX_NODE_BYTES: usize = 128;

/// Reads a request for a workspace, and where its stream is to end.
pub(super) fn prepare(request: PrepareWorkspaceRequest) -> Result<(Wanted, Until), CallError> {
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
        Some(message) => contract::spec(message, &mut faults).map(|spec| What::New {
            spec: Box::new(spec),
            message: message.clone(),
        }),
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
    })
}

#[cfg(test)]
mod tests {
    use hearth_api::v1::WorkspaceSpec;
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

    fn faulty_fields(request: PrepareWorkspaceRequest) -> Vec<String> {
        let status = Status::from(prepare(request).expect_err("a fault"));
        let details = status.get_error_details();
        let violations = &details.bad_request().expect("bad request").field_violations;
        violations.iter().map(|v| v.field.clone()).collect()
    }

    type Spoil = fn(&mut PrepareWorkspaceRequest, &mut WorkspaceSpec);

    #[test]
    fn each_malformed_field_is_named() {
        let table: [(&str, Spoil); 15] = [
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
        let (wanted, _) = prepare(rebuild.clone()).expect("a good request");
        let keeps = Rebuilding {
            keep_clone: true,
            no_cache: false,
        };
        assert!(matches!(wanted.what, What::Again(_, how) if how == keeps));
        rebuild.fresh_clone = true;
        let (fresh, _) = prepare(rebuild.clone()).expect("a good request");
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
            let (wanted, _) = prepare(request).expect("a good request");
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
    }
}
