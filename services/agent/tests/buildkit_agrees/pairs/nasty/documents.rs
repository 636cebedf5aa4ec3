//! Here-documents, directives, continued lines, stages, triggers, flags.

use super::Family;
use crate::tree::Tree;

const FILES: &[(&str, &str)] = &[("a", "1"), ("b", "2"), ("c/a", "3"), ("c/d/b", "4")];

pub fn families() -> Vec<Family> {
    let mut all = vec![documents(), scripts(), lines(), stages(), triggers(), arguments(), copies(), runs(), image(), targets()];
    all.extend(options());
    all
}

/// Each text behind `head`.
fn family(name: &str, head: &str, texts: &[&str]) -> Family {
    let texts: Vec<String> = texts.iter().map(|text| format!("{head}{text}")).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    Family::of_dockerfiles(name, FILES, &texts)
}

const BASE: &str = "FROM hearth-test/base:1\n";

fn documents() -> Family {
    family(
        "documents",
        "FROM hearth-test/base:1\nARG V=a\n",
        &[
            "COPY <<EOF /x\n$V\nEOF\n",
            "COPY <<'EOF' /x\n$V\nEOF\n",
            "COPY <<\"EOF\" /x\n$V\nEOF\n",
            "COPY <<E\"O\"F /x\n$V\nEOF\n",
            "COPY <<\\EOF /x\n$V\nEOF\n",
            "COPY << EOF /x\n$V\nEOF\n",
            "COPY <<-EOF /x\n$V\nEOF\n",
            "COPY <<-EOF /x\n\t$V\n\tEOF\n",
            "COPY <<EOF /x\n\t$V\nEOF\n",
            "COPY <<EOF /x\na\nEOF\n",
            "COPY <<EOF /x\na\n\nEOF\n",
            "COPY <<EOF /x\n\na\nEOF\n",
            "COPY <<EOF /x\na \nEOF\n",
            "COPY <<EOF /x\n# a\na\nEOF\n",
            "COPY <<EOF /x\na\\\nb\nEOF\n",
            "COPY <<EOF /x\nab\nEOF\n",
            "COPY <<EOF /x\na\r\nEOF\n",
            "COPY <<EOF /x\r\na\r\nEOF\r\n",
            "COPY <<EOF /x\r\na\nEOF\n",
            "COPY <<x /x\na\nx\n",
            "COPY <<EOF /x/\na\nEOF\n",
            "COPY <<FOE /x/\na\nFOE\n",
            "COPY <<EOF <<FOE /x/\na\nEOF\nb\nFOE\n",
            "COPY <<FOE <<EOF /x/\nb\nFOE\na\nEOF\n",
            "COPY <<EOF a /x/\na\nEOF\n",
            "COPY a <<EOF /x/\na\nEOF\n",
            "COPY <<EOF a /x/\n1\nEOF\n",
            "COPY --chmod=755 <<EOF /x\na\nEOF\n",
            "COPY --chown=1 <<EOF /x\na\nEOF\n",
            "COPY --link <<EOF /x\na\nEOF\n",
            "ADD <<EOF /x\na\nEOF\n",
            "ADD <<'EOF' /x\n$V\nEOF\n",
            "COPY <<EOF /x\n\\$V\nEOF\n",
            "COPY <<EOF /x\n${V:-b}\nEOF\n",
            "COPY <<EOF /x\n${W:-b}\nEOF\n",
            "COPY <<EOF /x\n${V#a}\nEOF\n",
            "COPY <<EOF /x\n$W\nEOF\n",
            "COPY <<EOF /x\n\"$V\"\nEOF\n",
            "COPY <<EOF /x\n'$V'\nEOF\n",
            "COPY 3<<EOF /x/\na\nEOF\n",
            "COPY <<EOF /$V\na\nEOF\n",
            "COPY <<EOF /a\na\nEOF\n",
            "COPY <<$V /x/\na\n$V\n",
            "COPY <<a /x/\na\na\n",
            "COPY [\"<<EOF\", \"/x\"]\n",
            "COPY <<EOF /x\nFROM hearth-test/other:1 AS z\nEOF\n",
            "COPY <<EOF /x\nARG V=b\nEOF\n",
        ],
    )
}

