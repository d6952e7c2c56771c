//! Images, IDX files, data sets and downloads: what they hold, and what they say to bad input.
//!
//! With `--nocapture` each bad input is printed with the message it got.

use std::error::Error;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use dldna::data::cifar::Cifar;
use dldna::data::idx::{Idx, IdxError};
use dldna::data::{
    self, DataError, Dataset, DatasetError, DatasetExt, DownloadError, FASHION_MNIST_CLASSES,
    IdxFiles, Normalisation, RemoteFile, Store,
};
use dldna::image::{GrayImage, ImageError, RgbImage};
use flate2::{Compression, write::GzEncoder};
use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{RngCore, SeedableRng};
use ring::digest::{SHA256, digest};
use tempfile::TempDir;
use walkdir::{DirEntry, WalkDir};

/// Prints the message of a bad input and checks that it holds every part that a reader needs.
fn assert_says(input: &str, error: &dyn Error, parts: &[&str]) {
    let message = error.to_string();
    println!("{input} -> {message}");
    for part in parts {
        assert!(
            message.contains(part),
            "{input}: {message:?} does not contain {part:?}"
        );
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// 0, 1, small and huge.
fn any_size() -> impl Strategy<Value = usize> {
    let huge = [
        1 << 31,
        1 << 32,
        usize::MAX / 2 + 1,
        usize::MAX / 3 + 1,
        usize::MAX - 1,
        usize::MAX,
    ];
    prop_oneof![0_usize..7, prop::sample::select(huge.to_vec())]
}

/// Inputs that failed are printed, not kept in files.
fn random_inputs() -> ProptestConfig {
    ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

// ---------------------------------------------------------------------------------------------------------------- images

/// Values of OpenCV 5.0: `cvtColor(.., COLOR_RGB2GRAY)`. On the last seven an older rule with 14 bit weights differs.
const OPENCV_GRAY: [([u8; 3], u8); 15] = [
    ([255, 0, 0], 76),
    ([0, 255, 0], 150),
    ([0, 0, 255], 29),
    ([12, 200, 33], 125),
    ([255, 255, 255], 255),
    ([1, 1, 1], 1),
    ([128, 64, 32], 79),
    ([250, 3, 77], 85),
    ([0, 129, 77], 85),
    ([37, 128, 143], 102),
    ([74, 127, 16], 99),
    ([111, 130, 193], 131),
    ([148, 132, 226], 147),
    ([185, 132, 243], 160),
    ([222, 127, 198], 163),
];

#[test]
fn gray_values_are_opencvs() {
    let pixels = OPENCV_GRAY.iter().flat_map(|(rgb, _)| *rgb).collect();
    let image = RgbImage::new(3, 5, pixels).unwrap();
    assert_eq!(image.to_gray().pixels(), OPENCV_GRAY.map(|(_, gray)| gray));
}

#[test]
fn the_photograph_is_what_opencv_reads() {
    let photograph = data::photograph().unwrap();
    assert_eq!((photograph.height(), photograph.width()), (600, 868));
    let mean =
        |values: &[u8]| values.iter().map(|&v| f64::from(v)).sum::<f64>() / values.len() as f64;
    // Means of OpenCV 5.0's `imread`, red, green, blue. Decoders round colours differently, by up to 4 steps here.
    for (channel, want) in photograph
        .channels()
        .iter()
        .zip([142.915, 143.583, 133.725])
    {
        assert!(
            (mean(channel.pixels()) - want).abs() < 0.3,
            "{} {want}",
            mean(channel.pixels())
        );
    }
    let gray = photograph.to_gray();
    let want = [
        [130.03, 193.56, 195.38, 192.36],
        [139.99, 208.87, 191.57, 148.44],
        [60.01, 82.48, 94.96, 69.55],
    ];
    for (row, want) in want.iter().enumerate() {
        for (column, want) in want.iter().enumerate() {
            let part = gray.cropped(200 * row, 217 * column, 200, 217).unwrap();
            assert!(
                (mean(part.pixels()) - want).abs() < 0.02,
                "part {row} {column}: {} {want}",
                mean(part.pixels())
            );
        }
    }
}

/// The file `name` of the fuzzers' corpus.
fn corpus(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(name);
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A JPEG file with `more` between its first two segments.
fn with_inserted(jpeg: &[u8], more: &[u8]) -> Vec<u8> {
    let length = usize::from(u16::from_be_bytes([jpeg[4], jpeg[5]]));
    let (first, rest) = jpeg.split_at(4 + length);
    [first, more, rest].concat()
}

/// EXIF data that hold an orientation and nothing else.
fn exif(orientation: u8) -> Vec<u8> {
    let mut tiff = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\0\0\0\0\0\0\0".to_vec();
    tiff[19] = orientation;
    tiff
}

#[test]
fn every_kind_of_jpeg_is_read_as_opencv_reads_it() {
    // Means of OpenCV 5.0's `imread`, red, green, blue; of the last one, whose inks OpenCV mixes otherwise, those of PIL 12.
    for (name, means) in [
        ("plain", [142.991, 143.608, 133.710]),
        ("own_sub420_noninterleaved", [142.941, 143.651, 133.698]),
        ("progressive", [142.960, 143.549, 133.739]),
        ("restarts", [142.960, 143.549, 133.739]),
        ("gray", [142.258; 3]),
        ("cmyk", [143.021, 143.652, 133.788]),
    ] {
        let image = RgbImage::from_bytes(&corpus(&format!("jpeg/{name}.jpg"))).unwrap();
        for (channel, want) in image.channels().iter().zip(means) {
            let values = channel.pixels();
            let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / values.len() as f64;
            assert!((mean - want).abs() < 0.3, "{name}: {mean}, expected {want}");
        }
    }
}

#[test]
fn what_lies_between_and_behind_the_parts_of_a_jpeg_is_passed_over() {
    let plain = corpus("jpeg/plain.jpg");
    let image = RgbImage::from_bytes(&plain).unwrap();
    let film: Vec<u8> = (0..4000_u32).map(|i| (i * i % 253) as u8).collect();
    let behind: [(&str, &[u8]); 5] = [
        ("a film", &film),
        ("another picture", &plain),
        ("half of another picture", &plain[..4000]),
        ("zeros", &[0; 64]),
        ("a start of scan", &[0xff, 0xda, 0, 8]),
    ];
    for (what, more) in behind {
        let motion = [&plain[..], more].concat();
        assert_eq!(RgbImage::from_bytes(&motion).unwrap(), image, "{what}");
    }
    for (what, more) in [
        ("zeros", &[0; 5][..]),
        ("FF repeated", &[0xff; 3]),
        ("a comment", &[0xff, 0xfe, 0, 4, 0xff, 0xd9]),
    ] {
        assert_eq!(
            RgbImage::from_bytes(&with_inserted(&plain, more)).unwrap(),
            image,
            "{what}"
        );
    }
    let zeros_at_the_start = [&plain[..2], &[0; 3], &plain[2..]].concat();
    assert_eq!(RgbImage::from_bytes(&zeros_at_the_start).unwrap(), image);
}

#[test]
fn a_part_of_a_jpeg_with_an_end_mark_is_refused() {
    let whole = fs::read(photograph_path()).unwrap();
    let progressive = corpus("jpeg/progressive.jpg");
    let restarts = corpus("jpeg/restarts.jpg");
    let refused = |jpeg: &[u8], length: usize| {
        let part = [&jpeg[..length], &[0xff, 0xd9]].concat();
        let error = RgbImage::from_bytes(&part).unwrap_err();
        assert!(error.to_string().contains("JPEG"), "{length}: {error}");
    };
    refused(&whole, 40_000);
    for length in (700..whole.len() - 2)
        .step_by(9973)
        .chain([whole.len() - 3])
    {
        refused(&whole, length);
    }
    for jpeg in [progressive, restarts, corpus("jpeg/gray.jpg")] {
        for length in (2..jpeg.len() - 3).step_by(7) {
            refused(&jpeg, length);
        }
        assert!(RgbImage::from_bytes(&jpeg).is_ok());
    }
    // A stretch within an interval of restarts is missing; its end mark is there.
    let restarts = corpus("jpeg/restarts.jpg");
    let mark = restarts
        .windows(2)
        .rposition(|pair| pair == [0xff, 0xd3])
        .unwrap();
    let error = RgbImage::from_bytes(&[&restarts[..mark - 6], &restarts[mark..]].concat());
    assert_says(
        "a gap before a restart",
        &error.unwrap_err(),
        &["a part of the picture is missing"],
    );
}

#[test]
fn pictures_are_turned_as_opencv_turns_them() {
    // What OpenCV 5.0's `imread` makes of the rows 0 1 2 and 10 11 12.
    let rows: [&[&[u8]]; 8] = [
        &[&[0, 1, 2], &[10, 11, 12]],
        &[&[2, 1, 0], &[12, 11, 10]],
        &[&[12, 11, 10], &[2, 1, 0]],
        &[&[10, 11, 12], &[0, 1, 2]],
        &[&[0, 10], &[1, 11], &[2, 12]],
        &[&[10, 0], &[11, 1], &[12, 2]],
        &[&[12, 2], &[11, 1], &[10, 0]],
        &[&[2, 12], &[1, 11], &[0, 10]],
    ];
    let plain = corpus("jpeg/plain.jpg");
    let upright = GrayImage::from_bytes(&plain).unwrap();
    for (orientation, rows) in (1..).zip(rows) {
        let mut png = Vec::new();
        let mut info = png::Info::with_size(3, 2);
        (info.color_type, info.bit_depth) = (png::ColorType::Grayscale, png::BitDepth::Eight);
        info.exif_metadata = Some(exif(orientation).into());
        let encoder = png::Encoder::with_info(&mut png, info).unwrap();
        let mut writer = encoder.write_header().unwrap();
        writer.write_image_data(&[0, 1, 2, 10, 11, 12]).unwrap();
        writer.finish().unwrap();
        let image = GrayImage::from_bytes(&png).unwrap();
        assert_eq!((image.height(), image.width()), (rows.len(), rows[0].len()));
        assert_eq!(image.pixels(), rows.concat(), "orientation {orientation}");
        assert_eq!(RgbImage::from_bytes(&png).unwrap().to_gray(), image);

        let content = [b"Exif\0\0", &exif(orientation)[..]].concat();
        let head = [0xff, 0xe1, 0, content.len() as u8 + 2];
        let jpeg = with_inserted(&plain, &[&head[..], &content].concat());
        let image = GrayImage::from_bytes(&jpeg).unwrap();
        let corner = |row: usize, column: usize| {
            let stored = [0_usize, 1, 2, 10, 11, 12].map(|v| {
                let (row, column) = (v / 10, v % 10);
                upright.pixels()[row * (upright.height() - 1) * upright.width()
                    + column * (upright.width() - 1) / 2]
            });
            let value = rows[row][column];
            stored[usize::from(value / 10 * 3 + value % 10)]
        };
        assert_eq!(image.pixels()[0], corner(0, 0), "orientation {orientation}");
        assert_eq!(
            *image.pixels().last().unwrap(),
            corner(rows.len() - 1, rows[0].len() - 1)
        );
    }
    // Data that cannot be read turn nothing.
    for strange in [exif(0), exif(9), b"MM\0*".to_vec(), Vec::new()] {
        let content = [b"Exif\0\0", &strange[..]].concat();
        let head = [0xff, 0xe1, 0, content.len() as u8 + 2];
        let jpeg = with_inserted(&plain, &[&head[..], &content].concat());
        assert_eq!(GrayImage::from_bytes(&jpeg).unwrap(), upright);
    }
}

#[test]
fn palettes_are_looked_up_over_white_and_checked() {
    let error = RgbImage::from_bytes(&corpus("png/min-palette.png")).unwrap_err();
    assert_says(
        "a palette of one colour and a third",
        &error,
        &["PNG", "palette"],
    );
    let file = |depth, alphas: &[u8], data: &[u8]| {
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, 3, 1);
        encoder.set_color(png::ColorType::Indexed);
        encoder.set_depth(depth);
        encoder.set_palette(vec![10, 20, 30, 200, 100, 50]);
        encoder.set_trns(alphas.to_vec());
        encoder
            .write_header()
            .unwrap()
            .write_image_data(data)
            .unwrap();
        RgbImage::from_bytes(&bytes)
    };
    use png::BitDepth::*;
    let rgb = [200, 100, 50, 10, 20, 30, 200, 100, 50];
    for (depth, data) in [
        (One, &[0b1010_0000][..]),
        (Two, &[0b0100_0100]),
        (Four, &[0x10, 0x10]),
        (Eight, &[1, 0, 1]),
    ] {
        assert_eq!(file(depth, &[255], data).unwrap().pixels(), rgb);
        // The first colour is seen through.
        assert_eq!(file(depth, &[0], data).unwrap().pixels()[3..6], [255; 3]);
    }
    for (depth, data) in [
        (Two, &[0b0100_1000][..]),
        (Four, &[0x10, 0xf0]),
        (Eight, &[1, 0, 2]),
    ] {
        assert_says(
            "index beyond the palette",
            &file(depth, &[255], data).unwrap_err(),
            &["damaged or unsupported PNG", "of a palette of 2"],
        );
    }
}

#[test]
fn small_files_cannot_declare_large_pictures() {
    let start = std::time::Instant::now();
    for (name, parts) in [
        ("large", &["8192 x 8192 pixels", "2198 bytes can hold"][..]),
        ("slow", &["2000 x 30000 pixels", "2901 bytes can hold"]),
        ("overflow_mcu", &["JPEG"]),
    ] {
        let error = RgbImage::from_bytes(&corpus(&format!("jpeg/{name}.jpg"))).unwrap_err();
        assert_says(name, &error, parts);
    }
    let png = png_header(8000, 8000);
    assert_says(
        "PNG header alone",
        &RgbImage::from_bytes(&png).unwrap_err(),
        &["8000 x 8000 pixels", "33 bytes can hold"],
    );
    assert!(
        start.elapsed() < Duration::from_secs(1),
        "{:?}",
        start.elapsed()
    );
    // A white page shrinks most, and is read.
    let page = RgbImage::new(2000, 2000, vec![255; 12_000_000]).unwrap();
    assert_eq!(RgbImage::from_bytes(&page.to_png().unwrap()).unwrap(), page);
}

#[test]
fn formats_that_are_not_read_are_named() {
    let brand = |names: &[u8]| [&[0, 0, 0, 8 + names.len() as u8], b"ftyp", names].concat();
    for (name, start) in [
        ("HEIC", brand(b"heic\0\0\0\0mif1heic")),
        ("HEIC", brand(b"mif1\0\0\0\0mif1heic")),
        ("AVIF", brand(b"avif\0\0\0\0avifmif1")),
        ("AVIF", brand(b"mif1\0\0\0\0mif1avif")),
        ("WebP", b"RIFF\xc0\0\0\0WEBPVP8 ".to_vec()),
        ("GIF", b"GIF87a\x18\0\x10\0".to_vec()),
        ("BMP", b"BM\xb6\x04\0\0\0\0\0\x006\0\0\0(".to_vec()),
        ("TIFF", b"II*\0\x08\0\0\0".to_vec()),
        ("TIFF", b"MM\0*\0\0\0\x08".to_vec()),
        ("JPEG 2000", b"\0\0\0\x0cjP  \r\n\x87\n".to_vec()),
        ("JPEG XL", b"\0\0\0\x0cJXL \r\n\x87\n".to_vec()),
        ("PDF", b"%PDF-1.7".to_vec()),
        ("SVG", b"<svg xmlns=".to_vec()),
    ] {
        let error = GrayImage::from_bytes(&start).unwrap_err();
        assert_says(
            name,
            &error,
            &["expected PNG or JPEG", &format!("in {name} format")],
        );
    }
    let error = GrayImage::from_bytes(b"BM is how this text begins").unwrap_err();
    assert_says("text", &error, &["text that begins with"]);
}

#[test]
fn debug_shows_sizes_and_no_pixels() {
    let gray = GrayImage::new(28, 30, vec![7; 840]).unwrap();
    assert_eq!(format!("{gray:?}"), "GrayImage { 30 x 28 }");
    assert_eq!(format!("{:#?}", gray.clone()), "GrayImage { 30 x 28 }");
    let rgb = RgbImage::new(1, 2, vec![7; 6]).unwrap();
    assert_eq!(format!("{rgb:?}"), "RgbImage { 2 x 1 }");
    let records = Cifar::Ten.read(&[0; 2 * 3073]).unwrap();
    assert_eq!(
        format!("{records:?}"),
        "Dataset: 2 images of 32 x 32 in colour, 10 classes"
    );
    let idx = Idx {
        sizes: vec![2, 3],
        values: vec![1; 6],
    };
    assert_eq!(format!("{idx:?}"), "Idx { sizes: [2, 3] }");
}

fn png_file(
    width: u32,
    height: u32,
    color: png::ColorType,
    depth: png::BitDepth,
    data: &[u8],
) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(color);
    encoder.set_depth(depth);
    if color == png::ColorType::Indexed {
        encoder.set_palette(vec![10, 20, 30, 200, 100, 50]);
    }
    encoder
        .write_header()
        .unwrap()
        .write_image_data(data)
        .unwrap();
    bytes
}

#[test]
fn every_kind_of_png_is_read() {
    use png::{BitDepth::*, ColorType::*};
    let gray = |color, depth, data: &[u8]| {
        GrayImage::from_bytes(&png_file(2, 1, color, depth, data))
            .unwrap()
            .into_pixels()
    };
    assert_eq!(gray(Grayscale, One, &[0b0100_0000]), [0, 255]);
    assert_eq!(gray(Grayscale, Two, &[0b0110_0000]), [85, 170]);
    assert_eq!(gray(Grayscale, Four, &[0x1f]), [17, 255]);
    assert_eq!(gray(Grayscale, Eight, &[3, 4]), [3, 4]);
    assert_eq!(gray(Grayscale, Sixteen, &[3, 255, 4, 0]), [3, 4]);
    assert_eq!(gray(GrayscaleAlpha, Eight, &[100, 255, 100, 0]), [100, 255]);

    let rgb = |color, depth, data: &[u8]| {
        RgbImage::from_bytes(&png_file(2, 1, color, depth, data))
            .unwrap()
            .into_pixels()
    };
    assert_eq!(rgb(Grayscale, Eight, &[3, 4]), [3, 3, 3, 4, 4, 4]);
    assert_eq!(rgb(Rgb, Eight, &[1, 2, 3, 4, 5, 6]), [1, 2, 3, 4, 5, 6]);
    assert_eq!(
        rgb(Rgb, Sixteen, &[1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6, 0]),
        [1, 2, 3, 4, 5, 6]
    );
    assert_eq!(
        rgb(Indexed, One, &[0b1000_0000]),
        [200, 100, 50, 10, 20, 30]
    );
    // Half transparent black over white: 255 * (255 - 128) / 255.
    assert_eq!(
        rgb(Rgba, Eight, &[0, 0, 0, 128, 9, 8, 7, 255]),
        [127, 127, 127, 9, 8, 7]
    );
}

#[test]
fn bad_images_are_told_apart() {
    let png = png_file(4, 4, png::ColorType::Rgb, png::BitDepth::Eight, &[7; 48]);
    let jpeg = fs::read(photograph_path()).unwrap();
    let read = |bytes: &[u8]| GrayImage::from_bytes(bytes).unwrap_err();
    assert_says(
        "empty image file",
        &read(b""),
        &["expected PNG or JPEG", "nothing (0 bytes)"],
    );
    assert_says(
        "GIF",
        &read(b"GIF89a\x01\x00\x01\x00"),
        &["expected PNG or JPEG", "GIF"],
    );
    assert_says(
        "HTML page as image",
        &read(b"<!DOCTYPE html>"),
        &["expected PNG or JPEG", "<!DOCTYPE"],
    );
    assert_says(
        "PNG cut to half",
        &read(&png[..png.len() / 2]),
        &["damaged or unsupported PNG"],
    );
    assert_says(
        "JPEG cut to half",
        &read(&jpeg[..jpeg.len() / 2]),
        &["damaged or unsupported JPEG"],
    );
    let mut damaged = png.clone();
    damaged[45] ^= 0x55;
    assert_says(
        "PNG with a damaged byte",
        &read(&damaged),
        &["damaged or unsupported PNG"],
    );
    let huge = png_header(100_000, 100_000);
    assert_says(
        "PNG that declares 100000 x 100000",
        &read(&huge),
        &["100000 x 100000", "at most 64 million"],
    );

    let folder = TempDir::new().unwrap();
    let path = folder.path().join("picture.png");
    let error = GrayImage::from_path(&path).unwrap_err();
    assert_says("missing image", &error, &["picture.png", "No such file"]);
    fs::write(&path, &png[..40]).unwrap();
    let error = RgbImage::from_path(&path).unwrap_err();
    assert_says("cut PNG file", &error, &["picture.png", "damaged"]);

    let image = GrayImage::new(2, 3, vec![0; 6]).unwrap();
    assert_says(
        "crop outside",
        &image.cropped(1, 0, 2, 1).unwrap_err(),
        &["height 2", "row 1", "inside"],
    );
    assert!(matches!(
        image.cropped(usize::MAX, 0, 2, 1),
        Err(ImageError::Crop { .. })
    ));
    assert!(matches!(
        image.cropped(0, 0, 0, 1),
        Err(ImageError::Crop { .. })
    ));
    let error = GrayImage::new(2, 3, vec![0; 5]).unwrap_err();
    assert_says(
        "wrong number of pixels",
        &error,
        &["height 2", "width 3", "5 values"],
    );
    assert!(GrayImage::new(0, 0, vec![]).is_err());
    assert!(RgbImage::new(usize::MAX, 2, vec![0; 6]).is_err());
}

/// A PNG file that ends after its header.
fn png_header(width: u32, height: u32) -> Vec<u8> {
    let mut chunk = b"IHDR".to_vec();
    chunk.extend([width.to_be_bytes(), height.to_be_bytes()].concat());
    chunk.extend([8, 2, 0, 0, 0]);
    let mut sum = flate2::Crc::new();
    sum.update(&chunk);
    [
        b"\x89PNG\r\n\x1a\n\0\0\0\x0d".to_vec(),
        chunk,
        sum.sum().to_be_bytes().to_vec(),
    ]
    .concat()
}

fn photograph_path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/building.jpg")
}

#[test]
fn no_cut_image_is_taken_for_a_whole_one() {
    let png = png_file(4, 4, png::ColorType::Rgb, png::BitDepth::Eight, &[7; 48]);
    for length in 0..png.len() {
        assert!(
            GrayImage::from_bytes(&png[..length]).is_err(),
            "PNG cut to {length} of {} bytes",
            png.len()
        );
    }
    let jpeg = fs::read(photograph_path()).unwrap();
    for length in
        (0..jpeg.len())
            .step_by(2503)
            .chain([jpeg.len() - 3, jpeg.len() - 2, jpeg.len() - 1])
    {
        assert!(
            GrayImage::from_bytes(&jpeg[..length]).is_err(),
            "JPEG cut to {length} of {} bytes",
            jpeg.len()
        );
    }
}

#[test]
fn png_files_hold_what_was_written() {
    let gray = GrayImage::new(2, 3, vec![0, 1, 2, 253, 254, 255]).unwrap();
    assert_eq!(
        GrayImage::from_bytes(&gray.to_png().unwrap()).unwrap(),
        gray
    );
    let rgb = RgbImage::new(1, 2, vec![0, 1, 2, 253, 254, 255]).unwrap();
    assert_eq!(RgbImage::from_bytes(&rgb.to_png().unwrap()).unwrap(), rgb);
}

proptest! {
    #![proptest_config(random_inputs())]

    #[test]
    fn crops_and_turns_are_those_of_ndarray(
        height in 1_usize..6, width in 1_usize..6, seed in any::<[u8; 25]>(), part in any::<[prop::sample::Index; 4]>()
    ) {
        let image = GrayImage::new(height, width, seed[..height * width].to_vec()).unwrap();
        let array = image.to_array();
        // Clockwise: transpose, then mirror each row.
        let turned = array.t().slice(ndarray::s![.., ..;-1]).to_owned();
        prop_assert_eq!(image.rotate90().to_array(), turned);
        let (top, left) = (part[0].index(height), part[1].index(width));
        let (rows, columns) = (1 + part[2].index(height - top), 1 + part[3].index(width - left));
        let want = array.slice(ndarray::s![top..top + rows, left..left + columns]).to_owned();
        prop_assert_eq!(image.cropped(top, left, rows, columns).unwrap().to_array(), want);
    }

    #[test]
    fn colour_images_turn_and_crop_as_their_channels_do(height in 1_usize..5, width in 2_usize..5, seed in any::<[u8; 32]>()) {
        let pixels = seed.iter().cycle().take(3 * height * width).copied().collect();
        let image = RgbImage::new(height, width, pixels).unwrap();
        let turned = image.rotate90().channels();
        let cropped = image.cropped(0, 1, height, width - 1).unwrap().channels();
        for (channel, gray) in image.channels().iter().enumerate() {
            prop_assert_eq!(&turned[channel], &gray.rotate90());
            prop_assert_eq!(&cropped[channel], &gray.cropped(0, 1, height, width - 1).unwrap());
        }
    }

    #[test]
    fn images_of_any_size_end(sizes in prop::collection::vec(any_size(), 6), count in 0_usize..40) {
        let [height, width, top, left, rows, columns] = sizes[..] else { unreachable!() };
        let _ = GrayImage::new(height, width, vec![7; count]);
        let _ = RgbImage::new(height, width, vec![7; count]);
        let gray = GrayImage::new(4, 5, vec![7; 20]).unwrap();
        let rgb = RgbImage::new(4, 5, vec![7; 60]).unwrap();
        let part = gray.cropped(top, left, rows, columns);
        prop_assert_eq!(part.is_ok(), rgb.cropped(top, left, rows, columns).is_ok());
        if let Ok(part) = part {
            prop_assert_eq!((part.height(), part.width()), (rows, columns));
        }
        let records = Cifar::Ten.read(&[0; 3073]).unwrap();
        prop_assert_eq!(records.image(top).is_ok(), top == 0);
        prop_assert_eq!(records.label(top).is_ok(), records.class_name(top).is_ok());
        let _ = Idx::from_bytes(&[0, 0, 8, top as u8, 1, 2, 3], left as u8);
    }

    #[test]
    fn arbitrary_bytes_never_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..200), kind in 0..5) {
        let start: &[u8] = match kind {
            0 => b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR",
            1 => &[0xff, 0xd8, 0xff],
            2 => &[0x1f, 0x8b, 8, 0],
            3 => &[0, 0, 8, 3],
            _ => &[],
        };
        bytes.splice(0..0, start.iter().copied());
        let _ = GrayImage::from_bytes(&bytes);
        let _ = Idx::from_bytes(&bytes, 3);
        let _ = Idx::from_bytes(&gzip(&bytes), 1);
    }

    #[test]
    fn a_damaged_photograph_never_panics(position in any::<prop::sample::Index>(), value in any::<u8>()) {
        let mut jpeg = fs::read(photograph_path()).unwrap();
        // The tables and the first part of the scan: damage there reaches furthest.
        let position = position.index(4000);
        jpeg[position] = value;
        let _ = RgbImage::from_bytes(&jpeg[..20_000]);
    }
}

