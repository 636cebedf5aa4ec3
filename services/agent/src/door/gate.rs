//! One call of an attempt: judged, made, and answered.

use std::{collections::BTreeSet, path::PathBuf, sync::Arc};

use bollard::models::{ExecConfig, ExecStartConfig};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::{body::Incoming, upgrade::OnUpgrade};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use tokio::sync::Semaphore;

use super::{
    answer::{self, No},
    children::Children,
    endpoint::{Action, Call},
    filters,
    objects::Objects,
    ports::Reserved,
    upstream::{self, Body, Upstream},
    user_files,
    verdict::Verdicts,
};
use crate::{
    attempt::Recorder,
    external::engine::Bridge,
    policy::{Allowed, Door},
    secrets::HeldSecrets,
};

/// Most bytes of a request that is judged: that for a container has some KiB.
const MAX_REQUEST: usize = 4 * 1024 * 1024;
/// Bytes that wait in each direction of a connection.
const BUFFER: usize = 32 * 1024;

/// What the calls of an attempt are judged by.
pub struct Gate {
    pub objects: Objects,
    pub allowed: Allowed,
    pub recorder: Recorder,
    /// Folder through which git in the workspace gets logins.
    pub helper: Option<PathBuf>,
    /// Secrets that take the places of their stand-ins.
    pub secrets: HeldSecrets,
    pub reserved: Reserved,
    pub children: Children,
    /// Room for connections that carry bytes both ways.
    pub tunnels: Arc<Semaphore>,
    /// Warnings that were given: each once.
    pub told: Mutex<BTreeSet<String>>,
}

