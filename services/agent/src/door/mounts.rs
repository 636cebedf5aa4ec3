//! The mounts of a container.

use std::path::{Path, PathBuf};

use bollard::models::{
    HostConfig, Mount, MountBindOptionsPropagationEnum as Propagation, MountType,
    MountVolumeOptions,
};

use super::{judge::Judge, places::Place, verdict::Verdicts, volume};
use crate::policy::Door;

/// Judges every way in which a container gets files: binds, mounts, the volumes of other containers. Returns the volumes
/// by name, which have to be made beforehand so that they carry the label.
pub fn judge(judge: &Judge<'_>, host: &mut HostConfig, verdicts: &mut Verdicts<'_>) -> Vec<String> {
    let mut volumes = Vec::new();
    let mut mounts = Vec::new();
    let mut binds = Vec::new();
    for bind in host.binds.take().unwrap_or_default() {
        match Bind::parse(&bind) {
            Some(parsed) if parsed.source.starts_with('/') => {
                match path(judge, parsed.source, parsed.target, true, verdicts) {
                    Some(Source::Path(source)) => {
                        let options = options(&parsed, verdicts);
                        binds.push(format!("{source}:{}{options}", parsed.target));
                    }
                    Some(Source::Mount(mut mount)) => {
                        mount.read_only =
                            Some(parsed.is_read_only() || mount.read_only == Some(true));
                        mounts.push(*mount);
                    }
                    None => {}
                }
            }
            Some(parsed) => {
                let name = judge.names.on_engine(parsed.source);
                let options = parsed
                    .options
                    .map_or_else(String::new, |options| format!(":{options}"));
                binds.push(format!("{name}:{}{options}", parsed.target));
                volumes.push(name);
            }
            // A volume without a name.
            None => binds.push(bind),
        }
    }
    for mount in host.mounts.take().unwrap_or_default() {
        mounts.extend(judge_mount(judge, mount, &mut volumes, verdicts));
    }
    verdicts.judge(&mut host.volume_driver, &Door::Privileged, |driver| {
        let other = !matches!(driver.as_str(), "" | "local");
        other.then(|| format!("the volume driver {driver}"))
    });
    if let Some(others) = &mut host.volumes_from {
        *others = others
            .iter()
            .filter_map(|other| {
                let (name, mode) = other
                    .split_once(':')
                    .map_or((other.as_str(), None), |(name, mode)| (name, Some(mode)));
                let id = judge.container(name, "the volumes of", verdicts)?;
                Some(mode.map_or_else(|| id.to_owned(), |mode| format!("{id}:{mode}")))
            })
            .collect();
    }
    host.binds = (!binds.is_empty()).then_some(binds);
    host.mounts = (!mounts.is_empty()).then_some(mounts);
    volumes
}

/// `source:target[:options]`.
struct Bind<'a> {
    source: &'a str,
    target: &'a str,
    options: Option<&'a str>,
}

impl<'a> Bind<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let mut parts = text.splitn(3, ':');
        Some(Self {
            source: parts.next()?,
            target: parts.next()?,
            options: parts.next(),
        })
    }

    fn is_read_only(&self) -> bool {
        self.options
            .is_some_and(|options| options.split(',').any(|option| option == "ro"))
    }
}

/// What a path becomes.
enum Source {
    /// Itself.
    Path(String),
    /// A mount: of the workspace's volume, where it is in that, since the engine follows no links out of a volume.
    Mount(Box<Mount>),
}

/// Judges a path of the node. `create`: a folder that is missing in the volume is made, as `-v` does it.
fn path(
    judge: &Judge<'_>,
    source: &str,
    target: &str,
    create: bool,
    verdicts: &mut Verdicts<'_>,
) -> Option<Source> {
    let shown = judge.places.shown(Path::new(source));
    let what = format!("the mount of {} at {target}", shown.display());
    let asked = |path: PathBuf| path.to_str().map(|path| Source::Path(path.to_owned()));
    match judge.places.find(Path::new(source), create) {
        Place::Volume { inside, .. } if judge.subpaths => {
            Some(Source::Mount(Box::new(of_volume(judge, &inside, target))))
        }
        Place::Volume { real, .. } => asked(real),
        // It is for reading, whatever a repository makes of it.
        Place::Helper => Some(Source::Mount(Box::new(Mount {
            typ: Some(MountType::BIND),
            source: Some(source.to_owned()),
            target: Some(target.to_owned()),
            read_only: Some(true),
            ..Mount::default()
        }))),
        Place::Socket(real) => verdicts
            .may(what, &Door::DockerSocket)
            .then(|| asked(real))?,
        Place::AboveSocket(real) => {
            let door = Door::BindMounts(real.clone());
            (verdicts.may(&what, &door) && verdicts.may(what, &Door::DockerSocket))
                .then(|| asked(real))?
        }
        Place::Node(real) => verdicts
            .may(what, &Door::BindMounts(real.clone()))
            .then(|| asked(real))?,
        Place::Nothing(path) if judge.places.is_in_volume(&path) => {
            verdicts.warn(format!(
                "{what} is left out: there is nothing at that path of the repository"
            ));
            None
        }
        Place::Nothing(path) => {
            // Who may not mount it learns nothing about what is there.
            if verdicts.may(&what, &Door::BindMounts(path)) {
                verdicts.warn(format!(
                    "{what} is left out: there is nothing at that path of the node"
                ));
            }
            None
        }
    }
}

