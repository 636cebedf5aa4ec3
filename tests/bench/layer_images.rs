//! Images in a registry whose layers are of known sizes and encodings, with files of this machine: they compress like those
//! of other images.

use std::{
    fs::{self, File},
    io::{Read as _, Write as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use hearth_domain::Digest;
use hearth_tests::{Registry, curl};
use serde_json::json;

/// Bytes of the archive in a frame, as hearth pushes them.
const FRAME: usize = 256 * 1024;
const LEVEL: i32 = 3;
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// How the layers of an image are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    Gzip,
    /// One frame.
    Zstd,
    /// Many frames.
    Frames,
}

impl Encoding {
    pub const ALL: [Self; 3] = [Self::Gzip, Self::Zstd, Self::Frames];

    pub fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Frames => "zstd in frames",
        }
    }

    /// The program that decodes it.
    pub fn decoder(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zstd | Self::Frames => "zstd",
        }
    }

    fn encode(self, archive: &Path, blob: &Path) {
        let mut archive = File::open(archive).expect("an archive");
        let mut blob = File::create(blob).expect("a file");
        if self == Self::Frames {
            let mut chunk = Vec::new();
            loop {
                chunk.clear();
                (&mut archive)
                    .take(FRAME as u64)
                    .read_to_end(&mut chunk)
                    .expect("an archive");
                if chunk.is_empty() {
                    return;
                }
                let frame = zstd::bulk::compress(&chunk, LEVEL).expect("a frame");
                blob.write_all(&frame).expect("a file");
            }
        }
        let mut encode = Command::new(self.decoder());
        encode.arg("-c").stdin(archive).stdout(blob);
        if self == Self::Zstd {
            encode.arg(format!("-{LEVEL}"));
        }
        assert!(encode.status().expect("an encoder").success());
    }
}

/// Files of this machine, each of which is in one layer.
pub struct Files(std::vec::IntoIter<(u64, String)>);

impl Files {
    /// Those of `/usr`, folder by folder.
    pub fn of_machine() -> Self {
        let found = Command::new("find")
            .args(["/usr/lib", "/usr/bin", "/usr/include", "/usr/share"])
            .args(["-xdev", "-type", "f", "-size", "-40M"])
            .args(["-printf", "%s %p\\n"])
            .output();
        let found = String::from_utf8(found.expect("find").stdout).expect("text");
        let files: Vec<_> = found
            .lines()
            .filter_map(|line| line.split_once(' '))
            .map(|(size, path)| (size.parse().expect("a size"), path.to_owned()))
            .collect();
        Self(files.into_iter())
    }

    /// An archive of about so many bytes, with files that are in none before it.
    pub fn archive(&mut self, mut bytes: u64, archive: &Path) {
        let mut names = String::new();
        while bytes > 0 {
            let (size, path) = self.0.next().expect("/usr has too few files");
            bytes = bytes.saturating_sub(size + 1024);
            names.push_str(path.trim_start_matches('/'));
            names.push('\n');
        }
        tar(archive, Path::new("/"), &names);
    }
}

/// An archive of small files, a hundred in each folder.
pub fn small_files(count: usize, archive: &Path) {
    let dir = archive.with_extension("files");
    let mut names = String::new();
    for folder in 0..count / 100 {
        fs::create_dir_all(dir.join(folder.to_string())).expect("a folder");
        for number in 0..100 {
            let text = format!("{folder}.{number} ").repeat(20);
            fs::write(dir.join(format!("{folder}/{number}")), text).expect("a file");
        }
        names.push_str(&format!("{folder}\n"));
    }
    tar(archive, &dir, &names);
    fs::remove_dir_all(dir).expect("a folder");
}

fn tar(archive: &Path, from: &Path, names: &str) {
    let mut tar = Command::new("tar")
        .arg("-cf")
        .arg(archive)
        .arg("-C")
        .arg(from)
        .args(["--files-from", "-"])
        .stdin(Stdio::piped())
        .spawn()
        .expect("tar");
    let mut input = tar.stdin.take().expect("a pipe");
    input.write_all(names.as_bytes()).expect("a pipe");
    drop(input);
    assert!(tar.wait().expect("tar").success());
}

/// An image in a registry, and the blobs of its layers in files.
pub struct Image {
    pub name: String,
    pub encoding: Encoding,
    pub blobs: Vec<PathBuf>,
}

/// Pushes an image with these archives as layers.
pub async fn push(registry: &Registry, archives: &[PathBuf], encoding: Encoding) -> Image {
    let (mut layers, mut diff_ids, mut blobs) = (Vec::new(), Vec::new(), Vec::new());
    for archive in archives {
        let blob = archive.with_extension(format!("{encoding:?}"));
        encoding.encode(archive, &blob);
        diff_ids.push(digest(archive));
        let media_type = format!("{LAYER}+{}", encoding.decoder());
        layers.push(upload(registry, &blob, &media_type).await);
        blobs.push(blob);
    }
    let config = json!({
        "os": "linux", "architecture": "amd64", "config": {},
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
    });
    let config_file = archives[0].with_extension("config");
    fs::write(&config_file, config.to_string()).expect("a file");
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": upload(registry, &config_file, CONFIG).await,
        "layers": layers,
    });
    let manifest = manifest.to_string();
    let digest = Digest::of(&manifest);
    let url = format!("http://{}/v2/image/manifests/{digest}", registry.host());
    let put = curl::Request::new("PUT", &url)
        .header(&format!("Content-Type: {MANIFEST}"))
        .body(&manifest);
    let answer = put.send().await;
    assert_eq!(answer.status, 201, "{answer:?}");
    Image {
        name: format!("{}/image@{digest}", registry.host()),
        encoding,
        blobs,
    }
}

/// Uploads a file, and describes it.
async fn upload(registry: &Registry, file: &Path, media_type: &str) -> serde_json::Value {
    let digest = digest(file);
    let url = format!("http://{}/v2/image/blobs/uploads/", registry.host());
    let begun = curl::Request::new("POST", &url).body("").send().await;
    assert_eq!(begun.status, 202, "{begun:?}");
    let separator = if begun.headers["location"].contains('?') {
        '&'
    } else {
        '?'
    };
    let place = format!("{}{separator}digest={digest}", begun.headers["location"]);
    let put = curl::Request::new("PUT", &place)
        .header("Content-Type: application/octet-stream")
        .header("Expect:")
        .body(&format!("@{}", file.display()));
    let answer = put.send().await;
    assert_eq!(answer.status, 201, "{answer:?}");
    let size = fs::metadata(file).expect("a file").len();
    json!({"mediaType": media_type, "digest": digest, "size": size})
}

fn digest(file: &Path) -> String {
    let sum = Command::new("sha256sum").arg(file).output();
    let sum = String::from_utf8(sum.expect("sha256sum").stdout).expect("text");
    format!("sha256:{}", &sum[..64])
}
