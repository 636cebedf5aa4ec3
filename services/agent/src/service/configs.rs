//! Between the contract's messages and what the agent found in a repository.

use std::time::SystemTime;

use hearth_api::v1;
use hearth_domain::{ConfigName, GitRef, Login, Repository};
use hearth_runtime::{FieldFaults, Reason, status};
use tonic::Status;

use crate::{
    configurations::{ListFailure, Listing},
    devcontainer::{Kind, Listed},
};

/// Parses a request.
pub(super) fn wanted(
    request: v1::AgentServiceListConfigsRequest,
) -> Result<(Repository, GitRef, Option<Login>), Status> {
    let mut faults = FieldFaults::default();
    let repository = faults.check("repository", request.repository.parse());
    let git_ref = faults.check("ref", request.r#ref.parse());
    let login = request.login.map(|login| Login {
        host: login.host,
        username: login.username,
        password: login.password.into(),
        expires: login
            .expire_time
            .and_then(|time| SystemTime::try_from(time).ok()),
    });
    let (repository, git_ref) = faults.complete(repository.zip(git_ref))?;
    Ok((repository, git_ref, login))
}

pub(super) fn response(listing: Listing) -> v1::AgentServiceListConfigsResponse {
    let text =
        |config: Option<ConfigName>| config.map(|config| config.to_string()).unwrap_or_default();
    v1::AgentServiceListConfigsResponse {
        commit: listing
            .commit
            .map(|commit| commit.to_string())
            .unwrap_or_default(),
        used: listing.used.map(text),
        configs: listing.configs.into_iter().map(message).collect(),
    }
}

fn message(listed: Listed) -> v1::DevcontainerConfig {
    let (kind, error) = match listed.kind {
        Ok(Kind::Image) => (v1::ConfigKind::Image, String::new()),
        Ok(Kind::Dockerfile) => (v1::ConfigKind::Dockerfile, String::new()),
        Ok(Kind::Compose) => (v1::ConfigKind::Compose, String::new()),
        Ok(Kind::None) => (v1::ConfigKind::None, String::new()),
        Err(error) => (v1::ConfigKind::Unspecified, error),
    };
    v1::DevcontainerConfig {
        config: listed
            .config
            .map(|config| config.to_string())
            .unwrap_or_default(),
        path: listed.path.to_string_lossy().into_owned(),
        name: listed.name,
        kind: kind.into(),
        error,
        warning: listed.repaired.unwrap_or_default(),
    }
}

pub(super) fn refused(failure: &ListFailure) -> Status {
    let reason = match failure {
        ListFailure::Busy => Reason::Overloaded,
        ListFailure::Stopping => Reason::ShuttingDown,
        ListFailure::RefNotFound(_) => Reason::RefUnknown,
        ListFailure::LoginRefused(_) => Reason::LoginRefused,
        ListFailure::Unreadable(_) => Reason::RepositoryUnavailable,
    };
    status(reason, failure.to_string())
}
