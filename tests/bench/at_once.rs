//! Nodes that are asked for the same new repository at once, against one node alone: hooks of others hold up nobody.

use std::time::Duration;

use hearth_tests::{Lab, Repo, app, client::request};
use tokio::task::JoinSet;

/// What the workspaces wait for themselves.
const HOOK_SECONDS: u64 = 30;
/// Between the requests.
const APART: Duration = Duration::from_millis(1500);

pub async fn run() {
    println!(
        "\nNodes at once, with a hook of {HOOK_SECONDS} s that READY waits for (one run each)\n"
    );
    println!("| configuration | nodes | last one ready | of one alone | builds |");
    println!("| --- | --- | --- | --- | --- |");
    for kind in ["image only", "Dockerfile"] {
        let mut alone = 0.0;
        for nodes in [1, 2, 5] {
            let lab = Lab::new(nodes).await;
            let repo = repo(&lab, kind);
            let (last, builds) = prepare(&lab, &repo, nodes).await;
            if nodes == 1 {
                alone = last;
            }
            println!(
                "| {kind} | {nodes} | {last:.1} s | {:.2} | {builds} |",
                last / alone
            );
        }
    }
}

fn repo(lab: &Lab, kind: &str) -> Repo {
    let hook =
        format!(r#""waitFor": "postCreateCommand", "postCreateCommand": "sleep {HOOK_SECONDS}""#);
    if kind == "image only" {
        let config = format!(r#"{{ "image": "{}", {hook} }}"#, lab.base);
        return lab.git.repo("app", &[(".devcontainer.json", &config)]);
    }
    let dockerfile = "FROM BASE\nRUN sleep 4 && head -c 20000000 /dev/urandom > /opt/data\n";
    app::with_dockerfile(lab, "app", dockerfile, &format!(", {hook}"))
}

/// Seconds until the slowest was ready, and how many built the image.
async fn prepare(lab: &Lab, repo: &Repo, nodes: usize) -> (f64, usize) {
    let mut stories = JoinSet::new();
    for number in 1..=nodes {
        let (client, request) = (
            lab.client.clone(),
            request(&format!("node-{number}"), &repo.url),
        );
        stories.spawn(async move { client.run(request).await });
        tokio::time::sleep(APART).await;
    }
    let stories = stories.join_all().await;
    let seconds = stories.iter().map(|story| story.workspace.ready_seconds);
    let built = |story: &&hearth_tests::client::Story| story.cache().steps_total > 0;
    (
        seconds.fold(0.0, f64::max),
        stories.iter().filter(built).count(),
    )
}
