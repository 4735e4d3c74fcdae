//! The parts that pages are made of. None needs a script; each escapes the text that it is given. Pages put them into
//! their element `main`, which the style shows as a card.
//!
//! A form names no URL of another server: the content security policy of the pages permits `'self'` only.

use maud::{Markup, html};

/// What a message or a badge says about something.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tone {
    /// It is as it should be.
    Good,
    /// It needs attention soon.
    Warning,
    /// It does not work.
    Bad,
    /// Neither good nor bad.
    Neutral,
}

impl Tone {
    /// The class that gives the colour.
    fn class(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Warning => "warn",
            Self::Bad => "bad",
            Self::Neutral => "neutral",
        }
    }

    /// The drawing of this tone, 24 units wide. Colour alone would say nothing to many people.
    fn shape(self) -> &'static str {
        match self {
            Self::Good => "M20 7 10 17l-5-5",
            Self::Warning => "M12 7v6M12 17v.01",
            Self::Bad => "M7 7l10 10M17 7 7 17",
            Self::Neutral => "M12 11v6M12 7v.01",
        }
    }
}

/// A round mark beside a heading. Readers of screens skip it: the heading says the same.
pub fn mark(tone: Tone) -> Markup {
    html! {
        svg class={ "mark " (tone.class()) } viewBox="0 0 24 24" aria-hidden="true" focusable="false" {
            path d=(tone.shape()) {}
        }
    }
}

/// A message in a coloured box.
pub fn notice(tone: Tone, text: &str) -> Markup {
    html! { p class={ "notice " (tone.class()) } role="status" { (text) } }
}

/// The state of something in one or two words.
pub fn badge(tone: Tone, text: &str) -> Markup {
    html! { span class={ "badge " (tone.class()) } { (text) } }
}

/// Names with their values. Values that are empty are left out.
pub fn facts(facts: &[(&str, &str)]) -> Markup {
    html! {
        dl class="facts" {
            @for (name, value) in facts.iter().filter(|(_, value)| !value.is_empty()) {
                div { dt { (name) } dd { (value) } }
            }
        }
    }
}

/// How a button or a link that looks like one stands out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Weight {
    /// What most people want; one on a page.
    Primary,
    /// Everything else that can be done.
    Secondary,
    /// What takes something away.
    Danger,
}

impl Weight {
    fn class(self) -> &'static str {
        match self {
            Self::Primary => "button primary",
            Self::Secondary => "button",
            Self::Danger => "button danger",
        }
    }
}

/// A form that is one button: it posts `values` to `action`. A link would do, but for what changes something.
pub fn post(action: &str, values: &[(&str, &str)], weight: Weight, label: &str) -> Markup {
    html! {
        form method="post" action=(action) {
            @for (name, value) in values { input type="hidden" name=(name) value=(value); }
            button class=(weight.class()) { (label) }
        }
    }
}

/// A link that looks like a button.
pub fn link(url: &str, weight: Weight, label: &str) -> Markup {
    html! { a class=(weight.class()) href=(url) { (label) } }
}

/// The same, in a window of its own, which may send messages to this page.
pub fn link_to_window(url: &str, weight: Weight, label: &str) -> Markup {
    html! { a class=(weight.class()) href=(url) target="_blank" rel="opener" { (label) } }
}

/// What can be done here, side by side where there is room.
pub fn actions(actions: &[Markup]) -> Markup {
    html! {
        div class="actions" { @for action in actions { (action) } }
    }
}

/// Something that is shown when the person asks for it, such as the details of an error.
pub fn disclosure(summary: &str, content: &Markup) -> Markup {
    html! { details { summary { (summary) } (content) } }
}

/// A button that asks before it does something: it opens a box that says what will happen, and holds the real button.
pub fn confirmation(summary: &str, consequence: &str, action: &Markup) -> Markup {
    html! {
        details class="confirmation" {
            summary class="button" { (summary) }
            div class="box" { p { (consequence) } (action) }
        }
    }
}

