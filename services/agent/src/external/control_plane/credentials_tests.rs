use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use futures_util::stream::{self, Pending};
use hearth_api::v1::{
    DeregisterRequest, DeregisterResponse, EnrolRequest, EnrolResponse, HeartbeatRequest,
    HeartbeatResponse, NodeInfo, OpenConnectionRequest, OpenConnectionResponse, RegisterRequest,
    RegisterResponse, RenewCertificateRequest, RenewCertificateResponse,
    agent_registry_service_server::{AgentRegistryService, AgentRegistryServiceServer},
    credential_service_server::{CredentialService, CredentialServiceServer},
};
use hearth_runtime::{CallMetrics, GrpcServer, LimitArgs, Metrics, Stack};
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tonic::{Request, Response, Status, Streaming, service::Routes};

use super::*;
use crate::external::control_plane::{Session, client::Bearer};

/// A control plane with one node, whose session every registration replaces.
#[derive(Clone, Default)]
struct ControlPlane {
    registrations: Arc<AtomicUsize>,
    calls: Arc<Mutex<Vec<RefreshCredentialsRequest>>>,
    /// Refuses every session.
    broken: bool,
}

impl ControlPlane {
    fn token(&self) -> String {
        format!("session-{}", self.registrations.load(Ordering::SeqCst))
    }
}

#[tonic::async_trait]
impl AgentRegistryService for ControlPlane {
    async fn enrol(&self, _: Request<EnrolRequest>) -> Result<Response<EnrolResponse>, Status> {
        Err(Status::permission_denied("nobody joins"))
    }
    async fn renew_certificate(
        &self,
        _: Request<RenewCertificateRequest>,
    ) -> Result<Response<RenewCertificateResponse>, Status> {
        Err(Status::permission_denied("nobody has joined"))
    }
    async fn register(
        &self,
        _: Request<RegisterRequest>,
    ) -> Result<Response<RegisterResponse>, Status> {
        self.registrations.fetch_add(1, Ordering::SeqCst);
        Ok(Response::new(RegisterResponse {
            session_token: self.token(),
            ..RegisterResponse::default()
        }))
    }
    async fn heartbeat(
        &self,
        _: Request<HeartbeatRequest>,
    ) -> Result<Response<HeartbeatResponse>, Status> {
        Ok(Response::new(HeartbeatResponse {
            known: true,
            ..HeartbeatResponse::default()
        }))
    }
    async fn deregister(
        &self,
        _: Request<DeregisterRequest>,
    ) -> Result<Response<DeregisterResponse>, Status> {
        Ok(Response::new(DeregisterResponse {}))
    }

    type OpenConnectionStream = Pending<Result<OpenConnectionResponse, Status>>;

    async fn open_connection(
        &self,
        _: Request<Streaming<OpenConnectionRequest>>,
    ) -> Result<Response<Self::OpenConnectionStream>, Status> {
        Ok(Response::new(stream::pending()))
    }
}

#[tonic::async_trait]
impl CredentialService for ControlPlane {
    async fn refresh_credentials(
        &self,
        request: Request<RefreshCredentialsRequest>,
    ) -> Result<Response<RefreshCredentialsResponse>, Status> {
        let sent = request.metadata().get("authorization");
        let sent = sent.and_then(|value| value.to_str().ok());
        if self.broken || sent != Some(&format!("Bearer {}", self.token())) {
            return Err(Status::unauthenticated("register again"));
        }
        self.calls.lock().push(request.into_inner());
        Ok(Response::new(RefreshCredentialsResponse::default()))
    }

    async fn get_secrets(
        &self,
        request: Request<GetSecretsRequest>,
    ) -> Result<Response<GetSecretsResponse>, Status> {
        let sent = request.metadata().get("authorization");
        let sent = sent.and_then(|value| value.to_str().ok());
        if self.broken || sent != Some(&format!("Bearer {}", self.token())) {
            return Err(Status::unauthenticated("register again"));
        }
        let value = SecretValue {
            name: "TOKEN".to_owned(),
            value: "planted".to_owned(),
        };
        Ok(Response::new(GetSecretsResponse {
            secrets: vec![value],
            problems: vec!["the secret OTHER is left out".to_owned()],
        }))
    }
}

