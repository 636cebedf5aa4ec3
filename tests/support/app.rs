//! Sample repositories: one like real ones, with a Dockerfile, a feature with an option, a user who is not root and a
//! hook, and small ones around a Dockerfile.

use crate::{Lab, Repo};

pub const DOCKERFILE: &str = "\
ARG BASE
FROM ${BASE}
RUN echo tools > /opt/tools
RUN head -c 2000000 /dev/urandom > /opt/data
COPY requirements.txt /opt/
RUN cp /opt/requirements.txt /opt/installed
COPY app/ /opt/app/
RUN cat /opt/app/main > /opt/built
";

pub fn config(base: &str) -> String {
    format!(
        r#"{{
  // Comments and trailing commas are allowed here.
  "name": "app",
  "build": {{ "dockerfile": "Dockerfile", "context": "..", "args": {{ "BASE": "{base}" }} }},
  "features": {{ "./hello": {{ "greeting": "moin" }} }},
  "remoteUser": "dev",
  "postCreateCommand": "id -un >> .hook-runs",
}}"#
    )
}

pub fn repo(lab: &Lab, name: &str) -> Repo {
    lab.git.repo(
        name,
        &[
            (".devcontainer/devcontainer.json", &config(&lab.base)),
            (".devcontainer/Dockerfile", DOCKERFILE),
            (
                ".devcontainer/hello/devcontainer-feature.json",
                r#"{ "id": "hello", "version": "1.0.0", "options": { "greeting": { "type": "string", "default": "hi" } } }"#,
            ),
            (
                ".devcontainer/hello/install.sh",
                "#!/bin/sh\nset -e\necho \"$GREETING\" > /opt/greeting\n",
            ),
            ("requirements.txt", "one\n"),
            ("app/main", "first\n"),
        ],
    )
}

/// A repository whose configuration has these properties besides its Dockerfile.
pub fn with_dockerfile(lab: &Lab, name: &str, dockerfile: &str, properties: &str) -> Repo {
    let config = format!(r#"{{ "build": {{ "dockerfile": "Dockerfile" }} {properties} }}"#);
    let dockerfile = dockerfile.replace("BASE", &lab.base);
    lab.git.repo(
        name,
        &[
            (".devcontainer/devcontainer.json", &config),
            (".devcontainer/Dockerfile", &dockerfile),
        ],
    )
}
