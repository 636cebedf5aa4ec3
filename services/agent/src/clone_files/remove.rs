use std::{
    ffi::{OsStr, OsString},
    fs,
    io::{self, ErrorKind},
    path::Path,
};

use cap_std::{ambient_authority, fs::Dir};

/// Names that are kept in memory.
const MAX_AT_ONCE: usize = 100_000;

/// Removes a folder that commands of a repository have written to, with all that is in it. It is no error if there is none.
///
/// The standard library goes down a tree on the stack, with a file open for each level: a deep one would end the process,
/// or stay for ever. Here the folders of a folder are moved up to the top instead, until none is left. What cannot be
/// removed keeps nothing else from going.
pub fn remove_folder(path: &Path) -> io::Result<()> {
    let top = match Dir::open_ambient_dir(path, ambient_authority()) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        top => top?,
    };
    let mut moved = 0;
    loop {
        let mut pass = Pass {
            top: &top,
            moved: &mut moved,
            progress: false,
            failure: None,
        };
        for (name, is_folder) in names(&top)? {
            if is_folder {
                pass.flatten(&name)?;
            } else {
                pass.note(top.remove_file(&name));
            }
        }
        match pass.failure {
            _ if pass.progress => {}
            None => return fs::remove_dir(path),
            Some(error) => return Err(error),
        }
    }
}

struct Pass<'a> {
    top: &'a Dir,
    /// Folders that have got a name of ours.
    moved: &'a mut u64,
    progress: bool,
    failure: Option<io::Error>,
}

impl Pass<'_> {
    fn note(&mut self, result: io::Result<()>) {
        match result {
            Ok(()) => self.progress = true,
            Err(error) => {
                self.failure.get_or_insert(error);
            }
        }
    }

    /// Removes a folder of the top; the folders in it become folders of the top.
    fn flatten(&mut self, name: &OsStr) -> io::Result<()> {
        let folder = self.top.open_dir(name)?;
        for (inner, is_folder) in names(&folder)? {
            let result = if is_folder {
                self.move_up(&folder, &inner)
            } else {
                folder.remove_file(&inner)
            };
            self.note(result);
        }
        self.note(self.top.remove_dir(name));
        Ok(())
    }

    fn move_up(&mut self, folder: &Dir, name: &OsStr) -> io::Result<()> {
        loop {
            *self.moved += 1;
            let place = format!(".moved-{}", self.moved);
            match folder.rename(name, self.top, place) {
                // Something has this name.
                Err(error)
                    if matches!(
                        error.kind(),
                        ErrorKind::DirectoryNotEmpty
                            | ErrorKind::AlreadyExists
                            | ErrorKind::NotADirectory
                    ) => {}
                result => return result,
            }
        }
    }
}

/// Names in a folder, and which of them are folders. Of very many some: there is another pass.
fn names(folder: &Dir) -> io::Result<Vec<(OsString, bool)>> {
    folder
        .entries()?
        .take(MAX_AT_ONCE)
        .map(|entry| {
            let entry = entry?;
            Ok((entry.file_name(), entry.file_type()?.is_dir()))
        })
        .collect()
}
