//! What a fixture is prepared in: a registry with its images, its repository, and an engine that is new for each run.

use std::{fs, path::Path, process::Command};

use hearth_api::v1::{PrepareWorkspaceRequest, WorkspaceSpec};
use hearth_tests::{
    Agent, Lab, Repo, Vm,
    client::{Story, request},
    process::checkout,
};

use crate::fixture::Fixture;

/// A world without a node yet.
pub struct World {
    pub lab: Lab,
    pub repo: Repo,
}

impl World {
    /// Makes the images and the repository of a fixture.
    pub async fn of(fixture: &Fixture) -> Self {
        let mut lab = Lab::new(0).await;
        let workshop = Vm::start(lab.folder("workshop"));
        let tiny = lab.registry.tiny_base(&workshop).await;
        let context = checkout().join("tests/conformance/base");
        let host = lab.registry.host();
        lab.base = format!("{host}/base/conformance:1");
        build(&workshop, &lab.base, &context, &format!("TINY={tiny}"));
        let mut words = vec![
            ("@BASE@".to_owned(), lab.base.clone()),
            ("@REGISTRY@".to_owned(), host.clone()),
            (
                "@GIT@".to_owned(),
                lab.git.url("").trim_end_matches('/').to_owned(),
            ),
        ];
        for (name, dockerfile) in &fixture.images {
            let image = format!("{host}/images/{name}:1");
            let context = lab.folder(&format!("image-{name}"));
            fs::create_dir_all(&context).expect("a folder");
            fs::write(context.join("Dockerfile"), replaced(dockerfile, &words)).expect("a file");
            build(&workshop, &image, &context, "NONE=");
            words.push((format!("@{name}@"), image));
        }
        drop(workshop);
        let repo = repository(&lab, fixture, &words);
        Self { lab, repo }
    }

    /// Adds a node whose engine has nothing, and prepares the repository there.
    pub async fn prepare(&mut self, fixture: &Fixture) -> Story {
        let number = self.lab.vms.len() + 1;
        let node = format!("node-{number}");
        let vm = Vm::start(self.lab.folder(&format!("vm{number}")));
        let url = self.lab.control_plane.url();
        let folder = self.lab.folder(&node);
        let agent = Agent::start(&node, folder, &vm, &url, &self.lab.base, &[]);
        self.lab.vms.push(vm);
        self.lab.agents.push(agent);
        self.lab.until_online(&node).await;
        let asked = request(&node, &self.repo.url);
        let spec = asked.spec.map(|spec| WorkspaceSpec {
            config: fixture.config.clone().unwrap_or_default(),
            ..spec
        });
        self.lab
            .client
            .run(PrepareWorkspaceRequest { spec, ..asked })
            .await
    }
}

fn repository(lab: &Lab, fixture: &Fixture, words: &[(String, String)]) -> Repo {
    let files = fixture.files.iter();
    let files: Vec<_> = files
        .map(|(path, text)| (path.as_str(), replaced(text, words)))
        .collect();
    let files: Vec<_> = files.iter().map(|(path, text)| (*path, &**text)).collect();
    let repo = lab.git.repo(&fixture.name, &files);
    if let Some(setup) = &fixture.setup {
        let output = Command::new("sh")
            .args(["-euc", &replaced(setup, words)])
            .current_dir(repo.dir())
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .envs(
                [
                    "AUTHOR_NAME",
                    "AUTHOR_EMAIL",
                    "COMMITTER_NAME",
                    "COMMITTER_EMAIL",
                ]
                .map(|name| (format!("GIT_{name}"), "t@example.org")),
            )
            .output()
            .expect("sh");
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {told}", fixture.name);
        repo.git(&["add", "--all"]);
        repo.git(&["commit", "--quiet", "--allow-empty", "--message", "set up"]);
    }
    repo
}

fn replaced(text: &str, words: &[(String, String)]) -> String {
    let words = words.iter();
    words.fold(text.to_owned(), |text, (word, value)| {
        text.replace(word, value)
    })
}

fn build(vm: &Vm, image: &str, context: &Path, argument: &str) {
    let context = context.to_str().expect("a path");
    let arguments = ["--build-arg", argument, "--tag", image, context];
    vm.docker(
        &[
            &["buildx", "build", "--quiet", "--provenance=false"][..],
            &arguments,
        ]
        .concat(),
    );
    vm.docker(&["push", "--quiet", image]);
}
