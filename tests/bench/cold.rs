//! From a build to an image that runs, on the containerd store: what the export adds, by the way in which it is written.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::Stdio,
    time::Instant,
};

use hearth_tests::{Registry, Vm};

use crate::median;

/// Large files, some of them like text, and 50,000 small ones.
const STEPS: &str = "\
RUN for n in $(seq 250); do head -c 1000000 /dev/urandom > /r$n; seq $n 150000 > /t$n; done
RUN for d in $(seq 500); do mkdir /d$d && for n in $(seq 100); do echo $d.$n > /d$d/$n; done; done
RUN for n in $(seq 40); do head -c 1000000 /dev/urandom > /u$n; seq $n 150000 > /v$n; done
RUN for n in $(seq 40); do head -c 1000000 /dev/urandom > /w$n; seq $n 150000 > /x$n; done
";

/// Ways to write the image.
const WAYS: [(&str, &[&str]); 6] = [
    (
        "zstd",
        &[
            "--output",
            "type=image,name=app,compression=zstd,oci-mediatypes=true",
        ],
    ),
    (
        "zstd, level 1",
        &[
            "--output",
            "type=image,name=app,compression=zstd,compression-level=1,oci-mediatypes=true",
        ],
    ),
    (
        "uncompressed",
        &[
            "--output",
            "type=image,name=app,compression=uncompressed,oci-mediatypes=true",
        ],
    ),
    (
        "uncompressed, not unpacked",
        &[
            "--output",
            "type=image,name=app,compression=uncompressed,oci-mediatypes=true,unpack=false",
        ],
    ),
    (
        "gzip",
        &[
            "--output",
            "type=image,name=app,compression=gzip,oci-mediatypes=true",
        ],
    ),
    ("--load", &["--load", "--tag", "app"]),
];

/// One build.
struct Built {
    /// From its begin to the end of a first container.
    seconds: f64,
    exporting: f64,
    unpacking: f64,
    /// Processor time of the engine itself, and not of the steps.
    cpu: f64,
    stored_mib: f64,
}

pub async fn run(rounds: usize) {
    let dir = tempfile::tempdir_in("/dev/shm").expect("a folder");
    let registry = Registry::start(dir.path().join("registry"));
    let pusher = Vm::start(dir.path().join("pusher"));
    let base = registry.tiny_base(&pusher).await;
    drop(pusher);
    let dockerfile = format!("FROM {base}\n{STEPS}");
    for (place, parent) in [
        ("tmpfs", dir.path().to_path_buf()),
        ("disk", std::env::temp_dir()),
    ] {
        println!(
            "\nFrom a build to a first container, seconds (medians of {rounds}, in turns), engine on {place}\n"
        );
        println!(
            "| layers | all | exporting | unpacking | the engine's CPU | content store, MiB |"
        );
        println!("| --- | --- | --- | --- | --- | --- |");
        let mut ways: Vec<Vec<Built>> = WAYS.iter().map(|_| Vec::new()).collect();
        for _ in 0..rounds {
            for ((_, output), built) in WAYS.iter().zip(&mut ways) {
                let folder = tempfile::tempdir_in(&parent).expect("a folder");
                built.push(build(folder.path().join("vm"), &base, &dockerfile, output));
            }
        }
        for ((name, _), built) in WAYS.iter().zip(&ways) {
            let of = |value: fn(&Built) -> f64| median(built.iter().map(value).collect());
            println!(
                "| {name} | {:.1} | {:.1} | {:.1} | {:.1} | {:.0} |",
                of(|built| built.seconds),
                of(|built| built.exporting),
                of(|built| built.unpacking),
                of(|built| built.cpu),
                of(|built| built.stored_mib),
            );
        }
    }
}

/// Builds in an empty engine that has the base image.
fn build(dir: PathBuf, base: &str, dockerfile: &str, output: &[&str]) -> Built {
    let vm = Vm::start(dir);
    vm.docker(&["pull", "--quiet", base]);
    let before = engine_cpu(&vm);
    let began = Instant::now();
    let mut build = vm
        .command()
        .args([
            "buildx",
            "build",
            "--progress",
            "plain",
            "--provenance=false",
        ])
        .args(output)
        .arg("-")
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("docker");
    let mut stdin = build.stdin.take().expect("a pipe");
    stdin.write_all(dockerfile.as_bytes()).expect("a pipe");
    drop(stdin);
    let ended = build.wait_with_output().expect("docker");
    let log = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "{log}");
    vm.docker(&["run", "--rm", "app", "true"]);
    Built {
        seconds: began.elapsed().as_secs_f64(),
        exporting: told(&log, " exporting layers "),
        unpacking: told(&log, " unpacking to "),
        cpu: engine_cpu(&vm) - before,
        stored_mib: bytes(&vm.dir().join("containerd/io.containerd.content.v1.content"))
            / f64::from(1 << 20),
    }
}

/// The seconds that BuildKit tells of a part: `#9 exporting layers 1.2s done`.
fn told(log: &str, part: &str) -> f64 {
    let lines = log.lines().filter(|line| line.contains(part));
    let seconds = lines.filter_map(|line| {
        let word = line.strip_suffix(" done")?.rsplit(' ').next()?;
        word.strip_suffix('s')?.parse::<f64>().ok()
    });
    seconds.fold(0.0, f64::max)
}

/// Processor time of the engine's two processes, without what they started.
fn engine_cpu(vm: &Vm) -> f64 {
    let own = vm.run_dir();
    let (own, dir) = (own.display().to_string(), vm.dir().display().to_string());
    let processes = std::fs::read_dir("/proc").expect("processes");
    let ticks = processes.flatten().filter_map(|process| {
        let command = std::fs::read_to_string(process.path().join("cmdline")).ok()?;
        let (program, args) = command.split_once('\0')?;
        let name = Path::new(program).file_name()?.to_str()?;
        let is_engine = ["dockerd", "containerd"].contains(&name);
        if !is_engine || !(args.contains(&own) || args.contains(&dir)) {
            return None;
        }
        let stat = std::fs::read_to_string(process.path().join("stat")).ok()?;
        let (_, fields) = stat.rsplit_once(") ")?;
        let times = fields.split(' ').skip(11).take(2);
        Some(
            times
                .filter_map(|ticks| ticks.parse::<f64>().ok())
                .sum::<f64>(),
        )
    });
    ticks.sum::<f64>() / 100.0
}

/// Bytes of all files below a folder.
fn bytes(folder: &Path) -> f64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => bytes(&entry.path()),
            #[expect(clippy::cast_precision_loss, reason = "shown in MiB")]
            Ok(metadata) => metadata.len() as f64,
            Err(_) => 0.0,
        })
        .sum()
}