// ------------------------------------------------------------------------------------------------------------------- IDX

#[test]
fn bad_idx_files_are_told_apart() {
    let idx = Idx {
        sizes: vec![2, 1, 3],
        values: vec![1, 2, 3, 4, 5, 6],
    };
    let bytes = idx.to_bytes();
    let read = |bytes: &[u8]| Idx::from_bytes(bytes, 3).unwrap_err();
    assert_says(
        "empty IDX",
        &read(b""),
        &["expected the magic number 00 00 08 03", "nothing"],
    );
    assert_says(
        "HTML page as IDX",
        &read(b"<html>"),
        &["expected the magic number 00 00 08 03", "<htm"],
    );
    assert_says(
        "labels where images belong",
        &read(&[0, 0, 8, 1, 0, 0, 0, 0]),
        &["00 00 08 03", "00 00 08 01"],
    );
    assert_says(
        "IDX of floats",
        &read(&[0, 0, 13, 3]),
        &["unsigned bytes", "00 00 0d 03"],
    );
    assert_says(
        "IDX cut in the sizes",
        &read(&bytes[..10]),
        &["cut short", "expected 16 bytes", "found 10"],
    );
    assert_says(
        "IDX cut in the values",
        &read(&bytes[..20]),
        &["cut short", "expected 22 bytes", "found 20"],
    );
    assert_says(
        "IDX with a byte too many",
        &read(&[&bytes[..], &[0]].concat()),
        &["goes on after its 22 bytes"],
    );
    let packed = gzip(&bytes);
    assert_says(
        "gzip cut short",
        &read(&packed[..packed.len() - 9]),
        &["damaged gzip"],
    );
    assert_says(
        "gzip header only",
        &read(&packed[..10]),
        &["damaged gzip", "after 0"],
    );
    let mut damaged = packed.clone();
    let checksum = damaged.len() - 6;
    damaged[checksum] ^= 1;
    assert_says(
        "gzip with a wrong checksum",
        &read(&damaged),
        &["damaged gzip"],
    );
    assert_says(
        "gzip of something else",
        &read(&gzip(b"hello, world")),
        &["magic number", "hell"],
    );
    let long = gzip(&[&bytes[..], &[0; 1000]].concat());
    assert_says(
        "gzip that goes on",
        &read(&long),
        &["goes on after its 22 bytes"],
    );
    for length in 0..packed.len() {
        assert!(
            Idx::from_bytes(&packed[..length], 3).is_err(),
            "gzip cut to {length}"
        );
    }
}

