//! What PNG and JPEG have in common: which of them a file is, how large it may be, how the picture is turned.

use super::{ImageError, MAX_PIXELS, jpeg, png_file};

/// A decoded file.
pub(super) struct Picture {
    pub height: usize,
    pub width: usize,
    pub pixels: Pixels,
}

/// Values row after row.
pub(super) enum Pixels {
    Gray(Vec<u8>),
    Rgb(Vec<u8>),
}

pub(super) fn decode(bytes: &[u8]) -> Result<Picture, ImageError> {
    if bytes.starts_with(b"\x89PNG\r\n\x1a\n") {
        png_file::decode(bytes)
    } else if bytes.starts_with(&[0xff, 0xd8]) {
        jpeg::decode(bytes)
    } else {
        let known = other_format(bytes)
            .map(|name| format!("a picture or document in {name} format; save it as PNG or JPEG"));
        Err(ImageError::UnknownFormat {
            found: known.unwrap_or_else(|| describe_start(bytes)),
        })
    }
}

/// Refuses a picture of too many pixels.
pub(super) fn check_pixels(height: usize, width: usize) -> Result<(), ImageError> {
    match height.checked_mul(width) {
        Some(pixels) if pixels <= MAX_PIXELS => Ok(()),
        _ => Err(ImageError::TooLarge { height, width }),
    }
}

/// The name of a format that people bring and that is not read here.
fn other_format(bytes: &[u8]) -> Option<&'static str> {
    const STARTS: [(&[u8], &str); 11] = [
        (b"GIF8", "GIF"),
        (b"II*\0", "TIFF"),
        (b"MM\0*", "TIFF"),
        (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
        (b"\xff\x0a", "JPEG XL"),
        (b"8BPS", "Photoshop"),
        (b"\0\0\x01\0", "icon"),
        (b"%PDF", "PDF"),
        (b"<svg", "SVG"),
        (b"qoif", "QOI"),
    ];
    let start = STARTS.iter().find(|(start, _)| bytes.starts_with(start));
    if let Some(&(_, name)) = start {
        return Some(name);
    }
    if bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(b"WEBP") {
        return Some("WebP");
    }
    // The two letters alone could begin a text; the four bytes after the length are zero.
    if bytes.starts_with(b"BM") && bytes.get(6..10) == Some(&[0; 4]) {
        return Some("BMP");
    }
    if bytes.get(4..8) == Some(b"ftyp") {
        return brand_name(bytes);
    }
    None
}

/// HEIC and AVIF are one container, whose first box lists the brands: https://aomediacodec.github.io/av1-avif/.
fn brand_name(bytes: &[u8]) -> Option<&'static str> {
    let length = u32::from_be_bytes(*bytes.first_chunk()?) as usize;
    let brands = bytes.get(8..length.min(bytes.len()))?;
    let has = |names: &[&[u8; 4]]| {
        let mut brands = brands.as_chunks::<4>().0.iter();
        brands.any(|brand| names.contains(&brand))
    };
    if has(&[b"avif", b"avis"]) {
        Some("AVIF")
    } else if has(&[
        b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1",
    ]) {
        Some("HEIC")
    } else {
        None
    }
}

/// The first bytes of a file in words, for error messages.
pub(crate) fn describe_start(bytes: &[u8]) -> String {
    let start = &bytes[..bytes.len().min(12)];
    if start.is_empty() {
        return "nothing (0 bytes)".to_string();
    }
    if start
        .iter()
        .all(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace())
    {
        return format!("text that begins with {:?}", String::from_utf8_lossy(start));
    }
    let hex: Vec<String> = start.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("the first bytes {}", hex.join(" "))
}

/// How a stored picture has to be turned to stand upright: EXIF's `Orientation`, 1 to 8 (CIPA DC-008, section 4.6.5.1).
#[derive(Clone, Copy)]
pub(super) struct Orientation(u32);

impl Orientation {
    pub const UPRIGHT: Orientation = Orientation(1);
    /// A quarter turn, clockwise.
    pub const QUARTER_TURN: Orientation = Orientation(6);

    /// As EXIF data say; upright if they say nothing that can be read.
    pub fn of(exif: Option<&[u8]>) -> Orientation {
        let value = exif.and_then(|bytes| {
            let exif = exif::Reader::new().read_raw(bytes.to_vec()).ok()?;
            let field = exif.get_field(exif::Tag::Orientation, exif::In::PRIMARY)?;
            field.value.get_uint(0)
        });
        match value {
            Some(value @ 1..=8) => Orientation(value),
            _ => Orientation::UPRIGHT,
        }
    }

    /// Whether rows become columns.
    fn swaps_sides(self) -> bool {
        self.0 >= 5
    }

    /// The pixels turned. The result has `width` rows if rows become columns.
    pub fn apply(self, pixels: &[u8], height: usize, width: usize, channels: usize) -> Vec<u8> {
        let (rows, columns) = if self.swaps_sides() {
            (width, height)
        } else {
            (height, width)
        };
        // Where the pixel of row y and column x comes from.
        let source = |y: usize, x: usize| match self.0 {
            2 => (y, width - 1 - x),
            3 => (height - 1 - y, width - 1 - x),
            4 => (height - 1 - y, x),
            5 => (x, y),
            6 => (height - 1 - x, y),
            7 => (height - 1 - x, width - 1 - y),
            8 => (x, width - 1 - y),
            _ => (y, x),
        };
        let mut turned = Vec::with_capacity(pixels.len());
        for y in 0..rows {
            for x in 0..columns {
                let (row, column) = source(y, x);
                let start = (row * width + column) * channels;
                turned.extend_from_slice(&pixels[start..start + channels]);
            }
        }
        turned
    }
}

impl Picture {
    /// The picture as it should stand.
    pub fn turned(self, orientation: Orientation) -> Picture {
        let (height, width) = (self.height, self.width);
        if orientation.0 == 1 {
            return self;
        }
        let turn = |pixels: &[u8], channels| orientation.apply(pixels, height, width, channels);
        let pixels = match &self.pixels {
            Pixels::Gray(pixels) => Pixels::Gray(turn(pixels, 1)),
            Pixels::Rgb(pixels) => Pixels::Rgb(turn(pixels, 3)),
        };
        let (height, width) = if orientation.swaps_sides() {
            (width, height)
        } else {
            (height, width)
        };
        Picture {
            height,
            width,
            pixels,
        }
    }
}
