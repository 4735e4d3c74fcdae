//! The fields of a form that keeps what was sent, with what is wrong said beside the field that it is about.

use maud::{Markup, html};

use crate::fields::Fields;
use crate::refusal::Refusal;

/// A form with the values that its last request had, and why that was refused, if it was.
pub(crate) struct Form<'a> {
    pub(crate) fields: &'a Fields,
    pub(crate) refusal: Option<&'a Refusal>,
}

impl Form<'_> {
    /// A field of one line. A browser shows no day but a true one, so a wrong one is not kept.
    pub(crate) fn input(&self, kind: &str, name: &str, label: &str) -> Markup {
        let is_lost = kind == "date" && self.rule(name).is_some();
        self.shown(kind, name, label, if is_lost { "" } else { self.fields.get(name) })
    }

    /// A minute in UTC. A wrong one is not kept, as a wrong day is not.
    pub(crate) fn minute(&self, name: &str, label: &str) -> Markup {
        let value = self.fields.get(name);
        let value = if value.len() == DAY_LENGTH { format!("{value}T00:00") } else { value.to_owned() };
        let kept = if self.rule(name).is_some() { "" } else { value.as_str() };
        self.shown("datetime-local", name, label, kept)
    }

    fn shown(&self, kind: &str, name: &str, label: &str, value: &str) -> Markup {
        let (invalid, described) = self.marks(name);
        let control = html! {
            input type=(kind) name=(name) value=(value) autocomplete="off" spellcheck="false" aria-invalid=[invalid]
                aria-describedby=[described];
        };
        self.field(name, label, &control)
    }

    /// A choice of one value; the empty one stands for any.
    pub(crate) fn choice(&self, name: &str, label: &str, options: &[(&str, &str)]) -> Markup {
        let chosen = self.fields.get(name);
        let options = html! {
            @for (value, text) in options { option value=(value) selected[*value == chosen] { (text) } }
        };
        self.select(name, label, &options)
    }

    /// A choice of one value among options that are drawn already.
    pub(crate) fn select(&self, name: &str, label: &str, options: &Markup) -> Markup {
        let (invalid, described) = self.marks(name);
        let control = html! {
            select name=(name) aria-invalid=[invalid] aria-describedby=[described] { (options) }
        };
        self.field(name, label, &control)
    }

    fn field(&self, name: &str, label: &str, control: &Markup) -> Markup {
        html! {
            div class="field" {
                label { (label) " " (control) }
                @if let Some(rule) = self.rule(name) { span class="wrong" id={ "wrong-" (name) } { (rule) } }
            }
        }
    }

    fn rule(&self, name: &str) -> Option<&str> {
        self.refusal.and_then(|refusal| refusal.rule(name))
    }

    fn marks(&self, name: &str) -> (Option<&'static str>, Option<String>) {
        let wrong = self.rule(name).is_some();
        (wrong.then_some("true"), wrong.then(|| format!("wrong-{name}")))
    }
}

/// The length of a day without a time, such as 2026-11-21.
const DAY_LENGTH: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_said_beside_its_field_and_the_rest_is_kept() {
        let fields = Fields::parse(b"user=u1&connection=none&since=CANARY");
        let refusal = Refusal::of_field("connection", "must be an id");
        let form = Form { fields: &fields, refusal: Some(&refusal) };
        let wrong = form.input("text", "connection", "Connection").into_string();
        assert!(wrong.contains("value=\"none\"") && wrong.contains("aria-invalid=\"true\""), "{wrong}");
        assert!(
            wrong.contains("aria-describedby=\"wrong-connection\"") && wrong.contains("must be an id"),
            "{wrong}"
        );
        let right = form.input("text", "user", "User").into_string();
        assert!(right.contains("value=\"u1\"") && !right.contains("aria-"), "{right}");
        let refusal = Refusal::of_field("since", "must be a day");
        let form = Form { fields: &fields, refusal: Some(&refusal) };
        let text = form.minute("since", "Since").into_string();
        assert!(text.contains("must be a day") && !text.contains("CANARY"), "{text}");
    }

    #[test]
    fn a_day_is_its_first_minute_and_a_choice_is_kept() {
        let fields = Fields::parse(b"since=2026-11-21&outcome=failed");
        let form = Form { fields: &fields, refusal: None };
        let text = form.minute("since", "Since").into_string();
        assert!(text.contains("value=\"2026-11-21T00:00\""), "{text}");
        let text = form.choice("outcome", "Outcome", &[("", "any"), ("failed", "failed")]).into_string();
        assert!(text.contains("<option value=\"failed\" selected>"), "{text}");
    }
}