fn scripts() -> Family {
    family(
        "scripts",
        "FROM hearth-test/base:1\nARG V=a\n",
        &[
            "RUN <<EOF\necho $V >/o\nEOF\n",
            "RUN <<'EOF'\necho $V >/o\nEOF\n",
            "RUN <<END\necho $V >/o\nEND\n",
            "RUN <<-EOF\n\techo $V >/o\nEOF\n",
            "RUN <<EOF\n\techo $V >/o\nEOF\n",
            "RUN <<EOF\necho $V >/o\n\nEOF\n",
            "RUN <<EOF\n\necho $V >/o\nEOF\n",
            "RUN <<EOF\r\necho $V >/o\r\nEOF\r\n",
            "RUN <<EOF\necho \\\n$V >/o\nEOF\n",
            "RUN <<EOF\n#!/bin/sh\necho $V >/o\nEOF\n",
            "RUN <<END\n#!/bin/sh\necho $V >/o\nEND\n",
            "RUN <<EOF\n #!/bin/sh\necho $V >/o\nEOF\n",
            "RUN <<EOF sh\necho $V >/o\nEOF\n",
            "RUN sh <<EOF\necho $V >/o\nEOF\n",
            "RUN sh <<'EOF'\necho $V >/o\nEOF\n",
            "RUN sh <<END\necho $V >/o\nEND\n",
            "RUN cat <<EOF >/o\n$V\nEOF\n",
            "RUN cat <<'EOF' >/o\n$V\nEOF\n",
            "RUN cat <<-EOF >/o\n\t$V\nEOF\n",
            "RUN cat <<EOF >/o\n\t$V\nEOF\n",
            "RUN cat <<A >/o && cat <<B >/p\n1\nA\n2\nB\n",
            "RUN cat <<B >/o && cat <<A >/p\n1\nB\n2\nA\n",
            "RUN <<EOF cat >/o\n$V\nEOF\n",
            "RUN << EOF\necho $V >/o\nEOF\n",
            "RUN <<\"EOF\"\necho $V >/o\nEOF\n",
            "RUN <<E'O'F\necho $V >/o\nEOF\n",
            "RUN  <<EOF \necho $V >/o\nEOF\n",
            "RUN --mount=type=tmpfs,target=/t <<EOF\necho $V >/o\nEOF\n",
            "RUN echo \"<<EOF\" >/o\n",
            "RUN echo '<<EOF' >/o\n",
            "RUN echo \\<<EOF >/o || true\necho 1\nEOF\n",
            "RUN cat <<EOF >/o\nFROM hearth-test/other:1\nEOF\n",
            "RUN cat <<EOF >/o\nFROM hearth-test/other:1\nEOF\nRUN echo $V\n",
            "SHELL [\"/bin/sh\", \"-e\", \"-c\"]\nRUN <<EOF\necho $V >/o\nEOF\n",
            "RUN echo $V >/o\n",
            "RUN  echo $V >/o\n",
            "RUN echo  $V >/o\n",
            "RUN echo \\\n$V >/o\n",
            "RUN echo \\\n  $V >/o\n",
            "RUN echo \\\n\n$V >/o\n",
            "RUN echo \\\n# x\n$V >/o\n",
            "RUN echo \\ \n$V >/o\n",
            "RUN [\"sh\", \"-c\", \"echo $V >/o\"]\n",
            "RUN [ \"sh\", \"-c\", \"echo $V >/o\" ]\n",
            "RUN [\"/bin/sh\", \"-c\", \"echo $V >/o\"]\n",
            "RUN [\"sh\", \"-c\", \"echo $V >/o\"] \n",
            "RUN echo 1 >/o # $V\n",
            "RUN echo 1 >/o\n",
        ],
    )
}

fn lines() -> Family {
    Family::of_dockerfiles(
        "lines",
        FILES,
        &[
            "FROM hearth-test/base:1\nRUN echo 1 >/o\nCOPY a /x\n",
            "\u{feff}FROM hearth-test/base:1\nRUN echo 1 >/o\nCOPY a /x\n",
            "# escape=`\nFROM hearth-test/base:1\nRUN echo 1 >/o\nCOPY a /x\n",
            "# escape=`\nFROM hearth-test/base:1\nRUN echo `\n 1 >/o\nCOPY a /x\n",
            "# escape=\\\nFROM hearth-test/base:1\nRUN echo \\\n 1 >/o\nCOPY a /x\n",
            "FROM hearth-test/base:1\nRUN echo \\\n 1 >/o\nCOPY a /x\n",
            "FROM hearth-test/base:1\nRUN echo 1 >/o \\\nCOPY a /x\n",
            "FROM hearth-test/base:1\nRUN echo 1 >/o \\\\\nCOPY a /x\n",
            "FROM hearth-test/base:1\nRUN echo 1 >/o\\\n\nCOPY a /x\n",
            "FROM hearth-test/base:1\nRUN echo `\nCOPY a /x\n",
            "FROM hearth-test/base:1\n  RUN echo 1 >/o\n\tCOPY a /x\n",
            "FROM hearth-test/base:1\nRUN echo 1 >/o\n # comment\nCOPY a /x\n",
            "FROM hearth-test/base:1\nRUN echo 1 >/o\nCOPY a \\\n # comment\n /x\n",
            "FROM hearth-test/base:1\nRUN echo 1 >/o\nCOPY a\u{b}/x\n",
            "FROM hearth-test/base:1\nRUN echo 1 >/o\nCOPY a\u{c}/x\n",
            "FROM hearth-test/base:1\nRUN echo 1 >/o\nCOPY a /x #\n",
            "FROM hearth-test/base:1\nRUN echo 1 >/o\nCOPY\ta\t/x\n",
            "FROM hearth-test/base:1\r\nRUN echo 1 >/o\r\nCOPY a /x\r\n",
            "FROM hearth-test/base:1\rRUN echo 1 >/o\rCOPY a /x\r",
            "FROM hearth-test/base:1\nRUN echo 1 >/o\nCOPY a /x\u{85}\n",
            "FROM hearth-test/base:1\nRUN echo 1 >/o\nCOPY a /x\u{2028}\n",
            "FROM hearth-test/base:1\nRUN echo 1 >/o\nCOPY a /x\u{3000}\n",
            "FROM hearth-test/base:1\nRUN echo 1 >/o\u{a0}\nCOPY a /x\n",
            "FROM hearth-test/base:1\nRUN\u{a0}echo 1 >/o\nCOPY a /x\n",
            "FROM hearth-test/base:1\nRUN \u{a0}echo 1 >/o\nCOPY a /x\n",
            "FROM hearth-test/base:1\nRUN echo 1 >/o\nCOPY a /x\n\u{1a}",
            "# check=skip=all\nFROM hearth-test/base:1\nRUN echo 1 >/o\nCOPY a /x\n",
            "# check=error=true\nFROM hearth-test/base:1\nRUN echo 1 >/o\nCOPY a /x\n",
            "#escape=`\n\nFROM hearth-test/base:1\nRUN echo 1 >/o\nCOPY a /x\n",
            "# x\n# escape=`\nFROM hearth-test/base:1\nRUN echo \\\n 1 >/o\nCOPY a /x\n",
            "#!/bin/x\nFROM hearth-test/base:1\nRUN echo 1 >/o\nCOPY a /x\n",
            "from hearth-test/base:1\nrun echo 1 >/o\ncopy a /x\n",
            "FROM hearth-test/base:1\nRUN echo 1 >/o\nCOPY a /x\nFROM hearth-test/base:1 AS z\n",
            "FROM hearth-test/base:1 AS y\nRUN echo 1 >/o\nCOPY a /x\nFROM y AS z\n",
        ],
    )
}

