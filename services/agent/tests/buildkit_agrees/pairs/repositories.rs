//! Repositories as people have them, small.

use serde_json::json;

use crate::tree::{Node, Tree};

const HEAD: &str = "0123456789012345678901234567890123456789";

pub fn all() -> Vec<(&'static str, Tree)> {
    let mut all = applications();
    all.extend(systems());
    all.extend(monorepos());
    all.extend(odd());
    all
}

fn applications() -> Vec<(&'static str, Tree)> {
    vec![
        (
            "node",
            Tree::new(
                "FROM hearth-test/base:1\n\
                 ARG NODE_ENV=development\n\
                 ENV NODE_ENV=$NODE_ENV LANG=C.UTF-8\n\
                 WORKDIR /app\n\
                 COPY package.json package-lock.json ./\n\
                 RUN cat package.json > installed && \\\n    cat package-lock.json >> installed\n\
                 COPY src ./src\n\
                 EXPOSE 3000\n\
                 CMD [\"sh\", \"-c\", \"cat src/index.js\"]\n",
                &[
                    ("package.json", "{}\n"),
                    ("package-lock.json", "{\"lockfileVersion\": 3}\n"),
                    ("src/index.js", "require('./lib')\n"),
                    ("src/lib/util.js", "module.exports = 1\n"),
                    ("README.md", "# App\n"),
                    (".dockerignore", "node_modules\n*.log\n.git\n"),
                    (".gitignore", "node_modules\n"),
                ],
            )
            .with_config(json!({
                "name": "node",
                "build": {"dockerfile": "Dockerfile", "context": "..", "args": {"NODE_ENV": "production"}},
                "forwardPorts": [3000],
                "postCreateCommand": "npm ci"
            })),
        ),
        (
            "python",
            Tree::new(
                "# The image of the project\n\
                 ARG VARIANT=base\n\
                 FROM hearth-test/${VARIANT}:1 AS development\n\
                 ENV PYTHONUNBUFFERED=1\n\
                 COPY requirements.txt /tmp/requirements.txt\n\
                 RUN cat /tmp/requirements.txt > /installed\n\
                 LABEL org.opencontainers.image.source=\"https://example.com/app\"\n\
                 HEALTHCHECK --interval=30s CMD test -e /installed\n\
                 USER 1000:1000\n",
                &[
                    ("requirements.txt", "flask\n"),
                    ("requirements-dev.txt", "pytest\n"),
                    ("app/main.py", "print(1)\n"),
                    ("README.md", "# App\n"),
                ],
            )
            .with_config(json!({
                "build": {"dockerfile": "Dockerfile", "context": "..", "args": {"VARIANT": "other"}},
                "remoteUser": "1000",
                "customizations": {"vscode": {"extensions": ["ms-python.python"]}}
            })),
        ),
        (
            "everything",
            Tree::new(
                "FROM hearth-test/base:1\nWORKDIR /work\nCOPY . .\nRUN ls > /list\nSTOPSIGNAL SIGTERM\n",
                &[
                    ("main.sh", "echo 1\n"),
                    ("docs/guide.md", "read\n"),
                    ("docs/api/index.md", "api\n"),
                    ("test/a.sh", "true\n"),
                    ("build/out.log", "x\n"),
                    (
                        ".dockerignore",
                        "# Not needed\n.git\n.devcontainer\ndocs\n!docs/guide.md\n**/*.log\n.dockerignore\n",
                    ),
                    (".git/HEAD", "ref: refs/heads/main\n"),
                    (".git/refs/heads/main", HEAD),
                ],
            ),
        ),
        (
            "history",
            Tree::new(
                "FROM hearth-test/base:1\nCOPY .git /git\nRUN cat /git/HEAD > /head\n",
                &[
                    ("main.sh", "echo 1\n"),
                    (".git/HEAD", "ref: refs/heads/main\n"),
                    (".git/refs/heads/main", HEAD),
                ],
            ),
        ),
        (
            "php",
            Tree::new(
                "FROM hearth-test/base:1\n\
                 SHELL [\"/bin/sh\", \"-ec\"]\n\
                 RUN <<EOF\nmkdir -p /var/www\necho ok > /var/www/index\nEOF\n\
                 COPY <<'INI' /etc/php.ini\nmemory_limit = $1\nINI\n\
                 COPY --chown=33:33 --chmod=755 composer.json entrypoint.sh /var/www/\n\
                 ENTRYPOINT [\"/var/www/entrypoint.sh\"]\n\
                 VOLUME /var/www/data\n",
                &[
                    ("composer.json", "{}\n"),
                    ("entrypoint.sh", "#!/bin/sh\n"),
                    ("web/index.php", "<?php\n"),
                    ("README.md", "# PHP\n"),
                ],
            ),
        ),
    ]
}

