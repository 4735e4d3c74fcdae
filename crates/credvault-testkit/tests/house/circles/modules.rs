//! The modules of one crate, with the items that each declares and the names that it imports. Follows `mod` declarations
//! from the crate's root file, as the compiler does.

use super::paths::{Import, imports};
use crate::tree::Tree;
use std::collections::{BTreeMap, BTreeSet};
use syn::visit::{self, Visit};
use syn::{Attribute, Item, ItemMod};

/// One module: a file, or a block within a file.
pub(super) struct Module {
    pub(super) file: String,
    pub(super) parent: Option<usize>,
    pub(super) children: BTreeMap<String, usize>,
    pub(super) declared: BTreeSet<String>,
    pub(super) imports: Vec<Import>,
    pub(super) items: Vec<Item>,
}

/// All modules of a crate; the first is its root.
pub(super) struct Modules(pub(super) Vec<Module>);

/// Where the files of a module's children are: a folder, with `/` at its end.
struct ConnectionKey {
    file: String,
    folder: String,
}

impl Modules {
    /// Reads the crate whose root file is `root`.
    pub(super) fn read(tree: &Tree, root: &str) -> Self {
        let mut modules = Self(Vec::new());
        let folder = root.rsplit_once('/').map_or(String::new(), |(folder, _)| format!("{folder}/"));
        modules.add(tree, None, parse(tree, root), &ConnectionKey { file: root.to_owned(), folder });
        modules
    }

    fn add(&mut self, tree: &Tree, parent: Option<usize>, items: Vec<Item>, place: &ConnectionKey) -> usize {
        let index = self.0.len();
        let (nested, items): (Vec<Item>, Vec<Item>) =
            items.into_iter().filter(|item| !is_for_tests(attributes(item))).partition(is_module);
        self.0.push(Module {
            file: place.file.clone(),
            parent,
            children: BTreeMap::new(),
            declared: items.iter().filter_map(declared_name).collect(),
            imports: all_imports(&items),
            items,
        });
        for module in nested.into_iter().filter_map(module_of) {
            let name = module.ident.to_string();
            if let Some((items, place)) = open(tree, module, place) {
                let child = self.add(tree, Some(index), items, &place);
                self.0[index].children.insert(name, child);
            }
        }
        index
    }
}

/// The items of a nested module, from its block or from its file.
fn open(tree: &Tree, module: ItemMod, parent: &ConnectionKey) -> Option<(Vec<Item>, ConnectionKey)> {
    let folder = format!("{}{}/", parent.folder, module.ident);
    if let Some((_, items)) = module.content {
        return Some((items, ConnectionKey { file: parent.file.clone(), folder }));
    }
    let beside = format!("{}{}.rs", parent.folder, module.ident);
    let file = [beside, format!("{folder}mod.rs")].into_iter().find(|path| tree.get(path).is_some())?;
    Some((parse(tree, &file), ConnectionKey { file, folder }))
}

fn parse(tree: &Tree, file: &str) -> Vec<Item> {
    let text = tree.get(file).unwrap_or_default();
    syn::parse_file(text).unwrap_or_else(|error| panic!("{file} is not Rust: {error}")).items
}

fn is_module(item: &Item) -> bool {
    matches!(item, Item::Mod(_))
}

fn module_of(item: Item) -> Option<ItemMod> {
    if let Item::Mod(module) = item { Some(module) } else { None }
}

/// Whether an item is compiled for tests only.
pub(super) fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("test")
            || (attribute.path().is_ident("cfg")
                && attribute.parse_args::<syn::Ident>().is_ok_and(|condition| condition == "test"))
    })
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "another crate's enum, which may grow: other items declare nothing that a path can name"
)]
fn attributes(item: &Item) -> &[Attribute] {
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
        Item::Union(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "another crate's enum, which may grow: other items declare nothing that a path can name"
)]
fn declared_name(item: &Item) -> Option<String> {
    let name = match item {
        Item::Const(item) => &item.ident,
        Item::Enum(item) => &item.ident,
        Item::Fn(item) => &item.sig.ident,
        Item::Macro(item) => item.ident.as_ref()?,
        Item::Static(item) => &item.ident,
        Item::Struct(item) => &item.ident,
        Item::Trait(item) => &item.ident,
        Item::TraitAlias(item) => &item.ident,
        Item::Type(item) => &item.ident,
        Item::Union(item) => &item.ident,
        _ => return None,
    };
    Some(name.to_string())
}

/// The imports of a module, and those within its functions: a name is taken to mean the same in the whole module.
fn all_imports(items: &[Item]) -> Vec<Import> {
    struct Collector(Vec<Import>);
    impl Visit<'_> for Collector {
        fn visit_item_use(&mut self, item: &syn::ItemUse) {
            self.0.extend(imports(item));
        }
        fn visit_item_fn(&mut self, item: &syn::ItemFn) {
            if !is_for_tests(&item.attrs) {
                visit::visit_item_fn(self, item);
            }
        }
    }
    let mut collector = Collector(Vec::new());
    items.iter().for_each(|item| collector.visit_item(item));
    collector.0
}
