//! The languages of the pages: files of texts, some of them in the program, others in a folder of the operator, which may
//! also replace single texts. What a file of the operator lacks is in the language of the same name that the program has, or
//! else in English: in the operator's own, then in the program's.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use credvault_catalog::{TomlFile, UnreadableFile, toml_files};
use credvault_domain::is_key;
use toml::{Table, Value};

use super::texts::{Direction, Texts, places};
use crate::settings::wrong_toml;

/// The languages that the program has, by their tags.
const EMBEDDED: [(&str, &str); 2] =
    [("en", include_str!("languages/en.toml")), ("de", include_str!("languages/de.toml"))];

/// The tag of the language whose texts stand in for those that others lack.
const ENGLISH: &str = "en";

/// The key whose value is not shown: it says which way the language is read.
const DIRECTION: &str = "language.direction";

/// How many of the languages that a browser accepts are looked at.
const MAX_ACCEPTED: usize = 32;

/// One language with its texts.
#[derive(Debug)]
pub(crate) struct Language {
    /// Its tag, such as `en` or `pt-BR`.
    pub(crate) tag: String,
    /// Every text of the pages in it.
    pub(crate) texts: Texts,
}

/// All languages, of which one is for people whose browsers ask for none of them.
#[derive(Debug)]
pub(crate) struct Languages {
    all: BTreeMap<String, Arc<Language>>,
    default: Arc<Language>,
}

/// Why the languages cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LanguageError {
    /// The folder or a file in it cannot be read.
    #[error(transparent)]
    Unreadable(#[from] UnreadableFile),
    /// Files break rules: a sentence for each time, which names the file and the place in it.
    #[error("{}", .0.join("; "))]
    Broken(Vec<String>),
    /// There is no language of this name.
    #[error("must be the tag of one of the languages: {0}")]
    Missing(String),
}

impl Languages {
    /// The embedded languages and those of `folder`. `default` is the tag of the one for everyone else.
    ///
    /// # Errors
    /// The folder cannot be read, files in it are broken, all of which the error names, or there is no language of that tag.
    pub(crate) fn load(folder: Option<&Path>, default: &str) -> Result<Self, LanguageError> {
        let mut tables = BTreeMap::new();
        for (tag, text) in EMBEDDED {
            let texts =
                parsed(Path::new(tag), text).map_err(|problem| LanguageError::Broken(vec![problem]))?;
            tables.insert(tag.to_owned(), texts);
        }
        let embedded = tables.get(ENGLISH).cloned().unwrap_or_default();
        for OwnFile { tag, texts } in own_files(folder, &embedded)? {
            let english = tables.get(ENGLISH).cloned().unwrap_or_default();
            let known = tables.keys().find(|known| known.eq_ignore_ascii_case(&tag)).cloned();
            overlay(tables.entry(known.unwrap_or(tag)).or_insert(english), &texts);
        }
        let mut all = BTreeMap::new();
        for (tag, table) in tables {
            let broken = |_| LanguageError::Broken(vec![format!("{tag} lacks texts of the pages")]);
            let texts = table.try_into::<Texts>().map_err(broken)?;
            all.insert(tag.clone(), Arc::new(Language { tag, texts }));
        }
        let Some(default) = find(&all, default).map(Arc::clone) else {
            let tags: Vec<_> = all.keys().map(String::as_str).collect();
            return Err(LanguageError::Missing(tags.join(", ")));
        };
        Ok(Self { all, default })
    }

    /// The language of a tag, in small or capital letters.
    pub(crate) fn find(&self, tag: &str) -> Option<&Arc<Language>> {
        find(&self.all, tag)
    }

    /// All languages, in the order of their tags.
    pub(crate) fn all(&self) -> impl ExactSizeIterator<Item = &Language> {
        self.all.values().map(Arc::as_ref)
    }

    /// The language that fits a header `Accept-Language` best (RFC 9110, section 12.5.4): for `de-AT` also `de`.
    pub(crate) fn accepted(&self, header: &str) -> &Arc<Language> {
        let mut ranges: Vec<(f32, &str)> = header.split(',').take(MAX_ACCEPTED).filter_map(range).collect();
        ranges.sort_by(|(one, _), (other, _)| other.total_cmp(one));
        ranges.iter().find_map(|(_, tag)| self.nearest(tag)).unwrap_or(&self.default)
    }

    /// The language of a tag, or else of what the tag begins with: for `de-AT` also `de`.
    pub(crate) fn nearest(&self, tag: &str) -> Option<&Arc<Language>> {
        let mut tag = tag;
        loop {
            if tag == "*" {
                return Some(&self.default);
            }
            if let Some(found) = self.find(tag) {
                return Some(found);
            }
            (tag, _) = tag.rsplit_once('-')?;
        }
    }
}

