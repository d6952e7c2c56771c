//! JPEG files (ITU-T T.81): `jpeg-decoder` decodes them, and what it forgives is looked for here.
//!
//! A JPEG file is a sequence of segments, each `FF`, a marker and (mostly) a length. A scan is a segment with coded data behind it,
//! which go on to the next marker; in them `FF` is written `FF 00`. `FF D9` ends the picture; what follows belongs to others.

use std::ops::Range;

use jpeg_decoder::{Decoder, PixelFormat};

use super::ImageError;
use super::decode::{Orientation, Picture, Pixels, check_pixels};

/// A block of 8 x 8 pixels takes one bit at least (the first coefficient of a progressive file).
const PIXELS_PER_BYTE: usize = 8 * 64;

/// Encoders make about ten. Each costs a walk over all coefficients, however few bytes it has.
const MAX_SCANS: usize = 100;

pub(super) fn decode(bytes: &[u8]) -> Result<Picture, ImageError> {
    let layout = Layout::of(bytes).map_err(failed)?;
    let bytes = &bytes[..layout.end];
    let mut decoder = Decoder::new(bytes);
    decoder
        .read_info()
        .map_err(|error| failed(error.to_string()))?;
    let info = decoder.info().ok_or_else(|| failed("no header".into()))?;
    let (height, width) = (usize::from(info.height), usize::from(info.width));
    check_pixels(height, width)?;
    if height * width > PIXELS_PER_BYTE * bytes.len() {
        return Err(failed(format!(
            "it declares {width} x {height} pixels, but its {} bytes can hold {} at most",
            bytes.len(),
            PIXELS_PER_BYTE * bytes.len()
        )));
    }
    layout.check_complete().map_err(failed)?;

    let values = decoder
        .decode()
        .map_err(|error| failed(error.to_string()))?;
    // The decoder puts zeros in the place of coded data that are missing. Where none are, other bytes behind the data change nothing.
    let with_more = Decoder::new(&layout.with_more_data(bytes)[..]).decode();
    if with_more.ok().as_ref() != Some(&values) {
        return Err(failed("a part of the picture is missing".into()));
    }
    let pixels = match info.pixel_format {
        PixelFormat::L8 => Pixels::Gray(values),
        PixelFormat::RGB24 => Pixels::Rgb(values),
        PixelFormat::CMYK32 => Pixels::Rgb(from_cmyk(&values)),
        PixelFormat::L16 => return Err(failed("lossless JPEG is not supported".into())),
    };
    let picture = Picture {
        height,
        width,
        pixels,
    };
    Ok(picture.turned(Orientation::of(decoder.exif_data())))
}

fn failed(reason: String) -> ImageError {
    ImageError::Decode {
        format: "JPEG",
        reason,
    }
}

/// Inks to light: each of cyan, magenta and yellow leaves its share, and black leaves its share of all.
fn from_cmyk(values: &[u8]) -> Vec<u8> {
    let (pixels, _) = values.as_chunks::<4>();
    let light = |ink: u8, black: u8| {
        let product = u32::from(255 - ink) * u32::from(255 - black);
        ((product + 127) / 255) as u8
    };
    let rgb = |&[cyan, magenta, yellow, black]: &[u8; 4]| {
        [cyan, magenta, yellow].map(|ink| light(ink, black))
    };
    pixels.iter().flat_map(rgb).collect()
}

/// Where the parts of a file are.
struct Layout {
    /// Places behind each run of coded data.
    ends_of_data: Vec<usize>,
    /// Number of bytes up to the end mark and with it.
    end: usize,
    /// Of each component: its number, and the coefficients that came in full, one bit each.
    components: Vec<(u8, u64)>,
    progressive: bool,
}

