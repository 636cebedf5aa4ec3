//! Quotes, escapes and variables in the words of each instruction.

use super::Family;
use crate::tree::Tree;

/// Spellings of a word, some of which mean the same.
#[rustfmt::skip] // A table.
const WORDS: &[&str] = &[
    "a", "b", "\"a\"", "'a'", "\\a", "\"\\a\"", "$V", "${V}", "\"$V\"", "'$V'", "\\$V", "\"\\$V\"", "${V:-b}", "${V:+b}",
    "${V-b}", "${V+b}", "${W:-a}", "${W:+a}", "${W-a}", "${W+a}", "${W:-$V}", "${W:-${V}}", "${W:-'a'}", "${W:-\"a\"}",
    "$E", "${E:-a}", "${E-a}", "${E:+a}", "${E+a}", "$V$W", "$VW", "${V}W", "$V-", "a$", "$$V", "${V#a}", "${V##x}",
    "${V%a}", "${V/a/b}", "${V//a/b}", "${V:?x}", "${V:1}", "a\\ b", "\"a b\"", "a\u{a0}b", "a\\\\b", "'a'\"b\"",
    "\"a'b\"", "a\"\"", "\"\"a", "a#b", "a;b", "{a,b}", "~a", "$1", "$?", "a=b", "a=$V", "a='b'", "a\"=b\"", "é",
    "a\u{2003}b", "a\u{3000}", "a\tb", "--a", "-- a", "[a]", "[\"a\"]", "[ \"a\" ]", "['a']", "[\"a\",]", "[\"\\u0061\"]",
    "[\"a\", \"b\"]",
];

/// Instructions with a place for a word.
const INSTRUCTIONS: &[(&str, &str)] = &[
    ("COPY", "COPY {} /x/"),
    ("COPY to", "COPY a /x/{}"),
    ("ADD", "ADD {} /x/"),
    ("ENV", "ENV X={}"),
    ("old ENV", "ENV X {}"),
    ("ENV and use", "ENV X={}\nRUN echo \"$X\" >/o"),
    ("ENV and COPY", "ENV X={}\nCOPY $X /x/"),
    ("second ENV", "ENV V=b X={} Y=$V"),
    ("ARG", "ARG X={}\nRUN echo \"$X\" >/o"),
    ("ARG and COPY", "ARG X={}\nCOPY $X /x/"),
    ("ARG over ENV", "ENV X=b\nARG X={}\nRUN echo $X >/o"),
    ("LABEL", "LABEL x={}"),
    ("the name of LABEL", "LABEL {}=1"),
    ("WORKDIR", "WORKDIR /w/{}\nRUN echo 1 >o"),
    ("USER", "USER {}"),
    ("EXPOSE", "EXPOSE 80{}"),
    ("VOLUME", "VOLUME /v{}"),
    ("STOPSIGNAL", "STOPSIGNAL {}"),
    ("CMD", "CMD {}"),
    ("ENTRYPOINT", "ENTRYPOINT {}"),
    ("HEALTHCHECK", "HEALTHCHECK CMD {}"),
    ("SHELL", "SHELL [\"/bin/sh\", \"-c\", \"{}\"]\nCMD x"),
    ("RUN", "RUN true {}"),
    ("RUN in JSON", "RUN [\"true\", \"{}\"]"),
    (
        "the source of a mount",
        "RUN --mount=source={},target=/m ls /m >/o",
    ),
    (
        "the target of a mount",
        "RUN --mount=source=a,target=/m{} true",
    ),
    (
        "the name of a cache",
        "RUN --mount=type=cache,id={},target=/m true",
    ),
    ("chown", "COPY --chown={} a /x/"),
    ("chmod", "COPY --chmod={} a /x/"),
    ("from", "COPY --from={} /f /x/"),
    ("a document", "COPY <<EOF /x\n{}\nEOF"),
    ("a quoted document", "COPY <<'EOF' /x\n{}\nEOF"),
    ("a script", "RUN <<EOF\ntrue {}\nEOF"),
    ("the place of a document", "COPY <<EOF /x{}\n1\nEOF"),
    ("ONBUILD", "ONBUILD COPY {} /x/"),
    ("MAINTAINER", "MAINTAINER {}"),
];

const FILES: &[(&str, &str)] = &[
    ("a", "1"),
    ("b", "2"),
    ("a b", "3"),
    ("a\u{a0}b", "4"),
    ("a=b", "5"),
    ("[a]", "6"),
    ("ab", "7"),
    ("a-", "8"),
    ("$V", "9"),
    ("a'b", "10"),
    ("'a'", "11"),
];

/// Two stages to take files from.
const STAGES: &str =
    "FROM hearth-test/base:1 AS a\nRUN echo a >/f\nFROM hearth-test/base:1 AS b\nRUN echo b >/f\n";

pub fn families() -> Vec<Family> {
    let mut all = Vec::new();
    for (name, instruction) in INSTRUCTIONS {
        let trees = WORDS.iter().map(|word| {
            let instruction = instruction.replace("{}", word);
            let text = format!("{STAGES}FROM hearth-test/base:1\nARG V=a\nENV E=\n{instruction}\n");
            ((*word).to_owned(), Tree::new(&text, FILES))
        });
        all.push(Family {
            name: format!("words of {name}"),
            trees: trees.collect(),
        });
    }
    // Each of these as the value that a build is given.
    let values = [
        "a",
        "b",
        "",
        " a",
        "'a'",
        "$V",
        "a b",
        "\u{a0}a",
        "a\\",
        "\"a\"",
        "hearth-test/base:1",
        "hearth-test/other:1",
    ];
    for (name, text) in [
        (
            "COPY",
            "FROM hearth-test/base:1\nARG V=a\nCOPY $V /x/\n".to_owned(),
        ),
        (
            "ENV",
            "FROM hearth-test/base:1\nARG V=a\nENV X=$V\n".to_owned(),
        ),
        (
            "RUN",
            "FROM hearth-test/base:1\nARG V=a\nRUN echo \"$V\" >/o\n".to_owned(),
        ),
        ("FROM", format!("ARG V=a\n{STAGES}FROM $V AS x\nRUN true\n")),
        (
            "ONBUILD",
            format!("ARG V=a\n{STAGES}ONBUILD ARG V\nONBUILD RUN echo $V >/v\n"),
        ),
        (
            "a trigger",
            "ARG V=a\nFROM hearth-test/triggers:1\nRUN true\n".to_owned(),
        ),
    ] {
        let trees = values.map(|value| {
            let config = serde_json::json!({
                "build": {"dockerfile": "Dockerfile", "context": "..", "args": {"V": value}}
            });
            (
                format!("{value:?}"),
                Tree::new(&text, FILES).with_config(config),
            )
        });
        all.push(Family {
            name: format!("a given word in {name}"),
            trees: trees.into(),
        });
    }
    all
}
