use std::{fmt::Write as _, path::Path};

use clap::Parser;
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256, RsaKeySize};

use super::*;

#[derive(Parser)]
struct Command {
    #[command(flatten)]
    credentials: CredentialArgs,
}

fn read(flags: &[&str]) -> Result<Vec<SourceSettings>, Vec<String>> {
    let flags = std::iter::once("hearth-control-plane").chain(flags.iter().copied());
    sources(
        &Command::try_parse_from(flags)
            .expect("known flags")
            .credentials,
    )
}

struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a directory"))
    }

    fn write(&self, name: &str, content: &str) -> String {
        let path = self.0.path().join(name);
        std::fs::write(&path, content).expect("a write");
        path.to_str().expect("a path").to_owned()
    }

    /// The same key in both forms.
    fn keys(&self) -> [String; 2] {
        let pair = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).expect("a key");
        let pkcs8 = pair.serialize_pem();
        let inner = jsonwebtoken::EncodingKey::from_rsa_pem(pkcs8.as_bytes()).expect("a key");
        let mut pkcs1 = "-----BEGIN RSA PRIVATE KEY-----\n".to_owned();
        let text =
            base64::Engine::encode(&base64::engine::general_purpose::STANDARD, inner.inner());
        for line in text.as_bytes().chunks(64) {
            let line = str::from_utf8(line).expect("ASCII");
            writeln!(pkcs1, "{line}").expect("a string");
        }
        pkcs1.push_str("-----END RSA PRIVATE KEY-----\n");
        [
            self.write("pkcs8.pem", &pkcs8),
            self.write("pkcs1.pem", &pkcs1),
        ]
    }
}

#[test]
fn a_github_app_needs_its_id_and_its_key_in_either_form_and_has_defaults_for_the_rest() {
    let files = Files::new();
    for key in files.keys() {
        let flags = [
            "--credentials=github-app",
            "--github-app-id=7",
            "--github-app-key-file",
            &key,
        ];
        let sources = read(&flags).expect("a source");
        let [SourceSettings::GitHubApp(app)] = &sources[..] else {
            panic!("{sources:?}");
        };
        assert_eq!(app.app_id, 7);
        assert_eq!(app.api.to_string(), "https://api.github.com/");
        assert_eq!(app.hosts, ["github.com", "ghcr.io"]);
        let pem = std::fs::read_to_string(&key).expect("a key");
        let line = pem.lines().nth(1).expect("a line");
        assert!(!format!("{sources:?}").contains(line));
    }
}

#[test]
fn a_static_login_is_for_the_hosts_that_it_names() {
    let flags = [
        "--credentials=static",
        "--static-hosts=Registry.example:5000, git.example",
        "--static-username=robot",
        "--static-password-file=/nowhere",
    ];
    let sources = read(&flags).expect("a source");
    let [SourceSettings::Static(fixed)] = &sources[..] else {
        panic!("{sources:?}");
    };
    assert_eq!(fixed.hosts, ["registry.example:5000", "git.example"]);
    assert_eq!(fixed.account.username, "robot");
    assert!(fixed.reader.is_none());

    let with = |more: &[&str]| read(&[&flags[..], more].concat());
    let reader = [
        "--static-read-username=reader",
        "--static-read-password-file=/elsewhere",
    ];
    let sources = with(&reader).expect("a source");
    let [SourceSettings::Static(fixed)] = &sources[..] else {
        panic!("{sources:?}");
    };
    let reads = fixed.reader.as_ref().expect("a reader");
    assert_eq!(reads.username, "reader");
    assert_eq!(reads.password_file, Path::new("/elsewhere"));
    assert!(reads.set_by.contains("--static-read-password-file"));
    for (half, missing) in [
        (&reader[..1], "static-read-password-file"),
        (&reader[1..], "static-read-username"),
    ] {
        let faults = with(half).expect_err("half a login");
        assert!(faults[0].contains(missing), "{faults:?}");
    }
}

