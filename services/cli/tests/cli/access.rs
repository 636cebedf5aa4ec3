//! Tokens, contexts and clients.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use hearth_api::v1::{
    Client, ClientScope, CreateClientRequest, CreateClientResponse, GetCallerResponse,
    ListClientsResponse, ListNodesResponse, ListWorkspacesResponse, Node, NodeState,
    RevokeClientRequest,
};
use hearth_runtime::{Reason, status};
use tempfile::TempDir;
use tokio::{io::AsyncWriteExt as _, process::Command};

use crate::support::{Answer, Call, ControlPlane, Ended, ended, hearth, run};

/// A user with files of their own.
struct Home(TempDir);

impl Home {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    fn config(&self) -> PathBuf {
        self.0.path().join("hearth/config.toml")
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.0.path().join(name);
        fs::write(&path, text).expect("a file");
        path.to_str().expect("text").to_owned()
    }

    /// The client, without an address in its environment.
    fn hearth(&self, arguments: &[&str]) -> Command {
        let mut command = hearth("", arguments);
        command
            .env_remove("HEARTH_CONTROL_PLANE")
            .env("XDG_CONFIG_HOME", self.0.path());
        command
    }

    async fn login(&self, plane: &ControlPlane, name: &str, token: &str) -> Ended {
        let (url, file) = (url(plane), self.file("given", token));
        let arguments = ["login", &url, "--token-file", &file, "--context", name];
        run(self.hearth(&arguments)).await
    }
}

fn url(plane: &ControlPlane) -> String {
    format!("http://127.0.0.1:{}", plane.port())
}

fn client(name: &str) -> Client {
    Client {
        name: name.into(),
        scopes: vec![ClientScope::Prepare.into()],
        repositories: vec!["github.com/acme/*".into()],
        ..Client::default()
    }
}

fn caller(name: &str) -> Answer {
    Answer::Caller(GetCallerResponse {
        client: Some(client(name)),
    })
}

fn no_workspaces() -> Answer {
    Answer::List(ListWorkspacesResponse::default())
}

#[tokio::test]
async fn a_token_comes_from_a_flag_else_the_environment_else_the_context() {
    let plane = ControlPlane::start([
        caller("ci"),
        no_workspaces(),
        no_workspaces(),
        no_workspaces(),
        no_workspaces(),
    ])
    .await;
    let home = Home::new();
    let login = home.login(&plane, "ci", "of-the-context\n").await;
    assert_eq!(login.code, Some(0), "{login:?}");
    let told = format!(
        "{} is used from now on, as context ci: you are client ci (prepare), for github.com/acme/*\n",
        url(&plane)
    );
    assert_eq!((login.stdout, login.stderr), (told, String::new()));
    let mode = fs::metadata(home.config())
        .expect("a file")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    let folder = home
        .config()
        .parent()
        .map(Path::to_owned)
        .expect("a folder");
    let mode = fs::metadata(folder).expect("a folder").permissions().mode();
    assert_eq!(mode & 0o777, 0o700);

    let (flag, variable) = (
        home.file("flag", "of-the-flag"),
        home.file("variable", "of-the-variable"),
    );
    let mut by_variable = home.hearth(&["ls"]);
    by_variable.env("HEARTH_TOKEN_FILE", &variable);
    let mut by_flag = home.hearth(&["ls", "--token-file", &flag]);
    by_flag.env("HEARTH_TOKEN_FILE", &variable);
    let mut by_empty = home.hearth(&["ls"]);
    by_empty.env("HEARTH_TOKEN_FILE", "");
    for command in [home.hearth(&["ls"]), by_variable, by_flag, by_empty] {
        let ls = run(command).await;
        assert_eq!(ls.code, Some(0), "{ls:?}");
    }
    let expected = ["context", "context", "variable", "flag", "context"];
    assert_eq!(
        plane.proofs(),
        expected.map(|of| format!("Bearer of-the-{of}"))
    );
}

#[tokio::test]
async fn a_token_that_is_refused_is_not_saved_and_what_to_do_is_told() {
    let refusal = || {
        Answer::Refuse(status(
            Reason::CallerUnknown,
            "the token is none of this control plane's",
        ))
    };
    let plane = ControlPlane::start([refusal(), refusal()]).await;
    let home = Home::new();
    let login = home.login(&plane, "ci", "planted-token").await;
    let told = "\
hearth: the token is none of this control plane's
  reason CALLER_UNKNOWN (UNAUTHENTICATED)
  log in with: hearth login URL; or name a file with a token by --token-file or HEARTH_TOKEN_FILE
";
    assert_eq!((login.code, login.stderr.as_str()), (Some(1), told));
    assert!(!home.config().exists());
    // It comes from standard input, too.
    let url = url(&plane);
    let mut command = home.hearth(&["login", &url]);
    command.stdin(std::process::Stdio::piped());
    let mut child = command.spawn().expect("the client");
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(b"from-stdin\n").await.expect("it reads");
    drop(stdin);
    assert_eq!(ended(child).await.code, Some(1));
    assert_eq!(
        plane.proofs(),
        ["Bearer planted-token", "Bearer from-stdin"]
    );
    for (text, code) in [("planted two", Some(64)), ("", Some(64))] {
        let login = home.login(&plane, "ci", text).await;
        assert_eq!(login.code, code);
        assert!(!login.stderr.contains("planted"), "{login:?}");
    }
}

