//! Changes of the Dockerfile and of build arguments.

use super::{
    Case,
    Change::{Arg, Write},
    case,
};

pub fn cases() -> Vec<Case> {
    let mut all = text();
    all.extend(stages());
    all.extend(arguments());
    all
}

#[rustfmt::skip] // A case is a line.
fn text() -> Vec<Case> {
    vec![
        case("a comment", &[("Dockerfile", "FROM hearth-test/base:1\nRUN true\n")], Write("Dockerfile", "# why\nFROM hearth-test/base:1\n\n  # how\nRUN true\n")),
        case("a comment in a continued line", &[("Dockerfile", "FROM hearth-test/base:1\nRUN true && \\\n  # why\n  true\n")], Write("Dockerfile", "FROM hearth-test/base:1\nRUN true && \\\n  # how\n  true\n")),
        case("a command", &[("Dockerfile", "FROM hearth-test/base:1\nRUN echo 1 >/x\n")], Write("Dockerfile", "FROM hearth-test/base:1\nRUN echo 2 >/x\n")),
        case("the case of a keyword", &[("Dockerfile", "FROM hearth-test/base:1\nRUN true\n")], Write("Dockerfile", "from hearth-test/base:1\nrun true\n")),
        case("a label", &[("Dockerfile", "FROM scratch\nLABEL a=1\n")], Write("Dockerfile", "FROM scratch\nLABEL a=2\n")),
        case("a working directory", &[("Dockerfile", "FROM scratch\nWORKDIR /a\nCOPY a .\n"), ("a", "1")], Write("Dockerfile", "FROM scratch\nWORKDIR /b\nCOPY a .\n")),
        case("another base image", &[("Dockerfile", "FROM hearth-test/base:1\n")], Write("Dockerfile", "FROM hearth-test/other:1\n")),
        case("a here-document of RUN", &[("Dockerfile", "FROM hearth-test/base:1\nRUN <<EOF\necho 1 >/x\nEOF\n")], Write("Dockerfile", "FROM hearth-test/base:1\nRUN <<EOF\necho 2 >/x\nEOF\n")),
        case("a here-document in the middle of RUN", &[("Dockerfile", "FROM hearth-test/base:1 AS a\nRUN cat <<END >/x\nFROM scratch\nCOPY nothing /\nEND\nCOPY a /a\n"), ("a", "1")], Write("a", "2")),
        case("a comment in a here-document", &[("Dockerfile", "FROM scratch\nCOPY <<EOF /x\n# 1\nEOF\n")], Write("Dockerfile", "FROM scratch\nCOPY <<EOF /x\n# 2\nEOF\n")),
        case("two here-documents of COPY", &[("Dockerfile", "FROM scratch\nCOPY <<a <<-\"b\" /x/\n1\na\n\t2\n\tb\n")], Write("Dockerfile", "FROM scratch\nCOPY <<a <<-\"b\" /x/\n1\na\n\t3\n\tb\n")),
        case("a file beside a here-document", &[("Dockerfile", "FROM scratch\nCOPY <<EOF f /x/\n1\nEOF\n"), ("f", "1")], Write("f", "2")),
        case("an escape directive", &[("Dockerfile", "# escape=`\nFROM scratch\nCOPY a `\n b /x/\n"), ("a", "1"), ("b", "1")], Write("b", "2")),
        case("a continued COPY", &[("Dockerfile", "FROM scratch\nCOPY a \\\n\n # x\n b /x/\n"), ("a", "1"), ("b", "1")], Write("b", "2")),
        case("an empty line in a continued one", &[("Dockerfile", "FROM scratch\nCOPY a b /x/\n"), ("a", "1"), ("b", "1")], Write("Dockerfile", "FROM scratch\nCOPY a \\\n\n b /x/\n")).careful(),
        case("Windows line ends", &[("Dockerfile", "FROM scratch\r\nCOPY a \\\r\n b /x/\r\n"), ("a", "1"), ("b", "1")], Write("b", "2")),
        case("an ONBUILD that is not for us", &[("Dockerfile", "FROM scratch\nCOPY a /\nONBUILD COPY b /x\n"), ("a", "1"), ("b", "1")], Write("b", "2")),
        case("an ONBUILD of the base image", &[("Dockerfile", "FROM hearth-test/onbuild:1\nRUN true\n"), ("app/a", "1")], Write("app/a", "2")),
        case("beside an ONBUILD of the base image", &[("Dockerfile", "FROM hearth-test/onbuild:1\nRUN true\n"), ("app/a", "1")], Write("b", "2")),
        case("an ONBUILD of a stage", &[("Dockerfile", "FROM hearth-test/base:1 AS a\nONBUILD COPY b /x\nFROM a\nRUN true\n"), ("b", "1")], Write("b", "2")),
    ]
}

