use std::process::{Child, Command};

use super::*;

const LIMITS: Limits = Limits {
    memory_mib: 64,
    processes: 64,
};

/// Ended with the test.
struct Sleeper(Child);

impl Sleeper {
    fn in_group(group: &Path) -> Self {
        let child = Command::new("sleep").arg("1000").spawn().unwrap();
        fs::write(group.join("cgroup.procs"), child.id().to_string()).unwrap();
        Self(child)
    }

    fn end(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        self.end();
    }
}

/// Those of this machine, if its tests are run by root.
fn groups() -> Option<Arc<Cgroups>> {
    let is_root = rustix::process::geteuid().is_root();
    is_root.then(|| Cgroups::new(LIMITS).ok()).flatten()
}

#[test]
fn what_a_killed_agent_left_goes_and_what_a_living_one_has_stays() {
    let Some(living) = groups() else {
        return;
    };
    let hierarchy = living.own[0].folder.parent().unwrap();
    // Its process had the number of one that lives, as in a container that was started again.
    let killed = hierarchy.join(format!("{NAME}{}", std::process::id()));
    let group = killed.join("7");
    fs::create_dir_all(&group).unwrap();
    // The kernel is slower than the agent's next start.
    let mut ending = Sleeper::in_group(&group);
    let next = groups().unwrap();
    assert!(living.own.iter().all(|own| own.folder.exists()));
    drop(living.group().unwrap());
    assert!(killed.exists());
    ending.end();
    while killed.exists() {
        drop(next.group().unwrap());
    }
}

#[test]
fn the_first_group_of_a_container_makes_room_for_limited_ones() {
    // On machines with both versions some of the controllers are there.
    let all = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];
    let root = all.map(Path::new).into_iter().find_map(|root| {
        let there = fs::read_to_string(root.join("cgroup.controllers")).ok()?;
        // Those that count threads allow processes beside them.
        let names = ["memory", "io", "hugetlb"];
        let name = names
            .into_iter()
            .find(|name| there.split_whitespace().any(|it| it == *name))?;
        Some((root, format!("+{name}")))
    });
    let (Some((root, controller)), true) = (root, rustix::process::geteuid().is_root()) else {
        return;
    };
    let_limit(root, &controller).unwrap();
    let name = format!("hearth-test-{}", std::process::id());
    let container = root.join(name);
    fs::create_dir(&container).unwrap();
    let mut processes = [(); 3].map(|()| Sleeper::in_group(&container));
    let given = fs::write(container.join("cgroup.subtree_control"), &controller);
    assert_eq!(given.unwrap_err().kind(), io::ErrorKind::ResourceBusy);
    let_limit(&container, &controller).unwrap();
    let moved = fs::read_to_string(container.join(OTHERS).join("cgroup.procs")).unwrap();
    assert_eq!(moved.lines().count(), processes.len());
    processes.iter_mut().for_each(Sleeper::end);
    let mut folders = vec![container.join(OTHERS), container];
    while !folders.is_empty() {
        remove(&mut folders);
    }
}
