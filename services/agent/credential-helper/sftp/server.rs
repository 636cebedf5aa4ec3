//! What requests do.

use std::{
    env,
    fs::{self, DirBuilder, File, OpenOptions, ReadDir},
    io::{self, ErrorKind, Read as _, Write as _},
    os::{
        fd::AsRawFd as _,
        unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _, symlink},
    },
    path::{Path, PathBuf},
};

use super::{
    attributes::{self, Attributes},
    packet::{MAX_DATA, MAX_PACKET, Request, Writer},
    space,
};

const READ: u32 = 0x01;
const WRITE: u32 = 0x02;
const APPEND: u32 = 0x04;
const CREATE: u32 = 0x08;
const TRUNCATE: u32 = 0x10;
const EXCLUSIVE: u32 = 0x20;

const VERSION: u8 = 2;
const STATUS: u8 = 101;
const HANDLE: u8 = 102;
const DATA: u8 = 103;
const NAME: u8 = 104;
const ATTRIBUTES: u8 = 105;
const EXTENDED: u8 = 201;

const EXTENSIONS: [(&str, &str); 8] = [
    ("posix-rename@openssh.com", "1"),
    ("statvfs@openssh.com", "2"),
    ("fstatvfs@openssh.com", "2"),
    ("hardlink@openssh.com", "1"),
    ("fsync@openssh.com", "1"),
    ("lsetstat@openssh.com", "1"),
    ("limits@openssh.com", "1"),
    ("expand-path@openssh.com", "1"),
];

/// Most files and folders that are open at once.
const MAX_HANDLES: usize = 1024;
/// Most names in one answer.
const MAX_NAMES: usize = 128;
/// Bytes of names after which an answer is sent.
const MAX_NAME_BYTES: usize = 128 * 1024;

/// The files that a client has open.
#[derive(Default)]
pub struct Server {
    handles: Vec<Option<Handle>>,
}

enum Handle {
    File { file: File, appends: bool },
    Folder { path: PathBuf, entries: ReadDir },
}

/// Why a request is refused.
enum Refusal {
    Io(io::Error),
    End,
    Malformed,
    Unknown,
    NoHandle,
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

type Done = Result<(), Refusal>;

impl Server {
    /// Does what is asked, and writes the answer.
    pub fn answer(&mut self, request: Request, answer: &mut Writer) {
        if request == Request::Init {
            answer.byte(VERSION).number(3);
            for (name, version) in EXTENSIONS {
                answer.text(name.as_bytes()).text(version.as_bytes());
            }
            return;
        }
        let id = id(&request);
        let mut written = Writer::default();
        match self.perform(request, id, &mut written) {
            Ok(()) if written.len() == 0 => status(answer, id, 0, "done"),
            Ok(()) => {
                answer.append(&written);
            }
            Err(refusal) => refuse(answer, id, &refusal),
        }
    }

