//! Asks a person for secrets at the terminal, which does not show what is typed.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};

use anyhow::Context as _;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use super::failure::Failure;
use super::schema::Field;

/// Asks for each field.
pub(super) fn ask(fields: &[Field]) -> Result<BTreeMap<String, String>, Failure> {
    if fields.is_empty() {
        let way_out = "give them with --secrets or --secret-file";
        return Err(Failure::Usage(format!("this auth mode does not name its secret fields: {way_out}")));
    }
    // Not standard input, from which a command may read something else.
    let terminal = OpenOptions::new().read(true).write(true).open("/dev/tty").map_err(|_| {
        Failure::Usage("--prompt needs a terminal: without one, give --secrets or --secret-file".to_owned())
    })?;
    let _quiet = Quiet::begin(&terminal)?;
    answers(fields, &mut BufReader::new(&terminal), &mut &terminal)
}

/// Asks for each field on a line of its own. An empty line leaves out a field that is not required.
fn answers(
    fields: &[Field],
    from: &mut impl BufRead,
    to: &mut impl Write,
) -> Result<BTreeMap<String, String>, Failure> {
    let mut answers = BTreeMap::new();
    for field in fields {
        let hint = if field.required { "" } else { ", empty for none" };
        write!(to, "{} ({}{hint}): ", field.title, field.name)?;
        to.flush()?;
        let mut line = String::new();
        from.read_line(&mut line).context("the terminal cannot be read")?;
        // The end of the line is not shown either.
        writeln!(to)?;
        let answer = line.trim_end_matches(['\r', '\n']);
        match (answer.is_empty(), field.required) {
            (false, _) => drop(answers.insert(field.name.clone(), answer.to_owned())),
            (true, false) => {}
            (true, true) => return Err(Failure::Usage(format!("{} must not be empty", field.name))),
        }
    }
    Ok(answers)
}

/// A terminal that does not show what is typed. It does again when this is dropped; a shell restores that, too, after a
/// command that a signal ended.
struct Quiet<'a> {
    terminal: &'a File,
    before: Termios,
}

impl<'a> Quiet<'a> {
    fn begin(terminal: &'a File) -> Result<Self, Failure> {
        let failed = "the terminal cannot be kept from showing what is typed";
        let before = tcgetattr(terminal).context(failed)?;
        let mut quiet = before.clone();
        quiet.local_modes.remove(LocalModes::ECHO);
        tcsetattr(terminal, OptionalActions::Flush, &quiet).context(failed)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Quiet<'_> {
    fn drop(&mut self) {
        // A terminal that is gone shows nothing.
        let _ = tcsetattr(self.terminal, OptionalActions::Flush, &self.before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(name: &str, required: bool) -> Field {
        Field { name: name.to_owned(), title: name.to_uppercase(), required }
    }

    #[test]
    fn each_field_is_asked_for_and_an_optional_one_may_stay_empty() {
        let fields = [field("key", true), field("webhook", false), field("note", false)];
        let mut shown = Vec::new();
        let given = answers(&fields, &mut "CANARY 1\r\n\nCANARY 2".as_bytes(), &mut shown).expect("answers");
        let expected = [("key", "CANARY 1"), ("note", "CANARY 2")].map(|(a, b)| (a.to_owned(), b.to_owned()));
        assert_eq!(given, expected.into());
        let shown = String::from_utf8(shown).expect("a text");
        assert_eq!(
            shown,
            "KEY (key): \nWEBHOOK (webhook, empty for none): \nNOTE (note, empty for none): \n"
        );

        let refused = answers(&fields, &mut "\n".as_bytes(), &mut Vec::<u8>::new());
        assert!(matches!(refused, Err(Failure::Usage(text)) if text == "key must not be empty"));
        assert!(matches!(ask(&[]), Err(Failure::Usage(text)) if text.contains("--secrets")));
    }
}
