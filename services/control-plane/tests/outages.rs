//! A database that cannot be written for a while holds events back and loses none.

use std::{
    fs,
    process::{Child, Command, Stdio},
};

use hearth_control_plane::Addresses;
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use tempfile::TempDir;
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::support::{
    agent::FakeAgent,
    events::{line, preparing, ready, settled, words},
    plane::{Plane, shop},
    soon,
    start::begin,
};

/// A control plane in a process of its own.
struct Program {
    process: Child,
    _directory: TempDir,
}

impl Program {
    async fn start() -> (Self, Plane) {
        let directory = tempfile::tempdir().expect("a directory");
        let ready_file = directory.path().join("ready.json");
        // A write beyond the limit fails like one on a broken disk, and does not end the process.
        let process = Command::new("sh")
            .args(["-c", "trap '' XFSZ; exec \"$@\"", "sh"])
            .arg(env!("CARGO_BIN_EXE_hearth-control-plane"))
            .args(["--listen=127.0.0.1:0", "--admin-listen=127.0.0.1:0"])
            .args(["--insecure-loopback", "--cache-registry=localhost:1"])
            .arg(format!(
                "--database=sqlite://{}",
                directory.path().join("hearth.db").display()
            ))
            .arg(format!("--ready-file={}", ready_file.display()))
            .stderr(Stdio::null())
            .spawn()
            .expect("the program");
        let read = async {
            loop {
                let text = fs::read_to_string(&ready_file).unwrap_or_default();
                match serde_json::from_str::<serde_json::Value>(&text) {
                    Ok(said) => return said,
                    Err(_) => tokio::task::yield_now().await,
                }
            }
        };
        let said = soon("its addresses", read).await;
        let address = |name: &str| {
            let text = said[name].as_str().expect("an address");
            text.parse().expect("an address")
        };
        let plane = Plane::at(Addresses {
            listen: address("listen"),
            admin: address("admin"),
        });
        let program = Self {
            process,
            _directory: directory,
        };
        (program, plane)
    }

    /// Nothing can be written beyond so many bytes of a file.
    fn limit_files(&self, bytes: Option<u64>) {
        let id = i32::try_from(self.process.id()).expect("an id");
        let limit = Rlimit {
            current: bytes,
            maximum: None,
        };
        prlimit(Pid::from_raw(id), Resource::Fsize, limit).expect("a limit");
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The answer of `/readyz`, once it has this status.
async fn readyz(plane: &Plane, status: u16) -> String {
    let answer = async {
        loop {
            let answer = plane.admin("/readyz").await;
            if answer.starts_with(&format!("HTTP/1.1 {status}")) {
                return answer;
            }
        }
    };
    soon("an answer of /readyz", answer).await
}

#[tokio::test]
async fn while_the_database_cannot_be_written_events_wait_and_then_none_is_missing() {
    let (program, plane) = Program::start().await;
    readyz(&plane, 200).await;
    let agent = FakeAgent::join(&plane, "n1").await;
    let (mut follower, id) = begin(&plane, &agent, shop()).await;
    agent.say(&id, 1, [preparing()]);
    follower.take(1).await;

    program.limit_files(Some(4096));
    agent.say(&id, 1, (0..50).map(|number| line(number.to_string())));
    let told = readyz(&plane, 503).await;
    assert!(told.contains("look after its disk"), "{told}");
    let problem = plane.problem().await;
    assert!(!problem.is_empty() && told.contains(&problem), "{problem}");
    let refused = plane.try_prepare(shop()).await;
    let refused = refused.err().expect("it cannot be written");
    assert_eq!(refused.code(), Code::Unavailable);
    let details = refused.get_error_details();
    let info = details.error_info().expect("error info");
    assert_eq!(info.reason, "DATABASE_UNAVAILABLE");
    assert!(details.retry_info().is_some());
    assert!(refused.message().contains("nothing is lost"), "{refused:?}");
    let workspace = plane.get(&id).await.expect("it can be read");
    assert_eq!(workspace.last_sequence, 1);

    program.limit_files(None);
    agent.say(&id, 1, [ready(), settled()]);
    let told = words(&follower.rest().await);
    assert_eq!(told.len(), 52);
    assert_eq!((told[0].as_str(), told[49].as_str()), ("0", "49"));
    assert_eq!(told[50..], ["READY", "settled"]);
    assert_eq!(agent.starts(), 1);
    readyz(&plane, 200).await;
    assert_eq!(plane.problem().await, "");
    plane.prepare(shop()).await;
}
