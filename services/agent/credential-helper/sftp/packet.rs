//! Packets: requests that are read, and answers that are written.

use std::{
    ffi::OsString,
    os::unix::ffi::{OsStrExt as _, OsStringExt as _},
    path::{Path, PathBuf},
};

use super::attributes::Attributes;

/// Bytes of the longest packet, as in OpenSSH.
pub const MAX_PACKET: usize = 256 * 1024;
/// Bytes that are read or written by one request.
pub const MAX_DATA: usize = MAX_PACKET - 1024;

/// What a client asks for. Paths are as it sent them.
#[derive(Debug, PartialEq, Eq)]
pub enum Request {
    Init,
    Open {
        id: u32,
        path: PathBuf,
        flags: u32,
        attributes: Attributes,
    },
    Close {
        id: u32,
        handle: Option<usize>,
    },
    Read {
        id: u32,
        handle: Option<usize>,
        offset: u64,
        length: u32,
    },
    Write {
        id: u32,
        handle: Option<usize>,
        offset: u64,
        data: Vec<u8>,
    },
    Stat {
        id: u32,
        path: PathBuf,
        follow: bool,
    },
    FileStat {
        id: u32,
        handle: Option<usize>,
    },
    Set {
        id: u32,
        path: PathBuf,
        attributes: Attributes,
        follow: bool,
    },
    FileSet {
        id: u32,
        handle: Option<usize>,
        attributes: Attributes,
    },
    OpenFolder {
        id: u32,
        path: PathBuf,
    },
    ReadFolder {
        id: u32,
        handle: Option<usize>,
    },
    Remove {
        id: u32,
        path: PathBuf,
    },
    MakeFolder {
        id: u32,
        path: PathBuf,
        attributes: Attributes,
    },
    RemoveFolder {
        id: u32,
        path: PathBuf,
    },
    RealPath {
        id: u32,
        path: PathBuf,
        expand: bool,
    },
    Rename {
        id: u32,
        from: PathBuf,
        to: PathBuf,
        replace: bool,
    },
    ReadLink {
        id: u32,
        path: PathBuf,
    },
    Link {
        id: u32,
        target: PathBuf,
        path: PathBuf,
        symbolic: bool,
    },
    Sync {
        id: u32,
        handle: Option<usize>,
    },
    Space {
        id: u32,
        place: Result<PathBuf, Option<usize>>,
    },
    Limits {
        id: u32,
    },
    /// What this server does not know.
    Unknown {
        id: u32,
    },
    /// What is no request.
    Malformed {
        id: u32,
    },
}

impl Request {
    /// Reads a packet.
    pub fn read(packet: &[u8]) -> Self {
        let mut reader = Reader(packet);
        let Some(kind) = reader.byte() else {
            return Self::Malformed { id: 0 };
        };
        if kind == 1 {
            return Self::Init;
        }
        let Some(id) = reader.number() else {
            return Self::Malformed { id: 0 };
        };
        Self::body(kind, id, &mut reader).unwrap_or(Self::Malformed { id })
    }

    fn body(kind: u8, id: u32, reader: &mut Reader<'_>) -> Option<Self> {
        Some(match kind {
            3 => Self::Open {
                id,
                path: reader.path()?,
                flags: reader.number()?,
                attributes: Attributes::read(reader)?,
            },
            4 => Self::Close {
                id,
                handle: reader.handle()?,
            },
            5 => Self::Read {
                id,
                handle: reader.handle()?,
                offset: reader.long()?,
                length: reader.number()?,
            },
            6 => Self::Write {
                id,
                handle: reader.handle()?,
                offset: reader.long()?,
                data: reader.text()?.to_vec(),
            },
            7 | 17 => Self::Stat {
                id,
                path: reader.path()?,
                follow: kind == 17,
            },
            8 => Self::FileStat {
                id,
                handle: reader.handle()?,
            },
            9 => Self::Set {
                id,
                path: reader.path()?,
                attributes: Attributes::read(reader)?,
                follow: true,
            },
            10 => Self::FileSet {
                id,
                handle: reader.handle()?,
                attributes: Attributes::read(reader)?,
            },
            11 => Self::OpenFolder {
                id,
                path: reader.path()?,
            },
            12 => Self::ReadFolder {
                id,
                handle: reader.handle()?,
            },
            13 => Self::Remove {
                id,
                path: reader.path()?,
            },
            14 => Self::MakeFolder {
                id,
                path: reader.path()?,
                attributes: Attributes::read(reader)?,
            },
            15 => Self::RemoveFolder {
                id,
                path: reader.path()?,
            },
            16 => Self::RealPath {
                id,
                path: reader.path()?,
                expand: false,
            },
            18 => Self::Rename {
                id,
                from: reader.path()?,
                to: reader.path()?,
                replace: false,
            },
            19 => Self::ReadLink {
                id,
                path: reader.path()?,
            },
            // The target comes first, as in OpenSSH and not as in the draft.
            20 => Self::Link {
                id,
                target: reader.path()?,
                path: reader.path()?,
                symbolic: true,
            },
            200 => Self::extended(id, reader)?,
            _ => Self::Unknown { id },
        })
    }

