//! `--watch`: what a command prints, asked for again and again until Ctrl-C. On a terminal each answer is drawn in the place of
//! the one before; elsewhere each change is a document. A vault that does not answer ends nothing.

mod drawing;

use std::io::Write as _;
use std::time::Duration;

use clap::Args;
use credvault_domain::Clock as _;

use super::attempts::passes;
use super::client::{Client, ClientArgs};
use super::failure::Failure;
use super::lookup::time_text;
use super::output::{Format, Output};
use super::serve::terminated;
use super::terminal;
use super::times::duration;
use crate::clock::SystemClock;
use crate::grpc::timestamp;
use drawing::drawing;

/// Whether a command prints once, or whatever changes.
#[derive(Args, Clone, Copy, Debug)]
pub(super) struct WatchArgs {
    /// Ask again and again until Ctrl-C. A terminal shows the latest answer; a file, a pipe and `--output json` get each change
    /// as a JSON document in one line.
    #[arg(long)]
    watch: bool,
    /// How often to ask, in seconds or minutes, such as `5s` or `1m`.
    #[arg(long, value_name = "TIME", value_parser = interval, default_value = "2s", requires = "watch")]
    every: Duration,
}

/// A time between two answers.
fn interval(text: &str) -> Result<Duration, String> {
    let rule = "must be whole seconds or minutes, such as 5s or 1m, and at least 1s";
    duration(text).filter(|duration| !duration.is_zero()).ok_or_else(|| rule.to_owned())
}

impl WatchArgs {
    /// Connects and prints: once, or with `--watch` until Ctrl-C. `print` makes its calls anew each time, and prints one
    /// document for programs.
    pub(super) async fn show(
        self,
        caller: &ClientArgs,
        format: Format,
        output: &mut Output,
        print: impl AsyncFn(&Client, Format, &mut Output) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        if !self.watch {
            return print(&caller.connect().await?, format, output).await;
        }
        let mut stop = terminated()?;
        let drawn = format == Format::Table && terminal::can_draw();
        let mut view =
            View { drawn, every: self.every, latest: String::new(), since: String::new(), lost: false };
        let ended = tokio::select! {
            ended = view.follow(caller, output, print) => Some(ended),
            () = &mut stop => None,
        };
        match ended {
            Some(ended) => ended,
            // The terminal has `^C` in the last line.
            None if drawn => output.line(""),
            None => Ok(()),
        }
    }
}

/// What a watch shows.
struct View {
    /// Whether it is drawn on a terminal.
    drawn: bool,
    every: Duration,
    /// The latest answer; empty before the first.
    latest: String,
    /// When that came, as people read it.
    since: String,
    /// Whether the vault has not answered when it was asked last.
    lost: bool,
}

impl View {
    /// Asks and shows until what happens is not over by itself.
    async fn follow(
        &mut self,
        caller: &ClientArgs,
        output: &mut Output,
        print: impl AsyncFn(&Client, Format, &mut Output) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let format = if self.drawn { Format::Table } else { Format::Json };
        let mut client = None;
        loop {
            let mut kept = output.keeping();
            let answered = answer(&mut client, caller, format, &mut kept, &print).await;
            self.show(answered.map(|()| kept.into_text()), output)?;
            tokio::time::sleep(self.every).await;
        }
    }

    /// Shows an answer, or that there is none.
    fn show(&mut self, answer: Result<String, Failure>, output: &mut Output) -> Result<(), Failure> {
        let (text, trouble) = match answer {
            Ok(text) => (Some(text), None),
            Err(Failure::Status(status)) if passes(&status) => {
                (None, Some(Failure::Status(status).to_string()))
            }
            Err(failure) => return Err(failure),
        };
        match self.drawn {
            true => self.draw(text, trouble.as_deref(), output),
            false => self.tell(text, trouble.as_deref(), output),
        }
    }

