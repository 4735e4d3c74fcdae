//! The form of an auth mode as people see it: what each value is called, where to find it, what is wrong with the last one. Secrets
//! are masked, and never come back with a page.

use std::collections::BTreeMap;

use credvault_catalog::{FormField, InputKind};
use credvault_operations::connect::Form;
use credvault_operations::consents::browser::Parameters;
use http::StatusCode;
use maud::{Markup, html};
use secrecy::SecretString;

use super::desk::Guest;
use super::wrong::{PREFIX, Wrong};
use crate::http::public::page::Page;
use crate::pages::parts::{Entry, Field, Tone, notice};
use crate::pages::texts::{FormTexts, Said, fill};

/// How a connection gets its credential.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum By {
    /// The provider asks the person for consent.
    Consent,
    /// The person fills it in.
    Values,
}

/// What a form is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum For {
    /// Another connection at the provider.
    New,
    /// A connection that there is.
    Again,
}

/// A form with what the person has filled in, secrets aside.
pub(super) struct Filled {
    pub(super) by: By,
    pub(super) name: String,
    pub(super) shared: bool,
    /// The settings, by their names.
    pub(super) settings: BTreeMap<String, String>,
}

impl By {
    /// The way that a person has chosen, or else the one that takes the least of them.
    pub(super) fn of(form: &Form, wanted: Option<&str>) -> Self {
        let values = !form.by_consent || (form.by_values && wanted == Some("values"));
        if values { Self::Values } else { Self::Consent }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Consent => "consent",
            Self::Values => "values",
        }
    }
}

impl Filled {
    /// A form that is still as the vault gives it.
    pub(super) fn new(form: &Form, by: By) -> Self {
        Self { by, name: String::new(), shared: false, settings: form.values.clone() }
    }

    /// What a form has sent.
    pub(super) fn sent(form: &Form, by: By, fields: &Parameters) -> Self {
        let value = |field: &FormField| {
            let name = field.name.as_str();
            Some((name.to_owned(), fields.get(&format!("{PREFIX}{name}"))?.clone()))
        };
        Self {
            by,
            name: fields.get("account_name").map(|name| name.trim().to_owned()).unwrap_or_default(),
            shared: fields.contains_key("shared"),
            settings: form.settings.iter().filter_map(value).collect(),
        }
    }
}

/// The values that a form has sent, by the names of its fields. Line ends are those of the text, not of the form.
pub(super) fn values(fields: Parameters) -> BTreeMap<String, SecretString> {
    let values = fields.into_iter().filter_map(|(name, value)| {
        let name = name.strip_prefix(PREFIX)?.to_owned();
        Some((name, SecretString::from(value.replace("\r\n", "\n"))))
    });
    values.collect()
}

/// The page of a form. `action` is the rest of the path that it is sent to, `mode` the auth mode.
pub(super) fn page(
    guest: &Guest,
    form: &Form,
    what: For,
    filled: &Filled,
    wrong: &Wrong,
    action: &str,
) -> Page {
    let texts = &guest.texts().form;
    let title = match what {
        For::New => &texts.connect,
        For::Again => &texts.reconnect,
    };
    let text = match filled.by {
        By::Consent => &texts.by_consent,
        By::Values if form.is_tested => &texts.by_values,
        By::Values => &texts.by_values_untested,
    };
    let filling = |text: &str| fill(text, &[("provider", form.provider_name.as_str())]);
    let said = Said { title: filling(title), text: filling(text) };
    let content = html! {
        @if let Some(text) = &wrong.form { (notice(Tone::Bad, text)) }
        (help(form, texts))
        (body(guest, form, what, filled, wrong, action))
        (other_way(guest, form, what, filled, action))
        div class="actions" { a href=(guest.path("")) { (guest.texts().back) } }
    };
    let (status, kind) =
        if wrong.is_empty() { (StatusCode::OK, "form") } else { (StatusCode::BAD_REQUEST, "form_again") };
    let page = guest.page(status, kind, &said, &content);
    guest.in_languages(page, format!("{}{}", guest.path(action), query(form, what, filled.by)))
}