#[tokio::test]
async fn the_token_of_a_context_goes_to_its_own_address_and_no_other() {
    let (own, other) = (
        ControlPlane::start([caller("ci"), no_workspaces(), no_workspaces()]).await,
        ControlPlane::start([no_workspaces(), no_workspaces()]).await,
    );
    let home = Home::new();
    assert_eq!(home.login(&own, "ci", "of-the-context").await.code, Some(0));
    let mut by_variable = home.hearth(&["ls"]);
    by_variable.env("HEARTH_CONTROL_PLANE", url(&other));
    let mut same = home.hearth(&["ls"]);
    same.env("HEARTH_CONTROL_PLANE", format!("{}/", url(&own)));
    for command in [
        home.hearth(&["ls", "--control-plane", &url(&other)]),
        by_variable,
        home.hearth(&["ls", "--control-plane", &url(&own)]),
        same,
    ] {
        let ls = run(command).await;
        assert_eq!(ls.code, Some(0), "{ls:?}");
    }
    assert_eq!(other.proofs(), Vec::<String>::new());
    assert_eq!(own.proofs(), ["Bearer of-the-context"; 3]);
}

#[tokio::test]
async fn contexts_are_listed_chosen_and_forgotten() {
    let (one, two) = (
        ControlPlane::start([caller("a"), no_workspaces(), no_workspaces()]).await,
        ControlPlane::start([caller("b"), no_workspaces(), no_workspaces()]).await,
    );
    let home = Home::new();
    assert_eq!(home.login(&one, "one", "first").await.code, Some(0));
    assert_eq!(home.login(&two, "two", "second").await.code, Some(0));
    let mut by_variable = home.hearth(&["ls"]);
    by_variable.env("HEARTH_CONTEXT", "one");
    let mut by_flag = home.hearth(&["ls", "--context", "two"]);
    by_flag
        .env("HEARTH_CONTEXT", "one")
        .env("HEARTH_CONTROL_PLANE", url(&one));
    for command in [by_variable, by_flag, home.hearth(&["ls"])] {
        assert_eq!(run(command).await.code, Some(0));
    }
    assert_eq!(one.proofs(), ["Bearer first"; 2]);
    assert_eq!(two.proofs(), ["Bearer second"; 3]);
    let used = run(home.hearth(&["context", "use", "one"])).await;
    assert_eq!(used.stdout, "one is used from now on\n");
    assert_eq!(run(home.hearth(&["ls"])).await.code, Some(0));
    assert_eq!(one.proofs(), ["Bearer first"]);
    let listed = run(home.hearth(&["context", "ls"])).await.stdout;
    let rows: Vec<Vec<_>> = listed
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(
        rows[1..],
        [
            ["one", &url(&one), "yes", "*"],
            ["two", &url(&two), "yes", "-"]
        ]
    );

    assert_eq!(
        run(home.hearth(&["context", "rm", "one"])).await.stdout,
        "removed one\n"
    );
    assert!(
        !fs::read_to_string(home.config())
            .expect("a file")
            .contains("first")
    );
    for (arguments, told) in [
        (
            &["ls", "--context", "one"][..],
            "hearth: --context: there is no context one\n",
        ),
        (
            &["context", "use", "one"],
            "hearth: NAME: there is no context one\n",
        ),
        (
            &["context", "rm", "one"],
            "hearth: NAME: there is no context one\n",
        ),
        (
            &[
                "ls",
                "--context",
                "two",
                "--control-plane",
                "http://127.0.0.1:1",
            ],
            "hearth: --control-plane and --context both name",
        ),
    ] {
        let refused = run(home.hearth(arguments)).await;
        assert_eq!(refused.code, Some(64), "{refused:?}");
        assert!(refused.stderr.starts_with(told), "{refused:?}");
    }
    // Without a current one the default is called.
    let ls = run(home.hearth(&["ls"])).await;
    assert!(
        ls.stderr.contains("http://127.0.0.1:7400") || ls.code == Some(0),
        "{ls:?}"
    );
}

