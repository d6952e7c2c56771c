//! Draws a figure into a file: the effects of the classic filters on a photograph.
//!
//! `cargo run --release -p dldna --example export_figure -- photograph.jpg filters.png`
use dldna::filter_utils::show_filter_effects;
use dldna::prelude::*;
use std::error::Error;
use std::path::Path;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [photograph, figure] = &arguments[..] else {
        return Err("expected two files: the photograph, and the PNG file to write".into());
    };
    export(photograph.as_ref(), figure.as_ref())
}

/// Writes the figure as PNG.
pub fn export(photograph: &Path, figure: &Path) -> Result<(), Box<dyn Error>> {
    let photograph = GrayImage::from_path(photograph)?;
    Ok(show_filter_effects(&photograph)?.save(figure)?)
}