/// Whether a text can be the tag of a language: letters, then parts of letters and digits behind hyphens.
fn is_tag(text: &str) -> bool {
    let mut parts = text.split('-');
    let language = parts.next().unwrap_or_default();
    let fits =
        |part: &str| (2..=8).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphanumeric());
    (2..=3).contains(&language.len())
        && language.bytes().all(|byte| byte.is_ascii_alphabetic())
        && parts.all(fits)
}

fn find<'a>(all: &'a BTreeMap<String, Arc<Language>>, tag: &str) -> Option<&'a Arc<Language>> {
    all.iter().find(|(known, _)| known.eq_ignore_ascii_case(tag)).map(|(_, language)| language)
}

/// One part of the header, with its weight; `None` if the browser does not want it.
fn range(part: &str) -> Option<(f32, &str)> {
    let (tag, weight) = part.split_once(';').unwrap_or((part, "q=1"));
    let weight = weight.trim().strip_prefix("q=").and_then(|weight| weight.trim().parse::<f32>().ok())?;
    (weight > 0.0).then_some((weight, tag.trim()))
}

/// A file of the operator, every text of which the pages can show.
struct OwnFile {
    tag: String,
    texts: Table,
}

/// The files of the operator, English first, for it stands in for what others lack. The errors are those of all files.
fn own_files(folder: Option<&Path>, english: &Table) -> Result<Vec<OwnFile>, LanguageError> {
    let (mut files, mut problems) = (Vec::new(), Vec::new());
    for file in folder.map(toml_files).transpose()?.unwrap_or_default() {
        match own_file(&file, english) {
            Ok(file) => files.push(file),
            Err(wrong) => problems.extend(wrong),
        }
    }
    if !problems.is_empty() {
        return Err(LanguageError::Broken(problems));
    }
    files.sort_by_key(|file| !file.tag.eq_ignore_ascii_case(ENGLISH));
    Ok(files)
}

/// Parses and checks one of them. The errors are all that is wrong with it.
fn own_file(TomlFile { path, text }: &TomlFile, english: &Table) -> Result<OwnFile, Vec<String>> {
    let tag = path.file_stem().and_then(|stem| stem.to_str()).filter(|tag| is_tag(tag));
    let Some(tag) = tag else {
        let rule = "is not named by the tag of a language, such as fr.toml or pt-BR.toml";
        return Err(vec![format!("{} {rule}", path.display())]);
    };
    let texts = parsed(path, text).map_err(|problem| vec![problem])?;
    let mut rules = Vec::new();
    check("", &texts, english, &mut rules);
    if rules.is_empty() {
        return Ok(OwnFile { tag: tag.to_owned(), texts });
    }
    Err(rules.iter().map(|rule| format!("{}: {rule}", path.display())).collect())
}

/// The table of a file, or what is wrong with it, in a sentence that names the file.
fn parsed(path: &Path, text: &str) -> Result<Table, String> {
    toml::from_str(text).map_err(|error| format!("{}{}", path.display(), wrong_toml(text, &error)))
}

/// Collects the rules that the texts of a file break: what is no text of the pages, an empty text, a place that nothing
/// fills. Each begins with the key.
fn check(prefix: &str, own: &Table, english: &Table, rules: &mut Vec<String>) {
    for (name, value) in own {
        let key = format!("{prefix}{name}");
        // A key that looks like none may be anything, so it is not repeated.
        let shown = if is_key(&key) { key.as_str() } else { "a key" };
        match (value, english.get(name)) {
            (Value::Table(own), Some(Value::Table(english))) => {
                check(&format!("{key}."), own, english, rules);
            }
            (Value::String(text), Some(Value::String(_))) if text.trim().is_empty() => {
                rules.push(format!("{shown} must not be empty; leave it out to keep the text that there is"));
            }
            (Value::String(_), Some(Value::String(_))) if key == DIRECTION => {
                if value.clone().try_into::<Direction>().is_err() {
                    rules.push(format!("{DIRECTION} must be ltr or rtl"));
                }
            }
            (Value::String(text), Some(Value::String(known))) => {
                for place in places(text).difference(&places(known)) {
                    let place = if is_key(place) { format!("{{{place}}}") } else { "a place".to_owned() };
                    rules.push(format!("{shown} has {place}, which the pages do not fill there"));
                }
            }
            (_, Some(Value::Table(_))) => rules.push(format!("{shown} must be a table of texts")),
            (_, Some(_)) => rules.push(format!("{shown} must be a text, in quotes")),
            (_, None) => rules.push(format!("{shown} is no text of the pages")),
        }
    }
}

/// Puts the texts of `own` in the place of those of `table`.
fn overlay(table: &mut Table, own: &Table) {
    for (name, value) in own {
        if let (Some(Value::Table(inner)), Value::Table(own)) = (table.get_mut(name), value) {
            overlay(inner, own);
            continue;
        }
        table.insert(name.clone(), value.clone());
    }
}

#[cfg(test)]
mod tests;
