use std::{
    fs::{File, TryLockError},
    io,
    path::Path,
    time::Duration,
};

/// How long a process that ends may still hold its lock.
const HANDOVER: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(100);

/// A file is not locked.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process has it.
    #[error("another process has locked it")]
    InUse,
    /// It cannot be made or locked.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Locks a file until what is returned is dropped, or the process ends in any way. The file stays.
pub async fn lock_file(path: &Path) -> Result<File, LockError> {
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)?;
    let end = tokio::time::Instant::now() + HANDOVER;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if tokio::time::Instant::now() < end => {
                tokio::time::sleep(POLL).await;
            }
            Err(TryLockError::WouldBlock) => return Err(LockError::InUse),
            Err(TryLockError::Error(cause)) => return Err(cause.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_file_is_locked_by_one_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let first = lock_file(&path).await.unwrap();
        assert!(matches!(lock_file(&path).await, Err(LockError::InUse)));
        drop(first);
        lock_file(&path).await.unwrap();
        assert!(matches!(
            lock_file(&folder.path().join("none/lock")).await,
            Err(LockError::Io(_))
        ));
    }
}
