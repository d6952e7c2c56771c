//! Comparing a cell's outputs with the committed ones.
//!
//! - The kinds must be the same, in the same order: standard output, standard error, values by
//!   their MIME types, errors.
//! - Text must be the same but for its decimal numbers. Two decimal numbers agree within 1e-4 of
//!   the larger one, within 1e-6 near zero (where only rounding noise is left), and within one unit
//!   of the last digit where four or more digits are printed (a value on a rounding boundary falls
//!   to either side). Whole numbers are counts and must be the same.
//! - PNG images must have the same size and look the same, see [`image_difference`].
//! - HTML is text; the PNG images inside are compared as images.
//! - In a cell tagged `volatile` only the kinds are compared.
use std::collections::BTreeMap;
use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use nbformat::v4::Output;
use regex::Regex;
use serde_json::Value;

use super::run::CodeCell;

const RELATIVE: f64 = 1e-4;
const ABSOLUTE: f64 = 1e-6;
const DIGITS_FOR_LAST_UNIT: usize = 4;

/// The first difference between two lists of outputs, in words; `None` if they agree.
pub fn difference(expected: &[Output], got: &[Output], volatile: bool) -> Option<String> {
    let kinds = (kinds(expected), kinds(got));
    if kinds.0 != kinds.1 {
        return Some(expected_got(&list(&kinds.0), &list(&kinds.1)));
    }
    if volatile {
        return None;
    }
    let rules = Rules {
        numbers: numbers_agree,
        images: image_difference,
    };
    first_difference(expected, got, &rules)
}

/// Whether the committed outputs of all cells are valid in place of the new ones, so that `--update` need not touch them.
pub fn all_still_valid(cells: &[CodeCell], new: &[Vec<Output>]) -> bool {
    let mut pairs = cells.iter().zip(new);
    pairs.all(|(cell, new)| is_still_valid(&cell.outputs, new, cell.volatile))
}

/// For a volatile cell: nothing but numbers and the pixels of figures has changed.
fn is_still_valid(expected: &[Output], got: &[Output], volatile: bool) -> bool {
    let any_number = Rules {
        numbers: |_, _| true,
        images: size_difference,
    };
    match volatile {
        true => {
            kinds(expected) == kinds(got) && first_difference(expected, got, &any_number).is_none()
        }
        false => difference(expected, got, false).is_none(),
    }
}

struct Rules {
    numbers: fn(&str, &str) -> bool,
    images: fn(&str, &str) -> Option<String>,
}

fn first_difference(expected: &[Output], got: &[Output], rules: &Rules) -> Option<String> {
    expected
        .iter()
        .zip(got)
        .find_map(|(expected, got)| match (expected, got) {
            (
                Output::Stream {
                    name,
                    text: expected,
                },
                Output::Stream { text: got, .. },
            ) => {
                let found = text_difference(&expected.0, &got.0, rules)?;
                Some(format!("{name}, {found}"))
            }
            (Output::Error(expected), Output::Error(got)) => {
                let text = |error: &nbformat::v4::ErrorOutput| {
                    let traceback = error.traceback.join("\n");
                    let traceback = console::strip_ansi_codes(&traceback).into_owned();
                    format!("{}: {}\n{traceback}", error.ename, error.evalue)
                };
                let found = text_difference(&text(expected), &text(got), rules)?;
                Some(format!("error, {found}"))
            }
            (expected, got) => {
                let got = mime_bundle(got);
                mime_bundle(expected).iter().find_map(|(mime, expected)| {
                    let found = value_difference(mime, expected, got.get(mime)?, rules)?;
                    Some(format!("{mime}, {found}"))
                })
            }
        })
}

fn value_difference(mime: &str, expected: &Value, got: &Value, rules: &Rules) -> Option<String> {
    match (mime, expected, got) {
        ("image/png", Value::String(expected), Value::String(got)) => (rules.images)(expected, got),
        ("text/html", Value::String(expected), Value::String(got)) => {
            html_difference(expected, got, rules)
        }
        (_, Value::String(expected), Value::String(got)) => text_difference(expected, got, rules),
        (_, expected, got) => text_difference(&expected.to_string(), &got.to_string(), rules),
    }
}

