//! Containers that are made.

use std::collections::{BTreeSet, HashMap};

use bollard::models::{
    ContainerCreateBody, DeviceRequest, HostConfig, HostConfigCgroupnsModeEnum as CgroupnsMode,
    HostConfigLogConfig,
};

use super::{judge::Judge, mounts, network, ports, verdict::Verdicts};
use crate::policy::Door;

/// Docker's own, and the one that debuggers need, which reaches processes of the same container only.
const CAPABILITIES: [&str; 15] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "NET_RAW",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
    "SYS_PTRACE",
];

/// A request as it may be made.
#[derive(Debug)]
pub struct Judged {
    pub body: ContainerCreateBody,
    /// Volumes that have to be there, with the workspace's label, before the container is made.
    pub volumes: BTreeSet<String>,
    /// What was left out.
    pub warnings: Vec<String>,
}

/// What a request names: other containers and networks.
pub fn references(body: &ContainerCreateBody) -> (BTreeSet<String>, BTreeSet<String>) {
    let mut containers = BTreeSet::new();
    let mut networks = BTreeSet::new();
    let host = body.host_config.as_ref();
    let modes = [
        host.and_then(|host| host.network_mode.as_ref()),
        host.and_then(|host| host.pid_mode.as_ref()),
        host.and_then(|host| host.ipc_mode.as_ref()),
    ];
    for mode in modes.into_iter().flatten() {
        if let Some(name) = mode.strip_prefix("container:") {
            containers.insert(name.to_owned());
        }
    }
    networks.extend(host.and_then(|host| host.network_mode.clone()));
    let names = |list: Option<&Vec<String>>| {
        let list = list.into_iter().flatten();
        list.filter_map(|text| text.split(':').next().map(str::to_owned))
            .collect::<Vec<_>>()
    };
    containers.extend(names(host.and_then(|host| host.volumes_from.as_ref())));
    containers.extend(names(host.and_then(|host| host.links.as_ref())));
    let endpoints = body
        .networking_config
        .as_ref()
        .and_then(|config| config.endpoints_config.as_ref());
    for (network, endpoint) in endpoints.into_iter().flatten() {
        networks.insert(network.clone());
        containers.extend(names(endpoint.links.as_ref()));
    }
    (containers, networks)
}

/// What a request becomes: the workspace's, and without what it may not ask for.
pub fn judge(judge: &Judge<'_>, mut body: ContainerCreateBody) -> Judged {
    let mut verdicts = Verdicts::new(judge.allowed);
    // Labels of the image too are replaced by those of the request.
    body.labels.get_or_insert_default().extend(judge.labels());
    let mut host = body.host_config.take().unwrap_or_default();
    let volumes = mounts::judge(judge, &mut host, &mut verdicts);
    namespaces(judge, &mut host, &mut verdicts);
    network::judge_endpoints(judge, &mut host, &mut body.networking_config, &mut verdicts);
    ports::judge(judge.taken, &mut host, &mut verdicts);
    rights(&mut host, &mut verdicts);
    devices(&mut host, &mut verdicts);
    resources(&mut host, &mut verdicts);
    body.host_config = Some(host);
    Judged {
        body,
        volumes: volumes.into_iter().collect(),
        warnings: verdicts.warnings,
    }
}

/// Namespaces of the node and of other containers.
fn namespaces(judge: &Judge<'_>, host: &mut HostConfig, verdicts: &mut Verdicts<'_>) {
    for (kind, mode, own) in [
        ("pid", &mut host.pid_mode, &["", "private"][..]),
        (
            "ipc",
            &mut host.ipc_mode,
            &["", "none", "private", "shareable"][..],
        ),
        ("uts", &mut host.uts_mode, &[""][..]),
        ("user", &mut host.userns_mode, &[""][..]),
    ] {
        let Some(asked) = mode.as_deref() else {
            continue;
        };
        if own.contains(&asked) {
            continue;
        }
        *mode = match asked.strip_prefix("container:") {
            Some(name) => {
                let what = format!("the {kind} namespace of");
                judge
                    .container(name, &what, verdicts)
                    .map(|id| format!("container:{id}"))
            }
            None => {
                let what = format!("the {kind} namespace {asked}");
                verdicts
                    .may(what, &Door::Privileged)
                    .then(|| asked.to_owned())
            }
        };
    }
    verdicts.judge(&mut host.cgroupns_mode, &Door::Privileged, |mode| {
        (*mode == CgroupnsMode::HOST).then(|| "the cgroup namespace host".to_owned())
    });
    verdicts.judge(&mut host.cgroup, &Door::Privileged, |cgroup| {
        (!cgroup.is_empty()).then(|| format!("the cgroup {cgroup}"))
    });
}

