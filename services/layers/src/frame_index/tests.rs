use std::{collections::BTreeMap, io::Read as _, io::Seek as _};

use serde_json::{Value, json};

use super::{text::Text, *};
use crate::spool::{Spool, SpoolFile};

fn layer(archive_bytes: u64) -> LayerFrames {
    let digest = Digest::of("x");
    let frames = archive_bytes.div_ceil(FRAME as u64).max(1);
    LayerFrames {
        digest: digest.clone(),
        bytes: 10 * frames,
        diff_id: digest.clone(),
        archive_bytes,
        frames: (0..frames).map(|_| Frame(10, digest.clone())).collect(),
    }
}

fn entry(path: &str, r#type: Type) -> Entry {
    let link = matches!(r#type, Type::Symlink | Type::Hardlink);
    Entry {
        path: Text(path.into()),
        r#type,
        mode: 0o644,
        uid: 1,
        gid: 2,
        size: 0,
        mtime: (-5, 7),
        link: link.then(|| Text(b"a".to_vec())),
        xattrs: Vec::new(),
        device: None,
        layer: 0,
        offset: 0,
        pieces: None,
        hidden: false,
    }
}

fn merged(layers: Vec<Vec<Entry>>) -> Vec<u8> {
    let layers = layers.into_iter().map(|entries| {
        let mut rows = Rows::new(spool_file());
        for entry in &entries {
            rows.add(entry).unwrap();
        }
        (layer(1_000_000), rows)
    });
    let file = spool_file();
    Merge::new(layers.collect()).write(&file).unwrap();
    read_all(file)
}

fn spool_file() -> SpoolFile {
    Spool::new(&std::env::temp_dir(), 0).file().unwrap()
}

fn read_all(file: SpoolFile) -> Vec<u8> {
    let (mut file, mut blob) = (file.into_file(), Vec::new());
    file.rewind().unwrap();
    file.read_to_end(&mut blob).unwrap();
    blob
}

fn entries(blob: &[u8]) -> Result<Vec<Entry>, String> {
    let mut all = Vec::new();
    let index = FrameIndex::open(blob).map_err(|error| error.to_string())?;
    index
        .entries(|entry| {
            all.push(entry);
            Ok(())
        })
        .map_err(|error| error.to_string())?;
    Ok(all)
}

/// What the image has: paths, and the layers that they are of.
fn tree(layers: Vec<Vec<Entry>>) -> BTreeMap<String, u32> {
    let all = entries(&merged(layers)).unwrap();
    let there = all.into_iter().filter(|entry| !entry.hidden);
    let mut tree = BTreeMap::new();
    for entry in there {
        let path = String::from_utf8(entry.path.0).unwrap();
        assert_eq!(tree.insert(path, entry.layer), None, "twice");
    }
    tree
}

#[test]
fn the_tree_is_what_is_left_when_the_layers_are_put_on_top_of_each_other() {
    use Type::{File, Folder, Opaque, Symlink, Whiteout};
    let base = || {
        vec![
            entry("a", Folder),
            entry("a/b", Folder),
            entry("a/b/c", File),
            entry("a/d", File),
            entry("ab", File),
        ]
    };
    let is = |upper: Vec<Entry>, expected: &[(&str, u32)]| {
        let expected = expected
            .iter()
            .map(|(path, layer)| ((*path).to_owned(), *layer));
        assert_eq!(tree(vec![base(), upper]), expected.collect());
    };
    let all = [("a", 0), ("a/b", 0), ("a/b/c", 0), ("a/d", 0), ("ab", 0)];
    is(Vec::new(), &all);
    is(
        vec![entry("a/b", Whiteout)],
        &[("a", 0), ("a/d", 0), ("ab", 0)],
    );
    is(
        vec![entry("a", Folder), entry("a", Opaque), entry("a/d", File)],
        &[("a", 1), ("a/d", 1), ("ab", 0)],
    );
    is(vec![entry("", Opaque), entry("n", File)], &[("n", 1)]);
    // A folder that is said again keeps what is in it; one that becomes something else does not.
    is(
        vec![entry("a/b", Folder)],
        &[("a", 0), ("a/b", 1), ("a/b/c", 0), ("a/d", 0), ("ab", 0)],
    );
    is(vec![entry("a", Symlink)], &[("a", 1), ("ab", 0)]);
    // The last one counts, also where it takes the place of a folder.
    let twice = vec![
        entry("f", Folder),
        entry("f/in", File),
        entry("g", Symlink),
        entry("f", File),
        entry("g", File),
    ];
    let expected = [("f".to_owned(), 0), ("g".to_owned(), 0)];
    assert_eq!(tree(vec![twice]), expected.into());
    // What is hidden is still told, for whoever wants the layer.
    let blob = merged(vec![base(), vec![entry("a", Whiteout)]]);
    assert_eq!(entries(&blob).unwrap().len(), 6);
}

#[test]
fn an_entry_is_read_as_it_was_written_whatever_bytes_its_names_have() {
    let all = vec![
        Entry {
            path: Text(b"a/\xff\n\"".to_vec()),
            size: 1 << 40,
            offset: 512,
            pieces: Some(vec![(0, 3), (1 << 30, 4)]),
            xattrs: vec![(Text(b"user.x".to_vec()), Text(vec![0, 255]))],
            ..entry("", Type::File)
        },
        Entry {
            device: Some((8, 1)),
            ..entry("dev", Type::Block)
        },
        entry("l", Type::Symlink),
    ];
    assert_eq!(entries(&merged(vec![all.clone()])).unwrap(), all);
}

fn blob(lines: &[Value]) -> Vec<u8> {
    let lines: String = lines.iter().map(|line| format!("{line}\n")).collect();
    zstd::encode_all(lines.as_bytes(), 1).unwrap()
}

fn head(layers: &[LayerFrames]) -> Value {
    json!({ "version": 1, "frame_bytes": FRAME, "layers": layers })
}

#[test]
fn an_index_that_cannot_be_true_is_refused() {
    let good = serde_json::to_value(entry("a", Type::File)).unwrap();
    let is_read = |head: &Value, entry: &Value| entries(&blob(&[head.clone(), entry.clone()]));
    let layers = [layer(1000)];
    assert!(is_read(&head(&layers), &good).is_ok());
    for (change, said) in [
        (json!({ "path": "../a" }), "leads elsewhere"),
        (json!({ "path": "/a" }), "leads elsewhere"),
        (json!({ "path": "a//b" }), "leads elsewhere"),
        (json!({ "path": "a/./b" }), "leads elsewhere"),
        (json!({ "path": "" }), "leads elsewhere"),
        (json!({ "path": "a\u{0}b" }), "leads elsewhere"),
        (
            json!({ "path": "a/".repeat(3000) + "b" }),
            "leads elsewhere",
        ),
        (json!({ "layer": 1 }), "a layer that there is not"),
        (json!({ "size": 1001 }), "behind the end"),
        (json!({ "offset": u64::MAX, "size": 2 }), "behind the end"),
        (json!({ "size": 9, "pieces": [[0, u64::MAX]] }), "pieces"),
        (json!({ "size": 9, "pieces": [[5, 1], [0, 1]] }), "pieces"),
        (
            json!({ "size": u64::MAX, "pieces": [[0, 600], [600, 600]] }),
            "behind the end",
        ),
        (json!({ "mode": 0o10000 }), "mode"),
        (json!({ "mtime": [0, 1_000_000_000] }), "time"),
        (json!({ "link": "a" }), "not what it says"),
        (json!({ "type": "symlink" }), "not what it says"),
        (json!({ "type": "char" }), "not what it says"),
        (json!({ "type": "hardlink", "link": "../a" }), "hard link"),
        (json!({ "type": "whiteout" }), "hides others"),
        (json!({ "type": "folder", "size": 1 }), "is no file"),
        (json!({ "type": "door" }), "unknown variant"),
        (json!({ "xattrs": [["", "a"]] }), "extended attributes"),
        (
            json!({ "xattrs": [["a", "b".repeat(70_000)]] }),
            "extended attributes",
        ),
        (json!({ "path": { "base64": "?" } }), "path"),
        (json!({ "link": "b".repeat(300_000) }), "too long"),
        (json!({ "uid": 1_u64 << 32 }), "u32"),
    ] {
        let mut bad = good.clone();
        for (name, value) in change.as_object().unwrap() {
            bad[name] = value.clone();
        }
        let error = is_read(&head(&layers), &bad).unwrap_err();
        let is_meant = error.contains(said) || said == "path";
        assert!(is_meant, "{change}: {error}");
    }
    let lying = |change: fn(&mut LayerFrames)| {
        let mut layer = layer(1_000_000);
        change(&mut layer);
        head(&[layer])
    };
    for bad in [
        lying(|layer| layer.bytes += 1),
        lying(|layer| layer.archive_bytes += FRAME as u64),
        lying(|layer| layer.archive_bytes = u64::MAX),
        lying(|layer| drop(layer.frames.pop())),
        lying(|layer| layer.frames[0].0 += 1),
        json!({ "version": 2, "frame_bytes": FRAME, "layers": [] }),
        json!({ "version": 1, "frame_bytes": 1, "layers": [] }),
        json!({ "version": 1, "frame_bytes": FRAME, "layers": [{ "digest": "md5:1" }] }),
        head(&vec![layer(1); 1001]),
    ] {
        assert!(is_read(&bad, &good).is_err(), "{bad}");
    }
    let whole = blob(&[head(&layers), good.clone()]);
    for cut in [0, 1, whole.len() / 2, whole.len() - 1] {
        assert!(entries(&whole[..cut]).is_err(), "{cut}");
    }
    let no_end = zstd::encode_all(format!("{}\n{good}", head(&layers)).as_bytes(), 1).unwrap();
    assert!(entries(&no_end).is_err());
    let mut many = format!("{}\n", head(&layers));
    many.extend(std::iter::repeat_n(format!("{good}\n"), 500_001));
    let many = zstd::encode_all(many.as_bytes(), 1).unwrap();
    assert!(entries(&many).unwrap_err().contains("more than 500000"));
}

#[test]
fn a_small_blob_cannot_become_more_than_an_index_ever_has() {
    let read = |text: Vec<u8>| {
        let blob = zstd::encode_all(&text[..], 1).unwrap();
        assert!(blob.len() < 1_000_000, "{}", blob.len());
        entries(&blob).unwrap_err()
    };
    let too_long = vec![b' '; usize::try_from(MAX_HEAD).unwrap() + 1];
    assert!(read(too_long).contains("too long"));
    // As many frames as there can be are still read, and no more are written.
    let limit = MAX_FRAMES as u64 * FRAME as u64;
    for (bytes, is_written) in [(limit, true), (limit + 1, false)] {
        let layers = vec![(layer(bytes), Rows::new(spool_file()))];
        let file = spool_file();
        let written = Merge::new(layers).write(&file);
        assert_eq!(written.is_ok(), is_written, "{written:?}");
        if is_written {
            assert_eq!(entries(&read_all(file)).unwrap(), Vec::new());
        }
    }
    let too_many = format!("{}\n", head(&[layer(limit + 1)]));
    assert!(read(too_many.into_bytes()).contains("frames"));
}

#[test]
fn all_entries_together_have_a_limit_beside_that_of_each() {
    let small = entry("a", Type::File);
    let long = Entry {
        path: Text(vec![b'a'; 4096]),
        ..small.clone()
    };
    for (entry, line, fit) in [
        (&small, 256 * 1024, 1024),
        (&long, 4500, 8192),
        (&small, 100, 500_000),
        (&small, 256 * 1024 + 1, 0),
    ] {
        let mut size = size::Size::default();
        for _ in 0..fit {
            size.add(entry, line).unwrap();
        }
        assert!(
            size.add(entry, line).is_err(),
            "{fit} lines of {line} bytes"
        );
    }
}
