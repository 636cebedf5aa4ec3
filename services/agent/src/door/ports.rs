//! Ports of the node that lead to a container.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr, TcpListener, UdpSocket},
    sync::Arc,
};

use bollard::models::{HostConfig, PortBinding, PortMap};
use hearth_domain::WorkspaceId;
use parking_lot::Mutex;
use serde::Deserialize;

use super::{
    upstream::{Unanswered, Upstream},
    verdict::Verdicts,
};
use crate::policy::Door;

/// A port of the node.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Port {
    pub protocol: String,
    pub number: u16,
}

/// The ports of the node that a request asks for by their number, with their addresses.
pub fn asked(host: Option<&HostConfig>) -> Vec<(Port, IpAddr)> {
    let bindings = host.and_then(|host| host.port_bindings.as_ref());
    let mut ports = Vec::new();
    for (of_container, bindings) in bindings.into_iter().flatten() {
        for binding in bindings.iter().flatten() {
            ports.extend(fixed(of_container, binding).map(|port| (port, address(binding))));
        }
    }
    ports
}

/// The port of a binding that names one. A range is left to the engine, which finds a free one.
fn fixed(of_container: &str, binding: &PortBinding) -> Option<Port> {
    let number: u16 = binding.host_port.as_deref()?.parse().ok()?;
    let protocol = of_container
        .split_once('/')
        .map_or("tcp", |(_, protocol)| protocol);
    (number != 0).then(|| Port {
        protocol: protocol.to_owned(),
        number,
    })
}

fn address(binding: &PortBinding) -> IpAddr {
    let ip = binding.host_ip.as_deref().and_then(|ip| ip.parse().ok());
    ip.unwrap_or(Ipv4Addr::UNSPECIFIED.into())
}

/// Whether a program of the node listens at a port.
pub fn is_in_use(port: &Port, address: IpAddr) -> bool {
    let bound = match port.protocol.as_str() {
        "tcp" => TcpListener::bind((address, port.number)).map(|_| ()),
        "udp" => UdpSocket::bind((address, port.number)).map(|_| ()),
        _ => return false,
    };
    bound.is_err_and(|error| error.kind() == std::io::ErrorKind::AddrInUse)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Running {
    #[serde(default)]
    ports: Vec<Published>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Published {
    public_port: Option<u16>,
    #[serde(rename = "Type")]
    protocol: String,
}

/// The ports of the node that lead to containers, of whomever.
pub async fn of_containers(engine: &Upstream) -> Result<BTreeSet<Port>, Unanswered> {
    let running: Option<Vec<Running>> = engine.get("/containers/json").await?;
    let ports = running
        .into_iter()
        .flatten()
        .flat_map(|container| container.ports);
    let published = ports.filter_map(|port| {
        Some(Port {
            number: port.public_port?,
            protocol: port.protocol,
        })
    });
    Ok(published.collect())
}

/// The ports of containers that are made and do not run yet, by workspace: the engine does not know of them.
#[derive(Clone, Debug, Default)]
pub struct Reserved(Arc<Mutex<BTreeMap<Port, WorkspaceId>>>);

impl Reserved {
    /// Reserves those of some ports that no other workspace has, and returns the others.
    pub fn reserve(
        &self,
        ports: impl Iterator<Item = Port>,
        workspace: &WorkspaceId,
    ) -> BTreeSet<Port> {
        let mut reserved = self.0.lock();
        let others = ports.filter(|port| {
            let holder = reserved
                .entry(port.clone())
                .or_insert_with(|| workspace.clone());
            holder != workspace
        });
        others.collect()
    }

    /// Lets go of a workspace's ports.
    pub fn release(&self, workspace: &WorkspaceId) {
        self.0.lock().retain(|_, holder| holder != workspace);
    }
}

/// Leaves out what may not be asked for, and what another has.
pub fn judge(taken: &BTreeSet<Port>, host: &mut HostConfig, verdicts: &mut Verdicts<'_>) {
    verdicts.judge(&mut host.publish_all_ports, &Door::HostPorts, |all| {
        all.then(|| "publish-all".to_owned())
    });
    let Some(ports) = host.port_bindings.take() else {
        return;
    };
    let mut kept = PortMap::new();
    let mut ports: Vec<_> = ports.into_iter().collect();
    ports.sort_by(|(one, _), (other, _)| one.cmp(other));
    for (of_container, bindings) in ports {
        let mut bindings = bindings.unwrap_or_default();
        bindings.retain(|binding| {
            let number = binding
                .host_port
                .as_deref()
                .filter(|port| !port.is_empty())
                .unwrap_or("any");
            let what = format!("the port {number} of the node for {of_container}");
            if !verdicts.may(&what, &Door::HostPorts) {
                return false;
            }
            let is_taken = fixed(&of_container, binding).is_some_and(|port| taken.contains(&port));
            if is_taken {
                verdicts.warn(format!("{what} is left out: another has it already"));
            }
            !is_taken
        });
        // Docker reads an empty list as a port of its choice.
        if !bindings.is_empty() {
            kept.insert(of_container, Some(bindings));
        }
    }
    host.port_bindings = Some(kept);
}
