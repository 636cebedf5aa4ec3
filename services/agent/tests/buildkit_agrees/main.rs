//! The key is never too lax: no image is fetched by its key where BuildKit would find that something has changed.
//!
//! Every case of the table is built three times by a real engine: as it is, once more, and after one change. When
//! BuildKit runs a step again or makes another image after the change, an image of before must not be fetched: the key is
//! another one, or it says that it cannot see everything (`unpinned`), and such an image is always built. The reverse, a
//! build while BuildKit finds everything in its cache, is counted.

#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking, and its helpers do so, too"
)]

mod cases;
mod cli;
mod compose;
mod engine;
mod judge;
mod named;
mod pairs;
mod tree;
mod web;

use std::{
    collections::BTreeMap,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    time::{Duration, SystemTime},
};

use cases::{Case, Change};
use engine::{Build, Engine};
use hearth_agent::{
    devcontainer::{DevcontainerConfig, Place},
    key::{KeyError, KeyReading, KeySource, read_key},
};
use hearth_domain::as_built;
use judge::{Resolver, Twice, Verdict, is_fetched, verdict};
use named::{Cause, misnamed};
use serde_json::json;
use web::Web;

#[test]
fn an_image_that_buildkit_would_build_again_is_not_fetched() {
    let engine = Engine::start("table");
    let web = Web::start();
    let mut table = cases::table();
    assert!(table.len() >= 40, "{} cases", table.len());
    let only = std::env::var("HEARTH_PAIRS_ONLY").unwrap_or_default();
    table.retain(|case| case.name.contains(&only));
    // One after the other: builds that share a step disturb each other's cache.
    let verdicts: BTreeMap<_, _> = table
        .iter()
        .map(|case| (case.name, judge(&engine, &web, case)))
        .collect();
    assert_eq!(verdicts.len(), table.len(), "two cases of one name");
    let of = |wanted: Verdict| -> Vec<&str> {
        verdicts
            .iter()
            .filter(|(_, verdict)| **verdict == wanted)
            .map(|(name, _)| *name)
            .collect()
    };
    eprintln!(
        "{} cases: {} agree, {} too careful {:?}, {} never cached by BuildKit {:?}",
        table.len(),
        of(Verdict::Agree).len(),
        of(Verdict::TooCareful).len(),
        of(Verdict::TooCareful),
        of(Verdict::NeverCached).len(),
        of(Verdict::NeverCached),
    );
    assert_eq!(
        of(Verdict::TooLax),
        Vec::<&str>::new(),
        "BuildKit builds again, and the image would be fetched"
    );
    assert_eq!(
        of(Verdict::NeverCached),
        Vec::<&str>::new(),
        "cases that test nothing"
    );
    let careful: Vec<_> = table
        .iter()
        .filter(|case| case.careful)
        .map(|case| case.name)
        .collect();
    let mut found = of(Verdict::TooCareful);
    found.retain(|name| !careful.contains(name));
    assert_eq!(
        found,
        Vec::<&str>::new(),
        "more careful than the table says"
    );
}

fn judge(engine: &Engine, web: &Web, case: &Case) -> Verdict {
    let folder = tempfile::tempdir().unwrap();
    let clone = folder.path().join("clone");
    for (path, text) in case.files {
        write(&clone, path, &web.filled_in(text));
    }
    if let Some(prepare) = &case.before {
        apply(web, &clone, prepare);
    }
    let before = reading(engine, case, &clone, &case.args());
    let twice = Twice {
        first: build(engine, case, &clone, &case.args()),
        again: build(engine, case, &clone, &case.args()),
    };
    let elsewhere = folder.path().join("elsewhere");
    judge::copy(&clone, &elsewhere);
    let elsewhere = reading(engine, case, &elsewhere, &case.args());
    assert_eq!(
        before, elsewhere,
        "{}: another key in another folder",
        case.name
    );

    let mut args = case.args();
    if let Change::Arg(name, value) = &case.change {
        args.insert((*name).to_owned(), (*value).to_owned());
    }
    apply(web, &clone, &case.change);
    let after = reading(engine, case, &clone, &args);
    let changed = build(engine, case, &clone, &args);
    let found = verdict(&twice, &changed, is_fetched(&before, &after));
    if let (Ok(before), Ok(after), Some(cause)) = (&before, &after, cause(case)) {
        let other_key = before.manifest.key() != after.manifest.key();
        let told = other_key.then(|| misnamed(&cause, &before.manifest, &after.manifest));
        assert_eq!(told.flatten(), None, "{}", case.name);
    }
    if found != Verdict::Agree {
        eprintln!("{}: {found:?}\n{after:?}\n{}", case.name, changed.log);
    }
    found
}

