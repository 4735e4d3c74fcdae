//! What is wrong with a form that was sent, at the field that it is about, in the words of the person who fills it in.

use std::collections::BTreeMap;

use credvault_catalog::FormField;
use credvault_domain::Violations;
use credvault_operations::Refusal;
use credvault_operations::connect::{Form, input_of};
use credvault_operations::consents::browser::Parameters;
use credvault_store::Error as StoreError;

use crate::pages::texts::{FormTexts, fill};

/// What stands before a field's name in the form, so that no field is taken for one of the form's own.
pub(super) const PREFIX: &str = "f-";

/// What is wrong, by the places of a form.
#[derive(Default, Debug)]
pub(super) struct Wrong {
    /// About the form as a whole.
    pub(super) form: Option<String>,
    /// About the account's name.
    pub(super) name: Option<String>,
    /// About the fields of the auth mode, by their names.
    pub(super) fields: BTreeMap<String, String>,
}

impl Wrong {
    pub(super) fn is_empty(&self) -> bool {
        let Self { form, name, fields } = self;
        form.is_none() && name.is_none() && fields.is_empty()
    }

    /// Reads a refusal of what `sent` holds. `asked` are the fields that the person was asked for.
    ///
    /// # Errors
    /// The refusal itself, if it is not about what the person has filled in.
    pub(super) fn of(
        refusal: Refusal,
        form: &Form,
        asked: &[&FormField],
        sent: &Sent<'_>,
        texts: &FormTexts,
    ) -> Result<Self, Refusal> {
        let filling = |text: &str| Some(fill(text, &[("provider", form.provider_name.as_str())]));
        if matches!(refusal, Refusal::Store(StoreError::ConnectionExists)) {
            let (form, name) = (Some(texts.look.clone()), filling(&texts.name_taken));
            return Ok(Self { form, name, ..Self::default() });
        }
        if matches!(refusal, Refusal::Store(StoreError::OtherAccount)) {
            return Ok(Self { form: filling(&texts.other_account), ..Self::default() });
        }
        if matches!(refusal, Refusal::Test(_)) {
            return Ok(Self { form: filling(&texts.no_answer), ..Self::default() });
        }
        let Refusal::Invalid(violations) = refusal else { return Err(refusal) };
        let mut wrong = Self { fields: missing(asked, sent, texts), ..Self::default() };
        wrong.add(&violations, asked, sent, texts);
        let rejected = violations.iter().any(|violation| violation.field == "credential");
        if wrong.is_empty() && !rejected {
            // The person can mend nothing here.
            return Err(Refusal::Invalid(violations));
        }
        wrong.form = filling(if rejected { &texts.rejected } else { &texts.look });
        Ok(wrong)
    }

    fn add(&mut self, violations: &Violations, asked: &[&FormField], sent: &Sent<'_>, texts: &FormTexts) {
        for violation in violations.iter() {
            if violation.field == "account_name" {
                self.name = Some(texts.name_wrong.clone());
            }
            let named = input_of(&violation.field);
            let Some(field) = asked.iter().find(|field| Some(field.name.as_str()) == named) else { continue };
            let name = field.name.as_str();
            let text = said(field, sent.value(name), &violation.rule, texts);
            self.fields.entry(name.to_owned()).or_insert(text);
        }
    }
}

/// The values of a form by the names of its fields.
pub(super) struct Sent<'a>(pub(super) &'a Parameters);

impl Sent<'_> {
    fn value(&self, name: &str) -> &str {
        self.0.get(&format!("{PREFIX}{name}")).map_or("", |value| value.trim())
    }
}

/// The fields that must be filled and are not.
fn missing(asked: &[&FormField], sent: &Sent<'_>, texts: &FormTexts) -> BTreeMap<String, String> {
    let empty = |field: &&&FormField| field.required && sent.value(field.name.as_str()).is_empty();
    asked.iter().filter(empty).map(|field| (field.name.as_str().to_owned(), texts.missing.clone())).collect()
}

/// What is wrong with a value: in the language of the page where the field itself says it, else in the vault's words.
fn said(field: &FormField, value: &str, rule: &str, texts: &FormTexts) -> String {
    let length = value.chars().count();
    if value.is_empty() {
        texts.missing.clone()
    } else if length < field.min_length && !field.respelled {
        fill(&texts.short, &[("number", &field.min_length.to_string())])
    } else if let Some(max) = field.max_length.filter(|max| length > *max && !field.respelled) {
        fill(&texts.long, &[("number", &max.to_string())])
    } else if let Some(pattern) = field.pattern_text.as_deref().filter(|text| rule.ends_with(*text)) {
        fill(&texts.mismatch, &[("rule", pattern)])
    } else {
        fill(&texts.other_rule, &[("rule", rule)])
    }
}