impl Gate {
    /// Answers a request.
    pub async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        self.pass(request).await.unwrap_or_else(No::into_answer)
    }

    async fn pass(&self, mut request: Request<Incoming>) -> Result<Response<Body>, No> {
        let uri = request.uri();
        let mut call =
            Call::parse(request.method(), uri.path(), uri.query()).inspect_err(|refused| {
                tracing::info!(workspace.id = %self.objects.workspace, "{refused}");
            })?;
        let upgrade = request.headers().get(header::UPGRADE).cloned();
        let upgrade = upgrade.map(|protocol| (protocol, hyper::upgrade::on(&mut request)));
        let (parts, body) = request.into_parts();
        let headers = &parts.headers;
        match call.action {
            Action::Pass => self.forward(&call, headers).await,
            Action::Info => answer::reduced(self.engine().send(plain(&call, headers)).await?).await,
            Action::List => {
                let label = filters::with_label(call.parameter("filters"), &self.objects.workspace);
                let label = label
                    .ok_or_else(|| No::Invalid("its filters are not a map of lists".to_owned()))?;
                call.set("filters", label);
                let answer = self.engine().send(plain(&call, headers)).await?;
                answer::with_names(
                    answer,
                    &self.objects.names,
                    call.path_is(&["networks", "volumes"]),
                )
                .await
            }
            Action::ListImages => {
                answer::own_images(
                    self.engine().send(plain(&call, headers)).await?,
                    &self.objects.names,
                )
                .await
            }
            Action::Container => {
                self.own_container(&mut call).await?;
                if call.method == Method::POST
                    && (call.ends_with("start") || call.ends_with("restart"))
                {
                    return self.start(&call, headers).await;
                }
                self.forward(&call, headers).await
            }
            Action::AttachContainer => {
                self.own_container(&mut call).await?;
                self.connect(&call, headers, upstream::empty(), upgrade)
                    .await
            }
            Action::FillContainer => {
                self.own_container(&mut call).await?;
                let mut request = plain(&call, headers);
                *request.body_mut() = upstream::streamed(body);
                request.headers_mut().insert(
                    header::CONTENT_TYPE,
                    HeaderValue::from_static("application/x-tar"),
                );
                self.send(request).await
            }
            Action::RenameContainer => {
                self.own_container(&mut call).await?;
                let name = self
                    .objects
                    .names
                    .on_engine(call.parameter("name").unwrap_or_default());
                call.set("name", name);
                self.forward(&call, headers).await
            }
            Action::RemoveContainer => {
                self.own_container(&mut call).await?;
                // Nothing would remove its anonymous volumes later: they have no label.
                call.set("v", "1".to_owned());
                self.forward(&call, headers).await
            }
            Action::CreateContainer => self.create_container(call, headers, body).await,
            Action::CreateExec => {
                self.own_container(&mut call).await?;
                let mut exec: ExecConfig = read(body).await?;
                let mut verdicts = Verdicts::new(&self.allowed);
                if exec.privileged == Some(true)
                    && !verdicts.may("exec --privileged", &Door::Privileged)
                {
                    exec.privileged = None;
                }
                self.tell(verdicts.warnings);
                self.secrets
                    .put_into(exec.env.as_deref_mut().unwrap_or_default());
                self.send(with_json(&call, headers, &exec)?).await
            }
            Action::Exec => {
                self.own_process(&call).await?;
                self.forward(&call, headers).await
            }
            Action::StartExec => {
                self.own_process(&call).await?;
                let start: ExecStartConfig = read(body).await?;
                let request = with_json(&call, headers, &start)?;
                self.connect(&call, headers, request.into_body(), upgrade)
                    .await
            }
            Action::Image => self.show_image(&mut call, headers).await,
            Action::PullImage => self.pull(&mut call, headers).await,
            Action::TagImage => {
                self.visible_image(&call.name()).await?;
                let repository = call.parameter("repo").unwrap_or_default();
                if !self.objects.images.may_name(repository) {
                    return Err(No::Forbidden(format!(
                        "an image cannot be named {repository}: it is not a name of this workspace"
                    )));
                }
                self.forward(&call, headers).await
            }
            Action::RemoveImage => {
                if !self.objects.images.may_name(&call.name()) {
                    return Err(No::Forbidden(format!(
                        "the image {} cannot be removed: it is not this workspace's",
                        call.name()
                    )));
                }
                self.forward(&call, headers).await
            }
            Action::Network => {
                self.own_network(&mut call).await?;
                let answer = self.engine().send(plain(&call, headers)).await?;
                answer::with_names(answer, &self.objects.names, call.method == Method::GET).await
            }
            Action::CreateNetwork => self.create_network(&call, headers, body).await,
            Action::ConnectNetwork => self.connect_network(call, headers, body).await,
            Action::Volume => {
                let name = self.own_volume(&call.name()).await?;
                call.rename(&name);
                let answer = self.engine().send(plain(&call, headers)).await?;
                answer::with_names(answer, &self.objects.names, call.method == Method::GET).await
            }
            Action::CreateVolume => self.create_volume(&call, headers, body).await,
            Action::BuildKit => {
                self.connect(&call, headers, upstream::empty(), upgrade)
                    .await
            }
        }
    }

    pub fn engine(&self) -> &Upstream {
        &self.objects.engine
    }

    pub async fn send(&self, request: Request<Body>) -> Result<Response<Body>, No> {
        Ok(answer::streamed(self.engine().send(request).await?))
    }

    pub async fn forward(&self, call: &Call, headers: &HeaderMap) -> Result<Response<Body>, No> {
        self.send(plain(call, headers)).await
    }

    /// Makes a call whose connection carries bytes both ways afterwards.
    async fn connect(
        &self,
        call: &Call,
        headers: &HeaderMap,
        body: Body,
        upgrade: Option<(HeaderValue, OnUpgrade)>,
    ) -> Result<Response<Body>, No> {
        let mut request = plain(call, headers);
        if call.action == Action::StartExec {
            request.headers_mut().insert(
                header::CONTENT_TYPE,
                HeaderValue::from_static("application/json"),
            );
        }
        *request.body_mut() = body;
        let Some((protocol, client)) = upgrade else {
            return self.send(request).await;
        };
        if protocol != "tcp" && protocol != "h2c" {
            return Err(No::Invalid(
                "it asks for another protocol than tcp or h2c".to_owned(),
            ));
        }
        request
            .headers_mut()
            .insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        request
            .headers_mut()
            .insert(header::UPGRADE, protocol.clone());
        let mut answer = self.engine().send(request).await?;
        if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Ok(answer::streamed(answer));
        }
        let engine = hyper::upgrade::on(&mut answer);
        let place = self.tunnels.clone().acquire_owned().await;
        self.children.spawn(async move {
            let _place = place;
            let (Ok(client), Ok(engine)) = tokio::join!(client, engine) else {
                return;
            };
            let (mut client, mut engine) = (TokioIo::new(client), TokioIo::new(engine));
            // An end in one direction is passed on, and the other one goes on.
            let _ =
                tokio::io::copy_bidirectional_with_sizes(&mut client, &mut engine, BUFFER, BUFFER)
                    .await;
        });
        let mut answer = answer::streamed(answer);
        answer
            .headers_mut()
            .insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        answer.headers_mut().insert(header::UPGRADE, protocol);
        Ok(answer)
    }

    /// Starts a container, and keeps it apart from those of others.
    async fn start(&self, call: &Call, headers: &HeaderMap) -> Result<Response<Body>, No> {
        // Also one that ran before: what ran in it may have changed them.
        let container = call.name();
        let (bridge, startable) =
            tokio::join!(self.bridge(), user_files::check(self.engine(), &container));
        startable?;
        let answer = self.forward(call, headers).await?;
        let isolated = bridge.and_then(|bridge| bridge.isolate_new());
        if let Err(error) = isolated {
            tracing::warn!(workspace.id = %self.objects.workspace, %error, "a container is not kept apart from others on the engine's bridge");
        }
        Ok(answer)
    }

    async fn bridge(&self) -> std::io::Result<Bridge> {
        let network: Option<Value> = self
            .engine()
            .get("/networks/bridge")
            .await
            .map_err(std::io::Error::other)?;
        let name = network
            .as_ref()
            .and_then(|network| network["Options"]["com.docker.network.bridge.name"].as_str());
        Bridge::look(name.unwrap_or("docker0"))
    }

    pub async fn container_id(&self, name: &str) -> Result<String, No> {
        let id = self.objects.container(name).await?;
        id.ok_or_else(|| No::absent("container", name))
    }

    async fn own_container(&self, call: &mut Call) -> Result<(), No> {
        let id = self.container_id(&call.name()).await?;
        call.rename(&id);
        Ok(())
    }

    async fn own_process(&self, call: &Call) -> Result<(), No> {
        let container = self.objects.container_of_process(&call.name()).await?;
        container
            .map(|_| ())
            .ok_or_else(|| No::absent("exec instance", &call.name()))
    }

    pub async fn own_network(&self, call: &mut Call) -> Result<(), No> {
        let name = self.objects.network(&call.name(), false).await?;
        let name = name.ok_or_else(|| No::Absent(format!("network {} not found", call.name())))?;
        call.rename(&name);
        Ok(())
    }

    async fn own_volume(&self, name: &str) -> Result<String, No> {
        let on_engine = self.objects.names.on_engine(name);
        match self.objects.has_volume(&on_engine).await? {
            Some(true) => Ok(on_engine),
            _ => Err(No::Absent(format!("get {name}: no such volume"))),
        }
    }

    pub async fn visible_image(&self, image: &str) -> Result<(), No> {
        if self.objects.is_foreign_image(image).await? {
            return Err(No::absent("image", image));
        }
        Ok(())
    }

    /// Records warnings, each once.
    pub fn tell(&self, warnings: Vec<String>) {
        for warning in warnings {
            if self.told.lock().insert(warning.clone()) {
                self.recorder.warn(warning);
            }
        }
    }
}

