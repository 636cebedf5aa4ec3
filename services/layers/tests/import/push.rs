//! Images that hearth pushes out of a real engine.

use hearth_domain::{Digest, Login};
use hearth_layers::{Outgoing, PushError, Pushed, Pusher, TransferError, Way};
use hearth_tests::{Registry as RealRegistry, process::eventually};
use serde_json::Value;

use crate::{
    archive::{Encoding, archive, file, folder},
    faults::{SmallDisk, noise},
    receiver::{Fault, Receiver},
    registry::{Image, Registry},
    world::Engine,
};

const FRAME: usize = 256 * 1024;

/// A large layer that does not get smaller, and one of each encoding.
fn archives() -> Vec<(Encoding, Vec<u8>)> {
    vec![
        (
            Encoding::Gzip,
            archive(&[folder("a"), file("a/noise", noise(11_000_000))]),
        ),
        (
            Encoding::Zstd(1 << 20),
            archive(&[file("a/second", vec![7; 3_000_000])]),
        ),
        (Encoding::Plain, archive(&[file("a/third", "third")])),
    ]
}

/// An engine that has an image, which it pulled.
struct World {
    engine: Engine,
    image: Image,
    _registry: Registry,
}

impl World {
    fn new() -> Self {
        let registry = Registry::start();
        let image = registry.put_archives("x/y", &archives());
        let engine = Engine::start();
        engine.pull(&image.without_index);
        Self {
            engine,
            image,
            _registry: registry,
        }
    }

    fn id(&self) -> &str {
        self.image.without_index.split_once('@').unwrap().1
    }

    async fn push(&self, repository: &str, login: Option<&Login>) -> Result<Pushed, PushError> {
        self.push_like(repository, login, None).await
    }

    async fn push_like(
        &self,
        repository: &str,
        login: Option<&Login>,
        like: Option<&Digest>,
    ) -> Result<Pushed, PushError> {
        let folder = tempfile::tempdir().unwrap();
        let pusher = Pusher::new(&self.engine.socket(), folder.path(), 0);
        let image = Outgoing {
            id: self.id(),
            repository,
            tag: "key",
            like,
        };
        let pushed = pusher.push(&image, login, |_| {}).await;
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        pushed
    }
}

/// Checks that the image is what was built, in frames, by a decoder that knows nothing of them and by one for each frame.
fn assert_whole(receiver: &Receiver) -> Vec<String> {
    let manifest = receiver.manifest("key").unwrap();
    let config = receiver.blob(&manifest["config"]["digest"]);
    let config: Value = serde_json::from_slice(&config).unwrap();
    let layers = manifest["layers"].as_array().unwrap();
    let archives = archives();
    assert_eq!(layers.len(), archives.len());
    let mut digests = Vec::new();
    for (number, (layer, (_, archive))) in layers.iter().zip(&archives).enumerate() {
        let media_type = "application/vnd.oci.image.layer.v1.tar+zstd";
        assert_eq!(layer["mediaType"], media_type);
        let blob = receiver.blob(&layer["digest"]);
        assert_eq!(layer["size"], blob.len());
        assert!(zstd::decode_all(&blob[..]).unwrap() == *archive);
        let diff_id = Digest::of(archive).to_string();
        assert_eq!(config["rootfs"]["diff_ids"][number], diff_id);
        let mut rest = &blob[..];
        for frame in archive.chunks(FRAME) {
            let length = zstd::zstd_safe::find_frame_compressed_size(rest).unwrap();
            let said = zstd::zstd_safe::get_frame_content_size(rest).unwrap();
            assert_eq!(said, Some(frame.len() as u64));
            let decoded = zstd::bulk::decompress(&rest[..length], FRAME).unwrap();
            assert!(decoded == frame);
            rest = &rest[length..];
        }
        assert!(rest.is_empty());
        digests.push(layer["digest"].as_str().unwrap().to_owned());
    }
    digests
}

