//! Between the contract's messages and the domain's types: the values of a message are parsed here, once.

use std::time::Duration;

use hearth_api::v1;
use hearth_domain::{
    AttemptRef, CacheAccess, CloneDepth, Fallback, GitAuthor, GitOptions, Repository, SparsePaths,
    Spec, WorkspaceId,
};

use crate::FieldFaults;

const MAX_TIMEOUT_SECONDS: u32 = 14_400;

/// Reads what a workspace is asked to be. `None` when a fault was added.
pub fn spec(message: &v1::WorkspaceSpec, faults: &mut FieldFaults) -> Option<Spec> {
    let repository = faults.check("spec.repository", message.repository.parse::<Repository>());
    let git_ref = faults.check("spec.ref", message.r#ref.parse());
    let config = faults.check_optional("spec.config", &message.config);
    let access = v1::CacheAccess::try_from(message.cache_access);
    let access = access.map_err(|_| "is not a kind of access to the cache");
    let cache_access = faults.check("spec.cache_access", access).map(cache_access);
    let git = git_options(message.git.as_ref(), faults);
    let fallback = v1::Fallback::try_from(message.fallback);
    let fallback = fallback.map_err(|_| "must be one of the values of Fallback");
    let fallback = faults.check("spec.fallback", fallback).map(self::fallback);
    if message.timeout_seconds > MAX_TIMEOUT_SECONDS {
        faults.add("spec.timeout_seconds", "is more than 14400");
        return None;
    }
    let time_limit = match message.timeout_seconds {
        0 => None,
        seconds => Some(Duration::from_secs(seconds.into())),
    };
    Some(Spec {
        repository: repository?,
        git_ref: git_ref?,
        config: config?,
        lightweight: message.lightweight,
        cache_access: cache_access?,
        time_limit,
        git: git?,
        fallback: fallback?,
    })
}

fn git_options(message: Option<&v1::GitOptions>, faults: &mut FieldFaults) -> Option<GitOptions> {
    let Some(message) = message else {
        return Some(GitOptions::default());
    };
    let depth = v1::CloneDepth::try_from(message.depth);
    let depth = depth.map_err(|_| "must be one of the values of CloneDepth");
    let depth = faults.check("spec.git.depth", depth).map(clone_depth);
    let sparse = SparsePaths::new(message.sparse.iter().map(String::as_str));
    let sparse = faults.check("spec.git.sparse", sparse);
    let author = match (message.author_name.as_str(), message.author_email.as_str()) {
        ("", "") => Some(None),
        (name, email) => {
            let author = GitAuthor::new(name, email);
            faults.check("spec.git.author_name", author).map(Some)
        }
    };
    Some(GitOptions {
        depth: depth?,
        sparse: sparse?,
        author: author?,
    })
}

fn clone_depth(depth: v1::CloneDepth) -> CloneDepth {
    match depth {
        v1::CloneDepth::Unspecified | v1::CloneDepth::Blobless => CloneDepth::Blobless,
        v1::CloneDepth::Shallow => CloneDepth::Shallow,
        v1::CloneDepth::Full => CloneDepth::Full,
    }
}

/// Reads which attempt a request is about, from its field `attempt`. `None` when a fault was added.
pub fn attempt(message: Option<&v1::AttemptRef>, faults: &mut FieldFaults) -> Option<AttemptRef> {
    let Some(message) = message else {
        faults.add("attempt", "must be set");
        return None;
    };
    let workspace = message.workspace_id.parse::<WorkspaceId>();
    let workspace = faults.check("attempt.workspace_id", workspace);
    if message.attempt == 0 {
        faults.add("attempt.attempt", "counts from 1");
        return None;
    }
    Some(AttemptRef {
        workspace: workspace?,
        number: message.attempt,
    })
}

/// The message that stands for an attempt.
pub fn attempt_message(attempt: &AttemptRef) -> v1::AttemptRef {
    v1::AttemptRef {
        workspace_id: attempt.workspace.to_string(),
        attempt: attempt.number,
    }
}

fn fallback(fallback: v1::Fallback) -> Fallback {
    match fallback {
        v1::Fallback::Unspecified | v1::Fallback::DefaultImage => Fallback::DefaultImage,
        v1::Fallback::LastGood => Fallback::LastGood,
        v1::Fallback::None => Fallback::None,
    }
}

fn cache_access(access: v1::CacheAccess) -> CacheAccess {
    match access {
        v1::CacheAccess::Unspecified | v1::CacheAccess::ReadWrite => CacheAccess::ReadWrite,
        v1::CacheAccess::ReadOnly => CacheAccess::ReadOnly,
        v1::CacheAccess::Off => CacheAccess::Off,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_parsed_and_every_fault_is_named_by_its_field() {
        let mut message = v1::WorkspaceSpec {
            repository: "https://github.com/acme/shop".into(),
            r#ref: "refs/heads/main".into(),
            config: "gpu".into(),
            cache_access: v1::CacheAccess::Off.into(),
            timeout_seconds: 60,
            ..v1::WorkspaceSpec::default()
        };
        let mut faults = FieldFaults::default();
        let spec = spec(&message, &mut faults).expect("a good spec");
        assert_eq!(spec.repository.to_string(), "github.com/acme/shop");
        assert_eq!(spec.git_ref.to_string(), "refs/heads/main");
        assert_eq!(spec.config_text(), "gpu");
        assert_eq!(spec.cache_access, CacheAccess::Off);
        assert_eq!(spec.time_limit, Some(Duration::from_secs(60)));

        message.repository = "file:///etc".into();
        message.r#ref = "-x".into();
        message.config = "a/../b".into();
        message.cache_access = 99;
        message.git = Some(v1::GitOptions {
            depth: 99,
            sparse: vec!["../etc".into()],
            author_name: "A".into(),
            ..v1::GitOptions::default()
        });
        message.fallback = 99;
        message.timeout_seconds = 14_401;
        assert_eq!(super::spec(&message, &mut faults), None);
        assert_eq!(attempt(None, &mut faults), None);
        let text = faults
            .into_result()
            .expect_err("faults")
            .message()
            .to_owned();
        for field in [
            "repository",
            "ref",
            "config",
            "cache_access",
            "fallback",
            "timeout_seconds",
            "git.depth",
            "git.sparse",
            "git.author_name",
        ] {
            assert!(text.contains(&format!("spec.{field} ")), "{text}");
        }
        assert!(text.contains("attempt must be set"), "{text}");
    }

    #[test]
    fn an_attempt_reads_back() {
        let attempt = AttemptRef {
            workspace: "ws-1".parse().expect("an id"),
            number: 2,
        };
        let mut faults = FieldFaults::default();
        let read = super::attempt(Some(&attempt_message(&attempt)), &mut faults);
        assert_eq!(read, Some(attempt));
    }
}