#[test]
fn declared_sizes_take_no_memory() {
    let declares = |sizes: [u32; 3]| {
        let header = Idx {
            sizes: sizes.to_vec(),
            values: vec![1, 2, 3],
        }
        .to_bytes();
        Idx::from_bytes(&header, 3).unwrap_err()
    };
    assert_says(
        "IDX that declares 2^96 values",
        &declares([u32::MAX; 3]),
        &["4294967295", "at most 1073741824"],
    );
    assert_says(
        "IDX that declares 2^30 values",
        &declares([1 << 10; 3]),
        &["expected 1073741840 bytes", "found 19"],
    );
    // A gigabyte of zeros packs to a megabyte; only what the header declares is unpacked.
    let bomb = gzip(
        &[
            &Idx {
                sizes: vec![1, 1, 1],
                values: vec![],
            }
            .to_bytes()[..],
            &vec![0; 50 << 20],
        ]
        .concat(),
    );
    assert!(matches!(
        Idx::from_bytes(&bomb, 3),
        Err(IdxError::Trailing { expected: 17 })
    ));
}

proptest! {
    #![proptest_config(random_inputs())]

    #[test]
    fn idx_files_hold_what_was_written(sizes in [0_u32..5, 1..5, 1..5], packed in any::<bool>(), seed in any::<u8>()) {
        let count = sizes.iter().product::<u32>();
        let values = (0..count).map(|i| (i as u8).wrapping_mul(31).wrapping_add(seed)).collect();
        let idx = Idx { sizes: sizes.to_vec(), values };
        let bytes = if packed { gzip(&idx.to_bytes()) } else { idx.to_bytes() };
        prop_assert_eq!(Idx::from_bytes(&bytes, 3).unwrap(), idx);
    }
}

