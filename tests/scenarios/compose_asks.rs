//! What a Compose file asks for comes up or is refused by its name, and nothing of the node is read.

use futures_util::future::join_all;
use hearth_api::v1::{WorkspaceState, event::Kind};
use hearth_tests::{Lab, client::Story};

const RECOVERY: bool = false;
const READY: bool = true;
/// Reads what is mounted, and the environment.
const LOOK: &str = "cat /x /x/* /run/secrets/* /s 2>/dev/null; env";

/// Lines of the service, lines of the rest, whether it comes up, and what is said.
type Ask = (&'static str, &'static str, bool, &'static str);

#[rustfmt::skip]
const ASKS: [Ask; 38] = [
    ("    extends: {file: other.yml, service: a}", "", READY, ""),
    ("    extends: {file: CANARY/evil.yml, service: a}", "", RECOVERY, "evil.yml"),
    ("    extends: {file: out.yml, service: a}", "", RECOVERY, "out.yml"),
    ("    env_file: [own.env]", "", READY, ""),
    ("    env_file: [CANARY/secret]", "", RECOVERY, "env file"),
    ("    env_file: [out.env]", "", RECOVERY, "out.env"),
    ("    env_file: [{path: missing.env, required: false}]", "", READY, ""),
    ("", "include: [included.yml]", READY, ""),
    ("", "include: ['https://127.0.0.1:1/a.git']", RECOVERY, "remote resource is disabled"),
    ("", "include: [CANARY/evil.yml]", RECOVERY, "evil.yml"),
    ("", "  debug: {image: BASE, command: sleep infinity, profiles: [debug]}", READY, ""),
    ("    secrets: [s]", "secrets: {s: {file: CANARY/secret}}", READY, "at /run/secrets/s is left out"),
    ("    secrets: [s]", "secrets: {s: {file: out.env}}", READY, "s of the secrets of app is left out"),
    ("    secrets: [s]", "secrets: {s: {file: missing}}", READY, "s of the secrets of app is left out"),
    ("    secrets: [s]", "secrets: {s: {environment: HOME}}", READY, "s of the secrets of app is left out"),
    ("    secrets: [s]", "secrets: {s: {external: true}}", READY, "s of the secrets of app is left out"),
    ("    configs: [s]", "configs: {s: {file: CANARY/secret}}", READY, "at /s is left out"),
    ("    configs: [s]", "configs: {s: {file: missing}}", READY, "s of the configs of app is left out"),
    ("    build: {context: ., secrets: [s]}", "secrets: {s: {file: CANARY/secret}}", READY, "s of the secrets of the build of app is left out"),
    ("    build: {context: ., ssh: [id=./own.env]}", "", READY, "ssh of the build of app is left out"),
    ("    build: {context: ., ssh: [default]}", "", READY, "ssh of the build of app is left out"),
    ("    build: {context: ., network: host, entitlements: [security.insecure], privileged: true}", "", READY, "privileged of the build of app is left out"),
    ("    build: {context: ., cache_from: ['type=local,src=CANARY'], cache_to: ['type=local,dest=CANARY/made']}", "", READY, "cache_from of the build of app is left out"),
    ("    build: {context: CANARY}", "", RECOVERY, "canary"),
    ("    build: {context: ., dockerfile_inline: 'FROM BASE'}", "", READY, ""),
    ("    volumes: [{type: bind, source: ./missing, target: /y, bind: {create_host_path: false}}]", "", READY, "the mount of ./.devcontainer/missing at /y is left out: there is nothing at that path of the repository"),
    ("    volumes: ['../../..:/x']", "", READY, "the mount of ../.. at /x is left out"),
    ("    volumes: ['data:/x']", "volumes: {data: {driver_opts: {type: none, o: bind, device: ../../..}}}", READY, ""),
    ("    volumes_from: ['container:other']", "", READY, "the volumes of the container other"),
    ("    links: [db]\n    network_mode: bridge", DB, RECOVERY, "links"),
    ("    external_links: ['other:x']", "", READY, "other"),
    ("    network_mode: 'service:db'", DB, READY, ""),
    ("    network_mode: 'container:other'", "", READY, "is not a container of this workspace"),
    ("    volumes: ['theirs:/x']", "volumes: {theirs: {external: true, name: hearth-ws-2_data}}", RECOVERY, "hearth-ws-2_data"),
    ("    deploy: {resources: {limits: {memory: 64M}}}", "", READY, ""),
    ("    provider: {type: sh}", "", RECOVERY, "provider"),
    ("    models: [m]", "models: {m: {model: a}}", RECOVERY, "models"),
    ("    develop: {watch: [{path: ., action: sync, target: /x}]}", "", READY, ""),
];
const DB: &str = "  db: {image: BASE, command: sleep infinity}";

fn told(story: &Story) -> String {
    let warnings = story.kinds().filter_map(|kind| match kind {
        Kind::Warning(warning) => Some(warning.message.clone()),
        _ => None,
    });
    let failure = story.workspace.failure.iter();
    let failure = failure.map(|failure| format!("{} {}", failure.message, failure.output_tail));
    warnings.chain(failure).collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn a_compose_file_reads_nothing_of_the_node_and_what_is_refused_is_named() {
    let mut lab = Lab::new(0).await;
    lab.add_node(&["--host-access", "never"]).await;
    let canary = lab.folder("canary");
    std::fs::create_dir_all(&canary).unwrap();
    let service = format!("services: {{a: {{image: {}}}}}\n", lab.base);
    std::fs::write(canary.join("secret"), "CANARY=chirp\n").unwrap();
    std::fs::write(canary.join("evil.yml"), &service).unwrap();
    let dir = canary.to_str().unwrap().to_owned();
    let vm = &lab.vms[0];
    vm.docker(&["volume", "create", "hearth-ws-2_data"]);
    let mut faults = Vec::new();
    for (group, asks) in ASKS.chunks(4).enumerate() {
        let stories = asks.iter().enumerate().map(|(number, (service_lines, rest, ..))| {
            let base = &lab.base;
            let compose = format!(
                "services:\n  app:\n    image: {base}\n    command: sleep infinity\n{service_lines}\n{rest}\n"
            );
            let compose = compose.replace("CANARY", &dir).replace("BASE", base);
            let config = r#"{ "dockerComposeFile": "compose.yml", "service": "app", "workspaceFolder": "/" }"#;
            let repo = lab.git.repo(
                &format!("ask-{group}-{number}"),
                &[
                    (".devcontainer/devcontainer.json", config),
                    (".devcontainer/compose.yml", &compose),
                    (".devcontainer/other.yml", &service),
                    (".devcontainer/included.yml", "services: {b: {image: x, profiles: [never]}}\n"),
                    (".devcontainer/own.env", "OWN=1\n"),
                    (".devcontainer/Dockerfile", &format!("FROM {base}\n")),
                ],
            );
            let (secret, evil) = (format!("{dir}/secret"), format!("{dir}/evil.yml"));
            repo.link(&[(".devcontainer/out.env", &secret), (".devcontainer/out.yml", &evil)]);
            repo.commit(&[("commit", "links")]);
            let client = lab.client.clone();
            async move { client.prepare("node-1", &repo.url).await }
        });
        for (ask, story) in asks.iter().zip(join_all(stories).await) {
            let (lines, rest, is_ready, says) = ask;
            let told = told(&story);
            let state = if *is_ready {
                WorkspaceState::Ready
            } else {
                WorkspaceState::Recovery
            };
            if story.workspace.state() != state || !told.contains(says) {
                faults.push(format!("{lines} {rest}: {told}"));
            }
            let seen = vm.docker(&["exec", &story.workspace.container_id, "sh", "-c", LOOK]);
            assert!(!seen.contains("chirp"), "{lines} {rest}: {seen}");
            lab.client.delete(&story.workspace.id).await;
        }
    }
    assert!(!canary.join("made").exists());
    assert!(faults.is_empty(), "{}", faults.join("\n\n"));
}
