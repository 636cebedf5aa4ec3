//! What a push costs: by the engine and by hearth, of the same image in its store, and what it costs a job that needs all
//! processors.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};

use hearth_layers::{Outgoing, Pusher};
use hearth_tests::{Registry, Vm, process::path};

use crate::{cpu_seconds, median, memory_mib};

/// Three layers, each half noise and half text.
const STEPS: &str = "RUN for n in $(seq 40); do head -c 1000000 /dev/urandom > /a$n; seq $n 150000 > /b$n; done\n\
     RUN for n in $(seq 40); do head -c 1000000 /dev/urandom > /c$n; seq $n 150000 > /d$n; done\n\
     RUN for n in $(seq 40); do head -c 1000000 /dev/urandom > /e$n; seq $n 150000 > /f$n; done\n";
/// Rounds of a loop that takes some seconds.
const JOB: &str = "i=0; while [ $i -lt 3000000 ]; do i=$((i+1)); done";

pub async fn run(rounds: usize) {
    let dir = tempfile::tempdir_in("/dev/shm").expect("a folder");
    let registry = Registry::start(dir.path().join("registry"));
    let vm = Vm::start(dir.path().join("vm"));
    let base = registry.tiny_base(&vm).await;
    // As images are built: with zstd, on a base image with gzip.
    let built = build(
        &vm,
        dir.path(),
        &format!("FROM {base}\n{STEPS}"),
        "built:1",
        "compression=zstd",
    );
    let bench = Bench {
        dir: dir.path().to_owned(),
        vm,
        built,
    };
    let at_first = memory_mib(std::process::id(), "VmHWM:");
    println!(
        "\nThe push of an image of three layers, medians of {rounds}, in turns, all on tmpfs\n"
    );
    println!("| by | seconds | CPU seconds | MB in the registry |");
    println!("| --- | --- | --- | --- |");
    let (mut theirs, mut ours) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        theirs.push(bench.by_engine(round).await);
        ours.push(bench.by_hearth(round).await);
    }
    for (who, costs) in [("docker push", &theirs), ("hearth", &ours)] {
        let of = |what: fn(&Cost) -> f64| median(costs.iter().map(what).collect());
        println!(
            "| {who} | {:.2} | {:.2} | {:.0} |",
            of(|cost| cost.seconds),
            of(|cost| cost.cpu),
            of(|cost| cost.bytes / 1e6)
        );
    }
    let mut slower = Vec::new();
    for round in 0..rounds {
        let alone = job(&bench.vm, &base);
        let (beside, pushes) = bench.job_beside_pushes(round, &base).await;
        println!("(round {round}: {alone:.1} s alone, {beside:.1} s beside {pushes} pushes)");
        slower.push(beside / alone);
    }
    println!(
        "\nA job on all processors takes {:.2} times as long while hearth pushes.",
        median(slower)
    );
    println!(
        "hearth's peak memory: {:.0} MiB above what the process had before",
        memory_mib(std::process::id(), "VmHWM:") - at_first
    );
}

struct Bench {
    dir: PathBuf,
    vm: Vm,
    /// Its id in the engine.
    built: String,
}

struct Cost {
    seconds: f64,
    cpu: f64,
    bytes: f64,
}

impl Bench {
    async fn by_engine(&self, round: usize) -> Cost {
        let pid = std::fs::read_to_string(self.vm.dir().join("dockerd.pid")).expect("a file");
        let pid = pid.trim().parse().expect("a number");
        // A new one: the engine would have layers mounted from where it pushed them before.
        let registry = Registry::start(self.dir.join(format!("engine-{round}")));
        let tag = format!("{}/engine:1", registry.host());
        self.vm.docker(&["tag", &self.built, &tag]);
        let (began, before) = (Instant::now(), cpu_seconds(pid));
        self.vm.docker(&["push", "--quiet", &tag]);
        let (seconds, cpu) = (began.elapsed().as_secs_f64(), cpu_seconds(pid) - before);
        cost(&registry, "engine", seconds, cpu).await
    }

