use super::*;

fn follow(text: &str) -> (Progress, Vec<Update>) {
    let mut progress = Progress::default();
    let updates = text.lines().flat_map(|line| progress.line(line)).collect();
    (progress, updates)
}

fn count(updates: &[Update], status: Status) -> usize {
    updates
        .iter()
        .filter(|update| matches!(update, Update::Step(change) if change.status == status))
        .count()
}

#[test]
fn a_recorded_build_with_an_imported_cache_is_counted_as_buildkit_tells_it() {
    let (mut progress, updates) = follow(include_str!("../tests/buildkit/imported.txt"));
    assert_eq!(
        progress.counts(),
        Counts {
            total: 12,
            reused: 4
        }
    );
    assert_eq!(progress.close(), []);
    assert_eq!(
        (
            count(&updates, Status::Started),
            count(&updates, Status::Cached)
        ),
        (12, 4)
    );
    assert_eq!(count(&updates, Status::Done), 8);
    let feature = updates.iter().any(|update| {
        matches!(update, Update::Output(line) if line.starts_with('#') && line.contains("Feature       : Hello"))
    });
    assert!(feature, "the output of a step is passed on");
    let pulled = Update::Output("c9afcd7dfb09: Download complete".into());
    assert!(
        updates.contains(&pulled),
        "text between the documents is passed on"
    );
}

#[test]
fn a_recorded_build_of_which_everything_is_there_ran_nothing() {
    let (progress, updates) = follow(include_str!("../tests/buildkit/cached.txt"));
    let counts = progress.counts();
    assert_eq!(counts.total, counts.reused);
    assert!(counts.total > 5);
    assert_eq!(count(&updates, Status::Done), 0);
}

#[test]
fn base_images_and_housekeeping_are_no_steps() {
    for name in [
        "[internal] load build definition from Dockerfile",
        "[stage 1/7] FROM localhost:5000/base:1",
        "[context x] load from client",
        "importing cache manifest from x",
    ] {
        assert!(!is_step(name), "{name}");
    }
    assert!(is_step("[2/5] RUN true"));
    assert!(is_step("[linux/amd64 stage-0 2/5] COPY . /x"));
}

#[test]
fn a_failed_step_is_told_with_its_time_and_what_it_took_along_is_closed() {
    let (mut progress, updates) = follow(concat!(
        r#"{"vertexes":[{"digest":"a","name":"[1/2] RUN a","started":"2026-01-01T00:00:00Z"},"#,
        r#"{"digest":"b","name":"[2/2] RUN b","started":"2026-01-01T00:00:00Z"}]}"#,
        "\n",
        r#"{"logs":[{"vertex":"a","data":"bm8gbmV3bGluZQ=="}]}"#,
        "\n",
        r#"{"vertexes":[{"digest":"a","name":"[1/2] RUN a","started":"2026-01-01T00:00:00Z","#,
        r#""completed":"2026-01-01T00:00:01.5Z","error":"exit code: 1"}]}"#,
    ));
    let Some(Update::Step(failed)) = updates.last() else {
        panic!("{updates:?}")
    };
    assert_eq!((failed.status, failed.seconds), (Status::Failed, 1.5));
    assert_eq!(progress.failed(), Some("[1/2] RUN a: exit code: 1"));
    assert!(updates.contains(&Update::Output("#1 no newline".into())));
    assert!(
        matches!(progress.close().as_slice(), [Update::Step(step)] if step.status == Status::Canceled)
    );
    assert_eq!(
        progress.counts(),
        Counts {
            total: 1,
            reused: 0
        }
    );
}

#[test]
fn what_only_looks_like_a_document_is_text() {
    let (_, updates) = follow("{broken}\ntext\n");
    assert_eq!(
        updates,
        [
            Update::Output("{broken}".into()),
            Update::Output("text".into())
        ]
    );
}

#[test]
fn a_command_that_fails_is_told_by_its_last_line_and_without_names_of_the_cli() {
    let (mut progress, name) = (
        Progress::default(),
        "[dev_container_auto_added_stage_label 2/2] RUN cat /nope",
    );
    let document = serde_json::json!({
        "vertexes": [{"digest": "a", "name": name, "started": "2026-01-01T00:00:00Z"}],
    });
    let begun = progress.line(&document.to_string());
    assert!(
        matches!(begun.as_slice(), [Update::Step(step)] if step.name == "[2/2] RUN cat /nope"),
        "{begun:?}"
    );
    let data = STANDARD.encode("before\n\ncat: /nope: No such file or directory");
    let error = r#"process "/bin/sh -c cat /nope" did not complete successfully: exit code: 1"#;
    let document = serde_json::json!({
        "logs": [{"vertex": "a", "data": data}],
        "vertexes": [{"digest": "a", "name": name, "started": "2026-01-01T00:00:00Z",
            "completed": "2026-01-01T00:00:01Z", "error": error}],
    });
    progress.line(&document.to_string());
    assert_eq!(
        progress.failed(),
        Some("[2/2] RUN cat /nope: exit code: 1: cat: /nope: No such file or directory")
    );
}

#[test]
fn the_digest_of_an_exported_cache_is_told_and_that_one_could_not_be_read() {
    let digest = Digest::of("a cache");
    for what in ["writing cache image manifest", "writing cache manifest"] {
        let mut progress = Progress::default();
        progress.line(&format!(
            r#"{{"statuses":[{{"id":"{what} {digest}","vertex":"v"}}]}}"#
        ));
        progress.line(r#"{"statuses":[{"id":"writing config sha256:00","vertex":"v"}]}"#);
        assert_eq!(progress.exported_cache(), Some(&digest));
        assert!(!progress.lost_cache());
    }
    let import = |error: &str| {
        let mut progress = Progress::default();
        progress.line(&format!(
            r#"{{"vertexes":[{{"digest":"a","name":"importing cache manifest from r/a","error":"{error}"}}]}}"#
        ));
        progress.lost_cache()
    };
    assert_eq!((import(""), import("not found")), (false, true));
}
