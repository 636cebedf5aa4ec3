//! An image that hearth unpacks is the one that the engine unpacks.

use std::{collections::BTreeSet, path::PathBuf};

use hearth_tests::process::eventually;
use tar::EntryType;

use crate::{
    archive::{Encoding, Member, file, folder, hard_link, member, symlink},
    listing::list,
    registry::Registry,
    world::Engine,
};

/// Capabilities of a file: `cap_net_raw+ep`. They have zeros, and could have line feeds.
const CAPABILITY: [u8; 20] = [
    1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
];

/// A list of permissions for new files: `u::rwx,g::---,o::---` (the kernel's `posix_acl_xattr.h`).
const ACCESS: [u8; 28] = [
    2, 0, 0, 0, 1, 0, 7, 0, 255, 255, 255, 255, 4, 0, 0, 0, 255, 255, 255, 255, 32, 0, 0, 0, 255,
    255, 255, 255,
];

fn base() -> Vec<Member> {
    let long = format!(
        "long/{}",
        ["x".repeat(80), "y".repeat(90), "z".repeat(200)].join("/")
    );
    vec![
        folder("./").mode(0o700),
        folder("bin").mode(0o1777),
        file("bin/su", "root").mode(0o4755).owner(0, 42),
        file("bin/setgid", "").mode(0o2711).owner(1000, 3_000_000),
        file("bin/ping", "ping")
            .mode(0o755)
            .attribute("security.capability", CAPABILITY),
        file("bin/mine", "mine")
            .attribute("user.note", "a\nb\0c")
            .owner(2_000_000_000, 7),
        hard_link("bin/sudo", "bin/su").mode(0o4755).owner(0, 42),
        folder("etc")
            .attribute("user.folder", "1")
            .modified("1500000000"),
        folder("etc/deep").mode(0o750).owner(5, 6),
        // A layer does not say where overlayfs finds what it does not have.
        folder("etc/elsewhere").attribute("trusted.overlay.redirect", "/bin"),
        folder("etc/alone").attribute("trusted.overlay.opaque", "y"),
        file("etc/trusted", "").attribute("trusted.x", "1"),
        file("etc/deep/x", "x").modified("-5"),
        file("etc/fraction", "").modified("1600000000.5"),
        file("etc/last", "").modified("9223372036.854775807"),
        file("etc/later", "").modified("9223372036.854775808"),
        file("etc/never", "").modified("250000000000"),
        hard_link("lib/across", "etc/deep/x")
            .mode(0o600)
            .owner(7, 8),
        hard_link("lib/ping", "bin/ping")
            .mode(0o755)
            .attribute("security.capability", CAPABILITY),
        symlink("etc/absolute", "/bin/su").owner(3, 4),
        hard_link("lib/to-link", "etc/absolute").owner(3, 4),
        symlink("etc/relative", "../bin/su"),
        symlink("etc/dangling", "/no/where"),
        symlink("etc/outside", "../../../../tmp"),
        folder("usr"),
        folder("usr/lib").owner(8, 9),
        symlink("lib64", "/usr/lib"),
        // Written by way of a link.
        file("lib64/through", "through"),
        member("dev/null", EntryType::Char).device(1, 3).mode(0o666),
        member("dev/disk", EntryType::Block)
            .device(8, 1)
            .mode(0o660),
        member("dev/pipe", EntryType::Fifo).mode(0o600),
        file(&long, "long").gnu(),
        file(&format!("{long}2"), "long"),
        symlink("long/link", &"../".repeat(60)),
        hard_link("long/hard", &long).gnu(),
        file("twice", "first"),
        file("twice", "second").mode(0o600),
        folder("file-then"),
        // It gets the time of the folder, since those come last.
        file("file-then", "was a folder").modified("1400000000"),
        file("sparse-1.0", sparse_1_0())
            .record("GNU.sparse.major", "1")
            .record("GNU.sparse.minor", "0")
            .record("GNU.sparse.name", "sparse-1.0")
            .record("GNU.sparse.realsize", "1048576"),
        file("sparse-0.1", "abcdefgh")
            .record("GNU.sparse.map", "0,3,5000,5")
            .record("GNU.sparse.numblocks", "2")
            .record("GNU.sparse.size", "9000"),
        // What the kernel gives new files in folders like these is not what it gives them elsewhere.
        folder("shared").mode(0o2775).owner(0, 42),
        file("shared/file", "").mode(0o664),
        folder("shared/folder"),
        folder("shared/own").mode(0o2755).owner(0, 42),
        symlink("shared/link", "file"),
        folder("group").mode(0o2755),
        folder("group/folder"),
        file("group/open", "").mode(0o777),
        folder("listed").attribute("system.posix_acl_default", ACCESS),
        file("listed/file", "").mode(0o644),
        folder("listed/folder"),
        folder("./removed/"),
        file("removed/a", "a"),
        file("removed/b", "b"),
        folder("opaque"),
        file("opaque/old", "old"),
        folder("kept")
            .mode(0o711)
            .owner(11, 12)
            .attribute("user.kept", "yes"),
        folder("kept/inner").mode(0o500).owner(13, 14),
        file("becomes-folder", ""),
        folder("becomes-file"),
        file("becomes-file/x", ""),
    ]
}