fn systems() -> Vec<(&'static str, Tree)> {
    vec![
        (
            "go",
            Tree::new(
                "FROM hearth-test/base:1 AS tools\n\
                 RUN echo linter > /linter\n\
                 FROM hearth-test/base:1 AS build\n\
                 WORKDIR /src\n\
                 COPY go.mod go.sum ./\n\
                 RUN --mount=type=cache,target=/root/.cache cat go.mod > /mod\n\
                 COPY cmd cmd\n\
                 RUN cat cmd/main.go > /bin/app\n\
                 CMD [\"app\"]\n\
                 FROM hearth-test/other:1\n\
                 COPY --from=build /bin/app /usr/bin/app\n\
                 COPY --from=tools --chown=0:0 /linter /usr/bin/\n\
                 ENV GOFLAGS=-mod=mod\n\
                 CMD [\"app\"]\n",
                &[
                    ("go.mod", "module app\n"),
                    ("go.sum", "\n"),
                    ("cmd/main.go", "package main\n"),
                    ("internal/x.go", "package internal\n"),
                    ("Makefile", "all:\n"),
                    (".dockerignore", "**/*_test.go\nbin/\n"),
                ],
            ),
        ),
        (
            "rust",
            Tree::new(
                "FROM hearth-test/base:1 AS chef\n\
                 WORKDIR /app\n\
                 FROM chef AS planner\n\
                 COPY Cargo.toml Cargo.lock ./\n\
                 RUN cat Cargo.lock > recipe\n\
                 FROM chef AS builder\n\
                 ARG PROFILE=debug\n\
                 COPY --from=planner /app/recipe recipe\n\
                 RUN --mount=type=bind,source=src,target=/app/src \\\n    echo \"$PROFILE\" > /profile && cat src/main.rs > /main\n\
                 FROM chef AS dev\n\
                 COPY --from=builder /main /usr/bin/main\n\
                 ENV RUST_BACKTRACE=1\n\
                 FROM dev AS release\n\
                 RUN echo release > /release\n",
                &[
                    ("Cargo.toml", "[package]\n"),
                    ("Cargo.lock", "version = 4\n"),
                    ("src/main.rs", "fn main() {}\n"),
                    ("src/lib.rs", "//! lib\n"),
                    ("tests/it.rs", "\n"),
                    ("README.md", "# Rust\n"),
                ],
            )
            .with_config(json!({
                "name": "rust",
                "build": {"dockerfile": "Dockerfile", "context": "..", "target": "dev", "args": {"PROFILE": "release"}},
                "containerEnv": {"A": "1"}
            })),
        ),
        (
            "c",
            Tree::new(
                "FROM hearth-test/base:1\n\
                 ARG USERNAME=dev\n\
                 ARG UID=1000\n\
                 RUN mkdir -p /home/$USERNAME && \\\n    # the home\n    echo $UID > /home/$USERNAME/id\n\
                 WORKDIR /home/${USERNAME}\n\
                 COPY scripts/*.sh /usr/local/bin/\n\
                 ADD [\"vendor\", \"/vendor/\"]\n\
                 USER ${UID}\n",
                &[
                    ("scripts/install.sh", "true\n"),
                    ("scripts/lint.sh", "true\n"),
                    ("scripts/README", "read\n"),
                    ("vendor/lib.c", "int x;\n"),
                    ("src/main.c", "int main;\n"),
                ],
            )
            .with_config(json!({
                "build": {"dockerfile": "Dockerfile", "context": "..", "args": {"USERNAME": "dev", "UID": "1001"}, "options": ["--label", "team=c"]}
            })),
        ),
        (
            "scratch",
            Tree::new(
                "FROM hearth-test/base:1 AS b\nCOPY data /data\nRUN cat /data/* > /all\nFROM scratch\nCOPY --from=b /all /all\nCOPY data/a.txt /a\n",
                &[("data/a.txt", "a\n"), ("data/b.txt", "b\n"), ("LICENSE", "MIT\n")],
            ),
        ),
        (
            "linked",
            Tree::new(
                "FROM hearth-test/base:1\nCOPY --link etc /etc/app\nCOPY --link --chmod=644 conf.d/* /etc/conf.d/\nRUN ls /etc > /l\n",
                &[("etc/a.conf", "a\n"), ("etc/d/b.conf", "b\n"), ("conf.d/1", "1\n"), ("doc/x", "x\n")],
            )
            .with("etc/current.conf", Node::Link("a.conf".to_owned())),
        ),
    ]
}

