//! What a repository, or a container, can put at a name that the agent touches.

use std::{
    fs::{self, File},
    io::Read as _,
    os::unix::{
        fs::{MetadataExt as _, PermissionsExt as _, symlink},
        net::UnixListener,
    },
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use rustix::fs::{CWD, FileType, Mode, makedev, mkdirat, mknodat, openat};

use super::*;

/// A clone, and a folder of the node that is none of its business.
struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("clone")).unwrap();
        fs::create_dir(dir.path().join("node")).unwrap();
        fs::write(dir.path().join("node/canary"), "precious").unwrap();
        Self { dir }
    }

    fn clone(&self) -> PathBuf {
        self.dir.path().join("clone")
    }

    fn canary(&self) -> PathBuf {
        self.dir.path().join("node/canary")
    }

    fn files(&self) -> CloneFiles {
        CloneFiles::open(&self.clone()).unwrap()
    }
}

/// Makes a special file; false where that needs root.
fn make(path: &Path, kind: FileType) -> bool {
    let mode = Mode::from_raw_mode(0o666);
    // The device is /dev/zero.
    mknodat(CWD, path, kind, mode, makedev(1, 5)).is_ok()
}

/// Makes a folder in a folder, and so on.
fn make_deep(root: &Path, depth: usize) {
    let flags = rustix::fs::OFlags::DIRECTORY;
    let mut folder = openat(CWD, root, flags, Mode::empty()).unwrap();
    for _ in 0..depth {
        mkdirat(&folder, "d", Mode::RWXU).unwrap();
        folder = openat(&folder, "d", flags, Mode::empty()).unwrap();
    }
}

#[test]
fn only_a_regular_file_is_read_and_nothing_else_holds_up_its_reader() {
    let place = Place::new();
    let at = |name: &str| place.clone().join(name);
    assert!(make(&at("pipe"), FileType::Fifo));
    let _socket = UnixListener::bind(at("socket")).unwrap();
    fs::create_dir(at("folder")).unwrap();
    symlink("pipe", at("link")).unwrap();
    let mut kinds = vec![
        ("pipe", "is a pipe, and has to be a file"),
        ("socket", "is a socket, and has to be a file"),
        ("folder", "is a folder, and has to be a file"),
        ("link", "is a pipe, and has to be a file"),
    ];
    if make(&at("device"), FileType::CharacterDevice) {
        kinds.push(("device", "is a device, and has to be a file"));
    }
    for (name, why) in kinds {
        let error = place.files().text(Path::new(name), 1024).unwrap_err();
        assert_eq!(error.to_string(), why, "{name}");
        // It is there, and is told.
        assert_eq!(place.files().has_file(Path::new(name)), name != "folder");
    }
    let listed = place.files().entries(Path::new("")).unwrap();
    let names: Vec<_> = listed.iter().map(|entry| &entry.name).collect();
    assert_eq!(names, ["folder", "link"]);
}

#[test]
fn links_that_lead_out_are_refused_whatever_they_are_made_of() {
    let place = Place::new();
    let canary = place.canary();
    let chain = [
        ("absolute", canary.to_str().unwrap()),
        ("relative", "../node/canary"),
        ("first", "second"),
        ("second", "relative"),
        ("outside", "../node"),
        ("magic", "/proc/self/root/etc/passwd"),
        ("itself", "/proc/self/cwd"),
    ];
    for (name, target) in chain {
        symlink(target, place.clone().join(name)).unwrap();
    }
    symlink("../../../../../../proc/self/root", place.clone().join("up")).unwrap();
    for path in [
        "absolute",
        "relative",
        "first",
        "outside/canary",
        "magic",
        "itself",
        "up/etc/passwd",
        "../node/canary",
    ] {
        let error = place.files().read(Path::new(path), 1024).unwrap_err();
        assert!(matches!(error, CloneFileError::LeadsOut), "{path}: {error}");
    }
}

#[test]
fn a_file_without_end_is_neither_read_nor_copied() {
    let place = Place::new();
    let endless = File::create(place.clone().join("endless")).unwrap();
    endless.set_len(1 << 40).unwrap();
    let error = place.files().text(Path::new("endless"), 1024).unwrap_err();
    assert!(matches!(error, CloneFileError::TooLarge { .. }), "{error}");
    let mut copy = NewFolder::create(&place.dir.path().join("copy")).unwrap();
    let root = Path::new("");
    let error = copy.copy(&place.files(), root, root).unwrap_err();
    assert_eq!(error, "endless: with it there are more than 8 GiB");
    assert!(!place.dir.path().join("copy/endless").exists());
}