fn kinds(outputs: &[Output]) -> Vec<String> {
    outputs
        .iter()
        .map(|output| match output {
            Output::Stream { name, .. } => name.clone(),
            Output::Error(_) => "error".to_owned(),
            value => mime_bundle(value)
                .into_keys()
                .collect::<Vec<_>>()
                .join(" + "),
        })
        .collect()
}

/// The MIME types of a value and their content; empty for streams and errors.
pub fn mime_bundle(output: &Output) -> BTreeMap<String, Value> {
    let media = match output {
        Output::DisplayData(display) => &display.data,
        Output::ExecuteResult(result) => &result.data,
        Output::Stream { .. } | Output::Error(_) => return BTreeMap::new(),
    };
    match serde_json::to_value(media) {
        Ok(Value::Object(map)) => map.into_iter().collect(),
        _ => BTreeMap::new(),
    }
}

fn list(kinds: &[String]) -> String {
    if kinds.is_empty() {
        "no output".to_owned()
    } else {
        kinds.join(", ")
    }
}

fn expected_got(expected: &str, got: &str) -> String {
    format!(
        "expected: {}\n     got: {}",
        shortened(expected),
        shortened(got)
    )
}

fn shortened(line: &str) -> String {
    const LENGTH: usize = 160;
    match line.char_indices().nth(LENGTH) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.to_owned(),
    }
}

fn text_difference(expected: &str, got: &str, rules: &Rules) -> Option<String> {
    let (expected, got): (Vec<&str>, Vec<&str>) =
        (expected.lines().collect(), got.lines().collect());
    let length = expected.len().max(got.len());
    (0..length).find_map(|index| {
        let (expected, got) = (expected.get(index).copied(), got.get(index).copied());
        let agree = match (expected, got) {
            (Some(expected), Some(got)) => lines_agree(expected, got, rules.numbers),
            _ => false,
        };
        let shown = |line: Option<&str>| line.unwrap_or("(no more lines)").to_owned();
        (!agree).then(|| {
            format!(
                "line {}\n{}",
                index + 1,
                expected_got(&shown(expected), &shown(got))
            )
        })
    })
}

static NUMBER: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?").unwrap());

fn lines_agree(expected: &str, got: &str, numbers: fn(&str, &str) -> bool) -> bool {
    expected == got
        || (NUMBER.split(expected).eq(NUMBER.split(got))
            && NUMBER
                .find_iter(expected)
                .zip(NUMBER.find_iter(got))
                .all(|(expected, got)| numbers(expected.as_str(), got.as_str())))
}

fn numbers_agree(expected: &str, got: &str) -> bool {
    if expected == got {
        return true;
    }
    let is_decimal = |number: &str| number.contains(['.', 'e', 'E']);
    let (Ok(a), Ok(b)) = (expected.parse::<f64>(), got.parse::<f64>()) else {
        return false;
    };
    let tolerance = (RELATIVE * a.abs().max(b.abs()))
        .max(ABSOLUTE)
        .max(last_unit(expected));
    // The last unit itself is not exact in binary.
    is_decimal(expected) && is_decimal(got) && (a - b).abs() <= tolerance * (1.0 + 1e-6)
}

/// One unit in the last printed digit, or zero where too few digits are printed.
fn last_unit(number: &str) -> f64 {
    let (mantissa, exponent) = match number.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse().unwrap_or(0)),
        None => (number, 0),
    };
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    if digits.trim_start_matches('0').len() < DIGITS_FOR_LAST_UNIT {
        return 0.0;
    }
    let decimals = mantissa
        .split_once('.')
        .map_or(0, |(_, decimals)| decimals.len() as i32);
    10f64.powi(exponent - decimals)
}

fn html_difference(expected: &str, got: &str, rules: &Rules) -> Option<String> {
    /// The signature of a PNG file in base64.
    static IMAGE: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"iVBORw0KGgo[A-Za-z0-9+/=]*").unwrap());
    let without = |html| IMAGE.replace_all(html, "(image)");
    text_difference(&without(expected), &without(got), rules).or_else(|| {
        IMAGE
            .find_iter(expected)
            .zip(IMAGE.find_iter(got))
            .enumerate()
            .find_map(|(index, (expected, got))| {
                let found = (rules.images)(expected.as_str(), got.as_str())?;
                Some(format!("image {}: {found}", index + 1))
            })
    })
}