/// What makes a process in the container more than one that is locked up.
fn rights(host: &mut HostConfig, verdicts: &mut Verdicts<'_>) {
    let door = Door::Privileged;
    verdicts.judge(&mut host.privileged, &door, |asked| {
        asked.then(|| "privileged".to_owned())
    });
    verdicts.sift(&mut host.cap_add, |verdicts, capability| {
        let name = capability.to_ascii_uppercase();
        let name = name.strip_prefix("CAP_").unwrap_or(&name);
        CAPABILITIES.contains(&name) || verdicts.may(format!("the capability {capability}"), &door)
    });
    verdicts.sift(&mut host.security_opt, |verdicts, option| {
        // A profile is a whole file.
        let shown = hearth_domain::text::shortened(option, 60);
        option.starts_with("no-new-privileges")
            || option == "seccomp=builtin"
            || verdicts.may(format!("the security option {shown}"), &door)
    });
    verdicts.judge(&mut host.masked_paths, &door, |_| {
        Some("systempaths=unconfined".to_owned())
    });
    verdicts.judge(&mut host.readonly_paths, &door, |_| {
        Some("systempaths=unconfined".to_owned())
    });
    verdicts.judge(&mut host.runtime, &door, |runtime| {
        let usual = matches!(runtime.as_str(), "" | "runc" | "io.containerd.runc.v2");
        (!usual).then(|| format!("the runtime {runtime}"))
    });
    verdicts.judge(&mut host.cgroup_parent, &door, |parent| {
        (!parent.is_empty()).then(|| format!("the cgroup parent {parent}"))
    });
    // Runtimes take settings of their own from them.
    verdicts.judge(&mut host.annotations, &door, |annotations| {
        (!annotations.is_empty()).then(|| format!("the annotation {}", first_key(annotations)))
    });
    if let Some(sysctls) = &mut host.sysctls {
        sysctls.retain(|name, _| {
            is_of_namespace(name) || verdicts.may(format!("the sysctl {name}"), &door)
        });
    }
}

/// Whether a setting of the kernel is one of the container's own namespaces.
fn is_of_namespace(sysctl: &str) -> bool {
    let name = sysctl.replace('/', ".");
    name.starts_with("net.")
        || name.starts_with("fs.mqueue.")
        || matches!(
            name.as_str(),
            "kernel.msgmax"
                | "kernel.msgmnb"
                | "kernel.msgmni"
                | "kernel.sem"
                | "kernel.shmall"
                | "kernel.shmmax"
                | "kernel.shmmni"
                | "kernel.shm_rmid_forced"
        )
}

fn devices(host: &mut HostConfig, verdicts: &mut Verdicts<'_>) {
    verdicts.sift(&mut host.devices, |verdicts, device| {
        let path = device.path_on_host.as_deref().unwrap_or_default();
        verdicts.may(format!("the device {path}"), &Door::Devices)
    });
    verdicts.sift(&mut host.device_cgroup_rules, |verdicts, rule| {
        verdicts.may(format!("the device rule {rule}"), &Door::Devices)
    });
    verdicts.sift(&mut host.device_requests, |verdicts, request| {
        if is_gpus(request) {
            verdicts.may("the request of GPUs", &Door::Gpus)
        } else {
            let driver = request.driver.as_deref().unwrap_or_default();
            verdicts.may(
                format!("the request of devices by {driver:?}"),
                &Door::Devices,
            )
        }
    });
}

/// Whether a request is what `--gpus` makes. Other drivers name any device.
fn is_gpus(request: &DeviceRequest) -> bool {
    let capabilities = request.capabilities.as_deref().unwrap_or_default();
    let by_gpu = capabilities
        .iter()
        .all(|all| all.iter().any(|one| one == "gpu"));
    matches!(request.driver.as_deref(), None | Some("" | "nvidia"))
        && !capabilities.is_empty()
        && by_gpu
}

/// Resources that are everybody's, and where output is written to.
fn resources(host: &mut HostConfig, verdicts: &mut Verdicts<'_>) {
    let door = Door::Privileged;
    verdicts.judge(&mut host.oom_score_adj, &door, |score| {
        (*score < 0).then(|| format!("the OOM score {score}"))
    });
    verdicts.judge(&mut host.oom_kill_disable, &door, |disabled| {
        disabled.then(|| "oom-kill-disable".to_owned())
    });
    if let Some(options) = &mut host.storage_opt {
        options.retain(|name, _| {
            name == "size" || verdicts.may(format!("the storage option {name}"), &door)
        });
    }
    verdicts.judge(
        &mut host.log_config,
        &door,
        |HostConfigLogConfig { typ, .. }| {
            let driver = typ.as_deref().unwrap_or_default();
            let local = matches!(driver, "" | "json-file" | "local" | "none");
            (!local).then(|| format!("the logging driver {driver}"))
        },
    );
    // Where a client writes the id; the engine does not.
    host.container_id_file = None;
}

fn first_key<T>(map: &HashMap<String, T>) -> &str {
    map.keys().min().map_or("", String::as_str)
}

#[cfg(test)]
#[path = "container_tests.rs"]
mod tests;
