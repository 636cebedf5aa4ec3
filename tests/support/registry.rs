//! A real registry on loopback.

use std::{path::PathBuf, process::Command};

use super::{
    Vm,
    process::{checkout, script},
};

/// A registry that can be stopped and come back with its data; gone when dropped.
pub struct Registry {
    dir: PathBuf,
    port: u16,
}

impl Registry {
    /// An empty registry.
    pub fn start(dir: PathBuf) -> Self {
        let mut registry = Self { dir, port: 0 };
        registry.resume();
        registry
    }

    /// `localhost:port`. The devcontainer CLI speaks http to `localhost` only, not to 127.0.0.1.
    pub fn host(&self) -> String {
        format!("localhost:{}", self.port)
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Stops it; its data stays.
    pub fn stop(&self) {
        script("registry", ["stop".as_ref(), self.dir.as_os_str()]);
    }

    /// Starts it again at the same port.
    pub fn resume(&mut self) {
        let address = script("registry", ["start".as_ref(), self.dir.as_os_str()]);
        self.port = address
            .rsplit_once(':')
            .and_then(|(_, port)| port.parse().ok())
            .expect("a port");
    }

    /// Pushes the tiny base image through an engine, and returns its reference.
    pub fn tiny_base(&self, vm: &Vm) -> String {
        script(
            "base-image",
            [
                "tiny".as_ref(),
                self.host().as_ref(),
                vm.socket().as_os_str(),
            ],
        )
    }

    /// Tags of a repository.
    pub async fn tags(&self, repository: &str) -> Vec<String> {
        let url = format!("http://{}/v2/{repository}/tags/list", self.host());
        let output = tokio::process::Command::new("curl")
            .args(["--silent", "--fail", &url])
            .output()
            .await
            .expect("curl");
        let text = String::from_utf8_lossy(&output.stdout);
        text.split_once("\"tags\":[")
            .and_then(|(_, rest)| rest.split_once(']'))
            .map(|(tags, _)| {
                tags.split(',')
                    .map(|tag| tag.trim_matches('"').to_owned())
                    .filter(|tag| !tag.is_empty())
                    .collect()
            })
            .unwrap_or_default()
    }

    /// A manifest as it is stored.
    pub async fn manifest(&self, repository: &str, reference: &str) -> String {
        let url = format!(
            "http://{}/v2/{repository}/manifests/{reference}",
            self.host()
        );
        let accept = "Accept: application/vnd.oci.image.manifest.v1+json";
        let output = tokio::process::Command::new("curl")
            .args(["--silent", "--fail", "--header", accept, &url])
            .output()
            .await
            .expect("curl");
        assert!(output.status.success(), "{url} is not there");
        String::from_utf8(output.stdout).expect("text")
    }

    /// Deletes a manifest by its digest.
    pub async fn delete(&self, repository: &str, digest: &str) {
        let url = format!("http://{}/v2/{repository}/manifests/{digest}", self.host());
        let status = tokio::process::Command::new("curl")
            .args(["--silent", "--fail", "--request", "DELETE", &url])
            .status()
            .await
            .expect("curl");
        assert!(status.success(), "{url} is not deleted");
    }

    /// Removes the data of every blob of at least `bytes` bytes, as a broken disk would: manifests stay.
    pub fn lose_blobs(&self, bytes: u64) {
        let status = Command::new("find")
            .arg(self.dir.join("data"))
            .args([
                "-path",
                "*/blobs/*/data",
                "-size",
                &format!("+{bytes}c"),
                "-delete",
            ])
            .status()
            .expect("find");
        assert!(status.success());
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = Command::new(checkout().join("deploy/local/registry"))
            .arg("stop")
            .arg(&self.dir)
            .status();
    }
}
