use proptest::prelude::*;

use super::*;

pub(super) fn args(given: &[(&str, &str)]) -> std::collections::BTreeMap<String, String> {
    given
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

pub(super) fn planned(text: &str) -> BuildPlan {
    planned_with(text, None, &[])
}

/// Plans with base images of which everything is known and nothing matters.
fn planned_with(text: &str, target: Option<&str>, given: &[(&str, &str)]) -> BuildPlan {
    let args = args(given);
    let options = BuildOptions {
        target,
        args: &args,
        platform: "linux/amd64",
    };
    let mut facts = std::collections::BTreeMap::new();
    loop {
        let plan = plan(text, &options, &facts).unwrap();
        if plan.missing_facts.is_empty() {
            return plan;
        }
        facts.extend(
            plan.missing_facts
                .iter()
                .map(|image| (image.clone(), Some(ImageFacts::default()))),
        );
    }
}

fn sources(plan: &BuildPlan) -> Vec<&str> {
    plan.context
        .iter()
        .map(|source| source.path.as_str())
        .collect()
}

#[test]
fn sources_are_paths_of_the_context() {
    for (line, expected) in [
        ("COPY a /x", vec!["a"]),
        ("copy ./a/ b/../c /x/", vec!["a", "c"]),
        ("COPY . /x", vec!["."]),
        ("COPY / /x", vec!["."]),
        ("COPY [\"a b\", \"c\", \"/x/\"]", vec!["a b", "c"]),
        ("COPY \"a\" 'b' /x/", vec!["a", "b"]),
        ("COPY --chown=a:b --chmod=644 --link a /x", vec!["a"]),
        ("COPY --from=other a /x", vec![]),
        ("COPY a\\ b /x", vec!["a", "b"]),
        ("ADD a.tar /x", vec!["a.tar"]),
        ("ADD https://example.com/f /x", vec![]),
        ("COPY <<EOF /x\nCOPY b /\nEOF", vec![]),
        ("COPY <<EOF a /x/\nEOF", vec!["a"]),
        ("RUN --mount=type=bind,source=a,target=/x true", vec!["a"]),
        ("RUN --mount=target=/x true", vec!["."]),
        (
            "RUN --mount=type=cache,target=/x --mount=type=secret,id=s true",
            vec![],
        ),
        (
            "RUN --mount='type=bind,\"source=a,b\",target=/x' true",
            vec!["a,b"],
        ),
        ("RUN cat <<E1 3<<E2 >/x\nCOPY a /\nE1\nCOPY b /\nE2", vec![]),
        ("RUN cat <<-E >/x\nCOPY a /\n\tE", vec![]),
        ("RUN [\"cat\", \"<<EOF\"]", vec![]),
        ("RUN echo a<<b", vec![]),
        (
            "ARG D=d\nCOPY $D ${D}/e ${F:-f} ${D:+g} /x/",
            vec!["d", "d/e", "f", "g"],
        ),
        (
            "ENV D=d\nENV E $D e\nCOPY \"$E\" '$E' \\$E /x/",
            vec!["$E", "d e"],
        ),
        ("ARG TARGETARCH\nCOPY $TARGETARCH /x", vec!["amd64"]),
    ] {
        let plan = planned(&format!("FROM scratch\n{line}\n"));
        assert_eq!(sources(&plan), expected, "{line}");
        assert!(plan.careful.is_empty(), "{line}");
    }
}

#[test]
fn what_is_not_understood_means_the_whole_context() {
    for line in [
        "ARG D=d\nCOPY ${D%x} /x",
        "ENV D=d\nARG D=e\nCOPY $D /x",
        "COPY --parents **/f /x",
        "COPY ${ /x",
    ] {
        let plan = planned(&format!("FROM scratch\n{line}\n"));
        assert_eq!(sources(&plan), ["."], "{line}");
        assert!(
            plan.careful
                .iter()
                .all(|why| why.starts_with("The whole build context counts: ")),
            "{line}"
        );
        assert_eq!(plan.careful.len(), 1, "{line}");
    }
    let args = args(&[]);
    let options = BuildOptions {
        target: None,
        args: &args,
        platform: "linux/amd64",
    };
    let blind = plan_blindly(
        "FROM debian\nINCLUDE x\nfrom --platform=x c:2 AS d\nFROM D\nFROM $X\nFROM scratch\n",
        &options,
        "why",
    );
    assert_eq!(
        blind.images.iter().map(String::as_str).collect::<Vec<_>>(),
        ["c:2", "debian"]
    );
    assert_eq!(sources(&blind), ["."]);
}

#[test]
fn what_buildkit_refuses_is_refused() {
    for text in [
        "",
        "# nothing\n",
        "RUN true\n",
        "FROM a b c d\n",
        "FROM scratch\nINCLUDE x\n",
        "FROM scratch\nRUN <<EOF\n",
        "# escape=x\nFROM scratch\n",
        "# escape=`\n# escape=`\nFROM scratch\n",
    ] {
        let args = args(&[]);
        let options = BuildOptions {
            target: None,
            args: &args,
            platform: "linux/amd64",
        };
        assert!(plan(text, &options, &Default::default()).is_err(), "{text}");
    }
}

#[test]
fn only_stages_that_the_target_needs_count() {
    let text = "ARG B=base\nARG U=1\nFROM $B:1 AS one\nCOPY a /\nFROM unused:$U AS two\nARG V\nCOPY b /\n\
                FROM one AS three\nCOPY --from=image:3 /x /\nRUN --mount=from=mounted:4,target=/m true\nCOPY c /\n";
    let last = planned_with(text, None, &[("B", "other"), ("V", "1"), ("U", "2")]);
    assert_eq!(sources(&last), ["a", "c"]);
    assert_eq!(
        last.images.iter().map(String::as_str).collect::<Vec<_>>(),
        ["image:3", "mounted:4", "other:1"]
    );
    assert_eq!(last.args, args(&[("B", "other")]));
    let two = planned_with(text, Some("TWO"), &[("V", "1"), ("U", "2")]);
    assert_eq!(sources(&two), ["b"]);
    assert_eq!(
        two.images.iter().map(String::as_str).collect::<Vec<_>>(),
        ["unused:2"]
    );
    assert_eq!(two.args, args(&[("U", "2"), ("V", "1")]));
}

#[test]
fn a_base_image_defers_to_those_who_build_upon_it() {
    let args = args(&[]);
    let options = BuildOptions {
        target: None,
        args: &args,
        platform: "linux/amd64",
    };
    let with = |facts: Option<ImageFacts>| {
        let facts = std::collections::BTreeMap::from([("a:1".to_owned(), facts)]);
        plan("FROM a:1\nCOPY $HERE /x\n", &options, &facts).unwrap()
    };
    let known = with(Some(ImageFacts {
        environment: self::args(&[("HERE", "h")]),
        onbuild: vec!["COPY app /app".to_owned()],
    }));
    assert_eq!(sources(&known), ["app", "h"]);
    assert_eq!(sources(&with(None)), ["."]);
    let missing = plan("FROM a:1\n", &options, &Default::default()).unwrap();
    assert_eq!(missing.missing_facts.len(), 1);
}

#[test]
fn downloads_are_named_and_pinned_where_the_dockerfile_pins_them() {
    let commit = "0123456789012345678901234567890123456789";
    let plan = planned(&format!(
        "FROM scratch\nADD https://x/a /a\nADD --checksum=sha256:00 https://x/b /b\nADD https://x/c.git#{commit} /c\n\
         ADD git@x:c.git /d\n"
    ));
    let pins: Vec<_> = plan
        .remotes
        .iter()
        .map(|(url, pin)| (url.as_str(), pin.as_deref()))
        .collect();
    let pinned = format!("https://x/c.git#{commit}");
    assert_eq!(
        pins,
        [
            ("git@x:c.git", None),
            ("https://x/a", None),
            ("https://x/b", Some("sha256:00")),
            (&*pinned, Some(commit))
        ]
    );
}

#[test]
fn the_frontend_is_read_in_every_form() {
    for (text, expected) in [
        (
            "# syntax=docker/dockerfile:1\nFROM scratch\n",
            Some("docker/dockerfile:1"),
        ),
        ("#Syntax = a/b arg\nFROM scratch\n", Some("a/b")),
        ("#!/usr/bin/x\n# syntax=a/b\nFROM scratch\n", Some("a/b")),
        ("# escape=\\\n# syntax=a/b\nFROM scratch\n", Some("a/b")),
        ("# comment\n# syntax=a/b\nFROM scratch\n", None),
        ("FROM scratch\n# syntax=a/b\n", None),
    ] {
        assert_eq!(planned(text).frontend.as_deref(), expected, "{text}");
    }
}

#[test]
fn the_written_instructions_never_change_their_form() {
    let plan = planned_with(
        "# why\nARG V=1\nARG W=2\nfrom --platform=$BUILDPLATFORM a:$V as one\nrun cat <<-\"E\" \\\n # how\n >/x\n\ty\n\tE\n\
         FROM unused:$W\nFROM one\nCOPY --from=one /x /\n",
        None,
        &[],
    );
    assert_eq!(
        plan.instructions,
        [
            r##"["FROM",[],["#0"],[],[]]"##,
            r#"["RUN",[],"cat <<-\"E\"  >/x",[{"name":"E","chomp":true,"expand":false,"content":"\ty\n"}],[]]"#,
            r#"["FROM",[],[null],[],[0]]"#,
            r##"["COPY",["--from=#"],["x","/"],[],[0]]"##,
            "target=1",
        ]
    );
}

#[test]
fn variables_and_stages_that_nest_without_end_overflow_no_stack() {
    let deep = "${A:-".repeat(10_000);
    let plan = planned(&format!("FROM scratch\nCOPY {deep} /x\n"));
    assert!(plan.context.contains(&ContextSource::all()), "{plan:?}");
    planned(&format!("FROM base\nENV A={deep}\nARG B={deep}\n"));

    let chain = |stages: usize| -> String {
        let stage = |at: usize| format!("FROM s{at} AS s{}\n", at + 1);
        (0..stages).map(stage).collect()
    };
    planned(&chain(200));
    let args = args(&[]);
    let options = BuildOptions {
        target: None,
        args: &args,
        platform: "linux/amd64",
    };
    let refused = |text: &str| {
        let error = super::plan(text, &options, &Default::default()).unwrap_err();
        error.to_string()
    };
    assert_eq!(
        refused(&chain(10_000)),
        "line 1: too large: more stages than are followed"
    );

    // Whether such a line has a here-document decides how the next ones are read.
    let error = refused(&format!("FROM scratch\nRUN <<{deep}\n"));
    assert_eq!(error, "line 2: too deep: variables in variables");
}

#[test]
fn only_a_whole_commit_of_a_git_repository_pins_a_url() {
    let commit = "0123456789abcdef0123456789abcdef01234567";
    let upper = commit.to_uppercase();
    for (url, pinned) in [
        (format!("https://x/c.git#{commit}"), true),
        (format!("https://x/c.git#{commit}:folder"), true),
        (format!("ssh://git@x/c#{commit}"), true),
        (format!("git@x:c#{commit}"), true),
        (format!("https://x/file#{commit}"), false),
        (format!("https://x/c.git?a#{commit}"), false),
        // BuildKit reads these as the name of a branch or tag.
        (format!("https://x/c.git#{upper}"), false),
        (format!("https://x/c.git#{}", &commit[1..]), false),
        ("https://x/c.git#main".to_owned(), false),
        ("https://x/c.git".to_owned(), false),
    ] {
        let plan = planned(&format!("FROM scratch\nADD {url} /x\n"));
        assert_eq!(plan.remotes[&url].is_some(), pinned, "{url}");
    }
}

/// Instructions that a stage may have, each of a form that all of them together are valid.
fn instruction() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z]{1,4}".prop_map(|name| format!("COPY {name} /x/")),
        "[a-z]{1,4}".prop_map(|text| format!("RUN echo {text}")),
        "[a-z]{1,4}".prop_map(|text| format!("RUN cat <<EOF >/x\nFROM {text}\nEOF")),
        "[A-Z]{1,2}".prop_map(|name| format!("ARG {name}=v")),
        "[a-z]{1,4}".prop_map(|text| format!("ENV e={text}")),
    ]
}

