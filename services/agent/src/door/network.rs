//! Networks that are made, and that containers ask for.

use std::collections::HashMap;

use bollard::models::{EndpointSettings, HostConfig, NetworkCreateRequest, NetworkingConfig};

use super::{judge::Judge, verdict::Verdicts};
use crate::policy::Door;

/// Options of networks that concern the network alone. Others name interfaces and addresses of the node.
const OPTIONS: [&str; 4] = [
    "com.docker.network.bridge.enable_icc",
    "com.docker.network.bridge.enable_ip_masquerade",
    "com.docker.network.driver.mtu",
    "com.docker.network.enable_ipv6",
];

/// The engine's own network, which containers are in that ask for none.
const DEFAULT: &str = "default";

/// Judges the network of a container, and those that it joins besides.
pub fn judge_endpoints(
    judge: &Judge<'_>,
    host: &mut HostConfig,
    networking: &mut Option<NetworkingConfig>,
    verdicts: &mut Verdicts<'_>,
) {
    let asked = host.network_mode.take().unwrap_or_default();
    let mode = match asked.as_str() {
        "" | "default" | "bridge" => None,
        "none" => Some(asked.clone()),
        "host" => verdicts
            .may("the network host", &Door::HostNetwork)
            .then(|| asked.clone()),
        _ => match asked.strip_prefix("container:") {
            Some(name) => {
                let id = judge.container(name, "the network of", verdicts);
                id.map(|id| format!("container:{id}"))
            }
            None => network(judge, &asked, verdicts),
        },
    };
    host.network_mode = Some(mode.clone().unwrap_or_else(|| DEFAULT.to_owned()));
    if let Some(links) = &mut host.links {
        *links = own_links(judge, links, verdicts);
    }
    let endpoints = networking.take().and_then(|config| config.endpoints_config);
    let mut kept = HashMap::new();
    for (name, settings) in endpoints.unwrap_or_default() {
        // The default network knows no names and no addresses of a container's choice.
        let on_engine = if name == asked {
            mode.clone()
        } else {
            network(judge, &name, verdicts)
        };
        if let Some(on_engine) =
            on_engine.filter(|name| judge.networks.values().any(|own| own == name))
        {
            kept.insert(on_engine, endpoint(judge, settings, verdicts));
        }
    }
    if !kept.is_empty() {
        *networking = Some(NetworkingConfig {
            endpoints_config: Some(kept),
        });
    }
}

fn network(judge: &Judge<'_>, name: &str, verdicts: &mut Verdicts<'_>) -> Option<String> {
    if matches!(name, "default" | "bridge") {
        return None;
    }
    let found = judge.networks.get(name);
    if found.is_none() {
        verdicts.warn(format!(
            "the network {name} is left out: it is not a network of this workspace"
        ));
    }
    found.cloned()
}

fn own_links(judge: &Judge<'_>, links: &[String], verdicts: &mut Verdicts<'_>) -> Vec<String> {
    let links = links.iter().filter_map(|link| {
        let (name, alias) = link.split_once(':').unwrap_or((link, link));
        let id = judge.container(name, "the link to", verdicts)?;
        Some(format!("{id}:{alias}"))
    });
    links.collect()
}

/// How a container is in a network: what it asks for, without what the engine fills in.
pub fn endpoint(
    judge: &Judge<'_>,
    asked: EndpointSettings,
    verdicts: &mut Verdicts<'_>,
) -> EndpointSettings {
    let mut kept = EndpointSettings {
        links: asked.links.map(|links| own_links(judge, &links, verdicts)),
        aliases: asked.aliases,
        mac_address: asked.mac_address,
        ipam_config: asked.ipam_config,
        driver_opts: asked.driver_opts,
        gw_priority: asked.gw_priority,
        ..EndpointSettings::default()
    };
    verdicts.judge(&mut kept.ipam_config, &Door::HostNetwork, |config| {
        let addresses = [&config.ipv4_address, &config.ipv6_address]
            .into_iter()
            .flatten();
        let addresses: Vec<&str> = addresses
            .map(String::as_str)
            .filter(|address| !address.is_empty())
            .collect();
        (!addresses.is_empty()).then(|| format!("the address {}", addresses.join(", ")))
    });
    verdicts.judge(&mut kept.driver_opts, &Door::HostNetwork, |options| {
        let first = options.keys().min()?;
        Some(format!("the network option {first}"))
    });
    kept
}

/// What a request for a network becomes. Addresses and interfaces are the node's: a network of the repository's choice
/// could take the place of one that the node reaches other machines by.
pub fn judge_create(
    judge: &Judge<'_>,
    asked: NetworkCreateRequest,
    verdicts: &mut Verdicts<'_>,
) -> NetworkCreateRequest {
    let what = format!("of the network {}", asked.name);
    let mut kept = NetworkCreateRequest {
        name: judge.names.on_engine(&asked.name),
        driver: asked.driver,
        internal: asked.internal,
        ipam: asked.ipam,
        enable_ipv4: asked.enable_ipv4,
        enable_ipv6: asked.enable_ipv6,
        options: asked.options,
        labels: asked.labels,
        ..NetworkCreateRequest::default()
    };
    kept.labels.get_or_insert_default().extend(judge.labels());
    let door = Door::HostNetwork;
    verdicts.judge(&mut kept.driver, &door, |driver| {
        let usual = matches!(driver.as_str(), "" | "default" | "bridge");
        (!usual).then(|| format!("the driver {driver} {what}"))
    });
    if let Some(options) = &mut kept.options {
        options.retain(|option, _| {
            OPTIONS.contains(&option.as_str())
                || verdicts.may(format!("the option {option} {what}"), &door)
        });
    }
    verdicts.judge(&mut kept.ipam, &door, |ipam| {
        let driver = ipam.driver.as_deref().unwrap_or_default();
        let plain = matches!(driver, "" | "default")
            && ipam.config.iter().flatten().next().is_none()
            && ipam.options.iter().flatten().next().is_none();
        (!plain).then(|| format!("the choice of addresses {what}"))
    });
    kept
}