/// A request of the client, without its body, as it is made to the engine.
fn plain(call: &Call, headers: &HeaderMap) -> Request<Body> {
    let mut request = Request::new(upstream::empty());
    *request.method_mut() = call.method.clone();
    // A target is made of what a URI may have.
    *request.uri_mut() = call.target().parse().unwrap_or_default();
    for (name, value) in headers {
        let name_text = name.as_str();
        if matches!(name_text, "accept" | "x-registry-auth")
            || name_text.starts_with("x-docker-expose-session-")
        {
            request.headers_mut().append(name, value.clone());
        }
    }
    request
}

/// The same with a body that was judged.
pub fn with_json(
    call: &Call,
    headers: &HeaderMap,
    body: &impl Serialize,
) -> Result<Request<Body>, No> {
    let mut request = plain(call, headers);
    let body = serde_json::to_vec(body).map_err(|error| No::Invalid(error.to_string()))?;
    *request.body_mut() = upstream::full(body);
    request.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    Ok(request)
}

/// Reads a body into a type: what the type does not know does not get through, and nothing is there twice.
pub async fn read<T: DeserializeOwned>(body: Incoming) -> Result<T, No> {
    let body = upstream::whole(body, MAX_REQUEST)
        .await
        .map_err(|error| No::Invalid(error.to_string()))?;
    serde_json::from_slice(&body).map_err(|error| No::Invalid(error.to_string()))
}
