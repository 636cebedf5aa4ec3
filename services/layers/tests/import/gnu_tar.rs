//! Layers are unpacked as GNU tar unpacks archives.

use std::{
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
};

use hearth_layers::fuzzing;

use crate::{chance::Chance, listing::list_timed, random::random};

/// How many archives are compared.
const ARCHIVES: &str = "HEARTH_TEST_ARCHIVES";

/// What it says if it fails. It can write nothing but the folder, wherever links lead: it follows those of archives.
fn tar(archive: &[u8], folder: &Path) -> Result<(), String> {
    let mut tar = Command::new("bwrap")
        .args(["--ro-bind", "/", "/", "--cap-add", "ALL", "--bind"])
        .args([folder, folder])
        .arg("tar")
        .args([
            "-x",
            "-f",
            "-",
            "-p",
            "-P",
            "--same-owner",
            "--numeric-owner",
        ])
        // Folders may come before and after what is in them.
        .arg("--delay-directory-restore")
        .args(["--xattrs", "--xattrs-include=*", "--warning=no-timestamp"])
        .arg("-C")
        .arg(folder)
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = tar.stdin.take().unwrap();
    stdin.write_all(archive).unwrap();
    drop(stdin);
    let output = tar.wait_with_output().unwrap();
    match output.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}

#[test]
fn archives_by_chance_are_unpacked_as_gnu_tar_does() {
    let count = std::env::var(ARCHIVES).map_or(150, |count| count.parse().unwrap());
    let mut seeds = Chance::by_seed();
    let (mut files, mut refused) = (0, 0);
    for number in 0..count {
        let seed = seeds.below(1 << 40);
        let archive = random(&mut Chance::new(seed), 40);
        let dir = tempfile::tempdir_in("/dev/shm").unwrap();
        let (theirs, ours) = (dir.path().join("theirs"), dir.path().join("ours"));
        std::fs::create_dir(&theirs).unwrap();
        std::fs::create_dir(&ours).unwrap();
        let now = i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_secs()).unwrap();
        let by_tar = tar(&archive, &theirs);
        let by_us = fuzzing::unpack(&archive, &ours, false).map_err(|error| error.to_string());
        let keep = |what: &str| {
            let kept = std::env::temp_dir().join(format!("hearth-archive-{seed}.tar"));
            std::fs::write(&kept, &archive).unwrap();
            panic!("archive {number}, {}: {what}", kept.display());
        };
        if by_tar.is_err() || by_us.is_err() {
            refused += 1;
            if by_tar.is_ok() != by_us.is_ok() {
                keep(&format!("tar: {by_tar:?}, hearth: {by_us:?}"));
            }
            continue;
        }
        // The times of folders that an archive says nothing about are those of now. containerd takes times that it cannot
        // say in nanoseconds for 1970.
        let time = |(seconds, nanoseconds): (i64, i64)| match seconds {
            ..0 => Some((0, 0)),
            _ if (now - 60..now + 600).contains(&seconds) => None,
            _ => match seconds
                .checked_mul(1_000_000_000)
                .and_then(|all| all.checked_add(nanoseconds))
            {
                Some(_) => Some((seconds, nanoseconds)),
                None => Some((0, 0)),
            },
        };
        let (theirs, ours) = (list_timed(&theirs, time), list_timed(&ours, Some));
        let ours_untimed = list_timed(&dir.path().join("ours"), time);
        for (path, line) in &theirs {
            let (exact, untimed) = (ours.get(path), ours_untimed.get(path));
            let wanted = match line.contains("time None") {
                true => untimed,
                false => exact,
            };
            if wanted != Some(line) {
                keep(&format!("{path:?}:\ntar    {line}\nhearth {exact:?}"));
            }
        }
        if theirs.len() != ours.len() {
            keep(&format!("{:?} and {:?}", theirs.keys(), ours.keys()));
        }
        files += ours.len();
    }
    eprintln!("{count} archives, {refused} refused by both, {files} files compared");
    assert!(files > count * 5 && refused * 5 < count);
}
