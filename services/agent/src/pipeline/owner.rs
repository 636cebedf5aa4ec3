//! User and group that the clone must belong to. The CLI does not adapt the owner of files in a volume, and hooks that run
//! as another user than root could not write.

use crate::{clone_files::Owner, devcontainer::DevcontainerConfig, external::engine::LocalImage};

/// Largest number of a user or a group that an engine takes.
const MAX_ID: u32 = i32::MAX as u32;

impl Owner {
    /// The node's own user.
    pub const ROOT: Self = Self { uid: 0, gid: 0 };

    /// Finds a user in an `/etc/passwd`. `user` is a name or number, optionally with `:` and a group.
    pub fn find(user: &str, passwd: &str) -> Option<Self> {
        let (user, group) = match user.split_once(':') {
            Some((user, group)) => (user, number(group)),
            None => (user, None),
        };
        let known = passwd.lines().find_map(|line| {
            let mut fields = line.split(':');
            let (name, _, uid, gid) = (
                fields.next()?,
                fields.next()?,
                fields.next()?,
                fields.next()?,
            );
            (name == user || uid == user).then(|| {
                Some(Self {
                    uid: number(uid)?,
                    gid: number(gid)?,
                })
            })?
        });
        let found = known.or_else(|| {
            Some(Self {
                uid: number(user)?,
                gid: 0,
            })
        })?;
        Some(Self {
            gid: group.unwrap_or(found.gid),
            ..found
        })
    }
}

fn number(text: &str) -> Option<u32> {
    text.parse().ok().filter(|number| *number <= MAX_ID)
}

/// The user that the devcontainer's hooks and terminals run as, in the order in which the CLI looks: the last
/// `remoteUser` of image and configuration, then the container's user, then root. An empty text names nobody.
pub fn remote_user(config: Option<&DevcontainerConfig>, image: &LocalImage) -> String {
    let metadata = image.metadata().entries;
    let named = |property: &str| {
        config
            .and_then(|config| config.container.text(property))
            .or_else(|| {
                let users = metadata.iter().rev();
                users
                    .filter_map(|entry| entry.get(property)?.as_str())
                    .find(|user| !user.is_empty())
            })
            .map(str::to_owned)
    };
    named("remoteUser")
        .or_else(|| config.and_then(|config| config.container.run_user()))
        .or_else(|| named("containerUser"))
        .or_else(|| Some(image.user.clone()).filter(|user| !user.is_empty()))
        .unwrap_or_else(|| "root".to_owned())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::devcontainer::Place;

    const PASSWD: &str =
        "root:x:0:0:root:/root:/bin/sh\nbroken\ndev:x:1000:1001::/home/dev:/bin/sh\n";

    #[test]
    fn a_user_is_found_by_name_or_number() {
        let dev = Some(Owner {
            uid: 1000,
            gid: 1001,
        });
        assert_eq!(Owner::find("dev", PASSWD), dev);
        assert_eq!(Owner::find("1000", PASSWD), dev);
        assert_eq!(
            Owner::find("dev:50", PASSWD),
            Some(Owner { uid: 1000, gid: 50 })
        );
        assert_eq!(
            Owner::find("4711", PASSWD),
            Some(Owner { uid: 4711, gid: 0 })
        );
        assert_eq!(Owner::find("root", ""), None);
        assert_eq!(Owner::find("nobody", PASSWD), None);
        // To the kernel, the largest number means to leave a file its owner.
        assert_eq!(Owner::find("4294967295", PASSWD), None);
        assert_eq!(Owner::find("dev:4294967295", PASSWD), dev);
    }

    #[test]
    fn the_user_is_looked_for_as_the_cli_does() {
        let place = Place {
            clone: Path::new("/node/app"),
            default_image: "default:1",
        };
        let config = |text: &str| DevcontainerConfig::parse(place, Path::new("x"), text).unwrap();
        let image = LocalImage {
            user: "image".into(),
            devcontainer_metadata: Some(
                r#"[{"remoteUser":"first"},{"containerUser":"label"},{"remoteUser":"last"},{"remoteUser":""}]"#
                    .into(),
            ),
            ..LocalImage::default()
        };
        assert_eq!(
            remote_user(Some(&config(r#"{"remoteUser":"own"}"#)), &image),
            "own"
        );
        for text in [
            "{}",
            r#"{"remoteUser":""}"#,
            r#"{"remoteUser":"${localEnv:USER}"}"#,
        ] {
            assert_eq!(remote_user(Some(&config(text)), &image), "last", "{text}");
        }
        let plain = LocalImage {
            user: "image".into(),
            ..LocalImage::default()
        };
        assert_eq!(
            remote_user(Some(&config(r#"{"containerUser":"own"}"#)), &plain),
            "own"
        );
        let both = r#"{"containerUser":"own","runArgs":["--user","run"]}"#;
        assert_eq!(remote_user(Some(&config(both)), &plain), "run");
        let empty = r#"{"containerUser":"${localEnv:USER}"}"#;
        assert_eq!(remote_user(Some(&config(empty)), &plain), "image");
        assert_eq!(remote_user(None, &plain), "image");
        assert_eq!(remote_user(None, &LocalImage::default()), "root");
    }
}