    fn perform(&mut self, request: Request, id: u32, answer: &mut Writer) -> Done {
        match request {
            Request::Open {
                path,
                flags,
                attributes,
                ..
            } => self.open(&path, flags, &attributes, id, answer)?,
            Request::Close { handle, .. } => {
                let slot = handle.and_then(|number| self.handles.get_mut(number));
                slot.and_then(Option::take).ok_or(Refusal::NoHandle)?;
            }
            Request::Read {
                handle,
                offset,
                length,
                ..
            } => self.read(handle, offset, length, id, answer)?,
            Request::Write {
                handle,
                offset,
                data,
                ..
            } => {
                let (mut file, appends) = self.file(handle)?;
                match appends {
                    true => file.write_all(&data)?,
                    false => match file.write_all_at(&data, offset) {
                        Err(error) if is_a_pipe(&error) => file.write_all(&data)?,
                        written => written?,
                    },
                }
            }
            Request::Stat { path, follow, .. } => {
                let metadata = match follow {
                    true => fs::metadata(path)?,
                    false => fs::symlink_metadata(path)?,
                };
                answer.byte(ATTRIBUTES).number(id);
                attributes::write(&metadata, answer);
            }
            Request::FileStat { handle, .. } => {
                let metadata = self.file(handle)?.0.metadata()?;
                answer.byte(ATTRIBUTES).number(id);
                attributes::write(&metadata, answer);
            }
            Request::Set {
                path,
                attributes,
                follow,
                ..
            } => attributes.set_at(&path, follow)?,
            Request::FileSet {
                handle, attributes, ..
            } => match self.handle(handle)? {
                Handle::File { file, .. } => attributes.set_on(file)?,
                Handle::Folder { path, .. } => attributes.set_at(path, true)?,
            },
            Request::OpenFolder { path, .. } => {
                let entries = fs::read_dir(&path)?;
                self.keep(Handle::Folder { path, entries }, id, answer)?;
            }
            Request::ReadFolder { handle, .. } => self.names(handle, id, answer)?,
            Request::Remove { path, .. } => {
                if fs::symlink_metadata(&path)?.is_dir() {
                    return Err(io::Error::from(ErrorKind::IsADirectory).into());
                }
                fs::remove_file(path)?;
            }
            Request::MakeFolder {
                path, attributes, ..
            } => {
                let mode = attributes.mode.unwrap_or(0o777);
                DirBuilder::new().mode(mode).create(path)?;
            }
            Request::RemoveFolder { path, .. } => fs::remove_dir(path)?,
            Request::RealPath { path, expand, .. } => {
                let path = if expand { expanded(path) } else { path };
                name(id, &real_path(&path)?, answer);
            }
            Request::Rename {
                from, to, replace, ..
            } => rename(&from, &to, replace)?,
            Request::ReadLink { path, .. } => name(id, &fs::read_link(path)?, answer),
            Request::Link {
                target,
                path,
                symbolic,
                ..
            } => match symbolic {
                true => symlink(target, path)?,
                false => fs::hard_link(target, path)?,
            },
            Request::Sync { handle, .. } => self.file(handle)?.0.sync_all()?,
            Request::Space { place, .. } => {
                let path = match place {
                    Ok(path) => path,
                    Err(handle) => match self.handle(handle)? {
                        Handle::File { file, .. } => {
                            format!("/proc/self/fd/{}", file.as_raw_fd()).into()
                        }
                        Handle::Folder { path, .. } => path.clone(),
                    },
                };
                answer.byte(EXTENDED).number(id);
                space::write(&path, answer)?;
            }
            Request::Limits { .. } => {
                answer
                    .byte(EXTENDED)
                    .number(id)
                    .long(MAX_PACKET as u64)
                    .long(MAX_DATA as u64)
                    .long(MAX_DATA as u64)
                    .long(MAX_HANDLES as u64);
            }
            Request::Unknown { .. } => return Err(Refusal::Unknown),
            Request::Malformed { .. } | Request::Init => return Err(Refusal::Malformed),
        }
        Ok(())
    }

    fn open(
        &mut self,
        path: &Path,
        flags: u32,
        attributes: &Attributes,
        id: u32,
        answer: &mut Writer,
    ) -> Done {
        let has = |flag| flags & flag != 0;
        let appends = has(APPEND);
        let mut options = OpenOptions::new();
        options
            .read(has(READ))
            .write(has(WRITE) && !appends)
            .append(appends)
            .truncate(has(TRUNCATE) && has(WRITE) && !appends)
            .mode(attributes.mode.unwrap_or(0o666));
        if has(CREATE) && has(EXCLUSIVE) {
            options.create_new(true);
        } else {
            options.create(has(CREATE));
        }
        let file = options.open(path)?;
        if file.metadata()?.is_dir() {
            return Err(io::Error::from(ErrorKind::IsADirectory).into());
        }
        self.keep(Handle::File { file, appends }, id, answer)
    }

    fn read(
        &self,
        handle: Option<usize>,
        offset: u64,
        length: u32,
        id: u32,
        answer: &mut Writer,
    ) -> Done {
        let (mut file, _) = self.file(handle)?;
        let mut data = vec![0; MAX_DATA.min(length as usize)];
        let read = match file.read_at(&mut data, offset) {
            Err(error) if is_a_pipe(&error) => file.read(&mut data)?,
            read => read?,
        };
        if read == 0 && length > 0 {
            return Err(Refusal::End);
        }
        answer.byte(DATA).number(id).text(&data[..read]);
        Ok(())
    }

    fn names(&mut self, handle: Option<usize>, id: u32, answer: &mut Writer) -> Done {
        let Handle::Folder { entries, .. } = self.handle(handle)? else {
            return Err(Refusal::NoHandle);
        };
        let mut names = Writer::default();
        let mut count = 0;
        while count < MAX_NAMES && names.len() < MAX_NAME_BYTES {
            let Some(entry) = entries.next() else { break };
            let entry = entry?;
            let file_name = entry.file_name();
            count += 1;
            names.path(Path::new(&file_name));
            match entry.metadata() {
                Ok(metadata) => {
                    let line = attributes::line(&metadata);
                    let shown = [line.as_bytes(), b" ", file_name.as_encoded_bytes()].concat();
                    names.text(&shown);
                    attributes::write(&metadata, &mut names);
                }
                // It is gone, or nothing is known of it.
                Err(_) => {
                    names.path(Path::new(&file_name));
                    attributes::write_none(&mut names);
                }
            }
        }
        if count == 0 {
            return Err(Refusal::End);
        }
        let count = u32::try_from(count).unwrap_or_default();
        answer.byte(NAME).number(id).number(count).append(&names);
        Ok(())
    }

