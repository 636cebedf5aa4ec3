//! An engine of its own for this test, with base images that were never in a registry.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    process::{Command, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
};

use hearth_domain::{Digest, ImageFacts};
use hearth_tests::{
    Vm,
    process::{path, script},
};
use serde_json::Value;

/// Base images, and the instructions that `docker import` gives them. Each has a busybox.
const IMAGES: [(&str, &[&str]); 4] = [
    ("hearth-test/base:1", &["ENV PATH=/bin", "ENV BASE_DIR=src"]),
    (
        "hearth-test/onbuild:1",
        &["ENV PATH=/bin", "ONBUILD COPY app /app"],
    ),
    (
        "hearth-test/triggers:1",
        &[
            "ENV PATH=/bin",
            "ONBUILD ARG V=0",
            "ONBUILD RUN echo $V >/v",
        ],
    ),
    ("hearth-test/other:1", &["ENV PATH=/bin", "ENV OTHER=1"]),
];

pub struct Engine {
    vm: Vm,
    images: BTreeMap<String, Value>,
    builds: AtomicUsize,
}

/// One build.
#[derive(Clone)]
pub struct Build {
    /// Its name in the engine.
    pub name: String,
    /// Its layers and its configuration, but for the history, which is the text of its Dockerfile.
    pub image: String,
    /// Steps that were not found in the cache.
    pub ran: BTreeSet<String>,
    pub log: String,
}

impl Engine {
    /// Starts the engine. There is no other way to know what BuildKit does, so the test fails where none starts.
    pub fn start(name: &str) -> Self {
        let folder = format!("/dev/shm/hearth-key-{name}-{}", std::process::id());
        let mut engine = Self {
            vm: Vm::start(folder.into()),
            images: BTreeMap::new(),
            builds: AtomicUsize::new(0),
        };
        engine.import();
        engine
    }

    fn docker(&self) -> Command {
        let mut command = self.vm.command();
        command
            .env("DOCKER_CONFIG", self.vm.dir().join("config"))
            .stdin(Stdio::null());
        command
    }

    fn import(&mut self) {
        let root = tempfile::tempdir().unwrap();
        let bin = root.path().join("bin");
        std::fs::create_dir_all(&bin).unwrap();
        let tools = script("tools", ["base-image"]);
        let busybox = Path::new(&tools).join("../base-image/busybox");
        std::fs::copy(busybox.canonicalize().unwrap(), bin.join("busybox")).unwrap();
        for applet in ["sh", "cat", "true", "ls", "mkdir", "test", "cp", "tr"] {
            std::os::unix::fs::symlink("busybox", bin.join(applet)).unwrap();
        }
        let archive = root.path().join("root.tar");
        output(
            Command::new("tar")
                .arg("-C")
                .arg(root.path())
                .arg("-cf")
                .arg(&archive)
                .arg("bin"),
        );
        for (name, changes) in IMAGES {
            let mut import = self.docker();
            import.arg("import");
            changes.iter().for_each(|change| {
                import.args(["--change", change]);
            });
            output(import.arg(&archive).arg(name));
            let inspected: Value =
                serde_json::from_str(&output(self.docker().args(["image", "inspect", name])))
                    .unwrap();
            self.images.insert(name.to_owned(), inspected[0].clone());
        }
    }

    /// Builds from the text of a Dockerfile, which is elsewhere.
    pub fn build(
        &self,
        context: &Path,
        dockerfile: &str,
        target: Option<&str>,
        args: &BTreeMap<String, String>,
        options: &[String],
    ) -> Result<Build, String> {
        // In a folder of its own: the client looks at the others in it.
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("Dockerfile");
        std::fs::write(&file, dockerfile).unwrap();
        // Two builds of one image at once trip over each other when the image has no name.
        let number = self.builds.fetch_add(1, Ordering::Relaxed);
        let name = format!("hearth-test/build:{number}");
        let mut command = self.docker();
        command
            .args([
                "buildx",
                "build",
                "--progress=plain",
                "--provenance=false",
                "--network=none",
                "--tag",
            ])
            .arg(&name)
            .arg("--file")
            .arg(&file);
        target.iter().for_each(|target| {
            command.arg("--target").arg(target);
        });
        args.iter().for_each(|(name, value)| {
            command.arg("--build-arg").arg(format!("{name}={value}"));
        });
        command.args(options).arg(context);
        self.built(&name, command)
    }

