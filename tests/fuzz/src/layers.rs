use std::{
    fs,
    io::Read as _,
    os::unix::{ffi::OsStrExt as _, fs::MetadataExt as _},
    path::Path,
};

use bytes::Bytes;
use hearth_layers::fuzzing;
use tar::{EntryType, Header};

/// Bytes of an archive that are decoded.
const MAX_ARCHIVE: usize = 4 * 1024 * 1024;
/// Members of an archive.
const MAX_MEMBERS: usize = 200;

/// Reads the input as a blob of zstd that arrives in pieces; the first byte says how long these are.
///
/// What is decoded is what zstd decodes from one end to the other, in whatever pieces it comes.
pub fn frames(data: &[u8]) {
    let (length, blob) = data.split_first().unwrap_or((&0, &[]));
    if !blob.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        return;
    }
    let pieces = blob.chunks(usize::from(*length) * 64 + 1);
    let pieces: Vec<Bytes> = pieces.map(Bytes::copy_from_slice).collect();
    let (decoded, ended) = fuzzing::decode(&pieces, MAX_ARCHIVE);
    let mut expected = Vec::new();
    let limit = MAX_ARCHIVE as u64;
    let decoder = zstd::Decoder::with_buffer(blob).map(|decoder| decoder.take(limit));
    let expects = decoder.and_then(|mut decoder| decoder.read_to_end(&mut expected));
    if decoded.len() >= MAX_ARCHIVE || expected.len() >= MAX_ARCHIVE {
        let both = decoded.len().min(expected.len());
        assert!(decoded[..both] == expected[..both]);
        return;
    }
    match (&ended, &expects) {
        (Ok(()), Ok(_)) => assert!(decoded == expected),
        // A frame that says its length needs no window, and so none that is too large.
        (Err(_), Err(_)) => {}
        (Ok(()), Err(error)) => assert!(error.to_string().contains("memory"), "{error}"),
        (Err(error), Ok(_)) => assert!(error.to_string().contains("memory"), "{error}"),
    }
}

/// Reads each line of the input as a member of an archive: its type, its path, and where it leads or what it has. `OUT` is a
/// folder beside that which the archive is unpacked into. With an `^` at the beginning there are layers below.
///
/// Nothing is written outside of the folder. If a push writes an index of it, that can be read.
pub fn layer(data: &[u8]) {
    let Ok(outer) = tempfile::tempdir() else {
        return;
    };
    let (inner, out) = (outer.path().join("in"), outer.path().join("out"));
    fs::create_dir(&inner).expect("a folder");
    fs::create_dir(&out).expect("a folder");
    fs::write(out.join("file"), "mine").expect("a file");
    let before = seen(outer.path());
    let text = replace(data, b"OUT", out.as_os_str().as_bytes());
    let lines = text.split(|byte| *byte == b'\n').take(MAX_MEMBERS);
    let mut archive: Vec<u8> = lines.flat_map(member).collect();
    archive.resize(archive.len() + 1024, 0);
    let _ = fuzzing::unpack(&archive, &inner, data.starts_with(b"^"));
    assert_eq!(seen(outer.path()), before);
    fuzzing::index(&[&archive]).expect("an index");
}

/// A member of an archive. Its header is one, whatever it says.
fn member(line: &[u8]) -> Vec<u8> {
    let line = line.strip_prefix(b"^").unwrap_or(line);
    let mut parts = line.splitn(3, |byte| *byte == b' ');
    let kind = parts.next().and_then(|kind| kind.first()).copied();
    let Some(kind) = kind else {
        return Vec::new();
    };
    let (path, rest) = (
        parts.next().unwrap_or_default(),
        parts.next().unwrap_or_default(),
    );
    let mut header = Header::new_ustar();
    if let Some(fields) = header.as_ustar_mut() {
        let name = &path[..path.len().min(100)];
        fields.name[..name.len()].copy_from_slice(name);
        let target = &rest[..rest.len().min(100)];
        fields.linkname[..target.len()].copy_from_slice(target);
    }
    // Also set-group-id, which changes what the kernel gives new files.
    header.set_mode(if path.len() % 2 == 0 { 0o644 } else { 0o2775 });
    header.set_uid(rest.len() as u64 % 2);
    header.set_gid(path.len() as u64 % 3);
    header.set_mtime(1);
    let has_data = matches!(kind, b'0' | b'7' | b'S' | b'L' | b'K' | b'x' | b'g');
    let data = match kind {
        _ if !has_data => Vec::new(),
        b'x' | b'g' => record(path, rest),
        _ => rest.to_vec(),
    };
    header.set_entry_type(EntryType::new(kind));
    header.set_size(data.len() as u64);
    header.set_cksum();
    let mut member = [header.as_bytes(), &data[..]].concat();
    member.resize(member.len().next_multiple_of(512), 0);
    member
}

/// A PAX record, which begins with its own length.
fn record(name: &[u8], value: &[u8]) -> Vec<u8> {
    let rest = name.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length += 1;
    }
    let length = length.to_string();
    [length.as_bytes(), b" ", name, b"=", value, b"\n"].concat()
}

/// What there is beside the folder that is written into.
fn seen(outer: &Path) -> Vec<String> {
    let paths = ["", "out", "out/file"].map(|path| outer.join(path));
    let mut seen: Vec<String> = paths
        .iter()
        .map(|path| {
            let metadata = fs::symlink_metadata(path).expect("it was there");
            let (mode, owner) = (metadata.mode(), (metadata.uid(), metadata.gid()));
            let time = (metadata.mtime(), metadata.mtime_nsec());
            let (size, links) = (metadata.size(), metadata.nlink());
            format!("{mode:o} {owner:?} {time:?} {size} {links}")
        })
        .collect();
    for folder in [outer, &outer.join("out")] {
        let entries = fs::read_dir(folder).expect("a folder").flatten();
        let mut names: Vec<_> = entries.map(|entry| entry.file_name()).collect();
        names.sort();
        seen.push(format!("{names:?}"));
    }
    seen.push(fs::read_to_string(outer.join("out/file")).expect("a file"));
    seen
}

fn replace(text: &[u8], what: &[u8], by: &[u8]) -> Vec<u8> {
    let mut replaced = Vec::new();
    let mut at = 0;
    while at < text.len() {
        if text[at..].starts_with(what) {
            replaced.extend_from_slice(by);
            at += what.len();
        } else {
            replaced.push(text[at]);
            at += 1;
        }
    }
    replaced
}
