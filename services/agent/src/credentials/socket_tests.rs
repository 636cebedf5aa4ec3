use std::os::unix::fs::FileTypeExt as _;

use super::*;
use crate::credentials::fake::{FakeCredentials, attempt, logins};
use crate::external::control_plane::LoginPurpose;

const QUESTION: &[u8] = b"docker get\nregistry.example\n";

fn some_logins() -> Logins {
    let credentials = FakeCredentials::answering([logins("one", None)]);
    Logins::new(credentials, attempt(), LoginPurpose::Attempt, |_| {})
}

/// Asks at a socket while it is served.
async fn ask(path: &Path, question: &[u8]) -> String {
    let mut stream = UnixStream::connect(path).await.unwrap();
    stream.write_all(question).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = String::new();
    // Whoever asks too much is hung up on.
    let _ = stream.read_to_string(&mut answer).await;
    answer
}

/// Serves a socket while `work` is done.
async fn serving<T>(listener: UnixListener, work: impl Future<Output = T>) -> T {
    tokio::select! {
        () = serve(listener, Protocol::Docker, some_logins()) => unreachable!(),
        done = work => done,
    }
}

#[tokio::test]
async fn a_socket_in_a_deep_folder_is_made_in_place_of_an_old_one_and_open_to_all() {
    let dir = tempfile::tempdir().unwrap();
    let deep = dir.path().join("d".repeat(150));
    fs::create_dir(&deep).unwrap();
    drop(bind(&deep, "s").unwrap());
    let _listener = bind(&deep, "s").unwrap();
    let made = fs::metadata(deep.join("s")).unwrap();
    assert!(made.file_type().is_socket());
    assert_eq!(made.permissions().mode() & 0o777, 0o666);
}

#[tokio::test]
async fn questions_are_answered_side_by_side_and_one_without_end_gets_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    let listener = bind(dir.path(), "s").unwrap();
    let long = [QUESTION, &[b'x'; 2 * MAX_QUESTION as usize]].concat();
    let work = async {
        let (one, two, none) = tokio::join!(
            ask(&path, QUESTION),
            ask(&path, QUESTION),
            ask(&path, &long[..17_000])
        );
        assert!(
            one.contains("\"Secret\":\"one\"") && one == two,
            "{one} {two}"
        );
        assert_eq!(none, "");
    };
    serving(listener, work).await;
}

#[tokio::test(start_paused = true)]
async fn those_who_connect_and_say_nothing_make_room_for_those_who_ask() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    let listener = bind(dir.path(), "s").unwrap();
    let work = async {
        let mut silent = Vec::new();
        for _ in 0..2 * MAX_CONNECTIONS {
            silent.push(UnixStream::connect(&path).await.unwrap());
        }
        assert!(ask(&path, QUESTION).await.contains("\"Secret\":\"one\""));
    };
    serving(listener, work).await;
}