impl Layout {
    /// Walks from marker to marker as libjpeg does: what lies between segments is passed over.
    fn of(bytes: &[u8]) -> Result<Layout, String> {
        let mut layout = Layout {
            ends_of_data: Vec::new(),
            end: 0,
            components: Vec::new(),
            progressive: false,
        };
        let mut scans = 0;
        let mut place = 2;
        loop {
            let (marker, behind) =
                next_marker(bytes, place).ok_or("the file is cut short: no end mark".to_owned())?;
            place = behind;
            match marker {
                0xd9 => {
                    layout.end = place;
                    return Ok(layout);
                }
                // Marks without content: restarts, and one for private use.
                0x01 | 0xd0..=0xd8 => continue,
                _ => {}
            }
            let segment = segment(bytes, place).ok_or("the file is cut short".to_owned())?;
            let content = &bytes[segment.clone()];
            place = segment.end;
            match marker {
                // Huffman and arithmetic tables share the numbers of the frames.
                0xc0..=0xcf if !matches!(marker, 0xc4 | 0xc8 | 0xcc) => {
                    layout.progressive = marker == 0xc2;
                    let parts = content.get(6..).unwrap_or_default().chunks_exact(3);
                    layout.components = parts.map(|part| (part[0], 0)).collect();
                }
                0xda => {
                    scans += 1;
                    if scans > MAX_SCANS {
                        return Err(format!("expected at most {MAX_SCANS} scans"));
                    }
                    layout.note_scan(content);
                    place = layout.pass_data(bytes, place);
                }
                _ => {}
            }
        }
    }

    /// Notes which coefficients a scan brings to their last bit.
    fn note_scan(&mut self, header: &[u8]) {
        let count = header.first().map_or(0, |&count| usize::from(count));
        let numbers = header.get(1..1 + 2 * count).unwrap_or_default();
        let Some(&[first, last, bits]) = header.get(1 + 2 * count..4 + 2 * count) else {
            return;
        };
        let coefficients = match (self.progressive, bits & 15) {
            (false, _) => u64::MAX,
            (true, 0) => (first..=last.min(63)).fold(0, |all, one| all | 1 << one),
            (true, _) => 0,
        };
        for (number, arrived) in &mut self.components {
            if numbers.chunks(2).any(|part| part[0] == *number) {
                *arrived |= coefficients;
            }
        }
    }

    /// Goes on to the marker that ends the coded data of a scan; restarts divide them.
    fn pass_data(&mut self, bytes: &[u8], mut place: usize) -> usize {
        while let Some((marker, behind)) = next_marker(bytes, place) {
            let end = behind - 2;
            self.ends_of_data.push(end);
            if !(0xd0..=0xd7).contains(&marker) {
                return end;
            }
            place = behind;
        }
        bytes.len()
    }

    /// A file whose last scans are missing is a picture without details.
    fn check_complete(&self) -> Result<(), String> {
        let whole = self
            .components
            .iter()
            .all(|&(_, arrived)| arrived == u64::MAX);
        whole
            .then_some(())
            .ok_or("a part of the picture is missing: a scan".to_owned())
    }

    /// The file with a few bytes more behind each run of coded data.
    fn with_more_data(&self, bytes: &[u8]) -> Vec<u8> {
        // No more than these: the decoder looks for a restart mark within eight bytes. Of the patterns that were tried, files that
        // were cut at every place decoded to the same pixels with this one least often: never.
        const MORE: [u8; 4] = [0x96; 4];
        let mut longer = Vec::with_capacity(bytes.len() + MORE.len() * self.ends_of_data.len());
        let mut start = 0;
        for &end in &self.ends_of_data {
            longer.extend_from_slice(&bytes[start..end]);
            longer.extend_from_slice(&MORE);
            start = end;
        }
        longer.extend_from_slice(&bytes[start..]);
        longer
    }
}

/// The next marker from `place` on, and the place behind it. `FF 00` is none, and `FF` may be repeated before one.
fn next_marker(bytes: &[u8], place: usize) -> Option<(u8, usize)> {
    let pairs = bytes.get(place..)?.windows(2);
    let at = pairs
        .into_iter()
        .position(|pair| pair[0] == 0xff && !matches!(pair[1], 0x00 | 0xff))?;
    let behind = place + at + 2;
    Some((bytes[behind - 1], behind))
}

/// The content of a segment whose length stands at `place`.
fn segment(bytes: &[u8], place: usize) -> Option<Range<usize>> {
    let length = u16::from_be_bytes(*bytes.get(place..)?.first_chunk()?);
    let end = place + usize::from(length);
    (length >= 2 && end <= bytes.len()).then_some(place + 2..end)
}
