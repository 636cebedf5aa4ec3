use std::{
    cell::Cell,
    fs,
    path::{Path, PathBuf},
    process,
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

/// An input that takes longer hangs. None of the targets takes a second on an idle machine.
const HANGS: Duration = Duration::from_secs(120);

/// Runs one target, and keeps the input that it was given last: a stack overflow or a hang ends the process without a
/// word.
pub struct Watch {
    target: fn(&[u8]),
    files: PathBuf,
    began: Arc<Mutex<Option<Instant>>>,
    runs: Cell<u64>,
    slowest: Cell<Duration>,
}

impl Watch {
    /// The files are `target/tmp/fuzz/NAME/{last,slowest,failed}`.
    pub fn over(name: &str, target: fn(&[u8])) -> Self {
        let files = Path::new(env!("CARGO_TARGET_TMPDIR"))
            .join("fuzz")
            .join(name);
        fs::create_dir_all(&files).unwrap();
        let began = Arc::new(Mutex::new(None::<Instant>));
        let (watched, last) = (began.clone(), files.join("last"));
        thread::spawn(move || {
            loop {
                thread::sleep(Duration::from_secs(1));
                if watched
                    .lock()
                    .unwrap()
                    .is_some_and(|began| began.elapsed() > HANGS)
                {
                    println!("the target hangs with {}", last.display());
                    process::abort();
                }
            }
        });
        println!("the last input is in {}", files.join("last").display());
        Self {
            target,
            files,
            began,
            runs: Cell::default(),
            slowest: Cell::default(),
        }
    }

    /// Runs the target with an input.
    pub fn run(&self, input: &[u8]) {
        fs::write(self.files.join("last"), input).unwrap();
        let began = Instant::now();
        *self.began.lock().unwrap() = Some(began);
        (self.target)(input);
        *self.began.lock().unwrap() = None;
        self.runs.set(self.runs.get() + 1);
        if began.elapsed() > self.slowest.get() {
            self.slowest.set(began.elapsed());
            fs::write(self.files.join("slowest"), input).unwrap();
        }
    }

    /// Keeps the smallest input that fails.
    pub fn keep(&self, input: &[u8]) {
        let file = self.files.join("failed");
        fs::write(&file, input).unwrap();
        println!("the target fails with {}", file.display());
    }

    /// How many inputs there were, and how long the slowest took.
    pub fn summary(&self) -> String {
        format!(
            "{} inputs, the slowest took {:?}",
            self.runs.get(),
            self.slowest.get()
        )
    }
}