#[tokio::test]
async fn a_file_of_contexts_that_others_can_read_or_that_is_none_is_not_used() {
    let home = Home::new();
    fs::create_dir(home.0.path().join("hearth")).expect("a folder");
    let write = |text: &str, mode| {
        fs::write(home.config(), text).expect("a file");
        fs::set_permissions(home.config(), fs::Permissions::from_mode(mode)).expect("a mode");
    };
    let good = "[contexts.a]\ncontrol-plane = 'http://127.0.0.1:1'\ntoken = 'planted'\n";
    for mode in [0o640, 0o604, 0o666] {
        write(good, mode);
        let ls = run(home.hearth(&["ls"])).await;
        assert_eq!(ls.code, Some(64), "{ls:?}");
        let path = home.config().display().to_string();
        assert!(ls.stderr.contains(&format!("chmod 600 {path}")), "{ls:?}");
    }
    for bad in [
        "planted",
        "current = 7\ntoken = 'planted'",
        "[contexts.a]\ntoken = 'planted'",
        "[contexts.a]\ncontrol-plane = 'http://planted.example'",
        "[contexts.'A b']\ncontrol-plane = 'http://127.0.0.1:1'\ntoken = 'planted'",
        "[contexts.a]\ncontrol-plane = 'http://127.0.0.1:1'\nsecret = 'planted'",
        "contexts = 'planted'",
    ] {
        write(bad, 0o600);
        let ls = run(home.hearth(&["ls"])).await;
        assert_eq!(ls.code, Some(64), "{bad}: {ls:?}");
        assert!(ls.stderr.contains("is not a file of contexts"), "{ls:?}");
        assert!(!ls.stderr.contains("planted"), "{ls:?}");
    }
    write(good, 0o600);
    let get = run(home.hearth(&["ls", "--context", "a"])).await;
    assert_eq!(get.code, Some(69), "{get:?}");
}

#[tokio::test]
async fn a_client_is_made_with_its_token_alone_on_stdout_listed_and_revoked() {
    let created = Answer::Created(CreateClientResponse {
        client: Some(client("ci")),
        token: "hearth_0123".into(),
    });
    let listed = Answer::Clients(ListClientsResponse {
        clients: vec![client("ci")],
        next_page_token: String::new(),
    });
    let taken = Answer::Refuse(status(Reason::NameInUse, "there is or was a client ci"));
    let plane = ControlPlane::start([created, listed, Answer::Revoked, taken]).await;
    let arguments = [
        "client",
        "create",
        "ci",
        "--scopes",
        "prepare",
        "--repositories",
        "github.com/acme/*,git.example/x",
        "--days",
        "90",
    ];
    let create = run(plane.hearth(&arguments)).await;
    assert_eq!(
        (create.code, create.stdout.as_str()),
        (Some(0), "hearth_0123\n")
    );
    assert!(create.stderr.contains("is printed once"), "{create:?}");
    assert!(!create.stderr.contains("0123"), "{create:?}");
    let ls = run(plane.hearth(&["client", "ls"])).await;
    assert!(
        ls.stdout.contains("ci    prepare  github.com/acme/*"),
        "{ls:?}"
    );
    let revoke = run(plane.hearth(&["client", "revoke", "ci"])).await;
    assert_eq!(revoke.stdout, "revoked ci\n");
    let again = run(plane.hearth(&["client", "create", "ci", "--scopes", "read"])).await;
    assert!(again.stderr.contains("choose another name"), "{again:?}");
    let asked = CreateClientRequest {
        name: "ci".into(),
        scopes: vec![ClientScope::Prepare.into()],
        repositories: vec!["github.com/acme/*".into(), "git.example/x".into()],
        valid_seconds: 90 * 86_400,
    };
    let calls = plane.calls();
    assert_eq!(calls[0], Call::CreateClient(asked));
    assert_eq!(
        calls[2],
        Call::RevokeClient(RevokeClientRequest { name: "ci".into() })
    );
    for (arguments, told) in [
        (
            &["client", "create", "Ci", "--scopes", "read"][..],
            "NAME 'Ci' must be",
        ),
        (
            &["client", "create", "ci", "--scopes", "all"],
            "--scopes 'all' must be one or more of read",
        ),
        (
            &[
                "client",
                "create",
                "ci",
                "--scopes",
                "read",
                "--repositories",
                "https://a/b",
            ],
            "--repositories 'https://a/b' must be patterns",
        ),
        (&["client", "create", "ci"], "--scopes"),
    ] {
        let refused = run(plane.hearth(arguments)).await;
        assert_eq!(refused.code, Some(64), "{refused:?}");
        assert!(refused.stderr.contains(told), "{refused:?}");
    }
}

#[tokio::test]
async fn doctor_says_who_calls_and_what_they_may() {
    let nodes = || {
        Answer::Nodes(ListNodesResponse {
            nodes: vec![Node {
                name: "node-1".into(),
                state: NodeState::Online.into(),
                ..Node::default()
            }],
            ..ListNodesResponse::default()
        })
    };
    let anybody = Answer::Caller(GetCallerResponse::default());
    let plane = ControlPlane::start([nodes(), caller("ci"), nodes(), anybody]).await;
    let doctor = run(plane.hearth(&["doctor"])).await;
    let told = "access         OK      you are client ci (prepare), for github.com/acme/*\n";
    assert!(doctor.stdout.contains(told), "{doctor:?}");
    let doctor = run(plane.hearth(&["doctor"])).await;
    let told = "access         OK      it lets everybody in, and asks for no token\n";
    assert!(doctor.stdout.contains(told), "{doctor:?}");
    assert_eq!(doctor.code, Some(0));
}
