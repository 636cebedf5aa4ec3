//! How long an image takes from a registry on loopback into an empty engine: by the engine's pull, by hearth, and as a
//! limit by `gzip` or `zstd` and `tar` for all layers at once, from files.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};

use hearth_layers::{Importer, Near};
use hearth_tests::{Registry, Vm, process::path};

use crate::{
    cpu_seconds,
    layer_images::{Encoding, Files, Image, push, small_files},
    median, memory_mib,
};

const MIB: u64 = 1024 * 1024;

pub async fn run(rounds: usize) {
    let dir = tempfile::tempdir_in("/dev/shm").expect("a folder");
    // Where what is written is measured.
    let roots = std::env::var_os("HEARTH_BENCH_DISK");
    let roots = tempfile::tempdir_in(roots.unwrap_or_else(|| "/dev/shm".into())).expect("a folder");
    let share = if std::env::var_os("HEARTH_BENCH_WHOLE").is_some() {
        1
    } else {
        4
    };
    let registry = Registry::start(dir.path().join("registry"));
    println!(
        "\nAn image into an empty engine, seconds (medians of {rounds}, in turns, engines in {}, sizes divided by {share})\n",
        roots.path().display()
    );
    println!(
        "| image | docker pull | hearth | {{gzip,zstd}} -dc \\| tar x | pull / hearth | hearth / tar | hearth's CPU | hearth's peak MiB |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- |");
    for (what, archives) in images(dir.path(), share) {
        for encoding in Encoding::ALL {
            let image = push(&registry, &archives, encoding).await;
            let row = compare(&image, roots.path(), rounds).await;
            println!("| {what}, {} | {row}", encoding.name());
            for blob in &image.blobs {
                std::fs::remove_file(blob).expect("a file");
            }
        }
        for archive in &archives {
            std::fs::remove_file(archive).expect("a file");
        }
    }
}

/// Kinds of images: what they are like, and archives of their layers.
fn images(dir: &Path, share: u64) -> impl Iterator<Item = (&'static str, Vec<PathBuf>)> {
    let archive = |number: usize| dir.join(format!("{number}.tar"));
    let of_sizes = move |sizes: &[u64]| {
        let mut files = Files::of_machine();
        let archives = sizes.iter().enumerate().map(|(number, bytes)| {
            files.archive(bytes / share, &archive(number));
            archive(number)
        });
        archives.collect::<Vec<_>>()
    };
    let dir = dir.to_owned();
    let many = usize::try_from(200_000 / share).expect("a number");
    [
        "toolchain",
        "one dominant layer",
        "100 small layers",
        "200,000 small files",
    ]
    .into_iter()
    .map(move |what| {
        let archives = match what {
            "toolchain" => of_sizes(&[80, 120, 700, 200, 100].map(|size| size * MIB)),
            "one dominant layer" => of_sizes(&[30 * MIB, 800 * MIB]),
            "100 small layers" => of_sizes(&[4 * MIB; 100]),
            _ => {
                let archive = dir.join("0.tar");
                small_files(many, &archive);
                vec![archive]
            }
        };
        (what, archives)
    })
}

async fn compare(image: &Image, roots: &Path, rounds: usize) -> String {
    let (mut theirs, mut ours, mut limit) = (Vec::new(), Vec::new(), Vec::new());
    let (mut cpu, mut memory) = (Vec::new(), 0.0_f64);
    for _ in 0..rounds {
        let vm = Vm::start(roots.join("vm"));
        let began = Instant::now();
        vm.docker(&["pull", "--quiet", &image.name]);
        theirs.push(began.elapsed().as_secs_f64());
        drop(vm);
        let vm = Vm::start(roots.join("vm"));
        let (seconds, processor, peak) = import_apart(&vm, &image.name);
        ours.push(seconds);
        cpu.push(processor);
        memory = memory.max(peak);
        drop(vm);
        limit.push(by_tar(image, &roots.join("tar")));
    }
    let (theirs, ours, limit) = (median(theirs), median(ours), median(limit));
    format!(
        "{theirs:.2} | {ours:.2} | {limit:.2} | {:.1} | {:.2} | {:.2} | {memory:.0} |",
        theirs / ours,
        ours / limit,
        median(cpu)
    )
}

/// Imports in a process of its own, whose memory is that of the import.
fn import_apart(vm: &Vm, image: &str) -> (f64, f64, f64) {
    let output = Command::new(std::env::current_exe().expect("a program"))
        .arg("import-image")
        .arg(vm.dir().join("containerd.sock"))
        .arg(image)
        .stderr(Stdio::inherit())
        .output()
        .expect("this program");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let numbers: Vec<f64> = said
        .split_whitespace()
        .filter_map(|number| number.parse().ok())
        .collect();
    let [seconds, processor, peak] = numbers[..] else {
        panic!("the import has failed: {said}");
    };
    (seconds, processor, peak)
}

/// What [`import_apart`] starts: prints seconds, processor time and peak memory.
pub async fn import_image(socket: &str, image: &str) {
    let importer = Importer::new(Path::new(socket), "linux/amd64");
    let began = Instant::now();
    let imported = importer.import(image, None, Near::default(), |_| {}).await;
    let seconds = began.elapsed().as_secs_f64();
    imported.expect("an image");
    let own = std::process::id();
    println!(
        "{seconds} {} {}",
        cpu_seconds(own),
        memory_mib(own, "VmHWM:")
    );
}

/// All layers at once, each into a folder of its own.
fn by_tar(image: &Image, folder: &Path) -> f64 {
    std::fs::create_dir(folder).expect("a folder");
    let began = Instant::now();
    let layers: Vec<_> = image
        .blobs
        .iter()
        .enumerate()
        .map(|(number, blob)| {
            let into = folder.join(number.to_string());
            std::fs::create_dir(&into).expect("a folder");
            let decoder = image.encoding.decoder();
            Command::new("sh")
                .env("PATH", path())
                .args(["-c", "\"$1\" -dc \"$2\" | tar -x -C \"$3\"", "sh", decoder])
                .arg(blob)
                .arg(into)
                .spawn()
                .expect("sh")
        })
        .collect();
    for mut layer in layers {
        assert!(layer.wait().expect("sh").success());
    }
    let seconds = began.elapsed().as_secs_f64();
    std::fs::remove_dir_all(folder).expect("a folder");
    seconds
}
