//! The files that `import` names: which must not be the same, and how messages name them. What was given as a file may be the
//! address of a database with a password, so no message repeats such a text.

use std::path::{Path, PathBuf};

use crate::cli::failure::Failure;

/// What stands for standard input in place of a file.
const INPUT: &str = "-";

/// A file in a message, unless its name may hold a secret.
pub(super) fn named(path: &Path) -> String {
    let text = path.display().to_string();
    if text == INPUT {
        "standard input".to_owned()
    } else if text.contains("://") || text.contains(['@', '=']) {
        "the file (name not shown)".to_owned()
    } else {
        text
    }
}

/// Reads a file as text, or standard input.
pub(super) fn read(path: &Path) -> Result<String, Failure> {
    let text = if path == Path::new(INPUT) {
        std::io::read_to_string(std::io::stdin())
    } else {
        std::fs::read_to_string(path)
    };
    text.map_err(|error| unreadable(path, &error))
}

/// A file that the command line names cannot be read.
pub(super) fn unreadable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::Usage(format!("{} cannot be read: {error}", named(path)))
}

/// Refuses to write a file that the command reads, or one file for two purposes, or to read standard input twice. Each file
/// comes with its option.
pub(super) fn distinct(
    written: &[(&str, Option<&Path>)],
    read: &[(&str, Option<&Path>)],
) -> Result<(), Failure> {
    let inputs = read.iter().filter(|(_, path)| *path == Some(Path::new(INPUT)));
    let inputs: Vec<&str> = inputs.map(|(option, _)| *option).collect();
    if let [one, other, ..] = inputs[..] {
        return Err(Failure::Usage(format!(
            "{one} and {other} both read standard input; name a file for one"
        )));
    }
    if let Some((option, _)) = written.iter().find(|(_, path)| *path == Some(Path::new(INPUT))) {
        return Err(Failure::Usage(format!("{option} must name a file; what the command prints are counts")));
    }
    let read = read.iter().filter_map(|(option, path)| Some((*option, true_path((*path)?))));
    let mut before: Vec<(&str, PathBuf)> = read.collect();
    for (option, path) in written {
        let Some(path) = path.map(true_path) else { continue };
        if let Some((other, _)) = before.iter().find(|(_, other)| *other == path) {
            return Err(Failure::Usage(format!(
                "{option} and {other} name the same file; {option} would overwrite it"
            )));
        }
        before.push((*option, path));
    }
    Ok(())
}

/// The path of a file without links. Of a file that is not there yet, that of its folder, with its name.
fn true_path(path: &Path) -> PathBuf {
    let of_folder = || {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        Some(folder.unwrap_or(Path::new(".")).canonicalize().ok()?.join(path.file_name()?))
    };
    path.canonicalize().ok().or_else(of_folder).unwrap_or_else(|| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_one_purpose_whatever_its_path() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = |name: &str| folder.path().join(name);
        std::fs::write(file("rows.csv"), "").expect("written");
        std::os::unix::fs::symlink(file("rows.csv"), file("link")).expect("linked");
        let check = |report: &str, journal: &str| {
            let (from, report, journal) = (file("rows.csv"), file(report), file(journal));
            let written = [("--journal", Some(journal.as_path())), ("--report", Some(report.as_path()))];
            distinct(&written, &[("--from", Some(from.as_path())), ("--map", None)])
        };
        assert!(check("report", "journal").is_ok());
        for (report, journal) in [("link", "j"), ("r", "./rows.csv"), ("new", "./new"), ("rows.csv", "j")] {
            assert!(check(report, journal).is_err(), "{report} {journal}");
        }
    }

    #[test]
    fn a_name_that_may_hold_a_secret_is_not_shown() {
        assert_eq!(named(Path::new("a/rows.csv")), "a/rows.csv");
        for secret in ["mysql://a:CANARY@host/b", "host=a password=CANARY", "a:CANARY@host"] {
            assert!(!named(Path::new(secret)).contains("CANARY"), "{secret}");
        }
    }
}