#[tokio::test]
async fn an_image_is_whole_in_the_registry_whatever_happens_on_the_way() {
    let world = World::new();
    let mut all = Vec::new();
    for fault in [
        Fault::None,
        Fault::Cuts,
        Fault::Busy(5),
        Fault::Elsewhere,
        Fault::Moves,
        Fault::WholeOnly,
        Fault::AtLeast(6_000_000),
        Fault::AtLeast(100_000_000),
        Fault::Forgets,
        Fault::KeepsHalf,
    ] {
        let receiver = Receiver::start(fault);
        let pushed = world.push(&receiver.repository(), None).await;
        let pushed = pushed.unwrap_or_else(|error| panic!("{fault:?}: {error}"));
        all.push(assert_whole(&receiver));
        assert_eq!(pushed.way, Way::Direct);
        assert_eq!(pushed.transfer.done, pushed.transfer.total, "{fault:?}");
        // What had arrived is not sent again, where the registry says what that is.
        let is_resumed = !matches!(fault, Fault::Forgets | Fault::WholeOnly);
        let sent = u64::try_from(receiver.bytes()).unwrap();
        assert!(!is_resumed || sent <= pushed.transfer.total, "{fault:?}");
        eventually("no upload is left", || receiver.uploads() == 0).await;
        let requests = receiver.requests();
        let mut requests = requests.iter().filter(|line| !line.starts_with("DELETE"));
        assert_eq!(requests.next_back().unwrap(), "PUT /v2/a/b/manifests/key");

        let before = receiver.bytes();
        let again = world.push(&receiver.repository(), None).await.unwrap();
        assert_eq!(again.digest, pushed.digest);
        assert_eq!(receiver.bytes(), before, "all of it is there");
    }
    all.dedup();
    assert_eq!(all.len(), 1, "the same archives are the same blobs");
}

#[tokio::test]
async fn an_upload_that_cannot_be_done_is_an_error_and_leaves_no_image() {
    let world = World::new();
    for (fault, said) in [
        (Fault::KeepsNothing, "0 bytes"),
        (Fault::SaysOther, "says to have"),
        (Fault::SaysOtherManifest, "says to have"),
        (Fault::Busy(usize::MAX), ""),
        (Fault::Denied, "not you"),
        (
            Fault::RefusedElsewhere,
            "127.0.0.1, where it sends uploads to",
        ),
    ] {
        let receiver = Receiver::start(fault);
        let error = world.push(&receiver.repository(), None).await.unwrap_err();
        assert!(error.to_string().contains(said), "{fault:?}: {error}");
        let refusal = (fault == Fault::Denied).then(|| TransferError::Denied("not you".into()));
        assert_eq!(error.refusal(), refusal, "{fault:?}");
        if !matches!(fault, Fault::Busy(_) | Fault::RefusedElsewhere) {
            eventually("no upload is left", || receiver.uploads() == 0).await;
        }
        let has_image = receiver.manifest("key").is_some();
        assert_eq!(has_image, fault == Fault::SaysOtherManifest);
    }
}

#[tokio::test]
async fn a_push_leaves_room_on_the_disk_where_layers_wait() {
    let world = World::new();
    // Its large layer needs eleven of them.
    let disk = SmallDisk::new(24);
    for (mib, fits) in [(16, false), (10, true)] {
        let receiver = Receiver::start(Fault::None);
        let pusher = Pusher::new(&world.engine.socket(), &disk.0, mib << 20);
        let repository = receiver.repository();
        let image = Outgoing {
            id: world.id(),
            repository: &repository,
            tag: "key",
            like: None,
        };
        let pushed = pusher.push(&image, None, |_| {}).await;
        assert_eq!(receiver.manifest("key").is_some(), fits);
        let Err(error) = pushed else { continue };
        let said = error.to_string();
        assert!(
            matches!(error, PushError::NoRoom { .. })
                && said.contains("16 MiB have to stay free")
                && said.contains(disk.0.to_str().unwrap()),
            "{said}"
        );
        // The engine needs no room for it.
        assert_eq!(error.refusal(), None);
        let is_empty = || {
            let stat = rustix::fs::statvfs(&disk.0).unwrap();
            stat.f_bavail == stat.f_blocks
        };
        eventually("what was written is gone", is_empty).await;
    }
}