/// How the person gives a value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Entry<'a> {
    /// One line of text, with what it holds already.
    Text(&'a str),
    /// A web address, with what it holds already.
    Url(&'a str),
    /// A secret of one line, which is not shown and not remembered. A script adds a button that shows it.
    Secret {
        /// The label of the button that shows the value.
        show: &'a str,
        /// The label of the button that hides it again.
        hide: &'a str,
    },
    /// A secret of many lines, such as a JSON key.
    Lines,
    /// One of a few values, each with its label, and the value that is chosen.
    Choice(&'a [(&'a str, &'a str)], &'a str),
}

/// A labelled field of a form.
#[derive(Clone, Copy, Debug)]
pub struct Field<'a> {
    /// The name in the form, which is also the element's id: letters, digits, `_` and `-`.
    pub name: &'a str,
    /// What the person is asked for.
    pub label: &'a str,
    /// Where the value is found, or its form; empty if that is clear.
    pub hint: &'a str,
    /// What is wrong with the last value; empty if nothing is.
    pub error: &'a str,
    /// Whether the form needs a value.
    pub required: bool,
    /// How the value is given.
    pub entry: Entry<'a>,
}

impl Field<'_> {
    /// The field with its label, its hint and its error, which screen readers say with it.
    pub fn markup(&self) -> Markup {
        let Self { name, label, hint, error, .. } = self;
        let (hint_id, error_id) = (format!("{name}-hint"), format!("{name}-error"));
        let shown = [(hint, hint_id.as_str()), (error, error_id.as_str())].into_iter();
        let described: Vec<_> = shown.filter(|(text, _)| !text.is_empty()).map(|(_, id)| id).collect();
        let described = described.join(" ");
        html! {
            div class="field" {
                label for=(name) { (label) }
                @if !hint.is_empty() { p class="hint" id=(hint_id) { (hint) } }
                (self.control(Some(described.as_str()).filter(|ids| !ids.is_empty())))
                @if !error.is_empty() { p class="error" id=(error_id) { (error) } }
            }
        }
    }

    fn control(&self, described: Option<&str>) -> Markup {
        let Self { name, error, required, entry, .. } = *self;
        let invalid = (!error.is_empty()).then_some("true");
        html! {
            @match entry {
                Entry::Text(value) => {
                    input type="text" id=(name) name=(name) value=(value) required[required] aria-describedby=[described]
                        aria-invalid=[invalid] autocomplete="off" spellcheck="false";
                }
                Entry::Url(value) => {
                    input type="url" id=(name) name=(name) value=(value) required[required] aria-describedby=[described]
                        aria-invalid=[invalid] autocomplete="off" spellcheck="false";
                }
                Entry::Secret { show, hide } => {
                    div class="secret" {
                        input type="password" id=(name) name=(name) required[required] aria-describedby=[described]
                            aria-invalid=[invalid] autocomplete="off" spellcheck="false" data-show=(show) data-hide=(hide);
                    }
                }
                Entry::Lines => {
                    textarea id=(name) name=(name) rows="6" required[required] aria-describedby=[described]
                        aria-invalid=[invalid] autocomplete="off" spellcheck="false" {}
                }
                Entry::Choice(choices, chosen) => {
                    select id=(name) name=(name) required[required] aria-describedby=[described] aria-invalid=[invalid] {
                        @for (value, label) in choices {
                            option value=(value) selected[*value == chosen] { (label) }
                        }
                    }
                }
            }
        }
    }
}

/// One row of a list: what it is, its state, and what can be done with it.
#[derive(Clone, Debug)]
pub struct Row {
    /// The name of the thing, the row's heading.
    pub title: String,
    /// What distinguishes it, such as an account's id.
    pub note: String,
    /// Badges that say its state.
    pub state: Markup,
    /// Buttons and links that act on it.
    pub actions: Markup,
}

/// A list of things, one below the other.
pub fn list(rows: &[Row]) -> Markup {
    html! {
        ul class="list" {
            @for Row { title, note, state, actions } in rows {
                li {
                    div class="what" {
                        h3 { (title) }
                        @if !note.is_empty() { p class="note" { (note) } }
                    }
                    div class="state" { (state) }
                    div class="actions" { (actions) }
                }
            }
        }
    }
}

/// Cards to choose one of: each is a link with a name and a note.
pub fn choices(choices: &[(&str, &str, &str)]) -> Markup {
    html! {
        ul class="choices" {
            @for (url, name, note) in choices {
                li { a href=(url) { span class="what" { (name) } span class="note" { (note) } } }
            }
        }
    }
}

/// A table that scrolls by itself where the window is narrow, also by keyboard. `caption` says what it lists.
pub fn table(caption: &str, heads: &[&str], rows: &[Vec<Markup>]) -> Markup {
    html! {
        div class="table" role="region" aria-label=(caption) tabindex="0" {
            table {
                thead { tr { @for head in heads { th scope="col" { (head) } } } }
                tbody { @for row in rows { tr { @for cell in row { td { (cell) } } } } }
            }
        }
    }
}

#[cfg(test)]
mod tests;
