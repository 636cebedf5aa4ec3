//! Changes of the context, seen through COPY, ADD, mounts and ignore files.

use super::{
    Case,
    Change::{Folder, Link, Mode, Remote, Remove, Touch, Write},
    case,
};

pub fn cases() -> Vec<Case> {
    let mut all = sources();
    all.extend(metadata());
    all.extend(ignored());
    all.extend(elsewhere());
    all
}

#[rustfmt::skip] // A case is a line.
fn sources() -> Vec<Case> {
    vec![
        case("a copied file", &[("Dockerfile", "FROM scratch\nCOPY a /a\n"), ("a", "1")], Write("a", "2")),
        case("a file that is not copied", &[("Dockerfile", "FROM scratch\nCOPY a /a\n"), ("a", "1")], Write("b", "2")),
        case("COPY . sees a new file", &[("Dockerfile", "FROM scratch\nCOPY . /x\n"), ("a", "1")], Write("b", "")),
        case("COPY . sees its Dockerfile", &[("Dockerfile", "FROM scratch\nCOPY . /x\n")], Write("Dockerfile", "FROM scratch\n# x\nCOPY . /x\n")),
        case("COPY ./src", &[("Dockerfile", "FROM scratch\nCOPY ./src /x\n"), ("src/a/b", "1")], Write("src/a/b", "2")),
        case("beside COPY ./src", &[("Dockerfile", "FROM scratch\nCOPY ./src /x\n"), ("src/a", "1"), ("srcs/a", "1")], Write("srcs/a", "2")),
        case("COPY /src/", &[("Dockerfile", "FROM scratch\nCOPY /src/ /x/\n"), ("src/a", "1")], Write("src/c", "2")),
        case("COPY ../ stays in the context", &[("Dockerfile", "FROM scratch\nCOPY ../../src /x/\n"), ("src/a", "1")], Write("src/a", "2")),
        case("a lower-case copy", &[("Dockerfile", "from scratch\ncopy src /x\n"), ("src/a", "1")], Write("src/a", "2")),
        case("JSON form", &[("Dockerfile", "FROM scratch\nCOPY [\"a b\", \"/x/\"]\n"), ("a b", "1")], Write("a b", "2")),
        case("quotes around a name", &[("Dockerfile", "FROM scratch\nCOPY \"a\" /x/\n"), ("a", "1")], Write("a", "2")),
        case("several sources", &[("Dockerfile", "FROM scratch\nCOPY a b c/ /x/\n"), ("a", "1"), ("b", "1"), ("c/d", "1")], Write("c/d", "2")),
        case("a star", &[("Dockerfile", "FROM scratch\nCOPY *.txt /x/\n"), ("a.txt", "1")], Write("b.txt", "2")),
        case("beside a star", &[("Dockerfile", "FROM scratch\nCOPY *.txt /x/\n"), ("a.txt", "1")], Write("d/b.txt", "2")),
        case("a star also means hidden files", &[("Dockerfile", "FROM scratch\nCOPY src/* /x/\n"), ("src/a", "1")], Write("src/.b", "2")),
        case("a star that means a folder", &[("Dockerfile", "FROM scratch\nCOPY s*c /x/\n"), ("src/d/a", "1")], Write("src/d/a", "2")),
        case("a star in the middle", &[("Dockerfile", "FROM scratch\nCOPY p/*/package.json /x/\n"), ("p/a/package.json", "1")], Write("p/b/package.json", "2")),
        case("two stars are one", &[("Dockerfile", "FROM scratch\nCOPY p/**/f /x/\n"), ("p/a/f", "1")], Write("p/a/b/f", "2")),
        case("a question mark", &[("Dockerfile", "FROM scratch\nCOPY a? /x/\n"), ("ab", "1")], Write("ac", "2")),
        case("a class", &[("Dockerfile", "FROM scratch\nCOPY a[b-d] /x/\n"), ("ab", "1")], Write("ac", "2")),
        case("outside a class", &[("Dockerfile", "FROM scratch\nCOPY a[b-d] /x/\n"), ("ab", "1")], Write("ae", "2")),
        case("an escaped star", &[("Dockerfile", "FROM scratch\nCOPY a[*] /x/\n"), ("a*", "1"), ("ab", "1")], Write("a*", "2")).careful(),
        case("ADD of a file", &[("Dockerfile", "FROM scratch\nADD a /x/\n"), ("a", "1")], Write("a", "2")),
        case("ADD of a folder", &[("Dockerfile", "FROM scratch\nADD src /x/\n"), ("src/a", "1")], Write("src/b", "2")),
        case("COPY --chown --chmod", &[("Dockerfile", "FROM scratch\nCOPY --chown=1:1 a /x/\n"), ("a", "1")], Write("a", "2")),
        case("COPY --link", &[("Dockerfile", "FROM scratch\nCOPY --link a /x/\n"), ("a", "1")], Write("a", "2")),
        case("a context below the clone", &[("sub/Dockerfile", "FROM scratch\nCOPY . /x\n"), ("sub/a", "1"), ("b", "1")], Write("b", "2")).in_sub(),
        case("in a context below the clone", &[("sub/Dockerfile", "FROM scratch\nCOPY . /x\n"), ("sub/a", "1")], Write("sub/a", "2")).in_sub(),
        case("a bind mount of a folder", &[("Dockerfile", "FROM hearth-test/base:1\nRUN --mount=type=bind,source=src,target=/m cat /m/a >/o\n"), ("src/a", "1")], Write("src/a", "2")),
        case("a bind mount is the default", &[("Dockerfile", "FROM hearth-test/base:1\nRUN --mount=target=/m cat /m/a >/o\n"), ("a", "1")], Write("b", "2")),
        case("beside a bind mount", &[("Dockerfile", "FROM hearth-test/base:1\nRUN --mount=type=bind,source=src,target=/m cat /m/a >/o\n"), ("src/a", "1")], Write("b", "2")),
        case("a mount of one file", &[("Dockerfile", "FROM hearth-test/base:1\nRUN --mount=type=bind,src=a,dst=/m cat /m >/o\n"), ("a", "1"), ("b", "1")], Write("a", "2")),
        case("a mount from a stage", &[("Dockerfile", "FROM hearth-test/base:1 AS s\nCOPY a /a\nFROM hearth-test/base:1\nRUN --mount=from=s,target=/m cat /m/a >/o\n"), ("a", "1")], Write("a", "2")),
        case("a cache mount sees no file", &[("Dockerfile", "FROM hearth-test/base:1\nRUN --mount=type=cache,target=/m true\n"), ("a", "1")], Write("a", "2")),
        case("a writable bind mount", &[("Dockerfile", "FROM hearth-test/base:1\nRUN --mount=type=bind,rw,source=src,target=/m cat /m/a >/o\n"), ("src/a", "1")], Write("src/a", "2")),
    ]
}