    fn keep(&mut self, handle: Handle, id: u32, answer: &mut Writer) -> Done {
        let free = self.handles.iter().position(Option::is_none);
        let number = free.unwrap_or(self.handles.len());
        if number >= MAX_HANDLES {
            return Err(io::Error::other("too many files are open").into());
        }
        match self.handles.get_mut(number) {
            Some(slot) => *slot = Some(handle),
            None => self.handles.push(Some(handle)),
        }
        let number = u32::try_from(number).unwrap_or_default();
        answer.byte(HANDLE).number(id).text(&number.to_be_bytes());
        Ok(())
    }

    fn handle(&mut self, number: Option<usize>) -> Result<&mut Handle, Refusal> {
        let slot = number.and_then(|number| self.handles.get_mut(number));
        slot.and_then(Option::as_mut).ok_or(Refusal::NoHandle)
    }

    fn file(&self, number: Option<usize>) -> Result<(&File, bool), Refusal> {
        let slot = number.and_then(|number| self.handles.get(number));
        match slot.and_then(Option::as_ref) {
            Some(Handle::File { file, appends }) => Ok((file, *appends)),
            _ => Err(Refusal::NoHandle),
        }
    }
}

fn id(request: &Request) -> u32 {
    match request {
        Request::Init => 0,
        Request::Open { id, .. }
        | Request::Close { id, .. }
        | Request::Read { id, .. }
        | Request::Write { id, .. }
        | Request::Stat { id, .. }
        | Request::FileStat { id, .. }
        | Request::Set { id, .. }
        | Request::FileSet { id, .. }
        | Request::OpenFolder { id, .. }
        | Request::ReadFolder { id, .. }
        | Request::Remove { id, .. }
        | Request::MakeFolder { id, .. }
        | Request::RemoveFolder { id, .. }
        | Request::RealPath { id, .. }
        | Request::Rename { id, .. }
        | Request::ReadLink { id, .. }
        | Request::Link { id, .. }
        | Request::Sync { id, .. }
        | Request::Space { id, .. }
        | Request::Limits { id }
        | Request::Unknown { id }
        | Request::Malformed { id } => *id,
    }
}

/// Whether it has no positions: ESPIPE.
fn is_a_pipe(error: &io::Error) -> bool {
    error.kind() == ErrorKind::NotSeekable
}

/// Without `replace` nothing is replaced.
fn rename(from: &Path, to: &Path, replace: bool) -> io::Result<()> {
    if replace {
        return fs::rename(from, to);
    }
    if fs::symlink_metadata(from)?.is_file() {
        // The one way that does not replace what appears meanwhile.
        match fs::hard_link(from, to) {
            Ok(()) => return fs::remove_file(from),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => return Err(error),
            // Not all file systems have links.
            Err(_) => {}
        }
    }
    match fs::symlink_metadata(to) {
        Ok(_) => Err(ErrorKind::AlreadyExists.into()),
        Err(_) => fs::rename(from, to),
    }
}

/// The path without links and dots. The last part of it need not exist.
fn real_path(path: &Path) -> io::Result<PathBuf> {
    match fs::canonicalize(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
                return Err(error);
            };
            let folder = match folder.as_os_str().is_empty() {
                true => Path::new("."),
                false => folder,
            };
            Ok(fs::canonicalize(folder)?.join(name))
        }
        found => found,
    }
}

/// `~` and `~/…` in the user's home folder.
fn expanded(path: PathBuf) -> PathBuf {
    let home = env::var_os("HOME").unwrap_or_else(|| "/".into());
    match path.strip_prefix("~") {
        Ok(rest) => Path::new(&home).join(rest),
        Err(_) => path,
    }
}

fn name(id: u32, path: &Path, answer: &mut Writer) {
    answer.byte(NAME).number(id).number(1).path(path).path(path);
    attributes::write_none(answer);
}

fn refuse(answer: &mut Writer, id: u32, refusal: &Refusal) {
    match refusal {
        Refusal::Io(error) => {
            let code = match error.kind() {
                ErrorKind::NotFound => 2,
                ErrorKind::PermissionDenied => 3,
                _ => 4,
            };
            status(answer, id, code, &error.to_string());
        }
        Refusal::End => status(answer, id, 1, "that was all"),
        Refusal::Malformed => status(answer, id, 5, "the request cannot be read"),
        Refusal::Unknown => status(answer, id, 8, "this server does not do that"),
        Refusal::NoHandle => status(answer, id, 4, "nothing is open as that"),
    }
}

fn status(answer: &mut Writer, id: u32, code: u32, message: &str) {
    answer
        .byte(STATUS)
        .number(id)
        .number(code)
        .text(message.as_bytes())
        .text(b"en");
}