fn stages() -> Family {
    let one = "FROM hearth-test/base:1 AS one\nRUN echo 1 >/f\n";
    let two = "FROM hearth-test/base:1 AS two\nRUN echo 2 >/f\n";
    let (one, two) = (one, two);
    let ends = [
        "FROM one\nRUN cat /f >/g\n",
        "FROM ONE\nRUN cat /f >/g\n",
        "FROM two\nRUN cat /f >/g\n",
        "FROM \"one\"\nRUN cat /f >/g\n",
        "FROM 'one'\nRUN cat /f >/g\n",
        "FROM one AS one\nRUN cat /f >/g\n",
        "FROM --platform=linux/amd64 one\nRUN cat /f >/g\n",
        "FROM --platform=$BUILDPLATFORM one\nRUN cat /f >/g\n",
        "FROM hearth-test/base:1\nCOPY --from=0 /f /g\n",
        "FROM hearth-test/base:1\nCOPY --from=1 /f /g\n",
        "FROM hearth-test/base:1\nCOPY --from=one /f /g\n",
        "FROM hearth-test/base:1\nCOPY --from=One /f /g\n",
        "FROM hearth-test/base:1\nCOPY --from=two /f /g\n",
        "FROM hearth-test/base:1\nCOPY --from=\"one\" /f /g\n",
        "FROM hearth-test/base:1\nCOPY --from=00 /f /g\n",
        "FROM hearth-test/base:1\nCOPY --from=+1 /f /g\n",
        "FROM hearth-test/base:1\nCOPY --from=one --from=two /f /g\n",
        "FROM hearth-test/base:1\nCOPY --from=hearth-test/base:1 /bin/sh /g\n",
        "FROM hearth-test/base:1\nCOPY --from=hearth-test/other:1 /bin/sh /g\n",
        "FROM hearth-test/base:1\nRUN --mount=from=one,target=/m cat /m/f >/g\n",
        "FROM hearth-test/base:1\nRUN --mount=from=two,target=/m cat /m/f >/g\n",
        "FROM hearth-test/base:1\nRUN --mount=from=0,target=/m cat /m/f >/g\n",
        "FROM hearth-test/base:1\nRUN --mount=from=ONE,target=/m cat /m/f >/g\n",
        "FROM hearth-test/base:1\nRUN --mount=from=one,source=f,target=/m cat /m >/g\n",
        "FROM hearth-test/base:1\nRUN --mount=type=cache,from=one,target=/m cat /m/f >/g\n",
        "FROM hearth-test/base:1\nRUN --mount=type=bind,from=one,from=two,target=/m cat /m/f >/g\n",
        "FROM scratch\nCOPY --from=one /f /g\n",
        "FROM scratch AS x\nCOPY --from=one /f /g\nFROM x\n",
        "FROM one AS two\nRUN cat /f >/g\nFROM two\n",
        "FROM hearth-test/base:1 AS one\nRUN echo 3 >/f\nFROM one\nRUN cat /f >/g\n",
        "FROM hearth-test/base:1 AS 1\nRUN echo 3 >/f\nFROM hearth-test/base:1\nCOPY --from=1 /f /g\n",
        "ARG V=two\nFROM one\nRUN cat /f >/g\n",
        "FROM hearth-test/base:1\nCOPY <<E /q\nFROM two AS three\nE\nCOPY --from=one /f /g\n",
        "FROM one\nRUN cat /f >/g\n# FROM two\n",
        "FROM one\nRUN cat /f >/g\n\n  FROM two\n",
        "FROM one\nRUN cat /f >/g && echo \\\n FROM two AS x\n",
    ];
    let mut texts: Vec<String> = ends.iter().map(|end| format!("{one}{two}{end}")).collect();
    texts.extend(ends.iter().take(14).map(|end| format!("{two}{one}{end}")));
    texts.extend(ends.iter().take(8).map(|end| {
        format!("ARG B=base\n{}{two}{end}", one.replace("base:1", "${B}:1"))
    }));
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    Family::of_dockerfiles("stages", FILES, &texts)
}

