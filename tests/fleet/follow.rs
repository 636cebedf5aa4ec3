//! A client that follows a workspace even if the control plane is restarted meanwhile.

use std::time::Duration;

use hearth_api::v1::{
    Event, PrepareWorkspaceRequest, WatchUntil, WatchWorkspaceRequest,
    prepare_workspace_response as prepared, watch_workspace_response as watched,
};
use hearth_tests::{
    client::{Client, Story},
    process::PATIENCE,
};
use tokio::sync::mpsc::UnboundedSender;
use tonic::Status;

/// Prepares a workspace and follows it to its end; every event is sent to `ear` too. A stream that breaks is
/// resumed after the last event.
pub async fn follow(
    client: Client,
    request: PrepareWorkspaceRequest,
    ear: UnboundedSender<Event>,
) -> Story {
    let mut followed = Followed {
        client,
        ear,
        id: String::new(),
        events: Vec::new(),
    };
    let story = async {
        if followed.begin(request).await.is_err() {
            assert!(!followed.id.is_empty(), "the request is accepted");
            while followed.go_on().await.is_err() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        Story {
            workspace: followed.client.get(&followed.id).await,
            events: followed.events,
        }
    };
    tokio::time::timeout(PATIENCE, story)
        .await
        .expect("the workspace settles")
}

struct Followed {
    client: Client,
    ear: UnboundedSender<Event>,
    id: String,
    events: Vec<Event>,
}

impl Followed {
    async fn begin(&mut self, request: PrepareWorkspaceRequest) -> Result<(), Status> {
        let mut stream = self.client.begin(request).await?;
        while let Some(message) = stream.message().await? {
            match message.message.expect("a message") {
                prepared::Message::Snapshot(snapshot) => self.id = snapshot.id,
                prepared::Message::Event(event) => self.hear(event),
            }
        }
        Ok(())
    }

    async fn go_on(&mut self) -> Result<(), Status> {
        let request = WatchWorkspaceRequest {
            workspace_id: self.id.clone(),
            after_sequence: self.events.last().map_or(0, |event| event.sequence),
            until: WatchUntil::Settled.into(),
        };
        let stream = self.client.workspaces().watch_workspace(request).await?;
        let mut stream = stream.into_inner();
        while let Some(message) = stream.message().await? {
            if let watched::Message::Event(event) = message.message.expect("a message") {
                self.hear(event);
            }
        }
        Ok(())
    }

    fn hear(&mut self, event: Event) {
        // The receiver may be gone.
        let _ = self.ear.send(event.clone());
        self.events.push(event);
    }
}
