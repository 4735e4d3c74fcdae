//! Arguments that several commands have: the configuration, how to print, pages, confirmations, pairs of a key and a value,
//! how a connection fares, numbers of days.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use clap::{Args, ValueEnum};

use super::environment;
use super::failure::Failure;
use super::output::Format;
use super::terminal;
use crate::settings::RawSettings;
use credvault_proto::v1;

/// Where the configuration comes from.
#[derive(Args, Debug)]
pub(super) struct ConfigArgs {
    /// The configuration file, TOML or YAML; or the variable CREDVAULT_CONFIG. Without it, only environment and flags give
    /// settings.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// A setting, such as `server.address=0.0.0.0:7443`. Wins over environment and file. Repeatable.
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = pair)]
    overrides: Vec<(String, String)>,
}

impl ConfigArgs {
    /// Whether the command line itself names a configuration. The variables alone do not count.
    pub(super) fn is_given(&self) -> bool {
        self.config.is_some() || !self.overrides.is_empty()
    }

    pub(super) fn read(&self) -> RawSettings {
        let config = environment::path(self.config.as_ref(), "CREDVAULT_CONFIG");
        RawSettings::read(config.as_deref(), std::env::vars_os(), &self.overrides)
    }
}

/// How a client command prints.
#[derive(Args, Debug)]
pub(super) struct OutputArgs {
    /// The format of the output: for people, or for programs.
    #[arg(long, value_name = "FORMAT", default_value = Format::WORDS[0],
        value_parser = PossibleValuesParser::new(Format::WORDS).map(|word| Format::of(&word)))]
    pub(super) output: Format,
}

/// Which part of a list is printed.
#[derive(Args, Clone, Debug)]
pub(super) struct PageArgs {
    /// Print one page of at most so many items, instead of the whole list.
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(i32).range(1..))]
    page_size: Option<i32>,
    /// Continue after the page that named this token.
    #[arg(long, value_name = "TOKEN", requires = "page_size")]
    page_token: Option<String>,
}

/// How many items a list is asked for at once.
const PAGE_SIZE: i32 = 500;

impl PageArgs {
    /// Asks for pages, by their size and the token that they begin with: for the whole list, or for the one page that the
    /// command line names. Gives the items, and the token of the page that follows; empty after the last one.
    pub(super) async fn items<T>(
        &self,
        ask: impl AsyncFn(i32, String) -> Result<(Vec<T>, String), Failure>,
    ) -> Result<(Vec<T>, String), Failure> {
        let page_size = self.page_size.unwrap_or(PAGE_SIZE);
        let mut page_token = self.page_token.clone().unwrap_or_default();
        let mut all = Vec::new();
        loop {
            let (items, next) = ask(page_size, page_token).await?;
            all.extend(items);
            page_token = next;
            if page_token.is_empty() || self.page_size.is_some() {
                return Ok((all, page_token));
            }
        }
    }
}

/// Whether what cannot be taken back easily is asked about first.
#[derive(Args, Debug)]
pub(super) struct ConfirmArgs {
    /// Do not ask first. Needed where no person can answer, such as in a script.
    #[arg(long, short = 'y')]
    yes: bool,
}

impl ConfirmArgs {
    /// Whether the command line itself has agreed, so that no question is asked.
    pub(super) fn is_given(&self) -> bool {
        self.yes
    }

    /// Asks a person at the terminal, unless `--yes` has answered. `question` ends with what can be undone, and how.
    pub(super) fn ask(&self, question: &str) -> Result<(), Failure> {
        if self.yes {
            return Ok(());
        }
        if !terminal::can_ask() {
            return Err(Failure::Usage(format!(
                "{question} Confirm with --yes: no person can be asked, because standard input or standard error is no \
                 terminal"
            )));
        }
        match terminal::agrees(question)? {
            true => Ok(()),
            false => Err(Failure::Unexpected(anyhow::anyhow!("not confirmed; nothing was changed"))),
        }
    }
}

/// `KEY=VALUE`. The error does not repeat it, for it may be a secret.
pub(super) fn pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("must be KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

/// A number of days as a time.
pub(super) fn days(number: u32) -> Duration {
    Duration::from_secs(u64::from(number) * 24 * 3600)
}

/// How often a credential is to be replaced, as the wire has it; 0 days are never.
pub(super) fn rotation_period(number: u32) -> Option<prost_types::Duration> {
    days(number).try_into().ok().filter(|_| number > 0)
}

/// How a connection is.
#[derive(ValueEnum, Clone, Copy, Debug)]
pub(super) enum HealthArg {
    /// It has no credential.
    NotConnected,
    /// Nothing is known to be wrong.
    Ok,
    /// Its grant or key ends soon.
    Ending,
    /// Its grant or key has ended.
    Ended,
    /// It does not work, and its owner or the platform has to act.
    Error,
    /// Whether it works is not known, or it does not at the moment; the vault tries again by itself.
    Uncertain,
    /// Its provider fails for many.
    ProviderIncident,
}

impl HealthArg {
    /// The same as the wire has it.
    pub(super) fn state(self) -> v1::HealthState {
        match self {
            Self::NotConnected => v1::HealthState::NotConnected,
            Self::Ok => v1::HealthState::Ok,
            Self::Ending => v1::HealthState::Ending,
            Self::Ended => v1::HealthState::Ended,
            Self::Error => v1::HealthState::Error,
            Self::Uncertain => v1::HealthState::Uncertain,
            Self::ProviderIncident => v1::HealthState::ProviderIncident,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two pages of one item each, which `(size, token)` asks for.
    async fn page(size: i32, token: String) -> Result<(Vec<(i32, String)>, String), Failure> {
        let next = if token.is_empty() { "second" } else { "" };
        Ok((vec![(size, token)], next.to_owned()))
    }

    #[tokio::test]
    async fn a_list_is_whole_unless_one_page_is_asked_for() {
        let items = async |page_size, page_token: Option<&str>| {
            let part = PageArgs { page_size, page_token: page_token.map(str::to_owned) };
            part.items(page).await.expect("items")
        };
        let item = |size, token: &str| (size, token.to_owned());
        let whole = vec![item(PAGE_SIZE, ""), item(PAGE_SIZE, "second")];
        assert_eq!(items(None, None).await, (whole, String::new()));
        assert_eq!(items(Some(1), None).await, (vec![item(1, "")], "second".to_owned()));
        assert_eq!(items(Some(1), Some("second")).await, (vec![item(1, "second")], String::new()));
    }
}
