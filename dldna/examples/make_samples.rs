//! Draws the samples in `data/samples` from the full sets: `cargo run -p dldna --example make_samples`.
//!
//! The rule: of each class, the indices of its images are shuffled by `rand` 0.8's `StdRng`, seeded with the label, and the first
//! ones are taken. The first image of the set is always drawn, in place of the last one of its class if need be. What was drawn
//! keeps the order of the set.

use std::error::Error;
use std::fs::{File, create_dir_all};
use std::path::Path;

use dldna::data::idx::Idx;
use dldna::data::{Dataset, IdxFiles, fashion_mnist, mnist};
use flate2::{Compression, GzBuilder};
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

fn main() -> Result<(), Box<dyn Error>> {
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/samples");
    for (name, split, train, test) in [
        ("fashion-mnist", fashion_mnist()?, 200, 50),
        ("mnist", mnist()?, 100, 20),
    ] {
        let folder = samples.join(name);
        create_dir_all(&folder)?;
        write(&draw(&split.train, train)?, &folder, "train")?;
        write(&draw(&split.test, test)?, &folder, "t10k")?;
    }
    Ok(())
}

/// `count` images of each class.
fn draw(set: &Dataset, count: usize) -> Result<Dataset, Box<dyn Error>> {
    let mut drawn = Vec::new();
    for class in 0..set.class_names().len() {
        let mut members: Vec<usize> = (0..set.len())
            .filter(|&i| set.labels()[i] == class)
            .collect();
        members.shuffle(&mut StdRng::seed_from_u64(class as u64));
        if set.label(0)? == class && !members[..count].contains(&0) {
            members[count - 1] = 0;
        }
        drawn.extend(&members[..count]);
    }
    drawn.sort_unstable();
    Ok(set.select(&drawn)?)
}

fn write(set: &Dataset, folder: &Path, part: &str) -> Result<(), Box<dyn Error>> {
    let (images, labels) = set.to_idx()?;
    write_gzip(
        &images,
        &folder.join(format!("{part}-images-idx3-ubyte.gz")),
    )?;
    write_gzip(
        &labels,
        &folder.join(format!("{part}-labels-idx1-ubyte.gz")),
    )
}

fn write_gzip(idx: &Idx, path: &Path) -> Result<(), Box<dyn Error>> {
    // No file name and no time in the header: the same content gives the same file.
    let mut encoder = GzBuilder::new().write(File::create(path)?, Compression::best());
    std::io::Write::write_all(&mut encoder, &idx.to_bytes())?;
    encoder.finish()?;
    println!("{}: sizes {:?}", path.display(), idx.sizes);
    Ok(())
}
