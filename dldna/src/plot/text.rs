//! Text in the embedded fonts: measured and drawn with positions finer than a pixel.
//!
//! plotters' own text starts every glyph on a whole pixel and drops its side bearing, which shows as uneven gaps between letters.

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

/// The font that has `c`.
fn font_for(c: char, weight: Weight) -> Option<&'static FontRef<'static>> {
    let first: &'static FontRef<'static> = match weight {
        Weight::Regular => &REGULAR,
        Weight::Bold => &BOLD,
    };
    let symbols: &'static FontRef<'static> = &SYMBOLS;
    let mut fonts = [first, symbols].into_iter();
    // A blank that no font has, such as a tab, is as wide as the first one says.
    let blank = c.is_whitespace().then_some(first);
    fonts.find(|font| font.glyph_id(c).0 != 0).or(blank)
}

/// Warns of letters that no embedded font has: boxes stand in their place.
pub(crate) fn warn<'a>(texts: impl IntoIterator<Item = &'a str>) {
    if let Some(warning) = warning(texts) {
        eprintln!("{warning}");
    }
}

fn warning<'a>(texts: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let letters = texts.into_iter().flat_map(str::chars);
    let missing: BTreeSet<char> = letters
        .filter(|c| font_for(*c, Weight::Regular).is_none())
        .collect();
    // Where a letter does not show by itself, its number does.
    let name = |&c: &char| format!("{c} (U+{:04X})", u32::from(c));
    let shown: Vec<String> = missing.iter().take(10).map(name).collect();
    let more = match missing.len().saturating_sub(10) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    (!missing.is_empty()).then(|| {
        format!(
            "warning: the figures' fonts have no letters for {}{more}: they are boxes. Titles and labels can have Latin and \
             Greek letters and mathematical signs",
            shown.join(", ")
        )
    })
}

/// Width of the box in place of a letter that no font has, as a share of the size, and of the empty space on either side.
const BOX: (f32, f32) = (0.6, 0.08);

/// How far the next letter is from the beginning of this one, in pixels.
fn advance(c: char, size: f32, weight: Weight) -> f32 {
    font_for(c, weight).map_or(BOX.0 * size, |font| {
        font.as_scaled(scale(font, size))
            .h_advance(font.glyph_id(c))
    })
}

/// ab_glyph measures a font by its line height; we say `size` for the em, as everybody else does.
fn scale(font: &FontRef, size: f32) -> PxScale {
    PxScale::from(size * font.height_unscaled() / font.units_per_em().unwrap_or(1000.0))
}

/// Width of one line of text in pixels.
pub(crate) fn width(text: &str, size: f32, weight: Weight) -> f32 {
    text.chars().map(|c| advance(c, size, weight)).sum()
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
        match font_for(c, weight) {
            Some(font) => draw_glyph(c, font, scale(font, size), x, &mut pixel),
            None => draw_box(x, size, &mut pixel),
        }
        x += advance(c, size, weight);
    }
}

fn draw_glyph(
    c: char,
    font: &FontRef,
    scale: PxScale,
    x: f32,
    pixel: &mut impl FnMut(i32, i32, f32),
) {
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
}

/// The outline of a box as high as a capital letter, one pixel thick.
fn draw_box(x: f32, size: f32, pixel: &mut impl FnMut(i32, i32, f32)) {
    let (share, space) = BOX;
    let left = (x + space * size).round() as i32;
    let right = (x + (share - space) * size).round() as i32;
    let top = -cap_height(size).round() as i32;
    for x in left..=right {
        for y in top..0 {
            if x == left || x == right || y == top || y == -1 {
                pixel(x, y, 1.0);
            }
        }
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
                assert!(font_for(c, weight).is_some(), "no glyph for {c:?}");
            }
        }
    }

    #[test]
    fn a_letter_of_no_font_is_a_box_and_a_warning() {
        let cases = [
            ("训练", "训 (U+8BAD), 练 (U+7EC3)"),
            ("학습", "학 (U+D559), 습 (U+C2B5)"),
            ("обучение", "б (U+0431)"),
            ("ไทย", "ท (U+0E17)"),
            ("10 €", "€ (U+20AC)"),
            ("e\u{301}", "U+0301"),
            ("\u{1f600}", "U+1F600"),
        ];
        for (text, named) in cases {
            let said = warning([text]).unwrap();
            let parts: Vec<&str> = named.split(", ").collect();
            assert!(parts.iter().all(|part| said.contains(part)), "{said}");
        }
        let many: String = ('一'..'丠').collect();
        let said = warning([&many[..], "a"]).unwrap();
        assert!(said.contains("and 22 more") && said.len() < 500, "{said}");
        // What the fonts have, and what is no letter.
        assert_eq!(warning(["Größe, naïve Δx → 10⁻³ ≤ ∞\n\tœuvre"]), None);

        let ink = |text: &str| {
            let mut ink = Vec::new();
            draw(text, 20.0, Weight::Bold, |x, y, _| ink.push((x, y)));
            ink
        };
        let (one, two) = (ink("训"), ink("训练"));
        assert!(one.len() > 30 && two.len() == 2 * one.len());
        let inside = |&(x, y): &(i32, i32)| (0..12).contains(&x) && (-15..0).contains(&y);
        assert!(one.iter().all(inside), "{one:?}");
        assert_eq!(width("训练", 20.0, Weight::Bold), 24.0);
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
