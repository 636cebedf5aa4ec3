//! What is counted of the Dockerfile that the devcontainer CLI makes of a repository's.

use std::collections::BTreeMap;

use super::{tests::args, *};

/// The plan of what is built, with base images of which everything is known and nothing matters.
fn planned(text: &str, target: Option<&str>, given: &[(&str, &str)]) -> BuildPlan {
    let built = as_built(text, target).unwrap();
    let (name, stage) = built.arg.clone();
    let mut args = args(given);
    args.insert(name.to_owned(), stage);
    let options = BuildOptions {
        target: Some(built.target),
        args: &args,
        platform: "linux/amd64",
    };
    let mut facts = BTreeMap::new();
    loop {
        let mut plan = plan(&built.text, &options, &facts).unwrap();
        plan.args.remove(name);
        if plan.missing_facts.is_empty() {
            return plan;
        }
        for image in plan.missing_facts {
            facts.insert(image, Some(ImageFacts::default()));
        }
    }
}

fn paths(text: &str, target: Option<&str>) -> Vec<String> {
    let plan = planned(text, target, &[]);
    plan.context.into_iter().map(|source| source.path).collect()
}

#[test]
fn triggers_of_the_last_stage_fire_in_the_stage_of_the_cli() {
    for (trigger, expected) in [
        ("ONBUILD COPY b /b", vec!["b"]),
        ("ONBUILD RUN --mount=source=c,target=/c true", vec!["c"]),
        ("ARG D=d\nONBUILD ARG D=e\nONBUILD COPY $D /x", vec!["e"]),
        ("ONBUILD COPY --from=x /b /b", vec![]),
    ] {
        let text = format!("FROM a AS x\nFROM a\nRUN true\n{trigger}\n");
        assert_eq!(paths(&text, None), expected, "{trigger}");
        let text = format!("FROM a AS x\nFROM a AS t\n{trigger}\nFROM scratch\n");
        assert_eq!(paths(&text, Some("t")), expected, "{trigger}");
    }
    let plan = planned("FROM a\nONBUILD ADD https://x/y /y\n", None, &[]);
    assert_eq!(plan.remotes.len(), 1);
    let plan = planned("FROM a\nONBUILD COPY --from=other:1 /y /y\n", None, &[]);
    assert!(plan.images.contains("other:1"));
}

#[test]
fn the_last_from_is_the_one_that_the_cli_finds() {
    for (text, expected) in [
        (
            "FROM a AS one\nCOPY one /\nFROM a AS two\nCOPY two /\n",
            "two",
        ),
        ("FROM a AS one\nCOPY one /\nFROM a\nCOPY two /\n", "two"),
        // In a here-document, and in a line that is continued.
        (
            "FROM a AS one\nCOPY one /\nFROM a\nCOPY two /\nRUN cat <<E\nFROM x AS one\nE\n",
            "one",
        ),
        (
            "FROM a AS one\nCOPY one /\nFROM a\nCOPY two /\nRUN echo \\\n from x as one\n",
            "one",
        ),
        (
            "FROM a AS one\r\nCOPY one /\r\nFROM --platform=$X a \r\nCOPY two /\r\n",
            "two",
        ),
    ] {
        assert_eq!(paths(text, None), [expected], "{text}");
    }
    // The name of a stage that is none is that of an image.
    let plan = planned(
        "FROM a\nCOPY one /\nRUN cat <<E\nFROM x AS y:1\nE\n",
        None,
        &[],
    );
    assert_eq!(plan.images.into_iter().collect::<Vec<_>>(), ["y:1"]);
    for broken in [
        "RUN true\n",
        "FROM\n",
        "FROMAGE\n",
        "FROM a\rRUN b\n",
        "FROM a\u{2028}FROM b\n",
    ] {
        assert!(as_built(broken, None).is_err(), "{broken:?}");
    }
}

#[test]
fn directives_count_where_the_cli_leaves_them_in_their_place() {
    // The last FROM is not of the same line any more.
    let escaped = "# escape=`\nFROM a\nCOPY one `\n two /x/\n";
    let built = as_built(escaped, None).unwrap();
    assert!(
        plan(
            &built.text,
            &BuildOptions {
                target: Some(built.target),
                args: &args(&[]),
                platform: "linux/amd64"
            },
            &BTreeMap::new()
        )
        .is_err()
    );
    let frontend = |text: &str| planned(text, None, &[]).frontend;
    for (text, expected) in [
        ("# syntax=a/b\nFROM x\n", Some("a/b")),
        ("#  syntax = a/b  \nFROM x\n", Some("a/b")),
        ("# check=skip=all\n# syntax=a/b\nFROM x\n", Some("a/b")),
        // BuildKit would take this one, and the CLI moves it behind an instruction.
        ("# Syntax=a/b\nFROM x\n", None),
        ("FROM x\n# syntax=a/b\n", None),
    ] {
        assert_eq!(frontend(text).as_deref(), expected, "{text}");
    }
}

