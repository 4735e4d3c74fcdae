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
    /// What stands in front of the progress: whose rotation it is.
    what: String,
    /// The trouble that was told last where no progress is drawn.
    told: String,
}

impl Watching {
    /// One that `what` names in front of the progress.
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
            if let Some(news) = self.news() {
                self.bar.tell(&news);
            }
        }
    }

    /// The progress in words if something else is in the way than before: without a terminal, nothing else says so.
    fn news(&mut self) -> Option<String> {
        let trouble = &self.latest.trouble;
        if trouble.is_empty() || *trouble == self.told {
            return None;
        }
        self.told.clone_from(trouble);
        Some(format!("{}{}", self.what, described(&self.latest)))
    }

    /// How far it had come when the stream ended.
    pub(in crate::cli) fn into_latest(mut self) -> v1::RotationProgress {
        self.bar.clear();
        self.latest
    }

    pub(in crate::cli) fn end(mut self, format: Format, output: &mut Output) -> Result<(), Failure> {
        self.bar.clear();
        match format {
            Format::Json => output.json::<Failure>("RotationProgress", &self.latest)?,
            Format::Table => output.line::<Failure>(&format!("{}{}", self.what, described(&self.latest)))?,
        }
        whole(&self.latest)
    }
}

/// Whether a stream was cut off, and not refused.
fn is_cut(error: &Status) -> bool {
    matches!(error.code(), Code::Unavailable | Code::Unknown | Code::Cancelled | Code::Internal)
}

/// A rotation that has left something is done in part.
fn whole(progress: &v1::RotationProgress) -> Result<(), Failure> {
    match progress.failed {
        0 => Ok(()),
        failed => {
            Err(Failure::Partly(format!("{failed} failed and stay as they are; the vault's log names them")))
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_the_way_is_told_once() {
        let mut watching = Watching::of("acme: ".to_owned());
        assert_eq!(watching.news(), None);
        watching.latest =
            v1::RotationProgress { running: true, trouble: "eu is away".to_owned(), ..Default::default() };
        let told = watching.news().expect("news");
        assert!(told.starts_with("acme: in progress") && told.ends_with("eu is away"), "{told}");
        assert_eq!(watching.news(), None);
        watching.latest.trouble = "us is away".to_owned();
        assert!(watching.news().is_some());
    }

    #[test]
    fn what_has_failed_is_no_whole_success() {
        let ended = |failed| whole(&v1::RotationProgress { failed, ..Default::default() });
        assert!(ended(0).is_ok());
        assert!(matches!(ended(1), Err(Failure::Partly(_))));
    }
}
