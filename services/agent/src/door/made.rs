//! What an attempt makes: containers, networks and volumes.

use std::collections::{BTreeMap, BTreeSet};

use bollard::models::{
    ContainerCreateBody, NetworkConnectRequest, NetworkCreateRequest, NetworkDisconnectRequest,
    VolumeCreateRequest,
};
use http::{HeaderMap, Method, Response};
use hyper::body::Incoming;
use serde_json::json;

use super::{
    answer::{self, No},
    container,
    endpoint::Call,
    gate::{Gate, read, with_json},
    judge::Judge,
    network,
    places::Places,
    ports::{self, Port},
    upstream::Body,
    verdict::Verdicts,
    volume,
};
use crate::{external::engine::WORKSPACE_LABEL, policy::Door};

impl Gate {
    pub async fn create_container(
        &self,
        mut call: Call,
        headers: &HeaderMap,
        body: Incoming,
    ) -> Result<Response<Body>, No> {
        let asked: ContainerCreateBody = read(body).await?;
        if let Some(name) = call.parameter("name").filter(|name| !name.is_empty()) {
            let name = self.objects.names.on_engine(name);
            call.set("name", name);
        }
        self.visible_image(asked.image.as_deref().unwrap_or_default())
            .await?;
        let (containers, networks) = container::references(&asked);
        let containers = self.objects.containers(containers).await?;
        let foreign = self.allowed.is_open(&Door::HostNetwork);
        let networks = self.objects.networks(networks, foreign).await?;
        let taken = self.taken(&asked).await?;
        let places = self.places().await?;
        // It looks at paths of the node.
        let judged = hearth_runtime::blocking({
            let (objects, allowed, subpaths) = (
                self.objects.clone(),
                self.allowed.clone(),
                call.has_subpaths(),
            );
            move || {
                let judge = Judge {
                    workspace: &objects.workspace,
                    names: &objects.names,
                    allowed: &allowed,
                    places: &places,
                    containers: &containers,
                    networks: &networks,
                    taken: &taken,
                    subpaths,
                };
                container::judge(&judge, asked)
            }
        })
        .await;
        self.tell(judged.warnings);
        for name in &judged.volumes {
            self.ensure_volume(name).await?;
        }
        self.send(with_json(&call, headers, &judged.body)?).await
    }

    /// The ports of the node that a request asks for and cannot have.
    async fn taken(&self, asked: &ContainerCreateBody) -> Result<BTreeSet<Port>, No> {
        let asked = ports::asked(asked.host_config.as_ref());
        if asked.is_empty() || !self.allowed.is_open(&Door::HostPorts) {
            return Ok(BTreeSet::new());
        }
        let mut taken = ports::of_containers(self.engine()).await?;
        taken.extend(
            asked
                .iter()
                .filter(|(port, address)| ports::is_in_use(port, *address))
                .map(|(port, _)| port.clone()),
        );
        let free = asked
            .into_iter()
            .map(|(port, _)| port)
            .filter(|port| !taken.contains(port));
        let reserved = self.reserved.reserve(free, &self.objects.workspace);
        taken.extend(reserved);
        Ok(taken)
    }

    pub async fn create_network(
        &self,
        call: &Call,
        headers: &HeaderMap,
        body: Incoming,
    ) -> Result<Response<Body>, No> {
        let asked: NetworkCreateRequest = read(body).await?;
        let places = self.places().await?;
        let mut verdicts = Verdicts::new(&self.allowed);
        let (nothing, no_port) = Default::default();
        let judge = self.judge(&places, &nothing, &nothing, &no_port, call);
        let kept = network::judge_create(&judge, asked, &mut verdicts);
        self.tell(verdicts.warnings);
        self.send(with_json(call, headers, &kept)?).await
    }

    /// Makes a volume with the workspace's label, unless there is one.
    async fn ensure_volume(&self, name: &str) -> Result<(), No> {
        match self.objects.has_volume(name).await? {
            Some(true) => Ok(()),
            Some(false) => Err(No::absent("volume", name)),
            None => {
                let labels = json!({ WORKSPACE_LABEL: self.objects.workspace.as_str() });
                let request = json!({ "Name": name, "Labels": labels });
                let (status, body) = self
                    .engine()
                    .call(Method::POST, "/volumes/create", Some(&request))
                    .await?;
                if status.is_success() {
                    Ok(())
                } else {
                    Err(No::Engine(status, body))
                }
            }
        }
    }

    pub async fn create_volume(
        &self,
        call: &Call,
        headers: &HeaderMap,
        body: Incoming,
    ) -> Result<Response<Body>, No> {
        let mut request: VolumeCreateRequest = read(body).await?;
        let asked = request.name.take().filter(|name| !name.is_empty());
        let what = format!("the volume {}", asked.as_deref().unwrap_or_default());
        let places = self.places().await?;
        let mut verdicts = Verdicts::new(&self.allowed);
        volume::judge_driver(&places, &mut request, what.trim_end(), &mut verdicts);
        self.tell(verdicts.warnings);
        request.cluster_volume_spec = None;
        let workspace = self.objects.workspace.to_string();
        request
            .labels
            .get_or_insert_default()
            .insert(WORKSPACE_LABEL.to_owned(), workspace);
        if let Some(asked) = asked {
            let name = self.objects.names.on_engine(&asked);
            // The engine would answer with one that is there, whoever's it is.
            if self.objects.has_volume(&name).await? == Some(false) {
                return Err(No::absent("volume", &asked));
            }
            request.name = Some(name);
        }
        let answer = self
            .engine()
            .send(with_json(call, headers, &request)?)
            .await?;
        answer::with_names(answer, &self.objects.names, true).await
    }

    pub async fn connect_network(
        &self,
        mut call: Call,
        headers: &HeaderMap,
        body: Incoming,
    ) -> Result<Response<Body>, No> {
        self.own_network(&mut call).await?;
        if call.ends_with("disconnect") {
            let mut request: NetworkDisconnectRequest = read(body).await?;
            request.container = self.container_id(&request.container).await?;
            return self.send(with_json(&call, headers, &request)?).await;
        }
        let mut request: NetworkConnectRequest = read(body).await?;
        request.container = self.container_id(&request.container).await?;
        if let Some(asked) = request.endpoint_config.take() {
            let links = asked
                .links
                .iter()
                .flatten()
                .filter_map(|link| link.split(':').next().map(str::to_owned));
            let containers = self.objects.containers(links.collect()).await?;
            let places = self.places().await?;
            let mut verdicts = Verdicts::new(&self.allowed);
            let (no_network, no_port) = Default::default();
            let judge = self.judge(&places, &containers, &no_network, &no_port, &call);
            request.endpoint_config = Some(network::endpoint(&judge, asked, &mut verdicts));
            self.tell(verdicts.warnings);
        }
        self.send(with_json(&call, headers, &request)?).await
    }

    fn judge<'a>(
        &'a self,
        places: &'a Places,
        containers: &'a BTreeMap<String, String>,
        networks: &'a BTreeMap<String, String>,
        taken: &'a BTreeSet<Port>,
        call: &Call,
    ) -> Judge<'a> {
        Judge {
            workspace: &self.objects.workspace,
            names: &self.objects.names,
            allowed: &self.allowed,
            places,
            containers,
            networks,
            taken,
            subpaths: call.has_subpaths(),
        }
    }

    async fn places(&self) -> Result<Places, No> {
        Ok(Places {
            engine: self.engine().socket().to_owned(),
            volume: self.objects.volume_folder().await?,
            helper: self.helper.clone(),
        })
    }
}