/// What the change of a case touches; nothing where no input of the repository does.
fn cause(case: &Case) -> Option<Cause> {
    Some(match case.change {
        Change::Write(path, _) if path == case.dockerfile => Cause::Dockerfile(path.to_owned()),
        Change::Write(path, _) if path.ends_with(".dockerignore") => Cause::IgnoreFile,
        Change::Write(path, _) if path.starts_with(".git/") => Cause::Git,
        Change::Write(path, _)
        | Change::Mode(path, _)
        | Change::Remove(path)
        | Change::Folder(path)
        | Change::Link(path, _)
        | Change::Touch(path) => {
            let above = path.match_indices('/').map(|(at, _)| path[..at].to_owned());
            Cause::Files(above.chain([path.to_owned()]).collect())
        }
        Change::Arg(name, _) => Cause::Arg(name.to_owned()),
        Change::Remote(..) => return None,
    })
}

/// Builds as the devcontainer CLI does: from a Dockerfile that it makes, which is elsewhere.
fn build(engine: &Engine, case: &Case, clone: &Path, args: &BTreeMap<String, String>) -> Build {
    let text = std::fs::read_to_string(clone.join(case.dockerfile)).unwrap();
    let built = as_built(&text, case.target).unwrap();
    let mut args = args.clone();
    args.insert(built.arg.0.to_owned(), built.arg.1);
    engine
        .build(
            &clone.join(case.context),
            &built.text,
            Some(built.target),
            &args,
            &[],
        )
        .unwrap_or_else(|log| panic!("{}: {log}", case.name))
}

fn reading(
    engine: &Engine,
    case: &Case,
    clone: &Path,
    args: &BTreeMap<String, String>,
) -> Result<KeyReading, KeyError> {
    let mut build = json!({"dockerfile": case.dockerfile, "context": case.context, "args": args});
    if let Some(target) = case.target {
        build["target"] = json!(target);
    }
    let place = Place {
        clone,
        default_image: "default:1",
    };
    let properties = [("build".to_owned(), build)].into_iter().collect();
    let config =
        DevcontainerConfig::new(place, Path::new(".devcontainer.json"), properties).unwrap();
    let source = KeySource {
        clone,
        config: &config,
        platform: &"linux/amd64".parse().unwrap(),
        cli_version: "0.89.0",
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(read_key(&source, &Resolver(engine)))
}

fn write(clone: &Path, path: &str, text: &str) {
    let path = clone.join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

fn apply(web: &Web, clone: &Path, change: &Change) {
    match *change {
        Change::Write(path, text) => write(clone, path, &web.filled_in(text)),
        Change::Mode(path, mode) => {
            std::fs::set_permissions(clone.join(path), std::fs::Permissions::from_mode(mode))
                .unwrap();
        }
        Change::Remove(path) => std::fs::remove_file(clone.join(path)).unwrap(),
        Change::Folder(path) => std::fs::create_dir_all(clone.join(path)).unwrap(),
        Change::Link(path, target) => {
            let path = clone.join(path);
            let _ = std::fs::remove_file(&path);
            std::os::unix::fs::symlink(target, path).unwrap();
        }
        Change::Touch(path) => {
            let file = std::fs::File::options()
                .append(true)
                .open(clone.join(path))
                .unwrap();
            file.set_modified(SystemTime::now() - Duration::from_secs(86_400))
                .unwrap();
        }
        Change::Remote(name, text) => web.publish(name, text),
        Change::Arg(..) => {}
    }
}
