//! A workspace reaches its own containers and its own volume, and nothing else of the node, whatever its files say.

use futures_util::future::join_all;
use hearth_api::v1::{PrepareWorkspaceRequest, WorkspaceState, event::Kind};
use hearth_tests::{
    Lab, Repo,
    client::{Story, request},
    git::free_port,
};

/// How a repository asks for something.
pub(crate) enum Way<'a> {
    /// Properties of devcontainer.json.
    Properties(&'a str),
    /// A label of the image.
    Metadata(&'a str),
    /// Lines of the service in a Compose file, and of the rest of the file.
    Compose(&'a str, &'a str),
}

/// Something that a repository asks for.
struct Ask<'a> {
    way: Way<'a>,
    /// What the warnings, or the failure, say.
    says: &'a str,
    /// A template of `docker inspect`, and what it gives if the ask was refused.
    harmless: (&'a str, &'a str),
}

const NO_MOUNT: (&str, &str) = (
    "{{range .Mounts}}{{if eq .Destination \"/x\"}}{{.Source}}{{end}}{{end}}",
    "",
);

const IN_BRIDGE: (&str, &str) = (
    "{{range $name, $settings := .NetworkSettings.Networks}}{{$name}}{{end}}",
    "bridge",
);

pub(crate) fn repo(lab: &Lab, name: &str, way: &Way<'_>) -> Repo {
    let image = &lab.base;
    match way {
        Way::Properties(properties) => lab.git.repo(
            name,
            &[(".devcontainer.json", &format!(r#"{{ "image": "{image}", {properties} }}"#))],
        ),
        Way::Metadata(metadata) => lab.git.repo(
            name,
            &[
                (".devcontainer.json", r#"{ "build": { "dockerfile": "Dockerfile" } }"#),
                ("Dockerfile", &format!("FROM {image}\nLABEL devcontainer.metadata='[{metadata}]'\n")),
            ],
        ),
        Way::Compose(service, rest) => lab.git.repo(
            name,
            &[
                (
                    ".devcontainer/devcontainer.json",
                    r#"{ "dockerComposeFile": "compose.yml", "service": "app", "workspaceFolder": "/project" }"#,
                ),
                (
                    ".devcontainer/compose.yml",
                    &format!(
                        "services:\n  app:\n    image: {image}\n    command: sleep infinity\n{service}\n{rest}\n"
                    ),
                ),
            ],
        ),
    }
}

/// Everything that a user is told.
pub(crate) fn told(story: &Story) -> String {
    let warnings = story.kinds().filter_map(|kind| match kind {
        Kind::Warning(warning) => Some(warning.message.clone()),
        _ => None,
    });
    let failure = story
        .workspace
        .failure
        .iter()
        .map(|failure| format!("{} {}", failure.message, failure.output_tail));
    warnings.chain(failure).collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn what_a_node_does_not_open_is_left_out_by_whichever_way_it_is_asked_for() {
    let mut lab = Lab::new(0).await;
    lab.add_node(&["--host-access", "never"]).await;
    let canary = lab.folder("canary");
    std::fs::create_dir_all(&canary).unwrap();
    std::fs::write(canary.join("secret"), "canary").unwrap();
    let dir = canary.to_str().unwrap();
    let socket = lab.vms[0].socket();
    let socket = socket.to_str().unwrap();
    let port = free_port();
    let bind = format!(r#""mounts": ["type=bind,source={dir},target=/x"]"#);
    let volume_flag = format!(r#""runArgs": ["-v", "{dir}:/x"]"#);
    let volume_options = format!(
        r#""runArgs": ["--mount", "type=volume,source=evil,target=/x,volume-opt=type=none,volume-opt=o=bind,volume-opt=device={dir}"]"#
    );
    let socket_mount = format!(r#""mounts": ["type=bind,source={socket},target=/x"]"#);
    let bind_metadata = format!(r#"{{"mounts": ["type=bind,source={dir},target=/x"]}}"#);
    let bind_compose = format!("    volumes: ['{dir}:/x']");
    let long_compose = format!(
        "    volumes: [{{type: bind, source: {dir}, target: /x, bind: {{propagation: rshared}}}}]"
    );
    let volume_compose =
        format!("volumes:\n  evil:\n    driver_opts: {{type: none, o: bind, device: {dir}}}");
    let port_flag = format!(r#""appPort": [{port}]"#);
    let port_compose = format!("    ports: ['{port}:80']");
    let up_and_out = r#""workspaceMount": "type=bind,source=${localWorkspaceFolder}/../../../..,target=/x", "workspaceFolder": "/""#;
    let is = |template, expected| (template, expected);
    let privileged = is("{{.HostConfig.Privileged}}", "false");
    let asks: Vec<Ask<'_>> = [
        (Way::Properties(r#""privileged": true"#), "privileged is left out", privileged),
        (Way::Properties(r#""runArgs": ["--privileged"]"#), "privileged is left out", privileged),
        (Way::Metadata(r#"{"privileged": true}"#), "privileged is left out", privileged),
        (Way::Compose("    privileged: true", ""), "privileged is left out", privileged),
        (Way::Properties(r#""capAdd": ["SYS_ADMIN"]"#), "the capability SYS_ADMIN is left out", is("{{.HostConfig.CapAdd}}", "[]")),
        (Way::Metadata(r#"{"capAdd": ["ALL"]}"#), "the capability ALL is left out", is("{{.HostConfig.CapAdd}}", "[]")),
        (Way::Compose("    cap_add: [SYS_MODULE]", ""), "the capability SYS_MODULE", is("{{.HostConfig.CapAdd}}", "[]")),
        (
            Way::Properties(r#""securityOpt": ["apparmor=unconfined"]"#),
            "the security option apparmor=unconfined",
            is("{{.HostConfig.SecurityOpt}}", "[]"),
        ),
        (
            Way::Metadata(r#"{"securityOpt": ["seccomp=unconfined"]}"#),
            "the security option seccomp=unconfined",
            is("{{.HostConfig.SecurityOpt}}", "[]"),
        ),
        (Way::Properties(&bind), "does not open bind-mounts:", NO_MOUNT),
        (Way::Properties(&volume_flag), "does not open bind-mounts:", NO_MOUNT),
        (Way::Metadata(&bind_metadata), "does not open bind-mounts:", NO_MOUNT),
        (Way::Compose(&bind_compose, ""), "does not open bind-mounts:", NO_MOUNT),
        (Way::Compose(&long_compose, ""), "does not open bind-mounts:", NO_MOUNT),
        (Way::Properties(up_and_out), "does not open", NO_MOUNT),
        (
            Way::Properties(&volume_options),
            "does not open bind-mounts:",
            is("{{range .HostConfig.Mounts}}{{if eq .Target \"/x\"}}{{.VolumeOptions.DriverConfig}}{{end}}{{end}}", "<nil>"),
        ),
        (
            Way::Compose("    volumes: ['evil:/x']", &volume_compose),
            "the device",
            is("{{range .Mounts}}{{if eq .Destination \"/x\"}}{{.Driver}}{{end}}{{end}}", "local"),
        ),
        (Way::Properties(&socket_mount), "does not open docker-socket", NO_MOUNT),
        (
            Way::Properties(r#""mounts": ["type=bind,source=/var/run/docker.sock,target=/x"]"#),
            "does not open docker-socket",
            NO_MOUNT,
        ),
        (Way::Properties(r#""runArgs": ["-v", "/:/x"]"#), "does not open bind-mounts:/", NO_MOUNT),
        (Way::Properties(r#""runArgs": ["--network", "host"]"#), "does not open host-network", IN_BRIDGE),
        (Way::Compose("    network_mode: host", ""), "does not open host-network", IN_BRIDGE),
        (Way::Properties(r#""runArgs": ["--pid=host", "--ipc=host"]"#), "the pid namespace host", is("{{.HostConfig.PidMode}}", "")),
        (Way::Compose("    pid: host", ""), "the pid namespace host", is("{{.HostConfig.PidMode}}", "")),
        (Way::Compose("    userns_mode: host", ""), "the user namespace host", is("{{.HostConfig.UsernsMode}}", "")),
        (Way::Properties(r#""runArgs": ["--device", "/dev/kmsg"]"#), "the device /dev/kmsg", is("{{.HostConfig.Devices}}", "[]")),
        (Way::Compose("    devices: ['/dev/kmsg:/dev/kmsg']", ""), "the device /dev/kmsg", is("{{.HostConfig.Devices}}", "[]")),
        (Way::Properties(r#""runArgs": ["--gpus", "all"]"#), "the request of GPUs", is("{{.HostConfig.DeviceRequests}}", "[]")),
        (Way::Properties(r#""runArgs": ["--cgroup-parent", "/"]"#), "the cgroup parent /", is("{{.HostConfig.CgroupParent}}", "")),
        (Way::Properties(r#""runArgs": ["--security-opt", "systempaths=unconfined"]"#), "systempaths=unconfined", privileged),
        (Way::Properties(r#""runArgs": ["--network", "container:other"]"#), "is not a container of this workspace", IN_BRIDGE),
        (Way::Properties(r#""runArgs": ["--network", "none", "--volumes-from", "other"]"#), "the volumes of the container other", is("{{.HostConfig.VolumesFrom}}", "[]")),
        (Way::Properties(r#""runArgs": ["--network", "foo"]"#), "the network foo is left out", IN_BRIDGE),
        (Way::Properties(&port_flag), "does not open host-ports", is("{{.HostConfig.PortBindings}}", "map[]")),
        (Way::Compose(&port_compose, ""), "does not open host-ports", is("{{.HostConfig.PortBindings}}", "map[]")),
        (
            Way::Properties(r#""runArgs": ["--label", "hearth.workspace=other", "--label", "com.docker.compose.project=hearth-other"]"#),
            "",
            is("{{if eq (index .Config.Labels \"hearth.workspace\") \"other\"}}other{{end}}", ""),
        ),
        (Way::Metadata(r#"{"runArgs": ["--privileged"]}"#), "", privileged),
        (Way::Properties(r#""runArgs": ["--log-driver", "syslog"]"#), "the logging driver syslog", is("{{.HostConfig.LogConfig.Type}}", "json-file")),
        (Way::Compose("    networks: [n]", "networks: {n: {ipam: {config: [{subnet: 8.8.8.0/24}]}}}"), "the choice of addresses", privileged),
    ]
    .into_iter()
    .map(|(way, says, harmless)| Ask { way, says, harmless })
    .collect();
    let mut workspaces: Vec<String> = Vec::new();
    for (group, asks) in asks.chunks(6).enumerate() {
        // An engine has few networks to give.
        for workspace in std::mem::take(&mut workspaces) {
            lab.client.delete(&workspace).await;
        }
        let stories = asks.iter().enumerate().map(|(number, ask)| {
            let repo = repo(&lab, &format!("ask-{group}-{number}"), &ask.way);
            let client = lab.client.clone();
            async move { client.prepare("node-1", &repo.url).await }
        });
        for (ask, story) in asks.iter().zip(join_all(stories).await) {
            let told = told(&story);
            story.assert_state(WorkspaceState::Ready);
            assert!(told.contains(ask.says), "{}: {told}", ask.says);
            let id = &story.workspace.container_id;
            let (template, expected) = ask.harmless;
            let seen = lab.vms[0].docker(&["inspect", "--format", template, id]);
            assert_eq!(seen, expected, "{}", ask.says);
            let reached =
                lab.vms[0].succeeds(&["exec", id, "sh", "-c", "cat /x/secret /x/*/secret"]);
            assert!(!reached, "{}", ask.says);
            workspaces.push(story.workspace.id);
        }
    }
    lab.agents[0].restart();
    for workspace in workspaces {
        lab.client.delete(&workspace).await;
    }
    lab.assert_nothing_left(1).await;
    assert_eq!(
        lab.vms[0].docker(&["network", "ls", "--quiet", "--filter", "type=custom"]),
        ""
    );
}

#[tokio::test]
async fn what_a_node_opens_works_as_in_the_plain_cli() {
    let lab = Lab::new(1).await;
    let outside = r#""mounts": ["type=bind,source=/var/run/docker.sock,target=/run/docker.sock"], "privileged": true,
        "runArgs": ["--network", "host", "--pid", "host"]"#;
    let repository = repo(&lab, "open", &Way::Properties(outside));
    let story = lab.client.prepare("node-1", &repository.url).await;
    story.assert_state(WorkspaceState::Ready);
    assert_eq!(told(&story), "");
    let id = &story.workspace.container_id;
    let host = lab.vms[0].docker(&[
        "inspect",
        "--format",
        "{{.HostConfig.Privileged}} {{.HostConfig.NetworkMode}} {{.HostConfig.PidMode}}",
        id,
    ]);
    assert_eq!(host, "true host host");
    assert!(lab.vms[0].succeeds(&["exec", id, "test", "-S", "/run/docker.sock"]));
    // There is no driver here: the engine says so, which means that it was asked.
    let repository = repo(
        &lab,
        "gpus",
        &Way::Properties(r#""runArgs": ["--gpus", "all"]"#),
    );
    let story = lab.client.prepare("node-1", &repository.url).await;
    story.assert_state(WorkspaceState::Recovery);
    let told = told(&story);
    assert!(told.contains("could not select device driver"), "{told}");
    // A home that is not there.
    let home = r#""mounts": ["type=bind,source=/nowhere/.aws,target=/root/.aws"]"#;
    let repository = repo(&lab, "home", &Way::Properties(home));
    let story = lab.client.prepare("node-1", &repository.url).await;
    story.assert_state(WorkspaceState::Ready);
    let told = self::told(&story);
    assert!(
        told.contains("the mount of /nowhere/.aws at /root/.aws is left out: there is nothing"),
        "{told}"
    );
}

/// A request for a pull request's head, which may not write.
fn of_fork(repository: &str) -> PrepareWorkspaceRequest {
    let mut request = request("node-1", repository);
    request.spec.as_mut().unwrap().r#ref = "refs/pull/1/head".to_owned();
    request
}

#[tokio::test]
async fn a_pull_request_gets_nothing_of_the_node_and_its_repository_does() {
    let lab = Lab::new(1).await;
    let repository = repo(&lab, "app", &Way::Properties(r#""privileged": true"#));
    repository.git(&["update-ref", "refs/pull/1/head", "HEAD"]);
    let fork = lab.client.run(of_fork(&repository.url)).await;
    fork.assert_state(WorkspaceState::Ready);
    assert!(
        told(&fork)
            .contains("privileged is left out: this node does not open privileged to this ref"),
        "{}",
        told(&fork)
    );
    let own = lab.client.prepare("node-1", &repository.url).await;
    for (story, expected) in [(&fork, "false"), (&own, "true")] {
        let seen = lab.vms[0].docker(&[
            "inspect",
            "--format",
            "{{.HostConfig.Privileged}}",
            &story.workspace.container_id,
        ]);
        assert_eq!(seen, expected);
    }
}

/// Ways in which Compose or the CLI could read another project than the one that was judged.
#[tokio::test]
async fn the_compose_project_that_is_judged_is_the_one_that_is_started() {
    let mut lab = Lab::new(0).await;
    lab.add_node(&["--host-access", "never"]).await;
    let base = &lab.base;
    let good = format!("services:\n  app:\n    image: {base}\n    command: sleep infinity\n");
    let evil = format!(
        "services:\n  app:\n    build: {{context: ., network: host, tags: ['{base}'], \
         args: {{BUILDKIT_CACHE_MOUNT_NS: theirs}}}}\n    \
         image: {base}\n    command: sleep infinity\n"
    );
    let dockerfile = format!("FROM {base}\nRUN touch /evil\n");
    let config = |files: &str| {
        format!(r#"{{ "dockerComposeFile": {files}, "service": "app", "workspaceFolder": "/" }}"#)
    };
    let by_variable = lab.git.repo(
        "by-variable",
        &[
            (".devcontainer.json", &config("[]")),
            ("docker-compose.yml", &good),
            ("evil.yml", &evil),
            ("Dockerfile", &dockerfile),
            (".env", "COMPOSE_FILE=evil.yml\n"),
        ],
    );
    let by_name = lab.git.repo(
        "by-name",
        &[
            (
                ".devcontainer/devcontainer.json",
                &config(r#"["ok.yml", "../../by-name/evil.yml"]"#),
            ),
            (".devcontainer/ok.yml", &good),
            ("evil.yml", &evil),
            ("Dockerfile", &dockerfile),
        ],
    );
    let openly = lab.git.repo(
        "openly",
        &[
            (".devcontainer.json", &config(r#""evil.yml""#)),
            ("evil.yml", &evil),
            ("Dockerfile", &dockerfile),
        ],
    );
    let vm = &lab.vms[0];
    vm.docker(&["pull", "--quiet", base]);
    let id_of_base = || vm.docker(&["image", "inspect", "--format", "{{.Id}}", base]);
    let before = id_of_base();

    let story = lab.client.prepare("node-1", &by_variable.url).await;
    story.assert_state(WorkspaceState::Ready);
    let container = &story.workspace.container_id;
    assert!(!vm.succeeds(&["exec", container, "test", "-e", "/evil"]));
    let story = lab.client.prepare("node-1", &by_name.url).await;
    story.assert_state(WorkspaceState::Recovery);
    let failure = story.workspace.failure.clone().expect("a failure");
    assert!(
        failure.message.contains("leads out of the repository"),
        "{failure:?}"
    );
    let story = lab.client.prepare("node-1", &openly.url).await;
    story.assert_state(WorkspaceState::Ready);
    let refused = |kind: &Kind| matches!(kind, Kind::Warning(warning) if warning.message.starts_with("the property network of the build of app"));
    assert!(story.kinds().any(refused), "{:#?}", story.events);
    assert!(vm.succeeds(&["exec", &story.workspace.container_id, "test", "-e", "/evil"]));
    assert_eq!(id_of_base(), before, "its name is still the base image's");
}
