use hearth_api::v1::{CacheAccess, PrepareWorkspaceRequest, WatchUntil, WorkspaceSpec};
use hearth_domain::{ConfigName, GitRef, Repository, sha256_hex};
use hearth_runtime::FieldFaults;
use prost::Message as _;

use crate::{error::CallError, store::RequestId};

const MAX_REQUEST_ID_BYTES: usize = 128;
const MAX_TIMEOUT_SECONDS: u32 = 14_400;
/// Longer than any id that was ever made.
const MAX_ID_BYTES: usize = 128;

/// A checked request for a workspace.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) request: Option<RequestId>,
    pub(super) node: Option<String>,
    pub(super) what: What,
    pub(super) until: Until,
}

/// What is to be prepared.
#[derive(Debug)]
pub(super) enum What {
    New(WorkspaceSpec),
    Again { workspace_id: String },
}

/// Where a stream ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Until {
    Ready,
    Settled,
}

/// Checks a request field by field.
pub(super) fn prepare(request: PrepareWorkspaceRequest) -> Result<Wanted, CallError> {
    let mut faults = FieldFaults::default();
    if request.request_id.len() > MAX_REQUEST_ID_BYTES {
        faults.add("request_id", "is longer than 128 bytes");
    }
    if request.node.len() > MAX_ID_BYTES {
        faults.add("node", "is longer than any node's name");
    }
    let until = check_until(request.until, &mut faults);
    let again = !request.workspace_id.is_empty();
    if again {
        check_id(&request.workspace_id, &mut faults);
    } else {
        match &request.spec {
            Some(spec) => check_spec(spec, &mut faults),
            None => faults.add("spec", "must be set, or workspace_id"),
        }
    }
    faults.into_result()?;

    // What a request id stands for: `until` does not count, and neither does a spec that is ignored.
    let payload = PrepareWorkspaceRequest {
        request_id: String::new(),
        spec: request.spec.filter(|_| !again),
        node: request.node,
        workspace_id: request.workspace_id,
        until: 0,
    };
    let id = request.request_id;
    let request = (!id.is_empty()).then(|| RequestId {
        id,
        payload: sha256_hex(payload.encode_to_vec()),
    });
    Ok(Wanted {
        request,
        node: Some(payload.node).filter(|node| !node.is_empty()),
        what: match payload.spec {
            Some(spec) => What::New(spec),
            None => What::Again {
                workspace_id: payload.workspace_id,
            },
        },
        until,
    })
}

/// Checks the id of a workspace that a request names.
pub(super) fn workspace_id(id: &str) -> Result<(), CallError> {
    let mut faults = FieldFaults::default();
    check_id(id, &mut faults);
    Ok(faults.into_result()?)
}

/// Checks where a stream is to end.
pub(super) fn until(number: i32) -> Result<Until, CallError> {
    let mut faults = FieldFaults::default();
    let until = check_until(number, &mut faults);
    faults.into_result()?;
    Ok(until)
}

fn check_id(id: &str, faults: &mut FieldFaults) {
    if id.is_empty() {
        faults.add("workspace_id", "must not be empty");
    } else if id.len() > MAX_ID_BYTES {
        faults.add("workspace_id", "is longer than any workspace's id");
    }
}

fn check_until(number: i32, faults: &mut FieldFaults) -> Until {
    match WatchUntil::try_from(number) {
        Ok(WatchUntil::Ready) => Until::Ready,
        Ok(WatchUntil::Settled | WatchUntil::Unspecified) => Until::Settled,
        Err(_) => {
            faults.add("until", "is no place where a stream can end");
            Until::Settled
        }
    }
}

fn check_spec(spec: &WorkspaceSpec, faults: &mut FieldFaults) {
    faults.check("spec.repository", spec.repository.parse::<Repository>());
    if !spec.r#ref.is_empty() {
        faults.check("spec.ref", spec.r#ref.parse::<GitRef>());
    }
    if !spec.config.is_empty() {
        faults.check("spec.config", spec.config.parse::<ConfigName>());
    }
    if CacheAccess::try_from(spec.cache_access).is_err() {
        faults.add("spec.cache_access", "is no kind of access");
    }
    if spec.timeout_seconds > MAX_TIMEOUT_SECONDS {
        faults.add("spec.timeout_seconds", "is more than 14400");
    }
}

#[cfg(test)]
mod tests {
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
        let table: [(&str, Spoil); 14] = [
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
            ("spec.config", |_, spec| spec.config = "a/b".into()),
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
        let mut none = request();
        none.spec = None;
        assert_eq!(faulty_fields(none), ["spec"]);
    }

    #[test]
    fn a_request_id_stands_for_everything_but_where_the_stream_ends() {
        let payload = |request: PrepareWorkspaceRequest| {
            let wanted = prepare(request).expect("a good request");
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
