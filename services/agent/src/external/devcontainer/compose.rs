//! What Compose makes of a project.

use std::path::{Path, PathBuf};

use super::api::ComposeProject;
use crate::external::process::{Process, ProcessFailure};

/// What Compose says of a project with keys (`build.ssh`) that it cannot write as JSON; versions before 2.27 cannot.
const UNWRITABLE_KEYS: &str = "SSHKey";

/// The project. `docker` begins a command.
pub(super) async fn project(
    docker: impl Fn() -> Process,
    scratch: &Path,
    files: &[PathBuf],
    with_active: bool,
) -> Result<ComposeProject, ProcessFailure> {
    let compose = |files: &[PathBuf]| {
        let mut command = docker().args(["compose"]);
        for file in files {
            command = command.args(["--file"]).args([file]);
        }
        command
    };
    let config = |files: &[PathBuf], format: &'static str| {
        compose(files).args(["--profile", "*", "config", "--format", format])
    };
    let (model, active) = tokio::join!(
        async { config(files, "json").run(&mut |_| {}).await },
        async {
            if !with_active {
                return None;
            }
            // Compose runs nothing of a project of which it cannot say that, and says why itself.
            let listed = compose(files).args(["config", "--services"]);
            let listed = listed.run(&mut |_| {}).await.ok()?;
            Some(listed.lines().map(|line| line.trim().to_owned()).collect())
        }
    );
    match model {
        Err(failure) if failure.message.contains(UNWRITABLE_KEYS) => {}
        model => {
            return Ok(ComposeProject {
                model: model?,
                without_keys: Vec::new(),
                active,
            });
        }
    }
    let text = config(files, "yaml").run(&mut |_| {}).await?;
    let services = with_keys(&text);
    let mut reset = String::from("services:\n");
    for service in &services {
        reset.push_str(&format!("  {service}: {{build: {{ssh: !reset []}}}}\n"));
    }
    let file = scratch.join("compose-without-ssh.yml");
    hearth_runtime::write_atomically(&file, reset.as_bytes(), 0o600)
        .map_err(|error| ProcessFailure::new(format!("Compose cannot be prepared: {error}")))?;
    let mut files = files.to_vec();
    files.push(file);
    Ok(ComposeProject {
        model: config(&files, "json").run(&mut |_| {}).await?,
        without_keys: services
            .iter()
            .map(|service| service.trim_matches(['"', '\'']).to_owned())
            .collect(),
        active,
    })
}

/// The services whose builds have keys, as they are written in YAML of Compose's own: two spaces for each level.
fn with_keys(yaml: &str) -> Vec<String> {
    let (mut section, mut service, mut property) = ("", "", "");
    let mut found = Vec::new();
    for line in yaml.lines() {
        let name = line.trim_start();
        match line.len() - name.len() {
            0 => section = name,
            2 => service = name,
            4 => property = name,
            6 if (section, property, name) == ("services:", "build:", "ssh:") => {
                found.push(service.trim_end_matches(':').to_owned());
            }
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_with_keys_are_found_and_texts_are_not_taken_for_them() {
        let yaml = r#"name: f
services:
  "1.0":
    build:
      context: /f
      ssh:
        - 'id: /f/key'
  app:
    build:
      context: /f
    entrypoint:
      - |-
        build:
          ssh:
    x-build:
      ssh:
        - a
secrets:
  db:
    build:
      ssh:
"#;
        assert_eq!(with_keys(yaml), [r#""1.0""#]);
    }
}
