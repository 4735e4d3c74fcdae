//! Paths as lists of names: from `use` declarations, from code, and from the tokens within macro calls.

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use syn::{ItemUse, Path, UseTree, Visibility};

/// One name that a `use` declaration brings into a module.
pub(super) struct Import {
    /// The name in the importing module; `None` for a glob.
    pub(super) name: Option<String>,
    pub(super) path: Vec<String>,
    /// Whether other modules can reach the item through the importing one.
    pub(super) re_export: bool,
}

/// All names of one `use` declaration.
pub(super) fn imports(item: &ItemUse) -> Vec<Import> {
    let mut found = Vec::new();
    collect(&item.tree, &mut Vec::new(), &mut found);
    let re_export = !matches!(item.vis, Visibility::Inherited);
    // `::` names no module of this crate: the path leads to another one.
    let start = item.leading_colon.as_ref().map(|_| "::".to_owned());
    let import = |(name, path)| Import { name, path: start.iter().cloned().chain(path).collect(), re_export };
    found.into_iter().map(import).collect()
}

fn collect(tree: &UseTree, before: &mut Vec<String>, found: &mut Vec<(Option<String>, Vec<String>)>) {
    let with = |before: &[String], name: String| [before, &[name]].concat();
    match tree {
        UseTree::Path(path) => {
            before.push(path.ident.to_string());
            collect(&path.tree, before, found);
            before.pop();
        }
        UseTree::Name(name) if name.ident == "self" => found.push((before.last().cloned(), before.clone())),
        UseTree::Name(name) => {
            let name = name.ident.to_string();
            found.push((Some(name.clone()), with(before, name)));
        }
        UseTree::Rename(rename) => {
            let path = with(before, rename.ident.to_string());
            found.push((Some(rename.rename.to_string()), path));
        }
        UseTree::Glob(_) => found.push((None, before.clone())),
        UseTree::Group(group) => group.items.iter().for_each(|tree| collect(tree, before, found)),
    }
}

/// The names of a path in code, without its generic arguments.
pub(super) fn segments(path: &Path) -> Vec<String> {
    if path.leading_colon.is_some() {
        return Vec::new();
    }
    path.segments.iter().map(|segment| segment.ident.to_string()).collect()
}

/// All paths in the tokens of a macro call. A single name counts if it is a type or a constant, or is called; other
/// single names are variables and keys.
pub(super) fn paths_in_tokens(tokens: TokenStream, found: &mut Vec<Vec<String>>) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let mut at = 0;
    while at < tokens.len() {
        match &tokens[at] {
            TokenTree::Group(group) => paths_in_tokens(group.stream(), found),
            TokenTree::Ident(_) if !is_field(&tokens, at) => {
                let (path, end) = path_at(&tokens, at);
                at = end - 1;
                if path.len() > 1 || is_item(&path[0], tokens.get(end)) {
                    found.push(path);
                }
            }
            TokenTree::Ident(_) | TokenTree::Punct(_) | TokenTree::Literal(_) => {}
        }
        at += 1;
    }
}

/// The path that begins at the name `tokens[start]`, and the place behind it.
fn path_at(tokens: &[TokenTree], start: usize) -> (Vec<String>, usize) {
    let mut path = vec![tokens[start].to_string()];
    let mut end = start + 1;
    while let [TokenTree::Punct(a), TokenTree::Punct(b), TokenTree::Ident(name), ..] = &tokens[end..] {
        if a.as_char() != ':' || b.as_char() != ':' {
            break;
        }
        path.push(name.to_string());
        end += 3;
    }
    (path, end)
}

fn is_field(tokens: &[TokenTree], at: usize) -> bool {
    let dot = |token: &TokenTree| matches!(token, TokenTree::Punct(mark) if mark.as_char() == '.');
    at > 0 && dot(&tokens[at - 1]) && !(at > 1 && dot(&tokens[at - 2]))
}

fn is_item(name: &str, next: Option<&TokenTree>) -> bool {
    let called = match next {
        Some(TokenTree::Group(group)) => group.delimiter() == Delimiter::Parenthesis,
        Some(TokenTree::Punct(mark)) => mark.as_char() == '!',
        _ => false,
    };
    called || name.starts_with(char::is_uppercase)
}
