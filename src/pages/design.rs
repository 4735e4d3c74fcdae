//! All that pages look like at one vault: the operator's brand, the languages, and the files that browsers load.

use std::sync::Arc;

use super::asset::Asset;
use super::brand::Brand;
use super::language::Languages;
use super::palette::Palette;

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");
const CONNECT_SCRIPT: &str = include_str!("connect-page.js");
const ELEMENT: &str = include_str!("connect.js");
const ICON: &str = include_str!("icon.svg");

/// The operator's pictures, as far as there are any.
#[derive(Default)]
pub(crate) struct Pictures {
    pub(crate) logo: Option<Asset>,
    /// The logo for dark ground.
    pub(crate) logo_dark: Option<Asset>,
    /// What browsers show beside the title.
    pub(crate) icon: Option<Asset>,
}

/// The design of one vault's pages.
pub(crate) struct Design {
    pub(crate) brand: Brand,
    pub(crate) languages: Languages,
    pub(super) logo: Option<Asset>,
    pub(super) logo_dark: Option<Asset>,
    pub(crate) icon: Asset,
    pub(super) style: Asset,
    pub(super) script: Asset,
    connect_script: Asset,
    /// The custom element for the pages of others that embed connect pages.
    pub(crate) element: Asset,
}

impl Design {
    /// A design of its parts.
    pub(crate) fn new(
        brand: Brand,
        palette: &Palette,
        pictures: Pictures,
        languages: Languages,
    ) -> Arc<Self> {
        let Pictures { logo, logo_dark, icon } = pictures;
        // The colours come with the style: one file is loaded sooner than two.
        let style = format!("{}{STYLE}", palette.css());
        Arc::new(Self {
            brand,
            languages,
            logo,
            logo_dark,
            icon: icon.unwrap_or_else(|| Asset::new("icon", "svg", "image/svg+xml", ICON)),
            style: Asset::new("page", "css", "text/css; charset=utf-8", style),
            script: Asset::new("page", "js", "text/javascript; charset=utf-8", SCRIPT),
            connect_script: Asset::new(
                "connect-page",
                "js",
                "text/javascript; charset=utf-8",
                CONNECT_SCRIPT,
            ),
            element: Asset::new("connect", "js", "text/javascript; charset=utf-8", ELEMENT),
        })
    }

    /// The path of the script that connect pages load beside that of all pages.
    pub(crate) fn connect_script(&self) -> &str {
        &self.connect_script.path
    }

    /// The file of a name without its folder: this one, or what there is in its place.
    pub(crate) fn asset(&self, file: &str) -> Option<&Asset> {
        let Self { brand: _, languages: _, logo, logo_dark, icon, style, script, connect_script, element } =
            self;
        let pictures = logo.iter().chain(logo_dark);
        [style, script, connect_script, element, icon]
            .into_iter()
            .chain(pictures)
            .find(|asset| asset.answers(file))
    }
}
