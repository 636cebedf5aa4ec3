//! Copies between this machine and a workspace. What comes from there is not believed: a name is one part of a path, and
//! nothing is written through a link.

use std::{
    collections::BTreeSet,
    ffi::{OsStr, OsString},
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::{
        ffi::{OsStrExt as _, OsStringExt as _},
        fs::{OpenOptionsExt as _, PermissionsExt as _, symlink},
    },
    path::{Path, PathBuf},
};

use bytes::Bytes;
use rustix::fs::OFlags;

use super::sftp::{Answer, Attributes, Request, Sftp, is_end, refused};
use crate::{
    args::{CpArgs, Place},
    commands::Context,
    error::CliError,
    exit::Exit,
    out,
};

/// Bytes of one request for data, and requests that are under way.
const PIECE: u32 = 32 * 1024;
const UNDER_WAY: usize = 32;
/// Folders within folders.
const DEEPEST: usize = 200;

/// `hearth cp`
pub(crate) async fn cp(context: &Context, args: &CpArgs) -> Result<Exit, CliError> {
    match (&args.from, &args.to) {
        (Place::Workspace { id, path }, Place::Local(to)) => {
            let sftp = Sftp::open(context, id.to_string(), args.user.clone()).await?;
            Copy { sftp }.download(path.as_bytes(), to).await
        }
        (Place::Local(from), Place::Workspace { id, path }) => {
            let sftp = Sftp::open(context, id.to_string(), args.user.clone()).await?;
            Copy { sftp }.upload(from, path.as_bytes()).await
        }
        _ => Err(CliError::Usage(
            "one of the two has to be in a workspace, as ID:PATH, and the other one here\n  a local path with a colon begins with ./"
                .to_owned(),
        )),
    }
}

struct Copy<'a> {
    sftp: Sftp<'a>,
}

/// A failure that names a file of this machine.
fn local(path: &Path) -> impl Fn(io::Error) -> CliError {
    let path = path.display().to_string();
    move |error| CliError::Local(anyhow::anyhow!("{path}: {error}"))
}

fn shown(path: &[u8]) -> String {
    hearth_domain::text::printable_line(&String::from_utf8_lossy(path))
}

fn joined(folder: &[u8], name: &[u8]) -> Vec<u8> {
    [folder.strip_suffix(b"/").unwrap_or(folder), b"/", name].concat()
}

/// The last part of a path.
fn last(path: &[u8]) -> Option<&OsStr> {
    Path::new(OsStr::from_bytes(path)).file_name()
}

