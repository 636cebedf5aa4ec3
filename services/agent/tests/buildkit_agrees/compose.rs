//! Builds of Docker Compose projects: what Compose's forms add to the inputs of a build.

use std::path::Path;

use hearth_agent::{
    devcontainer::{
        Base, Build as ServiceOptions, BuildGrant, BuildOption, DevcontainerConfig, Place, Recipe,
        ServiceBuild, Source,
    },
    key::{KeyError, KeyReading, KeySource, read_key},
    policy::{HostAccess, Policy},
};
use hearth_domain::Platform;
use serde_json::{Map, Value};

use crate::{
    engine::{Build, Engine},
    judge::{Resolver, Twice, Verdict, is_fetched, verdict},
    write,
};

struct Form {
    name: &'static str,
    /// Of the service `app`.
    build: &'static str,
    files: &'static [(&'static str, &'static str)],
    /// A file, and its text afterwards. Of `compose.yml` it is the build.
    change: (&'static str, &'static str),
    /// The image may be built although BuildKit finds everything in its cache.
    careful: bool,
}

const DOCKERFILE: &str = "FROM hearth-test/base:1 AS one\nARG WORD=0\nRUN echo $WORD >/word\nFROM hearth-test/base:1 AS two\nCOPY a /a\n";
const ON_BASE: &str = "FROM below\nRUN cat /below >/above\n";
const BASE: &str = "FROM hearth-test/base:1\nCOPY b /below\n";

#[rustfmt::skip]
fn forms() -> Vec<Form> {
    let form = |name, build, files, change| Form { name, build, files, change, careful: false };
    let dockerfile: &[_] = &[("Dockerfile", DOCKERFILE), ("a", "1"), ("b", "1"), (".env", "WORD=1")];
    let careful = |form: Form| Form { careful: true, ..form };
    vec![
        form("an argument in a list", "{context: ., target: one, args: ['WORD=1']}", dockerfile,
            ("compose.yml", "{context: ., target: one, args: ['WORD=2']}")),
        form("a list that becomes an object", "{context: ., target: one, args: ['WORD=1']}", dockerfile,
            ("compose.yml", "{context: ., target: one, args: {WORD: 1}}")),
        form("an argument without a value has that of .env", "{context: ., target: one, args: [WORD]}", dockerfile,
            (".env", "WORD=2")),
        form("an argument of an object without a value", "{context: ., target: one, args: {WORD: }}", dockerfile,
            (".env", "WORD=2")),
        form("an argument that is nowhere is none", "{context: ., target: one, args: [NOWHERE]}", dockerfile,
            ("compose.yml", "{context: ., target: one}")),
        form("an argument that the stage does not have", "{context: ., target: two, args: {WORD: 1}}", dockerfile,
            ("compose.yml", "{context: ., target: two, args: {WORD: 2}}")),
        form("another target of the same files", "{context: ., target: one}", dockerfile,
            ("compose.yml", "{context: ., target: two}")),
        form("a file of the other target", "{context: ., target: one}", dockerfile, ("a", "2")),
        form("the short form", ".", dockerfile, ("compose.yml", "{context: ./}")),
        form("a variable in the target", "{context: ., target: '${STAGE:-one}'}", dockerfile, (".env", "STAGE=two")),
        form("an inline Dockerfile", "{context: ., dockerfile_inline: \"FROM hearth-test/base:1\\nRUN echo 1 >/x\\n\"}", dockerfile,
            ("compose.yml", "{context: ., dockerfile_inline: \"FROM hearth-test/base:1\\nRUN echo 2 >/x\\n\"}")),
        form("a dollar in an inline Dockerfile", "{context: ., dockerfile_inline: \"FROM hearth-test/base:1\\nENV W=1\\nRUN echo $$W >/x\\n\"}", dockerfile,
            ("compose.yml", "{context: ., dockerfile_inline: \"FROM hearth-test/base:1\\nENV W=1\\nRUN echo $W >/x\\n\"}")),
        form("a file that an inline Dockerfile copies", "{context: ., dockerfile_inline: \"FROM hearth-test/base:1\\nCOPY a /a\\n\"}", dockerfile,
            ("a", "2")),
        form("the ignore file of a Dockerfile is not that of an inline one", "{context: ., dockerfile_inline: \"FROM hearth-test/base:1\\nCOPY . /all/\\n\"}",
            &[("Dockerfile.dockerignore", "a"), ("a", "1")], ("a", "2")),
        form("an inline Dockerfile and an ignore file", "{context: sub, dockerfile_inline: \"FROM hearth-test/base:1\\nCOPY . /all/\\n\"}",
            &[("sub/.dockerignore", "a"), ("sub/a", "1"), ("sub/b", "1")], ("sub/a", "2")),
        form("a label", "{context: ., labels: {a: b}}", dockerfile, ("compose.yml", "{context: ., labels: [a=c]}")),
        form("a file of an additional context", "{context: sub, additional_contexts: {more: ./more}}",
            &[("sub/Dockerfile", "FROM hearth-test/base:1\nCOPY --from=more c /c\n"), ("more/c", "1")], ("more/c", "2")),
        careful(form("a file of an additional context that is not copied", "{context: sub, additional_contexts: {more: ./more}}",
            &[("sub/Dockerfile", "FROM hearth-test/base:1\nCOPY --from=more c /c\n"), ("more/c", "1"), ("more/d", "1")], ("more/d", "2"))),
        form("an additional context in the place of a stage", "{context: sub, additional_contexts: [more=./more]}",
            &[("sub/Dockerfile", "FROM hearth-test/base:1 AS more\nFROM hearth-test/base:1\nCOPY --from=more c /c\n"), ("more/c", "1")], ("more/c", "2")),
        form("an image as a context", "{context: sub, additional_contexts: {below: 'docker-image://hearth-test/base:1'}}",
            &[("sub/Dockerfile", "FROM below\nRUN echo $BASE_DIR $OTHER >/x\n")],
            ("compose.yml", "{context: sub, additional_contexts: {below: 'docker-image://hearth-test/other:1'}}")),
        form("the image of another service", "{context: sub, additional_contexts: {below: 'service:base'}}",
            &[("sub/Dockerfile", ON_BASE), ("base/Dockerfile", BASE), ("base/b", "1")], ("base/b", "2")),
        form("a file that the other service does not copy", "{context: sub, additional_contexts: {below: 'service:base'}}",
            &[("sub/Dockerfile", ON_BASE), ("base/Dockerfile", BASE), ("base/b", "1"), ("base/c", "1")], ("base/c", "2")),
        form("what the other service defers is carried out", "{context: sub, additional_contexts: {below: 'service:base'}}",
            &[("sub/Dockerfile", ON_BASE), ("base/Dockerfile", "FROM hearth-test/base:1\nCOPY b /below\nONBUILD COPY x /x\n"), ("base/b", "1"), ("sub/x", "1")],
            ("sub/x", "2")),
    ]
}