#[rustfmt::skip] // A case is a line.
fn metadata() -> Vec<Case> {
    vec![
        case("the time of a file", &[("Dockerfile", "FROM scratch\nCOPY . /x\n"), ("a", "1")], Touch("a")),
        case("the executable bit", &[("Dockerfile", "FROM scratch\nCOPY a /x/\n"), ("a", "1")], Mode("a", 0o755)),
        case("the group's write bit", &[("Dockerfile", "FROM scratch\nCOPY a /x/\n"), ("a", "1")], Mode("a", 0o664)),
        case("the others' read bit", &[("Dockerfile", "FROM scratch\nCOPY src /x/\n"), ("src/a", "1")], Mode("src/a", 0o640)),
        // The engine keeps what a client sent and has only changes sent again. It sometimes overlooks changes of folders
        // then, and always a file with an escaped name: the image is stale.
        case("the sticky bit of a folder", &[("Dockerfile", "FROM scratch\nCOPY . /x/\n"), ("src/a", "1")], Mode("src", 0o1755)).careful(),
        case("the mode of a folder in a copied folder", &[("Dockerfile", "FROM scratch\nCOPY src /x/\n"), ("src/d/a", "1")], Mode("src/d", 0o700)).careful(),
        case("the mode of a copied folder", &[("Dockerfile", "FROM scratch\nCOPY src /x/\n"), ("src/d/a", "1")], Mode("src", 0o700)).careful(),
        case("the mode of a folder above a copied one", &[("Dockerfile", "FROM scratch\nCOPY a/b /x/\n"), ("a/b/c", "1")], Mode("a", 0o700)).careful(),
        case("an empty folder", &[("Dockerfile", "FROM scratch\nCOPY . /x\n"), ("a", "1")], Folder("d")),
        case("another name", &[("Dockerfile", "FROM scratch\nCOPY src /x/\n"), ("src/a", "1")], Remove("src/a")).after(Write("src/b", "1")),
        case("the target of a link", &[("Dockerfile", "FROM scratch\nCOPY src /x/\n"), ("src/a", "1")], Link("src/l", "b")).after(Link("src/l", "a")),
        case("a file becomes a link", &[("Dockerfile", "FROM scratch\nCOPY src /x/\n"), ("src/a", "1"), ("src/b", "1")], Link("src/b", "a")),
        case("what a copied link leads to", &[("Dockerfile", "FROM scratch\nCOPY l /x/\n"), ("a", "1")], Write("a", "2")).after(Link("l", "a")),
        case("a folder behind a link", &[("Dockerfile", "FROM scratch\nCOPY l/b /x/\n"), ("a/b", "1")], Write("a/b", "2")).after(Link("l", "a")),
        case("beside a link", &[("Dockerfile", "FROM scratch\nCOPY l /x/\n"), ("a", "1")], Write("b", "2")).after(Link("l", "a")).careful(),
        case("what a link in a copied folder leads to", &[("Dockerfile", "FROM scratch\nCOPY src /x/\n"), ("a", "1"), ("src/b", "1")], Write("a", "2")).after(Link("src/l", "../a")),
        case("the commit in .git", &[("Dockerfile", "FROM scratch\nCOPY . /x\n"), (".git/HEAD", "0123456789012345678901234567890123456789\n")], Write(".git/HEAD", "1123456789012345678901234567890123456789\n")),
    ]
}