/// Side of the squares whose mean colours are compared, in pixels.
const BLOCK: usize = 8;
/// Largest mean difference over the image, of 255. A pixel that rounding moved by one level, or an
/// edge antialiased a little differently, stays far below; another colour scale does not.
const MEAN_LIMIT: f64 = 0.5;
/// Largest difference of one square, of 255. A digit of a label that changed fills about a tenth
/// of its square's pixels with another extreme (25 of 255); an edge moved by a tenth of a pixel
/// changes it by 3.
const BLOCK_LIMIT: f64 = 12.0;

/// How two PNG images (base64) differ to the eye, in words; `None` if they look the same.
///
/// The sizes must agree. The images are reduced to the mean colours of 8x8 squares; neither the
/// mean nor the largest difference of these may pass its limit.
fn image_difference(expected: &str, got: &str) -> Option<String> {
    if expected.trim_end() == got.trim_end() {
        return None;
    }
    let (expected, got) = match decode_both(expected, got) {
        Ok(images) => images,
        Err(problem) => return Some(problem),
    };
    let (a, b) = (expected.blocks(), got.blocks());
    let differences: Vec<f64> = a.iter().zip(&b).map(|(a, b)| (a - b).abs()).collect();
    let mean = differences.iter().sum::<f64>() / differences.len() as f64;
    let (worst, largest) = differences
        .iter()
        .copied()
        .enumerate()
        .max_by(|a, b| a.1.total_cmp(&b.1))
        .unwrap_or_default();
    if mean <= MEAN_LIMIT && largest <= BLOCK_LIMIT {
        return None;
    }
    let columns = expected.width.div_ceil(BLOCK);
    let (x, y) = (worst / 3 % columns * BLOCK, worst / 3 / columns * BLOCK);
    Some(format!(
        "the image looks different: mean difference {mean:.2} of 255 (limit {MEAN_LIMIT}), \
         largest {largest:.1} (limit {BLOCK_LIMIT}) near x {x}, y {y}"
    ))
}

fn size_difference(expected: &str, got: &str) -> Option<String> {
    decode_both(expected, got).err()
}

fn decode_both(expected: &str, got: &str) -> Result<(Image, Image), String> {
    let decode = |which: &str, data: &str| {
        Image::decode(data).map_err(|error| format!("the {which} image cannot be read: {error}"))
    };
    let (expected, got) = (decode("committed", expected)?, decode("new", got)?);
    if (expected.width, expected.height) != (got.width, got.height) {
        let size = |image: &Image| format!("an image of {}x{} pixels", image.width, image.height);
        return Err(expected_got(&size(&expected), &size(&got)));
    }
    Ok((expected, got))
}

/// An image over a white page, three values of 0..=255 for each pixel.
struct Image {
    width: usize,
    height: usize,
    colours: Vec<f64>,
}

impl Image {
    fn decode(base64: &str) -> anyhow::Result<Image> {
        let text: String = base64.split_whitespace().collect();
        let bytes = STANDARD.decode(text)?;
        let mut decoder = png::Decoder::new(std::io::Cursor::new(bytes));
        decoder.set_transformations(png::Transformations::normalize_to_color8());
        let mut reader = decoder.read_info()?;
        let size = reader
            .output_buffer_size()
            .ok_or_else(|| anyhow::anyhow!("too large"))?;
        let mut buffer = vec![0; size];
        let info = reader.next_frame(&mut buffer)?;
        let samples = info.color_type.samples();
        let colours = buffer[..info.buffer_size()]
            .chunks_exact(samples)
            .flat_map(|pixel| {
                let value = |index: usize| f64::from(pixel[index]);
                let (colour, alpha) = match samples {
                    1 => ([value(0); 3], 255.0),
                    2 => ([value(0); 3], value(1)),
                    3 => ([value(0), value(1), value(2)], 255.0),
                    _ => ([value(0), value(1), value(2)], value(3)),
                };
                colour.map(|c| (c * alpha + 255.0 * (255.0 - alpha)) / 255.0)
            })
            .collect();
        Ok(Image {
            width: info.width as usize,
            height: info.height as usize,
            colours,
        })
    }

