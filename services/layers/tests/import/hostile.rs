//! Archives that try to leave their folder, or hold what no archive may.

use tar::EntryType;

use crate::{
    archive::{Encoding, Member, file, folder, hard_link, member, symlink},
    listing::list,
    registry::Registry,
    world::Engine,
};

#[tokio::test]
async fn nothing_is_written_outside_of_a_layer() {
    let registry = Registry::start();
    let engine = Engine::start();
    // The folder of a snapshot is `snapshots/N/fs`; what is beside it would be hit first.
    let outside = engine.vm.dir().join("outside");
    std::fs::create_dir(&outside).unwrap();
    std::fs::write(outside.join("file"), "mine").unwrap();
    let before = list(&outside, &Default::default());
    let path = outside.to_str().unwrap();
    let up = "../".repeat(12);
    let through_up = format!("{up}{}", &path[1..]);
    let attacks: Vec<Vec<Member>> = vec![
        vec![file("../evil", "x"), file(&format!("{up}evil"), "x")],
        vec![file(&format!("{path}/evil"), "x")],
        vec![file(&format!("{through_up}/evil"), "x")],
        vec![file(&format!("a/../{through_up}/evil"), "x")],
        vec![symlink("link", path), file("link/evil", "x")],
        vec![symlink("link", &through_up), file("link/evil", "x")],
        vec![
            symlink("link", path),
            folder("link"),
            file("link/evil", "x"),
        ],
        vec![symlink("link", &format!("{path}/file")), file("link", "x")],
        vec![
            symlink("one", ".."),
            symlink("one/two", ".."),
            file("one/two/evil", "x"),
        ],
        vec![symlink("link", "/proc/self/cwd"), file("link/evil", "x")],
        vec![
            hard_link("link", &format!("{path}/file")),
            file("link", "x"),
        ],
        vec![hard_link("link", &format!("{through_up}/file"))],
        vec![symlink("away", path), hard_link("link", "away/file")],
        vec![symlink("link", path), file("link/.wh.file", "")],
        vec![symlink("link", path), file("link/.wh..wh..opq", "")],
        vec![file(".wh...", "")],
        vec![file(".wh..", "")],
        vec![file(".wh.", "")],
        vec![
            symlink("link", path).attribute("trusted.x", "x"),
            folder("link/deep/er"),
        ],
        vec![member("odd", EntryType::new(b'Z'))],
        vec![
            folder("..").mode(0o777),
            folder(".").mode(0o777),
            folder("/").mode(0o777),
        ],
    ];
    for (number, attack) in attacks.into_iter().enumerate() {
        for above in [false, true] {
            let mut layers = vec![(Encoding::Plain, attack.clone())];
            if above {
                layers.insert(0, (Encoding::Plain, vec![file("base", "")]));
            }
            let image = registry.put(&format!("a/{number}"), &layers);
            // Some of it is a layer like any other, in which paths begin at its own root.
            let _ = engine.import(&image.name).await;
            assert_eq!(
                list(&outside, &Default::default()),
                before,
                "attack {number}"
            );
        }
    }
    let found = std::process::Command::new("find")
        .arg(
            engine
                .vm
                .dir()
                .join("containerd/io.containerd.snapshotter.v1.overlayfs"),
        )
        .args([
            "-mindepth",
            "2",
            "-maxdepth",
            "3",
            "-name",
            "evil",
            "-not",
            "-path",
            "*/fs/*",
        ])
        .output()
        .unwrap();
    assert!(
        found.stdout.is_empty(),
        "{}",
        String::from_utf8_lossy(&found.stdout)
    );
    assert!(!std::path::Path::new("/evil").exists() && !std::path::Path::new("evil").exists());
}

#[tokio::test]
async fn archives_that_cannot_be_read_are_refused_and_leave_nothing() {
    let registry = Registry::start();
    let engine = Engine::start();
    let good = crate::archive::archive(&[folder("a"), file("a/b", vec![1; 3000])]);
    let mut wrong_sum = good.clone();
    wrong_sum[1024 + 512] ^= 1;
    let huge = Member {
        records: vec![("size".to_owned(), b"9223372036854775807".to_vec())],
        ..file("a", "x")
    };
    let archives = [
        good[..good.len() - 4096].to_vec(),
        wrong_sum,
        crate::archive::archive(&[huge]),
        crate::archive::archive(&[hard_link("a", "missing")]),
        crate::archive::archive(&[file("a", "x")
            .record("GNU.sparse.map", "5,1,0,1")
            .record("GNU.sparse.numblocks", "2")
            .record("GNU.sparse.size", "9")]),
        crate::archive::archive(&[file("a", "x").modified("never")]),
        vec![1; 5000],
    ];
    for (number, archive) in archives.into_iter().enumerate() {
        let image = registry.put_archives(&format!("a/{number}"), &[(Encoding::Gzip, archive)]);
        let refused = engine.import(&image.name).await;
        assert!(refused.is_err(), "archive {number}");
        assert!(
            engine.contents().is_empty(),
            "archive {number}: {:?}",
            engine.contents()
        );
    }
}