// -------------------------------------------------------------------------------------------------------------- data sets

fn classes(count: usize) -> Vec<String> {
    (0..count).map(|class| class.to_string()).collect()
}

#[test]
fn images_and_labels_must_belong_together() {
    let folder = TempDir::new().unwrap();
    let (images, labels) = (
        folder.path().join("images.gz"),
        folder.path().join("labels"),
    );
    let write = |count: u32, label_values: Vec<u8>| {
        let pixels = Idx {
            sizes: vec![count, 2, 2],
            values: vec![9; 4 * count as usize],
        };
        fs::write(&images, gzip(&pixels.to_bytes())).unwrap();
        fs::write(
            &labels,
            Idx {
                sizes: vec![label_values.len() as u32],
                values: label_values,
            }
            .to_bytes(),
        )
        .unwrap();
        Dataset::from_idx_files(&images, &labels, classes(2))
    };
    assert_eq!(write(3, vec![0, 1, 1]).unwrap().labels(), [0, 1, 1]);
    let error = write(3, vec![0, 1]).unwrap_err();
    assert_says(
        "3 images, 2 labels",
        &error,
        &["images.gz", "labels", "3 images, 2 labels"],
    );
    let error = write(2, vec![0, 2]).unwrap_err();
    assert_says(
        "label without a class",
        &error,
        &["labels", "label 2 of image 1", "below 2"],
    );

    let error = Dataset::from_idx_files(&labels, &labels, classes(2)).unwrap_err();
    assert_says(
        "label file in the place of images",
        &error,
        &["labels: not an IDX file", "00 00 08 01"],
    );
    let error =
        Dataset::from_idx_files(folder.path().join("none"), &labels, classes(2)).unwrap_err();
    assert_says("missing IDX file", &error, &["none", "No such file"]);
    let error = Dataset::from_idx_files(folder.path(), &labels, classes(2)).unwrap_err();
    assert_says(
        "folder in the place of a file",
        &error,
        &["cannot read", "directory"],
    );

    let error = Dataset::new(vec![0; 7], vec![0, 0], 2, 2, classes(1)).unwrap_err();
    assert_says(
        "wrong number of pixels",
        &error,
        &["2 images", "height 2", "found 7"],
    );
    assert!(Dataset::new(vec![], vec![0], 0, 5, classes(1)).is_err());
    assert!(Dataset::new(vec![1], vec![0], usize::MAX, 2, classes(1)).is_err());
    let error = Dataset::new(vec![1], vec![0], 1, 1, classes(1))
        .unwrap()
        .image(1)
        .unwrap_err();
    assert_says("image beyond the last", &error, &["no image 1", "has 1"]);
}

#[test]
fn parts_and_batches_keep_images_with_their_labels() {
    let images: Vec<u8> = (0..10).flat_map(|i| [i, 100 + i]).collect();
    let set = Dataset::new(images, (0..10).collect(), 1, 2, classes(10)).unwrap();
    let belongs = |set: &Dataset| {
        (0..set.len()).all(|i| {
            let label = set.label(i).unwrap() as u8;
            set.image(i).unwrap().pixels() == [label, 100 + label]
        })
    };
    assert_eq!(set.take(3).labels(), [0, 1, 2]);
    assert_eq!(set.take(99), set);
    let shuffled = set.shuffled(7);
    assert!(belongs(&set) && belongs(&shuffled) && belongs(&set.select(&[9, 4, 4]).unwrap()));
    assert_ne!(shuffled.labels(), set.labels());
    assert_eq!(shuffled, set.shuffled(7));
    assert_ne!(shuffled, set.shuffled(8));
    let mut sorted = shuffled.labels().to_vec();
    sorted.sort_unstable();
    assert_eq!(sorted, set.labels());
    assert!(matches!(
        set.select(&[10]),
        Err(DatasetError::Index {
            index: 10,
            count: 10
        })
    ));

    let batches: Vec<_> = set.batches(4, Normalisation::uniform(0.5, 0.25)).collect();
    assert_eq!(
        batches
            .iter()
            .map(|batch| batch.labels.len())
            .collect::<Vec<_>>(),
        [4, 4, 2]
    );
    assert_eq!(batches[2].labels, [8, 9]);
    let want = [8.0, 108.0, 9.0, 109.0].map(|pixel: f32| (pixel / 255.0 - 0.5) / 0.25);
    for (got, want) in batches[2].images.iter().zip(want) {
        assert!((got - want).abs() < 1e-6, "{got} {want}");
    }
    let tensor = batches[2].to_tensor(&dfdx::prelude::Cpu::default());
    assert_eq!(dfdx::prelude::HasShape::shape(&tensor).0, 2);
    assert_eq!(set.batches(0, Normalisation::UNIT).count(), 10);
}

#[test]
fn samples_are_balanced_and_real() {
    let fashion = data::fashion_mnist_sample().unwrap();
    let mnist = data::mnist_sample().unwrap();
    for (set, each) in [
        (&fashion.train, 200),
        (&fashion.test, 50),
        (&mnist.train, 100),
        (&mnist.test, 20),
    ] {
        assert_eq!((set.height(), set.width(), set.len()), (28, 28, 10 * each));
        for class in 0..10 {
            assert_eq!(
                set.labels().iter().filter(|&&label| label == class).count(),
                each
            );
        }
    }
    // First images, as the data sets' authors show them: ankle boot, and the digits 5 and 7.
    assert_eq!(fashion.train.label(0).unwrap(), 9);
    assert_eq!(fashion.test.class_name(0).unwrap(), "Ankle boot");
    assert_eq!(
        (mnist.train.label(0).unwrap(), mnist.test.label(0).unwrap()),
        (5, 7)
    );
    assert_eq!(fashion.train.class_names(), FASHION_MNIST_CLASSES);
    // Published mean and standard deviation of the full training sets; a sample comes near them.
    assert_mean_and_deviation(&fashion.train, Normalisation::FASHION_MNIST, 0.01);
    assert_mean_and_deviation(&mnist.train, Normalisation::MNIST, 0.01);
}

fn assert_mean_and_deviation(set: &Dataset, want: Normalisation, tolerance: f64) {
    let values: Vec<f64> = set
        .batches(100, Normalisation::UNIT)
        .flat_map(|batch| batch.images)
        .map(f64::from)
        .collect();
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let deviation = (values
        .iter()
        .map(|value| (value - mean).powi(2))
        .sum::<f64>()
        / values.len() as f64)
        .sqrt();
    assert!(
        (mean - f64::from(want.mean[0])).abs() < tolerance,
        "mean {mean} {want:?}"
    );
    assert!(
        (deviation - f64::from(want.std[0])).abs() < tolerance,
        "deviation {deviation} {want:?}"
    );
}

#[test]
fn the_full_set_of_debians_package_is_found_and_holds_the_sample() {
    if !Path::new("/usr/share/datasets/fashion-mnist").exists() {
        eprintln!("SKIPPED: Debian's dataset-fashion-mnist is not installed");
        return;
    }
    let full = data::fashion_mnist().unwrap();
    assert_eq!((full.train.len(), full.test.len()), (60_000, 10_000));
    assert_mean_and_deviation(&full.train, Normalisation::FASHION_MNIST, 1e-4);
    let sample = data::fashion_mnist_sample().unwrap().test;
    let mut from = 0;
    for index in 0..sample.len() {
        let (image, label) = (sample.image(index).unwrap(), sample.label(index).unwrap());
        let same = |i: &usize| {
            full.test.labels()[*i] as usize == label && full.test.image(*i).unwrap() == image
        };
        from = (from..full.test.len())
            .find(same)
            .expect("sample images are those of the full set, in its order")
            + 1;
    }
}

#[test]
fn the_catalogue_describes_both_sets() {
    let catalogue = data::catalogue();
    assert_eq!(
        catalogue.keys().collect::<Vec<_>>(),
        ["fashion-mnist", "mnist"]
    );
    for (set, files) in &catalogue {
        for (file, size) in
            files
                .iter()
                .zip([16 + 60_000 * 784, 8 + 60_000, 16 + 10_000 * 784, 8 + 10_000])
        {
            assert_eq!(file.size, size);
            assert!(file.path.starts_with(&format!("{set}/")) && file.path.ends_with("-ubyte.gz"));
            assert!(
                file.sha256.len() == 64
                    && file.sha256.bytes().all(|digit| digit.is_ascii_hexdigit())
            );
            assert!(
                file.urls.len() >= 2
                    && !file.licence.is_empty()
                    && file.way_out.contains("sample()")
            );
        }
    }
}

