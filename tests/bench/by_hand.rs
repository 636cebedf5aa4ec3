//! A cold preparation by hearth beside the same commands run one by one, each on an empty engine.

use std::{path::Path, process::Command, time::Instant};

use hearth_api::v1::{PrepareWorkspaceRequest, WatchUntil};
use hearth_tests::{Lab, Vm, app, client::request, process::path};

use crate::median;

/// What hearth adds to `devcontainer build` on the containerd store.
const OUTPUT: &str = "type=image,name=app,compression=zstd,oci-mediatypes=true";

pub async fn run(rounds: usize) {
    let mut lab = Lab::new(0).await;
    let pusher = Vm::start(lab.folder("pusher"));
    lab.registry.tiny_base(&pusher).await;
    drop(pusher);
    let repo = app::repo(&lab, "app");
    let (mut hearth, mut plain, mut same) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..rounds {
        plain.push(by_hand(&lab, &repo.url, &format!("plain{round}"), None));
        same.push(by_hand(
            &lab,
            &repo.url,
            &format!("same{round}"),
            Some(OUTPUT),
        ));
        let number = lab.add_node(&[]).await;
        let cold = PrepareWorkspaceRequest {
            until: WatchUntil::Ready.into(),
            spec: request("", &repo.url)
                .spec
                .map(|spec| hearth_api::v1::WorkspaceSpec {
                    cache_access: hearth_api::v1::CacheAccess::Off.into(),
                    ..spec
                }),
            ..request(&format!("node-{number}"), "")
        };
        let began = Instant::now();
        let story = lab.client.run(cold).await;
        hearth.push(began.elapsed().as_secs_f64());
        assert!(
            !story.workspace.container_id.is_empty(),
            "{:#?}",
            story.workspace
        );
    }
    let (hearth, plain, same) = (median(hearth), median(plain), median(same));
    println!(
        "\nA cold preparation, seconds until it is ready (medians of {rounds}, side by side)\n"
    );
    println!("| way | seconds | against hearth |");
    println!("| --- | --- | --- |");
    println!("| hearth | {hearth:.2} | 1.00 |");
    println!(
        "| git clone, devcontainer build, devcontainer up | {plain:.2} | {:.2} |",
        plain / hearth
    );
    println!(
        "| the same with hearth's options for the build | {same:.2} | {:.2} |",
        same / hearth
    );
    println!(
        "\nhearth adds {:.2} s of its own to the same commands.",
        hearth - same
    );
}

fn by_hand(lab: &Lab, url: &str, name: &str, output: Option<&str>) -> f64 {
    let vm = Vm::start(lab.folder(name));
    let home = lab.folder(&format!("{name}-home"));
    let clone = home.join("app");
    std::fs::create_dir_all(&home).expect("a folder");
    let folder = clone.to_str().expect("a path");
    let began = Instant::now();
    run_command(
        &vm,
        &home,
        "git",
        &["clone", "--quiet", "--filter=blob:none", url, folder],
    );
    let mut build = vec!["build", "--workspace-folder", folder, "--image-name", "app"];
    if let Some(output) = output {
        build.extend(["--output", output]);
    }
    run_command(&vm, &home, "devcontainer", &build);
    std::fs::write(
        home.join("override.json"),
        r#"{"image": "app", "remoteUser": "dev", "workspaceFolder": "/workspaces/app"}"#,
    )
    .expect("a file");
    let override_config = home.join("override.json");
    let up = [
        "up",
        "--workspace-folder",
        folder,
        "--override-config",
        override_config.to_str().expect("a path"),
        "--update-remote-user-uid-default",
        "never",
        "--skip-post-create",
    ];
    run_command(&vm, &home, "devcontainer", &up);
    began.elapsed().as_secs_f64()
}

pub fn run_command(vm: &Vm, home: &Path, program: &str, args: &[&str]) {
    let output = Command::new(program)
        .args(args)
        .env("PATH", path())
        .env("HOME", home)
        .env("DOCKER_HOST", vm.docker_host())
        .output()
        .expect("the program");
    assert!(
        output.status.success(),
        "{program} {args:?}: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}