#[test]
fn the_target_s_name_is_that_of_the_cli_s_stage() {
    let text = "FROM a\nARG TARGETSTAGE\nCOPY $TARGETSTAGE /x\n";
    assert_eq!(paths(text, None), ["dev_containers_target_stage"]);
}

#[test]
fn lines_that_only_the_cli_reads_are_told() {
    let read = |text: &str| as_built(text, None).unwrap().read_by_cli;
    for plain in [
        "FROM a\nUSER dev\n",
        "FROM a\nENV A=1 \\\n B=2\nUSER dev\n",
        "# USER x\nFROM a\nRUN useradd \\\n  dev\n",
    ] {
        assert_eq!(read(plain), Vec::<String>::new(), "{plain}");
    }
    for (text, line) in [
        ("FROM a\nRUN true \\\nUSER root\n", "USER root"),
        ("FROM a\nRUN cat <<E\nUSER root\nE\n", "USER root"),
        ("FROM a\nUSER \\\n dev\n", "USER \\"),
        ("ARG U=dev\nFROM a\nUSER $U\n", "ARG U=dev"),
    ] {
        assert!(
            read(text).iter().any(|read| read == line),
            "{text}: {:?}",
            read(text)
        );
    }
}

/// One image, however it is written.
#[test]
fn what_is_built_in_the_same_way_is_written_in_the_same_way() {
    let one =
        "FROM a AS one\nARG V=1\nCOPY a b /x/\nENV A=1 B=$V\nRUN echo\nLABEL x=1\nCMD [\"x\"]\n";
    let two = "FROM a as Two\nARG V=1\nCOPY  a \\\n  \"b\"   /x/\nENV A=\"1\"  B=${V}\nRUN echo\nLABEL x=2\nCMD [ \"y\" ]\n";
    let rest = |name: &str| {
        format!(
            "FROM a\nCOPY --from={name} --chmod=0755 /x /x\nRUN --mount=from={name},target=/m true\nCMD [\"x\"]\n"
        )
    };
    assert_eq!(
        planned(&format!("{one}{}", rest("one")), None, &[]),
        planned(
            &format!(
                "{two}{}",
                rest("two")
                    .replace("0755", "755")
                    .replace("[\"x\"]", "[ \"x\" ]")
            ),
            None,
            &[]
        ),
    );
    for (one, two) in [
        ("FROM a\nRUN <<EOF\nx\nEOF\n", "FROM a\nRUN <<END\nx\nEND\n"),
        ("FROM a\nUSER $X\n", "FROM a\nUSER ${X}\n"),
        ("FROM a\nENV A 1\n", "FROM a\nENV A=1\n"),
        (
            "FROM a\nCOPY --link --chown=1 x /\n",
            "FROM a\nCOPY --chown=1 --link x /\n",
        ),
        ("ARG V=1\nFROM a:$V\n", "FROM a:1\n"),
        ("FROM --platform=linux/amd64 a\n", "FROM a\n"),
        ("FROM --platform=$TARGETPLATFORM a\n", "FROM a\n"),
        (
            "FROM a\nCOPY x y/z/ /d/\nADD x /\n",
            "FROM a\nCOPY ./x /y//z/. /d/\nADD /x /\n",
        ),
        (
            "FROM a AS one\nONBUILD COPY --from=0 x /y\nFROM one\n",
            "FROM a AS two\nonbuild  copy --from=two \\\n  ./x  /y\nFROM two\n",
        ),
        (
            "FROM a AS one\nONBUILD RUN x\nFROM a\nCOPY --from=one /x /x\n",
            "FROM a AS one\nFROM a\nCOPY --from=one /x /x\n",
        ),
    ] {
        assert_eq!(
            planned(one, None, &[]),
            planned(two, None, &[]),
            "{one}{two}"
        );
    }
    let given = |value| planned("ARG I=a\nFROM $I\nARG V=1\nRUN true\n", None, value);
    assert_eq!(given(&[("V", "1"), ("I", "a"), ("U", "1")]), given(&[]));
    assert_ne!(given(&[("V", "2")]), given(&[]));
}

