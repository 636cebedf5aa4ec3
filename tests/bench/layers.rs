//! How long an image takes from a registry on loopback into an empty engine: by the engine's pull, and by hearth.

use std::{
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
    time::Instant,
};

use hearth_layers::{Importer, Near};
use hearth_tests::{Registry, Vm, process::path};

use crate::{median, memory_mib};

/// Kinds of images: a name, and a Dockerfile that makes one from the base image.
const IMAGES: [(&str, &str); 3] = [
    (
        "one large layer",
        "RUN for n in $(seq 300); do head -c 1000000 /dev/urandom > /r$n; seq $n 150000 > /t$n; done\n",
    ),
    (
        "six layers",
        "RUN for n in $(seq 60); do head -c 1000000 /dev/urandom > /a$n; seq $n 150000 > /b$n; done\n\
         RUN for n in $(seq 60); do head -c 1000000 /dev/urandom > /c$n; seq $n 150000 > /d$n; done\n\
         RUN for n in $(seq 60); do head -c 1000000 /dev/urandom > /e$n; seq $n 150000 > /f$n; done\n\
         RUN for n in $(seq 60); do head -c 1000000 /dev/urandom > /g$n; seq $n 150000 > /h$n; done\n\
         RUN for n in $(seq 60); do head -c 1000000 /dev/urandom > /i$n; seq $n 150000 > /j$n; done\n",
    ),
    (
        "50,000 small files",
        "RUN for d in $(seq 500); do mkdir /d$d && for n in $(seq 100); do echo $d.$n > /d$d/$n; done; done\n",
    ),
];

pub async fn run(rounds: usize) {
    let dir = tempfile::tempdir_in("/dev/shm").expect("a folder");
    let registry = Registry::start(dir.path().join("registry"));
    let pusher = Vm::start(dir.path().join("pusher"));
    let base = registry.tiny_base(&pusher).await;
    let mut images = Vec::new();
    for (number, (what, steps)) in IMAGES.iter().enumerate() {
        for compression in ["gzip", "zstd"] {
            let tag = format!("{}/image:{number}-{compression}", registry.host());
            let digest = build(
                &pusher,
                dir.path(),
                &format!("FROM {base}\n{steps}"),
                &tag,
                compression,
            );
            let repository = format!("{}/image", registry.host());
            images.push((
                format!("{what}, {compression}"),
                format!("{repository}@{digest}"),
            ));
        }
    }
    drop(pusher);
    println!(
        "\nAn image into an empty engine, seconds (medians of {rounds}, in turns, all on tmpfs)\n"
    );
    println!("| image | docker pull | hearth | ratio |");
    println!("| --- | --- | --- | --- |");
    for (what, image) in &images {
        let (mut theirs, mut ours) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            let vm = Vm::start(dir.path().join("vm"));
            let began = Instant::now();
            vm.docker(&["pull", "--quiet", image]);
            theirs.push(began.elapsed().as_secs_f64());
            drop(vm);
            let vm = Vm::start(dir.path().join("vm"));
            let importer = Importer::new(&vm.dir().join("containerd.sock"), "linux/amd64");
            let began = Instant::now();
            let imported = importer.import(image, None, Near::default(), |_| {}).await;
            ours.push(began.elapsed().as_secs_f64());
            imported.expect("an image");
            drop(vm);
        }
        let (theirs, ours) = (median(theirs), median(ours));
        println!(
            "| {what} | {theirs:.2} | {ours:.2} | {:.1} |",
            theirs / ours
        );
    }
    println!(
        "\nhearth's peak memory: {:.0} MiB",
        memory_mib(std::process::id(), "VmHWM:")
    );
}

/// Builds an image with layers of one compression into the registry, and returns its digest.
fn build(vm: &Vm, dir: &Path, dockerfile: &str, tag: &str, compression: &str) -> String {
    let metadata = dir.join("metadata.json");
    let output = format!(
        "type=image,name={tag},push=true,compression={compression},force-compression=true,oci-mediatypes=true"
    );
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
