//! What workspaces leave on a node: nothing, once they are deleted.

use std::{collections::BTreeSet, fs, path::Path};

use crate::{Agent, Lab, Vm, process::PATIENCE};

/// Waits until a node has nothing of a workspace any more: containers, volumes, networks, images with a name of a workspace's
/// own, mounts, processes, and folders of the agent. Images of the cache stay, and the default image.
pub async fn assert_none(lab: &Lab, node: usize) {
    let (vm, agent) = (&lab.vms[node], &lab.agents[node]);
    let wait = async {
        while !of(lab, vm, agent).is_empty() {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    };
    let gone = tokio::time::timeout(PATIENCE, wait).await;
    assert!(gone.is_ok(), "left over: {:#?}", of(lab, vm, agent));
}

/// Everything that is there.
fn of(lab: &Lab, vm: &Vm, agent: &Agent) -> Vec<String> {
    let mut left = Vec::new();
    let engine: [(&str, &[&str]); 4] = [
        ("container", &["ps", "--all", "--format", "{{.Names}}"]),
        ("volume", &["volume", "ls", "--quiet"]),
        (
            "network",
            &[
                "network",
                "ls",
                "--filter",
                "type=custom",
                "--format",
                "{{.Name}}",
            ],
        ),
        (
            "image",
            &[
                "image",
                "ls",
                "--all",
                "--format",
                "{{.Repository}}:{{.Tag}} {{.ID}}",
            ],
        ),
    ];
    for (kind, list) in engine {
        let lines = vm.docker(list);
        let base = lab.base.rsplit_once(':').map_or("", |(name, _)| name);
        let kept = ["hearth-cache:", base];
        let is_kept = |line: &&str| {
            let is_kept = kept.iter().any(|name| line.starts_with(name));
            kind == "image" && (is_kept || line.contains(":devcontainer-cache"))
        };
        let lines = lines.lines().filter(|line| !is_kept(line));
        left.extend(lines.map(|line| format!("{kind} {line}")));
    }
    left.extend(mounts(vm.dir()).map(|mount| format!("mount {mount}")));
    left.extend(descendants(agent.pid()).map(|process| format!("process {process}")));
    for folder in [agent.attempts_dir(), agent.workspaces_dir()] {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        left.extend(entries.map(|entry| format!("folder {}", entry.path().display())));
    }
    left
}

/// Mounts below the folder of an engine, but for its own, which is its data folder.
fn mounts(folder: &Path) -> impl Iterator<Item = String> {
    let own = folder.join("data").display().to_string();
    let folder = format!("{}/", folder.display());
    let all = fs::read_to_string("/proc/self/mountinfo").expect("the mounts");
    let points: Vec<_> = all
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .filter(|point| point.starts_with(&folder) && *point != own)
        .map(str::to_owned)
        .collect();
    points.into_iter()
}

/// Processes that a process has started, and those that they have, by their command lines.
fn descendants(parent: u32) -> impl Iterator<Item = String> {
    let mut known = BTreeSet::from([parent]);
    let parents: Vec<(u32, u32)> = fs::read_dir("/proc")
        .expect("the processes")
        .flatten()
        .filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
            // Behind its name, which may have spaces: the state, and the parent.
            let parent = stat.rsplit_once(") ")?.1.split(' ').nth(1)?;
            Some((pid, parent.parse().ok()?))
        })
        .collect();
    while parents
        .iter()
        .any(|(pid, parent)| known.contains(parent) && known.insert(*pid))
    {}
    known.remove(&parent);
    let command = |pid: u32| {
        let words = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        format!("{pid} {}", words.replace('\0', " "))
    };
    known.into_iter().map(command)
}