#[rustfmt::skip] // A case is a line.
fn stages() -> Vec<Case> {
    const THREE: &str = "FROM hearth-test/base:1 AS one\nCOPY a /a\nFROM hearth-test/base:1 AS unused\nCOPY b /b\nFROM hearth-test/base:1\nCOPY --from=one /a /\n";
    vec![
        case("a stage that is copied from", &[("Dockerfile", THREE), ("a", "1"), ("b", "1")], Write("a", "2")),
        case("a stage that is not needed", &[("Dockerfile", THREE), ("a", "1"), ("b", "1")], Write("b", "2")),
        case("the text of a stage that is not needed", &[("Dockerfile", THREE), ("a", "1"), ("b", "1")], Write("Dockerfile", "FROM hearth-test/base:1 AS one\nCOPY a /a\nFROM hearth-test/other:1 AS unused\nRUN true\nFROM hearth-test/base:1\nCOPY --from=one /a /\n")),
        case("a target before the last stage", &[("Dockerfile", THREE), ("a", "1"), ("b", "1")], Write("a", "2")).target("unused"),
        case("a target by another case", &[("Dockerfile", THREE), ("a", "1"), ("b", "1")], Write("b", "2")).target("Unused"),
        case("a stage by its number", &[("Dockerfile", "FROM scratch\nCOPY a /a\nFROM scratch\nCOPY b /b\nFROM scratch\nCOPY --from=1 /b /\n"), ("a", "1"), ("b", "1")], Write("b", "2")),
        case("a new stage moves the numbers", &[("Dockerfile", "FROM scratch\nCOPY a /x\nFROM scratch\nCOPY b /x\nFROM scratch\nCOPY --from=1 /x /\n"), ("a", "1"), ("b", "1"), ("c", "1")], Write("Dockerfile", "FROM scratch\nCOPY a /x\nFROM scratch\nCOPY c /x\nFROM scratch\nCOPY b /x\nFROM scratch\nCOPY --from=1 /x /\n")),
        case("a stage upon a stage", &[("Dockerfile", "FROM scratch AS a\nCOPY a /\nFROM a\nCOPY b /\n"), ("a", "1"), ("b", "1")], Write("a", "2")),
        case("a file only of an image", &[("Dockerfile", "FROM scratch\nCOPY --from=hearth-test/other:1 /bin/busybox /\n"), ("bin/busybox", "1")], Write("bin/busybox", "2")),
        case("a stage's name is only a name", &[("Dockerfile", "FROM hearth-test/base:1 AS one\nRUN true\nFROM one\nRUN true\n")], Write("Dockerfile", "FROM hearth-test/base:1 AS two\nRUN true\nFROM two\nRUN true\n")).careful(),
    ]
}

