//! Archives with whatever a layer can have.

use std::io::Write as _;

use tar::{EntryType, Header};

/// A member of an archive.
#[derive(Clone)]
pub struct Member {
    pub path: String,
    pub kind: EntryType,
    pub mode: u32,
    pub owner: (u64, u64),
    /// As a PAX record has it.
    pub modified: String,
    pub target: String,
    pub device: (u32, u32),
    pub data: Vec<u8>,
    /// PAX records.
    pub records: Vec<(String, Vec<u8>)>,
    /// Long names in GNU's form, not in PAX'.
    pub is_gnu: bool,
}

pub fn member(path: &str, kind: EntryType) -> Member {
    Member {
        path: path.to_owned(),
        kind,
        mode: 0o644,
        owner: (0, 0),
        modified: "1700000000.123456789".to_owned(),
        target: String::new(),
        device: (0, 0),
        data: Vec::new(),
        records: Vec::new(),
        is_gnu: false,
    }
}

pub fn folder(path: &str) -> Member {
    member(path, EntryType::Directory).mode(0o755)
}

pub fn file(path: &str, data: impl Into<Vec<u8>>) -> Member {
    Member {
        data: data.into(),
        ..member(path, EntryType::Regular)
    }
}

pub fn symlink(path: &str, target: &str) -> Member {
    member(path, EntryType::Symlink).target(target)
}

pub fn hard_link(path: &str, target: &str) -> Member {
    member(path, EntryType::Link).target(target)
}

impl Member {
    pub fn mode(self, mode: u32) -> Self {
        Self { mode, ..self }
    }

    pub fn owner(self, uid: u64, gid: u64) -> Self {
        Self {
            owner: (uid, gid),
            ..self
        }
    }

    pub fn modified(self, time: &str) -> Self {
        Self {
            modified: time.to_owned(),
            ..self
        }
    }

    pub fn target(self, target: &str) -> Self {
        Self {
            target: target.to_owned(),
            ..self
        }
    }

    pub fn device(self, major: u32, minor: u32) -> Self {
        Self {
            device: (major, minor),
            ..self
        }
    }

    pub fn record(mut self, name: &str, value: impl Into<Vec<u8>>) -> Self {
        self.records.push((name.to_owned(), value.into()));
        self
    }

    pub fn attribute(self, name: &str, value: impl Into<Vec<u8>>) -> Self {
        self.record(&format!("SCHILY.xattr.{name}"), value)
    }

    pub fn gnu(self) -> Self {
        Self {
            is_gnu: true,
            ..self
        }
    }

    fn write(&self, archive: &mut Vec<u8>) {
        let mut records = self.records.clone();
        records.push(("mtime".to_owned(), self.modified.clone().into_bytes()));
        let mut header = Header::new_ustar();
        for (name, record, kind, value) in [
            ("name", "path", EntryType::GNULongName, &self.path),
            ("link", "linkpath", EntryType::GNULongLink, &self.target),
        ] {
            let ustar = header.as_ustar_mut().unwrap();
            let field = if name == "name" {
                &mut ustar.name
            } else {
                &mut ustar.linkname
            };
            let short = &value.as_bytes()[..value.len().min(100)];
            field[..short.len()].copy_from_slice(short);
            if value.len() <= 100 {
                continue;
            }
            if self.is_gnu {
                let mut text = value.clone().into_bytes();
                text.push(0);
                append(archive, Header::new_gnu(), kind, &text);
            } else {
                records.push((record.to_owned(), value.clone().into_bytes()));
            }
        }
        let text: Vec<u8> = records
            .iter()
            .flat_map(|(name, value)| pax(name, value))
            .collect();
        append(archive, Header::new_ustar(), EntryType::XHeader, &text);
        header.set_mode(self.mode);
        header.set_uid(self.owner.0);
        header.set_gid(self.owner.1);
        header.set_mtime(1);
        header.set_device_major(self.device.0).unwrap();
        header.set_device_minor(self.device.1).unwrap();
        append(archive, header, self.kind, &self.data);
    }
}

/// A record begins with its own length.
fn pax(name: &str, value: &[u8]) -> Vec<u8> {
    let rest = name.len() + value.len() + 3;
    let digits = |length: usize| length.to_string().len();
    let mut length = rest + digits(rest);
    length = rest + digits(length);
    let mut record = format!("{length} {name}=").into_bytes();
    record.extend_from_slice(value);
    record.push(b'\n');
    record
}

fn append(archive: &mut Vec<u8>, mut header: Header, kind: EntryType, data: &[u8]) {
    header.set_entry_type(kind);
    header.set_size(data.len() as u64);
    header.set_cksum();
    archive.extend_from_slice(header.as_bytes());
    archive.extend_from_slice(data);
    archive.resize(archive.len().next_multiple_of(512), 0);
}

/// An archive of members.
pub fn archive(members: &[Member]) -> Vec<u8> {
    let mut archive = Vec::new();
    for member in members {
        member.write(&mut archive);
    }
    archive.resize(archive.len() + 1024, 0);
    archive
}

/// How a layer is compressed.
#[derive(Clone, Copy)]
pub enum Encoding {
    Plain,
    Gzip,
    /// Two members of gzip, one after the other.
    GzipTwice,
    /// Frames of this many bytes.
    Zstd(usize),
}

impl Encoding {
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Plain => "application/vnd.oci.image.layer.v1.tar",
            Self::Gzip => "application/vnd.docker.image.rootfs.diff.tar.gzip",
            Self::GzipTwice => "application/vnd.oci.image.layer.v1.tar+gzip",
            Self::Zstd(_) => "application/vnd.oci.image.layer.v1.tar+zstd",
        }
    }

    pub fn encode(self, archive: &[u8]) -> Vec<u8> {
        let gzip = |part: &[u8]| {
            let mut encoder =
                flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(part).unwrap();
            encoder.finish().unwrap()
        };
        match self {
            Self::Plain => archive.to_vec(),
            Self::Gzip => gzip(archive),
            Self::GzipTwice => {
                let (first, second) = archive.split_at(archive.len() / 2);
                [gzip(first), gzip(second)].concat()
            }
            Self::Zstd(bytes) => {
                let frames = archive.chunks(bytes);
                frames
                    .flat_map(|frame| zstd::encode_all(frame, 1).unwrap())
                    .collect()
            }
        }
    }
}
