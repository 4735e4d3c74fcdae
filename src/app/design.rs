//! The design of the pages, made of the settings and the files that these name. The vault reads them once, at its start.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::pages::{Asset, Design, LanguageError, Languages, Pictures};
use crate::settings::{Pages, Problems};
use credvault_domain::chain;

/// The largest picture, in bytes. Each page loads it.
const MAX_PICTURE_BYTES: u64 = 256 * 1024;

/// The design of `settings`; what is wrong with their files is added to `problems`. `None` if something is.
pub(super) fn load(settings: &Pages, problems: &mut Problems) -> Option<Arc<Design>> {
    let Pages { brand, palette, logo, logo_dark, icon, language, language_folder } = settings;
    let mut picture = |key, stem, path: &Option<PathBuf>| picture(key, stem, path.as_deref(), problems);
    let logo = picture("pages.logo", "logo", logo);
    let logo_dark = picture("pages.logo_dark", "logo-dark", logo_dark);
    let icon = picture("pages.icon", "icon", icon);
    let languages = Languages::load(language_folder.as_deref(), language);
    let key = match &languages {
        Err(LanguageError::Missing(_)) => "pages.language",
        Ok(_) | Err(LanguageError::Unreadable(_) | LanguageError::Broken(_)) => "pages.language_folder",
    };
    let languages = problems.take(key, languages.map_err(|error| chain(&error)));
    let pictures = Pictures { logo: logo?, logo_dark: logo_dark?, icon: icon? };
    Some(Design::new(brand.clone(), palette, pictures, languages?))
}

/// The picture of a setting, or none if there is no such setting; `None` if the file is no picture for pages.
fn picture(
    key: &str,
    stem: &'static str,
    path: Option<&Path>,
    problems: &mut Problems,
) -> Option<Option<Asset>> {
    let Some(path) = path else { return Some(None) };
    let picture = read(path).and_then(|bytes| {
        let wrong = || format!("{} must be a PNG, JPEG, WebP, SVG or ICO picture", path.display());
        Asset::picture(stem, bytes).ok_or_else(wrong)
    });
    problems.take(key, picture).map(Some)
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let unreadable = |error| format!("{} cannot be read: {error}", path.display());
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(unreadable)?;
    file.take(MAX_PICTURE_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > MAX_PICTURE_BYTES {
        return Err(format!("{} is larger than 256 KiB, and every page loads it", path.display()));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::RawSettings;

    type Change = fn(&mut Pages, &Path);

    fn loaded(change: Change) -> Result<(), String> {
        let folder = tempfile::tempdir().expect("folder");
        std::fs::write(folder.path().join("logo.svg"), "<svg xmlns='http://www.w3.org/2000/svg'/>")
            .expect("file");
        std::fs::write(folder.path().join("logo.txt"), "CANARY").expect("file");
        std::fs::write(
            folder.path().join("large.png"),
            [b"\x89PNG\r\n\x1a\n".as_slice(), &[0; 262_144]].concat(),
        )
        .expect("file");
        let mut settings = RawSettings::default().inspect().expect("settings").0.pages;
        change(&mut settings, folder.path());
        let mut problems = Problems::default();
        let design = load(&settings, &mut problems);
        assert_eq!(design.is_some(), problems.is_empty());
        problems.into_result().map_err(|error| error.to_string())
    }

    #[test]
    fn pictures_and_languages_are_read_or_refused_by_the_key_that_names_them() {
        loaded(|_, _| {}).expect("the defaults");
        loaded(|pages, folder| pages.logo = Some(folder.join("logo.svg"))).expect("a logo");
        let cases: [(Change, &str, &str); 5] = [
            (|pages, folder| pages.logo = Some(folder.join("none.svg")), "pages.logo", "cannot be read"),
            (|pages, folder| pages.icon = Some(folder.join("logo.txt")), "pages.icon", "must be a PNG"),
            (
                |pages, folder| pages.logo_dark = Some(folder.join("large.png")),
                "pages.logo_dark",
                "larger than 256 KiB",
            ),
            (
                |pages, _| pages.language = "fr".to_owned(),
                "pages.language",
                "must be the tag of one of the languages: de, en",
            ),
            (
                |pages, folder| pages.language_folder = Some(folder.join("none")),
                "pages.language_folder",
                "cannot be read",
            ),
        ];
        for (change, key, rule) in cases {
            let refused = loaded(change).expect_err(key);
            assert!(refused.starts_with(&format!("{key}: ")) && refused.contains(rule), "{refused}");
            assert!(!refused.contains("CANARY"), "{refused}");
        }
    }
}