#[tokio::test]
async fn a_push_has_the_lowest_priority() {
    let world = World::new();
    // It takes some seconds to give up.
    let receiver = Receiver::start(Fault::Busy(usize::MAX));
    let repository = receiver.repository();
    let steps_back = eventually("the push steps back", || {
        let threads = std::fs::read_dir("/proc/self/task").unwrap();
        let mut stats = threads
            .filter_map(|thread| std::fs::read_to_string(thread.ok()?.path().join("stat")).ok());
        stats.any(|stat| {
            let (name, fields) = stat.rsplit_once(") ").unwrap();
            name.ends_with("(push") && fields.split(' ').nth(16) == Some("19")
        })
    });
    let (pushed, ()) = tokio::join!(world.push(&repository, None), steps_back);
    assert!(pushed.is_err());
}

#[tokio::test]
async fn a_login_is_told_to_the_registry_and_not_to_where_uploads_go_on() {
    let world = World::new();
    let receiver = Receiver::start(Fault::Elsewhere);
    receiver.guard();
    let refused = world.push(&receiver.repository(), None).await.unwrap_err();
    assert!(matches!(
        refused.refusal(),
        Some(TransferError::LoginFailed(_))
    ));
    let login = Login {
        host: receiver.host(),
        username: "x".to_owned(),
        password: "secret".to_owned().into(),
        expires: None,
    };
    let repository = receiver.repository();
    world.push(&repository, Some(&login)).await.unwrap();
    assert_whole(&receiver);
    assert!(!receiver.told_login());

    // It is asked once more when the first ends.
    let receiver = Receiver::start(Fault::LoginEnds);
    world.push(&receiver.repository(), None).await.unwrap();
    assert_whole(&receiver);
}

#[tokio::test]
async fn a_layer_that_the_store_does_not_have_is_named() {
    let world = World::new();
    let receiver = Receiver::start(Fault::None);
    let lists = world.engine.ctr(&["content", "list", "--quiet"]);
    let layer = Digest::of(&archives()[2].1).to_string();
    assert!(lists.contains(&layer));
    world.engine.ctr(&["content", "delete", &layer]);
    let error = world.push(&receiver.repository(), None).await.unwrap_err();
    assert!(error.to_string().contains(&layer), "{error}");
    assert_eq!(error.refusal(), None);
    assert!(receiver.manifest("key").is_none());
}

/// The lines of the image's frame index: the layers, and the members.
fn index(receiver: &Receiver) -> (Value, Vec<Value>) {
    let image = receiver.manifest("key").unwrap();
    let index = &image["annotations"]["dev.hearth.frame-index"];
    let artifact = receiver.manifest("key-frames").unwrap();
    assert_eq!(artifact["layers"][0]["digest"], *index);
    assert_eq!(
        artifact["annotations"]["dev.hearth.config"],
        image["config"]["digest"]
    );
    let text = zstd::decode_all(&receiver.blob(index)[..]).unwrap();
    let lines = text
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty());
    let mut lines = lines.map(|line| serde_json::from_slice(line).unwrap());
    (lines.next().unwrap(), lines.collect())
}

