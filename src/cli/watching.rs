//! Watching a rotation of keys, or a move of secrets, on a terminal.

use tonic::{Code, Status, Streaming};

use super::failure::Failure;
use super::output::{Format, Output};
use super::progress::Bar;
use credvault_proto::v1;

/// A rotation that is watched on a terminal.
#[derive(Default)]
pub(in crate::cli) struct Watching {
    bar: Bar,
    latest: v1::RotationProgress,
    /// What stands in front of the progress: which one of several it is.
    what: String,
}

impl Watching {
    /// One of several, which `what` names on the terminal.
    pub(in crate::cli) fn of(what: String) -> Self {
        Self { what, ..Self::default() }
    }

    /// Shows the progress until the stream ends. Gives whether the rotation has ended with it: a replica that stops, or a
    /// connection that is lost, ends the stream only.
    pub(in crate::cli) async fn follow<R>(
        &mut self,
        mut stream: Streaming<R>,
        progress: impl Fn(R) -> Option<v1::RotationProgress>,
    ) -> Result<bool, Failure> {
        loop {
            match stream.message().await {
                Ok(Some(response)) => self.latest = progress(response).unwrap_or_default(),
                Ok(None) => return Ok(!self.latest.running),
                Err(error) if is_cut(&error) && self.latest.running => return Ok(false),
                Err(error) => return Err(error.into()),
            }
            let v1::RotationProgress { done, total, .. } = self.latest;
            let text = format!("{}{}", self.what, described(&self.latest));
            self.bar.draw(done.unsigned_abs(), total.unsigned_abs(), &text);
        }
    }

    /// How far it had come when the stream ended.
    pub(in crate::cli) fn into_latest(mut self) -> v1::RotationProgress {
        self.bar.clear();
        self.latest
    }

    pub(in crate::cli) fn end(mut self, format: Format, output: &mut Output) -> Result<(), Failure> {
        self.bar.clear();
        match format {
            Format::Json => output.json("RotationProgress", &self.latest),
            Format::Table => output.line(&described(&self.latest)),
        }
    }
}

/// Whether a stream was cut off, and not refused.
fn is_cut(error: &Status) -> bool {
    matches!(error.code(), Code::Unavailable | Code::Unknown | Code::Cancelled | Code::Internal)
}

/// A rotation in words.
pub(in crate::cli) fn described(progress: &v1::RotationProgress) -> String {
    let v1::RotationProgress { running, done, total, failed, per_second, trouble, .. } = progress;
    let state = if *running { "in progress" } else { "done" };
    let mut text = format!("{state}, {done} of {total}, {per_second:.0} a second");
    if *failed > 0 {
        text.push_str(&format!(", {failed} failed and stay as they are"));
    }
    if !trouble.is_empty() {
        text.push_str(&format!("; at the moment it does not get on: {trouble}"));
    }
    text
}
