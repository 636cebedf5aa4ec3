use serde_json::{Map, Value};

use super::properties::{Properties, text_of};

/// Hooks that run in the container.
const HOOKS: [&str; 5] = [
    "onCreateCommand",
    "updateContentCommand",
    "postCreateCommand",
    "postStartCommand",
    "postAttachCommand",
];

/// What makes the container, as `devcontainer up` takes it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Container {
    /// Its hooks.
    pub hooks: Map<String, Value>,
    /// Everything else.
    pub properties: Map<String, Value>,
    /// Commands that run on the node before anything else.
    pub initialize: Vec<HookCommand>,
}

/// A command of a hook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookCommand {
    /// Its name, if there are several.
    pub name: Option<String>,
    /// Program and arguments.
    pub words: Vec<String>,
}

impl Container {
    /// Takes everything that is left of a configuration.
    pub(super) fn take(mut properties: Properties<'_>) -> Self {
        let initialize = properties.take("initializeCommand");
        let initialize = initialize.as_ref().map(hook_commands).unwrap_or_default();
        let mut hooks = Map::new();
        for name in HOOKS {
            if let Some(hook) = properties.take(name) {
                hooks.insert(name.to_owned(), hook);
            }
        }
        Self {
            hooks,
            properties: properties.rest(),
            initialize,
        }
    }

    /// All properties, hooks among them.
    pub fn whole(&self) -> Map<String, Value> {
        let mut whole = self.properties.clone();
        whole.extend(self.hooks.clone());
        whole
    }

    /// The value of a property, if it is a text.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.properties.get(name)?.as_str()
    }

    /// The user that `runArgs` gives to `docker run`: the last one. An empty text names nobody.
    pub fn run_user(&self) -> Option<String> {
        let args = self.properties.get("runArgs")?.as_array()?;
        let args: Vec<&str> = args.iter().filter_map(Value::as_str).collect();
        let mut users = args.iter().enumerate().filter_map(|(at, arg)| match *arg {
            "-u" | "--user" => args.get(at + 1).copied(),
            arg => arg
                .strip_prefix("--user=")
                .or_else(|| Some(arg.strip_prefix("-u")?.trim_start_matches('='))),
        });
        let last = users.next_back().filter(|user| !user.is_empty());
        last.map(str::to_owned)
    }
}

/// The commands of a hook. A text runs in a shell, a list by itself, and an object has several of both, which run at the same
/// time.
pub fn hook_commands(hook: &Value) -> Vec<HookCommand> {
    match hook {
        Value::Object(several) => several
            .iter()
            .filter_map(|(name, value)| {
                Some(HookCommand {
                    name: Some(name.clone()),
                    words: words(value)?,
                })
            })
            .collect(),
        one => words(one)
            .map(|words| HookCommand { name: None, words })
            .into_iter()
            .collect(),
    }
}

fn words(value: &Value) -> Option<Vec<String>> {
    let words: Vec<String> = match value {
        Value::String(script) if !script.trim().is_empty() => {
            ["/bin/sh", "-c", script].map(str::to_owned).to_vec()
        }
        Value::Array(words) => words.iter().filter_map(text_of).collect(),
        _ => Vec::new(),
    };
    (!words.is_empty()).then_some(words)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_command_is_a_script_a_program_or_several_of_both() {
        let read = |value: Value| -> Vec<(Option<String>, Vec<String>)> {
            let commands = hook_commands(&value).into_iter();
            commands
                .map(|command| (command.name, command.words))
                .collect()
        };
        let words = |words: &[&str]| {
            words
                .iter()
                .map(|word| (*word).to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(
            read(json!("a b")),
            [(None, words(&["/bin/sh", "-c", "a b"]))]
        );
        assert_eq!(read(json!(["a", "b c"])), [(None, words(&["a", "b c"]))]);
        assert_eq!(
            read(json!({"one": "a", "two": ["b"], "none": "", "neither": []})),
            [
                (Some("one".to_owned()), words(&["/bin/sh", "-c", "a"])),
                (Some("two".to_owned()), words(&["b"])),
            ]
        );
        for nothing in [
            json!(""),
            json!(" \n"),
            json!([]),
            json!({}),
            json!(null),
            json!(7),
        ] {
            assert_eq!(read(nothing), []);
        }
    }

    #[test]
    fn the_last_user_of_the_arguments_of_docker_run_counts() {
        let user = |args: Value| {
            let properties = json!({ "runArgs": args }).as_object().unwrap().clone();
            let container = Container {
                properties,
                ..Container::default()
            };
            container.run_user()
        };
        assert_eq!(
            user(json!(["-u", "a", "--init", "--user=b"])).as_deref(),
            Some("b")
        );
        assert_eq!(user(json!(["--user", "a"])).as_deref(), Some("a"));
        assert_eq!(user(json!(["-u1000"])).as_deref(), Some("1000"));
        assert_eq!(user(json!(["-u=1000"])).as_deref(), Some("1000"));
        assert_eq!(user(json!(["--init", "-u"])), None);
        assert_eq!(user(json!(["-u", "a", "--user="])), None);
    }
}
