use std::path::Path;

use hearth_api::v1::Failure;

use super::context::Context;
use crate::external::devcontainer::Started;

const NAME: &str = "hearth-recovery.txt";

/// Writes a file beside the clone, in the container, that says why the repository's own devcontainer does not run. What a
/// hook has put there is the engine's to deal with: the agent opens nothing that a container can write to.
pub async fn leave_note(cx: &Context<'_>, container: &Started, failure: &Failure) {
    let text = format!("{}\n\n{}\n", failure.message, failure.output_tail);
    let folder = Path::new(&container.remote_folder).parent();
    let folder = folder.unwrap_or(Path::new("/")).to_string_lossy();
    let id = &container.container_id;
    let engine = &cx.externals.engine;
    let written = engine
        .write_to_container(id, &folder, NAME, text.as_bytes())
        .await;
    if let Err(error) = written {
        cx.recorder.warn(format!(
            "the note about the failure is not in the container: {error}"
        ));
    }
}
