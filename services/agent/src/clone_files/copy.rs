use std::{
    fmt::Display,
    io::{self, Read as _},
    os::unix::fs::PermissionsExt as _,
    path::Path,
};

use cap_std::{
    ambient_authority,
    fs::{Dir, File, OpenOptions, OpenOptionsExt as _},
};

use super::files::{CloneFiles, EntryKind, MAX_ENTRIES, check_count, or_root};

/// Most bytes that are copied: the most that a key is made of. A file without end, or one with holes, fills no disk.
const MAX_BYTES: u64 = 8 << 30;
/// A copy looks so often, in bytes, whether it is still needed.
const PIECE: u64 = 64 << 20;

/// A folder of the node that is made for files of a clone. Nothing is written through a link in it that leads out of it:
/// links come from the repository.
pub struct NewFolder {
    folder: Dir,
    bytes_left: u64,
    entries: usize,
}

impl NewFolder {
    /// Makes it.
    pub fn create(path: &Path) -> Result<Self, String> {
        std::fs::create_dir_all(path)
            .and_then(|()| Dir::open_ambient_dir(path, ambient_authority()))
            .map(|folder| Self {
                folder,
                bytes_left: MAX_BYTES,
                entries: 0,
            })
            .map_err(at(path))
    }

    /// Copies a folder of the clone; links are copied as links, as the CLI copies a feature.
    pub fn copy(&mut self, files: &CloneFiles, from: &Path, to: &Path) -> Result<(), String> {
        let mut folders = vec![(from.to_owned(), to.to_owned())];
        while let Some((from, to)) = folders.pop() {
            self.make_folder(&to)?;
            for entry in files.entries(&from).map_err(at(&from))? {
                self.entries += 1;
                check_count(self.entries, MAX_ENTRIES).map_err(at(&from))?;
                let (from, to) = (from.join(&entry.name), to.join(&entry.name));
                match entry.kind {
                    EntryKind::Folder { .. } => folders.push((from, to)),
                    EntryKind::Link { target } => {
                        self.make_room(&to)?;
                        self.folder.symlink_contents(target, &to).map_err(at(&to))?;
                    }
                    EntryKind::File { .. } => self.copy_file(files, &from, &to)?,
                }
            }
        }
        Ok(())
    }

    fn copy_file(&mut self, files: &CloneFiles, from: &Path, to: &Path) -> Result<(), String> {
        let source = files.open_file(from).map_err(at(from))?;
        let Some(left) = self.bytes_left.checked_sub(source.content.limit()) else {
            let limit = MAX_BYTES >> 30;
            return Err(at(from)(format!("with it there are more than {limit} GiB")));
        };
        self.bytes_left = left;
        let mut copy = self.new_file(to)?.into_std();
        let bytes = source.content.limit();
        // The kernel copies between files of the standard library by itself.
        let mut content = source.content.into_inner().into_std().take(bytes);
        while io::copy(&mut content.by_ref().take(PIECE), &mut copy).map_err(at(to))? > 0 {
            files.go_on().map_err(at(from))?;
        }
        copy.set_permissions(std::fs::Permissions::from_mode(source.mode))
            .map_err(at(to))
    }

    /// Writes a new file, in place of one or a link that was copied.
    pub fn write(&self, path: &Path, content: &[u8]) -> Result<(), String> {
        let mut file = self.new_file(path)?;
        io::Write::write_all(&mut file, content).map_err(at(path))
    }

    fn new_file(&self, path: &Path) -> Result<File, String> {
        self.make_folder(path.parent().unwrap_or(Path::new("")))?;
        self.make_room(path)?;
        let mut options = OpenOptions::new();
        // Some of them are secrets; a copy gets the mode of its original.
        options.write(true).create_new(true).mode(0o600);
        self.folder.open_with(path, &options).map_err(at(path))
    }

    fn make_folder(&self, path: &Path) -> Result<(), String> {
        self.folder.create_dir_all(or_root(path)).map_err(at(path))
    }

    fn make_room(&self, path: &Path) -> Result<(), String> {
        match self.folder.remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(at(path)(error)),
            _ => Ok(()),
        }
    }
}

fn at<E: Display>(path: &Path) -> impl Fn(E) -> String {
    move |error| format!("{}: {error}", path.display())
}
