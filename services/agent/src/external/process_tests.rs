//! What a command cannot do to its node. Those of a user of their own need root, as the agent does.

use std::{fs, os::unix::fs::PermissionsExt as _, path::PathBuf};

use super::{lines::MAX_TAIL, *};

/// A number that no account has.
const USER: u32 = 60_999;

fn shell(script: &str) -> Process {
    let args = ["-c", script];
    Process::new(&Sandbox::of_tests(), "sh").args(args)
}

/// The script's output, run by root without capabilities and by a user; the same from both.
async fn both(script: &str, given: impl Fn(Process) -> Process) -> String {
    let mut outputs = Vec::new();
    for user in [None, Some(USER)] {
        let mut process = given(shell(&format!("{{ {script}\n}} 2>&1; :")));
        if let Some(user) = user.filter(|_| is_root()) {
            process = process.run_as(user);
        }
        outputs.push(process.run(&mut |_| {}).await.unwrap());
    }
    assert_eq!(outputs[0], outputs[1]);
    outputs.remove(0)
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A folder that everybody may write, with a file in it, below one that others than root cannot enter.
fn open_folder() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("deep/folder");
    fs::create_dir_all(&folder).unwrap();
    for (path, mode) in [(&folder, 0o777), (&folder.join("canary"), 0o666)] {
        if mode == 0o666 {
            fs::write(path, "canary").unwrap();
        }
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }
    (dir, folder)
}

#[tokio::test]
async fn nothing_of_the_node_is_seen_but_the_system_and_what_is_given() {
    let (_given, given) = open_folder();
    let (_other, other) = open_folder();
    let script = format!(
        "for file in /etc/shadow /etc/ssh/ssh_host_rsa_key /etc/ssl/private /etc/docker /root/.bashrc /home/. \
           /var/lib/dpkg /boot /sys/kernel /run/docker.sock /var/run/docker.sock {other} {other}/canary; do
           [ -e $file ] && echo sees $file
         done
         ls / | tr '\\n' ' '; cat {given}/canary; echo; ls /proc | grep -c '^[0-9]'",
        other = other.display(),
        given = given.display(),
    );
    let seen = both(&script, |process| process.reads(&given)).await;
    let seen: Vec<&str> = seen.lines().collect();
    let [tail, processes] = seen[..] else {
        panic!("{seen:?}");
    };
    assert!(tail.ends_with("canary") && tail.contains("usr"), "{tail}");
    for hidden in ["boot", "home", "sys", "srv", "mnt"] {
        assert!(!tail.split(' ').any(|name| name == hidden), "{tail}");
    }
    // Its own, and the first one of the namespace.
    assert!(processes.parse::<u32>().unwrap() < 8, "{processes}");
}

#[tokio::test]
async fn other_processes_and_their_environment_are_not_reached() {
    let own = std::process::id();
    let script = format!(
        "kill -0 {own} && echo reaches {own}
         for environ in /proc/[0-9]*/environ; do tr '\\0' '\\n' < $environ; done 2>/dev/null | grep ^CARGO_"
    );
    let seen = both(&script, |process| process).await;
    assert!(
        !seen.contains("CARGO_") && !seen.contains("reaches"),
        "{seen}"
    );
}

#[tokio::test]
async fn nothing_is_written_but_what_is_given_for_it() {
    let (_read, read) = open_folder();
    let (_write, write) = open_folder();
    let read_only = read.display();
    // Nothing else of the machine has this name.
    let new = format!("hearth-made-by-{}", std::process::id());
    let script = format!(
        "for folder in / /usr /usr/bin /etc /dev /proc /run /var {read_only}; do
           touch $folder/x 2>/dev/null && echo writes $folder
         done
         for file in {read_only}/canary /etc/passwd /etc/hosts /proc/sys/kernel/core_pattern /proc/sysrq-trigger \\
           /proc/1/oom_score_adj /proc/self/uid_map; do
           (: >> $file) 2>/dev/null && echo writes $file
         done
         ln -sf /etc/passwd {write}/link && mv {read_only}/canary {write}/ 2>/dev/null && echo moves
         echo x > {write}/made-$(id -u) && echo x > /tmp/{new} && echo x > /dev/shm/{new} && echo good",
        write = write.display(),
    );
    let given = |process: Process| process.reads(&read).writes(&write);
    assert_eq!(both(&script, given).await, "good\n");
    assert_eq!(fs::read(read.join("canary")).unwrap(), b"canary");
    assert!(!Path::new("/tmp").join(new).exists());
}