#[test]
fn every_fault_of_a_source_is_told_at_once_by_flag_and_variable_and_never_repeated() {
    let files = Files::new();
    let junk = files.write("junk.pem", "-----BEGIN planted-----\nplanted\n");
    let ec = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key");
    let ec = files.write("ec.pem", &ec.serialize_pem());
    let misplaced = "--github-app-key-file=-----BEGIN PRIVATE KEY-----planted";
    let app = "--credentials=github-app";
    for (flags, faulty) in [
        (vec![app], &["github-app-id", "github-app-key-file"][..]),
        (
            vec![
                app,
                "--github-app-id=planted",
                "--github-app-key-file",
                &junk,
                "--github-api-url=http://planted.example",
                "--github-hosts=https://planted",
            ],
            &[
                "github-app-id",
                "github-app-key-file",
                "github-api-url",
                "github-hosts",
            ],
        ),
        (
            vec![app, "--github-app-id=0", misplaced],
            &["github-app-id", "github-app-key-file"],
        ),
        (
            vec![
                app,
                "--github-app-id=7",
                "--github-app-key-file",
                &ec,
                "--github-api-url=https://u:planted@ghe.example/api/v3",
                "--static-username=planted",
            ],
            &["static-username", "github-app-key-file", "github-api-url"],
        ),
        (
            vec![
                "--credentials=static",
                "--static-hosts=,",
                "--static-username=a:planted",
            ],
            &["static-username", "static-password-file", "static-hosts"],
        ),
        (
            vec![
                "--static-password-file=planted",
                "--credentials-file=planted",
                "--github-app-id=planted",
            ],
            &["static-password-file", "credentials-file", "github-app-id"],
        ),
        (vec!["--credentials=file"], &["credentials-file"]),
        (
            vec![
                "--credentials=file",
                "--credentials-file=/nowhere/planted",
                "--github-hosts=a",
            ],
            &["credentials-file", "github-hosts"],
        ),
    ] {
        let faults = read(&flags).expect_err("faults");
        assert_eq!(faults.len(), faulty.len(), "{faults:?}");
        for flag in faulty {
            let variable = format!("HEARTH_{}", flag.to_uppercase().replace('-', "_"));
            let names = |fault: &&String| {
                fault.starts_with(&format!("--{flag} ")) && fault.contains(&variable)
            };
            assert!(
                faults.iter().any(|fault| names(&fault)),
                "{flag}: {faults:?}"
            );
        }
        assert!(!faults.concat().contains("planted"), "{faults:?}");
    }
}

#[test]
fn a_file_has_several_sources_in_their_order() {
    let files = Files::new();
    files.keys();
    let toml = files.write(
        "sources.toml",
        // As editors on Windows write it.
        "\u{feff}
            [[source]]
            kind = 'github-app'
            hosts = ['ghe.example', 'containers.ghe.example']
            app-id = 4711
            app-key-file = 'pkcs1.pem'
            api-url = 'https://ghe.example/api/v3'

            [[source]]
            kind = 'static'
            hosts = ['registry.example']
            username = 'robot'
            password-file = '/run/password'
            read-username = 'reader'
            read-password-file = 'reader'
        ",
    );
    let sources = read(&["--credentials=file", "--credentials-file", &toml]).expect("sources");
    let [
        SourceSettings::GitHubApp(app),
        SourceSettings::Static(fixed),
    ] = &sources[..]
    else {
        panic!("{sources:?}");
    };
    assert_eq!(app.app_id, 4711);
    assert_eq!(app.api.to_string(), "https://ghe.example/api/v3");
    assert_eq!(fixed.hosts, ["registry.example"]);
    let account = &fixed.account;
    assert_eq!(account.password_file, Path::new("/run/password"));
    let set_by = &account.set_by;
    assert!(set_by.ends_with("source 2: password-file"), "{set_by}");
    let reader = fixed.reader.as_ref().expect("a reader");
    let beside = Path::new(&toml).with_file_name("reader");
    assert_eq!(reader.password_file, beside);
}

#[test]
fn every_fault_of_a_file_is_told_by_source_and_key_and_never_repeated() {
    let files = Files::new();
    let toml = files.write(
        "sources.toml",
        r#"
            [[source]]
            kind = "static"
            hosts = ["good.example", 7]
            username = "robot"
            password = "planted"
            password-file = 3

            [[source]]
            kind = "github-app"
            app-id = "planted"
            app-key-file = "planted.pem"
            username = "planted"

            [[source]]
            kind = "planted"
        "#,
    );
    let flags = ["--credentials=file", "--credentials-file", &toml];
    let faults = read(&flags).expect_err("faults").join("\n");
    for part in [
        "source 1: hosts must",
        "source 1: password is not a setting of this kind",
        "source 1: password-file must be a string",
        "source 2: app-id must be a whole number",
        "source 2: app-key-file names a file that cannot be read",
        "source 2: username is not a setting of this kind",
        "source 3: kind must",
    ] {
        assert!(faults.contains(part), "{part}: {faults}");
    }
    assert!(faults.contains("--credentials-file (HEARTH_CREDENTIALS_FILE)"));
    assert!(
        faults.contains("sources.toml") && !faults.contains("planted"),
        "{faults}"
    );
    for (content, fault) in [
        ("\n\npassword = planted\n", "is not TOML, line 3"),
        ("", "has no [[source]]"),
        (
            "[[sources]]\npassword = \"planted\"",
            "has other keys than [[source]]",
        ),
    ] {
        files.write("sources.toml", content);
        let faults = read(&flags).expect_err("a fault").join("\n");
        assert!(
            faults.contains(fault) && !faults.contains("planted"),
            "{faults}"
        );
    }
}
