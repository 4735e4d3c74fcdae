//! `pages`: what people see at the port for browsers: the operator's name, pictures, colours, links and languages.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::problem::Problems;
use super::value::{resolve, web_url};
use crate::pages::{Brand, Colour, Flaw, Link, Palette, Part, Scheme, Shades};

/// What a URL of this section must be.
const WEB_URL: &str = "must be an https URL without a user, or an http URL of the same machine";
/// The longest name, in characters.
const MAX_NAME_CHARS: usize = 60;
/// The longest e-mail address, in bytes (RFC 5321).
const MAX_MAIL_BYTES: usize = 254;

/// `pages` as it was given.
#[derive(Deserialize, Serialize, Clone, Debug)]
#[serde(default, deny_unknown_fields)]
pub struct PagesSection {
    /// The name that the customers know.
    pub name: String,
    /// A picture to show in place of the name.
    pub logo: Option<PathBuf>,
    /// The same picture for dark ground.
    pub logo_dark: Option<PathBuf>,
    /// What browsers show beside the title.
    pub icon: Option<PathBuf>,
    /// The colour of buttons and links, such as `#0b5cad`.
    pub accent: Option<String>,
    /// The same in the dark scheme. Without it, the vault lightens `accent`.
    pub accent_dark: Option<String>,
    /// The colour around the card.
    pub background: Option<String>,
    /// The same in the dark scheme.
    pub background_dark: Option<String>,
    /// Where a person gets help: an e-mail address or a URL.
    pub support: Option<String>,
    /// The URL of the page about privacy.
    pub privacy_url: Option<String>,
    /// The URL at which people continue who come from no page that waits for them.
    pub home_url: Option<String>,
    /// The language for people whose browsers ask for none of the languages.
    pub language: String,
    /// A folder of language files: `fr.toml` adds French, `en.toml` replaces single English texts.
    pub language_folder: Option<PathBuf>,
}

impl Default for PagesSection {
    fn default() -> Self {
        Self {
            name: "credvault".to_owned(),
            logo: None,
            logo_dark: None,
            icon: None,
            accent: None,
            accent_dark: None,
            background: None,
            background_dark: None,
            support: None,
            privacy_url: None,
            home_url: None,
            language: "en".to_owned(),
            language_folder: None,
        }
    }
}

/// What people see at the port for browsers.
#[derive(Clone, Debug)]
pub struct Pages {
    /// The operator's name and links.
    pub brand: Brand,
    /// Colours, of which each can be read on the others.
    pub palette: Palette,
    /// A picture to show in place of the name.
    pub logo: Option<PathBuf>,
    /// The same picture for dark ground.
    pub logo_dark: Option<PathBuf>,
    /// What browsers show beside the title.
    pub icon: Option<PathBuf>,
    /// The tag of the language for people whose browsers ask for none of the languages.
    pub language: String,
    /// A folder of language files.
    pub language_folder: Option<PathBuf>,
}

impl PagesSection {
    pub(super) fn resolve(&mut self, base: &Path) {
        let Self { logo, logo_dark, icon, language_folder, .. } = self;
        for path in [logo, logo_dark, icon, language_folder] {
            path.iter_mut().for_each(|path| resolve(path, base));
        }
    }

    pub(super) fn check(&self, problems: &mut Problems) -> Pages {
        let name = &self.name;
        if name.trim().is_empty()
            || name.chars().count() > MAX_NAME_CHARS
            || name.chars().any(char::is_control)
        {
            problems.refuse("pages.name", "must have 1 to 60 printable characters");
        }
        if self.logo_dark.is_some() && self.logo.is_none() {
            problems.refuse("pages.logo_dark", "needs pages.logo, which is for the light scheme");
        }
        let brand = Brand {
            name: name.clone(),
            support: self.support.as_deref().and_then(|text| support(text, problems)),
            privacy_url: url("pages.privacy_url", self.privacy_url.as_deref(), problems),
            home_url: url("pages.home_url", self.home_url.as_deref(), problems),
        };
        Pages {
            brand,
            palette: self.palette(problems),
            logo: self.logo.clone(),
            logo_dark: self.logo_dark.clone(),
            icon: self.icon.clone(),
            language: self.language.clone(),
            language_folder: self.language_folder.clone(),
        }
    }

    fn palette(&self, problems: &mut Problems) -> Palette {
        let mut colour = |scheme, part, given: &Option<String>| {
            let text = given.as_deref()?;
            let colour = Colour::parse(text);
            if colour.is_none() {
                problems.refuse(
                    key(scheme, part),
                    "must be a colour of # and six hexadecimal digits, such as #0b5cad",
                );
            }
            colour
        };
        let accent = colour(Scheme::Light, Part::Accent, &self.accent);
        let accent_dark = colour(Scheme::Dark, Part::Accent, &self.accent_dark);
        let background = colour(Scheme::Light, Part::Background, &self.background);
        let background_dark = colour(Scheme::Dark, Part::Background, &self.background_dark);
        let ground = background_dark.unwrap_or(Shades::DARK.background);
        let lightened = accent.map(|accent| Palette::lightened(accent, ground));
        let palette = Palette {
            light: Shades {
                accent: accent.unwrap_or(Shades::LIGHT.accent),
                background: background.unwrap_or(Shades::LIGHT.background),
            },
            dark: Shades {
                accent: accent_dark.or(lightened).unwrap_or(Shades::DARK.accent),
                background: ground,
            },
        };
        for flaw in palette.flaws() {
            problems.refuse(key(flaw.scheme, flaw.part), too_faint(&flaw));
        }
        palette
    }
}