fn triggers() -> Family {
    let texts = [
        ("", "ONBUILD COPY a /x"),
        ("", "ONBUILD COPY b /x"),
        ("", "ONBUILD  COPY  a  /x"),
        ("", "onbuild copy a /x"),
        ("", "ONBUILD COPY \"a\" /x"),
        ("", "ONBUILD COPY --from=one /f /x"),
        ("", "ONBUILD COPY --from=0 /f /x"),
        ("", "ONBUILD COPY --from=1 /f /x"),
        ("", "ONBUILD ADD a /x"),
        ("", "ONBUILD RUN echo $V >/v"),
        ("ARG V=1\n", "ONBUILD RUN echo $V >/v"),
        ("ARG V=1\n", "ONBUILD ARG V\nONBUILD RUN echo $V >/v"),
        ("ARG V=2\n", "ONBUILD ARG V\nONBUILD RUN echo $V >/v"),
        ("", "ONBUILD ARG V=1\nONBUILD RUN echo $V >/v"),
        ("", "ONBUILD ARG V=1\nONBUILD COPY $V /v"),
        ("", "ENV V=1\nONBUILD RUN echo $V >/v"),
        ("", "ENV V=2\nONBUILD RUN echo $V >/v"),
        ("", "ONBUILD ENV V=1"),
        ("", "ONBUILD ENV V 1"),
        ("", "ONBUILD ENV V=2"),
        ("", "ONBUILD ENV V=\"1\""),
        ("", "ONBUILD LABEL v=1"),
        ("", "ONBUILD USER 1"),
        ("", "ONBUILD USER 2"),
        ("", "ONBUILD WORKDIR /w"),
        ("", "ONBUILD WORKDIR /w/"),
        ("", "ONBUILD CMD a"),
        ("", "ONBUILD CMD [\"a\"]"),
        ("", "ONBUILD RUN --mount=source=a,target=/m cat /m >/o"),
        ("", "ONBUILD RUN --mount=source=b,target=/m cat /m >/o"),
        ("", "ONBUILD RUN --mount=from=one,target=/m cat /m/f >/o"),
        ("", "ONBUILD RUN <<EOF\necho 1 >/o\nEOF"),
        ("", "ONBUILD RUN <<END\necho 1 >/o\nEND"),
        ("", "ONBUILD COPY <<EOF /o\n1\nEOF"),
        ("", "ONBUILD COPY <<EOF /o\n$V\nEOF"),
        ("", "ONBUILD COPY <<'EOF' /o\n$V\nEOF"),
        ("", "ONBUILD RUN echo \\\n  1 >/o"),
        ("", "ONBUILD RUN echo 1 >/o"),
        ("", "ONBUILD RUN echo   1 >/o"),
        ("", "ONBUILD RUN [\"sh\", \"-c\", \"echo 1 >/o\"]"),
        ("", "ONBUILD SHELL [\"sh\", \"-c\"]\nONBUILD RUN echo 1 >/o"),
        ("", "ONBUILD HEALTHCHECK NONE"),
        ("", "ONBUILD EXPOSE 1"),
        ("", "ONBUILD VOLUME /v"),
        ("", "ONBUILD COPY a /x\nONBUILD COPY b /x"),
        ("", "ONBUILD COPY b /x\nONBUILD COPY a /x"),
    ];
    let one = "FROM hearth-test/base:1 AS one\nRUN echo 1 >/f\n";
    let mut all = Vec::new();
    for (at, (global, text)) in texts.iter().enumerate() {
        let there = format!("FROM hearth-test/base:1 AS t\n{text}\n");
        // It fires in the stage of the devcontainer CLI, or in the one before it.
        all.push(format!("{global}{one}{there}"));
        if at % 2 == 0 {
            all.push(format!("{global}{one}{there}FROM t\nRUN true\n"));
        }
        if at % 3 == 0 {
            all.push(format!("{global}{one}{there}FROM t AS u\nFROM u\nRUN true\n"));
            all.push(format!("{global}{one}{there}FROM one\nCOPY --from=t /bin/sh /y\n"));
        }
    }
    for global in ["", "ARG V=1\n", "ARG V=2\n"] {
        for base in ["triggers", "onbuild"] {
            all.push(format!("{global}FROM hearth-test/{base}:1\nRUN true\n"));
            all.push(format!("{global}FROM hearth-test/{base}:1\nARG V=3\nRUN echo $V >/w\n"));
        }
    }
    let mut family = Family {
        name: "triggers".to_owned(),
        trees: Vec::new(),
    };
    for text in all {
        let mut tree = Tree::new(&text, FILES);
        tree.write("app", "1");
        family.trees.push((text, tree));
    }
    family
}

