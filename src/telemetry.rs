//! Logs, traces and metrics. No secret gets near them: what is logged is named field by field.

use std::io::IsTerminal as _;
use std::time::Duration;

use anyhow::Context as _;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tokio_util::sync::CancellationToken;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _};

use crate::interval::Ticks;
use crate::settings::{LogFormat, Telemetry};

/// Ends telemetry at the end of the program: spans that wait are sent.
pub(crate) struct Guard(Option<SdkTracerProvider>);

/// Starts logs, and traces where a collector is configured. Once a process.
pub(crate) fn start(settings: &Telemetry) -> anyhow::Result<Guard> {
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
            // Colours are for a person at a terminal, not for a file.
            let colours = std::io::stderr().is_terminal()
                && std::env::var_os("NO_COLOR").is_none_or(|it| it.is_empty());
            tracing_subscriber::fmt::layer()
                .with_ansi(colours)
                .with_target(false)
                .with_writer(std::io::stderr)
                .boxed()
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
    let exporter = SpanExporter::builder()
        .with_tonic()
        .with_endpoint(endpoint)
        .build()
        .context("no collector can be reached at telemetry.otlp_endpoint")?;
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

/// How often samples are put into their buckets.
pub(crate) const UPKEEP: Duration = Duration::from_secs(5);

/// Puts samples into their buckets until the end. Until then each sample is kept by itself, so memory would grow for as
/// long as no scraper asks for the metrics. Before that, `look` sets the gauges of what has no event of its own.
pub(crate) async fn keep(
    metrics: PrometheusHandle,
    interval: Duration,
    end: CancellationToken,
    look: impl Fn(),
) {
    let mut ticks = Ticks::every(interval, end);
    while ticks.next().await {
        look();
        metrics.run_upkeep();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The process's resident memory in bytes.
    fn resident() -> usize {
        let status = std::fs::read_to_string("/proc/self/status").expect("status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("resident memory");
        line.trim().trim_end_matches(" kB").parse::<usize>().expect("kilobytes") * 1024
    }

    #[tokio::test]
    async fn samples_do_not_pile_up_while_no_scraper_comes() {
        let recorder = PrometheusBuilder::new().set_buckets(&SECONDS).expect("buckets").build_recorder();
        let (end, (looked, mut looks)) = (CancellationToken::new(), tokio::sync::mpsc::unbounded_channel());
        // At the end nothing receives it any more.
        let look = move || looked.send(()).unwrap_or_default();
        let keeping = tokio::spawn(keep(recorder.handle(), Duration::from_millis(1), end.clone(), look));
        let histogram = metrics::with_local_recorder(&recorder, || metrics::histogram!("seconds"));
        let before = resident();
        // Eight bytes each: 64 MB if they stayed.
        for _ in 0..80 {
            (0..100_000).for_each(|_| histogram.record(0.001));
            // One look was perhaps before the last sample; between the next two all of them were put away.
            while looks.try_recv().is_ok() {}
            for _ in 0..2 {
                looks.recv().await.expect("it looks until the end");
            }
        }
        let grown = resident().saturating_sub(before);
        assert!(grown < 24_000_000, "{grown} bytes more");
        assert!(recorder.handle().render().contains("seconds_count 8000000"));
        end.cancel();
        keeping.await.expect("ended");
    }
}
