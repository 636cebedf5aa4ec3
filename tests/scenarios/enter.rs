//! Who may enter a workspace gets in by `hearth exec`, and with the distribution's own ssh, scp, sftp and rsync, although its
//! image has no sshd: as the devcontainer's user, unharmed, and to nothing but the workspace.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use hearth_api::v1::{Workspace, WorkspaceState};
use hearth_tests::{
    Lab, Repo,
    process::{binary, eventually},
};

/// Bytes of the files that are moved; `HEARTH_TEST_ENTER_BYTES` has another number, such as 1073741824.
fn bytes() -> u64 {
    let given = std::env::var("HEARTH_TEST_ENTER_BYTES").ok();
    given.map_or(48 << 20, |text| text.parse().expect("a number"))
}

/// A workspace with a folder for the client's files.
struct Inside {
    lab: Lab,
    workspace: Workspace,
    home: PathBuf,
}

fn repo(lab: &Lab, name: &str, properties: &str) -> Repo {
    let config = format!(r#"{{ "image": "{}" {properties} }}"#, lab.base);
    lab.git
        .repo(name, &[(".devcontainer/devcontainer.json", &config)])
}

impl Inside {
    async fn new(properties: &str) -> Self {
        let lab = Lab::new(1).await;
        let repo = repo(&lab, "inside", properties);
        let workspace = lab.client.prepare("node-1", &repo.url).await.workspace;
        assert_eq!(workspace.state(), WorkspaceState::Ready, "{workspace:#?}");
        let home = lab.folder("home");
        fs::create_dir_all(home.join(".ssh")).expect("a folder");
        Self {
            lab,
            workspace,
            home,
        }
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .env("HOME", &self.home)
            .env("XDG_STATE_HOME", self.home.join("state"))
            .env("XDG_CONFIG_HOME", self.home.join("config"))
            .env("HEARTH_CONTROL_PLANE", self.lab.control_plane.url());
        command
    }

    fn hearth(&self, args: &[&str]) -> Command {
        let mut command = self.command(&binary("hearth"));
        command.args(args);
        command
    }

    fn exec(&self, options: &[&str], script: &str) -> Output {
        let id: &str = &self.workspace.id;
        let tail = [id, "sh", "-c", script];
        output(&mut self.hearth(&[&["exec"][..], options, &tail[..]].concat()))
    }

    /// A program of OpenSSH or rsync, with the configuration that hearth writes.
    fn with_config(&self, program: &str, args: &[&str]) -> Command {
        let mut command = self.command(Path::new(program));
        command
            .arg("-F")
            .arg(self.home.join(".ssh/config"))
            .args(args);
        command
    }

    fn host(&self) -> String {
        format!("hearth.{}", self.workspace.id)
    }

    /// What `sh` prints in the workspace as its user, by the engine itself.
    fn seen(&self, script: &str) -> String {
        let Workspace {
            container_id,
            remote_user,
            ..
        } = &self.workspace;
        let args = [
            "exec",
            "--user",
            remote_user,
            container_id,
            "sh",
            "-c",
            script,
        ];
        self.lab.vms[0].docker(&args)
    }
}

fn output(command: &mut Command) -> Output {
    command.stdin(Stdio::null()).output().expect("a program")
}

fn fed(command: &mut Command, input: Stdio) -> Output {
    command.stdin(input).output().expect("a program")
}

/// Its output, after success.
fn text(output: &Output) -> String {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{:?}: {stderr}", output.status);
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// A file of bytes by chance, and its digest as `sha256sum` prints it.
fn file(folder: &Path) -> (PathBuf, String) {
    let path = folder.join("data");
    let mut random = fs::File::open("/dev/urandom").expect("random bytes");
    let mut file = fs::File::create(&path).expect("a file");
    std::io::copy(&mut std::io::Read::take(&mut random, bytes()), &mut file).expect("bytes");
    let digest = digest(&path);
    (path, digest)
}

fn digest(path: &Path) -> String {
    let output = output(Command::new("sha256sum").arg(path));
    first_word(&text(&output))
}

fn first_word(text: &str) -> String {
    text.split_whitespace()
        .next()
        .unwrap_or_default()
        .to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_runs_as_the_devcontainer_says_and_its_end_is_that_of_hearth() {
    let inside = Inside::new(
        r#", "remoteUser": "dev", "containerEnv": {"IN_CONTAINER": "c"},
            "remoteEnv": {"REMOTE": "${containerEnv:IN_CONTAINER}-r", "PATH": "${containerEnv:PATH}:/own"},
            "postCreateCommand": "echo 'export OF_PROFILE=p' >> ~/.profile" "#,
    )
    .await;
    let said = inside.exec(
        &[],
        "id -un; pwd; echo $IN_CONTAINER $REMOTE $OF_PROFILE; echo $PATH | grep -c ':/own$'",
    );
    let folder = &inside.workspace.remote_folder;
    assert_eq!(text(&said), format!("dev\n{folder}\nc c-r p\n1"));
    let said = inside.exec(
        &["--user", "root", "--workdir", "/tmp", "--env", "A=b c"],
        "id -u; pwd; echo \"$A\"; echo problem >&2; exit 7",
    );
    assert_eq!(said.status.code(), Some(7));
    assert_eq!(String::from_utf8_lossy(&said.stdout), "0\n/tmp\nb c\n");
    assert_eq!(String::from_utf8_lossy(&said.stderr), "problem\n");
    assert_eq!(inside.exec(&[], "kill -TERM $$").status.code(), Some(143));
    let id = inside.workspace.id.clone();
    let missing = output(&mut inside.hearth(&["exec", &id, "no-such-program"]));
    // As the engine says it: the one or the other.
    assert!(
        matches!(missing.status.code(), Some(126 | 127)),
        "{missing:?}"
    );

    // Both ways at once, to the end of either.
    let (path, digest) = file(&inside.home);
    let open = || Stdio::from(fs::File::open(&path).expect("the file"));
    let back = inside.home.join("back");
    let status = inside
        .hearth(&["exec", &id, "cat"])
        .stdin(open())
        .stdout(fs::File::create(&back).expect("a file"))
        .status();
    assert!(status.expect("hearth").success());
    assert_eq!(self::digest(&back), digest);
    let counted = fed(&mut inside.hearth(&["exec", &id, "sha256sum"]), open());
    assert_eq!(first_word(&text(&counted)), digest);

    // A client that vanishes takes its command with it, and another's goes on.
    let mut client = inside
        .hearth(&["exec", &id, "sleep", "4711"])
        .spawn()
        .expect("hearth");
    let running = || inside.seen("ps | grep -c '[s]leep 4711' || true") == "1";
    eventually("the command runs", running).await;
    client.kill().expect("an end");
    client.wait().expect("an end");
    eventually("the command has ended", || !running()).await;

    // An endless output that nobody reads holds nobody up.
    let mut endless = inside.hearth(&["exec", &id, "yes"]);
    let mut endless = endless
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("hearth");
    for _ in 0..3 {
        assert_eq!(text(&inside.exec(&[], "echo there")), "there");
    }
    endless.kill().expect("an end");
    endless.wait().expect("an end");
    eventually("the endless one has ended", || {
        inside.seen("ps | grep -c '[y]es$' || true") == "0"
    })
    .await;
}

/// Runs a shell script on a terminal of its own, types what `typed` says when `cue` has been shown, and returns all of it.
fn on_a_terminal(inside: &Inside, script: &str, cue: &str, typed: &str) -> (String, Option<i32>) {
    let mut command = inside.command(Path::new("script"));
    command.args([
        "--quiet",
        "--return",
        "--flush",
        "--command",
        script,
        "/dev/null",
    ]);
    let mut child = command
        .env("HEARTH", binary("hearth"))
        .env("ID", &inside.workspace.id)
        .env("TERM", "xterm")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("script");
    let mut stdin = child.stdin.take().expect("stdin");
    let mut stdout = child.stdout.take().expect("stdout");
    let (mut shown, mut chunk) = (Vec::new(), [0; 4096]);
    let mut typed = Some(typed);
    loop {
        let read = std::io::Read::read(&mut stdout, &mut chunk).expect("output");
        if read == 0 {
            break;
        }
        shown.extend_from_slice(&chunk[..read]);
        if String::from_utf8_lossy(&shown).contains(cue)
            && let Some(typed) = typed.take()
        {
            stdin.write_all(typed.as_bytes()).expect("a key");
        }
    }
    let status = child.wait().expect("an end");
    (String::from_utf8_lossy(&shown).into_owned(), status.code())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_has_the_users_size_keys_and_shell_and_is_left_as_it_was() {
    let inside = Inside::new(r#", "remoteUser": "dev""#).await;
    let (shown, code) = on_a_terminal(
        &inside,
        "stty rows 31 cols 101; stty -g >$HOME/before; $HEARTH exec $ID -- sh -c 'stty size; trap \"echo caught; exit 9\" INT; echo ready; while :; do sleep 0.1; done'; code=$?; stty -g >$HOME/after; exit $code",
        "ready",
        "\u{3}",
    );
    assert!(shown.contains("31 101"), "{shown}");
    assert!(shown.contains("caught"), "{shown}");
    assert_eq!(code, Some(9), "{shown}");
    let kept = |name: &str| fs::read_to_string(inside.home.join(name)).expect("settings");
    assert_eq!(kept("before"), kept("after"));

    // The size changes while the command runs.
    let resize = "stty rows 31 cols 101; (sleep 3; stty rows 52 cols 132 </dev/tty) & \
         $HEARTH exec $ID -- sh -c 'until test \"$(stty size)\" = \"52 132\"; do sleep 0.1; done; echo resized; exit 3'";
    let (shown, code) = on_a_terminal(&inside, resize, "never", "");
    assert!(shown.contains("resized"), "{shown}");
    assert_eq!(code, Some(3), "{shown}");

    let (shown, code) = on_a_terminal(
        &inside,
        "$HEARTH shell $ID",
        "$ ",
        "id -un; pwd; tty; exit 5\n",
    );
    assert!(shown.contains("dev"), "{shown}");
    assert!(shown.contains("/dev/pts/"), "{shown}");
    assert_eq!(code, Some(5), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_distributions_ssh_scp_sftp_and_rsync_work_as_the_user_and_as_root() {
    for (properties, user, home) in [
        (r#", "remoteUser": "dev""#, "dev", "/home/dev"),
        (r#", "remoteUser": "root""#, "root", "/root"),
    ] {
        let inside = Inside::new(properties).await;
        text(&output(&mut inside.hearth(&["ssh-config", "--write"])));
        let host = inside.host();
        let ssh = |args: &[&str]| inside.with_config("ssh", &[&[&*host][..], args].concat());
        let said = output(&mut ssh(&[
            "id -un; pwd; echo $SHELL; echo problem >&2; exit 6",
        ]));
        let folder = &inside.workspace.remote_folder;
        assert_eq!(said.status.code(), Some(6), "{said:?}");
        assert_eq!(
            String::from_utf8_lossy(&said.stdout),
            format!("{user}\n{folder}\n/bin/sh\n")
        );
        assert_eq!(String::from_utf8_lossy(&said.stderr), "problem\n");
        let said = output(&mut inside.hearth(&["ssh", &inside.workspace.id, "id", "-un"]));
        assert_eq!(text(&said), user);

        let (path, digest) = file(&inside.home);
        let source = path.to_str().expect("a path");
        let at = |place: &str| inside.seen(&format!("sha256sum {place}; stat -c %U {place}"));
        let expected = |place: &str| format!("{digest}  {place}\n{user}");

        // Both ways at once: the input ends, and the output comes.
        let back = inside.home.join("back");
        let status = ssh(&["cat"])
            .stdin(fs::File::open(&path).expect("the file"))
            .stdout(fs::File::create(&back).expect("a file"))
            .status();
        assert!(status.expect("ssh").success());
        assert_eq!(self::digest(&back), digest);
        // A command that does not read at first gets everything in the end.
        let late = format!("sleep 2; cat > {home}/late");
        let status = ssh(&[&late])
            .stdin(fs::File::open(&path).expect("the file"))
            .status();
        assert!(status.expect("ssh").success());
        assert_eq!(
            at(&format!("{home}/late")),
            expected(&format!("{home}/late"))
        );

        // scp, there and back, with folders and links.
        let place = format!("{home}/by-scp");
        let target = format!("{host}:{place}");
        text(&output(
            &mut inside.with_config("scp", &["-q", source, &target]),
        ));
        assert_eq!(at(&place), expected(&place));
        fs::remove_file(&back).expect("a file");
        let copied = back.to_str().expect("a path");
        text(&output(
            &mut inside.with_config("scp", &["-q", "-p", &target, copied]),
        ));
        assert_eq!(self::digest(&back), digest);
        let tree = inside.home.join("tree/deep");
        fs::create_dir_all(&tree).expect("a folder");
        fs::write(tree.join("a b"), "text").expect("a file");
        let tree = inside.home.join("tree");
        let (from, to) = (tree.to_str().expect("a path"), format!("{host}:{home}/"));
        text(&output(
            &mut inside.with_config("scp", &["-q", "-r", from, &to]),
        ));
        assert_eq!(
            inside.seen(&format!("cat {home}/tree/deep/a*; stat -c %U {home}/tree")),
            format!("text{user}")
        );

        // sftp, by a batch.
        let batch = inside.home.join("batch");
        let commands = format!(
            "put {source} {home}/by-sftp\nchmod 600 {home}/by-sftp\nrename {home}/by-sftp {home}/renamed\nln -s renamed {home}/link\nls -l {home}\ndf {home}\nget {home}/link {copied}\nmkdir {home}/made\nrmdir {home}/made\n"
        );
        fs::write(&batch, commands).expect("a file");
        let batch = batch.to_str().expect("a path");
        text(&output(
            &mut inside.with_config("sftp", &["-q", "-b", batch, &host]),
        ));
        assert_eq!(self::digest(&back), digest);
        assert_eq!(
            inside.seen(&format!(
                "stat -c '%a %U' {home}/renamed; readlink {home}/link"
            )),
            format!("600 {user}\nrenamed")
        );

        // hearth's own copies: files, folders and links, there and back.
        std::os::unix::fs::symlink("/nowhere/at-all", tree.join("link")).expect("a link");
        let sent = format!("{}:{home}/copied", inside.workspace.id);
        text(&output(&mut inside.hearth(&["cp", from, &sent])));
        let seen = inside.seen(&format!(
            "cat {home}/copied/deep/a*; readlink {home}/copied/link; stat -c %U {home}/copied/deep"
        ));
        assert_eq!(seen, format!("text/nowhere/at-all\n{user}"));
        let got = inside.home.join("got");
        text(&output(&mut inside.hearth(&[
            "cp",
            &sent,
            got.to_str().expect("a path"),
        ])));
        assert_eq!(
            fs::read_to_string(got.join("deep/a b")).expect("a file"),
            "text"
        );
        assert_eq!(
            fs::read_link(got.join("link")).expect("a link"),
            Path::new("/nowhere/at-all")
        );
        let sent = format!("{}:{home}/large", inside.workspace.id);
        text(&output(&mut inside.hearth(&["cp", source, &sent])));
        text(&output(&mut inside.hearth(&["cp", &sent, copied])));
        assert_eq!(self::digest(&back), digest);
        let missing = format!("{}:/no/such", inside.workspace.id);
        let refused = output(&mut inside.hearth(&["cp", &missing, copied]));
        assert_eq!(refused.status.code(), Some(1));
        assert!(String::from_utf8_lossy(&refused.stderr).contains("there is no such file"));

        // rsync needs a program in the workspace, and says so.
        let config = format!("ssh -F {}", inside.home.join(".ssh/config").display());
        let rsync = || {
            let target = format!("{host}:{home}/by-rsync");
            output(
                inside
                    .command(Path::new("rsync"))
                    .args(["-a", "-e", &config, source, &target]),
            )
        };
        let refused = rsync();
        let stderr = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(
            stderr.contains("there is no rsync in this workspace's image"),
            "{stderr}"
        );
        add_program(&inside, "/usr/bin/rsync");
        text(&rsync());
        let place = format!("{home}/by-rsync");
        assert_eq!(first_word(&at(&place)), digest);

        // A port of the container, and a socket, from here.
        // It listens on the loopback interface of the container alone.
        inside.seen("echo served > /tmp/page; httpd -p 127.0.0.1:7654 -h /tmp");
        let port = text(&output(
            Command::new("sh").args(["-c", "echo $((20000 + $$ % 20000))"]),
        ));
        let forward = format!("{port}:localhost:7654");
        let mut client = inside.with_config(
            "ssh",
            &[
                "-N",
                "-o",
                "ExitOnForwardFailure=yes",
                "-L",
                &forward,
                &host,
            ],
        );
        let mut client = client.stdin(Stdio::null()).spawn().expect("ssh");
        let number: u16 = port.parse().expect("a number");
        eventually("the port leads into the container", || {
            read_from(number) == "served\n"
        })
        .await;
        client.kill().expect("an end");
        client.wait().expect("an end");

        let mut client = inside.hearth(&["port-forward", &inside.workspace.id, ":7654", ":7655"]);
        let mut client = client
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("hearth");
        let mut lines = std::io::BufRead::lines(std::io::BufReader::new(
            client.stdout.take().expect("stdout"),
        ));
        let mut port = || -> u16 {
            let line = lines.next().expect("a line").expect("text");
            let address = line.split_whitespace().nth(2).expect("an address");
            address
                .rsplit(':')
                .next()
                .expect("a port")
                .parse()
                .expect("a number")
        };
        let (open, closed) = (port(), port());
        assert_eq!(read_from(open), "served\n");
        assert_eq!(read_from(closed), "");
        client.kill().expect("an end");
        client.wait().expect("an end");
    }
}

/// Copies a program of this machine into the workspace, with the libraries that it loads.
fn add_program(inside: &Inside, program: &str) {
    let script = format!(
        "{{ echo {program}; ldd {program} | grep -o '/[^ :]* '; }} | tr -d ' ' | xargs tar -chf - | docker exec -i -u root {} tar -xf - -C /",
        inside.workspace.container_id
    );
    let mut command = Command::new("sh");
    command
        .args(["-c", &script])
        .env("PATH", hearth_tests::process::path())
        .env("DOCKER_HOST", inside.lab.vms[0].docker_host());
    text(&output(&mut command));
}

/// The page that a port of this machine serves; nothing if nobody is there.
fn read_from(port: u16) -> String {
    let mut text = String::new();
    if let Ok(mut connection) = std::net::TcpStream::connect(("127.0.0.1", port)) {
        let _ = connection.write_all(b"GET /page HTTP/1.0\r\n\r\n");
        let _ = std::io::Read::read_to_string(&mut connection, &mut text);
    }
    let page = text.split_once("\r\n\r\n");
    page.map_or_else(String::new, |(_, page)| page.to_owned())
}