// -------------------------------------------------------------------------------------------------------------- downloads

/// An HTTP server on this machine. `answer` gets the path and writes the whole answer.
fn serve(answer: impl Fn(&str, &mut TcpStream) -> std::io::Result<()> + Send + 'static) -> String {
    serve_ranges(move |path, _, stream| answer(path, stream))
}

/// The same; `answer` also gets the byte from which on the client asks, if it asks for a part.
fn serve_ranges(
    answer: impl Fn(&str, Option<usize>, &mut TcpStream) -> std::io::Result<()> + Send + 'static,
) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap())
                .lines()
                .map_while(Result::ok);
            let request = lines.next().unwrap_or_default();
            let headers: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
            let start = headers.iter().find_map(|line| {
                let line = line.to_lowercase();
                line.strip_prefix("range: bytes=")?
                    .strip_suffix('-')?
                    .parse()
                    .ok()
            });
            let path = request.split(' ').nth(1).unwrap_or_default().to_string();
            // The client may hang up at any time; that is its right.
            let _ = answer(&path, start, &mut stream);
        }
    });
    address
}

fn answer_with(
    stream: &mut TcpStream,
    status: &str,
    length: usize,
    body: &[u8],
) -> std::io::Result<()> {
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    )?;
    stream.write_all(body)
}

/// Answers with the bytes from `start` on, of which `most` are sent before the connection is closed.
fn answer_part(
    stream: &mut TcpStream,
    start: Option<usize>,
    body: &[u8],
    most: usize,
) -> std::io::Result<()> {
    let Some(start) = start else {
        return answer_with(stream, "200 OK", body.len(), &body[..body.len().min(most)]);
    };
    let (rest, last) = (body.len() - start, body.len() - 1);
    write!(
        stream,
        "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {start}-{last}/{}\r\n\
         Content-Length: {rest}\r\nConnection: close\r\n\r\n",
        body.len()
    )?;
    stream.write_all(&body[start..body.len().min(start.saturating_add(most))])
}

/// An IDX file that does not shrink when it is packed.
fn content() -> Vec<u8> {
    let mut values = vec![0; 200_000];
    StdRng::seed_from_u64(1).fill_bytes(&mut values);
    Idx {
        sizes: vec![200_000],
        values,
    }
    .to_bytes()
}

fn file_at(urls: &[String]) -> RemoteFile {
    let content = content();
    RemoteFile {
        path: "set/labels.gz".into(),
        urls: urls.to_vec(),
        size: content.len() as u64,
        sha256: digest(&SHA256, &content)
            .as_ref()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect(),
        licence: "CC0-1.0".into(),
        way_out: "Use the sample.".into(),
    }
}

fn store_in(folder: &Path) -> Store {
    Store {
        folders: vec![folder.join("own"), folder.join("cache")],
        cache: folder.join("cache"),
    }
}

/// All files below a folder.
fn files_below(folder: &Path) -> Vec<PathBuf> {
    WalkDir::new(folder)
        .into_iter()
        .map(Result::unwrap)
        .filter(|entry| !entry.file_type().is_dir())
        .map(DirEntry::into_path)
        .collect()
}

/// Downloads from `url` into an empty folder, which must fail and leave no file but the part that came before the connection was lost.
fn failed_download(url: String) -> DataError {
    let folder = TempDir::new().unwrap();
    let error = store_in(folder.path()).load(&file_at(&[url])).unwrap_err();
    let part = folder.path().join("cache/set/labels.gz.1.part");
    let lost = error.to_string().contains("connection was cut");
    assert_eq!(
        files_below(folder.path()),
        if lost { vec![part] } else { vec![] }
    );
    error
}

fn no_server() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}/labels.gz", listener.local_addr().unwrap())
}

#[test]
fn failed_downloads_are_told_apart_and_leave_nothing_but_parts() {
    let packed = gzip(&content());
    let server = serve(move |path, stream| {
        match path {
        "/cut" => answer_with(stream, "200 OK", packed.len(), &packed[..packed.len() / 2]),
        "/cut-chunk" => stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1000\r\nabc"),
        "/cut-gzip" => answer_with(stream, "200 OK", packed.len() / 2, &packed[..packed.len() / 2]),
        "/wrong-hash" => {
            let mut other = content();
            other[100] ^= 1;
            let other = gzip(&other);
            answer_with(stream, "200 OK", other.len(), &other)
        }
        "/wrong-size" => answer_with(stream, "200 OK", 500, &[7; 500]),
        "/bomb" => {
            let bomb = gzip(&vec![0; 20 << 20]);
            answer_with(stream, "200 OK", bomb.len(), &bomb)
        }
        "/login-page" => answer_with(stream, "200 OK", 30, b"<html>Please log in</html>    "),
        "/too-long" => answer_with(stream, "200 OK", 1 << 40, b"x"),
        "/endless" => {
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
            loop {
                stream.write_all(&[0; 1 << 16])?;
            }
        }
        "/not-http" => stream.write_all(b"220 ftp ready\r\n"),
        "/loop" => stream.write_all(b"HTTP/1.1 302 Found\r\nLocation: /loop\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"),
        "/broken" => answer_with(stream, "503 Service Unavailable", 0, b""),
        _ => answer_with(stream, "404 Not Found", 4, b"none"),
    }
    });
    let size = content().len().to_string();
    for (input, path, parts) in [
        ("404", "/none", &["status 404 (not found)"][..]),
        ("503", "/broken", &["status 503", "try again later"]),
        (
            "connection cut at half the length",
            "/cut",
            &["connection was cut", "expected", "received"],
        ),
        (
            "connection cut in a chunk",
            "/cut-chunk",
            &["connection was cut"],
        ),
        (
            "gzip cut short at the server",
            "/cut-gzip",
            &["damaged gzip"],
        ),
        ("wrong hash", "/wrong-hash", &["expected SHA-256", "found"]),
        (
            "wrong size",
            "/wrong-size",
            &["wrong size", &size, "found 500"],
        ),
        ("gzip bomb", "/bomb", &["wrong size", &size, "found more"]),
        ("login page", "/login-page", &["wrong size", "found 30"]),
        (
            "announced length too great",
            "/too-long",
            &["at most", "announces 1099511627776"],
        ),
        ("endless body", "/endless", &["at most", "more came"]),
        ("not HTTP", "/not-http", &["cannot be reached"]),
        (
            "endless redirect",
            "/loop",
            &["cannot be reached", "redirect"],
        ),
    ] {
        let url = format!("{server}{path}");
        let error = failed_download(url.clone());
        assert!(matches!(error, DataError::Unavailable { .. }));
        assert_says(
            input,
            &error,
            &[
                &[
                    &url,
                    "set/labels.gz is not in",
                    "/own",
                    "/cache",
                    "Use the sample.",
                ],
                parts,
            ]
            .concat(),
        );
    }
}

/// A server that answers in plain text before it is asked, as one without encryption may.
fn plain_text_server() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/labels.gz", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
    });
    address
}

#[test]
fn unreachable_hosts_are_named() {
    for (input, url, parts) in [
        (
            "unknown host",
            "http://no-such-host.invalid/labels.gz".to_string(),
            &["no-such-host.invalid", "cannot be reached"],
        ),
        (
            "refused connection",
            no_server(),
            &["127.0.0.1", "Connection refused"],
        ),
        (
            "no address",
            "labels.gz".to_string(),
            &["labels.gz", "cannot be reached"],
        ),
        (
            "other scheme",
            "ftp://127.0.0.1/labels.gz".to_string(),
            &["ftp://127.0.0.1", "cannot be reached"],
        ),
        (
            "no encryption at the other end",
            plain_text_server().replace("http", "https"),
            &["https://127", "cannot be reached"],
        ),
    ] {
        assert_says(input, &failed_download(url), parts);
    }
}

#[test]
fn a_good_download_is_kept_and_not_repeated() {
    let packed = gzip(&content());
    let server = serve(move |_, stream| answer_with(stream, "200 OK", packed.len(), &packed));
    let folder = TempDir::new().unwrap();
    let store = store_in(folder.path());
    // The first two addresses fail, the third delivers.
    let urls = [
        no_server(),
        "http://no-such-host.invalid/".into(),
        format!("{server}/labels.gz"),
    ];
    assert_eq!(store.load(&file_at(&urls)).unwrap(), content());
    let kept = folder.path().join("cache/set/labels.gz");
    assert_eq!(files_below(folder.path()), std::slice::from_ref(&kept));
    assert_eq!(fs::read(&kept).unwrap(), gzip(&content()));
    assert_eq!(store.load(&file_at(&[])).unwrap(), content());
}

#[test]
fn folders_are_searched_in_order_and_checked() {
    let folder = TempDir::new().unwrap();
    let store = store_in(folder.path());
    let write = |place: &str, bytes: &[u8]| {
        let path = folder.path().join(place);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    };
    write("cache/set/labels.gz", &gzip(&content()));
    assert_eq!(store.load(&file_at(&[])).unwrap(), content());
    // The earlier folder wins, and a damaged file there is not passed over in silence.
    let mut other = content();
    other[50] ^= 1;
    for (input, bytes, part) in [
        ("damaged file in a folder", gzip(&other), "expected SHA-256"),
        (
            "cut file in a folder",
            gzip(&content())[..1000].to_vec(),
            "damaged gzip",
        ),
        ("short file in a folder", vec![1; 10], "found 10"),
        (
            "long file in a folder",
            vec![1; 1 << 20],
            "found a file of 1048576",
        ),
    ] {
        write("own/set/labels.gz", &bytes);
        let error = store.load(&file_at(&[])).unwrap_err();
        assert!(matches!(error, DataError::Damaged { .. }));
        assert_says(
            input,
            &error,
            &["own/set/labels.gz", part, "Delete or replace this file"],
        );
    }
    fs::remove_file(folder.path().join("own/set/labels.gz")).unwrap();
    write("own/set/labels", &content());
    assert_eq!(store.load(&file_at(&[])).unwrap(), content());
}