    /// What Compose makes of the project in a folder.
    pub fn compose(&self, folder: &Path) -> Value {
        let mut compose = self.docker();
        compose
            .args(["compose", "--file"])
            .arg(folder.join("compose.yml"))
            .args(["--profile", "*", "config", "--format", "json"]);
        serde_json::from_str(&output(&mut compose)).unwrap()
    }

    /// Builds what the configuration of a checkout says, by the devcontainer CLI.
    pub fn build_with_cli(&self, clone: &Path) -> Result<Build, String> {
        let number = self.builds.fetch_add(1, Ordering::Relaxed);
        let name = format!("hearth-test/build:{number}");
        let mut command = Command::new("devcontainer");
        command
            .args(["build", "--image-name", &name, "--workspace-folder"])
            .arg(clone)
            .env("PATH", path())
            .env("DOCKER_HOST", self.vm.docker_host())
            .env("DOCKER_CONFIG", self.vm.dir().join("config"))
            .env("BUILDKIT_PROGRESS", "plain")
            .stdin(Stdio::null());
        self.built(&name, command)
    }

    /// What `command`, which builds the image `name`, made.
    fn built(&self, name: &str, mut command: Command) -> Result<Build, String> {
        let result = command.output().unwrap();
        let log = String::from_utf8_lossy(&result.stderr).into_owned();
        if !result.status.success() {
            return Err(log);
        }
        let format = "{{json .RootFS}} {{json .Config}}";
        let mut inspect = self.docker();
        inspect.args(["image", "inspect", "--format", format, name]);
        Ok(Build {
            name: name.to_owned(),
            image: output(&mut inspect),
            ran: steps_that_ran(&log),
            log,
        })
    }

    /// Forgets all builds.
    pub fn forget(&self) {
        let mut list = self.docker();
        let format = "{{.Repository}}:{{.Tag}}";
        list.args(["image", "ls", "--format", format, "hearth-test/build"]);
        let built = output(&mut list);
        if !built.is_empty() {
            let mut remove = self.docker();
            remove.args(["image", "rm", "--force"]).args(built.lines());
            output(&mut remove);
        }
        let mut prune = self.docker();
        output(prune.args(["builder", "prune", "--all", "--force"]));
    }

    pub fn image_digest(&self, reference: &str) -> Result<Digest, String> {
        let image = self.images.get(reference).ok_or("not in this engine")?;
        image["Id"]
            .as_str()
            .unwrap_or_default()
            .parse()
            .map_err(|error| format!("{error}"))
    }

    pub fn image_facts(&self, reference: &str) -> Result<ImageFacts, String> {
        let config = &self.images.get(reference).ok_or("not in this engine")?["Config"];
        let texts = |value: &Value| -> Vec<String> {
            value
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .map(str::to_owned)
                .collect()
        };
        Ok(ImageFacts {
            environment: texts(&config["Env"])
                .iter()
                .filter_map(|variable| variable.split_once('='))
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
            onbuild: texts(&config["OnBuild"]),
        })
    }
}

/// Steps that ran. A step of the Dockerfile is `#5 [stage 2/3] COPY …`, and `#5 CACHED` where it did not run. FROM and
/// BuildKit's internal steps are not looked at. An ADD of a URL shows as two steps of one text: the download, which is
/// looked at every time, and the copying, which may be cached.
fn steps_that_ran(log: &str) -> BTreeSet<String> {
    let mut texts: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for line in log.lines() {
        let Some((number, step)) = line.split_once(' ') else {
            continue;
        };
        let is_from = step
            .split_once("] ")
            .is_some_and(|(_, text)| text.starts_with("FROM "));
        if step.starts_with('[') && !step.starts_with("[internal]") && !is_from {
            texts.entry(step).or_default().push(number);
        }
    }
    let cached = |number: &&str| log.lines().any(|line| line == format!("{number} CACHED"));
    texts.retain(|_, numbers| !numbers.iter().any(cached));
    texts.into_keys().map(str::to_owned).collect()
}

fn output(command: &mut Command) -> String {
    let result = command
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output();
    let result = result.unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(result.status.success(), "{command:?} failed");
    String::from_utf8_lossy(&result.stdout).into_owned()
}
