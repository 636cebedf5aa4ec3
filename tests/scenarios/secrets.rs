//! Secrets: hooks get them, and they are nowhere else.

use std::collections::BTreeSet;

use hearth_api::v1::{FailureReason, SetSecretRequest, WorkspaceState};
use hearth_domain::sha256_hex;
use hearth_tests::{
    Lab, app,
    client::request,
    leaks::{CommandLines, Secrets},
};

const VALUE: &str = "planted-4711-value-of-a-secret";
const LINES: &str =
    "-----BEGIN PLANTED KEY-----\nplanted-0815-line-of-a-key\n-----END PLANTED KEY-----";

/// The build looks for the secret, and would fail if it had it. A hook tells what it has without keeping it; each form of hook
/// prints it, and the last one fails with it.
const HOOKS: &str = r#", "remoteUser": "dev", "waitFor": "postStartCommand",
    "onCreateCommand": "printf %s \"$TOKEN$KEY\" | sha256sum | cut -c1-64 > .sum; echo \"a token: $TOKEN\"; printf '%s\\n' \"$KEY\"",
    "updateContentCommand": ["sh", "-c", "printf 'in %s ' \"$TOKEN\"; printf '%2097200s%s\\n' '' \"$TOKEN\""],
    "postCreateCommand": {"one": "echo \"one $TOKEN\"", "two": "printf \"two \\033[1m${TOKEN%value*}\\033[0m${TOKEN##*-a-}\\n\""},
    "postStartCommand": "[ -z \"$TOKEN\" ] || { echo \"no luck with $TOKEN\"; exit 3; }""#;

async fn set(lab: &Lab, name: &str, repositories: &str, value: &str) {
    let request = SetSecretRequest {
        name: name.to_owned(),
        repositories: repositories.to_owned(),
        value: value.to_owned(),
        all_refs: false,
    };
    let set = lab.client.secret_service().set_secret(request).await;
    set.expect("the secret is set");
}

#[tokio::test]
async fn a_secret_reaches_the_hooks_of_trusted_refs_and_nothing_that_lasts() {
    let mut lab = Lab::new(0).await;
    lab.add_node(&["--log", "trace"]).await;
    set(&lab, "TOKEN", "127.0.0.1:*/shop", VALUE).await;
    set(&lab, "KEY", "*/shop", LINES).await;
    set(
        &lab,
        "OTHER",
        "127.0.0.1:*/other",
        "planted-of-another-repository",
    )
    .await;
    let dockerfile = "FROM BASE\nRUN [ -z \"$TOKEN\" ] && echo own > /opt/own\n";
    let repo = app::with_dockerfile(&lab, "shop", dockerfile, HOOKS);
    repo.git(&["update-ref", "refs/pull/1/head", "HEAD"]);

    let arguments = CommandLines::watch();
    let story = lab.client.prepare("node-1", &repo.url).await;
    let mut fork = request("node-1", &repo.url);
    fork.spec.as_mut().unwrap().r#ref = "refs/pull/1/head".to_owned();
    let fork = lab.client.run(fork).await;
    let arguments = arguments.stop();

    let sum = |story: &hearth_tests::client::Story| {
        let workspace = &story.workspace;
        let path = format!("{}/.sum", workspace.remote_folder);
        lab.vms[0].cat(&workspace.container_id, &path)
    };
    assert_eq!(sum(&story), sha256_hex(format!("{VALUE}{LINES}")));
    assert_eq!(
        sum(&fork),
        sha256_hex(""),
        "the head of a pull request gets none"
    );
    fork.assert_state(WorkspaceState::Ready);
    story.assert_state(WorkspaceState::Recovery);
    let failure = story.workspace.failure.clone().unwrap();
    assert_eq!(failure.reason(), FailureReason::HookFailed);
    assert!(failure.message.ends_with("no luck with ***"), "{failure:?}");
    let told = format!("{:?} {:?}", story.events, story.workspace);
    for seen in ["a token: ***", "one ***", "no luck with ***"] {
        assert!(told.contains(seen), "{seen}: {told}");
    }

    let parts = [
        VALUE,
        "planted-0815-line-of-a-key",
        "planted-of-another-repository",
    ];
    let parts = parts.map(|part| (part.to_owned(), part.to_owned()));
    let secrets = Secrets::new(parts);
    let mut found = BTreeSet::new();
    found.extend(secrets.find_in("an event", told.as_bytes()));
    for line in &arguments {
        let shown = String::from_utf8_lossy(line).replace('\0', " ");
        found.extend(secrets.find_in(&format!("the arguments {shown:?}"), line));
    }
    found.extend(secrets.find_in_files(&lab.folders(), &[]));
    assert_eq!(found, BTreeSet::new());
    let exec = |line: &Vec<u8>| line.split(|byte| *byte == 0).any(|word| word == b"exec");
    assert!(
        arguments.iter().any(exec),
        "no command of the devcontainer CLI was seen"
    );
}
