//! Registries that fail, engines that have things already, and imports that are cut off: the image is whole or not there.

use std::{
    path::PathBuf,
    process::{Child, Command},
    time::{Duration, Instant},
};

use hearth_domain::Login;
use hearth_layers::{ImportError, Near};
use hearth_tests::process::eventually;

use crate::{
    archive::{Encoding, Member, file, folder},
    chance::Chance,
    registry::{Fault, Image, Registry},
    world::Engine,
};

/// Bytes that no encoder makes smaller.
pub fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let words = (0..bytes / 8).flat_map(|_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    words.collect()
}

pub fn layers() -> Vec<(Encoding, Vec<Member>)> {
    let large = vec![folder("a"), file("a/noise", noise(11_000_000))];
    vec![
        (Encoding::Zstd(1 << 20), large),
        (Encoding::Gzip, vec![file("a/second", noise(100_000))]),
        (Encoding::Plain, vec![file("a/third", "third")]),
    ]
}

pub fn assert_whole(engine: &Engine, image: &Image) {
    let folders = engine.folders(&image.chain);
    assert_eq!(
        std::fs::read(folders[0].join("a/noise")).unwrap(),
        noise(11_000_000)
    );
    assert_eq!(
        std::fs::read(folders[1].join("a/second")).unwrap(),
        noise(100_000)
    );
    assert_eq!(std::fs::read(folders[2].join("a/third")).unwrap(), b"third");
    assert!(engine.vm.succeeds(&["image", "inspect", &image.name]));
}

#[tokio::test]
async fn a_registry_that_breaks_off_is_asked_for_the_rest() {
    for fault in [
        Fault::Cuts(1_500_000),
        Fault::NoRanges(5_000_000),
        Fault::NoRanges(usize::MAX),
        Fault::Busy(5),
        Fault::Elsewhere,
        Fault::Trickles,
    ] {
        let registry = Registry::start();
        let image = registry.put("a/b", &layers());
        let engine = Engine::start();
        registry.set(fault);
        let imported = engine.import(&image.name).await.unwrap();
        assert_eq!(imported.transfer.done, image.bytes, "{fault:?}");
        assert_whole(&engine, &image);
    }
}

#[tokio::test]
async fn a_login_is_told_to_the_registry_and_not_to_where_it_sends_us() {
    let registry = Registry::start();
    let image = registry.put("a/b", &layers());
    registry.guard();
    registry.set(Fault::Elsewhere);
    let engine = Engine::start();
    let refused = engine.import(&image.name).await.unwrap_err();
    assert!(matches!(refused, ImportError::Registry(_)), "{refused}");
    let login = Login {
        host: registry.host(),
        username: "x".to_owned(),
        password: "secret".to_owned().into(),
        expires: None,
    };
    engine.import_as(&image.name, &login).await.unwrap();
    assert!(registry.requests() > 0 && !registry.told_login());
}

#[tokio::test]
async fn wrong_bytes_and_wrong_lengths_are_refused_and_leave_nothing() {
    let registry = Registry::start();
    let image = registry.put("a/b", &layers());
    let engine = Engine::start();
    for fault in [
        Fault::WrongByte,
        Fault::Short,
        Fault::Long,
        Fault::Cuts(0),
        Fault::Busy(usize::MAX),
    ] {
        registry.set(fault);
        let refused = engine.import(&image.name).await;
        assert!(refused.is_err(), "{fault:?}");
        assert!(
            engine.contents().is_empty(),
            "{fault:?}: {:?}",
            engine.contents()
        );
        assert_eq!(engine.snapshot_folders(), 0, "{fault:?}");
    }
    registry.set(Fault::None);
    engine.import(&image.name).await.unwrap();
    assert_whole(&engine, &image);
}

#[tokio::test]
async fn a_layer_that_its_configuration_does_not_mean_is_refused() {
    // Its blob is the one that the manifest names.
    let registry = Registry::start();
    let archive = crate::archive::archive(&[file("a", "a")]);
    let other = crate::archive::archive(&[file("a", "b")]);
    let image = registry.with_other_layer("a/b", &archive, other);
    let engine = Engine::start();
    let refused = engine.import(&image.name).await.unwrap_err();
    assert!(
        matches!(refused, ImportError::WrongLayer { .. }),
        "{refused}"
    );
    assert!(engine.contents().is_empty());
}

