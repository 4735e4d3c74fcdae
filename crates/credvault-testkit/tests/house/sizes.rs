//! How long files and functions are, and how much of the code is documentation.

use crate::lines::{Comment, lines};
use crate::tree::{Tree, is_test_code};
use syn::visit::{self, Visit};
use syn::{Block, ImplItemFn, ItemFn, ItemMod, Signature, TraitItemFn};

/// Nine of ten files have at most this number of lines.
const MOST_FILE_LINES: usize = 260;
/// No file has more lines than this.
const MAX_FILE_LINES: usize = 400;
/// Nine of ten functions have at most this number of lines, from `fn` to the closing brace; those of tests aside.
const MOST_FUNCTION_LINES: usize = 27;
/// No function has more lines than this, those of tests included.
const MAX_FUNCTION_LINES: usize = 60;
/// Lines of documentation for 100 lines of code, at least; tests aside.
const MIN_DOC_LINES_PER_100: usize = 15;

/// One file or function and its length.
struct Measured {
    name: String,
    lines: usize,
    for_tests: bool,
}

/// The files that are too long. If too many are long, names those over the limit of nine in ten.
pub(crate) fn long_files(tree: &Tree) -> Vec<String> {
    let measured = |(path, text): (&str, &str)| Measured {
        name: path.to_owned(),
        lines: text.lines().count(),
        for_tests: is_test_code(path),
    };
    over(tree.rust().map(measured).collect(), MOST_FILE_LINES, MAX_FILE_LINES, |_| true)
}

/// The functions that are too long, in the same way.
pub(crate) fn long_functions(tree: &Tree) -> Vec<String> {
    let mut functions = Functions { file: String::new(), for_tests: false, found: Vec::new() };
    for (path, text) in tree.rust() {
        path.clone_into(&mut functions.file);
        functions.for_tests = is_test_code(path);
        let file = syn::parse_file(text).unwrap_or_else(|error| panic!("{path} is not Rust: {error}"));
        functions.visit_file(&file);
    }
    over(functions.found, MOST_FUNCTION_LINES, MAX_FUNCTION_LINES, |function| !function.for_tests)
}

/// What is longer than `max` and, if more than one in ten of those that `counts` selects is longer than `most`, these.
fn over(mut all: Vec<Measured>, most: usize, max: usize, counts: fn(&Measured) -> bool) -> Vec<String> {
    all.sort_by(|a, b| b.lines.cmp(&a.lines).then_with(|| a.name.cmp(&b.name)));
    let counted: Vec<&Measured> = all.iter().filter(|one| counts(one)).collect();
    let ninth_tenth = counted.get(counted.len() / 10).map_or(0, |one| one.lines);
    let too_long =
        |one: &&Measured| one.lines > max || (ninth_tenth > most && one.lines > most && counts(one));
    let mut offenders: Vec<String> =
        all.iter().filter(too_long).map(|one| format!("{}: {} lines", one.name, one.lines)).collect();
    if ninth_tenth > most {
        offenders.insert(
            0,
            format!("one in ten of {} has {ninth_tenth} lines or more, {most} wanted", counted.len()),
        );
    }
    offenders
}

/// Collects the functions of files.
struct Functions {
    file: String,
    for_tests: bool,
    found: Vec<Measured>,
}

impl Functions {
    fn add(&mut self, signature: &Signature, body: &Block) {
        let first = signature.fn_token.span.start().line;
        let last = body.brace_token.span.close().end().line;
        self.found.push(Measured {
            name: format!("{}:{first} {}", self.file, signature.ident),
            lines: last + 1 - first,
            for_tests: self.for_tests,
        });
    }
}

impl Visit<'_> for Functions {
    fn visit_item_fn(&mut self, function: &ItemFn) {
        self.add(&function.sig, &function.block);
        visit::visit_item_fn(self, function);
    }

    fn visit_impl_item_fn(&mut self, function: &ImplItemFn) {
        self.add(&function.sig, &function.block);
        visit::visit_impl_item_fn(self, function);
    }

    fn visit_trait_item_fn(&mut self, function: &TraitItemFn) {
        if let Some(body) = &function.default {
            self.add(&function.sig, body);
        }
        visit::visit_trait_item_fn(self, function);
    }

    fn visit_item_mod(&mut self, module: &ItemMod) {
        let before = self.for_tests;
        self.for_tests |= module.ident == "tests";
        visit::visit_item_mod(self, module);
        self.for_tests = before;
    }
}

/// The share of documentation, if it is too small: of the whole, then of each package.
pub(crate) fn few_docs(tree: &Tree) -> Vec<String> {
    let mut packages: std::collections::BTreeMap<&str, (usize, usize)> = std::collections::BTreeMap::new();
    for (path, text) in tree.rust().filter(|(path, _)| !is_test_code(path)) {
        let (docs, code) =
            packages.entry(path.split_once("src/").map_or("", |(package, _)| package)).or_default();
        for line in lines(text) {
            *code += usize::from(line.code);
            *docs += usize::from(matches!(line.comment, Some((Comment::Item | Comment::Module, _))));
        }
    }
    let docs: usize = packages.values().map(|(docs, _)| docs).sum();
    let code: usize = packages.values().map(|(_, code)| code).sum();
    if docs * 100 >= code * MIN_DOC_LINES_PER_100 {
        return Vec::new();
    }
    let whole = ("all", &(docs, code));
    let share = |(name, (docs, code)): (&str, &(usize, usize))| {
        format!("{name}: {docs} lines of documentation for {code} lines of code")
    };
    std::iter::once(whole).chain(packages.iter().map(|(name, share)| (*name, share))).map(share).collect()
}

#[cfg(test)]
mod tests {
    use super::{few_docs, long_files, long_functions};
    use crate::tree::Tree;

    #[test]
    fn the_longest_and_too_many_long_ones_are_named() {
        let text = |lines: usize| "\n".repeat(lines);
        let (longest, long, short) = (text(401), text(261), text(260));
        assert_eq!(long_files(&Tree::of(&[("a.rs", &short)])), [""; 0]);
        assert_eq!(long_files(&Tree::of(&[("a.rs", &long), ("b.rs", &short)])).len(), 2);
        let mut files = vec![("a.rs", longest.as_str()), ("b.rs", &short)];
        let names: Vec<String> = (0..10).map(|number| format!("{number}.rs")).collect();
        files.extend(names.iter().map(|name| (name.as_str(), short.as_str())));
        assert_eq!(long_files(&Tree::of(&files)), ["a.rs: 401 lines"]);
    }

    #[test]
    fn functions_count_from_fn_to_brace_and_those_of_tests_only_for_the_longest() {
        let function = |lines: usize| format!("/// Docs.\nfn f() {{{}}}\n", "\n".repeat(lines - 1));
        assert_eq!(
            long_functions(&Tree::of(&[("a.rs", &function(27)), ("tests/b.rs", &function(60))])),
            [""; 0]
        );
        assert_eq!(long_functions(&Tree::of(&[("tests/b.rs", &function(61))])), ["tests/b.rs:2 f: 61 lines"]);
        assert_eq!(long_functions(&Tree::of(&[("a.rs", &function(28))])).len(), 2);
    }

    #[test]
    fn documentation_counts_against_code() {
        let code = "//! Docs.\n".to_owned() + &"a();\n".repeat(6);
        assert_eq!(few_docs(&Tree::of(&[("src/a.rs", &code)])), [""; 0]);
        let more = code + "a();\n";
        assert_eq!(few_docs(&Tree::of(&[("src/a.rs", &more), ("tests/it.rs", "a();")])).len(), 2);
    }
}
