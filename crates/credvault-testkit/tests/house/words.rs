//! What comments, error texts and pages say: enough to be worth reading, and in plain English.

use crate::lines::{Comment, Line, lines};
use crate::tree::{Tree, is_test_code};

/// A doc comment of fewer words says nothing that the name does not.
const MIN_DOC_WORDS: usize = 4;

/// Words that hide who acts. Each is written in two halves, so that this list does not hold them.
const HIDING_WORDS: [(&str, &str); 5] =
    [("who", "ever"), ("some", "body"), ("no", "body"), ("is ", "told"), ("is ", "spoken of")];

/// Doc comments of fewer than four words.
pub(crate) fn short_docs(tree: &Tree) -> Vec<String> {
    let mut offenders = Vec::new();
    for (path, text) in tree.rust() {
        let lines = lines(text);
        let mut at = 0;
        while at < lines.len() {
            let block: Vec<&str> = lines[at..].iter().map_while(doc).collect();
            let words = block.iter().flat_map(|line| line.split_whitespace()).filter(|word| is_word(word));
            if !block.is_empty() && words.count() < MIN_DOC_WORDS {
                offenders.push(format!("{path}:{}: {}", at + 1, block.join(" ")));
            }
            at += block.len().max(1);
        }
    }
    offenders
}

/// Files that do not say in their first line what they are.
pub(crate) fn undocumented_files(tree: &Tree) -> Vec<String> {
    tree.rust().filter(|(_, text)| !text.starts_with("//! ")).map(|(path, _)| path.to_owned()).collect()
}

/// Lines of comments, error texts, pages and protos that hide who acts.
pub(crate) fn hiding_words(tree: &Tree) -> Vec<String> {
    let mut offenders = Vec::new();
    for (path, text) in tree.files() {
        for (number, line) in prose(path, text).into_iter().enumerate() {
            if let Some(word) = hiding_word(&line) {
                offenders.push(format!("{path}:{}: \"{word}\" in: {}", number + 1, line.trim()));
            }
        }
    }
    offenders
}

/// What a file says on each of its lines: of Rust the comments and, tests aside, the literals; of others everything.
fn prose(path: &str, text: &str) -> Vec<String> {
    if !path.ends_with(".rs") {
        return text.lines().map(str::to_owned).collect();
    }
    let said = |line: Line| {
        let literal = if is_test_code(path) { String::new() } else { line.literal };
        format!("{literal} {}", line.comment.map_or(String::new(), |(_, text)| text))
    };
    lines(text).into_iter().map(said).collect()
}

fn hiding_word(line: &str) -> Option<String> {
    let line = line.to_lowercase();
    HIDING_WORDS.iter().map(|(first, second)| format!("{first}{second}")).find(|word| {
        line.match_indices(word.as_str()).any(|(start, _)| {
            let letter = |next: Option<char>| next.is_some_and(char::is_alphabetic);
            !letter(line[..start].chars().next_back()) && !letter(line[start + word.len()..].chars().next())
        })
    })
}

fn doc(line: &Line) -> Option<&str> {
    match &line.comment {
        Some((Comment::Item | Comment::Module, text)) if !line.code => Some(text),
        _ => None,
    }
}

fn is_word(word: &str) -> bool {
    word.contains(char::is_alphanumeric)
}

#[cfg(test)]
mod tests {
    use super::{hiding_words, short_docs, undocumented_files};
    use crate::tree::Tree;

    #[test]
    fn a_doc_of_several_lines_counts_as_one() {
        let text = "/// Two words\n/// and three more.\nfn f() {}\n/// Only - three words.\n#[a]\n/// One.\nfn g() {}";
        let found = short_docs(&Tree::of(&[("a.rs", text)]));
        assert_eq!(found, ["a.rs:4: Only - three words.", "a.rs:6: One."]);
    }

    #[test]
    fn files_say_what_they_are() {
        assert_eq!(undocumented_files(&Tree::of(&[("a.rs", "//! A file.\n"), ("b.rs", "use a;")])), ["b.rs"]);
    }

    #[test]
    fn words_that_hide_who_acts_are_found_in_prose_only() {
        let word = ["no", "body"].concat();
        let text = format!("// Tell {word}.\nlet {word} = \"{word}\"; // {word}_here, {word}es\n");
        let comment = Tree::of(&[("tests/a.rs", &text)]);
        assert_eq!(hiding_words(&comment).len(), 2);
        let page = format!("Everybody.\nTell {}.\n", word.to_uppercase());
        assert_eq!(hiding_words(&Tree::of(&[("a.md", &page)])).len(), 1);
    }
}
