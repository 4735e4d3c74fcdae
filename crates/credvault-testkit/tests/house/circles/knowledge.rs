//! Which file names which items of which other file: in private imports, and in paths within code and macro calls.

use super::Edges;
use super::modules::{Modules, is_for_tests};
use super::names::Target;
use super::paths::{imports, paths_in_tokens, segments};
use syn::visit::{self, Visit};
use syn::{Attribute, ImplItemFn, ItemFn, ItemMod, ItemUse, Macro, Path, VisRestricted};

/// The knowledge between the files of a crate.
pub(super) fn edges(modules: &Modules) -> Edges {
    let mut edges = Edges::new();
    for (index, module) in modules.0.iter().enumerate() {
        let mut reader = Reader { modules, module: index, edges: &mut edges };
        module.items.iter().for_each(|item| reader.visit_item(item));
    }
    edges
}

/// Reads the code of one module and notes whose items it names.
struct Reader<'a> {
    modules: &'a Modules,
    module: usize,
    edges: &'a mut Edges,
}

impl Reader<'_> {
    fn note(&mut self, path: &[String]) {
        let from = &self.modules.0[self.module].file;
        for target in self.modules.resolve(self.module, path) {
            if let Target::Item(file, name) = target
                && file != *from
            {
                self.edges.entry(from.clone()).or_default().entry(file).or_default().insert(name);
            }
        }
    }

    /// A glob makes known whatever the module holds, traits for instance, so its file counts as known.
    fn note_glob(&mut self, path: &[String]) {
        let from = &self.modules.0[self.module].file;
        for target in self.modules.resolve(self.module, path) {
            let file = match target {
                Target::Module(module) if !self.modules.0[module].declared.is_empty() => {
                    self.modules.0[module].file.clone()
                }
                Target::Module(_) => continue,
                Target::Item(file, _) => file,
            };
            if file != *from {
                self.edges.entry(from.clone()).or_default().entry(file).or_default().insert("*".to_owned());
            }
        }
    }
}

impl<'ast> Visit<'ast> for Reader<'_> {
    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        for import in imports(item).into_iter().filter(|import| !import.re_export) {
            match import.name {
                Some(_) => self.note(&import.path),
                None => self.note_glob(&import.path),
            }
        }
    }

    fn visit_path(&mut self, path: &'ast Path) {
        self.note(&segments(path));
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast Macro) {
        self.note(&segments(&call.path));
        let mut paths = Vec::new();
        paths_in_tokens(call.tokens.clone(), &mut paths);
        paths.iter().for_each(|path| self.note(path));
    }

    fn visit_item_fn(&mut self, item: &'ast ItemFn) {
        if !is_for_tests(&item.attrs) {
            visit::visit_item_fn(self, item);
        }
    }

    fn visit_impl_item_fn(&mut self, item: &'ast ImplItemFn) {
        if !is_for_tests(&item.attrs) {
            visit::visit_impl_item_fn(self, item);
        }
    }

    // A module within a function's body is read with the function; one at the top is read as a module of its own.
    fn visit_item_mod(&mut self, _: &'ast ItemMod) {}
    fn visit_attribute(&mut self, _: &'ast Attribute) {}
    fn visit_vis_restricted(&mut self, _: &'ast VisRestricted) {}
}
