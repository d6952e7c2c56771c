//! The programs in `examples/`, on small inputs.
#![allow(dead_code)] // their `main`

#[path = "../examples/classify.rs"]
mod classify;
#[path = "../examples/export_figure.rs"]
mod export_figure;
#[path = "../examples/own_network.rs"]
mod own_network;
#[path = "../examples/train_cifar10.rs"]
mod train_cifar10;

use dldna::data::{Dataset, Split};
use dldna::prelude::*;
use dldna::resnet::ResNet18;
use rand::{Rng, SeedableRng, rngs::StdRng};
use std::path::{Path, PathBuf};
use std::process::Command;

const PHOTOGRAPH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../data/building.jpg");

/// Reads what another process wrote, and prints what it finds: see [`a_network_predicts_the_same_in_a_fresh_process`].
const IN_A_FRESH_PROCESS: &str = "DLDNA_TEST_FILES";

/// Noise with a coloured cast, `size` x `size`: the class decides the colour.
fn picture(class: usize, size: usize, random: &mut StdRng) -> Vec<u8> {
    let cast = [[90, 0, 0], [0, 0, 90]][class];
    let mut pixel = || cast.map(|cast: u8| cast + random.gen_range(0..120));
    (0..size * size).flat_map(|_| pixel()).collect()
}

fn folder_of_pictures(folder: &Path) -> PathBuf {
    let mut random = StdRng::seed_from_u64(0);
    for (class, name) in ["poppy", "cornflower"].into_iter().enumerate() {
        std::fs::create_dir(folder.join(name)).unwrap();
        for number in 0..30 {
            let size = 20 + number; // sizes are mixed
            let path = folder.join(name).join(format!("{number}.png"));
            let file = std::fs::File::create(path).unwrap();
            let mut encoder = png::Encoder::new(file, size as u32, size as u32);
            encoder.set_color(png::ColorType::Rgb);
            let pixels = picture(class, size, &mut random);
            let mut writer = encoder.write_header().unwrap();
            writer.write_image_data(&pixels).unwrap();
        }
    }
    folder.join("poppy/3.png")
}

#[test]
fn a_network_predicts_the_same_in_a_fresh_process() {
    let folder = tempfile::tempdir().unwrap();
    let picture = folder_of_pictures(folder.path());
    let elsewhere = tempfile::tempdir().unwrap();
    let file = elsewhere.path().join("flowers.safetensors");
    own_network::train_and_save(folder.path(), &file).unwrap();
    let here = own_network::load_and_predict(&file, &picture).unwrap();
    assert_eq!(here.best().name, "poppy");
    let there = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "the_fresh_process", "--ignored", "--nocapture"])
        .env(
            IN_A_FRESH_PROCESS,
            std::env::join_paths([&file, &picture]).unwrap(),
        )
        .output()
        .unwrap();
    let there = String::from_utf8(there.stdout).unwrap();
    assert!(
        there.contains(&here.to_string()),
        "expected\n{here}\nfound\n{there}"
    );
}

#[test]
#[ignore = "is started by another test"]
fn the_fresh_process() {
    let files = std::env::var_os(IN_A_FRESH_PROCESS).unwrap();
    let files: Vec<PathBuf> = std::env::split_paths(&files).collect();
    println!(
        "{}",
        own_network::load_and_predict(&files[0], &files[1]).unwrap()
    );
}

/// Ten colours, as planes: what CIFAR-10 is replaced by where it cannot be had.
fn colours(count: usize, random: &mut StdRng) -> Dataset<3> {
    let mut pixels = Vec::new();
    let labels: Vec<usize> = (0..count).map(|image| image % 10).collect();
    for label in &labels {
        for channel in 0..3 {
            let level = 25 * (label * (2 * channel + 1) % 10) as u8;
            pixels.extend((0..8 * 8).map(|_| level.saturating_add(random.gen_range(0..30))));
        }
    }
    let names = (0..10).map(|label| label.to_string()).collect();
    Dataset::from_planes(pixels, labels, 8, 8, names).unwrap()
}

#[test]
fn the_recipe_for_cifar_10_learns_ten_colours() {
    let mut random = StdRng::seed_from_u64(1);
    let data = Split {
        train: colours(600, &mut random),
        test: colours(100, &mut random),
    };
    let config = dldna::train::TrainConfig {
        batch_size: 20,
        ..train_cifar10::recipe(&data, 4, 0)
    };
    let history = train_cifar10::train_network(&data, &config).unwrap();
    let accuracy = history.last().unwrap().test_accuracy;
    assert!(accuracy > 0.9, "{accuracy}\n{history}");
}

#[test]
fn a_picture_is_classified_by_weights_from_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let (weights, names) = (
        folder.path().join("w.safetensors"),
        folder.path().join("names.txt"),
    );
    let mut network = Cpu::seed_from_u64(0).build_module::<ResNet18<3, 1000>, f32>();
    network.fc.bias = Cpu::default().tensor([0.0; 1000]);
    let mut bias = vec![0.0; 1000];
    bias[7] = 1e3; // whatever the picture
    network.fc.bias.copy_from(&bias);
    dldna::weights::save_model(&network, &weights).unwrap();
    let lines: Vec<String> = (0..1000).map(|class| format!("class {class}")).collect();
    std::fs::write(&names, lines.join("\n")).unwrap();
    let prediction = classify::classify(&weights, PHOTOGRAPH.as_ref(), &names).unwrap();
    assert_eq!(prediction.best().name, "class 7");
    let error = classify::classify(&names, PHOTOGRAPH.as_ref(), &names).unwrap_err();
    assert!(error.to_string().contains("names.txt"), "{error}");
}

#[test]
fn a_figure_is_written_to_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("filters.png");
    export_figure::export(PHOTOGRAPH.as_ref(), &file).unwrap();
    assert!(RgbImage::from_path(&file).unwrap().width() > 500);
}
