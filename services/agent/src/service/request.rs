use std::collections::BTreeMap;

use hearth_api::v1;
use hearth_domain::{CacheReference, Digest, ServiceName, Spec};
use hearth_runtime::{FieldFaults, contract};
use oci_spec::distribution::Reference;
use tonic::Status;
use uuid::Uuid;

use crate::{
    external::devcontainer::Started,
    pipeline::{CacheUse, Job, StartTarget},
    policy::HostAccess,
};

const MAX_ID_BYTES: usize = 256;
/// Of a user's name or a folder in a container.
const MAX_TEXT_BYTES: usize = 16 * 1024;
const MAX_SERVICES: usize = 20;

/// Parses a request. The control plane has checked it too, but a node does not rely on that.
pub(super) fn job(request: &v1::AgentServicePrepareWorkspaceRequest) -> Result<Job, Status> {
    let mut faults = FieldFaults::default();
    let attempt = contract::attempt(request.attempt.as_ref(), &mut faults);
    let spec = request.spec.clone().unwrap_or_default();
    let spec = contract::spec(&spec, &mut faults);
    let cache = match &request.cache {
        Some(target) => cache_use(target, &mut faults).map(Ok),
        None => Some(Err(request.cache_skip_reason())),
    };
    let cache_mounts = faults.check("cache_mounts", cache_mounts(&request.cache_mounts));
    if request.control_plane_id.len() > MAX_ID_BYTES {
        faults.add("control_plane_id", "is longer than 256 bytes");
    }
    let default_image = default_image(&request.default_image, &mut faults);
    let job = attempt.zip(spec).zip(cache).zip(cache_mounts);
    let job = job.zip(default_image);
    faults.complete(job.map(
        |((((attempt, spec), cache), cache_mounts), default_image)| Job {
            attempt,
            spec,
            cache,
            trusted: request.trusted,
            host_access: HostAccess::of_request(request.host_access()),
            cache_mounts,
            control_plane: request.control_plane_id.clone(),
            keep_clone: request.keep_clone,
            no_cache: request.no_cache,
            default_image,
            start: None,
        },
    ))
}

/// Parses a request to start a workspace.
pub(super) fn start_job(request: &v1::AgentServiceStartWorkspaceRequest) -> Result<Job, Status> {
    let mut faults = FieldFaults::default();
    let attempt = contract::attempt(request.attempt.as_ref(), &mut faults);
    let spec = request.spec.clone().unwrap_or_default();
    let spec: Option<Spec> = contract::spec(&spec, &mut faults);
    let container = container_id(request.container_id.clone(), &mut faults);
    if request.control_plane_id.len() > MAX_ID_BYTES {
        faults.add("control_plane_id", "is longer than 256 bytes");
    }
    for (field, text) in [
        ("remote_user", &request.remote_user),
        ("remote_folder", &request.remote_folder),
    ] {
        if text.len() > MAX_TEXT_BYTES {
            faults.add(field, "is too long");
        }
    }
    let job = attempt.zip(spec).zip(container);
    faults.complete(job.map(|((attempt, spec), container_id)| Job {
        attempt,
        spec,
        cache: Err(v1::CacheSkipReason::Off),
        trusted: request.trusted,
        host_access: HostAccess::of_request(request.host_access()),
        cache_mounts: String::new(),
        control_plane: request.control_plane_id.clone(),
        keep_clone: false,
        no_cache: false,
        default_image: None,
        start: Some(StartTarget {
            started: Started {
                container_id,
                remote_user: request.remote_user.clone(),
                remote_folder: request.remote_folder.clone(),
            },
            recovery: request.recovery.clone(),
        }),
    }))
}

/// Reads the id of a container: it becomes part of a path of the engine's API.
pub(super) fn container_id(id: String, faults: &mut FieldFaults) -> Option<String> {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if id.is_empty() || id.len() > MAX_ID_BYTES || !id.bytes().all(good) || id.starts_with('.') {
        faults.add("container_id", "must be the id of a container");
        return None;
    }
    Some(id)
}

/// Without a namespace, one of the attempt's own.
fn cache_mounts(namespace: &str) -> Result<String, &'static str> {
    match namespace {
        "" => Ok(Uuid::new_v4().simple().to_string()),
        _ if namespace.len() <= 64 && namespace.bytes().all(|b| b.is_ascii_alphanumeric()) => {
            Ok(namespace.to_owned())
        }
        _ => Err("must be at most 64 letters and digits"),
    }
}

