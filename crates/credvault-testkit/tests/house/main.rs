//! The house rules that no compiler and no linter checks, over all files of the project: no circles of files, bounds on
//! sizes, documentation that says something, dependencies as `deny.toml` permits them. Each failure lists every offender.

mod circles;
mod fences;
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
fn no_files_know_each_other_in_a_circle() {
    check(circles::circles);
}

#[test]
fn nine_of_ten_files_have_at_most_260_lines_and_none_over_400() {
    check(sizes::long_files);
}

#[test]
fn nine_of_ten_functions_have_at_most_27_lines_and_none_over_60() {
    check(sizes::long_functions);
}

#[test]
fn dependencies_are_as_deny_toml_permits() {
    check(fences::broken_fences);
}

#[test]
fn there_are_15_lines_of_documentation_for_100_of_code() {
    check(sizes::few_docs);
}

#[test]
fn every_doc_comment_has_four_words() {
    check(words::short_docs);
}

#[test]
fn every_file_says_what_it_is() {
    check(words::undocumented_files);
}

#[test]
fn prose_names_who_acts() {
    check(words::hiding_words);
}
