//! Each kind of knowledge between files, on made-up crates.

use super::circles;
use crate::tree::Tree;

/// The circles of a made-up crate: for each, the files after `src/`, and the items of the edges.
fn found(files: &[(&str, &str)]) -> Vec<String> {
    circles(&Tree::of(files))
        .into_iter()
        .map(|text| text.replace("src/", "").replace("\n    ", "; "))
        .collect()
}

#[test]
fn two_files_that_import_each_other_are_a_circle() {
    let circles = found(&[
        ("src/lib.rs", "mod a; mod b;"),
        ("src/a.rs", "use crate::b::B; pub struct A(B);"),
        ("src/b.rs", "use super::a::A; pub struct B(Box<A>);"),
    ]);
    assert_eq!(circles, ["a circle of 2 files:; a.rs knows b.rs: B; b.rs knows a.rs: A"]);
}

#[test]
fn qualified_paths_count_without_an_import() {
    let circles = found(&[
        ("src/lib.rs", "mod a; mod b; mod c;"),
        ("src/a.rs", "pub fn a() { crate::b::b() }"),
        ("src/b.rs", "pub fn b() { super::c::c() }"),
        ("src/c.rs", "pub fn c() { log!(depth = 1, crate::a::a()); }"),
    ]);
    assert_eq!(circles, ["a circle of 3 files:; a.rs knows b.rs: b; b.rs knows c.rs: c; c.rs knows a.rs: a"]);
}

#[test]
fn a_re_export_is_seen_through() {
    let circles = found(&[
        ("src/lib.rs", "mod a; mod b; pub use b::inner::B; pub use a::A;"),
        ("src/a.rs", "use crate::B; pub struct A(B);"),
        ("src/b.rs", "pub mod inner;"),
        ("src/b/inner.rs", "pub struct B(Option<Box<crate::A>>);"),
    ]);
    assert_eq!(circles, ["a circle of 2 files:; a.rs knows b/inner.rs: B; b/inner.rs knows a.rs: A"]);
}

#[test]
fn a_re_export_through_a_glob_and_under_another_name_is_seen_through() {
    let circles = found(&[
        ("src/lib.rs", "mod a; mod b; pub use b::*; pub use a::A as First;"),
        ("src/a.rs", "use crate::B; pub struct A(B);"),
        ("src/b.rs", "use crate::First; pub struct B(Box<First>);"),
    ]);
    assert_eq!(circles, ["a circle of 2 files:; a.rs knows b.rs: B; b.rs knows a.rs: A"]);
}

#[test]
fn a_private_glob_is_knowledge_of_what_the_module_declares() {
    let circles = found(&[
        ("src/lib.rs", "mod a; mod b;"),
        ("src/a.rs", "use crate::b::*; pub struct A(B);"),
        ("src/b.rs", "use crate::a::*; pub struct B;"),
    ]);
    assert_eq!(circles, ["a circle of 2 files:; a.rs knows b.rs: *, B; b.rs knows a.rs: *"]);
}

#[test]
fn a_parent_that_uses_its_child_and_is_used_by_it_is_a_circle() {
    let circles = found(&[
        ("src/lib.rs", "mod parent;"),
        ("src/parent.rs", "mod child; pub struct Shared; pub fn run() { child::run() }"),
        ("src/parent/child.rs", "pub fn run() { let _ = super::Shared; }"),
    ]);
    assert_eq!(
        circles,
        [
            "a circle of 2 files:; parent.rs knows parent/child.rs: run; parent/child.rs knows parent.rs: Shared"
        ]
    );
}

#[test]
fn a_parent_that_only_declares_and_re_exports_its_child_does_not_know_it() {
    let circles = found(&[
        ("src/lib.rs", "mod parent;"),
        ("src/parent.rs", "mod child; pub use child::Child; pub struct Shared;"),
        ("src/parent/child.rs", "use super::Shared; pub struct Child(Shared);"),
    ]);
    assert_eq!(circles, [""; 0]);
}

#[test]
fn a_parent_that_uses_what_it_re_exports_knows_its_child() {
    let circles = found(&[
        ("src/lib.rs", "mod parent;"),
        ("src/parent.rs", "mod child; pub use child::Child; pub struct Shared(Option<Box<Child>>);"),
        ("src/parent/child.rs", "use super::Shared; pub struct Child(Shared);"),
    ]);
    assert_eq!(circles.len(), 1);
}

#[test]
fn modules_and_imports_for_tests_do_not_count() {
    let circles = found(&[
        ("src/lib.rs", "mod a; mod b;"),
        ("src/a.rs", "use crate::b::B; pub struct A(B); #[cfg(test)] mod tests;"),
        ("src/a/tests.rs", "use super::A;"),
        (
            "src/b.rs",
            "#[cfg(test)] use crate::a::A; pub struct B; #[cfg(test)] mod tests { use crate::a::A; }",
        ),
    ]);
    assert_eq!(circles, [""; 0]);
}

#[test]
fn modules_in_one_file_are_no_circle_and_other_crates_are_not_followed() {
    let circles = found(&[
        ("src/lib.rs", "mod a; mod time { pub use ::time::Date; pub struct Now(super::a::A); }"),
        ("src/a.rs", "use serde::Serialize; pub struct A(crate::time::Date);"),
    ]);
    assert_eq!(circles, [""; 0]);
}

#[test]
fn what_a_macro_call_declares_belongs_to_the_file_of_the_call() {
    let circles = found(&[
        ("src/lib.rs", "mod a; mod b;"),
        ("src/a.rs", "make!(A); pub fn run(_: crate::b::B) {}"),
        ("src/b.rs", "use crate::a::A; pub struct B(A);"),
    ]);
    assert_eq!(circles.len(), 1);
}
