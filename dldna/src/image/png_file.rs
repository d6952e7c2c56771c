//! PNG files, decoded by the `png` package. Palettes are expanded here: the package trusts their indices.

use std::io::Cursor;

use png::{BitDepth, ColorType, DecodeOptions, Decoder, DecodingError, Info, Transformations};

use super::decode::{Orientation, Picture, Pixels, check_pixels};
use super::{ImageError, MAX_PIXELS};

/// Deflate makes no more of a byte (a run of 258 bytes for two bits).
const BYTES_PER_BYTE: usize = 1032;

pub(super) fn decode(bytes: &[u8]) -> Result<Picture, ImageError> {
    let unreadable = |error: DecodingError| failed(error.to_string());
    let mut options = DecodeOptions::default();
    options.set_ignore_checksums(false);
    let mut decoder = Decoder::new_with_options(Cursor::new(bytes), options);
    decoder.set_limits(png::Limits {
        bytes: 4 * MAX_PIXELS,
    });
    let info = decoder.read_header_info().map_err(unreadable)?;
    let (height, width) = (info.height as usize, info.width as usize);
    check_pixels(height, width)?;
    let stored = height * info.raw_row_length();
    if stored > BYTES_PER_BYTE * bytes.len() {
        return Err(failed(format!(
            "it declares {width} x {height} pixels, which are {stored} bytes, but its {} bytes can hold {} at most",
            bytes.len(),
            BYTES_PER_BYTE * bytes.len()
        )));
    }
    let indexed = info.color_type == ColorType::Indexed;
    decoder.set_transformations(if indexed {
        Transformations::IDENTITY
    } else {
        Transformations::normalize_to_color8()
    });

    let mut reader = decoder.read_info().map_err(unreadable)?;
    let length = reader
        .output_buffer_size()
        .ok_or(ImageError::TooLarge { height, width })?;
    let mut values = vec![0; length];
    reader.next_frame(&mut values).map_err(unreadable)?;
    // Reads to the end mark: without it the file was cut.
    reader.finish().map_err(unreadable)?;

    let pixels = match reader.output_color_type().0 {
        ColorType::Grayscale => Pixels::Gray(values),
        ColorType::GrayscaleAlpha => Pixels::Gray(over_white::<2, 1>(&values)),
        ColorType::Rgba => Pixels::Rgb(over_white::<4, 3>(&values)),
        ColorType::Rgb => Pixels::Rgb(values),
        ColorType::Indexed => Pixels::Rgb(look_up(&values, reader.info())?),
    };
    let picture = Picture {
        height,
        width,
        pixels,
    };
    let exif = reader.info().exif_metadata.as_deref();
    Ok(picture.turned(Orientation::of(exif)))
}

fn failed(reason: String) -> ImageError {
    ImageError::Decode {
        format: "PNG",
        reason,
    }
}

/// Drops the alpha value at the end of each pixel: `alpha * value + (1 - alpha) * white`, rounded.
fn over_white<const WITH_ALPHA: usize, const WITHOUT: usize>(values: &[u8]) -> Vec<u8> {
    let (pixels, _) = values.as_chunks::<WITH_ALPHA>();
    let blend = |pixel: &[u8; WITH_ALPHA]| -> [u8; WITHOUT] {
        std::array::from_fn(|channel| value_over_white(pixel[channel], pixel[WITH_ALPHA - 1]))
    };
    pixels.iter().flat_map(blend).collect()
}

fn value_over_white(value: u8, alpha: u8) -> u8 {
    let (value, alpha) = (u32::from(value), u32::from(alpha));
    ((value * alpha + 255 * (255 - alpha) + 127) / 255) as u8
}

/// The colours of a palette over white, in the place of their indices.
fn look_up(packed: &[u8], info: &Info) -> Result<Vec<u8>, ImageError> {
    let palette = info.palette.as_deref().unwrap_or_default();
    let alphas = info.trns.as_deref().unwrap_or_default();
    let (palette, rest) = palette.as_chunks::<3>();
    if !rest.is_empty() {
        return Err(failed("its palette ends within a colour".into()));
    }
    let colors: Vec<[u8; 3]> = palette
        .iter()
        .enumerate()
        // Colours without an alpha value are opaque.
        .map(|(index, color)| {
            color.map(|value| value_over_white(value, alphas.get(index).copied().unwrap_or(255)))
        })
        .collect();
    let bits = match info.bit_depth {
        BitDepth::One => 1,
        BitDepth::Two => 2,
        BitDepth::Four => 4,
        BitDepth::Eight | BitDepth::Sixteen => 8,
    };
    let (width, per_byte) = (info.width as usize, 8 / bits);
    let mut pixels = Vec::with_capacity(3 * width * info.height as usize);
    for row in packed.chunks(width.div_ceil(per_byte).max(1)) {
        for x in 0..width {
            // The first of several indices in a byte are its highest bits.
            let shift = 8 - bits * (x % per_byte + 1);
            let index = usize::from(row[x / per_byte] >> shift) & ((1 << bits) - 1);
            let color = colors.get(index).ok_or_else(|| {
                let count = colors.len();
                failed(format!(
                    "a pixel has colour {index} of a palette of {count}"
                ))
            })?;
            pixels.extend_from_slice(color);
        }
    }
    Ok(pixels)
}