/// The image for repositories that name none, as the control plane has it.
fn default_image(image: &str, faults: &mut FieldFaults) -> Option<Option<String>> {
    if image.is_empty() {
        return Some(None);
    }
    // The engine and the devcontainer CLI get it as an argument.
    let image = image.parse::<Reference>().map(|_| Some(image.to_owned()));
    faults.check(
        "default_image",
        image.map_err(|_| "must be the name of an image"),
    )
}

fn newest_of_services(
    newest: &[v1::ServiceImage],
    faults: &mut FieldFaults,
) -> Option<BTreeMap<ServiceName, Digest>> {
    if newest.len() > MAX_SERVICES {
        faults.add("cache.newest_of_services", "has more than 20 services");
        return None;
    }
    let read = newest.iter().map(|image| {
        let service = faults.check("cache.newest_of_services.service", image.service.parse());
        let digest = faults.check("cache.newest_of_services.digest", image.digest.parse());
        service.zip(digest)
    });
    // All of them are looked at: each fault is told.
    let read: Vec<_> = read.collect();
    read.into_iter().collect()
}

fn cache_use(target: &v1::CacheTarget, faults: &mut FieldFaults) -> Option<CacheUse> {
    let repository = faults.check("cache.repository", target.repository.parse());
    let reference = repository.and_then(|repository| {
        let reference = CacheReference::from_parts(repository, &target.tag);
        faults.check("cache.tag", reference)
    });
    let newest_digest = faults.check_optional("cache.newest_digest", &target.newest_digest);
    let newest_of_services = newest_of_services(&target.newest_of_services, faults);
    Some(CacheUse {
        reference: reference?,
        writable: target.access() == v1::CacheAccess::ReadWrite,
        newest_digest: newest_digest?,
        newest_of_services: newest_of_services?,
    })
}

#[cfg(test)]
mod tests {
    use tonic_types::StatusExt as _;

    use super::*;

    #[test]
    fn every_fault_is_named_by_its_field() {
        let request = v1::AgentServicePrepareWorkspaceRequest {
            attempt: Some(v1::AttemptRef {
                workspace_id: "../x".into(),
                attempt: 0,
            }),
            spec: Some(v1::WorkspaceSpec {
                repository: "file:///etc".into(),
                r#ref: "-x".into(),
                config: "a/../b".into(),
                ..v1::WorkspaceSpec::default()
            }),
            cache: Some(v1::CacheTarget {
                repository: "Registry/a".into(),
                tag: "latest".into(),
                newest_digest: "sha256:0".into(),
                ..v1::CacheTarget::default()
            }),
            cache_mounts: "a,b".into(),
            ..v1::AgentServicePrepareWorkspaceRequest::default()
        };
        let status = job(&request).unwrap_err();
        let details = status.get_error_details();
        let fields: Vec<_> = details
            .bad_request()
            .unwrap()
            .field_violations
            .iter()
            .map(|violation| violation.field.as_str())
            .collect();
        assert_eq!(
            fields,
            [
                "attempt.workspace_id",
                "attempt.attempt",
                "spec.repository",
                "spec.ref",
                "spec.config",
                "cache.repository",
                "cache.newest_digest",
                "cache_mounts",
            ]
        );
    }

    #[test]
    fn a_request_without_a_cache_says_why() {
        let request = v1::AgentServicePrepareWorkspaceRequest {
            attempt: Some(v1::AttemptRef {
                workspace_id: "ws-1".into(),
                attempt: 1,
            }),
            spec: Some(v1::WorkspaceSpec {
                repository: "https://github.com/a/b".into(),
                ..v1::WorkspaceSpec::default()
            }),
            cache_skip_reason: v1::CacheSkipReason::Off.into(),
            ..v1::AgentServicePrepareWorkspaceRequest::default()
        };
        let made = job(&request).unwrap();
        assert_eq!(made.cache.clone().unwrap_err(), v1::CacheSkipReason::Off);
        assert_eq!(made.time_limit().as_secs(), 1800);
        // Nobody else has a namespace that was not told.
        assert_ne!(made.cache_mounts, job(&request).unwrap().cache_mounts);
    }
}
