//! What is wrong with a policy, without what stands in it. Cedar quotes tokens and expressions, and a secret may have been
//! pasted among them: a message names the file, the line, the policy and the kind of error, and of what was written only
//! words that look like the names that policies are made of.

use cedar_policy::{ParseError, ParseErrors, ValidationError};
use credvault_domain::is_key;
use miette::Diagnostic;

/// What a parser has found in the text of a file.
pub(super) fn of_parser(errors: &ParseErrors, text: &str) -> String {
    let problem = |error: &ParseError| {
        let (place, kind) = (place(error, text), plain(&error.to_string()));
        if kind.is_empty() { format!("{place}it is not Cedar") } else { format!("{place}{kind}") }
    };
    errors.iter().map(problem).collect::<Vec<_>>().join("; ")
}

/// What does not fit the schema, in a policy of the file with this name and text.
pub(super) fn of_validator(error: &ValidationError, file: &str, text: &str) -> String {
    let (id, message) = (error.policy_id().to_string(), error.to_string());
    let message = message.strip_prefix(&format!("for policy `{id}`, ")).unwrap_or_default();
    let kind = match plain(message) {
        kind if kind.is_empty() => "it does not fit".to_owned(),
        kind => kind,
    };
    format!("{file}: {}{}{kind}", place(error, text), shown_id(&id))
}

/// ` ID: ` of a policy, if it looks like an id.
pub(super) fn shown_id(id: &str) -> String {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || " -_.".contains(c);
    if id.len() <= 64 && id.chars().all(fits) { format!("{id}: ") } else { String::new() }
}

/// `line N: ` of what an error points at.
fn place(error: &dyn Diagnostic, text: &str) -> String {
    let Some(label) = error.labels().and_then(|mut labels| labels.next()) else { return String::new() };
    let line = 1 + text.bytes().take(label.offset()).filter(|byte| *byte == b'\n').count();
    format!("line {line}: ")
}

/// As much of a message as is Cedar's own: up to the first place where it repeats something that is not a name.
fn plain(message: &str) -> String {
    const REPEATS: [char; 5] = [':', '@', '?', '"', '\''];
    let mut kept = String::new();
    for (index, piece) in message.split('`').enumerate() {
        if index % 2 == 1 {
            let action = piece.strip_prefix("Action::\"").and_then(|rest| rest.strip_suffix('"'));
            let piece = action.unwrap_or(piece);
            if !is_name(piece) {
                break;
            }
            kept.push_str(piece);
            continue;
        }
        let own = piece.split(REPEATS).next().unwrap_or_default();
        let own = own.split(", found ").next().unwrap_or_default();
        kept.push_str(own);
        if own.len() < piece.len() {
            break;
        }
    }
    kept.trim().to_owned()
}

/// Whether a word can only be a name: of an attribute, or of an action, in which no more than two capitals meet.
fn is_name(word: &str) -> bool {
    let capitals = word.as_bytes().windows(3).any(|three| three.iter().all(u8::is_ascii_uppercase));
    let camel = word.len() <= 40 && word.bytes().all(|b| b.is_ascii_alphabetic()) && !capitals;
    !word.is_empty() && (is_key(word) || camel)
}

#[cfg(test)]
mod tests {
    use crate::{Policies, PolicyFile};

    const TEXT: &str = r#"@id("orders")
permit (
    principal == Service::"spiffe://one.test/CANARY-1",
    action in [Action::"FetchCredential", Action::"Reading"],
    resource == Tenant::"CANARY-2"
)
when { context.provider == "CANARY-3" && context has purpose && context.purpose like "CANARY-4*" };
// CANARY-5
@id("never") @advice("CANARY-6")
forbid (principal, action, resource)
unless { context.source.isInRange(ip("10.0.0.0/8")) || principal.path == "CANARY-7" };
"#;

    /// Whatever is broken where, by a character or a word more or less, the message does not repeat what was given.
    #[test]
    fn no_message_repeats_a_policy() {
        let more = [
            "\"",
            "'",
            "`",
            "=",
            ":",
            "(",
            "}",
            ";",
            "@",
            "?",
            "#",
            "\\",
            "CANARY ",
            "\"CANARY\" ",
            "CANARY-9(",
            ".CANARY ",
            "::\"CANARY\"",
            " && CANARY",
            "[\"CANARY\"]",
            "@CANARY(\"CANARY\") ",
        ];
        let mut refused = 0;
        for place in 0..TEXT.len() {
            // Another fifth of them at each place: the validator takes its time.
            let some: Vec<&str> = more.iter().skip(place % 5).step_by(5).copied().collect();
            for text in credvault_testkit::broken_at(TEXT, place, &some) {
                let file = PolicyFile { name: "one.cedar".to_owned(), text };
                let Err(error) = Policies::parse(std::slice::from_ref(&file)) else { continue };
                refused += 1;
                let message = format!("{error} {error:?}");
                assert!(!message.contains("CANARY"), "{}: {message}", file.text);
            }
        }
        assert!(refused > 1_500, "{refused}");
    }
}
