//! Archives by chance, as tools of all times write them. What containerd means otherwise than GNU tar is left out: whiteouts,
//! attributes that it does not take, links that lead out of the archive and have members beneath them, hard links that say
//! something else than their file, new attributes of a folder that is there, and folders with set-group-id. So is what takes
//! the place of a folder: GNU tar refuses it if that is not empty, and containerd gives it the time of the folder.

use std::collections::BTreeMap;

use tar::Header;

use crate::chance::Chance;

/// What a member is like, apart from what it is.
#[derive(Clone)]
struct Looks {
    mode: u32,
    owner: (u64, u64),
    /// As a PAX record has it.
    time: String,
    attributes: Vec<(&'static str, Vec<u8>)>,
}

/// What is at a path.
#[derive(Clone)]
enum There {
    Folder(Looks),
    /// A link to a folder of the archive.
    Through(String, Looks),
    Other(Looks),
}

impl There {
    fn looks(&self) -> &Looks {
        match self {
            Self::Folder(looks) | Self::Through(_, looks) | Self::Other(looks) => looks,
        }
    }
}

/// An archive that is written.
struct Writer<'a> {
    chance: &'a mut Chance,
    archive: Vec<u8>,
    there: BTreeMap<String, There>,
}

/// A member, before it is known how it is written.
struct Member {
    path: Vec<u8>,
    kind: u8,
    looks: Looks,
    target: Vec<u8>,
    device: (u32, u32),
    data: Vec<u8>,
    records: Vec<(String, Vec<u8>)>,
    /// Of a sparse file in GNU's old form: its pieces and its size.
    old_map: Option<(Vec<(u64, u64)>, u64)>,
}

/// An archive of up to so many members.
pub fn random(chance: &mut Chance, members: u64) -> Vec<u8> {
    let count = 1 + chance.below(members);
    let mut writer = Writer {
        chance,
        archive: Vec::new(),
        there: BTreeMap::new(),
    };
    for _ in 0..count {
        writer.add();
    }
    let Writer { mut archive, .. } = writer;
    archive.resize(archive.len() + 1024, 0);
    archive
}

