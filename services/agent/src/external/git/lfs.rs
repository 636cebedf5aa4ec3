use std::{io::Read as _, path::Path};

use hearth_runtime::blocking;

use super::command::Commands;
use crate::clone_files::CloneFiles;

/// What a file of Git LFS begins with until its content is fetched.
const POINTER: &[u8] = b"version https://git-lfs";
/// Files that are looked at.
const MAX_FILES: usize = 100;

/// A warning if the clone has pointers of Git LFS. They are left as they are on every node, with or without git-lfs: the
/// cache key counts them.
pub(super) async fn pointers(commands: &Commands<'_>, folder: &Path) -> Option<String> {
    let (_, listed, _) = commands
        .git()
        .dir(folder)
        .args(["ls-files", "-z", "--", ":(attr:filter=lfs)"])
        .run_to_end(&mut |_| {})
        .await
        .ok()?;
    let count = listed.split_terminator('\0').count();
    let others = match count {
        0 => return None,
        1 => String::new(),
        count => format!(" and {} more", count - 1),
    };
    let folder = folder.to_owned();
    let first = blocking(move || {
        let clone = CloneFiles::open(&folder).ok()?;
        let mut looked_at = listed.split_terminator('\0').take(MAX_FILES);
        let first = looked_at.find(|file| is_pointer(&clone, Path::new(file)));
        first.map(str::to_owned)
    })
    .await?;
    Some(format!(
        "the content of {first}{others} is in Git LFS, which hearth does not fetch: run `git lfs pull` in the workspace \
         or in a hook"
    ))
}

fn is_pointer(clone: &CloneFiles, file: &Path) -> bool {
    let mut start = [0; POINTER.len()];
    let file = clone.open_file(file);
    file.is_ok_and(|mut file| file.read_exact(&mut start).is_ok()) && start == POINTER
}