    /// The mean colours of the squares, row by row, three values each.
    fn blocks(&self) -> Vec<f64> {
        let columns = self.width.div_ceil(BLOCK);
        let mut sums = vec![0.0; columns * self.height.div_ceil(BLOCK) * 3];
        let mut counts = vec![0.0; sums.len()];
        for (index, colour) in self.colours.iter().enumerate() {
            let (pixel, channel) = (index / 3, index % 3);
            let (x, y) = (pixel % self.width, pixel / self.width);
            let block = (y / BLOCK * columns + x / BLOCK) * 3 + channel;
            sums[block] += colour;
            counts[block] += 1.0;
        }
        sums.iter()
            .zip(&counts)
            .map(|(sum, count)| sum / count)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::time::Duration;

    fn outputs(value: Value) -> Vec<Output> {
        serde_json::from_value(value).unwrap()
    }

    fn stdout(text: &str) -> Vec<Output> {
        outputs(json!([{"output_type": "stream", "name": "stdout", "text": text}]))
    }

    fn value(mime: &str, content: &str) -> Vec<Output> {
        outputs(
            json!([{"output_type": "execute_result", "execution_count": 1, "metadata": {}, "data": {mime: content}}]),
        )
    }

    fn texts_agree(a: &str, b: &str) -> bool {
        difference(&stdout(a), &stdout(b), false).is_none()
    }

    #[test]
    fn decimal_numbers_have_a_tolerance() {
        assert!(texts_agree("loss 0.693147", "loss 0.693190"));
        assert!(!texts_agree("loss 0.693147", "loss 0.693300"));
        assert!(!texts_agree("loss 0.25", "loss 0.26"));
        assert!(texts_agree("error 1.2e-7", "error 3.4e-8"));
        assert!(!texts_agree("error 1.2e-5", "error 3.4e-5"));
        assert!(texts_agree("[1.5, -2.25000]", "[1.5, -2.25001]"));
        assert!(!texts_agree("-1.5", "1.5"));
    }

    #[test]
    fn a_rounding_boundary_may_fall_to_either_side() {
        assert!(texts_agree("0.1234", "0.1235"));
        assert!(texts_agree("98.76%", "98.77%"));
        assert!(!texts_agree("0.1234", "0.1236"));
        assert!(!texts_agree("98.7%", "98.8%"));
        assert!(texts_agree("1.234e-3", "1.235e-3"));
    }

    #[test]
    fn whole_numbers_and_words_must_be_the_same() {
        assert!(texts_agree("11180170 parameters", "11180170 parameters"));
        assert!(!texts_agree("11180170 parameters", "11180171 parameters"));
        assert!(!texts_agree("1.0 of a", "1.0 of b"));
        assert!(!texts_agree("1 row", "1.0 row"));
        assert!(!texts_agree("a\nb", "a\nb\nc"));
    }

    #[test]
    fn a_difference_names_line_expected_and_got() {
        let found =
            difference(&stdout("same\nsize 3\n"), &stdout("same\nsize 4\n"), false).unwrap();
        assert_eq!(found, "stdout, line 2\nexpected: size 3\n     got: size 4");
    }

    #[test]
    fn kinds_are_compared_also_where_the_output_is_volatile() {
        let found = difference(&stdout("a"), &[], true).unwrap();
        assert_eq!(found, "expected: stdout\n     got: no output");
        assert!(difference(&stdout("1.0 s"), &stdout("2.0 s"), true).is_none());
        assert!(difference(&stdout("a"), &value("text/plain", "a"), true).is_some());
    }

    /// Whether an update leaves cells alone, each `(committed, new, volatile)`.
    fn left_alone(cells: &[(&str, &str, bool)]) -> bool {
        let new: Vec<_> = cells.iter().map(|(_, new, _)| stdout(new)).collect();
        let cells: Vec<_> = cells
            .iter()
            .map(|(committed, _, volatile)| CodeCell {
                source: String::new(),
                must_fail: false,
                volatile: *volatile,
                limit: Duration::ZERO,
                outputs: stdout(committed),
            })
            .collect();
        all_still_valid(&cells, &new)
    }

    #[test]
    fn an_update_leaves_volatile_numbers_alone_but_not_new_words() {
        assert!(left_alone(&[("took 1.0 s", "took 23.7 s", true)]));
        assert!(!left_alone(&[("took 1.0 s", "it took 1.0 s", true)]));
        assert!(!left_alone(&[("took 1.0 s", "took 1.1 s", false)]));
    }

    #[test]
    fn one_new_output_renews_those_of_the_whole_notebook() {
        let training = ("accuracy 83.8%", "accuracy 85.0%", true);
        let same = ("always the same", "always the same", false);
        let other = ("2 rows", "3 rows", false);
        assert!(left_alone(&[training, same]));
        assert!(!left_alone(&[training, same, other]));
    }

    fn image(width: u32, height: u32, colour: impl Fn(u32, u32) -> u8) -> String {
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, width, height);
        encoder.set_color(png::ColorType::Grayscale);
        let mut writer = encoder.write_header().unwrap();
        let pixels: Vec<u8> = (0..height)
            .flat_map(|y| (0..width).map(move |x| (x, y)))
            .map(|(x, y)| colour(x, y))
            .collect();
        writer.write_image_data(&pixels).unwrap();
        writer.finish().unwrap();
        STANDARD.encode(bytes)
    }