fn arguments() -> Family {
    Family::of_dockerfiles(
        "arguments",
        FILES,
        &[
            "ARG V=a\nFROM hearth-test/base:1\nARG V\nCOPY $V /x\n",
            "ARG V=b\nFROM hearth-test/base:1\nARG V\nCOPY $V /x\n",
            "ARG V=b\nFROM hearth-test/base:1\nARG V=a\nCOPY $V /x\n",
            "ARG V=a\nFROM hearth-test/base:1\nCOPY ${V:-b} /x\n",
            "FROM hearth-test/base:1\nARG V=a\nCOPY $V /x\n",
            "FROM hearth-test/base:1\nARG V=a\nENV V=b\nCOPY $V /x\n",
            "FROM hearth-test/base:1\nENV V=b\nARG V=a\nCOPY $V /x\n",
            "FROM hearth-test/base:1\nENV V=a\nARG V=b\nCOPY $V /x\n",
            "FROM hearth-test/base:1\nENV V=a\nARG V=b\nENV W=$V\nCOPY $W /x\n",
            "FROM hearth-test/base:1\nENV V=a\nARG V\nCOPY $V /x\n",
            "FROM hearth-test/base:1\nENV V=b\nARG V\nCOPY $V /x\n",
            "FROM hearth-test/base:1\nARG V=a W=b\nCOPY $V /x\n",
            "FROM hearth-test/base:1\nARG V=a\nARG W=$V\nCOPY $W /x\n",
            "FROM hearth-test/base:1\nARG V=b\nARG W=a\nCOPY $W /x\n",
            "FROM hearth-test/base:1\nARG V=b\nARG W=a\nRUN echo $V >/o\nCOPY $W /x\n",
            "FROM hearth-test/base:1\nARG W=a\nARG V=b\nRUN echo $V >/o\nCOPY $W /x\n",
            "FROM hearth-test/base:1\nARG W=a\nRUN echo $V >/o\nCOPY $W /x\n",
            "FROM hearth-test/base:1\nARG V=b\nRUN echo 1 >/o\n",
            "FROM hearth-test/base:1\nARG V=c\nRUN echo 1 >/o\n",
            "FROM hearth-test/base:1\nRUN echo 1 >/o\nARG V=b\n",
            "FROM hearth-test/base:1\nRUN echo 1 >/o\nARG V=c\n",
            "FROM hearth-test/base:1\nRUN echo 1 >/o\n",
            "ARG V=1\nFROM hearth-test/base:1\nRUN echo 1 >/o\n",
            "ARG V=a\nFROM hearth-test/base:1 AS one\nARG V\nFROM one\nCOPY ${V:-b} /x\n",
            "ARG V=a\nFROM hearth-test/base:1 AS one\nARG V\nFROM one\nARG V\nCOPY ${V:-b} /x\n",
            "FROM hearth-test/base:1 AS one\nARG V=a\nFROM one\nCOPY ${V:-b} /x\n",
            "FROM hearth-test/base:1 AS one\nARG V=a\nFROM one\nRUN echo $V >/o\n",
            "FROM hearth-test/base:1 AS one\nARG V=b\nFROM one\nRUN echo $V >/o\n",
            "FROM hearth-test/base:1 AS one\nENV V=a\nFROM one\nCOPY ${V:-b} /x\n",
            "FROM hearth-test/base:1\nARG TARGETARCH\nRUN echo $TARGETARCH >/o\n",
            "FROM hearth-test/base:1\nARG TARGETARCH=x\nRUN echo $TARGETARCH >/o\n",
            "ARG TARGETARCH\nFROM hearth-test/base:1\nARG TARGETARCH\nRUN echo $TARGETARCH >/o\n",
            "ARG TARGETARCH=y\nFROM hearth-test/base:1\nARG TARGETARCH\nRUN echo $TARGETARCH >/o\n",
            "FROM hearth-test/base:1\nRUN echo $TARGETARCH >/o\n",
            "FROM hearth-test/base:1\nARG TARGETSTAGE\nRUN echo $TARGETSTAGE >/o\n",
            "FROM hearth-test/base:1 AS x\nARG TARGETSTAGE\nRUN echo $TARGETSTAGE >/o\n",
            "ARG TARGETSTAGE=z\nFROM hearth-test/base:1\nARG TARGETSTAGE\nRUN echo $TARGETSTAGE >/o\n",
            "FROM hearth-test/base:1\nARG BUILDPLATFORM\nRUN echo $BUILDPLATFORM >/o\n",
            "FROM hearth-test/base:1\nARG HTTP_PROXY=a\nRUN echo 1 >/o\n",
            "FROM hearth-test/base:1\nARG HTTP_PROXY=b\nRUN echo 1 >/o\n",
            "ARG HTTP_PROXY=b\nFROM hearth-test/base:1\nRUN echo 1 >/o\n",
            "FROM hearth-test/base:1\nARG SOURCE_DATE_EPOCH=1\nRUN echo 1 >/o\n",
            "ARG SOURCE_DATE_EPOCH=1\nFROM hearth-test/base:1\nRUN echo 1 >/o\n",
            "ARG SOURCE_DATE_EPOCH=2\nFROM hearth-test/base:1\nRUN echo 1 >/o\n",
            "ARG BUILDKIT_SYNTAX=x\nFROM hearth-test/base:1\nRUN echo 1 >/o\n",
            "FROM hearth-test/base:1\nARG PATH=/x\nRUN echo 1 >/o\n",
            "FROM hearth-test/base:1\nARG PATH\nRUN echo 1 >/o\n",
            "FROM hearth-test/base:1\nENV PATH=$PATH\nRUN echo 1 >/o\n",
            "FROM hearth-test/base:1\nENV PATH=$PATH:/x\nRUN echo 1 >/o\n",
            "FROM scratch\nCOPY a /x\nENV P=$PATH\n",
            "FROM scratch\nCOPY a /x\nENV P=\n",
            "FROM scratch\nCOPY a /x\nENV A=1 B=2\n",
            "FROM scratch\nCOPY a /x\nENV B=2 A=1\n",
            "FROM scratch\nCOPY a /x\nENV A=1\nENV B=2\n",
            "FROM scratch\nCOPY a /x\nENV A=1\nENV A=2\n",
            "FROM scratch\nCOPY a /x\nENV A=2\n",
            "FROM scratch\nENV A=2\nCOPY a /x\n",
            "FROM scratch\nCOPY a /x\nENV a=2\n",
            "FROM scratch\nCOPY a /x\nENV A=\n",
            "FROM scratch\nCOPY a /x\n",
            "ARG V=a\nARG V=b\nFROM hearth-test/base:1\nARG V\nCOPY $V /x\n",
            "ARG V=a\nARG V\nFROM hearth-test/base:1\nARG V\nCOPY $V /x\n",
            "ARG W=a\nARG V=$W\nFROM hearth-test/base:1\nARG V\nCOPY $V /x\n",
            "ARG W=a\nARG V=$W\nFROM hearth-test/base:1\nARG W=b\nARG V\nCOPY $V /x\n",
        ],
    )
}

