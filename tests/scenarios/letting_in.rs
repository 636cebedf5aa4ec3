//! A control plane that asks who calls, through the command line and through reflection alone.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use hearth_tests::{
    ControlPlane,
    process::{binary, path},
};

/// A user of the machine, with files of their own.
struct User<'a>(&'a Path);

impl User<'_> {
    fn run(&self, program: &Path, arguments: &[&str]) -> Output {
        Command::new(program)
            .args(arguments)
            .env("PATH", path())
            .env("XDG_CONFIG_HOME", self.0)
            .env_remove("HEARTH_CONTROL_PLANE")
            .output()
            .expect("the program")
    }

    fn hearth(&self, arguments: &[&str]) -> Output {
        self.run(&binary("hearth"), arguments)
    }

    /// gRPC by what the server says of itself.
    fn curl(&self, arguments: &[&str]) -> Output {
        let fixed = ["curl", "--protocol", "grpc", "--http2-prior-knowledge"];
        self.run(Path::new("buf"), &[&fixed[..], arguments].concat())
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn the_command_line_and_a_foreign_client_prove_who_they_are() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str| directory.path().join(name).display().to_string();
    let (admin, ci) = (file("admin-token"), file("ci-token"));
    let mut plane = ControlPlane::start_with(
        directory.path().join("plane"),
        "localhost:5000",
        &["--credentials", "none", "--admin-token-file", &admin],
    );
    let (url, user) = (plane.url(), User(directory.path()));

    // A stranger learns what the contract is and whether the process is well, and nothing else.
    let stranger = user.hearth(&["ls", "--control-plane", &url]);
    assert_eq!(stranger.status.code(), Some(1));
    assert!(
        text(&stranger.stderr).contains("CALLER_UNKNOWN"),
        "{stranger:?}"
    );
    let services = user.curl(&["--list-services", &url]);
    assert!(
        text(&services.stdout).contains("hearth.v1.ClientService"),
        "{services:?}"
    );
    let health = user.curl(&[&format!("{url}/grpc.health.v1.Health/Check")]);
    assert!(text(&health.stdout).contains("SERVING"), "{health:?}");

    let login = user.hearth(&["login", &url, "--token-file", &admin, "--context", "admin"]);
    assert!(login.status.success(), "{login:?}");
    assert!(
        text(&login.stdout).contains("you are client admin-token-file"),
        "{login:?}"
    );
    let create = [
        "client",
        "create",
        "ci",
        "--scopes",
        "prepare",
        "--repositories",
        "github.com/acme/*",
    ];
    let created = user.hearth(&create);
    assert!(created.status.success(), "{created:?}");
    let token = text(&created.stdout).trim().to_owned();
    fs::write(&ci, &token).unwrap();
    let doctor = user.hearth(&["doctor", "--token-file", &ci]);
    let told = "you are client ci (prepare), for github.com/acme/*";
    assert!(text(&doctor.stdout).contains(told), "{doctor:?}");
    let denied = user.hearth(&["client", "ls", "--token-file", &ci]);
    assert!(
        text(&denied.stderr).contains("needs the scope admin"),
        "{denied:?}"
    );
    let other = ["up", "https://github.com/evil/shop", "--token-file", &ci];
    let other = user.hearth(&other);
    assert!(
        text(&other.stderr).contains("limited to the repositories github.com/acme/*"),
        "{other:?}"
    );

    let (headers, method) = (
        file("headers"),
        format!("{url}/hearth.v1.ClientService/GetCaller"),
    );
    fs::write(&headers, format!("authorization: Bearer {token}\n")).unwrap();
    let curl = || user.curl(&["-H", &format!("@{headers}"), &method]);
    assert!(
        text(&curl().stdout).contains("CLIENT_SCOPE_PREPARE"),
        "{:?}",
        curl()
    );
    assert!(text(&user.curl(&[&method]).stderr).contains("unauthenticated"));

    plane.restart();
    assert!(curl().status.success());
    assert!(user.hearth(&["client", "revoke", "ci"]).status.success());
    assert!(
        text(&curl().stderr).contains("unauthenticated"),
        "{:?}",
        curl()
    );
    let log = plane.process().log();
    assert!(log.contains("a call was refused"), "{log}");
    let admin = fs::read_to_string(&admin).unwrap();
    assert!(
        !log.contains(&token) && !log.contains(admin.trim()),
        "a token is in the log"
    );
}
