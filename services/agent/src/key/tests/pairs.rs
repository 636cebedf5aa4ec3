//! Trees that BuildKit makes different images of have different keys.

use super::*;

const DOCKERFILE: &str = ".devcontainer/Dockerfile";

/// Whether two trees have one key, or none that could be mistaken for each other's.
fn are_told_apart(one: Files<'_>, other: Files<'_>, registry: &Registry) -> bool {
    let key = |files| {
        let clone = clone_of(files);
        let build = json!({"build": {"dockerfile": "Dockerfile"}});
        let reading = read_with(clone.path(), &build, registry).ok()?;
        let key = reading.manifest.key().clone();
        reading.unpinned.is_empty().then_some(key)
    };
    let (one, other) = (key(one), key(other));
    one.is_none() || other.is_none() || one != other
}

#[test]
fn texts_that_buildkit_reads_differently_have_different_keys() {
    let registry = Registry::default();
    for (one, other) in [
        // A here-document keeps the ends of its lines.
        (
            "FROM a:1\nCOPY <<EOF /f\nhello\nEOF\n",
            "FROM a:1\r\nCOPY <<EOF /f\r\nhello\r\nEOF\r\n",
        ),
        // A trigger sees defaults and stages of the Dockerfile that it fires in.
        (
            "ARG V=1\nFROM a:1 AS b\nONBUILD ARG V\nONBUILD RUN echo $V\nFROM b\nRUN true\n",
            "ARG V=2\nFROM a:1 AS b\nONBUILD ARG V\nONBUILD RUN echo $V\nFROM b\nRUN true\n",
        ),
        (
            "FROM a:1 AS a\nRUN echo 1 > /f\nFROM a:1 AS b\nRUN echo 2 > /f\nFROM a:1 AS c\nONBUILD COPY --from=a /f /g\n\
             FROM c\nCOPY --from=0 /f /h\nCOPY --from=1 /f /i\n",
            "FROM a:1 AS b\nRUN echo 1 > /f\nFROM a:1 AS a\nRUN echo 2 > /f\nFROM a:1 AS c\nONBUILD COPY --from=a /f /g\n\
             FROM c\nCOPY --from=0 /f /h\nCOPY --from=1 /f /i\n",
        ),
        // BuildKit adds a PATH where there is none.
        ("FROM a:1\nENV PATH=/x:$PATH\n", "FROM a:1\nENV PATH=/x:\n"),
        (
            "FROM scratch\nENV PATH=/x:$PATH\n",
            "FROM scratch\nENV PATH=/x:\n",
        ),
        (
            "FROM a:1\nCOPY --chmod=0 Dockerfile /\n",
            "FROM a:1\nCOPY --chmod= Dockerfile /\n",
        ),
        // A no-break space is part of a name.
        ("FROM a:1\nENV A\u{a0}B c\n", "FROM a:1\nENV A B c\n"),
    ] {
        let (a, b) = ([(DOCKERFILE, one)], [(DOCKERFILE, other)]);
        assert!(are_told_apart(&a, &b, &registry), "{one:?}");
    }
    // The trigger of a base image sees them, too.
    let registry = Registry {
        onbuild: vec!["ARG V".into(), "RUN echo $V".into()],
        ..Registry::default()
    };
    let (a, b) = (
        [(DOCKERFILE, "ARG V=1\nFROM a:1\n")],
        [(DOCKERFILE, "ARG V=2\nFROM a:1\n")],
    );
    assert!(are_told_apart(&a, &b, &registry));
}

#[test]
fn files_that_buildkit_sees_count() {
    let registry = Registry::default();
    let ignored = |pattern: &str| format!("*\n{pattern}\n");
    let (dot, slash) = (ignored("./!f"), ignored("/!f"));
    let commit = "0".repeat(40);
    let odd = format!("FROM a:1\nADD dir://r.git#{commit} /x\n");
    let odd_file = format!("dir:/r.git#{commit}");
    for (dockerfile, ignore, file) in [
        ("FROM a:1\nCOPY . /\n", &*dot, "f"),
        ("FROM a:1\nCOPY . /\n", &slash, "f"),
        ("FROM a:1\nCOPY . /\n", "\\w.txt\n", "é.txt"),
        ("FROM a:1\nCOPY . /\n", "v\\d\n", "v٣"),
        // A stage comes before the empty image.
        (
            "FROM a:1 AS scratch\nCOPY f /a\nFROM scratch AS m\nRUN true\nFROM a:1\nCOPY --from=m /a /a\n",
            "",
            "f",
        ),
        (&odd, "", &odd_file),
        ("FROM a:1\nCOPY <<EOF <<a<b /d/\nx\nEOF\n", "", "<<a<b"),
    ] {
        let path = format!(".devcontainer/{file}");
        let files = |text| {
            [
                (DOCKERFILE, dockerfile),
                (".devcontainer/.dockerignore", ignore),
                (&*path, text),
            ]
        };
        assert!(
            are_told_apart(&files("one"), &files("two"), &registry),
            "{dockerfile:?} {ignore:?}"
        );
    }
}