#[test]
fn a_file_that_grows_is_read_as_far_as_it_went() {
    let place = Place::new();
    let path = place.clone().join("grows");
    fs::write(&path, "then").unwrap();
    let mut open = place.files().open_file(Path::new("grows")).unwrap();
    fs::write(&path, "then and now").unwrap();
    let mut text = String::new();
    open.read_to_string(&mut text).unwrap();
    assert_eq!(text, "then");
}

#[test]
fn a_deep_tree_ends_every_walk_with_a_sentence_and_can_be_removed() {
    let place = Place::new();
    make_deep(&place.clone(), 5_000);
    let root = Path::new("");
    let why = "has folders in more than 256 folders; hearth goes no further";
    let owner = Owner {
        uid: rustix::process::geteuid().as_raw(),
        gid: rustix::process::getegid().as_raw(),
    };
    let error = place.files().give_to(owner).unwrap_err();
    assert_eq!(error.to_string(), why);
    let mut copy = NewFolder::create(&place.dir.path().join("copy")).unwrap();
    let error = copy.copy(&place.files(), root, root).unwrap_err();
    assert!(error.ends_with(why), "{error}");
    remove_folder(&place.clone()).unwrap();
    assert!(!place.clone().exists());
}

#[test]
fn what_a_folder_has_is_removed_and_no_link_in_it_followed() {
    let place = Place::new();
    let at = |name: &str| place.clone().join(name);
    fs::create_dir_all(at("a/b/c")).unwrap();
    fs::create_dir_all(at(".moved-1/x")).unwrap();
    fs::write(at(".moved-2"), "").unwrap();
    fs::write(at("a/b/c/file"), "").unwrap();
    make(&at("a/pipe"), FileType::Fifo);
    symlink(place.dir.path().join("node"), at("a/b/link")).unwrap();
    symlink("../node", at("link")).unwrap();
    remove_folder(&place.clone()).unwrap();
    assert!(!place.clone().exists());
    assert_eq!(fs::read_to_string(place.canary()).unwrap(), "precious");
    remove_folder(&place.clone()).unwrap();
}

#[test]
fn a_copy_has_modes_and_links_and_leaves_out_what_is_no_file() {
    let place = Place::new();
    let at = |name: &str| place.clone().join(name);
    fs::create_dir_all(at("a/b")).unwrap();
    fs::write(at("a/b/run"), "x").unwrap();
    fs::set_permissions(at("a/b/run"), fs::Permissions::from_mode(0o750)).unwrap();
    symlink("../node/canary", at("a/out")).unwrap();
    symlink("nowhere", at("a/dead")).unwrap();
    make(&at("a/pipe"), FileType::Fifo);
    let to = place.dir.path().join("copy");
    let root = Path::new("");
    let mut copy = NewFolder::create(&to).unwrap();
    copy.copy(&place.files(), root, root).unwrap();
    let mode = fs::metadata(to.join("a/b/run"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o7777, 0o750);
    assert_eq!(
        fs::read_link(to.join("a/out")).unwrap(),
        Path::new("../node/canary")
    );
    assert_eq!(
        fs::read_link(to.join("a/dead")).unwrap(),
        Path::new("nowhere")
    );
    assert!(fs::symlink_metadata(to.join("a/pipe")).is_err());
    // What is written takes the place of a link, and nothing is written through one.
    copy.write(Path::new("a/out"), b"new").unwrap();
    assert_eq!(fs::read_to_string(to.join("a/out")).unwrap(), "new");
    symlink(place.dir.path().join("node"), to.join("node")).unwrap();
    assert!(copy.write(Path::new("node/canary"), b"new").is_err());
    assert_eq!(fs::read_to_string(place.canary()).unwrap(), "precious");
}

/// Puts a link to the node's folder in a folder's place and takes it away again, while `work` goes on.
fn while_swapped(place: &Place, mut work: impl FnMut()) {
    let folder = place.clone().join("folder");
    let aside = place.clone().join("aside");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("canary"), "own").unwrap();
    let node = place.dir.path().join("node");
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                fs::rename(&folder, &aside).unwrap();
                symlink(&node, &folder).unwrap();
                fs::remove_file(&folder).unwrap();
                fs::rename(&aside, &folder).unwrap();
            }
        });
        for _ in 0..3000 {
            work();
        }
        done.store(true, Ordering::Relaxed);
    });
}