fn monorepos() -> Vec<(&'static str, Tree)> {
    vec![
        (
            "monorepo",
            Tree::new(
                "FROM hearth-test/base:1\nWORKDIR /repo\nCOPY package.json .\nCOPY packages/*/package.json ./packages/\nCOPY services/api services/api\nRUN ls > /list\n",
                &[
                    ("package.json", "{}\n"),
                    ("packages/a/package.json", "{\"name\": \"a\"}\n"),
                    ("packages/a/index.js", "1\n"),
                    ("services/api/main.js", "1\n"),
                    ("services/web/main.js", "1\n"),
                    (".dockerignore", "**/node_modules\nservices/*/dist\n"),
                ],
            ),
        ),
        ("below", {
            let mut tree = Tree::new(
                "",
                &[
                    ("services/api/Dockerfile", "FROM hearth-test/base:1\nCOPY . /api\nRUN ls /api > /list\n"),
                    ("services/api/main.js", "1\n"),
                    ("services/api/.dockerignore", "Dockerfile\ndist\n"),
                    ("services/web/main.js", "1\n"),
                    ("README.md", "# mono\n"),
                ],
            )
            .with_config(json!({"build": {"dockerfile": "../services/api/Dockerfile", "context": "../services/api"}}));
            tree.nodes.remove(".devcontainer/Dockerfile".as_bytes());
            tree
        }),
        (
            "beside",
            Tree::new(
                "FROM hearth-test/base:1\nCOPY setup.sh /tmp/setup.sh\nRUN sh /tmp/setup.sh\n",
                &[(".devcontainer/setup.sh", "echo 1 > /done\n"), (".devcontainer/post.sh", "true\n"), ("main.py", "1\n"), ("README.md", "# x\n")],
            )
            .with_config(json!({"build": {"dockerfile": "Dockerfile"}, "name": "beside", "postCreateCommand": "sh .devcontainer/post.sh"})),
        ),
        (
            "no context",
            Tree::new(
                "FROM hearth-test/base:1\nRUN echo tool > /tool\nENV A=1\nENV B=2\nLABEL team=dev version=\"1.0\"\nEXPOSE 80 443/tcp\n",
                &[("main.py", "1\n"), ("README.md", "# x\n")],
            )
            .with_config(json!({"dockerFile": "Dockerfile"})),
        ),
    ]
}

fn odd() -> Vec<(&'static str, Tree)> {
    vec![
        (
            "onbuild base",
            Tree::new(
                "FROM hearth-test/onbuild:1\nRUN ls /app > /list\nCOPY extra /extra\n",
                &[
                    ("app/main.js", "1\n"),
                    ("app/package.json", "{}\n"),
                    ("extra", "1\n"),
                    ("README.md", "# x\n"),
                ],
            ),
        ),
        (
            "onbuild stage",
            Tree::new(
                "FROM hearth-test/base:1 AS base\n\
                 ONBUILD COPY conf /conf\n\
                 ONBUILD RUN cat /conf > /read\n\
                 FROM base AS dev\n\
                 COPY main /main\n\
                 CMD [\"sh\"]\n",
                &[("conf", "1\n"), ("main", "1\n"), ("README.md", "# x\n")],
            ),
        ),
        (
            "windows",
            Tree::new(
                "FROM hearth-test/base:1\r\nRUN echo 1 > /x && \\\r\n    echo 2 > /y\r\nCOPY main.ps1 /\r\nENV A=1\r\n",
                &[
                    ("main.ps1", "Write-Host\r\n"),
                    ("README.md", "# x\r\n"),
                    (".dockerignore", "*.log\r\n.git\r\n"),
                ],
            ),
        ),
        (
            "documents with carriage returns",
            Tree::new(
                "FROM hearth-test/base:1\r\nRUN <<EOF\r\necho 1 > /x\r\nEOF\r\nCOPY main.ps1 /\r\n",
                &[("main.ps1", "Write-Host\r\n"), ("README.md", "# x\r\n")],
            ),
        ),
        (
            "pinned download",
            Tree::new(
                "FROM hearth-test/base:1\nADD --checksum=sha256:{sha} {web}/tool /usr/bin/tool\nCOPY main /main\nRUN --network=none ls > /l\n",
                &[("main", "1\n"), ("README.md", "# x\n")],
            ),
        ),
        (
            "mounts",
            Tree::new(
                "FROM hearth-test/base:1\n\
                 RUN --mount=type=tmpfs,target=/tmp --mount=type=bind,source=conf,target=/conf ls /conf > /l\n\
                 RUN --mount=type=bind,target=/all,ro cat /all/conf/a > /a\n\
                 RUN --mount=type=secret,id=token true\n\
                 MAINTAINER somebody@example.com\n",
                &[
                    ("conf/a", "1\n"),
                    ("conf/b", "1\n"),
                    (".dockerignore", ".devcontainer\nREADME.md\n"),
                    ("README.md", "# x\n"),
                ],
            ),
        ),
    ]
}