#[test]
fn files_are_found_under_the_names_that_other_programs_give_them() {
    let file = |set: &str| RemoteFile {
        path: format!("{set}/t10k-labels-idx1-ubyte.gz"),
        ..file_at(&[])
    };
    for (set, place, packed) in [
        ("mnist", "mnist/t10k-labels-idx1-ubyte.gz", true),
        ("mnist", "mnist/t10k-labels.idx1-ubyte", false),
        ("mnist", "mnist/t10k-labels.idx1-ubyte.gz", true),
        ("mnist", "MNIST/raw/t10k-labels-idx1-ubyte", false),
        (
            "fashion-mnist",
            "FashionMNIST/raw/t10k-labels-idx1-ubyte.gz",
            true,
        ),
        (
            "mnist",
            "mnist/t10k-labels-idx1-ubyte/t10k-labels-idx1-ubyte",
            false,
        ),
        (
            "mnist",
            "mnist/t10k-labels.idx1-ubyte/t10k-labels-idx1-ubyte",
            false,
        ),
        (
            "mnist",
            "mnist/t10k-labels-idx1-ubyte.gz/t10k-labels-idx1-ubyte.gz",
            true,
        ),
        ("mnist", "t10k-labels-idx1-ubyte.gz", true),
        (
            "mnist",
            "t10k-labels-idx1-ubyte/t10k-labels.idx1-ubyte",
            false,
        ),
    ] {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("own").join(place);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, if packed { gzip(&content()) } else { content() }).unwrap();
        let found = store_in(folder.path()).load(&file(set));
        assert_eq!(found.unwrap(), content(), "{place}");
        // The other set has files of the same names: it is not taken for this one.
        fs::write(&path, gzip(b"another set")).unwrap();
        let error = store_in(folder.path()).load(&file(set)).unwrap_err();
        let named = matches!(error, DataError::Damaged { .. });
        let decisive = place.starts_with("mnist") || place.contains("raw");
        assert_eq!(named, decisive, "{place}: {error}");
    }
    // An empty folder of that name is no file.
    let folder = TempDir::new().unwrap();
    fs::create_dir_all(folder.path().join("own/mnist/t10k-labels-idx1-ubyte")).unwrap();
    let error = store_in(folder.path()).load(&file("mnist")).unwrap_err();
    assert!(matches!(error, DataError::Unavailable { .. }), "{error}");
}

#[test]
fn images_come_over_http() {
    let photograph = fs::read(photograph_path()).unwrap();
    let server = serve(move |path, stream| match path {
        "/building.jpg" => answer_with(stream, "200 OK", photograph.len(), &photograph),
        "/page" => answer_with(stream, "200 OK", 15, b"<!DOCTYPE html>"),
        _ => answer_with(stream, "404 Not Found", 0, b""),
    });
    let image = RgbImage::from_url(&format!("{server}/building.jpg")).unwrap();
    assert_eq!(image, data::photograph().unwrap());
    assert_eq!(
        GrayImage::from_url(&format!("{server}/building.jpg")).unwrap(),
        image.to_gray()
    );
    let error = GrayImage::from_url(&format!("{server}/none.jpg")).unwrap_err();
    assert!(matches!(
        error,
        ImageError::Download(DownloadError::Status { status: 404, .. })
    ));
    assert_says("image: 404", &error, &["none.jpg", "404"]);
    let error = GrayImage::from_url(&format!("{server}/page")).unwrap_err();
    assert_says(
        "image: a page instead",
        &error,
        &["/page", "expected PNG or JPEG", "<!DOCTYPE"],
    );
}

#[test]
fn a_cache_that_cannot_be_written_is_named() {
    let folder = TempDir::new().unwrap();
    fs::write(
        folder.path().join("cache"),
        b"a file where the folder should be",
    )
    .unwrap();
    let error = store_in(folder.path())
        .load(&file_at(&[no_server()]))
        .unwrap_err();
    assert!(matches!(error, DataError::Write { .. }));
    assert_says(
        "file in the place of the cache folder",
        &error,
        &["cannot write", "cache/set/labels.gz"],
    );
}

/// The download that other tests run in a process of its own.
#[test]
#[ignore = "started by other tests"]
fn download_in_a_child() {
    let (Ok(url), Ok(folder)) = (
        std::env::var("DLDNA_TEST_URL"),
        std::env::var("DLDNA_TEST_FOLDER"),
    ) else {
        panic!("DLDNA_TEST_URL and DLDNA_TEST_FOLDER are not set");
    };
    let folder = Path::new(&folder);
    match store_in(folder).load(&file_at(&[url])) {
        Ok(content) => println!("loaded {} bytes", content.len()),
        Err(error) => println!("failed: {error}"),
    }
    println!("files: {:?}", files_below(folder));
}

/// The command line of a child that downloads `url` below `folder`, after the shell has run `before`.
fn child(before: &str, url: &str, folder: &Path) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "sh", "-c"]);
    command.arg(format!(
        "{before} && exec \"$0\" --exact download_in_a_child --ignored --nocapture"
    ));
    command.arg(std::env::current_exe().unwrap());
    command
        .env("DLDNA_TEST_URL", url)
        .env("DLDNA_TEST_FOLDER", folder);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

#[test]
fn proxies_come_from_the_environment() {
    let packed = gzip(&content());
    // A proxy is asked with the whole address.
    let proxy = serve(move |path, stream| match path {
        "http://no-such-host.invalid/labels.gz" => {
            answer_with(stream, "200 OK", packed.len(), &packed)
        }
        _ => answer_with(stream, "404 Not Found", 0, b""),
    });
    let bare = proxy.strip_prefix("http://").unwrap();
    let nowhere = "socks5://127.0.0.1:9";
    for (variables, works) in [
        (&[("http_proxy", proxy.as_str())][..], true),
        (&[("ALL_PROXY", &proxy)], true),
        (&[("all_proxy", &proxy)], true),
        // The proxy for this kind of address goes before that for all.
        (&[("http_proxy", &proxy), ("ALL_PROXY", nowhere)], true),
        (&[("http_proxy", bare)], true),
        (
            &[("http_proxy", &proxy), ("NO_PROXY", "example.org,.invalid")],
            false,
        ),
        (&[("http_proxy", &proxy), ("no_proxy", "*")], false),
        (&[("ALL_PROXY", nowhere)], false),
    ] {
        let folder = TempDir::new().unwrap();
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["--exact", "download_in_a_child", "--ignored", "--nocapture"])
            .env("DLDNA_TEST_URL", "http://no-such-host.invalid/labels.gz")
            .env("DLDNA_TEST_FOLDER", folder.path());
        for name in ["http_proxy", "https_proxy", "all_proxy", "no_proxy"] {
            command.env_remove(name).env_remove(name.to_uppercase());
        }
        let output = command.envs(variables.iter().copied()).output();
        let text = String::from_utf8_lossy(&output.unwrap().stdout).into_owned();
        assert_eq!(
            text.contains("loaded 200008 bytes"),
            works,
            "{variables:?}: {text}"
        );
    }
}

/// Runs a download on a file system of its own, mounted with `options`; `None` where this machine does not allow such mounts.
fn download_onto(options: &str, url: &str) -> Option<String> {
    let folder = TempDir::new().unwrap();
    let mount = format!("mount -t tmpfs -o {options} tmpfs \"$DLDNA_TEST_FOLDER\" && echo mounted");
    let output = child(&mount, url, folder.path()).output();
    let text = output
        .map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
        .unwrap_or_default();
    if !text.contains("mounted") {
        eprintln!(
            "SKIPPED: no file system with {options}, this machine does not let the test mount one"
        );
        return None;
    }
    Some(text)
}

#[test]
fn full_and_read_only_disks_are_named_and_left_clean() {
    let packed = gzip(&content());
    assert!(packed.len() > 32 << 10, "more than the small disk holds");
    let server = serve(move |_, stream| answer_with(stream, "200 OK", packed.len(), &packed));
    for (input, options, part) in [
        ("full disk", "size=32k", "No space left on device"),
        ("read-only disk", "ro", "Read-only file system"),
    ] {
        let Some(text) = download_onto(options, &format!("{server}/labels.gz")) else {
            continue;
        };
        println!("{input} -> {text}");
        assert!(
            text.contains("failed: cannot write") && text.contains("cache/set/labels.gz"),
            "{text}"
        );
        assert!(text.contains(part) && text.contains("files: []"), "{text}");
    }
    if let Some(text) = download_onto("size=4m", &format!("{server}/labels.gz")) {
        assert!(
            text.contains("loaded 200008 bytes"),
            "the same way with enough room: {text}"
        );
    }
}

#[test]
fn a_lost_connection_is_taken_up_where_it_was_lost() {
    let packed = gzip(&content());
    let (asked, was_asked) = std::sync::mpsc::channel();
    let server = serve_ranges(move |_, start, stream| {
        asked.send(start).unwrap();
        answer_part(stream, start, &packed, 70_000)
    });
    let folder = TempDir::new().unwrap();
    let store = store_in(folder.path());
    let content_there = store
        .load(&file_at(&[format!("{server}/labels.gz")]))
        .unwrap();
    assert_eq!(content_there, content());
    let starts: Vec<_> = was_asked.try_iter().collect();
    assert_eq!(starts, [None, Some(70_000), Some(140_000)]);
    let kept = folder.path().join("cache/set/labels.gz");
    assert_eq!(files_below(folder.path()), [kept]);
}

/// A folder with the part of a download of which `bytes` came.
fn begun_download(bytes: &[u8]) -> TempDir {
    let folder = TempDir::new().unwrap();
    fs::create_dir_all(folder.path().join("cache/set")).unwrap();
    fs::write(folder.path().join("cache/set/labels.gz.1.part"), bytes).unwrap();
    folder
}

