//! Logs, traces and metrics. No secret gets near them: what is logged is named field by field.

use anyhow::Context as _;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _};

use crate::settings::{LogFormat, Telemetry};

/// What an endpoint must be.
const ENDPOINT: &str = "telemetry.otlp_endpoint must be the URL of an OTLP collector over gRPC";

/// Checks what the types of the settings do not.
pub(crate) fn check(settings: &Telemetry) -> Result<(), String> {
    let Some(endpoint) = &settings.otlp_endpoint else { return Ok(()) };
    let sound = endpoint.parse::<http::Uri>().is_ok_and(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some_and(|host| !host.is_empty())
    });
    if sound { Ok(()) } else { Err(ENDPOINT.to_owned()) }
}

/// Ends telemetry at the end of the program: spans that wait are sent.
pub(crate) struct Guard(Option<SdkTracerProvider>);

/// Starts logs, and traces where a collector is configured. Once a process.
pub(crate) fn start(settings: &Telemetry) -> anyhow::Result<Guard> {
    check(settings).map_err(anyhow::Error::msg)?;
    // The exporter's own calls are left out, or it would trace itself.
    let filter = EnvFilter::new(format!(
        "{},h2=warn,hyper=warn,tonic=warn,sqlx=off,opentelemetry=warn",
        settings.log_level
    ));
    let lines = match settings.log_format {
        LogFormat::Json => tracing_subscriber::fmt::layer()
            .json()
            .flatten_event(true)
            .with_current_span(true)
            .with_span_list(false)
            .with_writer(std::io::stderr)
            .boxed(),
        LogFormat::Text => {
            tracing_subscriber::fmt::layer().with_target(false).with_writer(std::io::stderr).boxed()
        }
    };
    let provider = settings.otlp_endpoint.as_deref().map(provider).transpose()?;
    let spans = provider.as_ref().map(|provider| {
        let ours = EnvFilter::new("off,credvault=info,credvault_store=info,credvault_identity=info");
        tracing_opentelemetry::layer().with_tracer(provider.tracer("credvault")).with_filter(ours)
    });
    tracing_subscriber::registry().with(spans).with(lines.with_filter(filter)).try_init()?;
    Ok(Guard(provider))
}

fn provider(endpoint: &str) -> anyhow::Result<SdkTracerProvider> {
    let exporter = SpanExporter::builder().with_tonic().with_endpoint(endpoint).build().context(ENDPOINT)?;
    let resource = Resource::builder().with_service_name("credvault").build();
    Ok(SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build())
}

impl Guard {
    /// Sends the spans that wait.
    pub(crate) async fn end(self) {
        let Some(provider) = self.0 else { return };
        // It blocks.
        match tokio::task::spawn_blocking(move || provider.shutdown()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the last spans could not be sent"),
            Err(error) => tracing::warn!(%error, "the last spans could not be sent"),
        }
    }
}

/// The upper bounds of the buckets for durations, in seconds.
const SECONDS: [f64; 12] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];
/// The upper bounds of the buckets for how many calls share a commit of the log.
const BATCH: [f64; 9] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0];

/// The metrics of this process. The first call starts them.
pub(crate) fn metrics() -> anyhow::Result<PrometheusHandle> {
    static HANDLE: std::sync::OnceLock<Result<PrometheusHandle, String>> = std::sync::OnceLock::new();
    let started = HANDLE.get_or_init(|| {
        let batch = Matcher::Full("credvault_audit_batch_calls".to_owned());
        PrometheusBuilder::new()
            .set_buckets(&SECONDS)
            .and_then(|builder| builder.set_buckets_for_metric(batch, &BATCH))
            .and_then(PrometheusBuilder::install_recorder)
            .map_err(|error| error.to_string())
    });
    started.clone().map_err(anyhow::Error::msg)
}
