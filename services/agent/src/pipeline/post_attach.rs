//! `postAttachCommand`: what a configuration and its features run whenever somebody attaches to the workspace.

use std::future::Future;

use futures_util::future::join_all;
use serde_json::Value;

use crate::devcontainer::hook_commands;

const HOOK: &str = "postAttachCommand";
/// A container has no more of them than its metadata has entries, which an image can make many.
const MAX_HOOKS: usize = 100;

/// Why a `postAttachCommand` counts as failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} from {origin} {why}")]
pub struct AttachFailed {
    /// `postAttachCommand`, or `NAME of postAttachCommand`.
    what: String,
    /// `devcontainer.json`, or the feature.
    origin: String,
    /// `failed with exit code 3`, or why it could not be run.
    why: String,
}

/// Runs the `postAttachCommand`s in the container's metadata (the label `devcontainer.metadata`), in the order of the
/// specification: those of features first, one after the other; the commands of an object at the same time, all of them to
/// their end. After one that fails no other hook is run.
///
/// `run` runs a program with its arguments in the container: as the remote user, in the remote folder, with the remote
/// environment and the workspace's secrets. It returns the exit code, or why the command could not be run.
///
/// A `postAttachCommand` may be a server: nobody may wait for this before a shell or a session begins.
pub async fn post_attach<Run, Ran>(metadata: &[Value], run: Run) -> Result<(), AttachFailed>
where
    Run: Fn(Vec<String>) -> Ran,
    Ran: Future<Output = Result<i64, String>>,
{
    let entries = metadata.iter().filter_map(Value::as_object);
    let hooks = entries.filter_map(|entry| Some((entry.get("id"), entry.get(HOOK)?)));
    for (id, hook) in hooks.take(MAX_HOOKS) {
        let commands = hook_commands(hook);
        let ran = commands.into_iter().map(|command| {
            let ran = run(command.words);
            async move { (command.name, ran.await) }
        });
        for (name, ran) in join_all(ran).await {
            let why = match ran {
                // The devcontainer CLI takes it for an interruption by the user.
                Ok(0 | 130) => continue,
                Ok(code) => format!("failed with exit code {code}"),
                Err(why) => format!("cannot be run: {why}"),
            };
            return Err(AttachFailed {
                what: name.map_or_else(|| HOOK.to_owned(), |name| format!("{name} of {HOOK}")),
                origin: match id.and_then(Value::as_str) {
                    Some(id) => format!("Feature '{id}'"),
                    None => "devcontainer.json".to_owned(),
                },
                why,
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use parking_lot::Mutex;
    use serde_json::json;

    use super::*;

    /// What was run, and what became of it; a command ends with the number that it begins with.
    async fn ran(metadata: Value) -> (Vec<String>, Result<(), String>) {
        let commands = Mutex::new(Vec::new());
        let metadata = metadata.as_array().expect("a list").clone();
        let result = post_attach(&metadata, |words| {
            let text = words.last().cloned().unwrap_or_default();
            commands.lock().push(words.join(" "));
            async move {
                let code = text.split(' ').next().and_then(|code| code.parse().ok());
                code.ok_or_else(|| "no such program".to_owned())
            }
        });
        let result = result.await.map_err(|failed| failed.to_string());
        (commands.into_inner(), result)
    }

    #[tokio::test]
    async fn hooks_of_features_come_first_and_all_forms_are_run() {
        let (commands, result) = ran(json!([
            {"id": "./tool", "postAttachCommand": "0 feature"},
            {"remoteUser": "dev"},
            "nonsense",
            {"postAttachCommand": {"one": "0 a", "two": ["130"], "none": ""}},
        ]))
        .await;
        assert_eq!(commands, ["/bin/sh -c 0 feature", "/bin/sh -c 0 a", "130"]);
        assert_eq!(result, Ok(()));
    }

    #[tokio::test]
    async fn the_command_that_fails_is_named_and_ends_the_hooks_but_not_those_beside_it() {
        let hooks = |first: Value| json!([{"id": "a/b", "postAttachCommand": first}, {"postAttachCommand": "0 last"}]);
        let (commands, result) =
            ran(hooks(json!({"good": "0 x", "bad": "3 y", "other": "0 z"}))).await;
        assert_eq!(commands.len(), 3);
        let expected = "bad of postAttachCommand from Feature 'a/b' failed with exit code 3";
        assert_eq!(result.unwrap_err(), expected);
        let (commands, result) = ran(json!([{"postAttachCommand": ["missing"]}])).await;
        assert_eq!(commands, ["missing"]);
        let expected = "postAttachCommand from devcontainer.json cannot be run: no such program";
        assert_eq!(result.unwrap_err(), expected);
    }
}
