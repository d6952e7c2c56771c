//! Trains the network of the page *Layers* on the repository's sample of MNIST, and writes into the folder that it is given
//! `digits.safetensors`, its weights, and `exciting.json`: for each channel of its three layers the training image, the row and the
//! column where it is largest, and how large. `numbers.json` has what the functions of the pages give here, for the site's test, in
//! which the same functions as WebAssembly have to give the same. `cargo site` calls it.
use dldna_nn::data::{Dataset, Split};
use dldna_nn::prelude::*;
use dldna_nn::train::{Augmentation, Schedule, TrainConfig, train};
use dldna_nn::weights::save_model;
use dldna_web::{DigitNet, Digits, NORMALISATION, SIDE, Training};
use flate2::read::GzDecoder;
use std::error::Error;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Channels and sides of the layers that the page shows.
const LAYERS: [(usize, usize); 3] = [(8, 28), (16, 14), (32, 7)];

fn main() -> Result<(), Box<dyn Error>> {
    let folder = PathBuf::from(std::env::args().nth(1).ok_or("expected a folder")?);
    let data = Split {
        train: sample("train")?,
        test: sample("t10k")?,
    };
    let config = TrainConfig {
        epochs: 30,
        batch_size: 32,
        learning_rate: 3e-3,
        schedule: Schedule::OneCycle,
        normalisation: NORMALISATION,
        augmentations: vec![Augmentation::Shift(2)],
        progress: false,
        ..Default::default()
    };
    let network = Cpu::seed_from_u64(config.seed).build_module::<DigitNet, f32>();
    let trained = train(network, &data, &config)?;
    let accuracy = trained
        .history
        .last()
        .map_or(0.0, |epoch| epoch.test_accuracy);
    println!("digits: {:.1}% of the test images", 100.0 * accuracy);
    if accuracy < 0.97 {
        return Err("expected at least 97%".into());
    }
    let weights = folder.join("digits.safetensors");
    save_model(&trained.model, &weights)?;
    let digits = Digits::new(&std::fs::read(weights)?)?;
    let exciting = most_exciting(&digits, data.train.all_pixels())?;
    std::fs::write(folder.join("exciting.json"), format!("{exciting:?}"))?;
    std::fs::write(folder.join("numbers.json"), numbers(&digits, &data)?)?;
    Ok(())
}

/// What each function of the pages gives for inputs that the site's test has too, as JSON.
fn numbers(digits: &Digits, data: &Split) -> Result<String, Box<dyn Error>> {
    let filtered = dldna_web::filter(&pattern(37 * 53), 53, &pattern(25), 2, 1, 2);
    let layers = dldna_web::stack(97, 3, &[6, 5, 1, 0, 1, 0, 2, 2, 0, 1, 16, 3, 2, 1, 1]).layers;
    let layers: Vec<f64> = layers
        .iter()
        .flat_map(|layer| {
            let sizes = [
                layer.channels,
                layer.side,
                layer.receptive_field,
                layer.jump,
            ];
            let costs = [layer.start, layer.parameters as f64, layer.multiply_adds];
            sizes.map(|size| size as f64).into_iter().chain(costs)
        })
        .collect();
    Ok(format!(
        "{{\"filtered\": {:?}, \"stack\": {layers:?}, \"activations\": {:?}, \"losses\": {:?}}}",
        filtered.ok_or("the window does not fit")?.pixels,
        digits.activations(&pattern(SIDE * SIDE))?,
        first_losses(data)?
    ))
}

/// Values from 0 to 1 without an order.
fn pattern(count: usize) -> Vec<f32> {
    (0..count).map(|i| (i * 37 % 101) as f32 / 101.0).collect()
}

/// One part of the sample. The book's crate reads it too, but takes minutes to compile.
fn sample(part: &str) -> Result<Dataset, Box<dyn Error>> {
    let values = |kind: &str, header: usize| -> Result<Vec<u8>, Box<dyn Error>> {
        let name = format!("{part}-{kind}-ubyte.gz");
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/samples/mnist");
        let mut file = Vec::new();
        GzDecoder::new(File::open(folder.join(name))?).read_to_end(&mut file)?;
        Ok(file.split_off(header))
    };
    let (pixels, labels) = (values("images-idx3", 16)?, values("labels-idx1", 8)?);
    let labels = labels.into_iter().map(usize::from).collect();
    let names = (0..10).map(|digit| digit.to_string()).collect();
    Ok(Dataset::new(pixels, labels, SIDE, SIDE, names)?)
}

/// `[image, row, column, value]` of the largest value of each channel.
fn most_exciting(digits: &Digits, pixels: &[u8]) -> Result<Vec<[f32; 4]>, String> {
    let channels: usize = LAYERS.iter().map(|(channels, _)| channels).sum();
    let mut best = vec![[0.0; 4]; channels];
    for (index, image) in pixels.chunks_exact(28 * 28).enumerate() {
        let image: Vec<f32> = image
            .iter()
            .map(|&pixel| f32::from(pixel) / 255.0)
            .collect();
        let values = digits.activations(&image)?;
        let (mut rest, mut channel) = (&values[..], 0);
        for (channels, side) in LAYERS {
            let (layer, behind) = rest.split_at(channels * side * side);
            for map in layer.chunks_exact(side * side) {
                for (place, &value) in map.iter().enumerate() {
                    if value > best[channel][3] {
                        let (row, column) = (place / side, place % side);
                        best[channel] = [index as f32, row as f32, column as f32, value];
                    }
                }
                channel += 1;
            }
            rest = behind;
        }
    }
    Ok(best)
}

/// The losses of the first steps of a network of 8 channels and 6 blocks with shortcuts.
fn first_losses(data: &Split) -> Result<Vec<f32>, String> {
    let labels = |set: &Dataset| set.labels().iter().map(|&l| l as u8).collect::<Vec<u8>>();
    let (train, test) = (&data.train, &data.test);
    let mut training = Training::new(
        8,
        6,
        true,
        0,
        train.all_pixels(),
        &labels(train),
        test.all_pixels(),
        &labels(test),
    )?;
    (0..10).map(|_| training.step(0.003)).collect()
}