/// Serves it, and an agent's registration, until the test ends.
struct World {
    control_plane: ControlPlane,
    client: ControlPlaneClient,
    tasks: hearth_runtime::Tasks,
}

impl World {
    async fn start(broken: bool) -> Self {
        let control_plane = ControlPlane {
            broken,
            ..ControlPlane::default()
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let mut routes = Routes::new(AgentRegistryServiceServer::new(control_plane.clone()));
        routes = routes.add_service(CredentialServiceServer::new(control_plane.clone()));
        let tasks = hearth_runtime::Tasks::default();
        let (limits, metrics) = (LimitArgs::default(), Metrics::default());
        let calls = CallMetrics::register(&metrics);
        let stack = Stack::new(&limits, calls.clone());
        let server = GrpcServer::new(routes, &stack, &limits, calls).unwrap();
        let stop = tasks.stopping().clone();
        tasks.spawn("server", async move {
            server.serve(listener, stop).await;
        });
        let client = ControlPlaneClient::new(url.parse().unwrap());
        // As the agent's registration does.
        let (registering, stop) = (client.clone(), tasks.stopping().clone());
        tasks.spawn("registration", async move {
            let work = async {
                loop {
                    registering.register(request()).await.unwrap();
                    registering.session().is_refused().await;
                }
            };
            tokio::select! {
                () = stop.cancelled() => {}
                () = work => {}
            }
        });
        Self {
            control_plane,
            client,
            tasks,
        }
    }

    async fn refresh(&self) -> Result<IssuedLogins, CredentialFailure> {
        let attempt = AttemptRef {
            workspace: "ws-1".parse().unwrap(),
            number: 3,
        };
        self.client
            .refresh(&attempt, LoginPurpose::Workspace, Some("aa"))
            .await
    }

    fn registrations(&self) -> usize {
        self.control_plane.registrations.load(Ordering::SeqCst)
    }
}

fn request() -> RegisterRequest {
    RegisterRequest {
        node: "node-1".to_owned(),
        info: Some(NodeInfo::default()),
        workspace_ids: Vec::new(),
    }
}

#[tokio::test]
async fn a_question_for_logins_waits_for_the_registration_and_carries_its_session() {
    let world = World::start(false).await;
    world.refresh().await.unwrap();
    let calls = world.control_plane.calls.lock().clone();
    assert_eq!(calls[0].attempt.as_ref().unwrap().attempt, 3);
    assert_eq!(calls[0].r#use(), CredentialUse::Workspace);
    assert_eq!(calls[0].refused_sha256, "aa");
    assert_eq!(world.registrations(), 1);
    world.tasks.stopping().cancel();
}

#[tokio::test]
async fn a_session_that_ended_is_begun_again_once_for_all_who_ask() {
    let world = World::start(false).await;
    world.refresh().await.unwrap();
    // Another process registers under this node's name.
    world
        .control_plane
        .registrations
        .fetch_add(1, Ordering::SeqCst);
    let (a, b, c) = tokio::join!(world.refresh(), world.refresh(), world.refresh());
    assert!(a.is_ok() && b.is_ok() && c.is_ok(), "{a:?} {b:?} {c:?}");
    assert_eq!(
        world.registrations(),
        3,
        "one registration for three refusals"
    );
    world.refresh().await.unwrap();
    assert_eq!(world.registrations(), 3);
    world.tasks.stopping().cancel();
}

#[tokio::test]
async fn a_control_plane_that_refuses_every_session_is_not_asked_for_ever() {
    let world = World::start(true).await;
    let failure = world.refresh().await.unwrap_err();
    assert!(failure.to_string().contains("register again"), "{failure}");
    assert_eq!(world.registrations(), 2);
    world.tasks.stopping().cancel();
}

#[tokio::test]
async fn the_session_is_in_no_text_about_the_client_or_the_request() {
    let session = Session::default();
    session.begin("planted".to_owned().into());
    let token = session.token().await;
    let request = Bearer::new(&token).unwrap().on(());
    let printed = format!("{session:?} {token:?} {request:?}");
    assert!(!printed.contains("planted"), "{printed}");
}
