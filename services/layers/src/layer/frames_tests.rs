use bytes::Bytes;

use super::super::fuzzing;

/// What is hard to compress, and what is easy.
fn archive(bytes: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let next = |at: usize| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        match at / 10_000 % 2 {
            0 => state.to_be_bytes()[0],
            _ => b"easy"[at % 4],
        }
    };
    (0..bytes).map(next).collect()
}

/// A frame that says how long its content is.
fn sized(content: &[u8]) -> Vec<u8> {
    zstd::bulk::compress(content, 3).unwrap()
}

/// A frame that does not, with a checksum.
fn unsized_frame(content: &[u8]) -> Vec<u8> {
    use std::io::Write as _;
    let mut encoder = zstd::Encoder::new(Vec::new(), 3).unwrap();
    encoder.include_checksum(true).unwrap();
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

/// A frame without content, as pzstd has one before each frame.
fn skippable(bytes: u32) -> Vec<u8> {
    let head = [&[0x5a, 0x2a, 0x4d, 0x18], &bytes.to_le_bytes()[..]].concat();
    [head, vec![7; bytes as usize]].concat()
}

fn pieces(blob: &[u8], bytes: usize) -> Vec<Bytes> {
    blob.chunks(bytes).map(Bytes::copy_from_slice).collect()
}

fn decoded(blob: &[u8], piece: usize) -> Option<Vec<u8>> {
    let (archive, ended) = fuzzing::decode(&pieces(blob, piece), usize::MAX);
    ended.ok().map(|()| archive)
}

#[test]
fn frames_of_every_kind_are_decoded_in_order_in_whatever_pieces_they_arrive() {
    let archive = archive(12_000_000);
    let (large, rest) = archive.split_at(9_000_000);
    let small: Vec<Vec<u8>> = rest.chunks(256 * 1024).map(sized).collect();
    let small_first = [sized(b""), skippable(4), small.concat()].concat();
    let blobs: [(&str, Vec<u8>, &[u8]); 6] = [
        ("small", small.concat(), rest),
        ("small, with nothing between", small_first, rest),
        (
            "without sizes",
            rest.chunks(100_000).flat_map(unsized_frame).collect(),
            rest,
        ),
        (
            "a large one first",
            [unsized_frame(large), small.concat()].concat(),
            &archive,
        ),
        (
            "a large one that says so",
            [sized(large), skippable(0), unsized_frame(rest)].concat(),
            &archive,
        ),
        (
            "after much of nothing",
            [skippable(20_000_000), sized(rest)].concat(),
            rest,
        ),
    ];
    for (what, blob, archive) in blobs {
        for piece in [5_000, 4 * 1024 * 1024, usize::MAX] {
            assert!(
                decoded(&blob, piece).as_deref() == Some(archive),
                "{what}, {piece}"
            );
        }
    }
    let few = [sized(b"ab"), unsized_frame(b"c"), skippable(3), sized(b"d")].concat();
    assert_eq!(decoded(&few, 1).as_deref(), Some(&b"abcd"[..]));
}

#[test]
fn a_frame_that_is_not_what_it_says_ends_the_archive_there() {
    let (first, second) = (sized(&archive(200_000)), sized(&archive(100_000)));
    let good = [&first[..], &second].concat();
    let mut wrong = good.clone();
    wrong[first.len() - 9] ^= 0xff;
    // Its content is longer, or shorter, than it says.
    let says = |bytes: u8| {
        let mut frame = sized(&[7; 100]);
        assert_eq!(frame[5], 100);
        frame[5] = bytes;
        [frame, second.clone()].concat()
    };
    let mut no_end = unsized_frame(&archive(100_000));
    no_end.truncate(no_end.len() - 1);
    for (what, blob) in [
        ("breaks off", good[..good.len() - 1].to_vec()),
        ("breaks off in a head", [&good[..], &second[..3]].concat()),
        ("is another", wrong),
        ("is longer", says(99)),
        ("is shorter", says(101)),
        ("has half a checksum", no_end),
        ("is none", [&good[..], b"none at all"].concat()),
        ("is announced", [&good[..], &skippable(9)[..8]].concat()),
    ] {
        for piece in [1_000, usize::MAX] {
            assert!(decoded(&blob, piece).is_none(), "{what}, {piece}");
        }
    }
}
