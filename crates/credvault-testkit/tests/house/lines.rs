//! Rust text line by line: what is code, what is comment, what is the content of text literals. Knows literals and
//! comments only, not the grammar.

use std::iter::Peekable;
use std::str::Chars;

/// What a comment is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Comment {
    /// `///`: documents the item that follows.
    Item,
    /// `//!`: documents the file or module that holds it.
    Module,
    /// `//`: explains the code around it.
    Plain,
}

/// One line of a Rust file.
#[derive(Default)]
pub(crate) struct Line {
    /// Whether anything but comment and space stands here.
    pub(crate) code: bool,
    /// The comment and its kind, without the slashes.
    pub(crate) comment: Option<(Comment, String)>,
    /// What stands here between quotation marks.
    pub(crate) literal: String,
}

/// Splits a Rust file into its lines.
pub(crate) fn lines(text: &str) -> Vec<Line> {
    let mut reader = Reader { rest: text.chars().peekable(), lines: vec![Line::default()] };
    while let Some(character) = reader.rest.next() {
        reader.read(character);
    }
    reader.lines
}

struct Reader<'a> {
    rest: Peekable<Chars<'a>>,
    lines: Vec<Line>,
}

impl Reader<'_> {
    fn read(&mut self, character: char) {
        match character {
            '\n' => self.lines.push(Line::default()),
            '/' if self.rest.next_if_eq(&'/').is_some() => self.line_comment(),
            '/' if self.rest.next_if_eq(&'*').is_some() => self.block_comment(),
            '"' => self.literal(),
            'r' if matches!(self.rest.peek(), Some('"' | '#')) => self.raw_literal(),
            '\'' => self.character_or_lifetime(),
            other if other.is_whitespace() => {}
            // The rest of a name, so that its last letter does not begin a raw literal.
            other if other.is_alphanumeric() || other == '_' => self.name(other),
            _ => self.line().code = true,
        }
    }

    fn line(&mut self) -> &mut Line {
        if self.lines.is_empty() {
            self.lines.push(Line::default());
        }
        let last = self.lines.len() - 1;
        &mut self.lines[last]
    }

    fn name(&mut self, first: char) {
        self.line().code = true;
        let mut before = first;
        while let Some(next) = self.rest.next_if(|next| next.is_alphanumeric() || *next == '_') {
            before = next;
        }
        // The prefixes `br` and `cr` of raw literals.
        if before == 'r' && first != before && matches!(self.rest.peek(), Some('"' | '#')) {
            self.raw_literal();
        }
    }

    fn line_comment(&mut self) {
        let kind = match self.rest.peek() {
            Some('/') => Comment::Item,
            Some('!') => Comment::Module,
            _ => Comment::Plain,
        };
        let mut text = String::new();
        while let Some(next) = self.rest.next_if(|next| *next != '\n') {
            text.push(next);
        }
        let text = if kind == Comment::Plain { text.as_str() } else { &text[1..] };
        self.line().comment = Some((kind, text.trim().to_owned()));
    }

    fn block_comment(&mut self) {
        let mut depth = 1;
        while depth > 0
            && let Some(next) = self.rest.next()
        {
            match next {
                '\n' => self.lines.push(Line::default()),
                '*' if self.rest.next_if_eq(&'/').is_some() => depth -= 1,
                '/' if self.rest.next_if_eq(&'*').is_some() => depth += 1,
                _ => {}
            }
        }
    }

    fn literal(&mut self) {
        self.line().code = true;
        while let Some(next) = self.rest.next().filter(|next| *next != '"') {
            let content = if next == '\\' { self.rest.next().unwrap_or(next) } else { next };
            self.content(content);
        }
    }

    fn raw_literal(&mut self) {
        self.line().code = true;
        let mut marks = 0;
        while self.rest.next_if_eq(&'#').is_some() {
            marks += 1;
        }
        if self.rest.next_if_eq(&'"').is_none() {
            return;
        }
        while let Some(next) = self.rest.next() {
            if next == '"' && self.closes(marks) {
                return;
            }
            self.content(next);
        }
    }

    fn closes(&mut self, marks: usize) -> bool {
        let closes = self.rest.clone().take(marks).filter(|next| *next == '#').count() == marks;
        if closes {
            self.rest.by_ref().take(marks).for_each(|_| {});
        }
        closes
    }

    fn content(&mut self, character: char) {
        if character == '\n' {
            self.lines.push(Line::default());
        }
        let line = self.line();
        line.code = true;
        line.literal.push(character);
    }

    fn character_or_lifetime(&mut self) {
        self.line().code = true;
        let mut ahead = self.rest.clone();
        let escaped = ahead.next() == Some('\\');
        if escaped {
            self.rest.next();
            self.rest.next();
            while self.rest.next().is_some_and(|next| next != '\'') {}
        } else if ahead.next() == Some('\'') {
            self.rest.next();
            self.rest.next();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Comment, lines};

    #[test]
    fn slashes_in_literals_are_no_comments() {
        let text =
            "let a = \"// no\"; // yes\nlet b = r#\"a \" // no\"#;\n'/'; '\"'; /* no\n*/ br\"// no\" // 'a\n";
        let comments: Vec<_> =
            lines(text).into_iter().map(|line| line.comment.map(|(_, text)| text)).collect();
        let yes = |text: &str| Some(text.to_owned());
        assert_eq!(comments, [yes("yes"), None, None, yes("'a"), None]);
    }

    #[test]
    fn kinds_of_comments_and_contents_of_literals_are_told_apart() {
        let text = "//! A module.\n/// An item.\nfn f<'a>() { g(\"one\\\"\") } // Plain.\n";
        let lines = lines(text);
        let kinds: Vec<_> = lines.iter().filter_map(|line| Some(line.comment.as_ref()?.0)).collect();
        assert_eq!(kinds, [Comment::Module, Comment::Item, Comment::Plain]);
        assert_eq!(lines[2].literal, "one\"");
        assert!(lines[2].code && !lines[1].code);
    }
}