/// Pairs that are spelled almost alike.
#[test]
fn what_is_built_in_another_way_is_written_in_another_way() {
    for (one, two) in [
        ("RUN <<EOF\n#!/bin/x\nEOF\n", "RUN <<END\n#!/bin/x\nEND\n"),
        ("RUN cat <<EOF\nx\nEOF\n", "RUN cat <<END\nx\nEND\n"),
        ("COPY <<EOF /x/\nx\nEOF\n", "COPY <<END /x/\nx\nEND\n"),
        ("COPY <<EOF /x\n$V\nEOF\n", "COPY <<\"EOF\" /x\n$V\nEOF\n"),
        ("RUN [\"a\"]\n", "RUN a\n"),
        ("RUN a  b\n", "RUN a b\n"),
        ("COPY a\u{a0}b /x/\n", "COPY a b /x/\n"),
        ("COPY \"a b\" /x/\n", "COPY a b /x/\n"),
        ("COPY --chmod=755 a /\n", "COPY --chmod=7550 a /\n"),
        ("ENV A=1\n", "ENV A=\"1 \"\n"),
        ("ENV A='$B'\n", "ENV A=$B\n"),
        ("USER \\$X\n", "USER $X\n"),
        ("ARG A\n", "ARG A=\n"),
        ("CMD [\"a\"]\n", "CMD a\n"),
        (
            "RUN --mount=target=/a --mount=target=/b true\n",
            "RUN --mount=target=/b --mount=target=/a true\n",
        ),
        (
            "RUN --mount='type=cache,\"target=/a\"\"b\"' true\n",
            "RUN --mount=type=cache,target=/ab true\n",
        ),
        ("LABEL a=1\n", "LABEL a=2\n"),
        ("COPY --parents ./a /x/\n", "COPY --parents a /x/\n"),
        ("COPY --parents a/./b /x/\n", "COPY --parents a/b /x/\n"),
        ("COPY a /x\n", "COPY a /x/\n"),
        ("ADD https://a/b /x\n", "ADD https:/a/b /x\n"),
        ("FROM --platform=linux/arm64 a\n", "FROM a\n"),
        ("ONBUILD RUN a\n", "ONBUILD RUN b\n"),
    ] {
        let (one, two) = (format!("FROM a\n{one}"), format!("FROM a\n{two}"));
        let (one, two) = (planned(&one, None, &[]), planned(&two, None, &[]));
        assert_ne!(one, two);
    }
    let swapped = |mount: &str| {
        let stages = "FROM a AS one\nRUN 1\nFROM a AS two\nRUN 2\nFROM a\n";
        planned(&format!("{stages}{mount}\n"), None, &[]).instructions
    };
    for mount in [
        "RUN --mount=from=NAME,target=/m true",
        "COPY --from=NAME /a /b",
    ] {
        let (one, two) = (mount.replace("NAME", "one"), mount.replace("NAME", "two"));
        let both = format!("{one}\n{two}");
        let other = format!("{two}\n{one}");
        assert_ne!(swapped(&both), swapped(&other));
    }
}

/// New frontends keep its value, old ones forget it.
#[test]
fn an_argument_that_is_declared_again_before_the_first_stage_has_no_known_value() {
    for (once, again) in [("", "ARG TARGETARCH\n"), ("ARG V=1\n", "ARG V=1\nARG V\n")] {
        let text = |globals| format!("{globals}FROM a\nARG TARGETARCH\nARG V\nRUN x\n");
        assert_ne!(
            planned(&text(once), None, &[]),
            planned(&text(again), None, &[]),
            "{again}"
        );
    }
    let copy = "ARG V=a\nARG V\nFROM a\nARG V\nCOPY ${V:-b} /x\n";
    assert_eq!(paths(copy, None), ["."]);
    // An argument without a value has none everywhere.
    assert!(
        planned("ARG V\nFROM ${V:-a}\n", None, &[])
            .unpinned
            .is_empty()
    );
}

#[test]
fn what_may_hide_an_image_or_a_download_is_not_pinned() {
    for line in [
        "ADD ${U%x} /x",
        "COPY --from=$X /a /b",
        "RUN --mount=from=${X%x},target=/m true",
        "ONBUILD NOTHING",
    ] {
        let text = format!("FROM b\nARG U=https://x/y\n{line}\n");
        assert_eq!(planned(&text, None, &[]).unpinned.len(), 1, "{line}");
    }
    assert_eq!(
        planned("ARG V=1\nFROM a:${V%x}\n", None, &[])
            .unpinned
            .len(),
        1
    );
    assert_eq!(
        planned("FROM a\nARG V\nCOPY ${V%x} /x\n", None, &[])
            .unpinned
            .len(),
        0
    );
}
