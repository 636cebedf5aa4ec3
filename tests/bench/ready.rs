//! From the request to READY on a fresh node: hearth beside what one would do by hand, and the goals for their ratios.

use std::{
    path::{Path, PathBuf},
    time::Instant,
};

use hearth_api::v1::{CacheResult, WatchUntil};
use hearth_tests::{Lab, Repo, Vm, client::request};

use crate::{by_hand::run_command, median};

/// About 900 MB: large files, some of them like text, small ones, and what an edit changes.
const DOCKERFILE: &str = "\
ARG BASE
FROM ${BASE}
RUN for n in $(seq 200); do head -c 1000000 /dev/urandom > /opt/r$n; seq $n 150000 > /opt/t$n; done
RUN for d in $(seq 200); do mkdir /opt/d$d && for n in $(seq 100); do echo $d.$n > /opt/d$d/$n; done; done
RUN for n in $(seq 100); do head -c 1000000 /dev/urandom > /opt/u$n; seq $n 150000 > /opt/v$n; done
COPY requirements.txt /opt/
RUN for n in $(seq 50); do head -c 1000000 /dev/urandom > /opt/w$n; seq $n 150000 > /opt/x$n; done
COPY app/ /opt/app/
RUN cat /opt/app/main > /opt/built
";

/// Ways to a workspace, in the order of the table.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Plain,
    CacheFrom,
    Pull,
    CacheFromEdited,
    Cold,
    Exact,
    Partial,
}

impl Way {
    const ALL: [Self; 7] = [
        Self::Plain,
        Self::CacheFrom,
        Self::Pull,
        Self::CacheFromEdited,
        Self::Cold,
        Self::Exact,
        Self::Partial,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Plain => "git clone, devcontainer up",
            Self::CacheFrom => "the same with --cache-from a mode=max cache",
            Self::Pull => "git clone, docker pull with zstd layers, devcontainer up on it",
            Self::CacheFromEdited => "--cache-from, after one COPY was edited",
            Self::Cold => "hearth, nothing in the cache",
            Self::Exact => "hearth, exact hit",
            Self::Partial => "hearth, after one COPY was edited",
        }
    }
}

/// What is compared with what, and the largest ratio that is wanted.
const GOALS: [(Way, Way, f64); 5] = [
    (Way::Exact, Way::Plain, 0.10),
    (Way::Exact, Way::CacheFrom, 0.35),
    (Way::Exact, Way::Pull, 0.6),
    (Way::Partial, Way::CacheFromEdited, 0.7),
    (Way::Cold, Way::Plain, 0.8),
];

pub async fn run(rounds: usize) {
    let mut seconds: Vec<Vec<f64>> = Way::ALL.iter().map(|_| Vec::new()).collect();
    for _ in 0..rounds {
        // All of it is new in each round: nothing is known from the one before.
        for (all, one) in seconds.iter_mut().zip(round().await) {
            all.push(one);
        }
    }
    let of = |way: Way| {
        let at = Way::ALL.iter().position(|other| *other == way);
        median(at.map(|at| seconds[at].clone()).unwrap_or_default())
    };
    println!(
        "\nFrom the request to READY on a fresh node, seconds (medians of {rounds}, in turns)\n"
    );
    println!("| way | seconds |");
    println!("| --- | --- |");
    for way in Way::ALL {
        println!("| {} | {:.1} |", way.name(), of(way));
    }
    println!("\n| what | against | ratio | goal |");
    println!("| --- | --- | --- | --- |");
    for (what, against, goal) in GOALS {
        let ratio = of(what) / of(against);
        println!(
            "| {} | {} | {ratio:.2} | {goal:.2} |",
            what.name(),
            against.name()
        );
    }
}

/// Seconds of each way, each on an engine of its own.
async fn round() -> Vec<f64> {
    let mut lab = Lab::new(0).await;
    let builder = Vm::start(lab.folder("builder"));
    let base = lab.registry.base_image("git-debian", &builder).await;
    let (repo, edited) = (
        repo(&lab, "app", &base, "first\n"),
        repo(&lab, "edited", &base, "second\n"),
    );
    let hand = ByHand::prepare(&lab, builder, &repo);
    let mut seconds = vec![
        hand.up(&lab, "plain", &repo, &[]),
        hand.up(&lab, "cache-from", &repo, &["--cache-from", &hand.cache]),
        hand.pull(&lab, &repo),
        hand.up(&lab, "edited", &edited, &["--cache-from", &hand.cache]),
    ];
    for way in [Way::Cold, Way::Exact, Way::Partial] {
        if way == Way::Partial {
            repo.commit(&[("app/main", "second\n")]);
        }
        let node = lab.add_node(&[]).await;
        let story = lab
            .client
            .run(hearth_api::v1::PrepareWorkspaceRequest {
                // The next one finds what this one pushes.
                until: WatchUntil::Settled.into(),
                ..request(&format!("node-{node}"), &repo.url)
            })
            .await;
        let expected = match way {
            Way::Exact => CacheResult::Exact,
            Way::Partial => CacheResult::Partial,
            _ => CacheResult::Miss,
        };
        assert_eq!(story.cache().result(), expected, "{:#?}", story.workspace);
        seconds.push(story.workspace.ready_seconds);
    }
    seconds
}

