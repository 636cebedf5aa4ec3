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
        case("a here-document in the middle of RUN", &[("Dockerfile", "FROM hearth-test/base:1 AS a\nRUN cat <<END >/x\nFROM scratch AS a\nCOPY nothing /\nEND\nCOPY a /a\n"), ("a", "1")], Write("a", "2")),
        case("a comment in a here-document", &[("Dockerfile", "FROM scratch\nCOPY <<EOF /x\n# 1\nEOF\n")], Write("Dockerfile", "FROM scratch\nCOPY <<EOF /x\n# 2\nEOF\n")),
        case("two here-documents of COPY", &[("Dockerfile", "FROM scratch\nCOPY <<a <<-\"b\" /x/\n1\na\n\t2\n\tb\n")], Write("Dockerfile", "FROM scratch\nCOPY <<a <<-\"b\" /x/\n1\na\n\t3\n\tb\n")),
        case("a file beside a here-document", &[("Dockerfile", "FROM scratch\nCOPY <<EOF f /x/\n1\nEOF\n"), ("f", "1")], Write("f", "2")),
        case("a continued COPY", &[("Dockerfile", "FROM scratch\nCOPY a \\\n\n # x\n b /x/\n"), ("a", "1"), ("b", "1")], Write("b", "2")),
        case("an empty line in a continued one", &[("Dockerfile", "FROM scratch\nCOPY a b /x/\n"), ("a", "1"), ("b", "1")], Write("Dockerfile", "FROM scratch\nCOPY a \\\n\n b /x/\n")),
        case("Windows line ends", &[("Dockerfile", "FROM scratch\r\nCOPY a \\\r\n b /x/\r\n"), ("a", "1"), ("b", "1")], Write("b", "2")),
        case("an ONBUILD of the last stage", &[("Dockerfile", "FROM scratch\nCOPY a /\nONBUILD COPY b /x\n"), ("a", "1"), ("b", "1")], Write("b", "2")),
        case("an ONBUILD mount of the last stage", &[("Dockerfile", "FROM hearth-test/base:1\nONBUILD RUN --mount=source=b,target=/b cat /b >/x\n"), ("b", "1")], Write("b", "2")),
        case("an ONBUILD of the target", &[("Dockerfile", "FROM hearth-test/base:1 AS t\nONBUILD COPY b /x\nFROM scratch\n"), ("b", "1")], Write("b", "2")).target("t"),
        case("an ONBUILD of a stage that is copied from", &[("Dockerfile", "FROM hearth-test/base:1 AS t\nONBUILD COPY b /x\nFROM scratch\nCOPY --from=t /bin/busybox /\n"), ("b", "1")], Write("b", "2")),
        case("a FROM in a here-document", &[("Dockerfile", "FROM hearth-test/base:1 AS one\nCOPY a /\nFROM hearth-test/base:1\nCOPY b /\nRUN cat <<E\nFROM x AS one\nE\n"), ("a", "1"), ("b", "1")], Write("a", "2")),
        case("beside a FROM in a here-document", &[("Dockerfile", "FROM hearth-test/base:1 AS one\nCOPY a /\nFROM hearth-test/base:1\nCOPY b /\nRUN cat <<E\nFROM x AS one\nE\n"), ("a", "1"), ("b", "1")], Write("b", "2")),
        case("a FROM in a continued line", &[("Dockerfile", "FROM hearth-test/base:1 AS one\nCOPY a /\nFROM hearth-test/base:1\nCOPY b /\nRUN echo \\\nFROM x AS one\n"), ("a", "1"), ("b", "1")], Write("a", "2")),
        case("the stage's own name", &[("Dockerfile", "FROM scratch\nARG TARGETSTAGE\nCOPY $TARGETSTAGE /x\n"), ("dev_containers_target_stage", "1")], Write("dev_containers_target_stage", "2")),
        case("a space of Unicode in a name", &[("Dockerfile", "FROM scratch\nCOPY a\u{a0}b /x/\n"), ("a\u{a0}b", "1")], Write("a\u{a0}b", "2")),
        case("quotes in COPY", &[("Dockerfile", "FROM scratch\nCOPY a /x/\n"), ("a", "1")], Write("Dockerfile", "FROM scratch\nCOPY  \"a\"  /x/\n")),
        case("a list in COPY", &[("Dockerfile", "FROM scratch\nCOPY a /x/\n"), ("a", "1")], Write("Dockerfile", "FROM scratch\nCOPY [ \"a\", \"/x/\" ]\n")),
        case("quotes in ENV", &[("Dockerfile", "FROM hearth-test/base:1\nENV A=1 B=2\nRUN true\n")], Write("Dockerfile", "FROM hearth-test/base:1\nENV A=\"1\" \\\n  B='2'\nRUN true\n")),
        case("an old ENV", &[("Dockerfile", "FROM hearth-test/base:1\nENV A 1\nRUN true\n")], Write("Dockerfile", "FROM hearth-test/base:1\nENV A=1\nRUN true\n")),
        case("a mode with a zero", &[("Dockerfile", "FROM scratch\nCOPY --chmod=755 a /x/\n"), ("a", "1")], Write("Dockerfile", "FROM scratch\nCOPY --chmod=0755 a /x/\n")),
        case("the order of flags", &[("Dockerfile", "FROM scratch\nCOPY --chmod=755 --chown=1 a /x/\n"), ("a", "1")], Write("Dockerfile", "FROM scratch\nCOPY --chown=1 --chmod=755 a /x/\n")),
        case("white space in a list", &[("Dockerfile", "FROM hearth-test/base:1\nCMD [\"x\"]\n")], Write("Dockerfile", "FROM hearth-test/base:1\nCMD [ \"x\" ]\n")),
        case("the name of a here-document", &[("Dockerfile", "FROM hearth-test/base:1\nRUN <<EOF\necho 1 >/x\nEOF\n")], Write("Dockerfile", "FROM hearth-test/base:1\nRUN <<END\necho 1 >/x\nEND\n")),
        case("quotes of a here-document", &[("Dockerfile", "FROM hearth-test/base:1\nRUN <<EOF\necho $PATH >/x\nEOF\n")], Write("Dockerfile", "FROM hearth-test/base:1\nRUN <<'EOF'\necho $PATH >/x\nEOF\n")),
        case("the name of a here-document that a shell reads", &[("Dockerfile", "FROM hearth-test/base:1\nRUN cat <<EOF >/x\n1\nEOF\n")], Write("Dockerfile", "FROM hearth-test/base:1\nRUN cat <<END >/x\n1\nEND\n")),
        case("the name of a copied here-document", &[("Dockerfile", "FROM scratch\nCOPY <<EOF /x/\n1\nEOF\n")], Write("Dockerfile", "FROM scratch\nCOPY <<END /x/\n1\nEND\n")),
        case("braces around a variable", &[("Dockerfile", "FROM hearth-test/base:1\nENV A=/x\nWORKDIR $A\n")], Write("Dockerfile", "FROM hearth-test/base:1\nENV A=/x\nWORKDIR ${A}\n")),
        case("a label of a stage that is copied from", &[("Dockerfile", "FROM hearth-test/base:1 AS one\nLABEL a=1\nCMD [\"x\"]\nRUN true >/y\nFROM scratch\nCOPY --from=one /y /\n")], Write("Dockerfile", "FROM hearth-test/base:1 AS one\nLABEL a=2\nRUN true >/y\nFROM scratch\nCOPY --from=one /y /\n")),
        case("the user of a stage that is copied from", &[("Dockerfile", "FROM hearth-test/base:1 AS one\nUSER 1\nWORKDIR /tmp\nFROM scratch\nCOPY --from=one /tmp /\n")], Write("Dockerfile", "FROM hearth-test/base:1 AS one\nUSER 2\nWORKDIR /tmp\nFROM scratch\nCOPY --from=one /tmp /\n")),
        case("another file of JSON letters", &[("Dockerfile", "FROM scratch\nCOPY [\"\\u0061\", \"/x/\"]\n"), ("a", "1")], Write("a", "2")),
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
        case("a stage by its number", &[("Dockerfile", "FROM scratch\nCOPY a /a\nFROM scratch\nCOPY b /b\nFROM scratch\nCOPY --from=1 /b /\n"), ("a", "1"), ("b", "1")], Write("b", "2")),
        case("a new stage moves the numbers", &[("Dockerfile", "FROM scratch\nCOPY a /x\nFROM scratch\nCOPY b /x\nFROM scratch\nCOPY --from=1 /x /\n"), ("a", "1"), ("b", "1"), ("c", "1")], Write("Dockerfile", "FROM scratch\nCOPY a /x\nFROM scratch\nCOPY c /x\nFROM scratch\nCOPY b /x\nFROM scratch\nCOPY --from=1 /x /\n")),
        case("a stage upon a stage", &[("Dockerfile", "FROM scratch AS a\nCOPY a /\nFROM a\nCOPY b /\n"), ("a", "1"), ("b", "1")], Write("a", "2")),
        case("a file only of an image", &[("Dockerfile", "FROM scratch\nCOPY --from=hearth-test/other:1 /bin/busybox /\n"), ("bin/busybox", "1")], Write("bin/busybox", "2")),
        case("a stage's name is only a name", &[("Dockerfile", "FROM hearth-test/base:1 AS one\nRUN true\nFROM one\nRUN true\n")], Write("Dockerfile", "FROM hearth-test/base:1 AS two\nRUN true\nFROM two\nRUN true\n")),
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
        case("an argument that is its default", &[("Dockerfile", "FROM hearth-test/base:1\nARG V=1\nRUN echo $V >/x\n")], Arg("V", "1")),
        case("a global argument that is its default", &[("Dockerfile", "ARG B=base\nFROM hearth-test/${B}:1\nRUN true\n")], Arg("B", "base")),
        case("a base image without its argument", &[("Dockerfile", "ARG B=base\nFROM hearth-test/${B}:1\nRUN true\n")], Write("Dockerfile", "FROM hearth-test/base:1\nRUN true\n")),
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
        case("SOURCE_DATE_EPOCH", &[("Dockerfile", "FROM hearth-test/base:1\nRUN true\n")], Arg("SOURCE_DATE_EPOCH", "2")).with_args(&[("SOURCE_DATE_EPOCH", "1")]).careful(),
    ]
}