#[tokio::test]
async fn privileges_are_not_gained() {
    let (_dir, dir) = open_folder();
    // A setuid program, as a repository could have made one, and the calls that lead out of a sandbox.
    let id = dir.join("id");
    fs::copy("/usr/bin/id", &id).unwrap();
    fs::set_permissions(&id, fs::Permissions::from_mode(0o6755)).unwrap();
    let calls = [
        libc::SYS_mount,
        libc::SYS_unshare,
        libc::SYS_setns,
        libc::SYS_clone3,
        libc::SYS_ptrace,
        libc::SYS_keyctl,
        libc::SYS_bpf,
        libc::SYS_perf_event_open,
        libc::SYS_userfaultfd,
        libc::SYS_io_uring_setup,
        libc::SYS_open_by_handle_at,
    ];
    let calls: String = calls.map(|call| format!("call {call} 0; ")).concat();
    let x32 = if cfg!(target_arch = "x86_64") {
        "call 1073741863 0"
    } else {
        ""
    };
    let script = format!(
        "grep -E '^(CapPrm|CapEff|CapAmb|NoNewPrivs|Seccomp):' /proc/self/status | tr '\\t\\n' '  '; echo
         [ $({dir}/id -u) = $(id -u) ] || echo setuid
         mknod {dir}/disk b 8 0 2>/dev/null && echo mknod; chroot / true 2>/dev/null && echo chroot
         chown 12:12 {dir}/canary 2>/dev/null && echo chown
         call() {{ perl -e '$r = syscall($ARGV[0] + 0, $ARGV[1] + 0, 0, 0, 0, 0); print \"$ARGV[0] $r $!\\n\" if $r >= 0 || $! != {enosys}' $@; }}
         {calls} {x32}
         call {clone} {newuser}; call {socket} {vsock}
         perl -e 'ioctl(STDIN, {tiocsti}, $c = \"x\"); print \"types\\n\" if $! != {enosys}'",
        dir = dir.display(),
        enosys = libc::ENOSYS,
        clone = libc::SYS_clone,
        newuser = libc::CLONE_NEWUSER,
        socket = libc::SYS_socket,
        vsock = libc::AF_VSOCK,
        tiocsti = libc::TIOCSTI,
    );
    let seen = both(&script, |process| process.writes(&dir)).await;
    let none = "0000000000000000";
    assert_eq!(
        seen,
        format!("CapPrm: {none} CapEff: {none} CapAmb: {none} NoNewPrivs: 1 Seccomp: 2 \n")
    );
}

#[tokio::test]
async fn a_user_of_its_own_has_no_rights_and_no_groups() {
    if !is_root() {
        return;
    }
    let (_dir, dir) = open_folder();
    let secret = dir.join("secret");
    fs::write(&secret, "secret").unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    let script = format!("id -u; id -g; id -G; umask; cat {} || :", secret.display());
    let process = shell(&script).writes(&dir).run_as(USER);
    let seen = process.run(&mut |_| {}).await.unwrap();
    assert_eq!(seen, format!("{USER}\n{USER}\n{USER}\n0022\n"));
}

#[tokio::test]
async fn nothing_of_a_command_is_left_when_it_has_ended() {
    if !is_root() {
        return;
    }
    let (_dir, dir) = open_folder();
    let script = format!(
        "cd {}; (setsid sh -c 'exec 8>lock; flock 8; echo > there; exec sleep 1000' </dev/null >/dev/null 2>&1 &)
         until [ -e there ]; do :; done",
        dir.display()
    );
    for user in [None, Some(USER)] {
        let _ = fs::remove_file(dir.join("there"));
        let _ = fs::remove_file(dir.join("lock"));
        let process = shell(&script).writes(&dir);
        let process = match user {
            Some(user) => process.run_as(user),
            None => process,
        };
        process.run(&mut |_| {}).await.unwrap();
        let lock = fs::File::open(dir.join("lock")).unwrap();
        lock.try_lock().expect("whoever held it is dead");
    }
}

