//! VGG networks: their counts against torchvision's figures, the built ones against the counted ones.

use dldna::prelude::*;
use dldna::vgg::{Configuration, Vgg11, Vgg16, VggTable};

/// `sum(p.numel() for p in torchvision.models.vgg11().parameters())`, and so on.
#[test]
fn counts_are_torchvisions() {
    let counts = Configuration::ALL.map(|network| network.parameters());
    assert_eq!(counts, [132_863_336, 133_047_848, 138_357_544, 143_667_240]);
    assert_eq!(
        Configuration::ALL.map(|network| network.layers()),
        [11, 13, 16, 19]
    );
}

#[test]
fn the_built_network_has_what_the_configuration_counts() {
    let dev = Cpu::seed_from_u64(0);
    let network = dev.build_module::<Vgg16<3, 1000>, f32>();
    let summary = Summary::of(&network, &[1, 3, 224, 224]).unwrap();
    let counted = Configuration::VGG16;
    assert_eq!(network.num_trainable_params(), counted.parameters());
    assert_eq!(summary.parameters(), counted.parameters());
    assert_eq!(summary.multiply_adds(), counted.multiply_adds() as u128);
    assert_eq!(summary.output_shape(), [1, 1000]);
}

#[test]
fn an_image_of_another_size_is_named() {
    let dev = Cpu::seed_from_u64(0);
    let network = dev.build_module::<Vgg11<1, 2>, f32>();
    let error = Summary::of(&network, &[1, 1, 64, 64]).unwrap_err();
    assert!(error.to_string().contains("25088 values"), "{error}");
    assert!(
        network
            .try_forward(dev.zeros_like(&(1, Const::<1>, 64, 64)))
            .is_err()
    );
    let error = dldna::nn::last_error().unwrap().to_string();
    assert!(error.contains("512x2x2 = 2048"), "{error}");
}

/// The paper, section 2.2: the configurations have up to 144 million parameters.
#[test]
fn the_table_shows_all_four() {
    let text = VggTable.to_string();
    for number in ["VGG-11", "VGG-19", "138,357,544", "143,667,240"] {
        assert!(text.contains(number), "{number} in\n{text}");
    }
}

/// A box for each layer: the image, 13 convolutions, 3 linear layers, all apart.
#[test]
fn the_drawing_has_a_box_for_each_layer() {
    let figure = Configuration::VGG16.draw().unwrap();
    // Just above the floor every box but the linear ones is cut once.
    let row = 44 + (224.0f32 * 0.9) as usize - 5;
    let line = &figure.pixels()[3 * row * figure.width()..3 * (row + 1) * figure.width()];
    let dark: Vec<bool> = line.chunks_exact(3).map(|pixel| pixel[0] < 128).collect();
    let boxes = dark.windows(2).filter(|pair| !pair[0] && pair[1]).count();
    assert_eq!(boxes, 1 + 13);
}