fn copies() -> Family {
    family(
        "copies",
        "FROM hearth-test/base:1 AS one\nRUN mkdir -p /c/d && echo 1 >/c/a\nFROM hearth-test/base:1\nWORKDIR /w\n",
        &[
            "COPY a /x",
            "COPY a b /x/",
            "COPY b a /x/",
            "COPY a ./",
            "COPY a .",
            "COPY a /w/",
            "COPY a /w",
            "COPY a x",
            "COPY a ./x",
            "COPY a /w/x",
            "COPY a //x",
            "COPY a /./x",
            "COPY a /y/../x",
            "COPY c /x",
            "COPY c/ /x",
            "COPY c/ /x/",
            "COPY c/. /x/",
            "COPY c/* /x/",
            "COPY c/a c/d /x/",
            "COPY ./c /x",
            "COPY c//d /x",
            "COPY c/d /x",
            "COPY --parents c/d /x/",
            "COPY --parents c/./d /x/",
            "COPY --parents ./c/d /x/",
            "COPY --parents=false c/d /x/",
            "COPY --parents=true c/d /x/",
            "COPY --exclude=d c /x/",
            "COPY --exclude=a c /x/",
            "COPY --exclude=a --exclude=d c /x/",
            "COPY --exclude=d --exclude=a c /x/",
            "COPY --exclude=**/b c /x/",
            "COPY --link a /x",
            "COPY --link=true a /x",
            "COPY --link=false a /x",
            "COPY --link=1 a /x",
            "COPY --LINK a /x",
            "COPY --link --chown=1 a /x",
            "COPY --chown=1 --link a /x",
            "COPY --chown=1 a /x",
            "COPY --chown=1:1 a /x",
            "COPY --chown=01 a /x",
            "COPY --chown=0 a /x",
            "COPY --chown=0:0 a /x",
            "COPY --chown= a /x",
            "COPY --chown=\"1\" a /x",
            "COPY --chmod=644 a /x",
            "COPY --chmod=0644 a /x",
            "COPY --chmod=00644 a /x",
            "COPY --chmod=4644 a /x",
            "COPY --chmod=04644 a /x",
            "COPY --chmod=u+x a /x",
            "COPY --chmod=0 a /x",
            "COPY --chmod=000 a /x",
            "COPY --chmod= a /x",
            "COPY --chmod=600 --chmod=644 a /x",
            "COPY --chmod=644 --chmod=600 a /x",
            "COPY --keep-git-dir a /x",
            "ADD a /x",
            "ADD --link a /x",
            "ADD c /x",
            "ADD --chmod=644 a /x",
            "ADD --unpack a /x",
            "ADD --unpack=false a /x",
            "ADD --keep-git-dir=true a /x",
            "ADD --checksum=sha256:0000000000000000000000000000000000000000000000000000000000000000 a /x",
            "ADD {web}/tool /x",
            "ADD --checksum=sha256:{sha} {web}/tool /x",
            "ADD --checksum=sha256:{sha} --chmod=600 {web}/tool /x",
            "ADD --checksum=sha256:{sha} {web}/tool /x/",
            "ADD --checksum=sha256:{sha} --link {web}/tool /x/",
            "ADD --checksum=sha256:{sha} {web}/tool a /x/",
            "ADD --checksum=sha256:{sha} --unpack=true {web}/tool /x/",
            "COPY --from=one /c /x",
            "COPY --from=one c /x",
            "COPY --from=one /c/ /x",
            "COPY --from=one /c/* /x/",
            "COPY --from=one /c/a /x/",
            "COPY --from=one --chown=1 /c/a /x/",
            "COPY --chown=1 --from=one /c/a /x/",
            "COPY --from=one --parents /c/a /x/",
            "COPY [\"a\", \"/x\"]",
            "COPY [ \"a\" , \"/x\" ]",
            "COPY [\"a\",\"/x\"]",
            "COPY [a, /x]",
            "COPY [\"a\" \"/x\"]",
            "COPY --chmod=600 [\"a\", \"/x\"]",
            "COPY a* /x/",
            "COPY [ab] /x/",
            "COPY [a-b] /x/",
            "COPY [^a] /x/",
            "COPY ? /x/",
            "COPY ?? /x/",
            "COPY \\a /x",
            "COPY a /x\nCOPY b /x",
            "COPY b /x\nCOPY a /x",
            "COPY a /x\nCOPY a /x",
        ],
    )
}