/// The setting of a colour.
fn key(scheme: Scheme, part: Part) -> &'static str {
    match (scheme, part) {
        (Scheme::Light, Part::Accent) => "pages.accent",
        (Scheme::Dark, Part::Accent) => "pages.accent_dark",
        (Scheme::Light, Part::Background) => "pages.background",
        (Scheme::Dark, Part::Background) => "pages.background_dark",
    }
}

fn too_faint(flaw: &Flaw) -> String {
    let way_out = match (flaw.scheme, flaw.part) {
        (Scheme::Light, Part::Accent) | (Scheme::Dark, Part::Background) => "darker",
        (Scheme::Dark, Part::Accent) | (Scheme::Light, Part::Background) => "lighter",
    };
    format!(
        "has a contrast ratio of {} to {}; WCAG 2.2 AA asks for {}: choose a {way_out} colour",
        flaw.shown_ratio(),
        flaw.against,
        Flaw::WANTED
    )
}

fn url(key: &str, text: Option<&str>, problems: &mut Problems) -> Option<String> {
    let url = web_url(text?);
    if url.is_none() {
        problems.refuse(key, WEB_URL);
    }
    url.map(String::from)
}

fn support(text: &str, problems: &mut Problems) -> Option<Link> {
    if is_mail(text) {
        return Some(Link::Mail(text.to_owned()));
    }
    let url = web_url(text);
    if url.is_none() {
        problems.refuse("pages.support", "must be an e-mail address, or an https URL without a user");
    }
    url.map(|url| Link::Page(url.into()))
}

/// Whether a text is an e-mail address that a link can hold as it is.
fn is_mail(text: &str) -> bool {
    let plain = |part: &str| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_+".contains(&byte))
    };
    text.len() <= MAX_MAIL_BYTES
        && text.split_once('@').is_some_and(|(user, host)| plain(user) && plain(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(change: impl FnOnce(&mut PagesSection)) -> Vec<String> {
        let mut section = PagesSection::default();
        change(&mut section);
        let mut problems = Problems::default();
        section.check(&mut problems);
        match problems.into_result() {
            Ok(()) => Vec::new(),
            Err(error) => error.to_string().lines().map(str::to_owned).collect(),
        }
    }

    #[test]
    fn colours_that_cannot_be_read_are_refused_with_the_ratio() {
        let accent = |text: &str| {
            let text = Some(text.to_owned());
            problems(move |section| section.accent = text)
        };
        assert_eq!(accent("#0b5cad"), [""; 0]);
        let yellow = accent("#ffd800");
        assert_eq!(yellow.len(), 1, "{yellow:?}");
        let expected = "pages.accent: has a contrast ratio of 1.39 to the ground of cards; WCAG 2.2 AA asks for 4.5: \
                        choose a darker colour";
        assert!(yellow[0].starts_with(expected), "{yellow:?}");
        for text in ["yellow", "#ffd80", "ffd800", "#ffd80g"] {
            let wrong = accent(text);
            assert!(wrong[0].starts_with("pages.accent: must be a colour of #"), "{wrong:?}");
        }
        let grey = Some("#777777".to_owned());
        let grounds = problems(|section| {
            section.background = grey.clone();
            section.background_dark = grey;
        });
        assert!(
            grounds.iter().any(|problem| problem.starts_with("pages.background: has a contrast")),
            "{grounds:?}"
        );
        assert!(
            grounds.iter().any(|problem| problem.starts_with("pages.background_dark: has a contrast")),
            "{grounds:?}"
        );
    }

    #[test]
    fn links_and_names_keep_their_rules() {
        assert_eq!(problems(|section| section.support = Some("help@shop.example".into())), [""; 0]);
        assert_eq!(problems(|section| section.support = Some("https://shop.example/help".into())), [""; 0]);
        for text in [
            "help",
            "a@b@c",
            "a b@shop.example",
            "a@shop.example?subject=x",
            "javascript:alert(1)",
            "http://shop.example",
        ] {
            let wrong = problems(|section| section.support = Some(text.into()));
            assert!(
                wrong[0].starts_with("pages.support: must be an e-mail address, or an https URL"),
                "{text}: {wrong:?}"
            );
        }
        for text in ["javascript:alert(1)", "/privacy", "http://shop.example/privacy"] {
            let wrong = problems(|section| section.privacy_url = Some(text.into()));
            assert!(wrong[0].starts_with("pages.privacy_url: must be an https URL"), "{text}: {wrong:?}");
            assert!(!problems(|section| section.home_url = Some(text.into())).is_empty(), "{text}");
        }
        for name in ["", "  ", "a\nb", "x".repeat(61).as_str()] {
            assert_eq!(problems(|section| section.name = name.to_owned()).len(), 1, "{name}");
        }
        assert_eq!(problems(|section| section.logo_dark = Some("dark.png".into())).len(), 1);
    }
}
