//! Classifies a picture with torchvision's ResNet-18, trained on ImageNet.
//!
//! `cargo run --release -p dldna --example classify -- resnet18.safetensors picture.jpg imagenet_classes.txt`
//!
//! The weights, and the names of the 1,000 classes, one in a line, are written in Python:
//!
//! ```python
//! import torchvision, safetensors.torch
//! weights = torchvision.models.ResNet18_Weights.DEFAULT
//! safetensors.torch.save_file(torchvision.models.resnet18(weights=weights).state_dict(), "resnet18.safetensors")
//! open("imagenet_classes.txt", "w").write("\n".join(weights.meta["categories"]))
//! ```
use dldna::image::ImageError;
use dldna::prelude::*;
use dldna::resnet::ResNet18;
use dldna::train::{Prediction, Preprocessing, Trained, predict};
use dldna::weights::load_torch_weights;
use std::error::Error;
use std::path::Path;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [weights, picture, names] = &arguments[..] else {
        return Err(
            "expected three files: the weights, the picture, the names of the classes".into(),
        );
    };
    let prediction = classify(weights.as_ref(), picture.as_ref(), names.as_ref())?;
    println!("{prediction}");
    Ok(())
}

/// What the network takes the picture for.
pub fn classify(
    weights: &Path,
    picture: &Path,
    names: &Path,
) -> Result<Prediction, Box<dyn Error>> {
    let mut network = Cpu::default().build_module::<ResNet18<3, 1000>, f32>();
    load_torch_weights(&mut network, weights)?;
    let class_names = std::fs::read_to_string(names)?;
    let trained = Trained::new(
        network,
        Preprocessing {
            image_size: 224,
            normalisation: Normalisation::IMAGENET,
            class_names: class_names.lines().map(str::to_owned).collect(),
        },
    );
    Ok(predict(&trained, &centre(&RgbImage::from_path(picture)?)?)?)
}

/// What torchvision shows the network of a picture of any shape: the central 224 pixels where the shorter side has 256.
fn centre(picture: &RgbImage) -> Result<RgbImage, ImageError> {
    let (height, width) = (picture.height(), picture.width());
    let side = (height.min(width) * 224 / 256).max(1);
    picture.cropped((height - side) / 2, (width - side) / 2, side, side)
}