    fn extended(id: u32, reader: &mut Reader<'_>) -> Option<Self> {
        Some(match reader.text()? {
            b"posix-rename@openssh.com" => Self::Rename {
                id,
                from: reader.path()?,
                to: reader.path()?,
                replace: true,
            },
            b"hardlink@openssh.com" => Self::Link {
                id,
                target: reader.path()?,
                path: reader.path()?,
                symbolic: false,
            },
            b"lsetstat@openssh.com" => Self::Set {
                id,
                path: reader.path()?,
                attributes: Attributes::read(reader)?,
                follow: false,
            },
            b"fsync@openssh.com" => Self::Sync {
                id,
                handle: reader.handle()?,
            },
            b"statvfs@openssh.com" => Self::Space {
                id,
                place: Ok(reader.path()?),
            },
            b"fstatvfs@openssh.com" => Self::Space {
                id,
                place: Err(reader.handle()?),
            },
            b"expand-path@openssh.com" => Self::RealPath {
                id,
                path: reader.path()?,
                expand: true,
            },
            b"limits@openssh.com" => Self::Limits { id },
            _ => Self::Unknown { id },
        })
    }
}

/// What is left of a packet.
pub struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|bytes| bytes[0])
    }

    pub fn number(&mut self) -> Option<u32> {
        self.take(4)?.try_into().ok().map(u32::from_be_bytes)
    }

    pub fn long(&mut self) -> Option<u64> {
        self.take(8)?.try_into().ok().map(u64::from_be_bytes)
    }

    pub fn text(&mut self) -> Option<&'a [u8]> {
        let length = self.number()?;
        self.take(length as usize)
    }

    /// An empty one is the folder that the server is in.
    fn path(&mut self) -> Option<PathBuf> {
        let text = self.text()?;
        let text = if text.is_empty() { b"." } else { text };
        (!text.contains(&0)).then(|| OsString::from_vec(text.to_vec()).into())
    }

    /// `None` within: it is none of this server's.
    fn handle(&mut self) -> Option<Option<usize>> {
        let text = self.text()?;
        Some(
            text.try_into()
                .ok()
                .map(u32::from_be_bytes)
                .map(|n| n as usize),
        )
    }
}

/// An answer, or several.
#[derive(Default)]
pub struct Writer(Vec<u8>);

impl Writer {
    pub fn byte(&mut self, byte: u8) -> &mut Self {
        self.0.push(byte);
        self
    }

    pub fn number(&mut self, number: u32) -> &mut Self {
        self.0.extend(number.to_be_bytes());
        self
    }

    pub fn long(&mut self, number: u64) -> &mut Self {
        self.0.extend(number.to_be_bytes());
        self
    }

    pub fn text(&mut self, text: &[u8]) -> &mut Self {
        // What is written here is shorter than a packet.
        self.number(u32::try_from(text.len()).unwrap_or_default());
        self.0.extend(text);
        self
    }

    pub fn path(&mut self, path: &Path) -> &mut Self {
        self.text(path.as_os_str().as_bytes())
    }

    /// Adds what another one has.
    pub fn append(&mut self, other: &Self) -> &mut Self {
        self.0.extend(&other.0);
        self
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The packet, with its length in front.
    pub fn finish(&self) -> Vec<u8> {
        let length = u32::try_from(self.0.len()).unwrap_or_default();
        [&length.to_be_bytes()[..], &self.0].concat()
    }
}
