//! Files that change, come, go, and are left out.

use super::Edit;
use crate::{
    named::Cause,
    pairs::random::Random,
    tree::{Node, Tree},
};

/// Edits of files, copied or not.
pub fn of(tree: &Tree, random: &mut Random) -> Vec<Edit> {
    let mut edits = Vec::new();
    let mut edit = |name: String, touched: &[&str], change: &dyn Fn(&mut Tree)| {
        let mut tree = tree.clone();
        change(&mut tree);
        let files = touched.iter().map(|path| (*path).to_owned()).collect();
        edits.push(Edit {
            name,
            cause: Cause::Files(files),
            tree,
        });
    };
    for path in &random.some(tree.files(), 6) {
        let text = tree.text(path).unwrap_or_default();
        edit(format!("edit {path}"), &[path], &|tree| {
            tree.write(path, &format!("{text}more\n"));
        });
        edit(format!("empty {path}"), &[path], &|tree| {
            tree.write(path, "")
        });
        edit(format!("make {path} executable"), &[path], &|tree| {
            tree.put(path, Node::File(text.clone().into_bytes(), 0o755));
        });
        let other = format!("{path}.orig");
        edit(format!("rename {path}"), &[path, &other], &|tree| {
            let node = tree.nodes.remove(path.as_bytes()).unwrap();
            tree.put(&other, node);
        });
        edit(format!("remove {path}"), &[path], &|tree| {
            tree.nodes.remove(path.as_bytes());
        });
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        let beside = format!("{folder}/new-{name}")
            .trim_start_matches('/')
            .to_owned();
        edit(format!("add {beside}"), &[&beside], &|tree| {
            tree.write(&beside, "new\n")
        });
        let log = format!("{folder}/debug.log")
            .trim_start_matches('/')
            .to_owned();
        edit(format!("add {log}"), &[&log], &|tree| {
            tree.write(&log, "new\n")
        });
        let below = format!("{folder}/more/new.txt")
            .trim_start_matches('/')
            .to_owned();
        let more = below.trim_end_matches("/new.txt").to_owned();
        edit(format!("add {below}"), &[&below, &more], &|tree| {
            tree.write(&below, "new\n")
        });
        edit(format!("make {path} a link"), &[path], &|tree| {
            tree.put(path, Node::Link("/etc/hostname".to_owned()));
        });
    }
    for path in [
        "CHANGELOG.md",
        ".github/workflows/ci.yml",
        ".gitignore",
        ".editorconfig",
    ] {
        let mut all = vec![path];
        all.extend(path.match_indices('/').map(|(at, _)| &path[..at]));
        edit(format!("add {path}"), &all, &|tree| {
            tree.write(path, "new\n")
        });
    }
    edits
}

/// Edits of ignore files.
pub fn ignored(tree: &Tree) -> Vec<Edit> {
    let path = tree
        .nodes
        .keys()
        .filter_map(|path| std::str::from_utf8(path).ok())
        .find(|path| path.ends_with(".dockerignore"));
    let path = path.unwrap_or(".dockerignore").to_owned();
    let text = tree.text(&path).unwrap_or_default();
    let last = text.lines().last().unwrap_or_default().to_owned();
    let with = |name: &str, text: String| {
        let mut tree = tree.clone();
        tree.write(&path, &text);
        Edit {
            name: format!("ignore file: {name}"),
            cause: Cause::IgnoreFile,
            tree,
        }
    };
    let mut edits = vec![
        with("a pattern of nothing", format!("{text}*.swp\n")),
        with("a pattern of README", format!("{text}README.md\n")),
        with("a comment", format!("# Comment\n{text}")),
        with("an empty line", format!("\n{text}\n")),
        with("a pattern below", format!("{text}**/*.md\n")),
        with(
            "everything but sources",
            format!("*\n!src\n!app\n!cmd\n{text}"),
        ),
    ];
    if !last.is_empty() {
        edits.extend([
            with(
                "a slash in front",
                text.replacen(&last, &format!("/{last}"), 1),
            ),
            with("a slash behind", format!("{}/\n", text.trim_end())),
            with(
                "a dot in front",
                text.replacen(&last, &format!("./{last}"), 1),
            ),
            with("ends of lines", text.replace('\n', "\r\n")),
            with("white space", text.replace('\n', "  \n")),
            with("without the last", text.replacen(&last, "", 1)),
            with("the last twice", format!("{text}{last}\n")),
            with("backwards", {
                let lines: Vec<&str> = text.lines().rev().collect();
                format!("{}\n", lines.join("\n"))
            }),
        ]);
    }
    edits
}

/// Commits, branches and tags.
pub fn history(tree: &Tree) -> Vec<Edit> {
    let (head, other) = (
        "0123456789012345678901234567890123456789",
        "1123456789012345678901234567890123456789",
    );
    let mut edits = Vec::new();
    if !tree.nodes.contains_key(".git/HEAD".as_bytes()) {
        return edits;
    }
    for (name, path, value) in [
        ("a tag", ".git/refs/tags/v1", head),
        ("a tag of another commit", ".git/refs/tags/v0", other),
        ("a branch at the commit", ".git/refs/heads/more", head),
        ("another commit", ".git/refs/heads/main", other),
        ("another branch", ".git/HEAD", "ref: refs/heads/dev\n"),
    ] {
        let mut tree = tree.clone();
        tree.write(path, value);
        if path == ".git/HEAD" {
            tree.write(".git/refs/heads/dev", head);
        }
        edits.push(Edit {
            name: format!("git: {name}"),
            cause: Cause::Git,
            tree,
        });
    }
    edits
}
