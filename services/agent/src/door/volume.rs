//! Volumes that are made.

use std::path::Path;

use bollard::models::VolumeCreateRequest;

use super::{
    places::{Place, Places},
    verdict::Verdicts,
};
use crate::policy::Door;

/// Takes driver and options away that may not be asked for: a volume can be a folder of the node by another name, or the
/// disk of another machine.
pub fn judge_driver(
    places: &Places,
    request: &mut VolumeCreateRequest,
    what: &str,
    verdicts: &mut Verdicts<'_>,
) {
    let driver = request.driver.clone().unwrap_or_default();
    let local = matches!(driver.as_str(), "" | "local");
    if !local && !verdicts.may(format!("the driver {driver} of {what}"), &Door::Privileged) {
        request.driver = None;
        request.driver_opts = None;
        return;
    }
    if local {
        request.driver = None;
    }
    let Some(options) = request
        .driver_opts
        .as_ref()
        .filter(|options| !options.is_empty())
    else {
        request.driver_opts = None;
        return;
    };
    let option = |name: &str| options.get(name).map_or("", String::as_str);
    let binds = option("o")
        .split(',')
        .any(|o| matches!(o.trim(), "bind" | "rbind"));
    if local && option("type") == "tmpfs" && !binds {
        return;
    }
    let device = option("device");
    let text = format!(
        "the device {} of {what}",
        places.shown(Path::new(device)).display()
    );
    let is_bind = matches!(option("type"), "" | "none") && binds;
    let open = match (local && is_bind).then(|| places.find(Path::new(device), false)) {
        Some(Place::Node(real)) => verdicts.may(text, &Door::BindMounts(real)),
        Some(Place::Nothing(path)) => {
            let open = verdicts.may(&text, &Door::BindMounts(path));
            if open {
                verdicts.warn(format!(
                    "{text} is left out: there is nothing at that path of the node"
                ));
            }
            false
        }
        Some(Place::Socket(_)) => verdicts.may(text, &Door::DockerSocket),
        // Also a folder of the workspace's volume: the engine would follow links when it mounts it.
        Some(_) | None => verdicts.may(text, &Door::Privileged),
    };
    if !open {
        request.driver_opts = None;
    }
}
