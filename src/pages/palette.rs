//! The colours of the pages, in a light and a dark scheme: the browser takes the one that the person prefers. The operator
//! chooses accent and background; the others are fixed, and readable on each other. Style sheets get all of them as custom
//! properties from here, so what is checked is what is shown.

use super::colour::Colour;

/// The ratio that WCAG 2.2 asks of text at level AA.
const TEXT_RATIO: f64 = 4.5;

/// Which of the two schemes a colour belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scheme {
    /// Dark text on light ground.
    Light,
    /// Light text on dark ground.
    Dark,
}

/// The colours of one scheme that the operator may choose.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Shades {
    /// The ground of buttons, and links.
    pub accent: Colour,
    /// The ground around the card.
    pub background: Colour,
}

/// The colours of both schemes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Palette {
    /// The light scheme's own colours.
    pub light: Shades,
    /// The dark scheme's own colours.
    pub dark: Shades,
}

/// A colour that the operator chooses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Part {
    /// The ground of buttons, and links.
    Accent,
    /// The ground around the card.
    Background,
}

/// Text that would be hard to read.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Flaw {
    /// The scheme whose colour it is.
    pub scheme: Scheme,
    /// The colour to choose anew.
    pub part: Part,
    /// What it does not stand out from, with an article.
    pub against: &'static str,
    /// The contrast ratio, below [`Flaw::WANTED`].
    pub ratio: f64,
}

/// The fixed colours of a scheme.
struct Fixed {
    surface: Colour,
    text: Colour,
    muted: Colour,
    line: Colour,
    hairline: Colour,
    /// The text of good news and its ground; the same for bad news and for warnings.
    good: [Colour; 2],
    bad: [Colour; 2],
    warn: [Colour; 2],
}

const LIGHT: Fixed = Fixed {
    surface: Colour::WHITE,
    text: Colour::of(0x16, 0x19, 0x1d),
    muted: Colour::of(0x4f, 0x56, 0x61),
    line: Colour::of(0x7d, 0x85, 0x90),
    hairline: Colour::of(0xd9, 0xdc, 0xe1),
    good: [Colour::of(0x17, 0x69, 0x3a), Colour::of(0xe6, 0xf4, 0xea)],
    bad: [Colour::of(0xb3, 0x26, 0x1e), Colour::of(0xfd, 0xec, 0xea)],
    warn: [Colour::of(0x7a, 0x4d, 0x00), Colour::of(0xff, 0xf3, 0xd6)],
};

const DARK: Fixed = Fixed {
    surface: Colour::of(0x19, 0x1c, 0x21),
    text: Colour::of(0xec, 0xee, 0xf1),
    muted: Colour::of(0xa3, 0xab, 0xb6),
    line: Colour::of(0x73, 0x7b, 0x87),
    hairline: Colour::of(0x33, 0x38, 0x40),
    good: [Colour::of(0x7d, 0xd9, 0x9b), Colour::of(0x14, 0x33, 0x22)],
    bad: [Colour::of(0xff, 0x9a, 0x8f), Colour::of(0x3d, 0x17, 0x14)],
    warn: [Colour::of(0xf0, 0xc1, 0x61), Colour::of(0x3a, 0x2c, 0x0a)],
};

impl Shades {
    /// The light scheme of an operator who chooses no colours.
    pub const LIGHT: Self =
        Self { accent: Colour::of(0x22, 0x51, 0xc4), background: Colour::of(0xf3, 0xf4, 0xf6) };
    /// The dark scheme of an operator who chooses no colours.
    pub const DARK: Self =
        Self { accent: Colour::of(0x8a, 0xb0, 0xff), background: Colour::of(0x0f, 0x11, 0x15) };
}

impl Flaw {
    /// The smallest ratio that is accepted.
    pub const WANTED: f64 = TEXT_RATIO;

    /// The ratio with two decimals, cut off: what fails never looks like what passes.
    pub fn shown_ratio(&self) -> String {
        format!("{:.2}", (self.ratio * 100.0).floor() / 100.0)
    }
}

impl Palette {
    /// What could not be read well. Text on the accent always can: it is black or white, whichever is read better.
    pub fn flaws(&self) -> Vec<Flaw> {
        let schemes = [(Scheme::Light, &self.light, &LIGHT), (Scheme::Dark, &self.dark, &DARK)];
        let mut flaws = Vec::new();
        for (scheme, Shades { accent, background }, fixed) in schemes {
            let pairs = [
                (Part::Background, "the text on it", *background, fixed.muted),
                (Part::Accent, "the ground of cards", *accent, fixed.surface),
                (Part::Accent, "the background", *accent, *background),
            ];
            for (part, against, one, other) in pairs {
                let ratio = one.contrast(other);
                if ratio < TEXT_RATIO {
                    flaws.push(Flaw { scheme, part, against, ratio });
                }
            }
        }
        flaws
    }

