//! Reads the members of a tar archive from a stream.
//!
//! `tar` decodes the fields of headers. Its iterator is not used: it ends the value of a PAX record at a line feed, which
//! those of extended attributes can have, and reads extended headers of any length.

use std::io::{self, BufRead, Read};

use tar::{EntryType, Header};

use super::{
    blocks::{BLOCK, bad, skip},
    extended::{Piece, Records, read_map, read_old_map},
};

/// Bytes of an extended header. Linux' paths have 4 KiB, and all extended attributes of a file 64 KiB on most file systems.
const MAX_EXTENDED: u64 = 1024 * 1024;

/// A member of an archive.
pub struct Member {
    /// Its path as the archive has it.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: Kind,
    /// Permissions, with set-user-id, set-group-id and sticky.
    pub mode: u32,
    /// Its owner.
    pub owner: (u32, u32),
    /// When it was changed: seconds since 1970, and nanoseconds.
    pub modified: (i64, i64),
    /// Extended attributes.
    pub attributes: Vec<(Vec<u8>, Vec<u8>)>,
    /// Bytes of data that follow in the archive.
    pub stored: u64,
    /// Of a sparse file: its pieces, and the bytes of the file.
    pub sparse: Option<(Vec<Piece>, u64)>,
}

/// What a member is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A folder.
    Folder,
    /// A symbolic link, and where it leads.
    SymbolicLink(Vec<u8>),
    /// Another name of a member before it.
    HardLink(Vec<u8>),
    /// A character device: major and minor number.
    CharacterDevice(u32, u32),
    /// A block device: major and minor number.
    BlockDevice(u32, u32),
    /// A named pipe.
    Pipe,
}

/// An archive that is read from its beginning to its end.
pub struct Archive<R> {
    reader: R,
    /// What is left of the last member: data, then padding.
    left: u64,
    padding: u64,
}

impl<R: BufRead> Archive<R> {
    pub fn new(reader: R) -> Self {
        Self {
            reader,
            left: 0,
            padding: 0,
        }
    }

    /// The next member, or `None` at the end. What was not read of the last one is passed over.
    pub fn next(&mut self) -> io::Result<Option<Member>> {
        let (mut records, mut long_path, mut long_target) = (Records::default(), None, None);
        let mut is_extended = false;
        loop {
            skip(&mut self.reader, self.left + self.padding)?;
            (self.left, self.padding) = (0, 0);
            let Some(header) = self.header()? else {
                return match is_extended {
                    true => Err(bad("the archive ends after an extended header")),
                    false => Ok(None),
                };
            };
            let kind = header.entry_type();
            match kind {
                EntryType::GNULongName => long_path = Some(self.text(&header)?),
                EntryType::GNULongLink => long_target = Some(self.text(&header)?),
                EntryType::XHeader => records = Records::read(&self.extended(&header)?)?,
                // They say nothing about files that containerd would heed.
                EntryType::XGlobalHeader => {
                    self.extended(&header)?;
                    continue;
                }
                _ => {
                    return self
                        .member(&header, &records, long_path, long_target)
                        .map(Some);
                }
            }
            is_extended = true;
        }
    }

