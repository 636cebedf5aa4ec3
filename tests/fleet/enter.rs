//! Sessions in workspaces: how many there may be, who may open them, and what becomes of their commands.

use std::time::Duration;

use hearth_agent::external::engine::Signal;
use hearth_api::v1::{
    ExecBegin, ExecCommand, ExecRequest, ExecResponse, ExecSignal, exec_request as asked,
    exec_response::Message,
};
use hearth_tests::process::{PATIENCE, eventually};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};
use tonic_types::StatusExt as _;

use crate::fleet::Fleet;

/// A session that is open.
struct Session {
    requests: mpsc::Sender<ExecRequest>,
    answers: Streaming<ExecResponse>,
}

impl Session {
    async fn open(fleet: &Fleet, workspace: &str, command: &[&str]) -> Result<Self, Status> {
        let (requests, sent) = mpsc::channel(4);
        let begin = asked::Message::Begin(ExecBegin {
            workspace_id: workspace.to_owned(),
            command: Some(ExecCommand {
                command: command.iter().map(|&word| word.to_owned()).collect(),
                ..ExecCommand::default()
            }),
        });
        let session = send(&requests, begin);
        session.await;
        let answers = fleet
            .client
            .workspaces()
            .exec(ReceiverStream::new(sent))
            .await?;
        Ok(Self {
            requests,
            answers: answers.into_inner(),
        })
    }

    async fn next(&mut self) -> Result<Option<Message>, Status> {
        let next = tokio::time::timeout(PATIENCE, self.answers.message()).await;
        let next = next.expect("an answer")?;
        Ok(next.and_then(|answer| answer.message))
    }
}

async fn send(requests: &mpsc::Sender<ExecRequest>, message: asked::Message) {
    let message = Some(message);
    requests
        .send(ExecRequest { message })
        .await
        .expect("a session");
}

fn reason(status: &Status) -> String {
    let details = status.get_error_details();
    details
        .error_info()
        .map_or_else(String::new, |info| info.reason.clone())
}

async fn refused(fleet: &Fleet, workspace: &str) -> Status {
    match Session::open(fleet, workspace, &["cat"]).await {
        Ok(_) => panic!("a session was opened"),
        Err(status) => status,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn input_comes_back_the_code_is_told_and_a_signal_arrives() {
    let fleet = Fleet::new(1, &[]).await;
    let id = fleet
        .client
        .prepare("node-1", "https://git.example/a/b")
        .await
        .workspace
        .id;
    let mut session = Session::open(&fleet, &id, &["cat"])
        .await
        .expect("a session");
    assert!(matches!(
        session.next().await,
        Ok(Some(Message::Started(_)))
    ));
    send(&session.requests, asked::Message::Stdin("hello".into())).await;
    let Ok(Some(Message::Stdout(bytes))) = session.next().await else {
        panic!("no output");
    };
    assert_eq!(bytes, "hello");
    let wrong = ExecSignal {
        name: "NONE".into(),
    };
    let signal = ExecSignal {
        name: "USR1".into(),
    };
    send(&session.requests, asked::Message::Signal(signal)).await;
    assert!(matches!(session.next().await, Ok(Some(Message::Ended(_)))));
    assert_eq!(fleet.nodes[0].engine.signals(), [[Signal::Usr1]]);
    let mut session = Session::open(&fleet, &id, &["exit", "7"])
        .await
        .expect("a session");
    session.next().await.expect("a start");
    let Ok(Some(Message::Ended(ended))) = session.next().await else {
        panic!("no end");
    };
    assert_eq!(ended.exit_code, 7);
    let mut session = Session::open(&fleet, &id, &["cat"])
        .await
        .expect("a session");
    session.next().await.expect("a start");
    send(&session.requests, asked::Message::Signal(wrong)).await;
    let status = session.next().await.expect_err("it is no signal");
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_vanishes_ends_its_command_and_no_other_even_if_it_does_not_read() {
    let fleet = Fleet::new(1, &[]).await;
    let id = fleet
        .client
        .prepare("node-1", "https://git.example/a/b")
        .await
        .workspace
        .id;
    let other = Session::open(&fleet, &id, &["sleep"])
        .await
        .expect("a session");
    // One that nobody reads is full at once.
    for command in ["sleep", "yes"] {
        let session = Session::open(&fleet, &id, &[command])
            .await
            .expect("a session");
        drop(session);
    }
    let expected = [
        vec![],
        vec![Signal::Hup, Signal::Cont],
        vec![Signal::Hup, Signal::Cont],
    ];
    eventually("both commands were told to end", || {
        fleet.nodes[0].engine.signals() == expected
    })
    .await;
    drop(other);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workspace_has_half_of_the_sessions_of_its_node_and_one_that_ends_makes_room() {
    let fleet = Fleet::new(1, &[]).await;
    let id = fleet
        .client
        .prepare("node-1", "https://git.example/a/b")
        .await
        .workspace
        .id;
    let mut open = Vec::new();
    let status = loop {
        match Session::open(&fleet, &id, &["sleep"]).await {
            Ok(session) => open.push(session),
            Err(status) => break status,
        }
    };
    assert_eq!(open.len(), 128);
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert_eq!(reason(&status), "TOO_MANY_SESSIONS");
    assert!(status.message().contains("--max-sessions"), "{status:?}");
    // All of them are idle, and hold up nothing.
    assert_eq!(fleet.client.get(&id).await.id, id);
    open.pop();
    let mut again = Session::open(&fleet, &id, &["cat"]).await;
    for _ in 0..100 {
        if again.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        again = Session::open(&fleet, &id, &["cat"]).await;
    }
    again.expect("there is room again");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_entered_says_why_and_what_to_do() {
    let fleet = Fleet::new(1, &[]).await;
    let status = refused(&fleet, "nobody").await;
    assert_eq!(
        (status.code(), &*reason(&status)),
        (Code::NotFound, "WORKSPACE_UNKNOWN")
    );
    let status = refused(&fleet, "-x").await;
    assert_eq!(status.code(), Code::InvalidArgument);
    let id = fleet
        .client
        .prepare("node-1", "https://git.example/a/b")
        .await
        .workspace
        .id;
    fleet.client.delete(&id).await;
    assert_eq!(refused(&fleet, &id).await.code(), Code::NotFound);
}
