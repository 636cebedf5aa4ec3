//! The same job through the command line and through reflection alone.

use std::process::{Command, Output};

use hearth_tests::{
    Lab, app,
    process::{binary, path},
};

fn run(program: &str, lab: &Lab, args: &[&str]) -> Output {
    let program = if program == "hearth" {
        binary("hearth")
    } else {
        program.into()
    };
    Command::new(program)
        .args(args)
        .env("PATH", path())
        .env("HEARTH_CONTROL_PLANE", lab.control_plane.url())
        .output()
        .expect("the program")
}

/// gRPC by what the server says of itself.
fn curl(lab: &Lab, args: &[&str]) -> Output {
    let fixed = ["curl", "--protocol", "grpc", "--http2-prior-knowledge"];
    run("buf", lab, &[&fixed[..], args].concat())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[tokio::test]
async fn the_command_line_prepares_lists_shows_and_removes() {
    let lab = Lab::new(1).await;
    let repo = app::repo(&lab, "app");
    let up = run(
        "hearth",
        &lab,
        &["up", &repo.url, "--until", "settled", "--output", "json"],
    );
    assert!(up.status.success(), "{}", text(&up.stderr));
    let lines: Vec<serde_json::Value> = text(&up.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).expect("every line is JSON"))
        .collect();
    let workspace = lines.last().unwrap();
    let id = workspace["id"].as_str().unwrap();
    assert_eq!(workspace["state"], "WORKSPACE_STATE_READY");
    assert_eq!(workspace["cache"]["result"], "CACHE_RESULT_MISS");
    assert_eq!(workspace["push"]["outcome"], "PUSH_OUTCOME_PUSHED");
    assert_eq!(workspace["remoteUser"], "dev");
    assert_eq!(lines[0]["sequence"], "1");

    for (args, says) in [
        (vec!["ls"], id),
        (vec!["nodes"], "node-1"),
        (vec!["get", id], "/workspaces/app"),
        (vec!["logs", id], "COPY app/"),
    ] {
        let output = run("hearth", &lab, &args);
        assert!(
            output.status.success(),
            "{args:?}: {}",
            text(&output.stderr)
        );
        assert!(
            text(&output.stdout).contains(says),
            "{args:?}: {}",
            text(&output.stdout)
        );
    }
    assert!(run("hearth", &lab, &["rm", id]).status.success());
    assert!(!run("hearth", &lab, &["get", id]).status.success());
    lab.assert_nothing_left(1).await;
}

#[tokio::test]
async fn a_foreign_client_lists_services_and_prepares_by_reflection_alone() {
    let lab = Lab::new(1).await;
    let repo = lab.git.repo("plain", &[("README", "x")]);
    let url = lab.control_plane.url();
    let services = curl(&lab, &["--list-services", &url]);
    let listed = text(&services.stdout);
    for service in [
        "hearth.v1.WorkspaceService",
        "hearth.v1.NodeService",
        "grpc.health.v1.Health",
    ] {
        assert!(
            listed.contains(service),
            "{listed} {}",
            text(&services.stderr)
        );
    }
    let data = format!(
        r#"{{"spec": {{"repository": "{}"}}, "until": "WATCH_UNTIL_SETTLED"}}"#,
        repo.url
    );
    let method = format!("{url}/hearth.v1.WorkspaceService/PrepareWorkspace");
    let prepared = curl(&lab, &["--data", &data, &method]);
    let printed = text(&prepared.stdout);
    assert!(prepared.status.success(), "{}", text(&prepared.stderr));
    assert!(
        printed.contains("WORKSPACE_STATE_READY") && printed.contains("settled"),
        "{printed}"
    );

    let bad = curl(&lab, &["--data", r#"{"spec": {}}"#, &method]);
    assert!(!bad.status.success());
    assert!(
        text(&bad.stderr).contains("spec.repository"),
        "{}",
        text(&bad.stderr)
    );
}