    /// A light accent for the dark scheme, made of the one for the light scheme.
    pub fn lightened(accent: Colour, background: Colour) -> Colour {
        let readable = |colour: &Colour| {
            [DARK.surface, background].iter().all(|ground| colour.contrast(*ground) >= TEXT_RATIO)
        };
        (0..=100)
            .step_by(5)
            .map(|percent| accent.mixed(Colour::WHITE, percent))
            .find(readable)
            .unwrap_or(accent)
    }

    /// The custom properties of both schemes, as a style sheet.
    pub(super) fn css(&self) -> String {
        let (light, dark) = (properties(&self.light, &LIGHT), properties(&self.dark, &DARK));
        format!(":root{{{light}}}\n@media (prefers-color-scheme:dark){{:root{{{dark}}}}}\n")
    }
}

fn properties(shades: &Shades, fixed: &Fixed) -> String {
    let Shades { accent, background } = shades;
    let Fixed { surface, text, muted, line, hairline, good, bad, warn } = fixed;
    let [good, good_ground] = good;
    let [bad, bad_ground] = bad;
    let [warn, warn_ground] = warn;
    let on_accent = accent.text_on_it();
    format!(
        "--accent:{accent};--on-accent:{on_accent};--background:{background};--surface:{surface};--text:{text};\
         --muted:{muted};--line:{line};--hairline:{hairline};--good:{good};--good-ground:{good_ground};--bad:{bad};\
         --bad-ground:{bad_ground};--warn:{warn};--warn-ground:{warn_ground}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEFAULT: Palette = Palette { light: Shades::LIGHT, dark: Shades::DARK };

    #[test]
    fn every_fixed_colour_can_be_read_where_it_stands() {
        for (fixed, shades) in [(&LIGHT, Shades::LIGHT), (&DARK, Shades::DARK)] {
            let Fixed { surface, text, muted, line, hairline: _, good, bad, warn } = fixed;
            for ground in [*surface, shades.background] {
                for colour in [*text, *muted, good[0], bad[0], warn[0]] {
                    assert!(colour.contrast(ground) >= TEXT_RATIO, "{colour} on {ground}");
                }
            }
            for [colour, ground] in [good, bad, warn] {
                assert!(colour.contrast(*ground) >= TEXT_RATIO, "{colour} on {ground}");
                assert!(text.contrast(*ground) >= TEXT_RATIO, "text on {ground}");
            }
            // The edge of an input has to be seen, not read.
            assert!(line.contrast(*surface) >= 3.0, "{line} on {surface}");
        }
        assert!(DEFAULT.flaws().is_empty());
    }

    #[test]
    fn a_colour_that_cannot_be_read_is_a_flaw_of_its_own_scheme() {
        let yellow = Colour::of(0xff, 0xd8, 0x00);
        let light = Palette { light: Shades { accent: yellow, ..Shades::LIGHT }, ..DEFAULT };
        let flaws = light.flaws();
        assert!(
            flaws.iter().all(|flaw| (flaw.scheme, flaw.part) == (Scheme::Light, Part::Accent)),
            "{flaws:?}"
        );
        assert_eq!(flaws[0].against, "the ground of cards");
        assert_eq!(flaws[0].shown_ratio(), "1.39");
        let dark = Palette { dark: Shades { background: Colour::WHITE, ..Shades::DARK }, ..DEFAULT };
        let parts: Vec<_> = dark.flaws().iter().map(|flaw| (flaw.scheme, flaw.part)).collect();
        assert_eq!(parts, [(Scheme::Dark, Part::Background), (Scheme::Dark, Part::Accent)]);
    }

    #[test]
    fn an_accent_is_lightened_until_it_can_be_read_on_dark_ground() {
        let background = Shades::DARK.background;
        for accent in
            [Colour::BLACK, Colour::of(0x22, 0x51, 0xc4), Colour::of(0xb3, 0x26, 0x1e), Colour::WHITE]
        {
            let dark = Shades { accent: Palette::lightened(accent, background), background };
            assert!(Palette { dark, ..DEFAULT }.flaws().is_empty(), "{accent}");
        }
    }
}
