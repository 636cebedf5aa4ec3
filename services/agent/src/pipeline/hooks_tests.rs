use serde_json::json;

use super::*;

fn hooks(config: &Value, metadata: &[Value]) -> Hooks {
    Hooks::of(config.as_object(), metadata)
}

#[test]
fn a_workspace_waits_for_the_hooks_that_the_configuration_names() {
    use Hook::{OnCreate, PostCreate, PostStart, UpdateContent};
    let all = json!({
        "onCreateCommand": "a", "updateContentCommand": ["b"], "postCreateCommand": {"x": "c"},
        "postStartCommand": "d", "postAttachCommand": "e", "initializeCommand": "f",
    });
    let with = |wait_for: Option<&str>| {
        let mut config = all.clone();
        if let Some(wait_for) = wait_for {
            config["waitFor"] = json!(wait_for);
        }
        let hooks = hooks(&config, &[]);
        (
            Vec::from_iter(hooks.blocking()),
            Vec::from_iter(hooks.later()),
        )
    };
    let default = (vec![OnCreate, UpdateContent], vec![PostCreate, PostStart]);
    assert_eq!(with(None), default);
    assert_eq!(with(Some("updateContentCommand")), default);
    assert_eq!(with(Some("initializeCommand")).1, Vec::from_iter(Hook::ALL));
    assert_eq!(with(Some("onCreateCommand")).0, [OnCreate]);
    assert_eq!(with(Some("postCreateCommand")).1, [PostStart]);
    assert_eq!(with(Some("postStartCommand")).1, []);
    // As the devcontainer CLI takes them.
    assert_eq!(with(Some("")), default);
    assert_eq!(with(Some("postAttachCommand")).1, []);
    assert_eq!(with(Some("no such hook")).1, []);
}

#[test]
fn hooks_of_the_image_count_and_empty_ones_do_not() {
    let image = [
        json!({"id": "feature", "onCreateCommand": "a", "waitFor": "onCreateCommand"}),
        json!({"postStartCommand": "b", "waitFor": "postStartCommand"}),
        json!("nonsense"),
    ];
    let config = json!({"postCreateCommand": " ", "updateContentCommand": [], "postStartCommand": {}, "onCreateCommand": null});
    let joined = hooks(&config, &image);
    let expected = [Hook::OnCreate, Hook::PostStart];
    assert_eq!(Vec::from_iter(joined.blocking()), expected);
    let none = hooks(&config, &[]);
    assert_eq!((none.blocking(), none.later()), Default::default());
    let own = hooks(&json!({"waitFor": "onCreateCommand"}), &image);
    assert_eq!(Vec::from_iter(own.later()), [Hook::PostStart]);
}
