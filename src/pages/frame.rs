//! What stands around the content of every page: the head, the operator's name or logo, and the foot with help, privacy
//! and the other languages.

use maud::{DOCTYPE, Markup, html};

use super::brand::Link;
use super::design::Design;
use super::language::Language;
use super::texts::FrameTexts;

/// The frame around one page.
pub(crate) struct Frame<'a> {
    pub(crate) design: &'a Design,
    pub(crate) language: &'a Language,
    /// The title of the window. It says what the page's heading says.
    pub(crate) title: &'a str,
    /// Where the page can be loaded in another language, if it can: an address of this site; empty for the page's own.
    pub(crate) reloads: Option<&'a str>,
}

impl Frame<'_> {
    /// A whole document. `main` is the element of that name.
    pub(crate) fn around(&self, main: &Markup) -> Markup {
        let Self { design, language, title, reloads: _ } = self;
        let direction = language.texts.language.direction.as_str();
        html! {
            (DOCTYPE)
            html lang=(language.tag) dir=(direction) {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    meta name="robots" content="noindex";
                    title { (title) }
                    link rel="stylesheet" href=(design.style.path);
                    link rel="icon" type=(design.icon.content_type) href=(design.icon.path);
                    script src=(design.script.path) defer {}
                }
                body {
                    header class="site" { (self.sign()) }
                    (main)
                    (self.foot())
                }
            }
        }
    }

    /// The operator's logo, or else its name.
    fn sign(&self) -> Markup {
        let Design { brand, logo, logo_dark, .. } = self.design;
        html! {
            @if let Some(logo) = logo {
                picture {
                    @if let Some(dark) = logo_dark {
                        source media="(prefers-color-scheme: dark)" srcset=(dark.path);
                    }
                    img class="logo" src=(logo.path) alt=(brand.name);
                }
            } @else {
                p class="name" { (brand.name) }
            }
        }
    }

    fn foot(&self) -> Markup {
        let FrameTexts { help, privacy, languages, .. } = &self.language.texts.frame;
        let brand = &self.design.brand;
        html! {
            footer class="site" {
                @if brand.support.is_some() || brand.privacy_url.is_some() {
                    ul {
                        @if let Some(support) = &brand.support {
                            li { a href=(support.url()) { (help) @if let Link::Mail(address) = support { ": " (address) } } }
                        }
                        @if let Some(url) = &brand.privacy_url {
                            li { a href=(url) { (privacy) } }
                        }
                    }
                }
                @if let Some(address) = self.reloads.filter(|_| self.design.languages.all().len() > 1) {
                    nav aria-label=(languages) { ul { (self.other_languages(address)) } }
                }
            }
        }
    }

    fn other_languages(&self, address: &str) -> Markup {
        let mark = if address.contains('?') { "&" } else { "?" };
        html! {
            @for language in self.design.languages.all() {
                @let name = &language.texts.language.name;
                li {
                    @if language.tag == self.language.tag {
                        span aria-current="true" lang=(language.tag) { (name) }
                    } @else {
                        a href={ (address) (mark) "lang=" (language.tag) } hreflang=(language.tag) lang=(language.tag) { (name) }
                    }
                }
            }
        }
    }
}