fn sparse_1_0() -> Vec<u8> {
    let mut data = b"2\n0\n4\n524288\n4\n".to_vec();
    data.resize(512, 0);
    data.extend_from_slice(b"abcdwxyz");
    data
}

fn upper() -> Vec<Member> {
    vec![
        folder("removed"),
        file("removed/.wh.a", "").owner(1, 2),
        file(".wh.twice", ""),
        folder("opaque"),
        file("opaque/.wh..wh..opq", ""),
        file("opaque/new", "new"),
        // It does not say what these are like.
        file("kept/inner/new", "new"),
        file("new/folder/file", "new"),
        file("etc/.wh.deep", ""),
        folder("becomes-folder"),
        file("becomes-folder/x", "x"),
        file(".wh.becomes-file", ""),
        file("bin/ping", "other")
            .mode(0o755)
            .attribute("security.capability", CAPABILITY),
    ]
}

fn top() -> Vec<Member> {
    vec![
        file("becomes-file", "now"),
        folder("opaque").mode(0o770).owner(21, 22),
        file("kept/inner/third", "3"),
        file("kept/first", "1"),
        hard_link("kept/inner/same", "kept/first"),
        file("empty", ""),
    ]
}

/// Unpacks an image on two engines, by the engine and by hearth, and compares each layer.
async fn assert_equal(layers: &[(Encoding, Vec<Member>)], untimed: &[&str]) {
    let registry = Registry::start();
    let image = registry.put("a/b", layers);
    let (theirs, ours) = (Engine::start(), Engine::start());
    theirs.pull(&image.name);
    let imported = ours.import(&image.name).await.unwrap();
    assert_eq!(imported.transfer.done, image.bytes);
    let untimed: BTreeSet<PathBuf> = untimed.iter().map(PathBuf::from).collect();
    let pairs = theirs
        .folders(&image.chain)
        .into_iter()
        .zip(ours.folders(&image.chain));
    let mut count = 0;
    for (number, (theirs, ours)) in pairs.enumerate() {
        let (theirs, ours) = (list(&theirs, &untimed), list(&ours, &untimed));
        count += ours.len();
        for (path, line) in &theirs {
            assert_eq!(ours.get(path), Some(line), "layer {number}: {path:?}");
        }
        assert_eq!(ours.len(), theirs.len(), "layer {number}");
    }
    assert!(count > 0);
    // The blobs come last.
    let same = || ours.contents() == theirs.contents();
    eventually("both have the same", same).await;
}

/// Folders that the archives say nothing about have the time at which something was written into them.
const IMPLIED: [&str; 9] = [
    "lib",
    "dev",
    "long",
    "kept",
    "kept/inner",
    "new",
    "new/folder",
    "etc",
    "bin",
];

#[tokio::test]
async fn every_kind_of_file_is_what_the_engine_makes_of_it() {
    let long = format!("long/{}", "x".repeat(80));
    let longer = format!("{long}/{}", "y".repeat(90));
    let untimed: Vec<&str> = IMPLIED.into_iter().chain([&long[..], &longer]).collect();
    let layers = [
        (Encoding::Gzip, base()),
        (Encoding::Zstd(1000), upper()),
        (Encoding::Plain, top()),
    ];
    assert_equal(&layers, &untimed).await;
}

#[tokio::test]
async fn an_image_of_one_layer_is_whole_in_each_encoding() {
    for encoding in [Encoding::GzipTwice, Encoding::Zstd(usize::MAX)] {
        let members = vec![
            folder("a"),
            file("a/b", vec![7; 5_000_000]),
            file(".wh.gone", ""),
        ];
        assert_equal(&[(encoding, members)], &[]).await;
    }
}

#[tokio::test]
async fn many_small_files_and_many_layers_are_all_there() {
    let mut layers = Vec::new();
    let mut many = vec![folder("many")];
    many.extend((0..100).map(|number| folder(&format!("many/{number}"))));
    many.extend((0..20_000).map(|number| {
        file(
            &format!("many/{}/{number}", number % 100),
            number.to_string(),
        )
    }));
    layers.push((Encoding::Zstd(256 * 1024), many));
    for number in 0..30 {
        let encoding = if number % 2 == 0 {
            Encoding::Gzip
        } else {
            Encoding::Plain
        };
        layers.push((encoding, vec![file(&format!("many/{number}/layer"), "x")]));
    }
    let implied: Vec<String> = (0..30).map(|number| format!("many/{number}")).collect();
    let untimed: Vec<&str> = implied.iter().map(String::as_str).chain(["many"]).collect();
    assert_equal(&layers, &untimed).await;
}
