use std::io;

use serde::{Deserialize, Serialize};

use super::{FrameIndexError, LayerFrames, text::Text};
use crate::layer::{Kind, Member, place};

/// Bytes of a path: Linux' limit.
const MAX_PATH: usize = 4096;
/// Bytes of an extended attribute: Linux' limit.
const MAX_ATTRIBUTE: usize = 64 * 1024;
/// What the name of a whiteout begins with (OCI image spec, "Whiteouts").
const WHITEOUT: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";

/// A member of a layer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// From the root, without `.`, `..` and empty parts. Of a whiteout: what it hides. Of an opaque folder: the folder.
    pub path: Text,
    /// What it is.
    pub r#type: Type,
    /// Permissions, with set-user-id, set-group-id and sticky.
    pub mode: u32,
    /// Its owner.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// Bytes of the file.
    #[serde(default, skip_serializing_if = "is_default")]
    pub size: u64,
    /// When it was changed: seconds since 1970, and nanoseconds.
    pub mtime: (i64, u32),
    /// Where a link leads; of a hard link from the root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<Text>,
    /// Extended attributes: names and values.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub xattrs: Vec<(Text, Text)>,
    /// Of a device: major and minor number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<(u32, u32)>,
    /// Number of the layer, from 0.
    #[serde(default)]
    pub layer: u32,
    /// Where its data begins in the layer's archive, in bytes.
    #[serde(default, skip_serializing_if = "is_default")]
    pub offset: u64,
    /// Of a sparse file: offsets and lengths of the pieces that the archive has, one after the other. The rest is zeros.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pieces: Option<Vec<(u64, u64)>>,
    /// Whether the image does not have it, since another layer or a later member hides it, or since it only hides others.
    #[serde(default, skip_serializing_if = "is_default")]
    pub hidden: bool,
}

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Type {
    /// A regular file.
    File,
    /// A folder.
    Folder,
    /// A symbolic link.
    Symlink,
    /// Another name of a file.
    Hardlink,
    /// A character device.
    Char,
    /// A block device.
    Block,
    /// A named pipe.
    Pipe,
    /// Hides what the layers below have at its path.
    Whiteout,
    /// Hides what the layers below have in the folder at its path.
    Opaque,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl Entry {
    /// A member whose data begins at `offset`. `None`: the root, which is the engine's.
    pub fn new(member: &Member, offset: u64) -> io::Result<Option<Self>> {
        let Some((folder, name)) = place(&member.path)? else {
            return Ok(None);
        };
        let join = |name: &[u8]| match folder.is_empty() {
            true => name.to_vec(),
            false => [&folder[..], b"/", name].concat(),
        };
        let (path, r#type) = if name == OPAQUE {
            (folder.clone(), Type::Opaque)
        } else if let Some(hidden) = name.strip_prefix(WHITEOUT) {
            (join(hidden), Type::Whiteout)
        } else {
            (join(&name), kind(&member.kind))
        };
        let is_file = r#type == Type::File;
        let sparse = member.sparse.as_ref();
        Ok(Some(Self {
            path: Text(path),
            r#type,
            mode: member.mode,
            uid: member.owner.0,
            gid: member.owner.1,
            size: match sparse {
                _ if !is_file => 0,
                Some((_, size)) => *size,
                None => member.stored,
            },
            mtime: (
                member.modified.0,
                u32::try_from(member.modified.1).unwrap_or_default(),
            ),
            link: match &member.kind {
                Kind::SymbolicLink(target) => Some(Text(target.clone())),
                Kind::HardLink(target) => {
                    let target = place(target)?;
                    let (folder, name) =
                        target.ok_or_else(|| io::Error::other("a hard link leads to the root"))?;
                    Some(Text(match folder.is_empty() {
                        true => name,
                        false => [&folder[..], b"/", &name].concat(),
                    }))
                }
                _ => None,
            },
            xattrs: member
                .attributes
                .iter()
                .map(|(name, value)| (Text(name.clone()), Text(value.clone())))
                .collect(),
            device: match member.kind {
                Kind::CharacterDevice(major, minor) | Kind::BlockDevice(major, minor) => {
                    Some((major, minor))
                }
                _ => None,
            },
            layer: 0,
            offset: if is_file { offset } else { 0 },
            pieces: sparse.filter(|_| is_file).map(|(pieces, _)| {
                let pieces = pieces.iter();
                pieces.map(|piece| (piece.offset, piece.length)).collect()
            }),
            hidden: false,
        }))
    }

    /// Whether it is no member of the image, and hides what the layers below have.
    pub fn hides_only(&self) -> bool {
        matches!(self.r#type, Type::Whiteout | Type::Opaque)
    }

    /// Bytes of its data in the archive.
    pub fn stored(&self) -> Option<u64> {
        match &self.pieces {
            None => Some(self.size),
            Some(pieces) => pieces
                .iter()
                .try_fold(0_u64, |sum, (_, length)| sum.checked_add(*length)),
        }
    }

    /// Refuses an entry that cannot be true in an image of these layers.
    pub fn check(&self, layers: &[LayerFrames]) -> Result<(), FrameIndexError> {
        let Some(fault) = self.fault(layers) else {
            return Ok(());
        };
        let path = String::from_utf8_lossy(&self.path.0);
        let path = hearth_domain::text::shortened(&path, 200);
        let what = format!("has an entry {path:?}, which {fault}");
        Err(FrameIndexError::Wrong(what))
    }

    /// What is wrong with it.
    fn fault(&self, layers: &[LayerFrames]) -> Option<&'static str> {
        let is_plain = |path: &Text| {
            let parts = || path.0.split(|byte| *byte == b'/');
            path.0.len() <= MAX_PATH
                && !path.0.contains(&0)
                && parts().all(|part| !matches!(part, b"" | b"." | b".."))
        };
        let is_root = self.path.0.is_empty() && self.r#type == Type::Opaque;
        let is_device = matches!(self.r#type, Type::Char | Type::Block);
        let is_link = matches!(self.r#type, Type::Symlink | Type::Hardlink);
        let layer = usize::try_from(self.layer).ok();
        let Some(layer) = layer.and_then(|number| layers.get(number)) else {
            return Some("is in a layer that there is not");
        };
        if !is_root && !is_plain(&self.path) {
            return Some("has a path that leads elsewhere");
        }
        if is_link != self.link.is_some() || is_device != self.device.is_some() {
            return Some("is not what it says to be");
        }
        if let Some(link) = &self.link
            && (link.0.len() > MAX_PATH || link.0.contains(&0))
        {
            return Some("is a link that leads nowhere");
        }
        if self.r#type == Type::Hardlink && !self.link.as_ref().is_some_and(is_plain) {
            return Some("is a hard link that leads elsewhere");
        }
        if self.mode > 0o7777 || self.mtime.1 >= 1_000_000_000 {
            return Some("has a mode or a time that cannot be");
        }
        let attributes = &self.xattrs;
        let bytes = attributes
            .iter()
            .map(|(name, value)| name.0.len() + value.0.len());
        if bytes.sum::<usize>() > MAX_ATTRIBUTE
            || attributes
                .iter()
                .any(|(name, _)| name.0.is_empty() || name.0.contains(&0))
        {
            return Some("has extended attributes that cannot be");
        }
        if self.hides_only() && !self.hidden {
            return Some("hides others, and says to be in the image");
        }
        self.fault_of_data(layer)
    }

    fn fault_of_data(&self, layer: &LayerFrames) -> Option<&'static str> {
        if self.r#type != Type::File {
            let has_data = self.size > 0 || self.offset > 0 || self.pieces.is_some();
            return has_data.then_some("is no file, and has data");
        }
        let mut end = 0_u64;
        for (offset, length) in self.pieces.iter().flatten() {
            match offset.checked_add(*length).filter(|_| *offset >= end) {
                Some(next) => end = next,
                None => return Some("has pieces that are not in order"),
            }
        }
        if end > self.size {
            return Some("has pieces behind its end");
        }
        let end = self
            .stored()
            .and_then(|bytes| self.offset.checked_add(bytes));
        match end.is_some_and(|end| end <= layer.archive_bytes) {
            true => None,
            false => Some("has data behind the end of its layer"),
        }
    }
}

fn kind(kind: &Kind) -> Type {
    match kind {
        Kind::File => Type::File,
        Kind::Folder => Type::Folder,
        Kind::SymbolicLink(_) => Type::Symlink,
        Kind::HardLink(_) => Type::Hardlink,
        Kind::CharacterDevice(..) => Type::Char,
        Kind::BlockDevice(..) => Type::Block,
        Kind::Pipe => Type::Pipe,
    }
}