/// What in the address of a form says which one it is.
fn query(form: &Form, what: For, by: By) -> String {
    match what {
        For::New => format!("?mode={}&by={}", form.auth_mode.as_str(), by.as_str()),
        For::Again => format!("?by={}", by.as_str()),
    }
}

fn help(form: &Form, texts: &FormTexts) -> Markup {
    html! {
        @if let Some(url) = &form.help_url {
            p { a href=(url) target="_blank" rel="noopener noreferrer" { (fill(&texts.help, &[("provider", form.provider_name.as_str())])) } }
        }
    }
}

fn body(guest: &Guest, form: &Form, what: For, filled: &Filled, wrong: &Wrong, action: &str) -> Markup {
    let texts = &guest.texts().form;
    let by_consent = filled.by == By::Consent;
    let settings = form.settings.iter().filter(|_| !(by_consent && what == For::Again));
    let fields = settings.chain(form.secrets.iter().filter(|_| !by_consent));
    let (needed, others): (Vec<_>, Vec<_>) = fields.partition(|field| field.required);
    // Where the provider's file asks for one of several, none of them is needed by itself.
    let open = (!by_consent && needed.is_empty())
        || others.iter().any(|field| wrong.fields.contains_key(field.name.as_str()));
    let waiting = (!by_consent && form.is_tested).then_some(texts.testing.as_str());
    let button = if by_consent { &texts.onward } else { &texts.send };
    html! {
        form method="post" action=(guest.path(action)) data-check data-consent[by_consent] data-missing=(texts.missing)
            data-short=(texts.short) data-long=(texts.long) data-whole-json=(texts.whole_json)
            data-waiting=[waiting] {
            (guest.proof())
            input type="hidden" name="mode" value=(form.auth_mode.as_str());
            input type="hidden" name="by" value=(filled.by.as_str());
            input type="hidden" name="way" value="page";
            @for field in &needed { (input(field, filled, wrong, texts)) }
            @if what == For::New { (name(filled, wrong, texts)) (shared(guest, filled, texts)) }
            @if !others.is_empty() {
                details open[open] { summary { (texts.optional) } @for field in &others { (input(field, filled, wrong, texts)) } }
            }
            div class="actions" {
                button class="button primary" { (fill(button, &[("provider", form.provider_name.as_str())])) }
            }
        }
    }
}

fn name(filled: &Filled, wrong: &Wrong, texts: &FormTexts) -> Markup {
    let field = Field {
        name: "account_name",
        label: &texts.name,
        hint: &texts.name_hint,
        error: wrong.name.as_deref().unwrap_or_default(),
        required: false,
        entry: Entry::Text(&filled.name),
    };
    field.markup()
}

fn shared(guest: &Guest, filled: &Filled, texts: &FormTexts) -> Markup {
    html! {
        @if guest.visit.terms().manages_shared {
            div class="field choice" {
                input type="checkbox" id="shared" name="shared" value="yes" checked[filled.shared];
                label for="shared" { (texts.shared) }
            }
        }
    }
}

/// The other way to connect an account, where there are two.
fn other_way(guest: &Guest, form: &Form, what: For, filled: &Filled, action: &str) -> Markup {
    let (by, text) = match filled.by {
        By::Consent => (By::Values, &guest.texts().form.instead_values),
        By::Values => (By::Consent, &guest.texts().form.instead_consent),
    };
    let query = query(form, what, by);
    html! {
        @if form.by_values && form.by_consent {
            p { a href={ (guest.path(action)) (query) } { (fill(text, &[("provider", form.provider_name.as_str())])) } }
        }
    }
}

