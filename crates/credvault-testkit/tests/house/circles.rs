//! Circles of files: files of one package that know each other, directly or over others, also through re-exports.
//! A file knows another if its code names an item that the other defines. `mod child;` and a `pub use` that the file
//! does not use itself are no knowledge. Modules for tests are left out.

mod knowledge;
mod modules;
mod names;
mod paths;
#[cfg(test)]
mod tests;

use crate::tree::Tree;
use std::collections::{BTreeMap, BTreeSet};

/// Which file knows which other, and the items that it names of it.
type Edges = BTreeMap<String, BTreeMap<String, BTreeSet<String>>>;

/// Every circle as a text: its files, one a line, with what each names of the others.
pub(crate) fn circles(tree: &Tree) -> Vec<String> {
    let mut found = Vec::new();
    for root in tree.crate_roots() {
        let edges = knowledge::edges(&modules::Modules::read(tree, root));
        found.extend(knots(&edges).iter().map(|files| describe(files, &edges)));
    }
    found
}

/// The sets of at least two files in which each reaches each other.
fn knots(edges: &Edges) -> Vec<BTreeSet<String>> {
    let reachable: BTreeMap<&String, BTreeSet<String>> =
        edges.keys().map(|file| (file, reachable(edges, file))).collect();
    let mut knots = BTreeSet::new();
    for (file, reached) in &reachable {
        if reached.contains(*file) {
            let back = |other: &&String| reachable.get(other).is_some_and(|from| from.contains(*file));
            knots.insert(reached.iter().filter(back).cloned().collect::<BTreeSet<_>>());
        }
    }
    knots.into_iter().collect()
}

/// All files that `start` reaches over one edge or more.
fn reachable(edges: &Edges, start: &str) -> BTreeSet<String> {
    let mut reached = BTreeSet::new();
    let mut waiting = vec![start.to_owned()];
    while let Some(file) = waiting.pop() {
        for next in edges.get(&file).into_iter().flat_map(BTreeMap::keys) {
            if reached.insert(next.clone()) {
                waiting.push(next.clone());
            }
        }
    }
    reached
}

fn describe(files: &BTreeSet<String>, edges: &Edges) -> String {
    let mut text = format!("a circle of {} files:", files.len());
    for file in files {
        for (known, items) in
            edges.get(file).into_iter().flatten().filter(|(known, _)| files.contains(*known))
        {
            let items: Vec<&str> = items.iter().map(String::as_str).collect();
            text.push_str(&format!("\n    {file} knows {known}: {}", items.join(", ")));
        }
    }
    text
}
