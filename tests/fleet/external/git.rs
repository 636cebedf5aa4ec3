use std::{fs, path::Path};

use async_trait::async_trait;
use hearth_agent::external::{
    git::{At, CloneFailure, CloneRequest, ConfigsRequest, Git, GitClone},
    process::{OnLine, ProcessFailure},
};
use hearth_domain::{CommitHash, Digest};
use serde_json::json;

use super::registry::BASE;

/// Every URL is a repository of its own, with a Dockerfile that says which, or with an image if it
/// is `…/image-only/…`. These and `…/hook/…` have a hook.
pub struct FakeGit;

#[async_trait]
impl Git for FakeGit {
    async fn clone_repository(
        &self,
        request: &CloneRequest<'_>,
        _: OnLine<'_>,
    ) -> Result<GitClone, CloneFailure> {
        write_tree(request.into, request.url)
            .map_err(|error| CloneFailure::Failed(ProcessFailure::new(error.to_string())))?;
        Ok(GitClone {
            commit: Some(commit(&dockerfile(request.url))),
            at: At::DefaultBranch,
            warnings: Vec::new(),
        })
    }

    async fn fetch_configs(
        &self,
        request: &ConfigsRequest<'_>,
    ) -> Result<Option<CommitHash>, CloneFailure> {
        write_tree(request.into, request.url)
            .map_err(|error| CloneFailure::Failed(ProcessFailure::new(error.to_string())))?;
        Ok(Some(commit(&dockerfile(request.url))))
    }
}

fn dockerfile(url: &str) -> String {
    format!("FROM {BASE}\nRUN echo {url}\n")
}

fn commit(tree: &str) -> CommitHash {
    let digest = Digest::of(tree);
    let digits = &digest.as_str()["sha256:".len()..][..40];
    digits.parse().expect("a hash")
}

fn write_tree(into: &Path, url: &str) -> std::io::Result<()> {
    let build = json!({ "dockerfile": "Dockerfile" });
    let config = if url.contains("/image-only/") {
        json!({ "image": BASE, "postCreateCommand": "hook", "waitFor": "postCreateCommand" })
    } else if url.contains("/hook/") {
        json!({ "build": build, "postCreateCommand": "hook", "waitFor": "postCreateCommand" })
    } else {
        json!({ "build": build })
    };
    let folder = into.join(".devcontainer");
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("Dockerfile"), dockerfile(url))?;
    fs::write(folder.join("devcontainer.json"), config.to_string())
}
