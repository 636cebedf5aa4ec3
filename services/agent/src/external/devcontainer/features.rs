//! The list of features that were withdrawn for being harmful. The CLI fetches it from `containers.dev` before it starts a
//! container, if it has none of the last five minutes, and looks up the configuration's features in it.
//!
//! An image that is finished has none to add: its features were looked up when it was built. Fetching the list held up
//! each start by a request to the internet, and for minutes where a node reaches nothing but its registry.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use crate::scratch;

/// How long the list is young, from the start of a CLI that waits for its image.
const YOUNG_FOR: Duration = Duration::from_hours(24);

/// Has a CLI start without fetching the list. Returns the folder for its temporary files, in which it finds an empty one; no
/// other CLI does.
pub(super) fn none_withdrawn(scratch: &Path) -> io::Result<PathBuf> {
    let folder = scratch.join(scratch::TMP).join("finished-image");
    // Named after the user, as the agent is root.
    let of_cli = folder.join("devcontainercli-root");
    fs::create_dir_all(&of_cli)?;
    let mut list = File::create(of_cli.join("control-manifest.json"))?;
    list.write_all(br#"{"disallowedFeatures":[],"featureAdvisories":[]}"#)?;
    list.set_modified(SystemTime::now() + YOUNG_FOR)?;
    Ok(folder)
}
