//! Colours, and how well one can be read on another: the contrast ratio of WCAG 2.2
//! (<https://www.w3.org/TR/WCAG22/#dfn-contrast-ratio>), from 1 to 21.

use std::fmt;

/// An opaque colour in sRGB.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Colour([u8; 3]);

impl Colour {
    /// The lightest colour of all.
    pub const WHITE: Self = Self([255; 3]);
    /// The darkest colour of all.
    pub const BLACK: Self = Self([0; 3]);

    /// A colour of its parts red, green and blue.
    pub const fn of(red: u8, green: u8, blue: u8) -> Self {
        Self([red, green, blue])
    }

    /// Reads `#` and six hexadecimal digits; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix('#').filter(|digits| digits.len() == 6)?;
        if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let [_, red, green, blue] = u32::from_str_radix(digits, 16).ok()?.to_be_bytes();
        Some(Self::of(red, green, blue))
    }

    /// The contrast ratio of two colours, whichever of them is the text.
    pub fn contrast(self, other: Self) -> f64 {
        let (one, two) = (self.luminance(), other.luminance());
        (one.max(two) + 0.05) / (one.min(two) + 0.05)
    }

    /// Black or white: the one that can be read better on this colour. Its ratio is 4.58 at least.
    pub fn text_on_it(self) -> Self {
        if self.contrast(Self::WHITE) >= self.contrast(Self::BLACK) { Self::WHITE } else { Self::BLACK }
    }

    /// This colour with `percent` of another one mixed in.
    pub(super) fn mixed(self, other: Self, percent: u16) -> Self {
        let mut mixed = self.0;
        for (part, other) in mixed.iter_mut().zip(other.0) {
            let sum = u16::from(*part) * (100 - percent) + u16::from(other) * percent;
            *part = u8::try_from(sum / 100).unwrap_or(u8::MAX);
        }
        Self(mixed)
    }

    fn luminance(self) -> f64 {
        let linear = |part: u8| {
            let part = f64::from(part) / 255.0;
            if part <= 0.04045 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) }
        };
        let [red, green, blue] = self.0.map(linear);
        0.2126 * red + 0.7152 * green + 0.0722 * blue
    }
}

/// As style sheets write it, `#` and six digits.
impl fmt::Display for Colour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [red, green, blue] = self.0;
        write!(f, "#{red:02x}{green:02x}{blue:02x}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_colour_is_a_hash_and_six_digits() {
        assert_eq!(Colour::parse("#0B5cad"), Some(Colour::of(0x0b, 0x5c, 0xad)));
        assert_eq!(Colour::of(0x0b, 0x5c, 0xad).to_string(), "#0b5cad");
        for text in ["", "#", "#fff", "0b5cad", "#0b5cag", "#0b5cad0", "#+b5cad", "red", "#é5cad"] {
            assert_eq!(Colour::parse(text), None, "{text}");
        }
    }

    #[test]
    fn the_contrast_is_that_of_the_guidelines() {
        assert!((Colour::WHITE.contrast(Colour::BLACK) - 21.0).abs() < 1e-9);
        assert!((Colour::WHITE.contrast(Colour::WHITE) - 1.0).abs() < 1e-9);
        // The grey that is known as the lightest that passes on white, and the next one, which does not.
        assert!(Colour::of(0x76, 0x76, 0x76).contrast(Colour::WHITE) >= 4.5);
        assert!(Colour::of(0x77, 0x77, 0x77).contrast(Colour::WHITE) < 4.5);
    }

    #[test]
    fn black_or_white_can_be_read_on_every_colour() {
        for part in (0..=255).step_by(15) {
            for other in (0..=255).step_by(15) {
                let colour = Colour::of(part, other, 255 - part);
                assert!(colour.contrast(colour.text_on_it()) >= 4.5, "{colour}");
            }
        }
    }
}