#[tokio::test]
async fn the_index_says_where_each_frame_and_each_file_is() {
    let world = World::new();
    let receiver = Receiver::start(Fault::None);
    world.push(&receiver.repository(), None).await.unwrap();
    let image = receiver.manifest("key").unwrap();
    let (head, entries) = index(&receiver);
    for (number, (_, archive)) in archives().iter().enumerate() {
        let said = &head["layers"][number];
        assert_eq!(said["digest"], image["layers"][number]["digest"]);
        assert_eq!(said["bytes"], image["layers"][number]["size"]);
        assert_eq!(said["diff_id"], Digest::of(archive).to_string());
        assert_eq!(said["archive_bytes"], archive.len());
        let blob = receiver.blob(&said["digest"]);
        let mut at = 0;
        for (frame, part) in said["frames"]
            .as_array()
            .unwrap()
            .iter()
            .zip(archive.chunks(FRAME))
        {
            let end = at + usize::try_from(frame[0].as_u64().unwrap()).unwrap();
            let decoded = zstd::bulk::decompress(&blob[at..end], FRAME).unwrap();
            assert!(decoded == part);
            assert_eq!(frame[1], Digest::of(part).to_string());
            at = end;
        }
        assert_eq!(at, blob.len());
    }
    let files: Vec<_> = entries
        .iter()
        .filter(|entry| entry["type"] == "file")
        .collect();
    for (path, data) in [
        ("a/noise", noise(11_000_000)),
        ("a/second", vec![7; 3_000_000]),
        ("a/third", b"third".to_vec()),
    ] {
        let said = files.iter().find(|entry| entry["path"] == path).unwrap();
        let number = |name: &str| usize::try_from(said[name].as_u64().unwrap()).unwrap();
        let (_, archive) = &archives()[number("layer")];
        assert!(
            archive[number("offset")..][..number("size")] == data,
            "{path}"
        );
    }
    assert_eq!((files.len(), entries.len()), (3, 4));
}

#[tokio::test]
async fn a_layer_that_was_pushed_before_is_neither_read_nor_sent_again() {
    let world = World::new();
    let receiver = Receiver::start(Fault::None);
    let first = world.push(&receiver.repository(), None).await.unwrap();
    let (bytes, before) = (receiver.bytes(), index(&receiver));
    // It could not be read.
    let layers = world.engine.ctr(&["content", "list", "--quiet"]);
    let (encoding, archive) = &archives()[0];
    let large = Digest::of(encoding.encode(archive)).to_string();
    assert!(layers.contains(&large));
    world.engine.ctr(&["content", "delete", &large]);
    let like = first.digest.clone();
    let again = world
        .push_like(&receiver.repository(), None, like.as_ref())
        .await;
    assert_eq!(again.unwrap().digest, first.digest);
    assert_eq!((receiver.bytes(), index(&receiver)), (bytes, before));

    // A registry that does not have it any more, or nothing like it, wants it again.
    for like in [first.digest, Some(Digest::of("nothing"))] {
        let empty = Receiver::start(Fault::None);
        let refused = world
            .push_like(&empty.repository(), None, like.as_ref())
            .await;
        assert!(refused.unwrap_err().to_string().contains(&large));
    }
}

#[tokio::test]
async fn what_hearth_pushed_is_an_image_for_everybody() {
    let dir = tempfile::tempdir_in("/dev/shm").unwrap();
    let real = RealRegistry::start(dir.path().join("registry"));
    let world = World::new();
    let repository = format!("{}/o/r", real.host());
    let pushed = world.push(&repository, None).await.unwrap();
    let name = format!("{repository}@{}", pushed.digest.unwrap());

    let other = Engine::start();
    other.pull(&name);
    let tagged = format!("{repository}:key");
    other.pull(&tagged);
    let build = format!("FROM {tagged}\nCOPY --from={name} /a/third /copy\n");
    std::fs::write(dir.path().join("Dockerfile"), build).unwrap();
    let folder = dir.path().display().to_string();
    other
        .vm
        .docker(&["build", "--quiet", "--tag", "built", &folder]);

    // The engine that pushed it has all layers already.
    let imported = world.engine.import(&name).await.unwrap();
    assert_eq!(imported.transfer.total, 0);
    let third = Engine::start();
    third.import(&name).await.unwrap();
    let folders = third.folders(&world.image.chain);
    assert!(std::fs::read(folders[0].join("a/noise")).unwrap() == noise(11_000_000));
}