/// A field with its label, its hint and its error, which screen readers say with it.
fn input(field: &FormField, filled: &Filled, wrong: &Wrong, texts: &FormTexts) -> Markup {
    let name = field.name.as_str();
    let id = format!("{PREFIX}{name}");
    let error = wrong.fields.get(name);
    let (hint_id, error_id) = (format!("{id}-hint"), format!("{id}-error"));
    let ids = [(field.help.is_some(), &hint_id), (true, &error_id)];
    let described: Vec<&str> =
        ids.iter().filter(|(is_there, _)| *is_there).map(|(_, id)| id.as_str()).collect();
    // A secret never comes back.
    let value = if field.secret { None } else { filled.settings.get(name).or(field.default.as_ref()) };
    let shown = Shown {
        field,
        id: &id,
        described: &described.join(" "),
        invalid: error.map(|_| "true"),
        value: value.map_or("", String::as_str),
    };
    html! {
        div class="field" {
            // The catalog's own words are English, whatever the page's language is.
            label for=(id) { span lang="en" { (field.title) } @if !field.required { " " span class="note" { (texts.optional_mark) } } }
            @if let Some(help) = &field.help { p class="hint" id=(hint_id) lang="en" { (help) } }
            (control(&shown, texts))
            p class="error" id=(error_id) hidden[error.is_none()] { @if let Some(text) = error { (text) } }
        }
    }
}

/// A control with what it needs beside its rules.
struct Shown<'a> {
    field: &'a FormField,
    id: &'a str,
    described: &'a str,
    invalid: Option<&'a str>,
    value: &'a str,
}

impl Shown<'_> {
    /// The words of the rule that a pattern stands for.
    fn rule(&self, texts: &FormTexts) -> Option<String> {
        let rule = self.field.pattern_text.as_deref()?;
        Some(fill(&texts.mismatch, &[("rule", rule)]))
    }
}

fn control(shown: &Shown<'_>, texts: &FormTexts) -> Markup {
    let Shown { field, id, described, invalid, value } = shown;
    if !field.options.is_empty() || field.kind == InputKind::Switch {
        return choice(shown, texts);
    }
    // Of a value that may be written in several ways, only the vault knows what it comes to.
    let judged = !field.respelled;
    let pattern = field.pattern.as_deref().filter(|_| judged);
    let (rule, required) = (shown.rule(texts).filter(|_| judged), field.required);
    let min = if judged { field.min_length } else { 0 };
    let max = field.max_length.filter(|_| judged).map(|max| max.to_string());
    let many = matches!(field.kind, InputKind::Text | InputKind::Json);
    let kind = match field.kind {
        InputKind::Url => "url",
        InputKind::Line | InputKind::Text | InputKind::Json | InputKind::Number | InputKind::Switch => "text",
    };
    let (mode, json) = (
        (field.kind == InputKind::Number).then_some("numeric"),
        (field.kind == InputKind::Json).then_some(texts.no_json.as_str()),
    );
    html! {
        @if many {
            textarea id=(id) name=(id) rows="6" class=[(!field.secret).then_some("open")] required[required] autocomplete="off"
                spellcheck="false" aria-describedby=(described) aria-invalid=[invalid] data-pattern=[pattern] data-rule=[rule]
                data-min=(min) data-max=[max] data-json=[json] { (value) }
        } @else if field.secret {
            div class="secret" {
                input type="password" id=(id) name=(id) required[required] autocomplete="off" spellcheck="false"
                    aria-describedby=(described) aria-invalid=[invalid] data-pattern=[pattern] data-rule=[rule]
                    data-min=(min) data-max=[max] data-show=(texts.show) data-hide=(texts.hide);
            }
        } @else {
            input type=(kind) id=(id) name=(id) value=(value) inputmode=[mode] required[required] autocomplete="off"
                spellcheck="false" aria-describedby=(described) aria-invalid=[invalid] data-pattern=[pattern] data-rule=[rule]
                data-min=(min) data-max=[max];
        }
    }
}

fn choice(shown: &Shown<'_>, texts: &FormTexts) -> Markup {
    let Shown { field, id, described, invalid, value } = shown;
    let switch = [("true", texts.yes.as_str()), ("false", texts.no.as_str())];
    let named = field.options.iter().map(|option| (option.as_str(), option.as_str()));
    let options: Vec<_> = if field.options.is_empty() { switch.into() } else { named.collect() };
    html! {
        select id=(id) name=(id) required[field.required] aria-describedby=(described) aria-invalid=[invalid] {
            option value="" selected[value.is_empty()] { (texts.choose) }
            @for (option, label) in options { option value=(option) selected[option == *value] { (label) } }
        }
    }
}