proptest! {
    #[test]
    fn reading_never_panics(text in "(?s).{0,200}") {
        let args = args(&[]);
        let options = BuildOptions { target: None, args: &args, platform: "linux/amd64" };
        let _ = plan(&text, &options, &Default::default());
    }

    #[test]
    fn reading_what_looks_like_a_dockerfile_never_panics(
        lines in proptest::collection::vec("(FROM|COPY|RUN|ARG|ENV|ADD|ONBUILD COPY|#)? ?[-a$\\{}:=<'\"\\\\ \\[\\],*.#/]{0,12}", 0..12),
    ) {
        let args = args(&[("a", "b")]);
        let options = BuildOptions { target: None, args: &args, platform: "linux/amd64" };
        let _ = plan(&format!("FROM scratch\n{}\n", lines.join("\n")), &options, &Default::default());
    }

    #[test]
    fn comments_blank_lines_and_the_case_of_keywords_change_nothing(
        body in proptest::collection::vec(instruction(), 1..6),
    ) {
        let plain = format!("FROM scratch\n{}\n", body.join("\n"));
        let airy = format!("# x\n\nfrom scratch\n\n  # y\n{}\n", body.join("\n\n# z\n"));
        prop_assert_eq!(planned(&plain), planned(&airy));
    }

    #[test]
    fn a_stage_that_nobody_needs_changes_nothing(
        body in proptest::collection::vec(instruction(), 1..6),
        unused in proptest::collection::vec(instruction(), 0..6),
    ) {
        let body = body.join("\n");
        let alone = format!("FROM scratch AS one\n{body}\nFROM one\nRUN true\n");
        let unused = unused.join("\n");
        let with = format!("FROM scratch AS one\n{body}\nFROM nothing:1 AS two\n{unused}\nFROM one\nRUN true\n");
        prop_assert_eq!(planned(&alone), planned(&with));
    }

    #[test]
    fn every_instruction_that_is_carried_out_counts(
        body in proptest::collection::vec(instruction(), 1..6),
        other in instruction(),
        at in any::<prop::sample::Index>(),
    ) {
        let at = at.index(body.len());
        prop_assume!(body[at] != other);
        let mut changed = body.clone();
        changed[at] = other;
        let text = |body: &[String]| format!("FROM scratch\n{}\n", body.join("\n"));
        prop_assert_ne!(planned(&text(&body)), planned(&text(&changed)));
    }
}
