//! `telemetry`: logs and traces.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use super::problem::Problems;
use super::value::word;

/// `telemetry` as it was given.
#[derive(Deserialize, Serialize, Clone, Default, Debug)]
#[serde(default, deny_unknown_fields)]
pub struct TelemetrySection {
    /// How log lines look.
    #[serde(deserialize_with = "word")]
    pub log_format: LogFormat,
    /// The least important kind of line that is logged.
    #[serde(deserialize_with = "word")]
    pub log_level: LogLevel,
    /// An OTLP collector over gRPC without TLS, such as `http://localhost:4317`. Without it no traces are sent.
    pub otlp_endpoint: Option<String>,
}

/// How log lines look.
#[derive(ValueEnum, Serialize, Clone, Copy, Default, PartialEq, Eq, Debug)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// One JSON object a line.
    #[default]
    Json,
    /// Text for people to read.
    Text,
}

/// How much is logged.
#[derive(ValueEnum, Serialize, Clone, Copy, Default, PartialEq, Eq, Debug)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "each variant is the level of its name")]
pub enum LogLevel {
    Error,
    Warn,
    #[default]
    Info,
    Debug,
    Trace,
}

impl std::fmt::Display for LogLevel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        })
    }
}

/// How logs and traces are written.
#[derive(Clone, Debug)]
pub struct Telemetry {
    /// How log lines look.
    pub log_format: LogFormat,
    /// The least important kind of line that is logged.
    pub log_level: LogLevel,
    /// The collector's URL, http without a user.
    pub otlp_endpoint: Option<String>,
}

impl TelemetrySection {
    pub(super) fn check(&self, problems: &mut Problems) -> Telemetry {
        let is_plain = |endpoint: &str| endpoint.parse().is_ok_and(|uri| is_plain(&uri));
        if !self.otlp_endpoint.as_deref().is_none_or(is_plain) {
            let rule = "must begin with http:// and name the host of an OTLP collector over gRPC, and no user, such as \
                        http://localhost:4317: the exporter has no TLS, so the collector must be near";
            problems.refuse("telemetry.otlp_endpoint", rule);
        }
        let Self { log_format, log_level, otlp_endpoint } = self.clone();
        Telemetry { log_format, log_level, otlp_endpoint }
    }
}

/// Whether a URL is one that the exporter, which is built without TLS, can send to. It would send a user's password in
/// the clear.
fn is_plain(uri: &http::Uri) -> bool {
    let authority = uri.authority().map(http::uri::Authority::as_str).unwrap_or_default();
    let host = uri.host().is_some_and(|host| !host.is_empty());
    uri.scheme_str() == Some("http") && host && !authority.contains('@')
}
