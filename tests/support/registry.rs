//! A real registry on loopback.

use std::{path::PathBuf, process::Command};

use super::{
    GitHub, Vm, curl,
    process::{checkout, script},
};

/// A registry that can be stopped and come back with its data; gone when dropped.
pub struct Registry {
    dir: PathBuf,
    port: u16,
    guard: Option<Guard>,
}

/// How the test itself gets tokens.
struct Guard {
    tokens: String,
    service: String,
    user: String,
    password: String,
}

impl Registry {
    /// An empty registry that needs no login.
    pub fn start(dir: PathBuf) -> Self {
        let mut registry = Self {
            dir,
            port: 0,
            guard: None,
        };
        registry.resume();
        registry
    }

    /// An empty registry that asks for tokens of this GitHub.
    pub fn start_guarded(dir: PathBuf, github: &GitHub) -> Self {
        std::fs::create_dir_all(&dir).expect("a folder");
        std::fs::write(dir.join("auth.yml"), github.registry_auth_yaml()).expect("a file");
        let (user, password) = github.admin();
        let guard = Guard {
            tokens: format!("{}/token", github.url()),
            service: github.registry_service().to_owned(),
            user: user.to_owned(),
            password: password.to_owned(),
        };
        let mut registry = Self {
            dir,
            port: 0,
            guard: Some(guard),
        };
        github.packages_are_in(&registry.packages());
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

    /// Where it keeps a folder for each repository.
    pub fn packages(&self) -> PathBuf {
        self.dir.join("data/docker/registry/v2/repositories")
    }

    /// What it wrote to its log.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.join("registry.log")).unwrap_or_default()
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
    pub async fn tiny_base(&self, vm: &Vm) -> String {
        self.base_image("tiny", vm).await
    }

    /// Pushes a base image that `deploy/local/base-image` makes through an engine, and returns its reference.
    ///
    /// The first time it may take a minute: the test's connections have to stay alive meanwhile.
    pub async fn base_image(&self, kind: &str, vm: &Vm) -> String {
        let socket = vm.socket();
        let (kind, host) = (kind.to_owned(), self.host());
        let make = move || {
            script(
                "base-image",
                [kind.as_ref(), host.as_ref(), socket.as_os_str()],
            )
        };
        tokio::task::spawn_blocking(make).await.expect("an image")
    }

    /// Tags of a repository; empty if there is no such repository.
    pub async fn tags(&self, repository: &str) -> Vec<String> {
        let answer = self.ask("GET", repository, "tags/list", &[]).await;
        if answer.status == 404 {
            return Vec::new();
        }
        assert_eq!(answer.status, 200, "{answer:?}");
        let tags = answer.json()["tags"].take();
        serde_json::from_value::<Option<Vec<String>>>(tags)
            .expect("a list")
            .unwrap_or_default()
    }

    /// A manifest as it is stored.
    pub async fn manifest(&self, repository: &str, reference: &str) -> String {
        let accept = "Accept: application/vnd.oci.image.manifest.v1+json";
        let path = format!("manifests/{reference}");
        let answer = self.ask("GET", repository, &path, &[accept]).await;
        assert_eq!(answer.status, 200, "{repository} {reference}: {answer:?}");
        answer.body
    }

    /// Deletes a manifest by its digest.
    pub async fn delete(&self, repository: &str, digest: &str) {
        let path = format!("manifests/{digest}");
        let answer = self.ask("DELETE", repository, &path, &[]).await;
        assert_eq!(answer.status, 202, "{repository} {digest}: {answer:?}");
    }

    /// Asks the registry, with all rights on the repository.
    async fn ask(
        &self,
        method: &str,
        repository: &str,
        path: &str,
        headers: &[&str],
    ) -> curl::Answer {
        let url = format!("http://{}/v2/{repository}/{path}", self.host());
        let mut request = curl::Request::new(method, &url);
        for header in headers {
            request = request.header(header);
        }
        if let Some(guard) = &self.guard {
            let token = guard.token(repository).await;
            request = request.header(&format!("Authorization: Bearer {token}"));
        }
        request.send().await
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

impl Guard {
    async fn token(&self, repository: &str) -> String {
        let url = format!(
            "{}?service={}&scope=repository:{repository}:pull,push,delete",
            self.tokens, self.service
        );
        let request = curl::Request::new("GET", &url).login(&self.user, &self.password);
        let answer = request.send().await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let token = answer.json()["token"].take();
        serde_json::from_value(token).expect("a token")
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
