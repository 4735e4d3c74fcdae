//! The systems that move in, and what of them data cannot say.

use serde_json::Map as JsonMap;

use crate::map::{Map, MapError};
use crate::record::Record;
use crate::source::BadRow;

/// A system whose credentials move in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum System {
    /// PixelPim: JSON per user and integration type, not sealed.
    PixelPim,
    /// Fluxori: AES-256-GCM under one key, or references to Google Secret Manager.
    Fluxori,
    /// KPI ETL: AES-256-GCM under a key for each user.
    KpiEtl,
    /// The Kustomer integration: OAuth tokens and API keys per user, sealed if a key was set.
    Kustomer,
    /// The integrations module: JSON per organisation, not sealed.
    Integrations,
    /// Variables of an environment.
    Env,
}

impl System {
    /// The name in commands and in the label `imported_from`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::PixelPim => "pixelpim",
            Self::Fluxori => "fluxori",
            Self::KpiEtl => "kpi-etl",
            Self::Kustomer => "kustomer",
            Self::Integrations => "integrations",
            Self::Env => "env",
        }
    }

    /// What the system's columns and fields are of ours.
    ///
    /// # Errors
    /// Never: a test reads each map.
    pub fn map(self) -> Result<Map, MapError> {
        Map::parse(match self {
            Self::PixelPim => include_str!("../maps/pixelpim.toml"),
            Self::Fluxori => include_str!("../maps/fluxori.toml"),
            Self::KpiEtl => include_str!("../maps/kpi-etl.toml"),
            Self::Kustomer => include_str!("../maps/kustomer.toml"),
            Self::Integrations => include_str!("../maps/integrations.toml"),
            Self::Env => include_str!("../maps/env.toml"),
        })
    }

    /// Whether its values are sealed or plain, because the system's key was optional: then the operator must say which.
    pub const fn may_be_plain(self) -> bool {
        match self {
            Self::Kustomer => true,
            Self::PixelPim | Self::Fluxori | Self::KpiEtl | Self::Integrations | Self::Env => false,
        }
    }

    /// Whether its credentials are always sealed, so that there must be a key.
    pub const fn is_sealed(self) -> bool {
        match self {
            Self::Fluxori | Self::KpiEtl => true,
            Self::PixelPim | Self::Kustomer | Self::Integrations | Self::Env => false,
        }
    }

    /// Whether a row means every kind that fits, and not the first.
    pub(crate) const fn has_many(self) -> bool {
        matches!(self, Self::Env)
    }

    /// Variables as the one row of [`System::Env`]: of the lines of a `.env` file, which may have `export` before a name and
    /// quotes around a value. With it, the lines that are neither this nor empty nor a comment.
    pub fn variables(text: &str) -> (Record, Vec<BadRow>) {
        let (mut variables, mut bad) = (JsonMap::new(), Vec::new());
        for (line, number) in text.lines().map(str::trim).zip(1..) {
            match variable(line) {
                Some((name, value)) => {
                    variables.insert(name.to_owned(), value.into());
                }
                None if line.is_empty() || line.starts_with('#') => {}
                None => bad.push(BadRow { number, problem: "the line is neither NAME=VALUE nor a comment" }),
            }
        }
        (Record::new(variables), bad)
    }
}

/// Name and value of a line of a `.env` file.
fn variable(line: &str) -> Option<(&str, &str)> {
    let line = line.strip_prefix("export ").unwrap_or(line);
    let (name, value) = line.split_once('=')?;
    let (name, value) = (name.trim(), value.trim());
    let in_name = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    if name.is_empty() || !name.bytes().all(in_name) {
        return None;
    }
    let quoted = ['"', '\''].into_iter().find_map(|quote| value.strip_prefix(quote)?.strip_suffix(quote));
    Some((name, quoted.unwrap_or(value)))
}