    /// The data of the last member.
    pub fn data(&mut self) -> Data<'_, R> {
        Data { archive: self }
    }

    /// Reads what follows the archive.
    pub fn finish(mut self) -> io::Result<()> {
        io::copy(&mut self.reader, &mut io::sink()).map(drop)
    }

    fn header(&mut self) -> io::Result<Option<Header>> {
        let mut block = [0; BLOCK as usize];
        // An archive may end without the blocks of zeros that mark its end, but not within a block.
        if self.reader.fill_buf()?.is_empty() {
            return Ok(None);
        }
        self.reader.read_exact(&mut block)?;
        if block.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        let header = Header::from_byte_slice(&block).clone();
        let sum = block[..148]
            .iter()
            .chain(&block[156..])
            .map(|byte| u32::from(*byte));
        if header.cksum()? != sum.sum::<u32>() + 8 * u32::from(b' ') {
            return Err(bad("the checksum of a header is wrong"));
        }
        Ok(Some(header))
    }

    fn extended(&mut self, header: &Header) -> io::Result<Vec<u8>> {
        let size = header.entry_size()?;
        if size > MAX_EXTENDED {
            return Err(bad("an extended header is too long"));
        }
        let mut text = vec![0; usize::try_from(size).unwrap_or_default()];
        self.reader.read_exact(&mut text)?;
        self.padding = size.next_multiple_of(BLOCK) - size;
        Ok(text)
    }

    /// A name of GNU's old form, which ends with a zero.
    fn text(&mut self, header: &Header) -> io::Result<Vec<u8>> {
        let mut text = self.extended(header)?;
        let end = text.iter().position(|byte| *byte == 0);
        text.truncate(end.unwrap_or(text.len()));
        Ok(text)
    }

    fn member(
        &mut self,
        header: &Header,
        records: &Records,
        long_path: Option<Vec<u8>>,
        long_target: Option<Vec<u8>>,
    ) -> io::Result<Member> {
        let record = |name| records.get(name).map(<[u8]>::to_vec);
        let path = long_path
            .or_else(|| record("GNU.sparse.name"))
            .or_else(|| record("path"))
            .unwrap_or_else(|| header.path_bytes().into_owned());
        let target = || {
            let in_header = || header.link_name_bytes().map(std::borrow::Cow::into_owned);
            let target = long_target.clone().or_else(|| record("linkpath"));
            let target = target.or_else(in_header);
            target
                .filter(|target| !target.is_empty())
                .ok_or_else(|| bad("a link leads nowhere"))
        };
        let device = || -> io::Result<(u32, u32)> {
            let number = |part: Option<u32>| part.ok_or_else(|| bad("a device has no number"));
            Ok((
                number(header.device_major()?)?,
                number(header.device_minor()?)?,
            ))
        };
        let kind = match header.entry_type() {
            // Archives from before POSIX have no type for folders.
            EntryType::Regular if path.ends_with(b"/") => Kind::Folder,
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => Kind::File,
            EntryType::Directory => Kind::Folder,
            EntryType::Symlink => Kind::SymbolicLink(target()?),
            EntryType::Link => Kind::HardLink(target()?),
            EntryType::Char => {
                device().map(|(major, minor)| Kind::CharacterDevice(major, minor))?
            }
            EntryType::Block => device().map(|(major, minor)| Kind::BlockDevice(major, minor))?,
            EntryType::Fifo => Kind::Pipe,
            other => {
                return Err(bad(&format!(
                    "a member has the unknown type {:?}",
                    char::from(other.as_byte())
                )));
            }
        };
        // Whatever their headers say, all but files have no data.
        if kind == Kind::File {
            self.left = match records.number("size")? {
                Some(size) => size,
                None => header.entry_size()?,
            };
            let end = self.left.checked_next_multiple_of(BLOCK);
            self.padding = end.ok_or_else(|| bad("a file is too large"))? - self.left;
        }
        let sparse = self.sparse(header, records)?;
        let id =
            |number: u64| u32::try_from(number).map_err(|_| bad("an owner's number is too large"));
        let owner = |name: &str, in_header: io::Result<u64>| match records.number(name)? {
            Some(number) => id(number),
            None => id(in_header?),
        };
        let modified = match records.time("mtime")? {
            Some(time) => time,
            None => (i64::try_from(header.mtime()?).unwrap_or_default(), 0),
        };
        // Those would tell overlayfs where to find what the layer does not have. containerd leaves them out too.
        let attributes = records
            .attributes()
            .filter(|(name, _)| !name.starts_with(b"trusted."));
        Ok(Member {
            path,
            kind,
            mode: header.mode()? & 0o7777,
            owner: (owner("uid", header.uid())?, owner("gid", header.gid())?),
            modified: bounded(modified),
            attributes: attributes
                .map(|(name, value)| (name.to_vec(), value.to_vec()))
                .collect(),
            stored: self.left,
            sparse,
        })
    }

    /// The map of a sparse file, in any of its four forms. It has to lie within the file, in order, and fit its data.
    fn sparse(
        &mut self,
        header: &Header,
        records: &Records,
    ) -> io::Result<Option<(Vec<Piece>, u64)>> {
        let (pieces, size) = if header.entry_type() == EntryType::GNUSparse {
            let gnu = header
                .as_gnu()
                .ok_or_else(|| bad("a sparse file has no map"))?;
            let (mut pieces, size) = (Vec::new(), gnu.real_size()?);
            read_old_map(&header.as_bytes()[386..482], &mut pieces)?;
            let mut goes_on = gnu.is_extended();
            while goes_on {
                let mut block = [0; BLOCK as usize];
                self.reader.read_exact(&mut block)?;
                read_old_map(&block[..504], &mut pieces)?;
                goes_on = block[504] == 1;
            }
            (pieces, Some(size))
        } else if records.map_is_in_data() {
            let (pieces, taken) = read_map(&mut self.data())?;
            debug_assert!(taken % BLOCK == 0);
            (pieces, records.number("GNU.sparse.realsize")?)
        } else if let Some(pieces) = records.pieces()? {
            (pieces, records.number("GNU.sparse.size")?)
        } else {
            return Ok(None);
        };
        let size = size.ok_or_else(|| bad("a sparse file has no size"))?;
        let (mut end, mut stored) = (0_u64, 0_u64);
        for piece in &pieces {
            let next = piece
                .offset
                .checked_add(piece.length)
                .filter(|_| piece.offset >= end);
            end = next.ok_or_else(|| bad("the pieces of a sparse file are not in order"))?;
            stored += piece.length;
        }
        match end <= size && stored == self.left {
            true => Ok(Some((pieces, size))),
            false => Err(bad("the map of a sparse file does not fit it")),
        }
    }
}

/// A time that nanoseconds since 1970 cannot say is 1970, as containerd has it.
fn bounded((seconds, nanoseconds): (i64, i64)) -> (i64, i64) {
    let all = seconds.checked_mul(1_000_000_000);
    let all = all.and_then(|all| all.checked_add(nanoseconds));
    match all.is_some_and(|all| all >= 0) {
        true => (seconds, nanoseconds),
        false => (0, 0),
    }
}

/// The data of a member.
pub struct Data<'a, R> {
    archive: &'a mut Archive<R>,
}

impl<R: BufRead> BufRead for Data<'_, R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.archive.left == 0 {
            return Ok(&[]);
        }
        let data = self.archive.reader.fill_buf()?;
        if data.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let length = data
            .len()
            .min(usize::try_from(self.archive.left).unwrap_or(usize::MAX));
        Ok(&data[..length])
    }

    fn consume(&mut self, amount: usize) {
        self.archive.left -= amount as u64;
        self.archive.reader.consume(amount);
    }
}

impl<R: BufRead> Read for Data<'_, R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let data = self.fill_buf()?;
        let length = data.len().min(into.len());
        into[..length].copy_from_slice(&data[..length]);
        self.consume(length);
        Ok(length)
    }
}