fn repo(lab: &Lab, name: &str, base: &str, main: &str) -> Repo {
    let config = format!(
        r#"{{
  "build": {{ "dockerfile": "Dockerfile", "context": "..", "args": {{ "BASE": "{base}" }} }},
  "features": {{ "./hello": {{}} }},
  "remoteUser": "dev",
  "postCreateCommand": "true"
}}"#
    );
    let feature = r#"{ "id": "hello", "version": "1.0.0" }"#;
    lab.git.repo(
        name,
        &[
            (".devcontainer/devcontainer.json", &config),
            (".devcontainer/Dockerfile", DOCKERFILE),
            (".devcontainer/hello/devcontainer-feature.json", feature),
            (
                ".devcontainer/hello/install.sh",
                "#!/bin/sh\necho hello > /opt/hello\n",
            ),
            ("requirements.txt", "one\n"),
            ("app/main", main),
        ],
    )
}

/// What others keep in the registry: a cache of all steps, and the finished image.
struct ByHand {
    cache: String,
    image: String,
}

impl ByHand {
    fn prepare(lab: &Lab, builder: Vm, repo: &Repo) -> Self {
        let cache = format!("type=registry,ref={}/by-hand/cache:1", lab.registry.host());
        let image = format!("{}/by-hand/image:1", lab.registry.host());
        let home = home(lab, "builder");
        let clone = clone(&builder, &home, repo);
        let cache_to = format!("{cache},mode=max");
        let output =
            format!("type=image,name={image},push=true,compression=zstd,oci-mediatypes=true");
        for export in [["--cache-to", &cache_to], ["--output", &output]] {
            let build = [
                "build",
                "--workspace-folder",
                &clone,
                "--image-name",
                &image,
            ];
            run_command(
                &builder,
                &home,
                "devcontainer",
                &[&build[..], &export].concat(),
            );
        }
        Self { cache, image }
    }

    /// A clone, and `devcontainer up`, without its hooks, which READY does not wait for either.
    fn up(&self, lab: &Lab, name: &str, repo: &Repo, options: &[&str]) -> f64 {
        let (vm, home) = (Vm::start(lab.folder(name)), home(lab, name));
        let began = Instant::now();
        let clone = clone(&vm, &home, repo);
        up(&vm, &home, &clone, options);
        began.elapsed().as_secs_f64()
    }

    fn pull(&self, lab: &Lab, repo: &Repo) -> f64 {
        let (vm, home) = (Vm::start(lab.folder("pull")), home(lab, "pull"));
        let config = home.join("override.json");
        let text = format!(r#"{{ "image": "{}", "remoteUser": "dev" }}"#, self.image);
        std::fs::write(&config, text).expect("a file");
        let config = config.to_str().expect("a path").to_owned();
        let began = Instant::now();
        let clone = clone(&vm, &home, repo);
        vm.docker(&["pull", "--quiet", &self.image]);
        let options = [
            "--override-config",
            &config,
            "--update-remote-user-uid-default",
            "never",
        ];
        up(&vm, &home, &clone, &options);
        began.elapsed().as_secs_f64()
    }
}

fn up(vm: &Vm, home: &Path, clone: &str, options: &[&str]) {
    let up = ["up", "--workspace-folder", clone, "--skip-post-create"];
    run_command(vm, home, "devcontainer", &[&up[..], options].concat());
}

fn home(lab: &Lab, name: &str) -> PathBuf {
    let home = lab.folder(&format!("{name}-home"));
    std::fs::create_dir_all(&home).expect("a folder");
    home
}

/// Clones into a folder that is named alike everywhere.
fn clone(vm: &Vm, home: &Path, repo: &Repo) -> String {
    let folder = home.join("app").to_str().expect("a path").to_owned();
    let clone = ["clone", "--quiet", "--filter=blob:none", &repo.url, &folder];
    run_command(vm, home, "git", &clone);
    folder
}