    fn images_agree(a: &str, b: &str) -> bool {
        difference(&value("image/png", a), &value("image/png", b), false).is_none()
    }

    #[test]
    fn images_that_look_the_same_agree() {
        let line = |x: u32, _y: u32| if x == 40 { 0 } else { 255 };
        let plain = image(100, 80, line);
        let noisy = image(100, 80, |x, y| {
            line(x, y).saturating_add(((x + y) % 2) as u8)
        });
        let softer = image(100, 80, |x, y| if x == 41 { 235 } else { line(x, y) });
        assert!(images_agree(&plain, &plain));
        assert!(images_agree(&plain, &noisy));
        assert!(images_agree(&plain, &softer));
    }

    #[test]
    fn images_that_look_different_do_not() {
        let line = |x: u32, _y: u32| if x == 40 { 0 } else { 255 };
        let plain = image(100, 80, line);
        let moved = image(100, 80, |x, y| line(x.wrapping_sub(10), y));
        let spot = image(100, 80, |x, y| {
            if (64..70).contains(&x) && y == 33 {
                0
            } else {
                line(x, y)
            }
        });
        let darker = image(100, 80, |x, y| line(x, y).saturating_sub(2));
        assert!(!images_agree(&plain, &moved));
        assert!(!images_agree(&plain, &spot));
        assert!(!images_agree(&plain, &darker));
        assert!(!images_agree(&plain, &image(100, 81, line)));
        assert!(!images_agree(&plain, "iVBORw0KGgo="));
    }

    #[test]
    fn transparent_parts_are_seen_as_white() {
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, 1, 1);
        encoder.set_color(png::ColorType::Rgba);
        encoder
            .write_header()
            .unwrap()
            .write_image_data(&[10, 20, 30, 0])
            .unwrap();
        let image = Image::decode(&STANDARD.encode(bytes)).unwrap();
        assert_eq!(image.colours, [255.0; 3]);
    }

    #[test]
    fn html_is_text_with_images() {
        let page = |text: &str, image: &str| {
            value(
                "text/html",
                &format!("<p>{text}</p><img src=\"data:image/png;base64,{image}\">"),
            )
        };
        let (white, grey) = (image(16, 16, |_, _| 255), image(16, 16, |_, _| 128));
        let almost = image(16, 16, |x, y| if x + y == 3 { 250 } else { 255 });
        let agree = |a: &[Output], b: &[Output]| difference(a, b, false).is_none();
        assert!(agree(&page("0.50000", &white), &page("0.50001", &almost)));
        assert!(!agree(&page("0.50000", &white), &page("0.60000", &white)));
        assert!(!agree(&page("0.50000", &white), &page("0.50000", &grey)));
    }

    #[test]
    fn errors_are_compared_without_colours() {
        let error = |line: &str| {
            outputs(
                json!([{"output_type": "error", "ename": "Error", "evalue": "mismatched types", "traceback": [line]}]),
            )
        };
        assert!(difference(&error("\u{1b}[31mhelp\u{1b}[0m"), &error("help"), false).is_none());
        assert!(difference(&error("help"), &error("note"), false).is_some());
    }
}
