//! The first minutes: what is missing is made, and what is wrong is said in a sentence.

use std::process::{Command, Output};

use crate::support::plane::Plane;

/// The program with these flags and variables, which ends at once.
fn run(flags: &[&str], variables: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_hearth-control-plane"))
        .args(["--listen=127.0.0.1:0", "--admin-listen=127.0.0.1:0"])
        .args(flags)
        .envs(variables.iter().copied())
        .output()
        .expect("the program")
}

fn told(output: &Output) -> String {
    assert_eq!(output.stdout, b"", "nothing is said there");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test]
async fn a_second_control_plane_on_a_database_is_refused_in_one_sentence() {
    let directory = tempfile::tempdir().expect("a directory");
    let folder = directory.path().join("made/on/the/way");
    let plane = Plane::start(&folder, &[]).await;
    let database = format!("--database=sqlite://{}", folder.join("hearth.db").display());
    let second = tokio::task::spawn_blocking(move || run(&[&database], &[])).await;
    let second = second.expect("no panic");
    assert_eq!(second.status.code(), Some(1));
    let text = told(&second);
    assert!(
        text.contains("another control plane uses this database"),
        "{text}"
    );
    assert!(text.contains("--database (HEARTH_DATABASE)"), "{text}");
    plane.stop().await;
    Plane::start(&folder, &[]).await.stop().await;
}

#[test]
fn an_address_that_is_taken_is_said_once_with_the_flag_to_change() {
    let directory = tempfile::tempdir().expect("a directory");
    let database = directory.path().join("hearth.db");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    for flag in ["--listen", "--admin-listen"] {
        let output = Command::new(env!("CARGO_BIN_EXE_hearth-control-plane"))
            .args(
                ["--listen=127.0.0.1:0", "--admin-listen=127.0.0.1:0"].map(|other| {
                    match other.starts_with(&format!("{flag}=")) {
                        true => format!("{flag}={address}"),
                        false => other.to_owned(),
                    }
                }),
            )
            .arg(format!("--database=sqlite://{}", database.display()))
            .arg("--insecure-loopback")
            .output()
            .expect("the program");
        assert_eq!(output.status.code(), Some(1));
        let text = told(&output);
        assert_eq!(text.matches(&address).count(), 1, "{text}");
        assert!(
            text.contains(flag) && text.contains("choose another address"),
            "{text}"
        );
        assert!(!text.contains("os error"), "{text}");
    }
}

#[test]
fn an_empty_variable_is_one_that_is_not_set() {
    let empty = [
        "HEARTH_ADMIN_LISTEN",
        "HEARTH_DATABASE",
        "HEARTH_CACHE_REGISTRY",
        "HEARTH_CACHE_WRITERS",
        "HEARTH_CACHE_KEEP_DAYS",
        "HEARTH_CREDENTIALS",
        "HEARTH_GITHUB_APP_ID",
        "HEARTH_READY_FILE",
        "HEARTH_INSECURE_LOOPBACK",
        "HEARTH_LOG_FORMAT",
    ]
    .map(|name| (name, ""));
    let output = run(&["--history-limit=0"], &empty);
    assert_eq!(output.status.code(), Some(64));
    let text = told(&output);
    assert!(text.contains("--history-limit"), "{text}");
    for (name, _) in empty {
        assert!(!text.contains(name), "{text}");
    }
    // A flag that is there and empty is a fault.
    let text = told(&run(&["--cache-registry="], &[]));
    assert!(text.contains("--cache-registry"), "{text}");
}
