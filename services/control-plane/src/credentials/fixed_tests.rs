use super::*;

const SECRET: &str = "planted-password";

struct Fixture {
    directory: tempfile::TempDir,
    login: FixedLogin,
}

impl Fixture {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let settings = StaticSettings {
            hosts: vec!["registry.example".into(), "git.example".into()],
            account: Account {
                username: "robot".into(),
                password_file: directory.path().join("password"),
                set_by: "--static-password-file".into(),
            },
            reader: None,
        };
        Self {
            directory,
            login: FixedLogin::new(settings),
        }
    }

    fn write(&self, content: impl AsRef<[u8]>) {
        std::fs::write(self.directory.path().join("password"), content).expect("a write");
    }

    async fn ask(&self, refused_sha256: &str) -> Logins {
        let want = Want {
            repository: None,
            git: Some("git.example"),
            registry: Some("registry.example"),
            rights: Rights::Write,
            refused_sha256,
        };
        self.login.logins(&want).await
    }
}

#[tokio::test]
async fn a_password_is_read_at_every_use_without_the_end_of_its_line() {
    let fixture = Fixture::new();
    for (content, password) in [
        ("one\n", "one"),
        ("\u{feff}two\r\n", "two"),
        (" three", " three"),
    ] {
        fixture.write(content);
        let logins = fixture.ask("").await;
        assert!(logins.problems.is_empty(), "{logins:?}");
        let (git, registry) = (logins.git.expect("git"), logins.registry.expect("registry"));
        assert_eq!(
            (git.host.as_str(), registry.host.as_str()),
            ("git.example", "registry.example")
        );
        for login in [git, registry] {
            assert_eq!(login.username, "robot");
            assert_eq!(login.password.expose_secret(), password);
            assert_eq!(login.expires, None);
        }
    }
}

#[tokio::test]
async fn a_file_that_holds_no_password_is_told_without_what_it_holds() {
    let fixture = Fixture::new();
    let mut contents: Vec<Option<Vec<u8>>> = vec![None];
    contents.extend(
        [
            Vec::new(),
            b"\n".to_vec(),
            format!("{SECRET}\nusername=other\n").into_bytes(),
            [SECRET.as_bytes(), &[0xff]].concat(),
            SECRET.repeat(8 * 1024).into_bytes(),
        ]
        .map(Some),
    );
    for content in contents {
        if let Some(content) = content {
            fixture.write(content);
        }
        let logins = fixture.ask("").await;
        assert!(
            logins.git.is_none() && logins.registry.is_none(),
            "{logins:?}"
        );
        let hosts: Vec<_> = logins
            .problems
            .iter()
            .map(|one| one.host.as_str())
            .collect();
        assert_eq!(hosts, ["git.example", "registry.example"]);
        for problem in logins.problems {
            assert_eq!(problem.reason(), Reason::Unreadable);
            assert!(
                problem.message.contains("--static-password-file"),
                "{problem:?}"
            );
            assert!(!problem.message.contains("planted"), "{problem:?}");
        }
    }
}

#[tokio::test]
async fn a_password_that_a_host_refused_is_given_again_only_once_it_is_another() {
    let fixture = Fixture::new();
    fixture.write(SECRET);
    let refused = sha256_hex(SECRET);
    let logins = fixture.ask(&refused).await;
    assert!(
        logins.git.is_none() && logins.registry.is_none(),
        "{logins:?}"
    );
    assert_eq!(logins.problems[0].reason(), Reason::Forbidden);
    fixture.write("rotated");
    assert!(fixture.ask(&refused).await.git.is_some());
}

#[tokio::test]
async fn who_may_only_read_never_gets_the_login_of_who_may_write_for_a_registry() {
    let mut fixture = Fixture::new();
    fixture.write(SECRET);
    let ask = async |fixture: &Fixture, rights, refused: &str| {
        let want = Want {
            repository: None,
            git: Some("git.example"),
            registry: Some("registry.example"),
            rights,
            refused_sha256: refused,
        };
        let logins = fixture.login.logins(&want).await;
        let name = |login: Option<Login>| login.map(|login| login.username);
        let problems: Vec<_> = logins.problems.into_iter().map(|one| one.host).collect();
        (name(logins.git), name(logins.registry), problems)
    };
    let robot = || Some("robot".to_owned());
    for rights in [Rights::Read, Rights::Workspace] {
        let given = ask(&fixture, rights, "").await;
        assert_eq!(given, (robot(), None, Vec::new()), "{rights:?}");
    }
    assert!(!fixture.login.lets_read());

    let reader = fixture.directory.path().join("reader");
    std::fs::write(&reader, "planted-reader").expect("a write");
    fixture.login.0.reader = Some(Account {
        username: "reader".into(),
        password_file: reader,
        set_by: "--static-read-password-file".into(),
    });
    assert!(fixture.login.lets_read());
    let reads = || Some("reader".to_owned());
    let given = ask(&fixture, Rights::Read, "").await;
    assert_eq!(given, (robot(), reads(), Vec::new()));
    let given = ask(&fixture, Rights::Write, "").await;
    assert_eq!(given, (robot(), robot(), Vec::new()));
    // One that was refused takes nothing from the other.
    let given = ask(&fixture, Rights::Read, &sha256_hex(SECRET)).await;
    assert_eq!(given, (None, reads(), vec!["git.example".to_owned()]));
    let given = ask(&fixture, Rights::Read, &sha256_hex("planted-reader")).await;
    assert_eq!(given, (robot(), None, vec!["registry.example".to_owned()]));
}