#[test]
fn a_kept_part_is_gone_on_with_and_never_trusted() {
    let packed = gzip(&content());
    let whole = packed.clone();
    let (asked, was_asked) = std::sync::mpsc::channel();
    let server = serve_ranges(move |path, start, stream| {
        asked.send(start).unwrap();
        match (path, start) {
            ("/no-ranges", _) => answer_with(stream, "200 OK", packed.len(), &packed),
            ("/other-range", Some(_)) => {
                stream
                    .write_all(b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 3-4/5\r\n")?;
                stream.write_all(b"Content-Length: 2\r\nConnection: close\r\n\r\nab")
            }
            (_, Some(start)) if start >= packed.len() => {
                answer_with(stream, "416 Range Not Satisfiable", 0, b"")
            }
            _ => answer_part(stream, start, &packed, usize::MAX),
        }
    });
    let half = whole.len() / 2;
    let mut wrong = whole[..half].to_vec();
    wrong[1000] ^= 1;
    for (what, path, part, starts) in [
        ("half", "/ranges", &whole[..half], vec![Some(half)]),
        ("all", "/ranges", &whole[..], vec![Some(whole.len()), None]),
        (
            "half, no ranges",
            "/no-ranges",
            &whole[..half],
            vec![Some(half)],
        ),
        (
            "half, another range",
            "/other-range",
            &whole[..half],
            vec![Some(half), None],
        ),
        ("a wrong half", "/ranges", &wrong, vec![Some(half), None]),
        (
            "too much",
            "/ranges",
            &vec![7; 1 << 20],
            vec![Some(1 << 20), None],
        ),
    ] {
        let folder = begun_download(part);
        let file = file_at(&[format!("{server}{path}")]);
        assert_eq!(
            store_in(folder.path()).load(&file).unwrap(),
            content(),
            "{what}"
        );
        assert_eq!(was_asked.try_iter().collect::<Vec<_>>(), starts, "{what}");
        let target = folder.path().join("cache/set/labels.gz");
        assert_eq!(files_below(folder.path()), [target], "{what}");
    }
}

#[test]
fn every_mirror_is_asked_and_the_largest_part_is_named() {
    let packed = gzip(&content());
    let server = serve_ranges(move |path, start, stream| match path {
        "/cut" => answer_with(stream, "200 OK", packed.len(), &packed[..50_000]),
        "/good" => answer_part(stream, start, &packed, usize::MAX),
        _ => answer_with(stream, "404 Not Found", 0, b""),
    });
    let [cut, none, good] = ["cut", "none", "good"].map(|path| format!("{server}/{path}"));
    let folder = TempDir::new().unwrap();
    let store = store_in(folder.path());
    let error = store
        .load(&file_at(&[cut.clone(), none.clone()]))
        .unwrap_err();
    assert_says(
        "two mirrors that fail",
        &error,
        &[
            &cut,
            "connection was cut",
            &none,
            "404",
            "50000 bytes of it are kept",
        ],
    );
    assert_eq!(store.load(&file_at(&[cut, none, good])).unwrap(), content());
    let target = folder.path().join("cache/set/labels.gz");
    assert_eq!(files_below(folder.path()), [target]);
}

#[test]
fn a_killed_download_is_gone_on_with() {
    let packed = gzip(&content());
    let whole = packed.len();
    let (begun, has_begun) = std::sync::mpsc::channel();
    let server = serve_ranges(move |_, start, stream| {
        begun.send(start).unwrap();
        if start.is_some() {
            return answer_part(stream, start, &packed, usize::MAX);
        }
        answer_with(stream, "200 OK", packed.len(), &packed[..100_000])?;
        // Waits until the client is gone.
        stream.read(&mut [0; 1]).map(|_| ())
    });
    let folder = TempDir::new().unwrap();
    let download = || {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "download_in_a_child", "--ignored", "--nocapture"]);
        command.stdout(Stdio::piped());
        command
            .env("DLDNA_TEST_URL", format!("{server}/labels.gz"))
            .env("DLDNA_TEST_FOLDER", folder.path());
        command.spawn().unwrap()
    };
    let part = folder.path().join("cache/set/labels.gz.1.part");
    let mut killed = download();
    has_begun.recv_timeout(Duration::from_secs(60)).unwrap();
    while fs::metadata(&part).map_or(0, |file| file.len()) == 0 {
        std::thread::sleep(Duration::from_millis(10));
    }
    killed.kill().unwrap();
    assert!(!killed.wait().unwrap().success());
    assert_eq!(files_below(folder.path()), std::slice::from_ref(&part));
    let came = fs::metadata(&part).unwrap().len() as usize;
    assert!(came > 0 && came < whole);

    let output = download().wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("loaded 200008 bytes"), "{text}");
    assert_eq!(has_begun.try_iter().collect::<Vec<_>>(), [Some(came)]);
    assert_eq!(
        files_below(folder.path()),
        [folder.path().join("cache/set/labels.gz")]
    );
}

#[test]
fn two_processes_may_download_the_same_file() {
    let packed = gzip(&content());
    let server = serve(move |_, stream| answer_with(stream, "200 OK", packed.len(), &packed));
    let folder = TempDir::new().unwrap();
    let start = || {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["--exact", "download_in_a_child", "--ignored", "--nocapture"])
            .stdout(Stdio::piped());
        command
            .env("DLDNA_TEST_URL", format!("{server}/labels.gz"))
            .env("DLDNA_TEST_FOLDER", folder.path());
        command.spawn().unwrap()
    };
    for process in [start(), start(), start()] {
        let output = process.wait_with_output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains("loaded 200008 bytes"), "{text}");
    }
    assert_eq!(
        files_below(folder.path()),
        [folder.path().join("cache/set/labels.gz")]
    );
}

#[test]
fn the_environment_variable_chooses_the_folder() {
    let folder = TempDir::new().unwrap();
    let set = folder.path().join("mnist");
    fs::create_dir_all(&set).unwrap();
    fs::write(set.join("train-images-idx3-ubyte"), b"not it").unwrap();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "mnist_in_a_child", "--ignored", "--nocapture"])
        .env("DLDNA_DATA", folder.path());
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let named = set.join("train-images-idx3-ubyte").display().to_string();
    assert!(
        text.contains(&format!(
            "failed: {named}: wrong size: expected 47040016 bytes, found 6"
        )),
        "{text}"
    );
    assert!(text.contains("photograph of 868 columns"), "{text}");
}

#[test]
fn the_data_are_those_of_the_repository_around_the_current_folder() {
    let folder = TempDir::new().unwrap();
    let inside = folder.path().join("notebooks/mine");
    fs::create_dir_all(&inside).unwrap();
    fs::create_dir_all(folder.path().join("data/samples")).unwrap();
    let photograph = RgbImage::new(2, 3, vec![7; 18]).unwrap();
    fs::write(
        folder.path().join("data/building.jpg"),
        photograph.to_png().unwrap(),
    )
    .unwrap();
    let columns_seen_from = |place: &Path| {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args([
                "--exact",
                "photograph_in_a_child",
                "--ignored",
                "--nocapture",
            ])
            .env_remove("DLDNA_DATA")
            .current_dir(place);
        String::from_utf8(command.output().unwrap().stdout).unwrap()
    };
    let text = columns_seen_from(&inside);
    assert!(text.contains("photograph of 3 columns"), "{text}");
    let text = columns_seen_from(Path::new("/"));
    assert!(text.contains("photograph of 868 columns"), "{text}");
}

#[test]
#[ignore = "started by another test"]
fn photograph_in_a_child() {
    let photograph = data::photograph().unwrap();
    println!("photograph of {} columns", photograph.width());
}

#[test]
fn downloads_go_to_the_chosen_folder() {
    let folder = TempDir::new().unwrap();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "store_in_a_child", "--ignored", "--nocapture"])
        .env("DLDNA_DATA", folder.path());
    let text = String::from_utf8(command.output().unwrap().stdout).unwrap();
    let wanted = format!("cache {}\n", folder.path().display());
    assert!(text.contains(&wanted), "{text}");
    // One that is not there, or cannot be written, is only read.
    command.env("DLDNA_DATA", folder.path().join("none"));
    let text = String::from_utf8(command.output().unwrap().stdout).unwrap();
    assert!(text.contains("data/cache\n"), "{text}");
}

#[test]
#[ignore = "started by another test"]
fn store_in_a_child() {
    println!("cache {}", Store::standard().cache.display());
}

#[test]
#[ignore = "started by another test"]
fn mnist_in_a_child() {
    match data::mnist() {
        Ok(split) => println!("loaded {:?}", split.train),
        Err(error) => println!("failed: {error}"),
    }
    println!(
        "photograph of {} columns",
        data::photograph().unwrap().width()
    );
}

// --------------------------------------------------------------------------------------------------------------- CIFAR-10

/// Records as the authors' page describes them: a label, then all red, all green, all blue values.
fn cifar_records(count: usize, seed: u64) -> Vec<u8> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut bytes = Vec::new();
    for record in 0..count {
        bytes.push((record % 10) as u8);
        let mut colors = vec![0; 3072];
        random.fill_bytes(&mut colors);
        bytes.extend(colors);
    }
    bytes
}

/// The six files of the archive in a folder, each with two records; the last one is the test file.
fn cifar_folder(folder: &Path) -> Vec<Vec<u8>> {
    let files = folder.join("cifar-10-batches-bin");
    fs::create_dir(&files).unwrap();
    let names = (1..=5).map(|batch| format!("data_batch_{batch}.bin"));
    let names = names.chain(["test_batch.bin".to_string()]);
    let write = |(seed, name)| {
        let content = cifar_records(2, seed);
        fs::write(files.join(name), &content).unwrap();
        content
    };
    (1..).zip(names).map(write).collect()
}

/// The pixels of CIFAR-10's records, without their labels.
fn without_labels(records: &[u8]) -> Vec<u8> {
    let records = records.chunks_exact(3073);
    records.flat_map(|record| &record[1..]).copied().collect()
}