#[test]
fn an_image_of_a_compose_project_is_not_fetched_where_buildkit_would_build_it_again() {
    let engine = Engine::start("compose");
    let mut faults = Vec::new();
    for form in forms() {
        let folder = tempfile::tempdir().unwrap();
        let clone = folder.path().join("app");
        write_build(&clone, form.build);
        for (path, text) in form.files {
            write(&clone, path, text);
        }
        let (before, first) = made(&engine, &clone);
        let again = made(&engine, &clone).1;
        match form.change {
            ("compose.yml", build) => write_build(&clone, build),
            (path, text) => write(&clone, path, text),
        }
        let (after, changed) = made(&engine, &clone);
        let found = verdict(
            &Twice { first, again },
            &changed,
            is_fetched(&before, &after),
        );
        let allowed = match form.careful {
            true => found != Verdict::TooLax,
            // Without a key, for reasons that are told, it is built every time.
            false => found == Verdict::Agree || (found == Verdict::TooCareful && after.is_err()),
        };
        if !allowed {
            faults.push(format!(
                "{}: {found:?}\n{before:?}\n{after:?}\n{}",
                form.name, changed.log
            ));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n\n"));
}

fn write_build(clone: &Path, build: &str) {
    let text = format!("services:\n  app: {{build: {build}}}\n  base: {{build: base}}\n");
    write(clone, "compose.yml", &text);
}

/// The key of the service `app`, and its image.
fn made(engine: &Engine, clone: &Path) -> (Result<KeyReading, KeyError>, Build) {
    let model = engine.compose(clone);
    made_of(engine, clone, &model["services"], "app")
}

fn made_of(
    engine: &Engine,
    clone: &Path,
    services: &Value,
    service: &str,
) -> (Result<KeyReading, KeyError>, Build) {
    let platform: Platform = "linux/amd64".parse().unwrap();
    let of = ServiceBuild {
        properties: services[service].as_object().unwrap(),
        secrets: &Map::new(),
        clone,
        platform: &platform,
    };
    let mut build = ServiceOptions::of_service(of, Vec::new()).unwrap().unwrap();
    for option in &mut build.options {
        if let BuildOption::Service {
            service,
            key,
            image,
            ..
        } = option
        {
            let (read, built) = made_of(engine, clone, services, service);
            *key = read
                .ok()
                .filter(|read| !read.defers)
                .map(|read| read.manifest.key().clone());
            *image = Some(built.name);
        }
    }
    let place = Place {
        clone,
        default_image: "default:1",
    };
    let config =
        DevcontainerConfig::parse(place, Path::new(".devcontainer.json"), r#"{"image": "x"}"#);
    let mut config = config.unwrap().of_service(Recipe {
        base: Base::Dockerfile(build),
        features: None,
        plain: true,
    });
    let policy = Policy {
        host_access: HostAccess::Never,
        open_doors: [].into(),
    };
    config.grant(&BuildGrant {
        platform: &platform,
        allowed: &policy.allow(false, None),
    });
    let source = KeySource {
        clone,
        config: &config,
        platform: &platform,
        cli_version: "0.89.0",
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let read = runtime.block_on(read_key(&source, &Resolver(engine)));
    let Source::Recipe(recipe) = &config.source else {
        panic!("a recipe")
    };
    let Base::Dockerfile(build) = &recipe.base else {
        panic!("a build")
    };
    let words: Vec<String> = build
        .options
        .iter()
        .map(|option| word(clone, option))
        .collect();
    let context = clone.join(&build.context);
    let text = build.inline.clone();
    let text =
        text.unwrap_or_else(|| std::fs::read_to_string(clone.join(&build.dockerfile)).unwrap());
    let built = engine.build(
        &context,
        &text,
        build.target.as_deref(),
        &build.args,
        &words,
    );
    let mut built = built.unwrap_or_else(|log| panic!("{service}: {log}"));
    // A context is looked up each time, by the name of an image that was built anew.
    built.ran.retain(|step| !step.contains("[context "));
    (read, built)
}

fn word(clone: &Path, option: &BuildOption) -> String {
    match option {
        BuildOption::Plain(word) => word.clone(),
        BuildOption::Folder { name, folder } => {
            format!("--build-context={name}={}", clone.join(folder).display())
        }
        BuildOption::Remote { name, from } => format!("--build-context={name}={from}"),
        BuildOption::Service {
            name,
            image: Some(image),
            ..
        } => format!("--build-context={name}=docker-image://{image}"),
        other => panic!("{other:?}"),
    }
}
