//! What two readers of a Dockerfile, of an ignore file or of a folder could read in different ways.

mod documents;
mod sources;
mod words;

use super::edits::Edit;
use crate::{
    named::Cause,
    tree::{Node, Tree},
};

/// Trees that are alike: each pair of them is judged.
pub struct Family {
    pub name: String,
    pub trees: Vec<(String, Tree)>,
}

impl Family {
    pub fn pairs(&self) -> usize {
        self.trees.len() * self.trees.len().saturating_sub(1) / 2
    }

    /// Dockerfiles with the same files beside them.
    fn of_dockerfiles(name: &str, files: &[(&str, &str)], texts: &[&str]) -> Self {
        let trees = texts
            .iter()
            .map(|text| ((*text).to_owned(), Tree::new(text, files)));
        Self {
            name: name.to_owned(),
            trees: trees.collect(),
        }
    }
}

pub fn families() -> Vec<Family> {
    let mut all = words::families();
    all.extend(documents::families());
    all.extend(sources::families());
    all
}

/// Trees, each with an edit of every file in it: whatever BuildKit sees of them has to count.
pub fn seen() -> Vec<(String, Tree, Vec<Edit>)> {
    let mut all = Vec::new();
    for (name, tree) in sources::seen() {
        let mut edits = Vec::new();
        for (path, node) in &tree.nodes {
            let name = String::from_utf8_lossy(path).into_owned();
            if name.starts_with(".devcontainer") {
                continue;
            }
            let mut edit = |what: &str, node: Option<Node>| {
                let mut tree = tree.clone();
                match node {
                    Some(node) => tree.nodes.insert(path.clone(), node),
                    None => tree.nodes.remove(path),
                };
                let cause = Cause::Files(vec![name.clone()]);
                edits.push(Edit {
                    name: format!("{what} {name:?}"),
                    cause,
                    tree,
                });
            };
            match node {
                Node::File(_, mode) => {
                    edit("edit", Some(Node::File(b"edited".to_vec(), *mode)));
                    edit(
                        "set the mode of",
                        Some(Node::File(b"1".to_vec(), mode ^ 0o111)),
                    );
                    edit("remove", None);
                }
                Node::Folder(mode) => edit("set the mode of", Some(Node::Folder(mode ^ 0o022))),
                Node::Link(_) => {
                    edit("turn", Some(Node::Link("elsewhere".to_owned())));
                    edit("remove", None);
                }
                Node::Pipe => edit("remove", None),
            }
        }
        all.push((name, tree, edits));
    }
    all
}