    /// Draws the latest answer below a line that says how old it is.
    fn draw(
        &mut self,
        text: Option<String>,
        trouble: Option<&str>,
        output: &mut Output,
    ) -> Result<(), Failure> {
        let now = time_text(Some(&timestamp(SystemClock.now())));
        if let Some(text) = text {
            self.latest = text;
            self.since.clone_from(&now);
        }
        let pace = format!("asked every {} s, until Ctrl-C", self.every.as_secs());
        let status = match (trouble, self.since.as_str()) {
            (None, since) => format!("{since}, {pace}"),
            (Some(trouble), "") => format!("{now}, {pace}: {trouble}"),
            (Some(trouble), since) => format!("no answer since {since}, {pace}: {trouble}"),
        };
        output.line(&drawing(&status, &self.latest, terminal::width(), terminal::height()))
    }

    /// Prints what is another answer than the one before, and says on standard error when the vault is away and when it is
    /// there again.
    fn tell(
        &mut self,
        text: Option<String>,
        trouble: Option<&str>,
        output: &mut Output,
    ) -> Result<(), Failure> {
        if self.lost != trouble.is_some() {
            self.lost = trouble.is_some();
            let again = format!("asking again every {} s", self.every.as_secs());
            let news = trouble.map_or("the vault answers again".to_owned(), |why| format!("{why}; {again}"));
            // If standard error is closed, the documents still come.
            let _ = writeln!(std::io::stderr(), "{news}");
        }
        let Some(text) = text.filter(|text| *text != self.latest) else { return Ok(()) };
        self.latest = text;
        output.line(self.latest.trim_end())
    }
}

/// Prints one answer. After a failure the next one connects anew, for the profile may name other files by then.
async fn answer(
    client: &mut Option<Client>,
    caller: &ClientArgs,
    format: Format,
    output: &mut Output,
    print: &impl AsyncFn(&Client, Format, &mut Output) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let connected = match client.take() {
        Some(client) => client,
        None => caller.connect().await?,
    };
    match print(&connected, format, output).await {
        // What was refused stands in its row.
        Ok(()) | Err(Failure::Partly(_)) => {}
        Err(failure) => return Err(failure),
    }
    *client = Some(connected);
    Ok(())
}

#[cfg(test)]
mod tests {
    use tonic::Status;

    use super::*;

    #[test]
    fn a_pace_has_a_unit_and_is_a_second_at_least() {
        assert_eq!(interval("1s"), Ok(Duration::from_secs(1)));
        assert_eq!(interval("2m"), Ok(Duration::from_secs(120)));
        for wrong in ["", "s", "2", "0s", "0m", "-1s", "1.5s", "500ms", "99999999999s", "CANARY"] {
            assert!(interval(wrong).is_err_and(|rule| rule.contains("at least 1s")), "{wrong}");
        }
    }

    fn view() -> View {
        View {
            drawn: false,
            every: Duration::from_secs(2),
            latest: String::new(),
            since: String::new(),
            lost: false,
        }
    }

    #[test]
    fn each_change_is_printed_once_and_an_outage_ends_nothing() {
        let (mut view, mut output) = (view(), Output::stdout().keeping());
        let away = || Err(Failure::from(Status::unavailable("the vault is away")));
        let answers =
            [Ok("1\n".to_owned()), Ok("1\n".to_owned()), away(), Ok("1\n".to_owned()), Ok("2\n".to_owned())];
        for answer in answers {
            let is_away = answer.is_err();
            view.show(answer, &mut output).expect("shown");
            assert_eq!(view.lost, is_away);
        }
        assert_eq!(output.into_text(), "1\n2\n");
    }

    #[test]
    fn a_drawing_keeps_the_latest_answer_while_the_vault_is_away() {
        let (mut view, mut output) = (View { drawn: true, ..view() }, Output::stdout().keeping());
        view.show(Ok("one row\n".to_owned()), &mut output).expect("shown");
        view.show(Err(Failure::from(Status::unavailable("the vault is away"))), &mut output).expect("shown");
        let text = output.into_text();
        let last = text.rsplit("\x1b[H").next().unwrap_or_default();
        assert!(last.contains("no answer since 2") && last.contains("the vault is away"), "{last}");
        assert!(last.ends_with("\n\none row\n"), "{last}");
    }

    #[test]
    fn what_another_attempt_does_not_help_ends_a_watch() {
        let refused = Err(Failure::from(Status::permission_denied("no policy permits it")));
        assert!(view().show(refused, &mut Output::stdout().keeping()).is_err());
    }
}