#[test]
fn a_folder_that_is_swapped_for_a_link_hands_over_and_reads_nothing_of_the_node() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let place = Place::new();
    let files = place.files();
    let owner = Owner {
        uid: 4711,
        gid: 4712,
    };
    while_swapped(&place, || {
        // What is gone when its turn comes, or is a link by then, is an error.
        let _ = files.give_to(owner);
        if let Ok(text) = files.text(Path::new("folder/canary"), 100) {
            assert_eq!(text, "own");
        }
    });
    let canary = fs::metadata(place.canary()).unwrap();
    assert_eq!((canary.uid(), canary.gid()), (0, 0));
    let node = fs::metadata(place.dir.path().join("node")).unwrap();
    assert_eq!(node.uid(), 0);
    files.give_to(owner).unwrap();
    let own = fs::metadata(place.clone().join("folder/canary")).unwrap();
    assert_eq!((own.uid(), own.gid()), (4711, 4712));
    assert_eq!(fs::metadata(place.clone()).unwrap().uid(), 4711);
}

#[test]
fn a_link_is_handed_over_itself_and_so_is_what_is_no_file() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let place = Place::new();
    symlink(place.canary(), place.clone().join("link")).unwrap();
    assert!(make(&place.clone().join("pipe"), FileType::Fifo));
    let owner = Owner { uid: 7, gid: 8 };
    place.files().give_to(owner).unwrap();
    for name in ["link", "pipe"] {
        let metadata = fs::symlink_metadata(place.clone().join(name)).unwrap();
        assert_eq!((metadata.uid(), metadata.gid()), (7, 8), "{name}");
    }
    assert_eq!(fs::metadata(place.canary()).unwrap().uid(), 0);
}

#[tokio::test]
async fn work_ends_with_its_attempt_at_the_next_file() {
    let place = Place::new();
    for folder in 0..20 {
        let folder = place.clone().join(folder.to_string());
        fs::create_dir(&folder).unwrap();
        for file in 0..500 {
            File::create(folder.join(file.to_string())).unwrap();
        }
    }
    let work = FileWork::default();
    let files = work.open(&place.clone()).unwrap();
    let copy = place.dir.path().join("copy");
    let (begun, mut is_begun) = tokio::sync::oneshot::channel();
    let target = copy.clone();
    let copying = thread::spawn(move || {
        let root = Path::new("");
        let mut copy = NewFolder::create(&target).unwrap();
        begun.send(()).unwrap();
        copy.copy(&files, root, root)
    });
    (&mut is_begun).await.unwrap();
    work.end().await;
    // Nothing has the files any more.
    let error = copying.join().unwrap().unwrap_err();
    assert!(
        error.ends_with("is not needed any more: the attempt has ended"),
        "{error}"
    );
    let opened = work.open(&place.clone()).unwrap();
    assert!(matches!(
        opened.text(Path::new("0/0"), 10).unwrap_err(),
        CloneFileError::Stopped
    ));
    assert!(matches!(
        opened.entries(Path::new("0")).unwrap_err(),
        CloneFileError::Stopped
    ));
}

#[test]
fn many_files_are_copied_handed_over_and_removed() {
    let place = Place::new();
    for folder in 0..10 {
        let folder = place.clone().join(folder.to_string());
        fs::create_dir(&folder).unwrap();
        for file in 0..500 {
            File::create(folder.join(file.to_string())).unwrap();
        }
    }
    let to = place.dir.path().join("copy");
    let root = Path::new("");
    NewFolder::create(&to)
        .unwrap()
        .copy(&place.files(), root, root)
        .unwrap();
    assert_eq!(fs::read_dir(to.join("9")).unwrap().count(), 500);
    let owner = Owner {
        uid: rustix::process::geteuid().as_raw(),
        gid: rustix::process::getegid().as_raw(),
    };
    CloneFiles::open(&to).unwrap().give_to(owner).unwrap();
    remove_folder(&to).unwrap();
}

#[test]
fn what_cannot_be_removed_keeps_nothing_else_from_going() {
    let place = Place::new();
    let at = |name: &str| place.clone().join(name);
    fs::create_dir_all(at("a/deep/er")).unwrap();
    fs::write(at("a/deep/er/file"), "").unwrap();
    fs::write(at("a/stays"), "").unwrap();
    let chattr = |how: &str| {
        let command = std::process::Command::new("chattr")
            .arg(how)
            .arg(at("a/stays"))
            .stderr(std::process::Stdio::null())
            .status();
        command.is_ok_and(|status| status.success())
    };
    // Not every file system has it, and only root may set it.
    if !chattr("+i") {
        return;
    }
    let removed = remove_folder(&place.clone());
    let left = fs::read_dir(place.clone()).unwrap().count();
    assert!(chattr("-i"));
    assert_eq!(
        removed.unwrap_err().kind(),
        std::io::ErrorKind::PermissionDenied
    );
    assert_eq!(left, 1);
    assert_eq!(fs::read_dir(at("a")).unwrap().count(), 1);
}