#[rustfmt::skip] // A case is a line.
fn arguments() -> Vec<Case> {
    vec![
        case("an argument in COPY", &[("Dockerfile", "FROM scratch\nARG D=src\nCOPY ${D} /x\n"), ("src/a", "1"), ("lib/a", "1")], Write("src/a", "2")),
        case("an argument's default in COPY", &[("Dockerfile", "FROM scratch\nARG D\nCOPY ${D:-lib} /x\n"), ("src/a", "1"), ("lib/a", "1")], Write("lib/a", "2")),
        case("a given argument in COPY", &[("Dockerfile", "FROM scratch\nARG D=src\nCOPY $D /x\n"), ("src/a", "1"), ("lib/a", "1")], Write("lib/a", "2")).with_args(&[("D", "lib")]),
        case("an environment variable in COPY", &[("Dockerfile", "FROM scratch\nENV A=src B=$A\nENV C=${A}/b\nCOPY $C /x\n"), ("src/a", "1"), ("src/b", "1")], Write("src/b", "2")),
        case("the base image's variable in COPY", &[("Dockerfile", "FROM hearth-test/base:1\nCOPY $BASE_DIR /x\n"), ("src/a", "1"), ("b", "1")], Write("src/a", "2")),
        case("a variable of both kinds", &[("Dockerfile", "FROM scratch\nENV D=src\nARG D=lib\nCOPY $D /x\n"), ("src/a", "1"), ("lib/a", "1")], Write("src/a", "2")).careful(),
        case("a variable of both kinds, the other way", &[("Dockerfile", "FROM scratch\nENV D=src\nARG D=lib\nCOPY $D /x\n"), ("src/a", "1"), ("lib/a", "1")], Write("lib/a", "2")).careful(),
        case("a pattern in a variable", &[("Dockerfile", "FROM scratch\nARG D=\"*.txt\"\nCOPY $D /x/\n"), ("a.txt", "1")], Write("b.txt", "2")),
        case("an argument that chooses the base", &[("Dockerfile", "ARG B=base\nFROM hearth-test/${B}:1\nRUN true\n")], Arg("B", "other")),
        case("an argument that chooses a stage", &[("Dockerfile", "ARG S=a\nFROM scratch AS s-a\nCOPY a /\nFROM scratch AS s-b\nCOPY b /\nFROM s-${S}\nCOPY c /\n"), ("a", "1"), ("b", "1"), ("c", "1")], Write("b", "2")).with_args(&[("S", "b")]),
        case("an argument that a command sees", &[("Dockerfile", "FROM hearth-test/base:1\nARG V\nRUN echo $V >/x\n")], Arg("V", "2")).with_args(&[("V", "1")]),
        case("an argument that is declared nowhere", &[("Dockerfile", "FROM hearth-test/base:1\nRUN true\n")], Arg("V", "2")).with_args(&[("V", "1")]),
        case("an argument of a stage that is not needed", &[("Dockerfile", "FROM scratch AS x\nARG V\nCOPY $V /\nFROM hearth-test/base:1\nRUN true\n"), ("a", "1")], Arg("V", "b")).with_args(&[("V", "a")]),
        case("a global argument that nobody uses", &[("Dockerfile", "ARG V=1\nFROM hearth-test/base:1\nRUN true\n")], Write("Dockerfile", "ARG V=2\nFROM hearth-test/base:1\nRUN true\n")),
        case("a global argument's default in a stage", &[("Dockerfile", "ARG V=1\nARG W=$V\nFROM hearth-test/base:1\nARG W\nRUN echo $W >/x\n")], Write("Dockerfile", "ARG V=2\nARG W=$V\nFROM hearth-test/base:1\nARG W\nRUN echo $W >/x\n")),
        case("a proxy is no input", &[("Dockerfile", "FROM hearth-test/base:1\nRUN true\n")], Arg("HTTP_PROXY", "http://127.0.0.1:1")),
        case("a declared proxy is one", &[("Dockerfile", "FROM hearth-test/base:1\nARG HTTP_PROXY\nRUN true\n")], Arg("HTTP_PROXY", "http://127.0.0.1:1")).careful(),
        case("the platform's arguments", &[("Dockerfile", "FROM scratch\nARG TARGETARCH\nCOPY bin-$TARGETARCH /x\n"), ("bin-amd64", "1"), ("bin-arm64", "1")], Write("bin-amd64", "2")),
        case("an argument in a mount", &[("Dockerfile", "FROM hearth-test/base:1\nARG D=src\nRUN --mount=source=$D,target=/m cat /m/a >/o\n"), ("src/a", "1")], Write("src/a", "2")),
        case("an argument in a here-document", &[("Dockerfile", "FROM scratch\nARG V=1\nCOPY <<EOF /x\n$V\nEOF\n")], Arg("V", "2")),
        case("SOURCE_DATE_EPOCH", &[("Dockerfile", "FROM hearth-test/base:1\nRUN true\n")], Arg("SOURCE_DATE_EPOCH", "2")).with_args(&[("SOURCE_DATE_EPOCH", "1")]),
    ]
}