impl Copy<'_> {
    async fn download(mut self, from: &[u8], to: &Path) -> Result<Exit, CliError> {
        let what = shown(from);
        let found = self.sftp.look(from, true, &what).await?;
        let found = found.ok_or_else(|| {
            CliError::Local(anyhow::anyhow!(
                "{what}: there is no such file in the workspace"
            ))
        })?;
        // Into a folder that is there, as of cp.
        let to = match (to.is_dir(), last(from)) {
            (true, Some(name)) => to.join(name),
            _ => to.to_owned(),
        };
        self.fetch(from.to_vec(), to, found).await?;
        Ok(Exit::Ok)
    }

    /// Fetches a tree, folder by folder.
    async fn fetch(
        &mut self,
        from: Vec<u8>,
        to: PathBuf,
        found: Attributes,
    ) -> Result<(), CliError> {
        let mut left = vec![(from, to, found, 0)];
        while let Some((from, to, found, depth)) = left.pop() {
            if found.is_folder() {
                make_folder(&to)?;
                if depth == DEEPEST {
                    return Err(CliError::Local(anyhow::anyhow!(
                        "{}: is too deep",
                        shown(&from)
                    )));
                }
                for (name, attributes) in self.entries(&from).await? {
                    let to = to.join(OsString::from_vec(name.to_vec()));
                    left.push((joined(&from, &name), to, attributes, depth + 1));
                }
            } else if found.is_link() {
                self.fetch_link(&from, &to).await?;
            } else if found.is_file() {
                self.fetch_file(&from, &to, found).await?;
            } else {
                out::note(&format!(
                    "hearth: {} is no file, folder or link, and left out",
                    shown(&from)
                ));
            }
        }
        Ok(())
    }

    async fn entries(&mut self, folder: &[u8]) -> Result<Vec<(Bytes, Attributes)>, CliError> {
        let what = shown(folder);
        let handle = self
            .sftp
            .open_handle(Request::new(11).text(folder), &what)
            .await?;
        let (mut entries, mut seen) = (Vec::new(), BTreeSet::new());
        loop {
            match self.sftp.ask(Request::new(12).text(&handle)).await? {
                Answer::Names(names) if !names.is_empty() => {
                    for (name, attributes) in names {
                        if &name[..] == b"." || &name[..] == b".." {
                            continue;
                        }
                        let is_one =
                            !name.is_empty() && !name.iter().any(|byte| [b'/', 0].contains(byte));
                        if !is_one || !seen.insert(name.clone()) {
                            return Err(CliError::Local(anyhow::anyhow!(
                                "{what}: the workspace says that there is {:?} in it, which no folder has; nothing more is copied",
                                shown(&name)
                            )));
                        }
                        entries.push((name, attributes));
                    }
                }
                answer if is_end(&answer) => break,
                answer => return Err(refused(&what, answer)),
            }
        }
        self.sftp.close(&handle, &what).await?;
        Ok(entries)
    }

    async fn fetch_link(&mut self, from: &[u8], to: &Path) -> Result<(), CliError> {
        let what = shown(from);
        let target = match self.sftp.ask(Request::new(19).text(from)).await? {
            Answer::Names(names) if names.len() == 1 => names[0].0.clone(),
            answer => return Err(refused(&what, answer)),
        };
        // It is kept, and nothing follows it here.
        symlink(OsStr::from_bytes(&target), to).map_err(local(to))
    }

    async fn fetch_file(
        &mut self,
        from: &[u8],
        to: &Path,
        found: Attributes,
    ) -> Result<(), CliError> {
        let what = shown(from);
        let request = Request::new(3).text(from).number(1).number(0);
        let handle = self.sftp.open_handle(request, &what).await?;
        let mut file = create(to)?;
        let (mut asked, mut under_way, mut is_over) = (0_u64, 0, false);
        let mut waiting = std::collections::VecDeque::new();
        loop {
            while !is_over && under_way < UNDER_WAY {
                let request = Request::new(5).text(&handle).long(asked).number(PIECE);
                self.sftp.send(request).await;
                waiting.push_back(asked);
                asked += u64::from(PIECE);
                under_way += 1;
            }
            let Some(offset) = waiting.pop_front() else {
                break;
            };
            under_way -= 1;
            match self.sftp.receive().await? {
                // What was asked for ahead is past the end, too.
                answer if is_end(&answer) => is_over = true,
                Answer::Data(bytes) if is_over || bytes.is_empty() => is_over = true,
                Answer::Data(bytes) => {
                    file.write_all(&bytes).map_err(local(to))?;
                    if bytes.len() < PIECE as usize {
                        // Less may be the end, or a file that grows: the rest is asked for from there.
                        for _ in 0..under_way {
                            self.sftp.receive().await?;
                        }
                        waiting.clear();
                        under_way = 0;
                        asked = offset + bytes.len() as u64;
                    }
                }
                answer => return Err(refused(&what, answer)),
            }
        }
        self.sftp.close(&handle, &what).await?;
        // Neither set-uid nor sticky: that is for who owns it there.
        let mode = fs::Permissions::from_mode(found.mode & 0o777);
        file.set_permissions(mode).map_err(local(to))?;
        let modified =
            std::time::UNIX_EPOCH + std::time::Duration::from_secs(found.modified.into());
        file.set_modified(modified).map_err(local(to))
    }

    async fn upload(mut self, from: &Path, to: &[u8]) -> Result<Exit, CliError> {
        let to: &[u8] = if to.is_empty() { b"." } else { to };
        let name = fs::canonicalize(from).map_err(local(from))?;
        let at = self.sftp.look(to, true, &shown(to)).await?;
        let to = match (at, name.file_name()) {
            (Some(at), Some(name)) if at.is_folder() => joined(to, name.as_bytes()),
            _ => to.to_vec(),
        };
        let mut left = vec![(from.to_owned(), to, true)];
        while let Some((from, to, is_first)) = left.pop() {
            let found = match is_first {
                true => fs::metadata(&from),
                false => fs::symlink_metadata(&from),
            };
            let found = found.map_err(local(&from))?;
            if found.is_dir() {
                self.send_folder(&to, found.permissions().mode()).await?;
                for entry in fs::read_dir(&from).map_err(local(&from))? {
                    let entry = entry.map_err(local(&from))?;
                    let to = joined(&to, entry.file_name().as_bytes());
                    left.push((entry.path(), to, false));
                }
            } else if found.is_symlink() {
                let target = fs::read_link(&from).map_err(local(&from))?;
                let request = Request::new(20)
                    .text(target.as_os_str().as_bytes())
                    .text(&to);
                self.sftp.done(request, &shown(&to)).await?;
            } else if found.is_file() {
                self.send_file(&from, &to, found.permissions().mode())
                    .await?;
            } else {
                out::note(&format!(
                    "hearth: {} is no file, folder or link, and left out",
                    from.display()
                ));
            }
        }
        Ok(Exit::Ok)
    }

    async fn send_folder(&mut self, to: &[u8], mode: u32) -> Result<(), CliError> {
        let what = shown(to);
        let request = Request::new(14)
            .text(to)
            .number(4)
            .number((mode & 0o777) | 0o700);
        let made = self.sftp.ask(request).await?;
        if let Answer::Status(0, _) = made {
            return Ok(());
        }
        match self.sftp.look(to, false, &what).await? {
            Some(there) if there.is_folder() => Ok(()),
            _ => Err(refused(&what, made)),
        }
    }

    async fn send_file(&mut self, from: &Path, to: &[u8], mode: u32) -> Result<(), CliError> {
        const WRITE_NEW: u32 = 0x02 | 0x08 | 0x10;
        let what = shown(to);
        let mut file = File::open(from).map_err(local(from))?;
        let request = Request::new(3)
            .text(to)
            .number(WRITE_NEW)
            .number(4)
            .number(mode & 0o777);
        let handle = self.sftp.open_handle(request, &what).await?;
        let (mut offset, mut under_way) = (0_u64, 0);
        let mut chunk = vec![0; PIECE as usize];
        loop {
            let read = file.read(&mut chunk).map_err(local(from))?;
            if read > 0 {
                let request = Request::new(6)
                    .text(&handle)
                    .long(offset)
                    .text(&chunk[..read]);
                self.sftp.send(request).await;
                offset += read as u64;
                under_way += 1;
            }
            while under_way > 0 && (read == 0 || under_way == UNDER_WAY) {
                under_way -= 1;
                match self.sftp.receive().await? {
                    Answer::Status(0, _) => {}
                    answer => return Err(refused(&what, answer)),
                }
            }
            if read == 0 {
                return self.sftp.close(&handle, &what).await;
            }
        }
    }
}

/// A folder, which may be there; a link to one is none.
fn make_folder(path: &Path) -> Result<(), CliError> {
    match DirBuilder::new().create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let found = fs::symlink_metadata(path).map_err(local(path))?;
            match found.is_dir() {
                true => Ok(()),
                false => Err(local(path)(error)),
            }
        }
        made => made.map_err(local(path)),
    }
}

/// A file to write into, which no link leads to.
fn create(path: &Path) -> Result<File, CliError> {
    let flags = i32::try_from(OFlags::NOFOLLOW.bits()).unwrap_or_default();
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    options.custom_flags(flags).open(path).map_err(local(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_written_through_a_link() {
        let folder = tempfile::tempdir().expect("a folder");
        let outside = tempfile::tempdir().expect("a folder");
        let link = folder.path().join("link");
        symlink(outside.path(), &link).expect("a link");
        make_folder(&link).expect_err("a link is no folder");
        make_folder(folder.path()).expect("it is there");
        let to_file = folder.path().join("file");
        symlink(outside.path().join("made"), &to_file).expect("a link");
        create(&to_file).expect_err("a link is no file");
        assert!(!outside.path().join("made").exists());
    }
}
