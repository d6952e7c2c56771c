//! A network of your own, trained on a folder of pictures and used by another program.
//!
//! `cargo run --release -p dldna --example own_network -- train flowers flowers.safetensors` learns from `flowers/daisy/1.jpg`,
//! `flowers/tulip/7.png`, ..: one folder for each class, here two of them.
//! `.. -- predict flowers.safetensors picture.jpg` says what a picture shows.
use dldna::data::ImageFolder;
use dldna::prelude::*;
use dldna::train::{Augmentation, Prediction, Schedule, TrainConfig, Trained, predict, train};
use std::error::Error;
use std::path::Path;

network! {
    /// Two convolutions with a shortcut around the second, for pictures in colour.
    pub struct Own<const CLASSES: usize> {
        conv1: BiasedConv2D<3, 16, 3, 2, 1>, norm1: BatchNorm2D<16>,
        conv2: BiasedConv2D<16, 16, 3, 1, 1>, norm2: BatchNorm2D<16>,
        fc: Linear<16, CLASSES>,
    }
    forward(x: Images<3>) -> Vectors<CLASSES> {
        let x = relu(norm1(conv1(x)));
        fc(mean(relu(norm2(conv2(x.clone())) + x)))
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["train", folder, file] => train_and_save(folder.as_ref(), file.as_ref()),
        ["predict", file, picture] => {
            println!("{}", load_and_predict(file.as_ref(), picture.as_ref())?);
            Ok(())
        }
        _ => Err("expected `train FOLDER FILE` or `predict FILE PICTURE`".into()),
    }
}

/// Learns from a folder, and writes the network with its preprocessing and the names of the classes to a file.
pub fn train_and_save(folder: &Path, file: &Path) -> Result<(), Box<dyn Error>> {
    let pictures = ImageFolder::<3>::read(folder, 32)?;
    for (path, error) in &pictures.unreadable {
        eprintln!("left out: {}: {error}", path.display());
    }
    let data = pictures.images.split(0.2, 0);
    let config = TrainConfig {
        epochs: 20,
        batch_size: 16,
        learning_rate: 1e-2,
        schedule: Schedule::OneCycle,
        image_size: 32,
        normalisation: Normalisation::of(&data.train),
        augmentations: vec![Augmentation::Mirror],
        ..Default::default()
    };
    let network = Cpu::seed_from_u64(config.seed).build_module::<Own<2>, f32>();
    let trained = train(network, &data, &config)?;
    println!("{}", trained.history);
    Ok(trained.save(file)?)
}

/// Loads what [`train_and_save`] wrote, and says what a picture shows.
pub fn load_and_predict(file: &Path, picture: &Path) -> Result<Prediction, Box<dyn Error>> {
    let network = Cpu::default().build_module::<Own<2>, f32>();
    let trained = Trained::load(network, file)?;
    Ok(predict(&trained, &RgbImage::from_path(picture)?)?)
}