    async fn by_hearth(&self, round: usize) -> Cost {
        let registry = Registry::start(self.dir.join(format!("hearth-{round}")));
        let own = std::process::id();
        let (began, before) = (Instant::now(), cpu_seconds(own));
        self.push(&registry, "hearth").await;
        let (seconds, cpu) = (began.elapsed().as_secs_f64(), cpu_seconds(own) - before);
        cost(&registry, "hearth", seconds, cpu).await
    }

    async fn push(&self, registry: &Registry, name: &str) {
        let pusher = Pusher::new(&self.vm.dir().join("containerd.sock"), &self.dir, 0);
        let image = Outgoing {
            id: &self.built,
            repository: &format!("{}/{name}", registry.host()),
            tag: "1",
            like: None,
        };
        let pushed = pusher.push(&image, None, |_| {}).await;
        pushed.expect("a push");
    }

    /// Seconds of the job while images are pushed, and how many pushes began.
    async fn job_beside_pushes(&self, round: usize, base: &str) -> (f64, usize) {
        let registry = Registry::start(self.dir.join(format!("beside-{round}")));
        let (vm, base) = (self.vm.socket(), base.to_owned());
        let mut job = tokio::task::spawn_blocking(move || job_at(&vm, &base));
        let mut pushes = 0;
        loop {
            pushes += 1;
            let name = format!("beside-{pushes}");
            tokio::select! {
                seconds = &mut job => return (seconds.expect("a job"), pushes),
                () = self.push(&registry, &name) => {}
            }
        }
    }
}

async fn cost(registry: &Registry, name: &str, seconds: f64, cpu: f64) -> Cost {
    let manifest = registry.manifest(name, "1").await;
    let manifest: serde_json::Value = serde_json::from_str(&manifest).expect("JSON");
    let layers = manifest["layers"].as_array().expect("layers");
    let bytes = layers.iter().filter_map(|layer| layer["size"].as_f64());
    Cost {
        seconds,
        cpu,
        bytes: bytes.sum(),
    }
}

fn job(vm: &Vm, base: &str) -> f64 {
    job_at(&vm.socket(), base)
}

/// Seconds of a job that has a process on each processor, in containers.
fn job_at(socket: &Path, base: &str) -> f64 {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let began = Instant::now();
    let jobs = (0..processors).map(|_| {
        Command::new("docker")
            .env("PATH", path())
            .env("DOCKER_HOST", format!("unix://{}", socket.display()))
            .args(["run", "--rm", base, "sh", "-c", JOB])
            .stdout(Stdio::null())
            .spawn()
            .expect("docker")
    });
    for mut job in jobs.collect::<Vec<_>>() {
        assert!(job.wait().expect("docker").success());
    }
    began.elapsed().as_secs_f64()
}

/// Builds an image, by default into the engine's store, and returns its digest.
fn build(vm: &Vm, dir: &Path, dockerfile: &str, tag: &str, options: &str) -> String {
    let metadata = dir.join("metadata.json");
    let output = format!("type=image,name={tag},oci-mediatypes=true,{options}");
    let mut build = Command::new("docker")
        .env("PATH", path())
        .env("DOCKER_HOST", vm.docker_host())
        .args([
            "buildx",
            "build",
            "--quiet",
            "--provenance=false",
            "--output",
            &output,
        ])
        .arg("--metadata-file")
        .arg(&metadata)
        .arg("-")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("docker");
    let mut stdin = build.stdin.take().expect("a pipe");
    stdin.write_all(dockerfile.as_bytes()).expect("a pipe");
    drop(stdin);
    assert!(build.wait().expect("docker").success(), "{tag}");
    let metadata = std::fs::read(metadata).expect("a file");
    let metadata: serde_json::Value = serde_json::from_slice(&metadata).expect("JSON");
    metadata["containerimage.digest"]
        .as_str()
        .expect("a digest")
        .to_owned()
}