fn runs() -> Family {
    family(
        "runs",
        "FROM hearth-test/base:1 AS one\nRUN mkdir -p /c/d && echo 1 >/c/a\nFROM hearth-test/base:1\nARG V=a\nWORKDIR /w\n",
        &[
            "RUN ls /m >/o || true",
            "RUN --mount=target=/m ls /m >/o || true",
            "RUN --mount=type=bind,target=/m ls /m >/o || true",
            "RUN --mount=target=/m,type=bind ls /m >/o || true",
            "RUN --mount=type=bind,dst=/m ls /m >/o || true",
            "RUN --mount=type=bind,destination=/m ls /m >/o || true",
            "RUN --mount=type=BIND,target=/m ls /m >/o || true",
            "RUN --mount=\"type=bind,target=/m\" ls /m >/o || true",
            "RUN --mount='type=bind,target=/m' ls /m >/o || true",
            "RUN --mount=type=bind,\"target=/m\" ls /m >/o || true",
            "RUN --mount=type=bind,target=/m,ro ls /m >/o || true",
            "RUN --mount=type=bind,target=/m,readonly=true ls /m >/o || true",
            "RUN --mount=type=bind,target=/m,rw ls /m >/o || true",
            "RUN --mount=type=bind,target=/m,source=c ls /m >/o || true",
            "RUN --mount=type=bind,target=/m,src=c ls /m >/o || true",
            "RUN --mount=type=bind,target=/m,source=/c ls /m >/o || true",
            "RUN --mount=type=bind,target=/m,source=./c ls /m >/o || true",
            "RUN --mount=type=bind,target=/m,source=c/ ls /m >/o || true",
            "RUN --mount=type=bind,target=/m,source=c/d ls /m >/o || true",
            "RUN --mount=type=bind,target=/m,source=c/../c ls /m >/o || true",
            "RUN --mount=type=bind,target=/m,source=$V cat /m >/o || true",
            "RUN --mount=type=bind,target=/m,source=a cat /m >/o || true",
            "RUN --mount=type=bind,target=/m,source=b cat /m >/o || true",
            "RUN --mount=type=bind,target=m ls m >/o || true",
            "RUN --mount=type=bind,target=/w/m ls m >/o || true",
            "RUN --mount=type=bind,from=one,target=/m ls /m >/o || true",
            "RUN --mount=type=bind,from=one,source=c,target=/m ls /m >/o || true",
            "RUN --mount=type=bind,from=one,source=/c,target=/m ls /m >/o || true",
            "RUN --mount=type=bind,source=c,from=one,target=/m ls /m >/o || true",
            "RUN --mount=type=cache,target=/m ls /m >/o || true",
            "RUN --mount=type=cache,target=/m,id=x ls /m >/o || true",
            "RUN --mount=type=cache,target=/m,id=$V ls /m >/o || true",
            "RUN --mount=type=cache,target=/m,id=a ls /m >/o || true",
            "RUN --mount=type=cache,target=/m,sharing=locked ls /m >/o || true",
            "RUN --mount=type=cache,target=/m,sharing=private ls /m >/o || true",
            "RUN --mount=type=cache,target=/m,mode=0700 ls /m >/o || true",
            "RUN --mount=type=cache,target=/m,uid=1 ls /m >/o || true",
            "RUN --mount=type=cache,target=/m,uid=2 ls /m >/o || true",
            "RUN --mount=type=cache,target=/m,ro ls /m >/o || true",
            "RUN --mount=type=cache,target=/m,from=one,source=c ls /m >/o || true",
            "RUN --mount=type=cache,target=/m,from=one,source=/c/d ls /m >/o || true",
            "RUN --mount=type=tmpfs,target=/m ls /m >/o || true",
            "RUN --mount=type=tmpfs,target=/m,size=100000 ls /m >/o || true",
            "RUN --mount=type=secret,id=x ls /m >/o || true",
            "RUN --mount=type=secret,id=x,target=/m ls /m >/o || true",
            "RUN --mount=type=secret,id=x,env=X ls /m >/o || true",
            "RUN --mount=type=secret,id=y ls /m >/o || true",
            "RUN --mount=type=ssh ls /m >/o || true",
            "RUN --mount=type=tmpfs,target=/m --mount=type=tmpfs,target=/n ls /m >/o || true",
            "RUN --mount=type=tmpfs,target=/n --mount=type=tmpfs,target=/m ls /m >/o || true",
            "RUN --network=none ls /m >/o || true",
            "RUN --network=default ls /m >/o || true",
            "RUN --network=host ls /m >/o || true",
            "RUN --security=sandbox ls /m >/o || true",
            "RUN --network=none --mount=type=tmpfs,target=/m ls /m >/o || true",
            "RUN --mount=type=tmpfs,target=/m --network=none ls /m >/o || true",
            "RUN --network=none --network=default ls /m >/o || true",
            "RUN -- ls /m >/o || true",
            "RUN [\"sh\", \"-c\", \"ls /m >/o || true\"]",
            "RUN --network=none [\"sh\", \"-c\", \"ls /m >/o || true\"]",
            "ENV V=b\nRUN ls /m >/o || true",
            "USER 0\nRUN ls /m >/o || true",
            "USER root\nRUN ls /m >/o || true",
            "USER 0:0\nRUN ls /m >/o || true",
            "WORKDIR /w/\nRUN ls /m >/o || true",
            "WORKDIR /w/.\nRUN ls /m >/o || true",
            "WORKDIR x\nRUN ls /m >/o || true",
            "WORKDIR /w/x\nRUN ls /m >/o || true",
            "SHELL [\"/bin/sh\",\"-c\"]\nRUN ls /m >/o || true",
            "SHELL [\"sh\",\"-c\"]\nRUN ls /m >/o || true",
        ],
    )
}