impl Writer<'_> {
    fn add(&mut self) {
        let path = self.path();
        let place = self.place(&path);
        let is_folder = matches!(self.there.get(&place), Some(There::Folder(_)));
        let mut member = Member {
            path: path.clone().into_bytes(),
            kind: b'0',
            looks: self.looks(),
            target: Vec::new(),
            device: (0, 0),
            data: Vec::new(),
            records: Vec::new(),
            old_map: None,
        };
        let mut is_now = There::Other(member.looks.clone());
        match self.chance.below(20) {
            0..5 => {
                member.kind = b'5';
                member.looks.mode &= !0o2000;
                if is_folder {
                    member.looks.attributes = self.there[&place].looks().attributes.clone();
                }
                is_now = There::Folder(member.looks.clone());
            }
            5..7 => {
                member.looks.attributes.clear();
                (member.kind, member.target) = (b'2', self.link_target());
                is_now = There::Other(member.looks.clone());
            }
            7 => match self.sibling(&place) {
                None => return,
                Some((target, folder)) => {
                    member.looks.attributes.clear();
                    (member.kind, member.target) = (b'2', target.into_bytes());
                    is_now = There::Through(folder, member.looks.clone());
                }
            },
            // Before what it leads to.
            8 if self.chance.once_in(20) => {
                (member.kind, member.target) = (b'1', b"n0/n1/later".to_vec());
            }
            8..11 => match self.other_file(&place) {
                None => return,
                Some(target) => {
                    let there = self.there[&target].clone();
                    member.looks = there.looks().clone();
                    (member.kind, member.target) = (b'1', target.into_bytes());
                    // From another folder a link leads elsewhere.
                    is_now = There::Other(member.looks.clone());
                }
            },
            11 => {
                member.looks.attributes.clear();
                member.kind = *self.chance.of(b"346");
                let part = |chance: &mut Chance, end| u32::try_from(chance.below(end)).unwrap();
                if member.kind != b'6' {
                    let (major, minor) = (part(self.chance, 4096), part(self.chance, 1 << 20));
                    // 0:0 is what overlayfs takes for a whiteout.
                    member.device = (major.max(1), minor);
                }
                is_now = There::Other(member.looks.clone());
            }
            12..15 => self.sparse(&mut member),
            _ => {
                let length = self.chance.size(3000);
                member.data = self.chance.bytes(length);
                if self.chance.once_in(20) {
                    member.kind = b'7';
                }
            }
        }
        if member.kind == b'5' {
            // A link in it could lead elsewhere later.
            member.path = place.clone().into_bytes();
        } else if is_folder {
            return;
        }
        let ends = place.bytes().enumerate().filter(|(_, byte)| *byte == b'/');
        for end in ends.map(|(end, _)| end).collect::<Vec<_>>() {
            let implied = There::Folder(Looks {
                attributes: Vec::new(),
                ..member.looks.clone()
            });
            self.there.entry(place[..end].to_owned()).or_insert(implied);
        }
        self.there.insert(place, is_now);
        self.write(member);
    }

    /// A name in a folder that is there, or in a new one.
    fn path(&mut self) -> String {
        let folders: Vec<String> = self
            .there
            .iter()
            .filter(|(path, there)| {
                let leads = match there {
                    There::Folder(_) => true,
                    There::Through(to, _) => matches!(self.there.get(to), Some(There::Folder(_))),
                    There::Other(_) => false,
                };
                leads && path.len() < 900
            })
            .map(|(path, _)| path.clone())
            .collect();
        let mut parts = Vec::new();
        if !folders.is_empty() && !self.chance.once_in(4) {
            parts.push(self.chance.of(&folders).clone());
        }
        if self.chance.once_in(8) {
            parts.push(format!("new{}", self.chance.below(1000)));
        }
        parts.push(match self.chance.below(12) {
            0 => "long".repeat(10 + self.chance.size(50)),
            1 => format!("ü \n{}", self.chance.below(3)),
            _ => format!("n{}", self.chance.below(6)),
        });
        parts.join("/")
    }

    /// Where a path leads: no link is behind another one.
    fn place(&self, path: &str) -> String {
        let Some((folder, name)) = path.rsplit_once('/') else {
            return path.to_owned();
        };
        let folder = self.place(folder);
        match self.there.get(&folder) {
            Some(There::Through(to, _)) => format!("{to}/{name}"),
            _ => format!("{folder}/{name}"),
        }
    }

    /// A target for a link that nothing is beneath.
    fn link_target(&mut self) -> Vec<u8> {
        match self.chance.below(5) {
            0 => b"/etc/passwd".to_vec(),
            1 => b"../../../n0".to_vec(),
            2 => "../".repeat(self.chance.size(120) + 1).into_bytes(),
            3 => b"n1".to_vec(),
            _ => b"no/where".to_vec(),
        }
    }

    /// A folder beside a path that is not in it: its name, and where it is.
    fn sibling(&mut self, place: &str) -> Option<(String, String)> {
        let above = place.rsplit_once('/').map(|(above, _)| above);
        let beside: Vec<String> = self
            .there
            .iter()
            .filter(|(path, there)| {
                matches!(there, There::Folder(_))
                    && path.rsplit_once('/').map(|(above, _)| above) == above
                    && *path != place
            })
            .map(|(path, _)| path.clone())
            .collect();
        let folder = (!beside.is_empty()).then(|| self.chance.of(&beside).clone())?;
        let name = folder.rsplit('/').next()?.to_owned();
        Some((name, folder))
    }

    /// Something to link to that another member does not take along.
    fn other_file(&mut self, place: &str) -> Option<String> {
        let below = format!("{place}/");
        let files: Vec<String> = self
            .there
            .iter()
            .filter(|(path, there)| {
                !matches!(there, There::Folder(_)) && *path != place && !path.starts_with(&below)
            })
            .map(|(path, _)| path.clone())
            .collect();
        (!files.is_empty()).then(|| self.chance.of(&files).clone())
    }

    fn looks(&mut self) -> Looks {
        let chance = &mut *self.chance;
        let id = |chance: &mut Chance| match chance.below(6) {
            0 => 3_000_000,
            1 => 2_000_000_000 + chance.below(100),
            2 => 0o7_777_777,
            _ => chance.below(3),
        };
        let time = match chance.below(12) {
            0 => "-5".to_owned(),
            1 => "-0.25".to_owned(),
            2 => "-1000000000.75".to_owned(),
            3 => "0".to_owned(),
            4 => "8589934592".to_owned(),
            5 => "9223372036.854775807".to_owned(),
            6 => "9223372037".to_owned(),
            7 => "250000000000.5".to_owned(),
            8 => format!("1234567890.{}", chance.below(1_000_000_000_000)),
            _ => format!("{}", 1_000_000_000 + chance.below(1000)),
        };
        let mut attributes = Vec::new();
        if chance.once_in(6) {
            let length = chance.size(300);
            attributes.push(("user.one", chance.bytes(length)));
        }
        if chance.once_in(10) {
            attributes.push(("user.two", b"a\nb\0".to_vec()));
        }
        Looks {
            mode: u32::try_from(chance.below(0o10000)).unwrap(),
            owner: (id(chance), id(chance)),
            time,
            attributes,
        }
    }

    /// Makes a member a sparse file, in one of the four forms.
    fn sparse(&mut self, member: &mut Member) {
        let (mut pieces, mut end) = (Vec::new(), 0);
        for _ in 0..self.chance.below(40) {
            // GNU tar takes each piece for whole blocks; others, containerd too, for what it says.
            let (offset, length) = (
                end + self.chance.below(2000),
                512 * (1 + self.chance.below(3)),
            );
            pieces.push((offset, length));
            end = offset + length;
        }
        let size = end + self.chance.below(2) * 10_000;
        // Only the last one can end within a block.
        if let Some((_, length)) = pieces.last_mut().filter(|_| size == end) {
            *length -= self.chance.below(512);
        }
        let end = pieces.last().map_or(0, |(offset, length)| offset + length);
        let size = if size - end < 512 { end } else { size };
        // GNU tar writes it where the file ends with a hole.
        if size > end || pieces.is_empty() {
            pieces.push((size, 0));
        }
        let stored = pieces.iter().map(|(_, length)| *length).sum::<u64>();
        member.data = self.chance.bytes(usize::try_from(stored).unwrap());
        let mut say = |name: &str, value: String| {
            member
                .records
                .push((format!("GNU.sparse.{name}"), value.into_bytes()));
        };
        let name = String::from_utf8(member.path.clone()).unwrap();
        let count = pieces.len();
        let flat = pieces
            .iter()
            .flat_map(|(offset, length)| [*offset, *length]);
        match self.chance.below(4) {
            0 => {
                say("size", size.to_string());
                say("numblocks", count.to_string());
                for (offset, length) in &pieces {
                    say("offset", offset.to_string());
                    say("numbytes", length.to_string());
                }
            }
            1 => {
                let map: Vec<String> = flat.map(|number| number.to_string()).collect();
                say("size", size.to_string());
                say("numblocks", count.to_string());
                say("name", name);
                say("map", map.join(","));
            }
            2 => {
                let map: String = flat.map(|number| format!("{number}\n")).collect();
                let mut data = format!("{count}\n{map}").into_bytes();
                data.resize(data.len().next_multiple_of(512), 0);
                data.append(&mut member.data);
                member.data = data;
                say("major", "1".to_owned());
                say("minor", "0".to_owned());
                say("name", name);
                say("realsize", size.to_string());
            }
            _ => {
                member.kind = b'S';
                member.old_map = Some((pieces, size));
            }
        }
    }

    /// Writes a member in a form that can have it.
    fn write(&mut self, mut member: Member) {
        let Looks {
            mode,
            owner,
            time,
            attributes,
        } = member.looks.clone();
        if member.kind == b'5' && self.chance.once_in(2) {
            member.path.push(b'/');
        }
        // To GNU tar a folder of two spellings is two folders, of which the first says what it is like.
        if member.kind != b'5' && self.chance.once_in(8) {
            member.path = [b"./", &member.path[..]].concat();
        }
        for (name, value) in attributes {
            member.records.push((format!("SCHILY.xattr.{name}"), value));
        }
        let is_long = member.path.len() > 100 || member.target.len() > 100;
        let is_large = owner.0.max(owner.1) > 0o7_777_777;
        let seconds: Option<i64> = time.parse().ok();
        let is_odd = seconds.is_none_or(|seconds| !(0..1 << 33).contains(&seconds));
        let is_pax = !member.records.is_empty() || seconds.is_none() || self.chance.once_in(3);
        let is_gnu = !is_pax && (is_long || is_large || is_odd || self.chance.once_in(3));
        let is_old = !is_pax && !is_gnu && self.chance.once_in(2) && b"0125".contains(&member.kind);
        let mut header = match is_old {
            true => Header::new_old(),
            false if is_gnu || member.kind == b'S' => Header::new_gnu(),
            false => Header::new_ustar(),
        };
        header.set_mode(mode);
        header.set_mtime(u64::try_from(seconds.unwrap_or(1)).unwrap_or_default());
        header.set_size(member.data.len() as u64);
        if is_pax {
            let mut say = |name: &str, value: &[u8]| {
                member.records.push((name.to_owned(), value.to_vec()));
            };
            say("mtime", time.as_bytes());
            say("uid", owner.0.to_string().as_bytes());
            say("gid", owner.1.to_string().as_bytes());
            if member.path.len() > 100 {
                say("path", &member.path.clone());
            }
            if member.target.len() > 100 {
                say("linkpath", &member.target.clone());
            }
            let text = member.records.iter();
            let text: Vec<u8> = text.flat_map(|(name, value)| record(name, value)).collect();
            self.append(Header::new_ustar(), b'x', b"extended", &text);
        } else {
            header.set_uid(owner.0);
            header.set_gid(owner.1);
            if let Some(before @ ..0) = seconds {
                let mut field = [0xff; 12];
                field[4..].copy_from_slice(&before.to_be_bytes());
                header.as_old_mut().mtime = field;
            }
            for (kind, text) in [(b'K', &member.target), (b'L', &member.path)] {
                if text.len() > 100 {
                    let text = [&text[..], b"\0"].concat();
                    self.append(Header::new_gnu(), kind, b"././@LongLink", &text);
                }
            }
        }
        if matches!(member.kind, b'3' | b'4') {
            header.set_device_major(member.device.0).unwrap();
            header.set_device_minor(member.device.1).unwrap();
        }
        let target = &member.target[..member.target.len().min(100)];
        header.as_old_mut().linkname[..target.len()].copy_from_slice(target);
        // Folders have no type of their own in the oldest archives, and files the type zero.
        let kind = match (is_old, member.kind) {
            (true, b'5') => {
                if !member.path.ends_with(b"/") {
                    member.path.push(b'/');
                }
                0
            }
            (true, b'0') => 0,
            (_, kind) => kind,
        };
        let mut blocks = Vec::new();
        if let Some((pieces, size)) = &member.old_map {
            blocks = map(&mut header, pieces, *size);
        }
        blocks.extend_from_slice(&member.data);
        let path = member.path.clone();
        self.append(header, kind, &path, &blocks);
    }

    fn append(&mut self, mut header: Header, kind: u8, name: &[u8], data: &[u8]) {
        let fields = header.as_old_mut();
        let name = &name[..name.len().min(100)];
        fields.name[..name.len()].copy_from_slice(name);
        fields.linkflag = [kind];
        if matches!(kind, b'x' | b'L' | b'K') {
            header.set_size(data.len() as u64);
            header.set_mode(0o644);
            header.set_uid(0);
            header.set_gid(0);
            header.set_mtime(0);
        }
        header.set_cksum();
        self.archive.extend_from_slice(header.as_bytes());
        self.archive.extend_from_slice(data);
        let length = self.archive.len().next_multiple_of(512);
        self.archive.resize(length, 0);
    }
}

