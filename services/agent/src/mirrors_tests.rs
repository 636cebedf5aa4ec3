use std::path::Path;

use super::*;

const URL: &str = "git://127.0.0.1/repo";

/// A clone that has downloaded packs with these names.
fn clone(dir: &Path, names: &[&str]) -> PathBuf {
    let clone = dir.join("clone");
    let _ = fs::remove_dir_all(&clone);
    fs::create_dir_all(clone.join(".git").join(PACKS)).unwrap();
    for name in names {
        fs::write(clone.join(".git").join(PACKS).join(name), "x".repeat(1000)).unwrap();
    }
    fs::write(clone.join(".git").join(REFS), names.join("\n")).unwrap();
    clone
}

fn names(mirror: &Mirror) -> Vec<String> {
    packs(mirror.folder()).unwrap().into_keys().collect()
}

#[tokio::test]
async fn a_mirror_grows_by_what_a_clone_downloaded() {
    let dir = tempfile::tempdir().unwrap();
    let mirrors = Mirrors::new(dir.path().join("mirrors"), 1 << 20);
    assert!(mirrors.of(URL).await.is_none());
    mirrors.keep(URL, &clone(dir.path(), &["a"])).await.unwrap();
    mirrors
        .keep(URL, &clone(dir.path(), &["a", "b"]))
        .await
        .unwrap();
    let mirror = mirrors.of(URL).await.unwrap();
    assert_eq!(names(&mirror), ["a", "b"]);
    let refs = fs::read_to_string(mirror.folder().join(REFS)).unwrap();
    assert_eq!(refs, "a\nb");
    assert!(mirrors.of("git://127.0.0.1/other").await.is_none());
}

#[tokio::test]
async fn a_mirror_that_is_not_whole_is_not_used_and_made_anew() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("mirrors");
    let mirrors = Mirrors::new(folder.clone(), 1 << 20);
    let pack = |name: &str| folder.join(sha256_hex(URL)).join(PACKS).join(name);
    let damages: [&dyn Fn(); 4] = [
        &|| fs::write(pack("a"), "cut off").unwrap(),
        &|| fs::write(pack("half"), "").unwrap(),
        &|| fs::remove_file(pack("b")).unwrap(),
        &|| fs::write(folder.join(sha256_hex(URL)).join(CONTENT), "{").unwrap(),
    ];
    for (number, damage) in damages.iter().enumerate() {
        mirrors
            .keep(URL, &clone(dir.path(), &["a", "b"]))
            .await
            .unwrap();
        assert_eq!(names(&mirrors.of(URL).await.unwrap()), ["a", "b"]);
        damage();
        assert!(mirrors.of(URL).await.is_none(), "damage {number}");
    }
    // The machine may have stopped before the disk had all of it.
    mirrors.keep(URL, &clone(dir.path(), &["c"])).await.unwrap();
    let mut after_a_crash = Mirrors::new(folder.clone(), 1 << 20);
    Arc::get_mut(&mut after_a_crash.0).unwrap().machine_start = "another".to_owned();
    assert!(after_a_crash.of(URL).await.is_none());
    after_a_crash
        .keep(URL, &clone(dir.path(), &["d"]))
        .await
        .unwrap();
    assert_eq!(names(&after_a_crash.of(URL).await.unwrap()), ["d"]);
}

#[tokio::test]
async fn what_a_clone_uses_stays_and_the_least_recently_used_goes() {
    let dir = tempfile::tempdir().unwrap();
    let mirrors = Mirrors::new(dir.path().join("mirrors"), 2500);
    let clone = clone(dir.path(), &["a"]);
    mirrors.keep("one", &clone).await.unwrap();
    let used = mirrors.of("one").await.unwrap();
    let content = used.folder().join(CONTENT);
    let content = fs::File::options().write(true).open(content).unwrap();
    content.set_modified(SystemTime::UNIX_EPOCH).unwrap();
    mirrors.keep("two", &clone).await.unwrap();
    mirrors.keep("three", &clone).await.unwrap();
    assert_eq!(names(&used), ["a"], "it is used");
    assert!(mirrors.of("two").await.is_none());
    // Nothing waits for those who use it.
    mirrors.keep("one", &clone).await.unwrap();
    drop(used);
    mirrors.remove_unused().await;
    assert!(mirrors.of("one").await.is_none());
    assert!(mirrors.of("three").await.is_none());
}

#[tokio::test]
async fn what_is_larger_than_all_mirrors_may_be_is_not_kept() {
    let dir = tempfile::tempdir().unwrap();
    let mirrors = Mirrors::new(dir.path().join("mirrors"), 1500);
    mirrors.keep(URL, &clone(dir.path(), &["a"])).await.unwrap();
    mirrors
        .keep(URL, &clone(dir.path(), &["a", "b"]))
        .await
        .unwrap();
    assert!(mirrors.of(URL).await.is_none());
    let nothing = Mirrors::new(dir.path().join("none"), 0);
    nothing.keep(URL, &clone(dir.path(), &["a"])).await.unwrap();
    assert!(nothing.of(URL).await.is_none());
}
