//! Frame indexes of layers that are not made to be listed.

use hearth_layers::fuzzing;
use tar::EntryType;

use crate::{
    archive::{Member, archive, file, folder, hard_link, member, symlink},
    chance::Chance,
};

/// A name of an archive that means no good.
fn name(chance: &mut Chance) -> Vec<u8> {
    match chance.below(12) {
        0 => chance.bytes(20),
        1 => "x/".repeat(chance.size(2500)).into_bytes(),
        2 => b"a/../../b/./".to_vec(),
        3 => b"/".to_vec(),
        4 => b"a/.wh.".to_vec(),
        5 => [b"a/.wh.", &chance.bytes(3)[..]].concat(),
        6 => b".wh..wh..opq".to_vec(),
        7 => b".wh..".to_vec(),
        8 => vec![1; chance.size(5000)],
        _ => format!("a/{}", chance.below(5)).into_bytes(),
    }
}

fn nasty(chance: &mut Chance) -> Member {
    let number = chance.below(5);
    let path = format!("a/{number}");
    let mut nasty = match chance.below(9) {
        0 => folder(&path),
        1 => symlink(&path, "b"),
        2 => hard_link(&path, "a/0"),
        3 => member(&path, EntryType::Char).device(u32::MAX, 3),
        4 => member(&path, EntryType::Fifo),
        5 => sparse(&path, chance),
        _ => {
            let length = chance.size(3000);
            file(&path, chance.bytes(length))
        }
    };
    if chance.once_in(4) {
        nasty = nasty.record("path", name(chance));
    }
    if chance.once_in(6) {
        nasty = nasty.record("linkpath", name(chance));
    }
    if chance.once_in(6) {
        let length = chance.size(80_000);
        let value = match chance.below(3) {
            0 => chance.bytes(length),
            1 => vec![1; length],
            _ => vec![b'x'; length],
        };
        let name = *chance.of(&["user.a", "user.b", "", "trusted.x", "a=b"]);
        nasty = nasty.attribute(name, value);
    }
    if chance.once_in(8) {
        let times = ["-5", "1.9999999999", "99999999999999999", ".", "0."];
        nasty = nasty.modified(times[chance.size(times.len())]);
    }
    nasty.mode(u32::try_from(chance.below(0o200_000)).unwrap())
}

/// Its map can be of pieces that are not in order, and longer than a line of an index.
fn sparse(path: &str, chance: &mut Chance) -> Member {
    let pieces = chance.below(30_000) * chance.below(2) + 1;
    let gap = chance.below(3);
    let map: Vec<String> = (0..pieces)
        .map(|piece| format!("{},1", piece * gap))
        .collect();
    file(path, vec![7; usize::try_from(pieces).unwrap()])
        .record("GNU.sparse.map", map.join(","))
        .record("GNU.sparse.numblocks", pieces.to_string())
        .record("GNU.sparse.size", (pieces * 2).to_string())
}

#[test]
fn an_index_that_is_written_can_be_read_whatever_the_layers_have() {
    let (mut with, mut without) = (0, 0);
    for seed in 0..400 {
        let mut chance = Chance::new(seed);
        let archives = (0..=chance.below(2)).map(|_| {
            let members = (0..=chance.below(4)).map(|_| nasty(&mut chance));
            archive(&members.collect::<Vec<_>>())
        });
        let archives: Vec<_> = archives.collect();
        let archives: Vec<&[u8]> = archives.iter().map(Vec::as_slice).collect();
        match fuzzing::index(&archives) {
            Ok(Some(_)) => with += 1,
            Ok(None) => without += 1,
            Err(error) => panic!("seed {seed}: {error}"),
        }
    }
    assert!(with > 50 && without > 50, "{with} with, {without} without");
}
