//! Checked conditions and paths, from their shape in a provider file.

use super::file::call::{ConditionFile, PathFile};
use super::problem::Problem;
use crate::condition::{Condition, Test};
use crate::path::Path;

/// Parses the path at `key`.
pub(super) fn path(key: &str, file: &PathFile) -> Result<Path, Problem> {
    Path::parse(file.texts()).map_err(|problem| Problem::new(key, problem))
}

/// Parses a path that may be left out.
pub(super) fn optional_path(key: &str, file: Option<&PathFile>) -> Result<Option<Path>, Problem> {
    file.map(|file| path(key, file)).transpose()
}

/// Checks conditions. A problem names the index of its condition.
pub(super) fn conditions(key: &str, files: Vec<ConditionFile>) -> Result<Vec<Condition>, Problem> {
    let checked =
        |(index, file)| condition(file).map_err(|problem| Problem::new(key, format!("[{index}] {problem}")));
    files.into_iter().enumerate().map(checked).collect()
}

fn condition(file: ConditionFile) -> Result<Condition, String> {
    let ConditionFile { status, path, absent, one_of, none_of, between, contains } = file;
    let mut tests = absent.then_some(Test::Absent).into_iter().collect::<Vec<_>>();
    tests.extend(one_of.map(Test::OneOf));
    tests.extend(none_of.map(Test::NoneOf));
    tests.extend(between.map(|(first, last)| Test::Between(first, last)));
    tests.extend(contains.map(Test::Contains));
    let test = tests.pop();
    if !tests.is_empty() {
        return Err("must have at most one of absent, one_of, none_of, between and contains".to_owned());
    }
    let body = match (path, test) {
        (Some(path), test) => Some((Path::parse(path.texts())?, test.unwrap_or(Test::Present))),
        (None, Some(_)) => {
            return Err("must have a path for absent, one_of, none_of, between and contains".to_owned());
        }
        (None, None) if status.is_none() => return Err("must have a status or a path".to_owned()),
        (None, None) => None,
    };
    Ok(Condition { status, body })
}
