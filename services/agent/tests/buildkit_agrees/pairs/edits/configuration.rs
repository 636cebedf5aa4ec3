//! Settings of a configuration, those that shape the image and others.

use serde_json::{Map, Value, json};

use super::Edit;
use crate::{
    named::Cause,
    tree::{Notation, Tree},
};

pub fn of(tree: &Tree) -> Vec<Edit> {
    let mut edits = Vec::new();
    let mut edit = |name: &str, property: &str, change: &dyn Fn(&mut Tree)| {
        let mut tree = tree.clone();
        change(&mut tree);
        let cause = match property.strip_prefix("build.args.") {
            Some(arg) => Cause::Arg(arg.to_owned()),
            None => Cause::Property(property.to_owned()),
        };
        edits.push(Edit {
            name: format!("configuration: {name}"),
            cause,
            tree,
        });
    };
    for (name, value) in [
        ("name", json!("another name")),
        ("postCreateCommand", json!("make setup")),
        ("postStartCommand", json!({"a": "true", "b": ["true"]})),
        ("customizations", json!({"vscode": {"settings": {"a": 1}}})),
        ("forwardPorts", json!([8080])),
        ("containerEnv", json!({"TOKEN": "x"})),
        ("remoteEnv", json!({"PATH": "${containerEnv:PATH}:/x"})),
        ("runArgs", json!(["--init"])),
        ("mounts", json!(["source=v,target=/v,type=volume"])),
        ("remoteUser", json!("root")),
        ("shutdownAction", json!("none")),
        ("workspaceFolder", json!("/work")),
        ("hostRequirements", json!({"cpus": 2})),
    ] {
        edit(name, name, &|tree| tree.config[name] = value.clone());
    }
    edit("comments", "", &|tree| tree.notation = Notation::Commented);
    edit("white space", "", &|tree| tree.notation = Notation::Compact);
    edit("another order", "", &|tree| {
        tree.config = reversed(&tree.config)
    });
    let build = tree.config["build"].as_object();
    for (name, value) in build
        .and_then(|build| build.get("args"))
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
    {
        let property = format!("build.args.{name}");
        edit(&format!("another {name}"), &property, &|tree| {
            let other = match value.as_str() {
                Some("other") => "base",
                Some("base") => "other",
                _ => "changed",
            };
            tree.config["build"]["args"][name] = json!(other);
        });
        edit(&format!("no {name}"), &property, &|tree| {
            let args = tree.config["build"]["args"].as_object_mut().unwrap();
            args.remove(name);
        });
        edit(&format!("{name} as an option"), &property, &|tree| {
            let args = tree.config["build"]["args"].as_object_mut().unwrap();
            let value = args.remove(name).unwrap();
            let option = format!("{name}={}", value.as_str().unwrap());
            let mut options = match &tree.config["build"]["options"] {
                Value::Array(options) => options.clone(),
                _ => Vec::new(),
            };
            options.extend([json!("--build-arg"), json!(option)]);
            tree.config["build"]["options"] = json!(options);
        });
    }
    if build.is_none() {
        return edits;
    }
    edit("an argument of nobody", "build.args.UNUSED", &|tree| {
        tree.config["build"]["args"]["UNUSED"] = json!("1")
    });
    let text = tree.dockerfile();
    for declared in text.lines().filter_map(|line| line.strip_prefix("ARG ")) {
        let Some((name, default)) = declared.split_once('=') else {
            continue;
        };
        edit(
            &format!("{name} as it is"),
            &format!("build.args.{name}"),
            &|tree| {
                tree.config["build"]["args"][name] = json!(default);
            },
        );
    }
    let stages: Vec<&str> = text
        .lines()
        .filter(|line| line.starts_with("FROM "))
        .filter_map(|line| line.split(" AS ").nth(1))
        .collect();
    for stage in stages {
        edit(&format!("the target {stage}"), "build.target", &|tree| {
            tree.config["build"]["target"] = json!(stage);
        });
    }
    edit("no target", "build.target", &|tree| {
        tree.config["build"]
            .as_object_mut()
            .unwrap()
            .remove("target");
    });
    edit("the old spelling", "build", &|tree| {
        let build = tree.config["build"].as_object().unwrap().clone();
        if build.len() <= 2 {
            let config = tree.config.as_object_mut().unwrap();
            config.remove("build");
            config.insert("dockerFile".to_owned(), build["dockerfile"].clone());
            if let Some(context) = build.get("context") {
                config.insert("context".to_owned(), context.clone());
            }
        }
    });
    for (name, options) in [
        ("neutral", json!(["--pull", "--rm"])),
        ("a tag", json!(["--tag", "app:dev"])),
        ("a label", json!(["--label", "a=b"])),
        ("a label as it is", json!(["--label=team=c"])),
        ("no host", json!(["--add-host", "db:127.0.0.1"])),
        ("quiet provenance", json!(["--provenance=false"])),
        ("two labels", json!(["--label", "team=c", "--label", "x=y"])),
        ("progress", json!(["--progress=plain"])),
    ] {
        edit(&format!("options: {name}"), "build.options", &|tree| {
            tree.config["build"]["options"] = options.clone()
        });
    }
    let context = tree.config["build"]["context"]
        .as_str()
        .unwrap_or(".")
        .to_owned();
    for other in [
        format!("{context}/"),
        format!("./{context}"),
        format!("{context}/."),
    ] {
        edit(
            &format!("the context as {other}"),
            "build.context",
            &|tree| tree.config["build"]["context"] = json!(other),
        );
    }
    edit("the folder as context", "build.context", &|tree| {
        tree.config["build"]["context"] = json!(".")
    });
    edit(
        "another spelling of the Dockerfile",
        "build.dockerfile",
        &|tree| {
            let name = format!("./{}", tree.config["build"]["dockerfile"].as_str().unwrap());
            tree.config["build"]["dockerfile"] = json!(name);
        },
    );
    edits
}

fn reversed(value: &Value) -> Value {
    match value {
        Value::Object(properties) => {
            let all: Map<String, Value> = properties
                .iter()
                .rev()
                .map(|(name, value)| (name.clone(), reversed(value)))
                .collect();
            Value::Object(all)
        }
        other => other.clone(),
    }
}
