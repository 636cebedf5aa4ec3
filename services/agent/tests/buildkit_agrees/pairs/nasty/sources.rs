//! Names of files, patterns, ignore files, links, modes.

use super::Family;
use crate::tree::{Node, Tree};

/// Names that patterns and ignore files may or may not mean.
const NAMES: &[&str] = &[
    "a", "b", "ab", "A", "a b", "a*", "a?", "[a]", "a\\b", "-a", ".a", "a.txt", "b.md", "é", "#a",
    "!a", "d/a", "d/b.txt", "d/.h", "d/e/a", "d/e/b.md", "D/a", "d e/a", "a.b/c", "f/g/h/i",
];

const PATTERNS: &[&str] = &[
    "a", "./a", "/a", "a/", "*", "**", "*.txt", "**/*.txt", "*/*.txt", "d", "d/", "d/.", "d/*",
    "d/**", "d/*/a", "d/**/a", "**/a", "?", "??", "a?", "a\\?", "a\\*", "a[*]", "[ab]", "[^a]",
    "[!a]", "[a-c]", "[\\[]a]", "\\[a\\]", "a\\\\b", ".*", "d/.*", "{a,b}", "*a", "a*", "-*",
    "\\-a", "#*", "!*", "[#]a", "é", "?.txt", "d?e/a", "d/../a", "../a", "f/*/h", "f/*/*/i",
    "*/*/*/*", "d//a", "A", "d/e/", "[d]/a", "*/a", "d/e/*", "d*/a", "d/?", "[a-z].md", "a.b/*",
    "*.b",
];

pub fn families() -> Vec<Family> {
    let files: Vec<(&str, &str)> = NAMES.iter().map(|name| (*name, "1")).collect();
    let with = |name: &str, dockerfile: &str, ignores: &[&str]| {
        let trees = ignores.iter().map(|ignore| {
            let mut tree = Tree::new(dockerfile, &files);
            tree.write(".dockerignore", ignore);
            (format!("{ignore:?}"), tree)
        });
        Family {
            name: name.to_owned(),
            trees: trees.collect(),
        }
    };
    let ignores = ignores();
    let ignores: Vec<&str> = ignores.iter().map(String::as_str).collect();
    vec![
        with(
            "ignored of everything",
            "FROM scratch\nCOPY . /x\n",
            &ignores,
        ),
        with("ignored of a folder", "FROM scratch\nCOPY d /x\n", &ignores),
        with(
            "ignored of a mount",
            "FROM hearth-test/base:1\nRUN --mount=target=/m ls /m /m/d >/o || true\n",
            &ignores,
        ),
    ]
}

fn ignores() -> Vec<String> {
    let mut all: Vec<String> = PATTERNS
        .iter()
        .map(|pattern| format!("{pattern}\n"))
        .collect();
    all.extend(PATTERNS.iter().map(|pattern| format!("*\n!{pattern}\n")));
    let more = [
        "",
        "\n",
        "\u{feff}a\n",
        "a\r\nb\r\n",
        "a\nb",
        "  a\n",
        "a  \n",
        "\ta\n",
        "#a\n",
        " #a\n",
        "\\#a\n",
        "!a\n",
        "! a\n",
        "!!a\n",
        "\\!a\n",
        "a\n!a\n",
        "!a\na\n",
        "d\n!d/e\n",
        "d\n!d/e/a\n",
        "d/e\n!d\n",
        "**\n!d\n!d/e/a\n",
        "*\n!d\nd/e\n",
        "*\n!d/**/a\n",
        "*\n!**/a\n",
        "**/d\n!**/d/e\n",
        "/\n",
        ".\n",
        "./\n",
        "..\n",
        "/..\n",
        "//a\n",
        "a//\n",
        "d/./e\n",
        "\\\n",
        "[\n",
        "a[\n",
        "[]\n",
        "[]a]\n",
        "[a-]\n",
        "[-a]\n",
        "[a\n",
        "\\a\n",
        "d\\/a\n",
        "a\u{a0}\n",
        "\u{a0}a\n",
        "é\n",
        "[é]\n",
        "**é\n",
        "**a\n",
        "a**\n",
        "a**b\n",
        "d**/a\n",
        "d/**a\n",
        "***\n",
        "**/\n",
        "/**\n",
        "**/**\n",
        "**/*\n",
        "*/**\n",
        "d/**/\n",
        "d/**/**/a\n",
        "*d*\n",
        "d/*\n!d/e\n",
        "d/**\n!d/e/a\n",
        ".*\n!.a\n",
        "**/.*\n",
        "$a\n",
        "a^\n",
        "(a)\n",
        "a|b\n",
        "a+\n",
        "a{1}\n",
        "a.txt\n!*.txt\n",
        "*.txt\n!a.txt\n*.txt\n",
        "\u{1}\n",
        "a\u{0}b\n",
    ];
    all.extend(more.map(str::to_owned));
    all
}

