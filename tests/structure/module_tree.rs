//! The modules of a package as its files declare them, without what only tests compile.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use syn::{Attribute, Item, Meta};

use crate::paths::{self, Import};

/// The text of each file, by its path.
pub type Sources = BTreeMap<PathBuf, String>;

/// Index of a module in [`ModuleTree::modules`].
pub type ModuleId = usize;

/// One module: a file, or a part of one between braces.
pub struct Module {
    /// The file that has its code.
    pub file: PathBuf,
    /// `None` for the root of a library or a binary.
    pub parent: Option<ModuleId>,
    /// Modules that it declares.
    pub children: BTreeMap<String, ModuleId>,
    /// Names of the items that it defines.
    pub items: BTreeSet<String>,
    /// What its `use` declarations bring in.
    pub imports: Vec<Import>,
    /// Paths in its code, by their segments.
    pub paths: BTreeSet<Vec<String>>,
    /// Names of the methods that its code calls.
    pub methods: BTreeSet<String>,
}

/// All modules of a package: of its library and of its binaries.
pub struct ModuleTree {
    /// Parents come before their children.
    pub modules: Vec<Module>,
}

impl ModuleTree {
    /// Follows the `mod` declarations from the roots that cargo finds by itself: `lib.rs`, `main.rs`, `bin/*.rs`.
    ///
    /// # Panics
    ///
    /// If a declared file is missing, or a file is no Rust.
    pub fn of_package(src: &Path, sources: &Sources) -> Self {
        let mut tree = Self {
            modules: Vec::new(),
        };
        for root in sources.keys().filter(|file| is_root(file, src)) {
            tree.add(root, None, root.parent().expect("a folder"), sources);
        }
        tree
    }

    /// All files that have a module's code.
    pub fn files(&self) -> BTreeSet<&Path> {
        self.modules.iter().map(|at| at.file.as_path()).collect()
    }

    /// The root of the library or binary that a module belongs to.
    pub fn root_of(&self, mut module: ModuleId) -> ModuleId {
        while let Some(parent) = self.modules[module].parent {
            module = parent;
        }
        module
    }

    /// Whether one module lies in another.
    pub fn is_within(&self, mut module: ModuleId, outer: ModuleId) -> bool {
        while let Some(parent) = self.modules[module].parent {
            module = parent;
            if module == outer {
                return true;
            }
        }
        false
    }

    /// Adds the module of a file; its own children lie in `folder`.
    fn add(
        &mut self,
        file: &Path,
        parent: Option<ModuleId>,
        folder: &Path,
        sources: &Sources,
    ) -> ModuleId {
        let text = sources
            .get(file)
            .unwrap_or_else(|| panic!("{} is declared and missing", file.display()));
        let parsed =
            syn::parse_file(text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        self.add_items(file, parent, folder, parsed.items, sources)
    }

    fn add_items(
        &mut self,
        file: &Path,
        parent: Option<ModuleId>,
        folder: &Path,
        items: Vec<Item>,
        sources: &Sources,
    ) -> ModuleId {
        let id = self.modules.len();
        self.modules.push(Module {
            file: file.to_owned(),
            parent,
            children: BTreeMap::new(),
            items: BTreeSet::new(),
            imports: Vec::new(),
            paths: BTreeSet::new(),
            methods: BTreeSet::new(),
        });
        for item in items {
            if is_only_for_tests(item_attributes(&item)) {
                continue;
            }
            let Item::Mod(declared) = item else {
                self.modules[id].items.extend(name_of(&item));
                paths::collect(&item, &mut self.modules[id]);
                continue;
            };
            let name = declared.ident.to_string();
            let inner = folder.join(&name);
            let child = match declared.content {
                Some((_, items)) => self.add_items(file, Some(id), &inner, items, sources),
                None => {
                    let (file, folder) =
                        file_of(&declared.attrs, &name, file, folder, &inner, sources);
                    self.add(&file, Some(id), &folder, sources)
                }
            };
            self.modules[id].children.insert(name, child);
        }
        id
    }
}

fn is_root(file: &Path, src: &Path) -> bool {
    file == src.join("lib.rs")
        || file == src.join("main.rs")
        || file.parent() == Some(&src.join("bin"))
}

/// Where a declared module's code is, and where its own children are.
fn file_of(
    attributes: &[Attribute],
    name: &str,
    declared_in: &Path,
    folder: &Path,
    inner: &Path,
    sources: &Sources,
) -> (PathBuf, PathBuf) {
    if let Some(path) = path_attribute(attributes) {
        let beside = declared_in.parent().expect("a folder");
        let file = beside.join(path);
        let folder = file.parent().expect("a folder").to_owned();
        return (file, folder);
    }
    let in_own_folder = inner.join("mod.rs");
    if sources.contains_key(&in_own_folder) {
        return (in_own_folder, inner.to_owned());
    }
    (folder.join(format!("{name}.rs")), inner.to_owned())
}

fn path_attribute(attributes: &[Attribute]) -> Option<String> {
    attributes.iter().find_map(|attribute| {
        let Meta::NameValue(pair) = &attribute.meta else {
            return None;
        };
        match &pair.value {
            syn::Expr::Lit(literal) if pair.path.is_ident("path") => match &literal.lit {
                syn::Lit::Str(text) => Some(text.value()),
                _ => None,
            },
            _ => None,
        }
    })
}

/// Whether an item has `#[cfg(test)]` or `#[cfg(all(test, …))]`.
pub fn is_only_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let Meta::List(list) = &attribute.meta else {
            return false;
        };
        let condition = list.tokens.to_string().replace(' ', "");
        list.path.is_ident("cfg") && (condition == "test" || condition.starts_with("all(test,"))
    })
}

fn item_attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

fn name_of(item: &Item) -> Option<String> {
    let name = match item {
        Item::Const(item) => &item.ident,
        Item::Enum(item) => &item.ident,
        Item::Fn(item) => &item.sig.ident,
        Item::Macro(item) => item.ident.as_ref()?,
        Item::Static(item) => &item.ident,
        Item::Struct(item) => &item.ident,
        Item::Trait(item) => &item.ident,
        Item::Type(item) => &item.ident,
        _ => return None,
    };
    Some(name.to_string())
}