fn image() -> Family {
    family(
        "the image",
        BASE,
        &[
            "LABEL a=1", "LABEL a=2", "LABEL a 1", "LABEL \"a\"=1", "LABEL a=\"1\"", "LABEL a='1'", "LABEL a=1 b=2",
            "LABEL b=2 a=1", "LABEL a=1\nLABEL b=2", "LABEL a=1\nLABEL a=1", "LABEL a=1\nLABEL a=2", "LABEL a.b=1", "LABEL a=\"1 2\"",
            "LABEL a=1\\ 2", "LABEL a=\"1\\\n2\"", "LABEL a=$BASE_DIR", "LABEL a=src", "LABEL $BASE_DIR=1",
            "CMD a", "CMD a b", "CMD a  b", "CMD [\"a\"]", "CMD [\"a\", \"b\"]", "CMD [\"a\",\"b\"]", "CMD [ \"a\" ]", "CMD [a]", "CMD ['a']", "CMD []", "CMD",
            "CMD a\nCMD a", "CMD b\nCMD a", "CMD $BASE_DIR", "CMD [\"$BASE_DIR\"]", "CMD \"a\"",
            "ENTRYPOINT a", "ENTRYPOINT [\"a\"]", "ENTRYPOINT []", "ENTRYPOINT [\"a\"]\nCMD b", "CMD b\nENTRYPOINT [\"a\"]",
            "EXPOSE 1", "EXPOSE 1/tcp", "EXPOSE 1/TCP", "EXPOSE 1/udp", "EXPOSE 1 2", "EXPOSE 2 1", "EXPOSE 1-2", "EXPOSE \"1\"", "EXPOSE 1\nEXPOSE 1", "EXPOSE 01",
            "HEALTHCHECK CMD a", "HEALTHCHECK CMD [\"a\"]", "HEALTHCHECK CMD  a", "HEALTHCHECK --interval=1s CMD a", "HEALTHCHECK --interval=1000ms CMD a",
            "HEALTHCHECK --interval=1s --timeout=2s CMD a", "HEALTHCHECK --timeout=2s --interval=1s CMD a", "HEALTHCHECK --retries=3 CMD a",
            "HEALTHCHECK --retries=0 CMD a", "HEALTHCHECK --start-period=1s CMD a", "HEALTHCHECK --start-interval=1s CMD a", "HEALTHCHECK NONE", "HEALTHCHECK none", "HEALTHCHECK cmd a", "HEALTHCHECK CMD [ \"a\" ]",
            "MAINTAINER a", "MAINTAINER  a", "MAINTAINER b", "MAINTAINER a b",
            "STOPSIGNAL 9", "STOPSIGNAL KILL", "STOPSIGNAL SIGKILL", "STOPSIGNAL kill", "STOPSIGNAL 09",
            "USER 1", "USER 01", "USER a", "USER \"1\"", "USER 1:1", "USER $BASE_DIR", "USER 1 2",
            "VOLUME /a", "VOLUME [\"/a\"]", "VOLUME /a /b", "VOLUME /b /a", "VOLUME [\"/a\", \"/b\"]", "VOLUME \"/a\"", "VOLUME /a\nVOLUME /b", "VOLUME $BASE_DIR", "VOLUME src", "VOLUME /a/",
            "WORKDIR /a", "WORKDIR a", "WORKDIR \"/a\"", "WORKDIR /a/", "WORKDIR /a b", "WORKDIR $BASE_DIR", "WORKDIR /x\nWORKDIR ../a",
            "SHELL [\"a\"]", "SHELL [ \"a\" ]", "SHELL [\"a\", \"-c\"]\nCMD b", "CMD b\nSHELL [\"a\", \"-c\"]",
            "ONBUILD LABEL a=1", "# LABEL a=1", "",
        ],
    )
}

/// The stage that a configuration names.
fn targets() -> Family {
    let text = "FROM hearth-test/base:1 AS one\nRUN echo 1 >/f\nFROM one AS two\nARG TARGETSTAGE\nRUN echo $TARGETSTAGE >/t\nFROM hearth-test/other:1 AS Three\nCOPY --from=one /f /g\nFROM one\nRUN echo 4 >/h\n";
    let mut family = Family {
        name: "targets".to_owned(),
        trees: Vec::new(),
    };
    for target in ["one", "two", "three", "Three", "THREE", "0", "1", "2", "3", "", "dev_container_auto_added_stage_label"] {
        let config = serde_json::json!({"build": {"dockerfile": "Dockerfile", "context": "..", "target": target}});
        family.trees.push((target.to_owned(), Tree::new(text, FILES).with_config(config)));
    }
    for options in [["--target", "two"].as_slice(), &["--target=two"], &["--target=one", "--target=two"]] {
        let config = serde_json::json!({"build": {"dockerfile": "Dockerfile", "context": "..", "options": options}});
        family.trees.push((format!("{options:?}"), Tree::new(text, FILES).with_config(config)));
    }
    family
}

fn options() -> Vec<Family> {
    let text = "ARG V=1\nFROM hearth-test/base:1\nARG V\nRUN echo $V $W >/o\nCOPY a /a\n";
    let all: &[&[&str]] = &[
        &[],
        &["--label", "a=b"],
        &["--label=a=b"],
        &["--label", "a=c"],
        &["--label", "b=c", "--label", "a=b"],
        &["--label", "a=b", "--label", "b=c"],
        &["--label", "a=b", "--label", "a=c"],
        &["--label", "a=c", "--label", "a=b"],
        &["--build-arg", "V=2"],
        &["--build-arg=V=2"],
        &["--build-arg", "V=1"],
        &["--build-arg", "V=1", "--build-arg", "V=2"],
        &["--build-arg", "V=2", "--build-arg", "V=1"],
        &["--build-arg", "W=2"],
        &["--build-arg", "V="],
        &["--add-host", "a:127.0.0.1"],
        &["--add-host=a=127.0.0.1"],
        &["--add-host", "a:127.0.0.2"],
        &["--network=host"],
        &["--network", "none"],
        &["--shm-size", "64m"],
        &["--shm-size", "65m"],
        &["--ulimit", "nofile=100:100"],
        &["--ulimit", "nofile=101:101"],
        &["--platform", "linux/amd64"],
        &["--pull"],
        &["-q"],
        &["--rm"],
        &["--annotation", "a=b"],
        &["--cgroup-parent", "x"],
    ];
    let mut family = Family {
        name: "options".to_owned(),
        trees: Vec::new(),
    };
    for options in all {
        let config = serde_json::json!({"build": {"dockerfile": "Dockerfile", "context": "..", "options": options}});
        family.trees.push((format!("{options:?}"), Tree::new(text, FILES).with_config(config)));
    }
    vec![family]
}