/// Trees whose files are edited one by one.
pub fn seen() -> Vec<(String, Tree)> {
    let mut all = Vec::new();
    for pattern in PATTERNS {
        let text = format!("FROM scratch\nCOPY {pattern} /x/\n");
        all.push((format!("COPY {pattern}"), named(&text)));
    }
    for text in [
        "FROM scratch\nCOPY [\"a b\", \"/x/\"]\n",
        "FROM scratch\nCOPY --parents d/*/a /x/\n",
        "FROM scratch\nCOPY --parents d/./e/a /x/\n",
        "FROM scratch\nCOPY --parents **/a /x/\n",
        "FROM scratch\nCOPY --exclude=*.md d /x/\n",
        "FROM scratch\nCOPY --exclude=e d /x/\n",
        "FROM scratch\nADD d* /x/\n",
        "FROM scratch\nCOPY --link d/* /x/\n",
        "FROM hearth-test/base:1\nRUN --mount=source=d/e,target=/m ls /m >/o\n",
        "FROM hearth-test/base:1\nRUN --mount=source=/d/../d,target=/m ls /m >/o\n",
        "FROM hearth-test/base:1\nRUN --mount=type=cache,source=d,target=/m ls /m >/o\n",
        "FROM hearth-test/base:1\nONBUILD COPY d/e /x/\n",
        "FROM hearth-test/base:1\nONBUILD RUN --mount=source=d/e,target=/m ls /m >/o\n",
        "FROM hearth-test/base:1 AS x\nONBUILD COPY d/e /x/\nFROM x AS y\nFROM scratch\nCOPY --from=y /x/ /y/\n",
        "FROM hearth-test/base:1\nARG V=d/e\nENV W=$V\nCOPY ${W} /x/\n",
        "FROM hearth-test/base:1\nARG V=a\nARG V=b\nCOPY $V /x/\n",
        "FROM hearth-test/base:1\nARG V=a\nARG V\nCOPY ${V:-b} /x/\n",
        "ARG V=b\nFROM hearth-test/base:1\nARG V=a\nARG V\nCOPY $V /x/\n",
        "ARG V=a\nARG V\nFROM hearth-test/base:1\nARG V\nCOPY ${V:-b} /x/\n",
        "ARG V=a\nARG V=b\nFROM hearth-test/base:1\nARG V\nCOPY ${V:-b} /x/\n",
        "FROM hearth-test/base:1 AS x\nARG V=a\nFROM x\nARG V=b\nCOPY $V /x/\n",
        "FROM hearth-test/base:1 AS x\nARG V=a\nFROM x\nCOPY ${V:-b} /x/\n",
        "FROM hearth-test/base:1\nCOPY ${W:-d} /x/\n",
        "FROM hearth-test/base:1\nCOPY ${BASE_DIR:+d} /x/\n",
        "FROM hearth-test/base:1\nCOPY ${BASE_DIR#sr}a* /x/\n",
        "FROM hearth-test/base:1\nCOPY d/${BASE_DIR%rc}* a /x/\n",
    ] {
        all.push((text.to_owned(), named(text)));
    }
    for ignore in ignores().iter().step_by(4) {
        let mut tree = named("FROM scratch\nCOPY . /x/\n");
        tree.write(".dockerignore", ignore);
        all.push((format!("ignored by {ignore:?}"), tree));
    }
    all.extend(links());
    all
}

fn named(text: &str) -> Tree {
    let files: Vec<(&str, &str)> = NAMES.iter().map(|name| (*name, "1")).collect();
    Tree::new(text, &files)
}

/// Links, folders, pipes, modes, and names that are not UTF-8.
fn links() -> Vec<(String, Tree)> {
    let mut all = Vec::new();
    for text in [
        "COPY . /x/",
        "COPY l /x/",
        "COPY l/ /x/",
        "COPY l/* /x/",
        "COPY l/a /x/",
        "COPY to-a /x/",
        "COPY abs /x/",
        "COPY abs/a /x/",
        "COPY dangling /x/",
        "COPY loop /x/",
        "COPY chain /x/",
        "COPY chain/a /x/",
        "COPY out /x/",
        "COPY s* /x/",
        "COPY d /x/",
        "COPY d/../d /x/",
        "COPY l/../a /x/",
        "COPY empty /x/",
        "COPY --link l/a /x/",
        "COPY --parents l/a /x/",
        "ADD l /x/",
        "ADD to-a /x/",
        "ADD abs/a /x/",
        "RUN --mount=source=l,target=/m ls /m >/o",
        "RUN --mount=source=l/a,target=/m cat /m >/o",
        "RUN --mount=source=to-a,target=/m cat /m >/o",
        "RUN --mount=source=abs,target=/m ls /m >/o",
        "RUN --mount=target=/m ls /m/l/ >/o",
        "COPY modes /x/",
        "COPY modes/* /x/",
        "COPY *-utf8 /x/",
        "COPY pipes /x/",
    ] {
        let mut tree = Tree::new(
            &format!("FROM hearth-test/base:1\n{text}\n"),
            &[
                ("a", "1"),
                ("b", "1"),
                ("d/a", "1"),
                ("d/b", "1"),
                ("e/a", "1"),
                ("sd/a", "1"),
                ("line\nbreak", "1"),
                ("modes/plain", "1"),
                ("modes/private", "1"),
                ("modes/setuid", "1"),
            ],
        );
        for (path, target) in [
            ("l", "d"),
            ("to-a", "a"),
            ("abs", "/d"),
            ("dangling", "nothing"),
            ("loop", "loop"),
            ("chain", "l"),
            ("out", "../../etc"),
            ("sl", "d"),
            ("d/up", "../e"),
            ("d/here", "a"),
        ] {
            tree.put(path, Node::Link(target.to_owned()));
        }
        tree.put("empty/folder", Node::Folder(0o755));
        tree.put("modes/private", Node::File(b"1".to_vec(), 0o600));
        tree.put("modes/setuid", Node::File(b"1".to_vec(), 0o4755));
        tree.put("modes/sticky", Node::Folder(0o1777));
        tree.put("pipes/p", Node::Pipe);
        tree.nodes
            .insert(b"\xff-utf8".to_vec(), Node::File(b"1".to_vec(), 0o644));
        all.push((text.to_owned(), tree));
    }
    all
}
