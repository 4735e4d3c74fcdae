//! From a path in one module to the file that defines the item, through imports, re-exports and globs, as the compiler
//! resolves it. Visibility is not looked at: the code compiles.

use super::modules::Modules;
use std::collections::BTreeSet;

/// What a path leads to.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Target {
    Module(usize),
    /// An item, by the file that defines it and its name there.
    Item(String, String),
}

/// Names that are being looked up: (module, name). A circle of imports ends here.
type Pending = BTreeSet<(usize, String)>;

impl Modules {
    /// What `path` means in the module `from`; nothing if it leads to another crate.
    pub(super) fn resolve(&self, from: usize, path: &[String]) -> BTreeSet<Target> {
        self.resolve_with(from, path, &mut Pending::new()).unwrap_or_default()
    }

    /// `None` if the first name is unknown here.
    fn resolve_with(&self, from: usize, path: &[String], pending: &mut Pending) -> Option<BTreeSet<Target>> {
        let (first, rest) = path.split_first()?;
        let start = match first.as_str() {
            "crate" => BTreeSet::from([Target::Module(0)]),
            "self" => BTreeSet::from([Target::Module(from)]),
            "super" => BTreeSet::from([Target::Module(self.0[from].parent?)]),
            name => self.look_up(from, name, pending)?,
        };
        Some(start.into_iter().flat_map(|target| self.follow(target, rest, pending)).collect())
    }

    fn follow(&self, target: Target, rest: &[String], pending: &mut Pending) -> BTreeSet<Target> {
        let (Target::Module(module), Some((name, after))) = (&target, rest.split_first()) else {
            return BTreeSet::from([target]);
        };
        if name == "super" {
            let parent = self.0[*module].parent.unwrap_or(0);
            return self.follow(Target::Module(parent), after, pending);
        }
        match self.look_up(*module, name, pending) {
            Some(found) => found.into_iter().flat_map(|target| self.follow(target, after, pending)).collect(),
            // An item that a macro call makes.
            None => BTreeSet::from([Target::Item(self.0[*module].file.clone(), name.clone())]),
        }
    }

    /// What `name` means in `module`: what it declares, imports by name or, failing these, by a glob. `None` if it is
    /// unknown; empty if it comes from another crate.
    fn look_up(&self, module: usize, name: &str, pending: &mut Pending) -> Option<BTreeSet<Target>> {
        let content = &self.0[module];
        let mut found = BTreeSet::new();
        found.extend(content.children.get(name).map(|child| Target::Module(*child)));
        if content.declared.contains(name) {
            found.insert(Target::Item(content.file.clone(), name.to_owned()));
        }
        if !found.is_empty() {
            return Some(found);
        }
        if !pending.insert((module, name.to_owned())) {
            return None;
        }
        let answer = self.imported(module, name, pending);
        pending.remove(&(module, name.to_owned()));
        answer
    }

    fn imported(&self, module: usize, name: &str, pending: &mut Pending) -> Option<BTreeSet<Target>> {
        let (named, globs): (Vec<_>, Vec<_>) =
            self.0[module].imports.iter().partition(|import| import.name.is_some());
        let mut known = false;
        let mut found = BTreeSet::new();
        for import in named.iter().filter(|import| import.name.as_deref() == Some(name)) {
            known = true;
            found.extend(self.resolve_with(module, &import.path, pending).unwrap_or_default());
        }
        if known {
            return Some(found);
        }
        for glob in globs {
            for target in self.resolve_with(module, &glob.path, pending).unwrap_or_default() {
                if let Target::Module(source) = target
                    && let Some(targets) = self.look_up(source, name, pending)
                {
                    known = true;
                    found.extend(targets);
                }
            }
        }
        known.then_some(found)
    }
}
