//! Text in the embedded fonts: measured and drawn with positions finer than a pixel.
//!
//! plotters' own text starts every glyph on a whole pixel and drops its side bearing, which shows as uneven gaps between letters.

use crate::plot::PlotError;
use ab_glyph::{Font, FontRef, PxScale, ScaleFont, point};
use std::collections::BTreeSet;
use std::sync::LazyLock;

/// The two weights of the book's figures.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Weight {
    Regular,
    Bold,
}

static REGULAR: LazyLock<FontRef<'static>> =
    LazyLock::new(|| embedded(include_bytes!("../../assets/Inter-Regular.otf")));
static BOLD: LazyLock<FontRef<'static>> =
    LazyLock::new(|| embedded(include_bytes!("../../assets/Inter-SemiBold.otf")));
/// A few mathematical signs that Inter does not have.
static SYMBOLS: LazyLock<FontRef<'static>> =
    LazyLock::new(|| embedded(include_bytes!("../../assets/symbols.ttf")));

fn embedded(bytes: &'static [u8]) -> FontRef<'static> {
    FontRef::try_from_slice(bytes).expect("an embedded font is a valid font file")
}

/// The font that has `c`, else the regular one with its box for missing characters.
fn font_for(c: char, weight: Weight) -> &'static FontRef<'static> {
    let first: &'static FontRef<'static> = match weight {
        Weight::Regular => &REGULAR,
        Weight::Bold => &BOLD,
    };
    let symbols: &'static FontRef<'static> = &SYMBOLS;
    if first.glyph_id(c).0 == 0 && symbols.glyph_id(c).0 != 0 {
        symbols
    } else {
        first
    }
}

/// Refuses texts with letters that no embedded font has: they would be left out in silence.
pub(crate) fn check<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<(), PlotError> {
    let letters = texts.into_iter().flat_map(str::chars);
    let missing: BTreeSet<char> = letters
        .filter(|c| !c.is_whitespace() && font_for(*c, Weight::Regular).glyph_id(*c).0 == 0)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(PlotError::Letters {
        missing: missing.into_iter().collect(),
    })
}

/// ab_glyph measures a font by its line height; we say `size` for the em, as everybody else does.
fn scale(font: &FontRef, size: f32) -> PxScale {
    PxScale::from(size * font.height_unscaled() / font.units_per_em().unwrap_or(1000.0))
}

/// Width of one line of text in pixels.
pub(crate) fn width(text: &str, size: f32, weight: Weight) -> f32 {
    text.chars()
        .map(|c| {
            let font = font_for(c, weight);
            font.as_scaled(scale(font, size))
                .h_advance(font.glyph_id(c))
        })
        .sum()
}

/// Height of a capital letter in pixels; text is centred by it.
pub(crate) fn cap_height(size: f32) -> f32 {
    0.727 * size
}

/// `text` broken at spaces into lines of at most `width` pixels; a longer word stands alone.
pub(crate) fn wrapped(text: &str, limit: f32, size: f32) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if width(&format!("{line} {word}"), size, Weight::Regular) <= limit => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// Calls `pixel(x, y, coverage)` for each pixel of `text` whose line starts at (0, 0) on the base line.
pub(crate) fn draw(text: &str, size: f32, weight: Weight, mut pixel: impl FnMut(i32, i32, f32)) {
    let mut x = 0.0;
    for c in text.chars() {
        let font = font_for(c, weight);
        let scale = scale(font, size);
        let glyph = font
            .glyph_id(c)
            .with_scale_and_position(scale, point(x, 0.0));
        if let Some(outline) = font.outline_glyph(glyph) {
            let corner = outline.px_bounds().min;
            outline.draw(|dx, dy, coverage| {
                pixel(
                    corner.x as i32 + dx as i32,
                    corner.y as i32 + dy as i32,
                    coverage,
                )
            });
        }
        x += font.as_scaled(scale).h_advance(font.glyph_id(c));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sign_of_the_book_has_a_glyph() {
        let signs = "×→←−π·≤≥√²³∗αβγλμσφωΣΔΩ∞≈≠±°…–—∂∇∑⊙⊗∈⁰¹⁴₀₁₂éü";
        for c in signs.chars().chain(' '..='~') {
            for weight in [Weight::Regular, Weight::Bold] {
                assert_ne!(font_for(c, weight).glyph_id(c).0, 0, "no glyph for {c:?}");
            }
        }
    }

    #[test]
    fn ink_stays_within_the_measured_width() {
        let (mut left, mut right) = (i32::MAX, i32::MIN);
        draw("Hxgm", 40.0, Weight::Regular, |x, _, coverage| {
            if coverage > 0.5 {
                left = left.min(x);
                right = right.max(x);
            }
        });
        assert!(left >= 0 && right < width("Hxgm", 40.0, Weight::Regular).ceil() as i32);
        assert!(
            right - left > 60,
            "four letters of 40 px are wider than {}",
            right - left
        );
    }

    #[test]
    fn a_capital_is_as_high_as_we_say() {
        let mut top = 0;
        draw("H", 100.0, Weight::Regular, |_, y, coverage| {
            if coverage > 0.5 {
                top = top.min(y);
            }
        });
        assert!((-top as f32 - cap_height(100.0)).abs() <= 1.0, "{top}");
    }
}