#[tokio::test]
async fn a_child_that_keeps_the_output_open_holds_nothing_up() {
    for script in [
        "sleep 1000 & echo good",
        "setsid sleep 1000 & echo good",
        "echo good; exec >&- 2>&-",
    ] {
        let output = shell(script).run(&mut |_| {}).await.unwrap();
        assert_eq!(output, "good\n", "{script}");
    }
}

#[tokio::test]
async fn processes_of_a_user_are_limited_and_end_with_the_command() {
    if !is_root() {
        return;
    }
    // dash ends at a fork that fails.
    let script = "i=0; while :; do sleep 1000 & i=$((i + 1)); echo $i >&2; done";
    let failure = shell(script).run_as(USER).run(&mut |_| {}).await;
    let failure = failure.unwrap_err();
    let counts = failure.tail.lines().filter_map(|line| line.parse().ok());
    let most: u64 = counts.max().unwrap();
    assert!((100..1024).contains(&most), "{most} {failure:?}");
    shell("id").run_as(USER).run(&mut |_| {}).await.unwrap();
}

#[tokio::test]
async fn output_without_an_end_takes_a_bounded_memory() {
    let failure = shell("head -c 20000000 /dev/zero >&2; exit 1")
        .run(&mut |_| {})
        .await
        .unwrap_err();
    assert!(failure.tail.len() <= MAX_TAIL);
    // It ends when nobody reads any more.
    let (_, text, _) = shell("exec yes").run_to_end(&mut |_| {}).await.unwrap();
    assert_eq!(text.len() as u64, MAX_STDOUT);
}

#[tokio::test]
async fn a_program_that_is_missing_is_named() {
    for (program, name) in [("no-such", "no-such"), ("/no/such", "such")] {
        let process = Process::new(&Sandbox::of_tests(), program);
        let failure = process.run(&mut |_| {}).await.unwrap_err();
        let expected =
            format!("{name} cannot be started: there is no such program on the agent's PATH");
        assert_eq!(failure.message, expected);
    }
}

#[tokio::test]
async fn no_descriptor_of_the_agent_reaches_a_command() {
    let file = tempfile::tempfile().unwrap();
    // Like one that the agent was started with: it stays open in children.
    let _inherited = rustix::io::dup(&file).unwrap();
    for user in [None, Some(USER).filter(|_| is_root())] {
        let process = Process::new(&Sandbox::of_tests(), "ls").args(["/proc/self/fd"]);
        let process = match user {
            Some(user) => process.run_as(user),
            None => process,
        };
        // It reads the folder by the last one.
        assert_eq!(process.run(&mut |_| {}).await.unwrap(), "0\n1\n2\n3\n");
    }
}

#[tokio::test]
async fn a_command_reaches_the_network_that_it_is_given() {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let script = format!(
        "perl -MIO::Socket::INET -e 'print IO::Socket::INET->new(\"127.0.0.1:{port}\") ? \"yes\" : \"no\"'
         ls /run/systemd 2>/dev/null; cat /proc/net/dev | wc -l"
    );
    let seen = shell(&script).run(&mut |_| {}).await.unwrap();
    assert!(seen.starts_with("yes"), "{seen}");
    if !is_root() {
        return;
    }
    let holder = Command::new("unshare")
        .args(["--net", "sh", "-c", "echo; exec sleep 1000"])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn();
    let mut holder = holder.unwrap();
    let mut begun = [0];
    let mut said = holder.stdout.take().unwrap();
    tokio::io::AsyncReadExt::read_exact(&mut said, &mut begun)
        .await
        .unwrap();
    let namespace = format!("/proc/{}/ns/net", holder.id().unwrap());
    let namespace = Arc::new(fs::File::open(namespace).unwrap().into());
    // Two lines of heading, and the loopback interface of the namespace.
    for network in [Network::None, Network::Of(namespace)] {
        let process = shell(&script).run_as(USER).network(&network);
        let seen = process.run(&mut |_| {}).await.unwrap();
        assert_eq!(seen, "no3\n", "{network:?}");
    }
}