/// An archive by the system's own tar, with an entry for the folder as the real one has it.
fn cifar_archive(folder: &Path, format: &str) -> Vec<u8> {
    let archive = folder.join("archive.tar");
    let tar = Command::new("tar")
        .arg("--create")
        .args(["--format", format, "--file"])
        .arg(&archive)
        .args(["--directory".as_ref(), folder.as_os_str()])
        .arg("cifar-10-batches-bin")
        .status();
    assert!(tar.unwrap().success());
    fs::read(archive).unwrap()
}

#[test]
fn cifar_records_are_read_as_their_format_says() {
    let bytes = cifar_records(12, 1);
    let dataset = Cifar::Ten.read(&bytes).unwrap();
    assert_eq!(dataset.len(), 12);
    assert_eq!(dataset.all_pixels(), without_labels(&bytes));
    assert_eq!(dataset.label(11).unwrap(), 1);
    assert_eq!(dataset.class_name(11).unwrap(), "automobile");
    assert!(matches!(
        dataset.image(12),
        Err(DataError::Dataset(DatasetError::Index {
            index: 12,
            count: 12
        }))
    ));

    let image = dataset.image(3).unwrap();
    let record = &bytes[3 * 3073..4 * 3073];
    for (row, column) in [(0, 0), (0, 1), (1, 0), (31, 31), (7, 20)] {
        let at = 32 * row + column;
        let pixel = &image.pixels()[3 * at..3 * at + 3];
        assert_eq!(
            pixel,
            [record[1 + at], record[1 + 1024 + at], record[1 + 2048 + at]]
        );
    }
    let gray = dataset.to_gray();
    assert_eq!((gray.height(), gray.width(), gray.len()), (32, 32, 12));
    assert_eq!(gray.image(3).unwrap(), image.to_gray());
    assert_eq!(gray.labels()[11], 1);
}

#[test]
fn bad_cifar_files_are_told_apart() {
    let bytes = cifar_records(3, 2);
    let says = |bytes: &[u8]| Cifar::Ten.read(bytes).unwrap_err().to_string();
    assert!(says(&bytes[..7000]).contains("found 2 of them and 854 bytes more"));
    assert!(says(&[]).contains("found 0 of them"));
    let mut wrong = bytes.clone();
    wrong[2 * 3073] = 10;
    assert!(says(&wrong).contains("record 2 has the label 10"));
}

#[test]
fn what_is_taken_for_cifar_10_is_named() {
    let says = |bytes: &[u8]| Cifar::Ten.read(bytes).unwrap_err().to_string();
    assert!(says(&[1; 2 * 3074]).contains("CIFAR-100"));
    assert!(says(b"\x80\x02}q\x01(U\x0bbatch_label").contains("Python version"));
    assert!(says(b"MATLAB 5.0 MAT-file, Platform: GLNXA64").contains("Matlab version"));
    for (name, found) in [
        ("cifar-10-batches-py/data_batch_1", "Python version"),
        ("./cifar-10-batches-py/data_batch_1", "Python version"),
        ("cifar-10-batches-mat/data_batch_1.mat", "Matlab version"),
        ("cifar-100-binary/train.bin", "CIFAR-100"),
        ("cifar-100-python/train", "CIFAR-100"),
    ] {
        let mut archive = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_ustar();
        header.set_size(3);
        archive.append_data(&mut header, name, &b"abc"[..]).unwrap();
        let error = Cifar::Ten
            .from_archive(&archive.into_inner().unwrap())
            .unwrap_err();
        assert_says(name, &error, &["cifar-10-binary.tar.gz", found]);
    }
}

#[test]
fn cifar_comes_from_a_folder_or_from_an_archive() {
    let folder = tempfile::tempdir().unwrap();
    let contents = cifar_folder(folder.path());
    let split = Cifar::Ten.from_folder(folder.path()).unwrap();
    assert_eq!(
        split.train.all_pixels(),
        without_labels(&contents[..5].concat())
    );
    assert_eq!(split.test.all_pixels(), without_labels(&contents[5]));
    assert_eq!(split.to_gray().train.len(), 10);

    let archive = cifar_archive(folder.path(), "ustar");
    assert_eq!(Cifar::Ten.from_archive(&archive).unwrap(), split);
    assert_eq!(Cifar::Ten.from_archive(&gzip(&archive)).unwrap(), split);
    let newer = cifar_archive(folder.path(), "pax");
    assert_eq!(Cifar::Ten.from_archive(&newer).unwrap(), split);

    // Made in the folder itself, or in one above it.
    for inside in [".", "./cifar-10-batches-bin"] {
        let archive = folder.path().join("other.tar");
        let tar = Command::new("tar")
            .arg("--create")
            .arg("--file")
            .arg(&archive)
            .arg("--directory")
            .arg(folder.path())
            .args(["--exclude", "*.tar", inside])
            .status();
        assert!(tar.unwrap().success());
        let read = Cifar::Ten.from_archive(&fs::read(&archive).unwrap());
        assert_eq!(read.unwrap(), split, "{inside}");
        fs::remove_file(archive).unwrap();
    }
    let inside = Cifar::Ten.from_folder(folder.path().join("cifar-10-batches-bin"));
    assert_eq!(inside.unwrap(), split);

    // Cut off anywhere, it is an error and no panic.
    for length in (0..archive.len()).step_by(1999) {
        let whole = Cifar::Ten.from_archive(&archive[..length]);
        assert!(whole.is_err() || whole.unwrap() == split);
    }
    let error = Cifar::Ten.from_archive(&archive[..1000]).unwrap_err();
    assert_says("cut archive", &error, &["is not in the archive"]);
    let error = Cifar::Ten.from_archive(&archive[..512]).unwrap_err();
    assert_says(
        "archive of a folder alone",
        &error,
        &["is not in the archive"],
    );
    let error = Cifar::Ten.from_archive(&[b'<'; 2048]).unwrap_err();
    assert_says("page as archive", &error, &["is not in the archive"]);
    // The header of the first file, byte by byte.
    for place in 512..1024 {
        let mut damaged = archive.clone();
        damaged[place] ^= 0x08;
        let read = Cifar::Ten.from_archive(&damaged);
        assert!(read.is_err() || read.unwrap() == split, "byte {place}");
    }
    fs::write(
        folder.path().join("cifar-10-batches-bin/data_batch_4.bin"),
        [1, 2],
    )
    .unwrap();
    let error = Cifar::Ten.from_folder(folder.path()).unwrap_err();
    assert!(error.to_string().contains("data_batch_4.bin"), "{error}");
}

#[test]
fn a_folder_of_pictures_is_a_data_set() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    };
    let png = |height, width, color: [u8; 3]| {
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, width, height);
        encoder.set_color(png::ColorType::Rgb);
        let pixels = color.repeat((height * width) as usize);
        encoder
            .write_header()
            .unwrap()
            .write_image_data(&pixels)
            .unwrap();
        bytes
    };
    write("red/a.png", &png(3, 5, [200, 0, 0]));
    write("red/deeper/b.PNG", &png(9, 2, [100, 0, 0]));
    write("blue/c.png", &png(4, 4, [0, 0, 50]));
    write("blue/broken.jpg", b"not a picture");
    write("blue/notes.txt", b"not looked at");
    write("notes.txt", b"not looked at");

    let read = data::ImageFolder::<3>::read(folder.path(), 4).unwrap();
    assert_eq!(read.images.class_names(), ["blue", "red"]);
    assert_eq!(read.images.labels(), [0, 1, 1]);
    assert_eq!(
        read.images.pixels(1).unwrap()[..17],
        [&[200; 16][..], &[0]].concat()
    );
    assert_eq!(read.unreadable.len(), 1);
    assert!(read.unreadable[0].0.ends_with("blue/broken.jpg"));
    let gray = data::ImageFolder::<1>::read(folder.path(), 2).unwrap();
    assert_eq!(gray.images.pixels(1).unwrap(), [60; 4]); // 0.299 of 200

    let error = data::ImageFolder::<3>::read(folder.path().join("red"), 4).unwrap();
    assert_eq!(error.images.class_names(), ["deeper"]);
    let empty = tempfile::tempdir().unwrap();
    let error = data::ImageFolder::<3>::read(empty.path(), 4)
        .unwrap_err()
        .to_string();
    assert!(error.contains("expected a sub-folder"), "{error}");
    let error = data::ImageFolder::<3>::read(empty.path().join("no"), 4).unwrap_err();
    assert!(matches!(error, DataError::Read { .. }), "{error}");
}

#[test]
fn cifar_100_has_two_labels_and_is_told_from_cifar_10() {
    let record = |coarse, fine| [&[coarse, fine][..], &[7; 3072]].concat();
    let bytes = [record(4, 0), record(19, 99)].concat();
    let fine = Cifar::Hundred.read(&bytes).unwrap();
    assert_eq!(fine.class_name(1).unwrap(), "worm");
    let coarse = Cifar::HundredCoarse.read(&bytes).unwrap();
    assert_eq!(coarse.class_name(0).unwrap(), "fruit and vegetables"); // an apple
    assert_eq!(fine.pixels(0).unwrap(), [7; 3072]);

    let error = Cifar::Ten.read(&bytes).unwrap_err().to_string();
    assert!(
        error.contains("expected cifar-10") && error.contains("CIFAR-100"),
        "{error}"
    );
    let ten = cifar_records(2, 3);
    let error = Cifar::Hundred.read(&ten).unwrap_err().to_string();
    assert!(
        error.contains("expected cifar-100") && error.contains("CIFAR-10"),
        "{error}"
    );
    let error = Cifar::HundredCoarse
        .read(&record(20, 0))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("label 20: expected a label below 20"),
        "{error}"
    );

    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("train.bin"), &bytes).unwrap();
    fs::write(folder.path().join("test.bin"), record(0, 1)).unwrap();
    let split = Cifar::Hundred.from_folder(folder.path()).unwrap();
    assert_eq!((split.train.len(), split.test.len()), (2, 1));
    cifar_folder(folder.path());
    let archive = cifar_archive(folder.path(), "ustar");
    let error = Cifar::Hundred.from_archive(&archive).unwrap_err();
    assert_says(
        "the other archive",
        &error,
        &["cifar-100-binary.tar.gz", "CIFAR-10"],
    );
}
