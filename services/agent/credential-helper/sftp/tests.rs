use std::fs;

use super::*;

/// A request: its kind, then its fields.
fn request(kind: u8, id: u32, fields: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut writer = Writer::default();
    writer.byte(kind).number(id);
    fields(&mut writer);
    writer.finish()
}

/// The answers to these requests, each without its length.
fn answers(requests: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut output = Vec::new();
    serve(&*requests.concat(), &mut output);
    let mut rest = &output[..];
    let mut answers = Vec::new();
    while let Some(answer) = next(&mut rest).unwrap() {
        answers.push(answer);
    }
    answers
}

/// The code of a STATUS.
fn code(answer: &[u8]) -> Option<u32> {
    (answer[0] == 101).then(|| u32::from_be_bytes(answer[5..9].try_into().unwrap()))
}

#[test]
fn a_file_is_written_read_renamed_and_removed() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (folder.path().join("a"), folder.path().join("b"));
    let handle = 0_u32.to_be_bytes();
    let answers = answers(&[
        request(3, 1, |w| {
            w.path(&first)
                .number(0x02 | 0x08 | 0x10)
                .number(4)
                .number(0o640);
        }),
        request(6, 2, |w| {
            w.text(&handle).long(3).text(b"def");
        }),
        request(6, 3, |w| {
            w.text(&handle).long(0).text(b"abc");
        }),
        request(4, 4, |w| {
            w.text(&handle);
        }),
        request(3, 5, |w| {
            w.path(&first).number(1).number(0);
        }),
        request(5, 6, |w| {
            w.text(&handle).long(2).number(100);
        }),
        request(5, 7, |w| {
            w.text(&handle).long(6).number(100);
        }),
        request(18, 8, |w| {
            w.path(&first).path(&second);
        }),
        request(18, 9, |w| {
            w.path(&second).path(&second);
        }),
        request(13, 10, |w| {
            w.path(&second);
        }),
        request(17, 11, |w| {
            w.path(&second);
        }),
    ]);
    let codes: Vec<_> = answers.iter().map(|answer| code(answer)).collect();
    assert_eq!(
        codes,
        [
            None,
            Some(0),
            Some(0),
            Some(0),
            None,
            None,
            Some(1),
            Some(0),
            Some(4),
            Some(0),
            Some(2)
        ]
    );
    assert_eq!(&answers[5][9..], b"cdef");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_folder_is_listed_whole_and_links_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    for number in 0..300 {
        fs::write(folder.path().join(format!("file-{number}")), "").unwrap();
    }
    let list = |id| {
        request(12, id, |w| {
            w.text(&0_u32.to_be_bytes());
        })
    };
    let link = folder.path().join("link");
    let answers = answers(&[
        request(20, 1, |w| {
            w.text(b"/nowhere/at-all").path(&link);
        }),
        request(19, 2, |w| {
            w.path(&link);
        }),
        request(11, 3, |w| {
            w.path(folder.path());
        }),
        list(4),
        list(5),
        list(6),
        list(7),
    ]);
    assert_eq!(code(&answers[0]), Some(0));
    assert!(
        answers[1]
            .windows(15)
            .any(|part| part == b"/nowhere/at-all")
    );
    let names = |answer: &[u8]| u32::from_be_bytes(answer[5..9].try_into().unwrap());
    let listed: u32 = answers[3..6].iter().map(|answer| names(answer)).sum();
    assert_eq!(listed, 301);
    assert_eq!(code(&answers[6]), Some(1));
}

#[test]
fn what_is_no_request_is_refused_and_the_next_one_is_served() {
    let path = request(17, 9, |w| {
        w.text(b"/");
    });
    let answers = answers(&[
        // A text that is longer than its packet.
        request(17, 1, |w| {
            w.number(u32::MAX);
        }),
        // A handle that nothing is open as.
        request(4, 2, |w| {
            w.text(b"0123456789");
        }),
        request(4, 3, |w| {
            w.text(&7_u32.to_be_bytes());
        }),
        request(99, 4, |_| ()),
        request(200, 5, |w| {
            w.text(b"made-up@example");
        }),
        request(17, 6, |w| {
            w.text(b"a\0b");
        }),
        path,
    ]);
    let codes: Vec<_> = answers.iter().map(|answer| code(answer)).collect();
    assert_eq!(
        codes,
        [Some(5), Some(4), Some(4), Some(8), Some(8), Some(5), None]
    );
    // What has no length ends it.
    let mut output = Vec::new();
    serve(&[0xff_u8; 64][..], &mut output);
    assert!(output.is_empty());
}

#[test]
fn room_and_limits_are_told() {
    let answers = answers(&[
        request(200, 1, |w| {
            w.text(b"statvfs@openssh.com").text(b"/");
        }),
        request(200, 2, |w| {
            w.text(b"limits@openssh.com");
        }),
    ]);
    assert_eq!(answers[0].len(), 5 + 11 * 8);
    let block = u64::from_be_bytes(answers[0][5..13].try_into().unwrap());
    assert!(block.is_power_of_two(), "{block}");
    assert_eq!(answers[1].len(), 5 + 4 * 8);
}

#[test]
fn dates_are_those_of_the_calendar() {
    for (seconds, date) in [
        (0, "Jan  1  1970"),
        (951_782_400, "Feb 29  2000"),
        (1_795_737_600, "Nov 27  2026"),
        (-1, "Dec 31  1969"),
    ] {
        assert_eq!(attributes::date(seconds), date);
    }
}
