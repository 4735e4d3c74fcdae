//! What `connections get` prints below a connection, in sentences: its health, what went wrong last, and the rotation of its
//! credential.

use super::failure::Failure;
use super::lookup::time_text;
use super::output::Output;
use super::rpcs::in_commands;
use credvault_proto::v1;

/// Prints, for people, what the vault says about the health of a connection.
pub(super) fn print_words(connection: Option<&v1::Connection>, output: &mut Output) -> Result<(), Failure> {
    let Some(health) = connection.and_then(|connection| connection.health.as_ref()) else { return Ok(()) };
    let mut texts = vec![("customer", &health.customer_text), ("operator", &health.operator_text)];
    // Of what is over, too; while it lasts, the state may say the same.
    if let Some(error) = &health.last_error {
        texts.extend([("last error, customer", &error.customer_text)]);
        texts.extend([("last error, operator", &error.operator_text)]);
    }
    let mut printed: Vec<&str> = Vec::new();
    for (reader, text) in texts {
        if !text.is_empty() && !printed.contains(&text.as_str()) {
            printed.push(text);
            output.line::<Failure>(&format!("{reader}: {}", in_commands(text)))?;
        }
    }
    match &health.last_error {
        Some(error) => output.line(&error_text(error)),
        None => Ok(()),
    }
}

/// An error with its times.
fn error_text(error: &v1::LastError) -> String {
    let code = if error.provider_code.is_empty() { "" } else { ", the provider's code: " };
    let (reason, at) = (&error.reason, time_text(error.time.as_ref()));
    let next = match (&error.recover_time, &error.next_attempt_time) {
        (Some(time), _) => format!("works again since {}", time_text(Some(time))),
        (None, Some(time)) => format!("the vault tries again at {}", time_text(Some(time))),
        (None, None) => "the vault does not try again by itself".to_owned(),
    };
    format!("last error: {reason} at {at}{code}{}; {next}", error.provider_code)
}

/// Prints, for people, how the rotation of a connection's credential stands, if there is something to say.
pub(super) fn print_rotation(connection: &v1::Connection, output: &mut Output) -> Result<(), Failure> {
    if connection.rotation_due_time.is_some() {
        let due = time_text(connection.rotation_due_time.as_ref());
        output.line::<Failure>(
            &match connection.rotation.as_ref().is_some_and(|rotation| rotation.automatic) {
                true => format!("rotation: the vault replaces the credential within an hour after {due}"),
                false => format!("rotation: a person replaces the credential by {due}"),
            },
        )?;
    }
    let Some(rotation) = &connection.rotation else { return Ok(()) };
    match rotation.stage() {
        v1::CredentialRotationStage::Unspecified => {}
        v1::CredentialRotationStage::Minting => {
            output.line::<Failure>("rotation: the provider makes a key")?
        }
        v1::CredentialRotationStage::Testing => {
            output.line::<Failure>("rotation: a new key is being tested")?
        }
    }
    if !rotation.failure_reason.is_empty() {
        let (reason, next) = (&rotation.failure_reason, time_text(rotation.next_attempt_time.as_ref()));
        output.line::<Failure>(&format!(
            "rotation: the last attempt failed ({reason}); the next one: {next}"
        ))?;
    }
    if rotation.ending_keys > 0 {
        let (number, end) = (rotation.ending_keys, time_text(rotation.old_key_end_time.as_ref()));
        output.line::<Failure>(&format!(
            "rotation: keys still to be revoked: {number}; the old one at {end}"
        ))?;
    }
    if rotation.left_key_time.is_some() {
        let (since, id) = (time_text(rotation.left_key_time.as_ref()), &rotation.left_key_id);
        let id = if id.is_empty() { "unknown" } else { id.as_str() };
        let number = rotation.left_keys;
        output.line::<Failure>(&format!(
            "rotation: keys left at the provider: {number}, the last since {since}, its id: {id}; delete them there, and \
             call `connections update --left-key-removed`"
        ))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_has_its_times() {
        let time = |seconds| Some(prost_types::Timestamp { seconds, nanos: 5 });
        let mut error = v1::LastError {
            reason: "PROVIDER_UNAVAILABLE".into(),
            time: time(1_700_000_060),
            next_attempt_time: time(1_700_000_120),
            ..Default::default()
        };
        let text = error_text(&error);
        assert!(text.starts_with("last error: PROVIDER_UNAVAILABLE at 2023-11-14T22:14:20Z; "), "{text}");
        assert!(text.ends_with("tries again at 2023-11-14T22:15:20Z"), "{text}");
        error.recover_time = time(1_700_000_000);
        error.provider_code = "slow_down".into();
        let text = error_text(&error);
        assert!(
            text.ends_with("the provider's code: slow_down; works again since 2023-11-14T22:13:20Z"),
            "{text}"
        );
    }
}