/// The map of a sparse file in GNU's old form: four pieces in the header, and twenty-one in each block behind it.
fn map(header: &mut Header, pieces: &[(u64, u64)], size: u64) -> Vec<u8> {
    let entry = |(offset, length): &(u64, u64)| format!("{offset:011o}\0{length:011o}\0");
    let (first, rest) = pieces.split_at(pieces.len().min(4));
    let fields = header.as_mut_bytes();
    let first: String = first.iter().map(entry).collect();
    fields[386..386 + first.len()].copy_from_slice(first.as_bytes());
    fields[482] = u8::from(!rest.is_empty());
    fields[483..495].copy_from_slice(format!("{size:011o}\0").as_bytes());
    let mut blocks = Vec::new();
    for (number, part) in rest.chunks(21).enumerate() {
        let mut block: Vec<u8> = part.iter().map(entry).collect::<String>().into_bytes();
        block.resize(512, 0);
        block[504] = u8::from((number + 1) * 21 < rest.len());
        blocks.extend_from_slice(&block);
    }
    blocks
}

/// A PAX record, which begins with its own length.
fn record(name: &str, value: &[u8]) -> Vec<u8> {
    let rest = name.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length += 1;
    }
    let length = length.to_string();
    [length.as_bytes(), b" ", name.as_bytes(), b"=", value, b"\n"].concat()
}
