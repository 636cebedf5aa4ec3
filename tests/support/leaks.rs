//! Searches everything that a run leaves behind, and the arguments of every process, for secrets.

use std::{
    collections::HashSet,
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use aho_corasick::AhoCorasick;
use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};

/// Secrets in all the forms in which they could be written down.
pub struct Secrets {
    names: Vec<String>,
    automaton: AhoCorasick,
}

impl Secrets {
    /// Secrets, each with its name in findings.
    pub fn new(secrets: impl IntoIterator<Item = (String, String)>) -> Self {
        let mut names = Vec::new();
        let mut forms = Vec::new();
        for (name, secret) in secrets {
            assert!(secret.len() >= 12, "{name} is too short to be told apart");
            for (form, text) in forms_of(&secret) {
                names.push(format!("{name} ({form})"));
                forms.push(text);
            }
        }
        assert!(!forms.is_empty(), "there is nothing to look for");
        let automaton = AhoCorasick::new(&forms).expect("an automaton");
        Self { names, automaton }
    }

    /// Where any of them is: below `roots`, compressed files included, but not below `except`.
    pub fn find_in_files(&self, roots: &[PathBuf], except: &[PathBuf]) -> Vec<String> {
        let mut found = Vec::new();
        for root in roots {
            self.walk(root, except, &mut found);
        }
        found
    }

    /// Which of them are in `text`, called `what` in the findings.
    pub fn find_in(&self, what: &str, text: &[u8]) -> Vec<String> {
        self.automaton
            .find_iter(text)
            .map(|hit| format!("{} in {what}", self.names[hit.pattern().as_usize()]))
            .collect()
    }

    fn walk(&self, path: &Path, except: &[PathBuf], found: &mut Vec<String>) {
        if except.iter().any(|except| except == path) {
            return;
        }
        let Ok(meta) = fs::symlink_metadata(path) else {
            return;
        };
        found.extend(self.find_in(
            "a file's name",
            path.file_name().unwrap_or_default().as_encoded_bytes(),
        ));
        if meta.is_dir() {
            for entry in fs::read_dir(path).into_iter().flatten().flatten() {
                self.walk(&entry.path(), except, found);
            }
        } else if meta.is_file() {
            // Engines are at work: a file may be gone by now.
            let Ok(file) = File::open(path) else { return };
            self.stream(file, path, found);
            if let Some(mut content) = decompressed(path) {
                let stdout = content.stdout.take().expect("a pipe");
                self.stream(stdout, path, found);
                content.wait().expect("zstd ends");
            }
        }
    }

    fn stream(&self, reader: impl Read, path: &Path, found: &mut Vec<String>) {
        let hits = self.automaton.stream_find_iter(io::BufReader::new(reader));
        for hit in hits.map_while(Result::ok) {
            let name = &self.names[hit.pattern().as_usize()];
            found.push(format!("{name} in {}", path.display()));
        }
    }
}

/// A secret as it is, and as part of a text in base64, such as `user:password` of a login: the position in that text
/// modulo 3 gives three forms.
fn forms_of(secret: &str) -> Vec<(String, String)> {
    let mut forms = vec![("as it is".to_owned(), secret.to_owned())];
    for before in 0..3 {
        let text = format!("{}{secret}", "x".repeat(before));
        let encoded = STANDARD_NO_PAD.encode(&text);
        // The digits at both ends depend on what stands beside the secret.
        let begin = [0, 2, 3][before];
        let end = text.len() * 8 / 6;
        forms.push(("in base64".to_owned(), encoded[begin..end].to_owned()));
    }
    forms
}

/// The content of a compressed file, as layers are.
fn decompressed(path: &Path) -> Option<std::process::Child> {
    let mut magic = [0; 4];
    File::open(path).ok()?.read_exact(&mut magic).ok()?;
    let is_compressed = magic == [0x28, 0xb5, 0x2f, 0xfd] || magic[..2] == [0x1f, 0x8b];
    is_compressed.then(|| {
        Command::new("zstd")
            .args(["--decompress", "--stdout", "--quiet", "--force", "--"])
            .arg(path)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("zstd")
    })
}

/// Reads the arguments of all processes again and again, until it is stopped.
pub struct CommandLines {
    seen: Arc<Mutex<HashSet<Vec<u8>>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl CommandLines {
    pub fn watch() -> Self {
        let (seen, stop) = (Arc::default(), Arc::new(AtomicBool::new(false)));
        let thread = std::thread::spawn({
            let (seen, stop): (Arc<Mutex<HashSet<Vec<u8>>>>, _) =
                (Arc::clone(&seen), Arc::clone(&stop));
            move || {
                while !stop.load(Ordering::Relaxed) {
                    for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
                        if let Ok(line) = fs::read(process.path().join("cmdline")) {
                            seen.lock().expect("no panic").insert(line);
                        }
                    }
                    // Often enough to see most commands; the shortest are seen in some runs.
                    std::thread::sleep(Duration::from_millis(2));
                }
            }
        });
        Self {
            seen,
            stop,
            thread: Some(thread),
        }
    }

    /// All that were seen.
    pub fn stop(mut self) -> HashSet<Vec<u8>> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread
            .take()
            .expect("a thread")
            .join()
            .expect("its end");
        std::mem::take(&mut *self.seen.lock().expect("no panic"))
    }
}

impl Drop for CommandLines {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}
