//! What this process logs, all of it.

use std::{
    io,
    sync::{Mutex, PoisonError},
};

use tracing_subscriber::{filter::LevelFilter, fmt, prelude::*};

static WRITTEN: Mutex<Vec<u8>> = Mutex::new(Vec::new());

struct Writer;

impl io::Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut written = WRITTEN.lock().unwrap_or_else(PoisonError::into_inner);
        written.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Keeps what is logged from now on.
pub fn capture() {
    let layer = fmt::layer().with_ansi(false).with_writer(|| Writer);
    // Another test of this process may have begun already.
    let _ = tracing_subscriber::registry()
        .with(layer.with_filter(LevelFilter::TRACE))
        .try_init();
}

/// What was logged since.
pub fn captured() -> String {
    let written = WRITTEN.lock().unwrap_or_else(PoisonError::into_inner);
    String::from_utf8_lossy(&written).into_owned()
}
