//! The differences that are meant to be. Each is argued for in docs/devcontainer.md, in the row of its subject.

/// Something that two runs differ in; what is not there is empty.
pub struct Difference<'a> {
    pub name: &'a str,
    pub cli: &'a str,
    pub hearth: &'a str,
}

/// What a difference may be.
pub struct Rule {
    pub name: &'static str,
    /// The first cell of its row in docs/devcontainer.md.
    pub subject: &'static str,
    /// Whether every fixture shows it whose container is compared.
    pub everywhere: bool,
    pub explains: fn(&Difference<'_>) -> bool,
}

pub const RULES: &[Rule] = &[
    Rule {
        name: "clone",
        subject: "the clone",
        everywhere: true,
        explains: |of| match of.name {
            // The folder that it is mounted at; and beside it, what a workspace has that is to be repaired.
            "file /workspaces/hearth-recovery.txt" | "file /workspaces/hearth-build.log" => true,
            name if name.starts_with("file /workspaces/") => of.hearth.is_empty(),
            name if name.starts_with("mount ") => {
                let rights = |text: &str| text.rsplit(' ').next().map(str::to_owned);
                let is_same = rights(of.cli) == rights(of.hearth);
                let is_one = of.cli.is_empty() || of.hearth.is_empty();
                let is_clone = ["bind <clone>", "bind <folder of the clone>"]
                    .iter()
                    .any(|clone| of.cli.starts_with(clone))
                    || of.hearth.starts_with("volume <workspace> ");
                is_clone && (is_same || is_one)
            }
            "owners in the clone" => of.hearth == "the remote user",
            _ => false,
        },
    },
    Rule {
        name: "labels",
        subject: "labels of the container",
        everywhere: true,
        explains: |of| match of.name {
            "Config.Labels.devcontainer.local_folder"
            | "Config.Labels.devcontainer.config_file" => of.hearth.is_empty(),
            "Config.Labels.hearth.workspace" => of.cli.is_empty(),
            _ => false,
        },
    },
    Rule {
        name: "marks",
        subject: "marks of hooks in the home folder",
        everywhere: false,
        explains: |of| {
            let is_mark = of.name.ends_with("/.devcontainer") || of.name.ends_with("Marker");
            is_mark && of.name.starts_with("file /") && of.hearth.is_empty()
        },
    },
    Rule {
        name: "lockfile",
        subject: "lockfile",
        everywhere: false,
        explains: |of| match of.name {
            "git status" => {
                let is_other = |line: &&str| !line.ends_with("devcontainer-lock.json");
                let others: Vec<_> = of.cli.lines().filter(is_other).collect();
                others.join("\n") == of.hearth
            }
            name => name.ends_with("devcontainer-lock.json") && of.hearth.is_empty(),
        },
    },
    Rule {
        name: "empty-text",
        subject: "empty text in `image`, `dockerFile`, `dockerComposeFile`, `workspaceFolder`, `workspaceMount`",
        everywhere: false,
        explains: |of| {
            let is_empty = of.cli == r#""""# && of.hearth.is_empty();
            of.name.starts_with("metadata ") && is_empty
        },
    },
    Rule {
        name: "values-in-metadata",
        subject: "variables in the label `devcontainer.metadata`",
        everywhere: false,
        explains: |of| of.name.starts_with("metadata ") && of.cli.contains("${"),
    },
    Rule {
        name: "names-of-volumes",
        subject: "names of containers, volumes and networks",
        everywhere: false,
        explains: |of| {
            let own = |text: &str| text.starts_with("volume <workspace>.");
            of.name.starts_with("mount ") && of.cli.starts_with("volume ") && own(of.hearth)
        },
    },
    Rule {
        name: "attach",
        subject: "`postAttachCommand`",
        everywhere: false,
        explains: |of| match of.name {
            "hooks in their order" => of.cli == format!("{} postAttach", of.hearth),
            name => name.contains("postAttach") && of.hearth.is_empty(),
        },
    },
    Rule {
        name: "uid",
        subject: "UID of the remote user",
        everywhere: false,
        explains: |of| of.cli.contains("2000") && of.hearth.contains("1000"),
    },
    Rule {
        name: "local-environment",
        subject: "`${localEnv:X}`",
        everywhere: false,
        explains: |of| of.cli.contains("the developer's"),
    },
];