#[rustfmt::skip] // A case is a line.
fn ignored() -> Vec<Case> {
    const ALL: &str = "FROM scratch\nCOPY . /x\n";
    vec![
        case("an ignored file", &[("Dockerfile", ALL), (".dockerignore", "*.log\n"), ("a", "1")], Write("b.log", "2")),
        case("a star does not reach below", &[("Dockerfile", ALL), (".dockerignore", "*.log\n"), ("d/a", "1")], Write("d/b.log", "2")),
        case("two stars reach below", &[("Dockerfile", ALL), (".dockerignore", "**/*.log\n"), ("d/a", "1")], Write("d/e/b.log", "2")),
        case("an ignored folder", &[("Dockerfile", ALL), (".dockerignore", "/node_modules/\n"), ("node_modules/a", "1")], Write("node_modules/b", "2")),
        case("a file taken back", &[("Dockerfile", ALL), (".dockerignore", "docs\n!docs/README.md\n"), ("docs/README.md", "1")], Write("docs/README.md", "2")),
        case("beside a file taken back", &[("Dockerfile", ALL), (".dockerignore", "docs\n!docs/README.md\n"), ("docs/README.md", "1")], Write("docs/other", "2")),
        case("all but what is taken back", &[("Dockerfile", ALL), (".dockerignore", "*\n!src\n"), ("src/a", "1"), ("b", "1")], Write("src/a", "2")),
        case("ignored by all", &[("Dockerfile", ALL), (".dockerignore", "*\n!src\n"), ("src/a", "1"), ("b", "1")], Write("b", "2")),
        case("the last pattern wins", &[("Dockerfile", ALL), (".dockerignore", "!a\n*\n"), ("a", "1")], Write("a", "2")),
        case("taken back by a pattern", &[("Dockerfile", ALL), (".dockerignore", "**\n!**/*.md\n"), ("d/e/a.md", "1"), ("d/b", "1")], Write("d/e/b.md", "2")),
        case("a folder taken back in vain", &[("Dockerfile", ALL), (".dockerignore", "a/b\n!a\n"), ("a/b/c", "1")], Write("a/b/c", "2")),
        case("a folder taken back with all that is in it", &[("Dockerfile", ALL), (".dockerignore", "**/*.log\na\n!a/b\n"), ("a/b/c", "1")], Write("a/b/d.log", "2")),
        case("comments and blank lines", &[("Dockerfile", ALL), (".dockerignore", "# *\n\n  b  \n"), ("a", "1"), ("b", "1")], Write("b", "2")),
        case("a class in a pattern", &[("Dockerfile", ALL), (".dockerignore", "[ab].txt\n"), ("a.txt", "1"), ("c.txt", "1")], Write("a.txt", "2")),
        case("a dot is a dot", &[("Dockerfile", ALL), (".dockerignore", "a.b\n"), ("acb", "1")], Write("acb", "2")),
        case("a file in a copied folder is ignored", &[("Dockerfile", "FROM scratch\nCOPY src /x\n"), (".dockerignore", "src/b\n"), ("src/a", "1")], Write("src/b", "2")),
        case("the ignore file changes what is seen", &[("Dockerfile", ALL), (".dockerignore", "b\n.dockerignore\n"), ("a", "1"), ("b", "1")], Write(".dockerignore", "c\n.dockerignore\n")),
        case("an ignore file of the Dockerfile", &[("Dockerfile", ALL), ("Dockerfile.dockerignore", "b\n"), (".dockerignore", "c\n"), ("a", "1"), ("b", "1"), ("c", "1")], Write("c", "2")).careful(),
        case("ignored by one of two files", &[("Dockerfile", ALL), ("Dockerfile.dockerignore", "b\n"), (".dockerignore", "c\n"), ("a", "1"), ("b", "1"), ("c", "1")], Write("b", "2")).careful(),
        case("a mount does not see ignored files", &[("Dockerfile", "FROM hearth-test/base:1\nRUN --mount=target=/m ls /m >/o\n"), (".dockerignore", "b\n"), ("a", "1")], Write("b", "2")),
    ]
}

#[rustfmt::skip] // A case is a line.
fn elsewhere() -> Vec<Case> {
    vec![
        case("ADD of a URL", &[("Dockerfile", "FROM scratch\nADD {web}/one /x/\n")], Remote("one", "2")).after(Remote("one", "1")),
        case("ADD of a URL that stays", &[("Dockerfile", "FROM scratch\nADD {web}/two /x/\n")], Remote("three", "2")).after(Remote("two", "1")).careful(),
    ]
}
