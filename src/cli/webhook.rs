//! `webhook verify`: whether a webhook is the provider's, with the secret that stays in the vault.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::failure::Failure;
use super::lookup::word;
use super::named::NamedArgs;
use super::output::Output;
use super::secret_input::{bytes_of, text_of};
use super::serve::{ONE_THREAD, run as run_on};
use super::shown;
use credvault_proto::v1;

#[derive(Subcommand, Debug)]
pub(super) enum WebhookCommand {
    /// Verify a webhook that a provider has sent for a connection. Ends with code 5 if it is not the provider's. The vault
    /// remembers what it has found valid, so the same delivery is `repeated` the next time.
    Verify(VerifyArgs),
}

#[derive(Args, Debug)]
pub(super) struct VerifyArgs {
    #[command(flatten)]
    one: NamedArgs,
    /// A file with the body, byte for byte as it was received; `-` is standard input.
    #[arg(long, value_name = "FILE")]
    body: PathBuf,
    /// A file with the headers as they were received, each on a line as `NAME: VALUE`.
    #[arg(long, value_name = "FILE")]
    headers: PathBuf,
    /// The name of the provider's webhook scheme, if it has several.
    #[arg(long, value_name = "NAME", default_value = "")]
    scheme: String,
    /// The HTTP method that the provider used.
    #[arg(long, default_value = "POST")]
    method: String,
    /// The absolute URL that the provider called, if its scheme signs that.
    #[arg(long, default_value = "")]
    url: String,
}

pub(super) fn run(command: WebhookCommand, output: &mut Output) -> Result<(), Failure> {
    let WebhookCommand::Verify(arguments) = command;
    let headers = headers(&text_of(&arguments.headers)?)?;
    let body = bytes_of(&arguments.body)?;
    let verified = run_on(ONE_THREAD, async {
        let (client, connection_id) = arguments.one.connect().await?;
        let request = v1::VerifyWebhookRequest {
            connection_id,
            webhook: arguments.scheme,
            method: arguments.method,
            url: arguments.url,
            headers,
            body,
        };
        Ok::<_, Failure>(client.vault().verify_webhook(request).await?.into_inner())
    })?;
    shown::one("VerifyWebhookResponse", &verified, arguments.one.format(), output, |output| {
        let account = if verified.account_matched { "certainly this connection's" } else { "not certain" };
        let facts = [
            ("verdict", word(verified.verdict().as_str_name(), "WEBHOOK_VERDICT_")),
            ("account", account.to_owned()),
            ("delivery", verified.delivery_id.clone()),
            ("note", verified.problem.clone()),
        ];
        shown::facts(&facts, output)
    })?;
    match verified.verdict() {
        v1::WebhookVerdict::Valid | v1::WebhookVerdict::Repeated | v1::WebhookVerdict::Handshake => Ok(()),
        v1::WebhookVerdict::Invalid | v1::WebhookVerdict::Unspecified => {
            Err(Failure::Invalid("the webhook is not valid: do not act on it".to_owned()))
        }
    }
}

/// The headers of a file. Empty lines count for nothing. The error does not show a line, for it may have a secret.
fn headers(text: &str) -> Result<Vec<v1::WebhookHeader>, Failure> {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let header = |(number, line): (usize, &str)| {
        let (name, value) = line
            .split_once(':')
            .ok_or_else(|| Failure::Usage(format!("--headers, line {}, must be NAME: VALUE", number + 1)))?;
        Ok(v1::WebhookHeader { name: name.trim().to_owned(), value: value.trim().to_owned() })
    };
    lines.map(header).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_a_name_and_a_value_and_a_wrong_line_is_not_shown() {
        let read = headers("X-Signature: CANARY=:1\r\n\nx-time:17\n").expect("headers");
        let read: Vec<_> = read.iter().map(|one| (one.name.as_str(), one.value.as_str())).collect();
        assert_eq!(read, [("X-Signature", "CANARY=:1"), ("x-time", "17")]);
        let refused = headers("a: b\nCANARY\n").expect_err("no colon");
        let refused = format!("{refused:?}");
        assert!(refused.contains("line 2") && !refused.contains("CANARY"), "{refused}");
    }
}
