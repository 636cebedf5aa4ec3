use std::path::Path;

use hearth_api::v1::Failure;

use super::context::Context;
use crate::{
    clone_files::Owner,
    external::{devcontainer::Started, engine::EngineFailure},
};

const NAME: &str = "hearth-recovery.txt";
const BUILD_LOG: &str = "hearth-build.log";
const PASSWD: &str = "/etc/passwd";

/// Writes files beside the clone, in the container, that say why the repository's own devcontainer does not run: the failure,
/// and the whole output of the attempt's image build, if there was one. They belong to the container's user. What a hook has
/// put there is the engine's to deal with: the agent opens nothing that a container can write to.
pub async fn leave_note(cx: &Context<'_>, container: &Started, failure: &Failure) {
    let failure = cx.recorder.masked(failure.clone());
    let text = format!("{}\n\n{}\n", failure.message, failure.output_tail);
    let attempt = &cx.job.attempt;
    let log = cx.node.build_logs.read(&attempt.workspace).await;
    let log = log.filter(|(number, _)| *number == attempt.number);
    let mut files = vec![(NAME, text)];
    files.extend(log.map(|(_, log)| (BUILD_LOG, log)));
    if let Err(error) = write(cx, container, &files).await {
        cx.recorder.warn(format!(
            "the note about the failure is not in the container: {error}"
        ));
    }
}

async fn write(
    cx: &Context<'_>,
    container: &Started,
    files: &[(&str, String)],
) -> Result<(), EngineFailure> {
    let engine = &cx.externals.engine;
    let (id, user) = (&container.container_id, &container.remote_user);
    let passwd = engine
        .file_of_container(id, PASSWD)
        .await?
        .unwrap_or_default();
    let owner = Owner::find(user, &String::from_utf8_lossy(&passwd)).unwrap_or(Owner::ROOT);
    let folder = beside(&container.remote_folder, cx.job.spec.repository.name());
    for (name, text) in files {
        let written = engine.write_to_container(id, &folder, name, text.as_bytes(), owner);
        written.await?;
    }
    Ok(())
}

/// The folder that the clone is in, whose own or a folder of which is worked in.
fn beside(remote_folder: &str, repository: &str) -> String {
    let folder = Path::new(remote_folder);
    let clone = folder.ancestors().find(|above| above.ends_with(repository));
    let beside = clone.unwrap_or(folder).parent();
    beside
        .unwrap_or(Path::new("/"))
        .to_string_lossy()
        .into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_note_is_beside_the_clone_whichever_folder_of_it_is_worked_in() {
        assert_eq!(beside("/workspaces/app", "app"), "/workspaces");
        assert_eq!(beside("/workspaces/app/services/api", "app"), "/workspaces");
        assert_eq!(beside("/workspaces/app/", "app"), "/workspaces");
        assert_eq!(beside("/srv/code", "app"), "/srv");
        assert_eq!(beside("/", "app"), "/");
    }
}
