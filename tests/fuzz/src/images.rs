use std::path::Path;

use hearth_agent::{
    credentials::GitRemote,
    devcontainer::{DevcontainerConfig, Place},
    external::engine::{LocalImage, Owner},
    fuzzing,
};

/// Between the parts of an input.
const BETWEEN: &str = "\n---\n";
/// The engine knows no larger number of a user or a group.
const MAX_ID: u32 = i32::MAX as u32;

/// Reads the input as the name of a user, and behind it the users of an image (`/etc/passwd`).
///
/// The user that is found can own files.
pub fn passwd(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (user, passwd) = text.split_once('\n').unwrap_or((&text, ""));
    if let Some(owner) = Owner::find(user, passwd) {
        assert!(owner.uid <= MAX_ID && owner.gid <= MAX_ID, "{owner:?}");
    }
}

/// Reads the input as the devcontainer metadata of an image, its environment, and a configuration, with a line of dashes
/// between them: whom the clone belongs to, and git's settings.
///
/// The number of the settings is that of those which are there.
pub fn image_metadata(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut parts = text.split(BETWEEN);
    let mut part = || parts.next().unwrap_or_default();
    let image = LocalImage {
        devcontainer_metadata: Some(part().to_owned()),
        environment: part().lines().map(str::to_owned).collect(),
        ..LocalImage::default()
    };
    let place = Place {
        clone: Path::new("/node/app"),
        default_image: "default:1",
    };
    let config = DevcontainerConfig::parse(place, Path::new("devcontainer.json"), part());
    let empty = || DevcontainerConfig::parse(place, Path::new("devcontainer.json"), "{}");
    let Ok(config) = config.or_else(|_| empty()) else {
        return;
    };
    let remote = "https://git.example/a/b".parse().ok();
    let Some(remote) = remote.as_ref().and_then(GitRemote::of) else {
        return;
    };
    let (user, properties) = fuzzing::image(&config, &image, &remote);
    assert!(!user.is_empty());
    if config.container.properties.contains_key("containerEnv") {
        return;
    }
    let variable = |name: &str| properties.get("containerEnv")?.get(name)?.as_str();
    if let Some(count) = variable("GIT_CONFIG_COUNT") {
        let count: u32 = count.parse().unwrap_or_else(|_| panic!("{count}"));
        // Git takes no more.
        assert!((1..=MAX_ID).contains(&count), "{count}");
        assert!(variable(&format!("GIT_CONFIG_KEY_{}", count - 1)).is_some());
    }
}