#[tokio::test]
async fn an_import_that_nobody_waits_for_any_more_leaves_nothing() {
    let registry = Registry::start();
    let image = registry.put("a/b", &layers());
    let engine = Engine::start();
    registry.set(Fault::Hangs);
    let importer = engine.importer();
    let began = async {
        while registry.requests() < 3 {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        _ = importer.import(&image.name, None, Near::default(), |_| {}) => panic!("it hangs"),
        () = began => {}
    }
    eventually("nothing is left", || engine.contents().is_empty()).await;
    assert_eq!(engine.snapshot_folders(), 0);
}

#[tokio::test]
async fn layers_that_are_there_are_not_fetched_again() {
    let registry = Registry::start();
    let mut of_two = layers();
    let top = of_two.pop().unwrap();
    let below = registry.put("a/below", &of_two);
    let image = registry.put("a/b", &[of_two, vec![top]].concat());
    let engine = Engine::start();
    engine.pull(&below.name);
    let imported = engine.import(&image.name).await.unwrap();
    assert_eq!(imported.present.len(), 2);
    assert_eq!(imported.transfer.done, image.bytes - below.bytes);
    assert_whole(&engine, &image);
    // The same again, and beside the engine's own pull.
    let again = engine.import(&image.name).await.unwrap();
    assert_eq!((again.transfer.done, again.present.len()), (0, 3));
}

#[tokio::test]
async fn imports_and_pulls_of_the_same_layers_do_not_disturb_each_other() {
    let registry = Registry::start();
    let image = registry.put("a/b", &layers());
    let other = registry.put(
        "a/other",
        &[layers(), vec![(Encoding::Plain, vec![file("x", "x")])]].concat(),
    );
    let engine = Engine::start();
    let pull = {
        let mut docker = engine.vm.command();
        docker
            .args(["pull", "--quiet", &image.name])
            .spawn()
            .unwrap()
    };
    let imports = tokio::join!(
        engine.import(&image.name),
        engine.import(&other.name),
        engine.import(&image.name)
    );
    assert!(pull.wait_with_output().unwrap().status.success());
    imports.0.unwrap();
    imports.1.unwrap();
    imports.2.unwrap();
    engine.vm.docker(&["system", "prune", "--force"]);
    assert_whole(&engine, &image);
    assert!(engine.vm.succeeds(&["image", "inspect", &other.name]));
}

#[tokio::test]
async fn images_that_are_pruned_while_one_is_imported_do_not_take_it_along() {
    let registry = Registry::start();
    let image = registry.put("a/b", &layers());
    let engine = Engine::start();
    // Of five requests one waits.
    registry.set(Fault::Holds(4));
    let importer = engine.importer();
    let import = importer.import(&image.name, None, Near::default(), |_| {});
    let prune = async {
        while registry.requests() < 5 {
            tokio::task::yield_now().await;
        }
        for command in [
            &["system", "prune", "--all", "--force", "--volumes"][..],
            &["builder", "prune", "--all", "--force"],
        ] {
            engine.vm.docker(command);
        }
        engine.ctr(&["content", "prune", "references"]);
        registry.set(Fault::None);
    };
    let (imported, ()) = tokio::join!(import, prune);
    imported.unwrap();
    assert_whole(&engine, &image);
    engine.vm.docker(&["image", "rm", &image.name]);
    eventually("nothing is left", || engine.contents().is_empty()).await;
}

/// A file system of a few bytes.
pub struct SmallDisk(pub PathBuf);

impl SmallDisk {
    pub fn new(mib: u32) -> Self {
        let folder = PathBuf::from(format!("/dev/shm/hearth-small-{}", std::process::id()));
        std::fs::create_dir(&folder).unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={mib}m"), "tmpfs"])
            .arg(&folder)
            .status();
        assert!(mounted.unwrap().success());
        Self(folder)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
        let _ = std::fs::remove_dir(&self.0);
    }
}

#[tokio::test]
async fn a_full_disk_is_named_and_has_room_again_afterwards() {
    let registry = Registry::start();
    let small = registry.put("a/small", &layers());
    // One layer fits, and all of them do not, in whatever order they come.
    let large = (0..4).map(|number| {
        let members = vec![file(&format!("noise-{number}"), noise(16_000_000))];
        (Encoding::Zstd(256 * 1024), members)
    });
    let large = registry.put("a/large", &large.collect::<Vec<_>>());
    let disk = SmallDisk::new(60);
    let engine = Engine::at(disk.0.join("vm"));
    for _ in 0..2 {
        let refused = engine.import(&large.name).await.unwrap_err();
        let said = refused.to_string();
        assert!(
            matches!(refused, ImportError::DiskFull { .. })
                && said.contains(disk.0.to_str().unwrap())
                && said.contains("17 MB"),
            "{said}"
        );
        assert!(engine.contents().is_empty(), "{:?}", engine.contents());
        assert_eq!(engine.snapshot_folders(), 0);
    }
    engine.import(&small.name).await.unwrap();
    assert_whole(&engine, &small);
}

/// Names the image that [`imports_until_it_is_killed`] imports, and the engine.
const KILLED: &str = "HEARTH_TEST_IMPORT";
/// How often it is killed.
const KILLS: &str = "HEARTH_TEST_KILLS";

#[test]
fn an_import_that_is_killed_leaves_nothing_after_the_next_start() {
    let registry = Registry::start();
    let image = registry.put("a/b", &layers());
    let engine = Engine::start();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let start = || -> Child {
        let names = format!("{} {}", image.name, engine.socket().display());
        Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "faults::imports_until_it_is_killed"])
            .env(KILLED, names)
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap()
    };
    // How long it takes here and now. Its process ends before it has stored all blobs.
    let (began, mut whole) = (Instant::now(), start());
    assert!(whole.wait().unwrap().success());
    let takes = u64::try_from(began.elapsed().as_micros()).unwrap();
    runtime.block_on(engine.importer().sweep()).unwrap();
    engine.vm.docker(&["image", "rm", &image.name]);
    let gone = || engine.contents().is_empty();
    runtime.block_on(eventually("nothing is left of the image", gone));
    let rounds = std::env::var(KILLS).map_or(12, |rounds| rounds.parse().unwrap());
    let (mut chance, mut were_whole) = (Chance::by_seed(), 0);
    for round in 0..rounds {
        let mut child = start();
        std::thread::sleep(Duration::from_micros(chance.below(takes)));
        let _ = child.kill();
        child.wait().unwrap();
        runtime.block_on(engine.importer().sweep()).unwrap();
        let left = engine.contents();
        // Either it was killed in time, or the image is whole.
        match engine.vm.succeeds(&["image", "inspect", &image.name]) {
            true => {
                were_whole += 1;
                assert_whole(&engine, &image);
                engine.vm.docker(&["image", "rm", &image.name]);
                let gone = || engine.contents().is_empty();
                runtime.block_on(eventually("nothing is left of the image", gone));
            }
            false => assert!(left.is_empty(), "round {round}: {left:?}"),
        }
        assert_eq!(engine.snapshot_folders(), 0, "round {round}");
    }
    eprintln!(
        "killed {rounds} times within {} ms, {were_whole} times after the image was whole",
        takes / 1000
    );
    runtime.block_on(engine.import(&image.name)).unwrap();
    assert_whole(&engine, &image);
}

#[tokio::test]
#[ignore = "another test starts it in a process of its own"]
async fn imports_until_it_is_killed() {
    let Ok(names) = std::env::var(KILLED) else {
        return;
    };
    let (image, socket) = names.split_once(' ').unwrap();
    let importer = hearth_layers::Importer::new(socket.as_ref(), "linux/amd64");
    importer
        .import(image, None, Near::default(), |_| {})
        .await
        .unwrap();
}
