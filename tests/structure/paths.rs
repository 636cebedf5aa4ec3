//! The paths that the code of a module names, and what its `use` declarations bring in.

use std::collections::BTreeSet;

use proc_macro2::{TokenStream, TokenTree};
use syn::{
    Attribute, ExprMethodCall, ImplItemFn, Item, ItemUse, Macro, Path, TraitItemFn, UseTree,
    Visibility,
    visit::{self, Visit},
};

use crate::module_tree::{Module, is_only_for_tests};

/// One name of a `use` declaration.
pub struct Import {
    /// Segments, of a glob without the `*`.
    pub path: Vec<String>,
    /// What it is called here.
    pub name: Name,
    /// Whether others may take it from here.
    pub is_public: bool,
}

/// What an import is called.
#[derive(PartialEq, Eq)]
pub enum Name {
    /// A name, its own or another.
    Is(String),
    /// `_`: a trait whose methods are wanted.
    Unnamed,
    /// `*`: all that there is.
    All,
}

/// Adds the paths, imports and methods of an item to its module.
pub fn collect(item: &Item, module: &mut Module) {
    let mut collector = Collector {
        imports: &mut module.imports,
        paths: &mut module.paths,
        methods: &mut module.methods,
    };
    collector.visit_item(item);
}

struct Collector<'a> {
    imports: &'a mut Vec<Import>,
    paths: &'a mut BTreeSet<Vec<String>>,
    methods: &'a mut BTreeSet<String>,
}

impl<'ast> Visit<'ast> for Collector<'_> {
    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        // `use ::name` is another crate's.
        if item.leading_colon.is_none() {
            let is_public = !matches!(item.vis, Visibility::Inherited);
            self.import(&item.tree, Vec::new(), is_public);
        }
    }

    fn visit_path(&mut self, path: &'ast Path) {
        if path.leading_colon.is_none() {
            let segments = path.segments.iter().map(|at| at.ident.to_string());
            self.paths.insert(segments.collect());
        }
        visit::visit_path(self, path);
    }

    fn visit_expr_method_call(&mut self, call: &'ast ExprMethodCall) {
        self.methods.insert(call.method.to_string());
        visit::visit_expr_method_call(self, call);
    }

    fn visit_macro(&mut self, call: &'ast Macro) {
        self.visit_path(&call.path);
        self.tokens(call.tokens.clone(), 1);
    }

    // `value_parser = module::function` of clap is a path too. A single word is more often an option's name.
    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        if let syn::Meta::List(list) = &attribute.meta {
            self.tokens(list.tokens.clone(), 2);
        }
    }

    // `pub(super)` names no code.
    fn visit_visibility(&mut self, _: &'ast Visibility) {}

    fn visit_impl_item_fn(&mut self, item: &'ast ImplItemFn) {
        if !is_only_for_tests(&item.attrs) {
            visit::visit_impl_item_fn(self, item);
        }
    }

    fn visit_trait_item_fn(&mut self, item: &'ast TraitItemFn) {
        if !is_only_for_tests(&item.attrs) {
            visit::visit_trait_item_fn(self, item);
        }
    }
}

impl Collector<'_> {
    fn import(&mut self, tree: &UseTree, mut path: Vec<String>, is_public: bool) {
        let name = match tree {
            UseTree::Path(inner) => {
                path.push(inner.ident.to_string());
                return self.import(&inner.tree, path, is_public);
            }
            UseTree::Group(group) => {
                for tree in &group.items {
                    self.import(tree, path.clone(), is_public);
                }
                return;
            }
            UseTree::Glob(_) => Name::All,
            UseTree::Name(name) if name.ident == "self" => {
                Name::Is(path.last().cloned().unwrap_or_default())
            }
            UseTree::Name(name) => {
                path.push(name.ident.to_string());
                Name::Is(name.ident.to_string())
            }
            UseTree::Rename(rename) => {
                if rename.ident != "self" {
                    path.push(rename.ident.to_string());
                }
                match rename.rename.to_string() {
                    name if name == "_" => Name::Unnamed,
                    name => Name::Is(name),
                }
            }
        };
        self.imports.push(Import {
            path,
            name,
            is_public,
        });
    }

    /// Paths in what a macro is given, of at least so many segments.
    fn tokens(&mut self, tokens: TokenStream, at_least: usize) {
        let mut path: Vec<String> = Vec::new();
        let mut colons = 0;
        for token in tokens {
            match token {
                TokenTree::Ident(word) => {
                    if colons != 2 {
                        self.end_of_path(&mut path, at_least);
                    }
                    path.push(word.to_string());
                    colons = 0;
                }
                TokenTree::Punct(mark) if mark.as_char() == ':' && !path.is_empty() => colons += 1,
                TokenTree::Group(group) => {
                    self.end_of_path(&mut path, at_least);
                    colons = 0;
                    self.tokens(group.stream(), at_least);
                }
                TokenTree::Punct(_) | TokenTree::Literal(_) => {
                    self.end_of_path(&mut path, at_least);
                    colons = 0;
                }
            }
        }
        self.end_of_path(&mut path, at_least);
    }

    fn end_of_path(&mut self, path: &mut Vec<String>, at_least: usize) {
        let path = std::mem::take(path);
        if path.len() >= at_least {
            self.paths.insert(path);
        }
    }
}
