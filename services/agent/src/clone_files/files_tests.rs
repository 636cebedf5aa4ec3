use std::{fs, os::unix::fs::symlink};

use super::*;

/// A clone beside a file that is not in it.
fn clone() -> (tempfile::TempDir, CloneFiles) {
    let dir = tempfile::tempdir().unwrap();
    let clone = dir.path().join("clone");
    fs::create_dir_all(clone.join("sub")).unwrap();
    fs::write(clone.join("sub/file"), "inside").unwrap();
    fs::write(dir.path().join("secret"), "outside").unwrap();
    for (link, target) in [
        ("in", "sub/file"),
        ("sub/up", "../sub/file"),
        ("folder", "sub"),
        ("out", "../secret"),
        ("sub/out", ".."),
        ("absolute", "/etc/passwd"),
        ("loop", "loop"),
    ] {
        symlink(target, clone.join(link)).unwrap();
    }
    let files = CloneFiles::open(&clone).unwrap();
    (dir, files)
}

#[test]
fn links_inside_the_clone_are_followed() {
    let (_dir, files) = clone();
    for path in ["sub/file", "in", "sub/up", "folder/file", "sub/../in"] {
        let path = Path::new(path);
        assert_eq!(files.read(path, 6).unwrap(), b"inside", "{path:?}");
        assert!(files.has_file(path));
        assert_eq!(files.resolve(path).unwrap(), Path::new("sub/file"));
    }
    assert_eq!(files.resolve(Path::new("")).unwrap(), Path::new(""));
    assert_eq!(files.resolve(Path::new("sub/out")).unwrap(), Path::new(""));
    assert_eq!(files.entries(Path::new("folder")).unwrap().len(), 3);
}

#[test]
fn a_byte_order_mark_is_no_part_of_a_text() {
    let (dir, files) = clone();
    fs::write(dir.path().join("clone/marked"), b"\xef\xbb\xbfa\xff").unwrap();
    assert_eq!(files.text(Path::new("marked"), 5).unwrap(), "a\u{fffd}");
    assert_eq!(files.text(Path::new("in"), 6).unwrap(), "inside");
}

#[test]
fn nothing_outside_of_the_clone_is_read() {
    let (_dir, files) = clone();
    for path in [
        "out",
        "../secret",
        "sub/out/../secret",
        "absolute",
        "/etc/passwd",
    ] {
        let path = Path::new(path);
        let error = files.read(path, 100).unwrap_err();
        assert_eq!(error.to_string(), "leads out of the repository", "{path:?}");
        assert!(files.has_file(path), "the error is seen when it is read");
        let error = files.resolve(path).unwrap_err();
        assert!(matches!(error, CloneFileError::LeadsOut), "{path:?}");
    }
    let error = files.entries(Path::new("sub/out/..")).unwrap_err();
    assert!(matches!(error, CloneFileError::LeadsOut), "{error}");
}

#[test]
fn what_is_missing_too_large_or_no_file_is_told_apart() {
    let (_dir, files) = clone();
    let read = |path: &str| files.read(Path::new(path), 5).unwrap_err();
    assert!(read("none").is_not_found());
    assert_eq!(read("in").to_string(), "has 6 bytes; at most 5 are read");
    assert_eq!(read("sub").to_string(), "is a folder, and has to be a file");
    for path in ["none", "sub", "loop"] {
        assert!(!files.has_file(Path::new(path)), "{path}");
    }
    assert!(matches!(read("loop"), CloneFileError::Io(_)));
}
