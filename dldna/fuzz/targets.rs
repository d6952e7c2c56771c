//! What is fuzzed: each function takes any bytes, and panics if a parser does or if what it read contradicts itself.
#![allow(dead_code)] // each fuzz target uses one of them

use std::fs;

use dldna::data::cifar::Cifar;
use dldna::data::idx::Idx;
use dldna::exercises::{PROGRESS_FILE, PROGRESS_VARIABLE, progress as read_progress};
use dldna::image::{GrayImage, RgbImage};
use dldna::prelude::*;
use dldna::weights::{load_model, load_torch_weights};

/// IDX files: what was read is written as it was.
pub fn idx(bytes: &[u8]) {
    for dimensions in [0, 1, 3] {
        if let Ok(idx) = Idx::from_bytes(bytes, dimensions) {
            assert_eq!(Idx::from_bytes(&idx.to_bytes(), dimensions).unwrap(), idx);
        }
    }
}

/// Gzip, around IDX files and archives.
pub fn gzip(bytes: &[u8]) {
    idx(bytes);
    let _ = Cifar::Ten.from_archive(bytes);
}

/// Files of CIFAR-10.
pub fn cifar(bytes: &[u8]) {
    if let Ok(dataset) = Cifar::Ten.read(bytes) {
        assert_eq!(dataset.all_pixels().len() + dataset.len(), bytes.len());
        assert_eq!(dataset.to_gray().len(), dataset.len());
        dataset.image(0).unwrap();
    }
}

/// Archives of CIFAR-10, packed or not.
pub fn tar(bytes: &[u8]) {
    if let Ok(split) = Cifar::Ten.from_archive(bytes) {
        assert!(split.train.len() >= 5 && !split.test.is_empty());
    }
}

/// PNG files. Their checksums are put right: else nothing behind them would be reached.
pub fn png(bytes: &[u8]) {
    image(bytes);
    image(&with_right_checksums(bytes));
}

/// JPEG files.
pub fn jpeg(bytes: &[u8]) {
    image(bytes);
}

/// In grey and in colour a file is read alike, or not.
fn image(bytes: &[u8]) {
    let (gray, rgb) = (GrayImage::from_bytes(bytes), RgbImage::from_bytes(bytes));
    assert_eq!(gray.is_ok(), rgb.is_ok());
    if let (Ok(gray), Ok(rgb)) = (gray, rgb) {
        assert_eq!(rgb.to_gray(), gray);
        let pixels = gray.height() * gray.width();
        assert_eq!(
            (gray.pixels().len(), rgb.pixels().len()),
            (pixels, 3 * pixels)
        );
    }
}

/// Each chunk of a PNG file is a length, a name, content, and the checksum of name and content.
fn with_right_checksums(bytes: &[u8]) -> Vec<u8> {
    let mut right = bytes.to_vec();
    let mut place = 8;
    while let Some(length) = right.get(place..place + 4) {
        let length = u32::from_be_bytes([length[0], length[1], length[2], length[3]]) as usize;
        let (start, end) = (place + 4, place + 8 + length);
        let Some(content) = right.get(start..end) else {
            break;
        };
        let mut checksum = flate2::Crc::new();
        checksum.update(content);
        if let Some(stored) = right.get_mut(end..end + 4) {
            stored.copy_from_slice(&checksum.sum().to_be_bytes());
        }
        place = end + 4;
    }
    right
}

network! {
    pub struct Small {
        conv: BiasedConv2D<1, 2, 3>, flatten: Flatten<8>, fc: Linear<8, 3>,
    }
    forward(Images<1>) -> Vectors<3>;
}

/// Weights.
pub fn safetensors(bytes: &[u8]) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("weights.safetensors");
    fs::write(&path, bytes).expect("a file in a temporary folder");
    let mut network = Cpu::default().build_module::<Small, f32>();
    for loaded in [
        load_model(&mut network, &path),
        load_torch_weights(&mut network, &path),
    ] {
        if let Err(error) = loaded {
            assert!(error.to_string().len() < 10_000, "{error}");
        }
    }
}

/// The file that holds what a learner has done.
pub fn progress(bytes: &[u8]) {
    // The learner's own file is left alone.
    assert!(
        std::env::var_os(PROGRESS_VARIABLE).is_none(),
        "unset {PROGRESS_VARIABLE}"
    );
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::env::set_current_dir(folder.path()).expect("the folder is there");
    fs::write(PROGRESS_FILE, bytes).expect("a file in a temporary folder");
    let once = read_progress().to_string();
    assert!(once.contains("basic-1"));
    // What was damaged has been put aside: the second reading has nothing to say.
    assert!(!read_progress().to_string().contains("cannot be read"));
}