fn of_volume(judge: &Judge<'_>, inside: &Path, target: &str) -> Mount {
    let inside = inside.to_string_lossy();
    Mount {
        typ: Some(MountType::VOLUME),
        source: Some(judge.names.volume().to_owned()),
        target: Some(target.to_owned()),
        volume_options: Some(MountVolumeOptions {
            // Nothing of the image is copied into it, as into a bind.
            no_copy: Some(true),
            subpath: (!inside.is_empty()).then(|| inside.into_owned()),
            ..MountVolumeOptions::default()
        }),
        ..Mount::default()
    }
}

/// The options of a bind, without a way for mounts in the container to appear on the node.
fn options(bind: &Bind<'_>, verdicts: &mut Verdicts<'_>) -> String {
    let options: Vec<&str> = bind
        .options
        .unwrap_or_default()
        .split(',')
        .filter(|option| {
            let shared = matches!(*option, "shared" | "rshared");
            !option.is_empty()
                && (!shared
                    || verdicts.may(
                        format!("the propagation {option} of the mount at {}", bind.target),
                        &Door::Privileged,
                    ))
        })
        .collect();
    if options.is_empty() {
        String::new()
    } else {
        format!(":{}", options.join(","))
    }
}

fn judge_mount(
    judge: &Judge<'_>,
    mut mount: Mount,
    volumes: &mut Vec<String>,
    verdicts: &mut Verdicts<'_>,
) -> Option<Mount> {
    let target = mount.target.clone().unwrap_or_default();
    match mount.typ? {
        MountType::TMPFS => Some(mount),
        MountType::BIND => {
            let source = mount.source.clone().unwrap_or_default();
            let create = mount
                .bind_options
                .as_ref()
                .is_some_and(|options| options.create_mountpoint == Some(true));
            match path(judge, &source, &target, create, verdicts)? {
                Source::Path(path) => mount.source = Some(path),
                Source::Mount(other) => {
                    return Some(Mount {
                        read_only: Some(
                            mount.read_only == Some(true) || other.read_only == Some(true),
                        ),
                        ..*other
                    });
                }
            }
            if let Some(options) = &mut mount.bind_options {
                options.create_mountpoint = None;
                verdicts.judge(&mut options.propagation, &Door::Privileged, |propagation| {
                    let shared = matches!(propagation, Propagation::SHARED | Propagation::RSHARED);
                    shared
                        .then(|| format!("the propagation {propagation} of the mount at {target}"))
                });
            }
            mount.volume_options = None;
            Some(mount)
        }
        MountType::VOLUME => {
            let options = mount.volume_options.get_or_insert_default();
            if let Some(driver) = options.driver_config.take() {
                let mut request = bollard::models::VolumeCreateRequest {
                    driver: driver.name,
                    driver_opts: driver.options,
                    ..Default::default()
                };
                volume::judge_driver(
                    judge.places,
                    &mut request,
                    &format!("the volume at {target}"),
                    verdicts,
                );
                if request.driver.is_some() || request.driver_opts.is_some() {
                    options.driver_config = Some(bollard::models::MountVolumeOptionsDriverConfig {
                        name: request.driver,
                        options: request.driver_opts,
                    });
                }
            }
            options
                .labels
                .get_or_insert_default()
                .extend(judge.labels());
            if let Some(name) = mount.source.as_deref().filter(|name| !name.is_empty()) {
                let name = judge.names.on_engine(name);
                if options.driver_config.is_none() {
                    volumes.push(name.clone());
                }
                mount.source = Some(name);
            }
            Some(mount)
        }
        typ @ (MountType::IMAGE | MountType::CLUSTER | MountType::NPIPE) => verdicts
            .may(format!("the {typ} mount at {target}"), &Door::Privileged)
            .then_some(mount),
    }
}
