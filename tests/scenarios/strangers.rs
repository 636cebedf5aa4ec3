//! What README says of a fleet over TLS, with each machine in a network namespace of its own: nodes have no port that others
//! reach, and the control plane calls them all the same.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use hearth_tests::{
    Vm,
    process::{Process, binary, eventually, path},
};

/// A machine on the network of the test, until it is dropped.
struct Machine {
    /// Keeps its namespace.
    holder: Process,
    folder: PathBuf,
}

impl Machine {
    fn new(name: &str, folder: &Path) -> Self {
        let folder = folder.join(name);
        std::fs::create_dir_all(&folder).unwrap();
        let mut holder = Command::new("unshare");
        holder.args(["--net", "sleep", "infinity"]);
        Self {
            holder: Process::start(name, &mut holder, folder.join("holder.log")),
            folder,
        }
    }

    /// Whether the namespace is its own, and not that of the test any more.
    fn is_apart(&self) -> bool {
        let own = std::fs::read_link("/proc/self/ns/net").unwrap();
        std::fs::read_link(self.namespace()).is_ok_and(|namespace| namespace != own)
    }

    fn namespace(&self) -> String {
        format!("/proc/{}/ns/net", self.holder.pid())
    }

    /// A program on this machine.
    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--net={}", self.namespace()))
            .arg(program)
            .env("PATH", path())
            .env("XDG_CONFIG_HOME", &self.folder)
            .current_dir(&self.folder)
            .stdin(Stdio::null());
        command
    }

    fn run(&self, program: &str, arguments: &[&str]) -> Output {
        let mut command = self.command(Path::new(program));
        command.args(arguments).output().unwrap()
    }

    fn ip(&self, arguments: &str) {
        let arguments: Vec<_> = arguments.split(' ').collect();
        let output = self.run("ip", &arguments);
        assert!(
            output.status.success(),
            "ip {arguments:?}: {}",
            said(&output)
        );
    }

    fn hearth(&self, arguments: &[&str]) -> Output {
        let hearth = binary("hearth");
        self.run(hearth.to_str().unwrap(), arguments)
    }
}

fn said(output: &Output) -> String {
    let texts = [&output.stdout, &output.stderr];
    texts.map(|text| String::from_utf8_lossy(text)).concat()
}

/// Machines that reach each other by 10.0.0.1 and so on, and nobody else.
async fn machines<const N: usize>(names: [&str; N], folder: &Path) -> (Machine, [Machine; N]) {
    let switch = Machine::new("switch", folder);
    let machines = names.map(|name| Machine::new(name, folder));
    let are_apart = || machines.iter().chain([&switch]).all(Machine::is_apart);
    eventually("namespaces", are_apart).await;
    switch.ip("link add bridge type bridge");
    switch.ip("link set bridge up");
    for (number, machine) in (1..).zip(&machines) {
        let pid = machine.holder.pid();
        switch.ip(&format!(
            "link add port{number} type veth peer name eth0 netns {pid}"
        ));
        switch.ip(&format!("link set port{number} master bridge up"));
        machine.ip(&format!("address add 10.0.0.{number}/24 dev eth0"));
        machine.ip("link set lo up");
        machine.ip("link set eth0 up");
    }
    (switch, machines)
}

#[tokio::test]
async fn nodes_on_other_machines_join_over_tls_and_have_no_port_that_others_reach() {
    let folder = tempfile::tempdir_in("/dev/shm").unwrap();
    let (_switch, [plane, one, two]) = machines(["plane", "node-1", "node-2"], folder.path()).await;
    let mut serving = plane.command(&binary("hearth-control-plane"));
    serving.args(["--listen", "0.0.0.0:7400", "--tls-names", "10.0.0.1"]);
    serving.args(["--ca-certificate", "ca.pem", "--ca-key", "ca-key.pem"]);
    serving.args([
        "--admin-token-file",
        "admin-token",
        "--database",
        "sqlite://hearth.db",
    ]);
    let ready = plane.folder.join("ready.json");
    serving.arg("--ready-file").arg(&ready);
    let log = plane.folder.join("log");
    let mut serving = Process::start("control plane", &mut serving, log);
    serving.wait_ready(&ready);

    let url = "https://10.0.0.1:7400";
    let login = [
        "login",
        url,
        "--ca",
        "ca.pem",
        "--token-file",
        "admin-token",
    ];
    let logged_in = plane.hearth(&login);
    assert!(logged_in.status.success(), "{}", said(&logged_in));
    let token = plane.hearth(&["token", "create", "--uses", "2", "--hours", "1"]);
    assert!(token.status.success(), "{}", said(&token));

    let mut nodes = Vec::new();
    for (name, machine) in [("node-1", &one), ("node-2", &two)] {
        let vm = Vm::start(machine.folder.join("vm"));
        std::fs::write(machine.folder.join("join-token"), &token.stdout).unwrap();
        let mut agent = machine.command(&binary("hearth-agent"));
        agent.args(["--node-name", name, "--control-plane", url]);
        agent.args([
            "--join-token-file",
            "join-token",
            "--min-free-disk-mib",
            "0",
        ]);
        agent.arg("--state-dir").arg(machine.folder.join("state"));
        agent.args(["--docker-host", &vm.docker_host()]);
        let log = machine.folder.join("log");
        nodes.push((Process::start(name, &mut agent, log), vm));
    }
    let online = || {
        let listed = plane.hearth(&["nodes"]);
        let online = said(&listed).matches("ONLINE").count();
        online == 2
    };
    eventually("two nodes online", online).await;

    for machine in [&one, &two] {
        let ports = machine.run("ss", &["-H", "-l", "-t", "-u", "-n"]);
        let ports = said(&ports);
        assert!(ports.contains("127.0.0.1:7410"), "the agent's own: {ports}");
        let reached = ports.lines().find(|line| !line.contains(" 127.0.0."));
        assert_eq!(reached, None, "{ports}");
    }
    // What the agent says of an attempt comes through the connection that it opened: it has no way to this repository.
    let prepared = plane.hearth(&[
        "up",
        "https://10.0.0.9/a/b",
        "--node",
        "node-2",
        "--cache",
        "off",
    ]);
    let why = said(&prepared);
    assert!(!prepared.status.success() && why.contains("CLONE"), "{why}");
    // Another machine has nothing to show, and learns nothing.
    let stranger = one.hearth(&["nodes", "--control-plane", url]);
    assert!(!stranger.status.success(), "{}", said(&stranger));
    let secret = said(&token);
    for (agent, _) in &nodes {
        assert!(!agent.log().contains(secret.trim()), "{}", agent.log());
    }
}
