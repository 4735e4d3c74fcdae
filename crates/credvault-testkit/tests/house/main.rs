//! The house rules that no compiler and no linter checks, over all files of the project: no circles of files, bounds on
//! sizes, documentation that says something. Each failure lists every offender.

mod circles;
mod lines;
mod sizes;
mod tree;
mod words;

use std::path::Path;

use tree::Tree;

/// Fails with the offenders that a rule finds in the project.
fn check(rule: fn(&Tree) -> Vec<String>) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let offenders = rule(&Tree::read(&root).expect("the project can be read"));
    assert!(offenders.is_empty(), "{} found:\n  {}\n", offenders.len(), offenders.join("\n  "));
}

#[test]
fn there_are_15_lines_of_documentation_for_100_of_code() {
    check(sizes::few_docs);
}

#[test]
fn every_file_says_what_it_is() {
    check(words::undocumented_files);
}