/// As in a container: process 2, which has the number of bubblewrap's child, has ended long ago.
#[tokio::test]
async fn a_command_runs_where_the_first_processes_of_the_node_are_gone() {
    const INSIDE: &str = "HEARTH_TEST_IN_NAMESPACE";
    if !is_root() {
        return;
    }
    if std::env::var_os(INSIDE).is_some() {
        assert!(!Path::new("/proc/2").exists());
        let said = shell("echo inside").run(&mut |_| {}).await.unwrap();
        assert_eq!(said, "inside\n");
        return;
    }
    let module = module_path!().split_once("::").unwrap().1;
    let name = "a_command_runs_where_the_first_processes_of_the_node_are_gone";
    let status = Command::new("unshare")
        .args(["--pid", "--fork", "--mount-proc", "sh", "-c"])
        .arg("for n in 1 2 3 4 5 6 7 8 9; do /bin/true; done; exec \"$0\" --exact \"$1\"")
        .arg(std::env::current_exe().unwrap())
        .arg(format!("{module}::{name}"))
        .env(INSIDE, "1")
        .output()
        .await
        .unwrap();
    let said = String::from_utf8_lossy(&status.stdout);
    assert!(
        status.status.success() && said.contains("1 passed"),
        "{said}{}",
        String::from_utf8_lossy(&status.stderr)
    );
}

#[tokio::test]
async fn a_command_that_takes_all_memory_is_ended_and_told() {
    if !is_root() {
        return;
    }
    let sandbox = Sandbox::of_tests();
    if sandbox.group().unwrap().is_none() {
        return;
    }
    let bombs = [
        "perl -e '$x .= \"x\" x 1048576 while 1'",
        // No process has what the folders hold.
        "for at in /tmp /var/tmp /dev/shm; do head -c 60m /dev/zero > $at/x; done
         perl -e '$x .= \"x\" x 1048576 for 1..200'",
    ];
    for script in bombs {
        let failure = Process::new(&sandbox, "sh")
            .args(["-c", script])
            .run_as(USER)
            .run(&mut |_| {})
            .await
            .unwrap_err();
        assert!(
            failure
                .message
                .starts_with("sh was ended because it used more than 256 MiB of memory"),
            "{script}: {failure:?}"
        );
    }
    // A folder in memory is full before.
    let failure = Process::new(&sandbox, "sh")
        .args(["-c", "head -c 1G /dev/zero > /tmp/x"])
        .run(&mut |_| {})
        .await
        .unwrap_err();
    assert!(
        failure.message.ends_with("No space left on device"),
        "{failure:?}"
    );
}

#[tokio::test]
async fn without_groups_each_process_has_the_limit_of_memory() {
    let sandbox = Sandbox::without_groups();
    for user in [None, Some(USER).filter(|_| is_root())] {
        let run = async |mebibytes: u32| {
            let script = format!("$x .= 'x' x 1048576 for 1..{mebibytes}; print 'done'");
            let process = Process::new(&sandbox, "perl").args(["-e", &script]);
            let process = match user {
                Some(user) => process.run_as(user),
                None => process,
            };
            process.run(&mut |_| {}).await
        };
        assert_eq!(run(60).await.unwrap(), "done");
        let failure = run(300).await.unwrap_err();
        assert!(failure.message.ends_with("Out of memory!"), "{failure:?}");
    }
}

#[tokio::test]
async fn the_groups_of_commands_are_removed_with_them() {
    if !is_root() {
        return;
    }
    let sandbox = Sandbox::of_tests();
    let Some(group) = sandbox.group().unwrap() else {
        return;
    };
    let own = group.folder().parent().unwrap().to_owned();
    drop(group);
    let groups = || {
        let entries = fs::read_dir(&own).unwrap().flatten();
        entries.filter(|entry| entry.path().is_dir()).count()
    };
    Process::new(&sandbox, "true")
        .run(&mut |_| {})
        .await
        .unwrap();
    assert_eq!(groups(), 0);
    // One that is dropped has not ended yet.
    let mut ignore = |_: Line<'_>| {};
    let dropped = Process::new(&sandbox, "sleep").args(["1000"]);
    assert!(futures_util::FutureExt::now_or_never(dropped.run(&mut ignore)).is_none());
    loop {
        Process::new(&sandbox, "true")
            .run(&mut |_| {})
            .await
            .unwrap();
        if groups() == 0 {
            break;
        }
    }
    drop(sandbox);
    assert!(!own.exists());
}
