//! What Compose makes of a project.

use std::path::{Path, PathBuf};

use crate::external::process::{Process, ProcessFailure};

/// What Compose says of a project with keys (`build.ssh`) that it cannot write as JSON; versions before 2.27 cannot.
const UNWRITABLE_KEYS: &str = "SSHKey";

/// The project as JSON. Where Compose cannot write its keys, it is without them; the services that had some are returned.
/// `docker` begins a command.
pub(super) async fn project(
    docker: impl Fn() -> Process,
    scratch: &Path,
    files: &[PathBuf],
) -> Result<(String, Vec<String>), ProcessFailure> {
    let config = |files: &[PathBuf], format: &'static str| {
        let mut command = docker().args(["compose"]);
        for file in files {
            command = command.args(["--file"]).args([file]);
        }
        command.args(["--profile", "*", "config", "--format", format])
    };
    match config(files, "json").run(&mut |_| {}).await {
        Err(failure) if failure.message.contains(UNWRITABLE_KEYS) => {}
        result => return result.map(|project| (project, Vec::new())),
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
    let project = config(&files, "json").run(&mut |_| {}).await?;
    Ok((project, services))
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
