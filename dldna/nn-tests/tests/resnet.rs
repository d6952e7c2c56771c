//! Residual blocks and networks: PyTorch's numbers from PyTorch's weights, and the paper's sizes.

use dldna_nn::prelude::*;
use dldna_nn::resnet::{
    BasicBlock as Basic, Bottleneck, PlainBlock, PlainNet18, PlainNet20, PlainNet56, ResNet18,
    ResNet20, ResNet34, ResNet50, ResNet56, ResNet101, ResNet152, load_torch_weights,
};
use dldna_nn::weights::WeightsError;
use dldna_nn_tests::{Fixture, assert_close, logits_equal_pytorch, write_tensors};
use tempfile::TempDir;

fn dev() -> Cpu {
    Cpu::seed_from_u64(0)
}

/// Checks a block's values in evaluation and training, and its gradients: by the input and by the fields named.
macro_rules! block_equals_pytorch {
    ($fixture:ident, $case:literal, $Block:ty, $IN:literal, [$($field:ident . $tensor:ident = $name:literal),+ $(,)?] $(, projection $projection:literal)?) => {{
        let folder = TempDir::new().unwrap();
        let mut block = dev().build_module::<$Block, f32>();
        load_torch_weights(&mut block, $fixture.write_state($case, folder.path())).unwrap();
        let tensor = |name: &str| $fixture.tensor(&format!("{}/{name}", $case));
        let shape = $fixture.shape(&format!("{}/x", $case));
        let x = dev().tensor_from_vec(tensor("x"), (shape[0], Const::<$IN>, shape[2], shape[3]));
        assert_eq!(block.num_trainable_params(), $fixture.setting($case, "params"), "{}: parameters", $case);

        let y = block.forward(x.clone());
        assert_close(&format!("{} in evaluation", $case), &y.as_vec(), &tensor("y_eval"));

        let y = block.forward_mut(x.leaky_trace());
        assert_close(&format!("{} in training", $case), &y.as_vec(), &tensor("y_train"));
        let weights = y.device().tensor_from_vec(tensor("gy"), *y.shape());
        let gradients = (y * weights).sum::<Rank0, _>().backward();
        assert_close(&format!("{}: input", $case), &gradients.get(&x).as_vec(), &tensor("gx"));
        $(
            let name = concat!("grad/", $name);
            assert_close(&format!("{}: {name}", $case), &gradients.get(&block.$field.$tensor).as_vec(), &tensor(name));
        )+
        $({
            let _ = $projection;
            let (conv, norm) = block.shortcut.as_ref().unwrap();
            for (got, name) in [
                (gradients.get(&conv.weight).as_vec(), "grad/shortcut.0.weight"),
                (gradients.get(&norm.scale).as_vec(), "grad/shortcut.1.weight"),
                (gradients.get(&norm.bias).as_vec(), "grad/shortcut.1.bias"),
            ] {
                assert_close(&format!("{}: {name}", $case), &got, &tensor(name));
            }
        })?
    }};
}

#[test]
fn blocks_equal_pytorch() {
    let fixture = Fixture::open("blocks");
    block_equals_pytorch!(fixture, "basic_same", Basic<8, 8, 1>, 8, [
        conv1.weight = "conv1.weight", conv1.bias = "conv1.bias", bn1.scale = "bn1.weight", bn1.bias = "bn1.bias",
        conv2.weight = "conv2.weight", conv2.bias = "conv2.bias", bn2.scale = "bn2.weight", bn2.bias = "bn2.bias",
    ]);
    block_equals_pytorch!(fixture, "basic_down", Basic<8, 16, 2>, 8, [
        conv1.weight = "conv1.weight", conv1.bias = "conv1.bias", bn1.scale = "bn1.weight", bn1.bias = "bn1.bias",
        conv2.weight = "conv2.weight", conv2.bias = "conv2.bias", bn2.scale = "bn2.weight", bn2.bias = "bn2.bias",
    ], projection true);
    block_equals_pytorch!(fixture, "plain_down", PlainBlock<8, 16, 2>, 8, [
        conv1.weight = "conv1.weight", conv1.bias = "conv1.bias", bn1.scale = "bn1.weight", bn1.bias = "bn1.bias",
        conv2.weight = "conv2.weight", conv2.bias = "conv2.bias", bn2.scale = "bn2.weight", bn2.bias = "bn2.bias",
    ]);
    block_equals_pytorch!(fixture, "bottleneck_same", Bottleneck<16, 4, 1>, 16, [
        conv1.weight = "conv1.weight", bn1.scale = "bn1.weight", bn1.bias = "bn1.bias",
        conv2.weight = "conv2.weight", bn2.scale = "bn2.weight", bn2.bias = "bn2.bias",
        conv3.weight = "conv3.weight", bn3.scale = "bn3.weight", bn3.bias = "bn3.bias",
    ]);
    block_equals_pytorch!(fixture, "bottleneck_down", Bottleneck<8, 4, 2>, 8, [
        conv1.weight = "conv1.weight", bn1.scale = "bn1.weight", bn1.bias = "bn1.bias",
        conv2.weight = "conv2.weight", bn2.scale = "bn2.weight", bn2.bias = "bn2.bias",
        conv3.weight = "conv3.weight", bn3.scale = "bn3.weight", bn3.bias = "bn3.bias",
    ], projection true);
}

/// With 1 input channel and 10 classes, as in section 7.2.2 of the book, biases included.
#[test]
fn networks_have_the_parameters_of_the_book() {
    let dev = dev();
    assert_eq!(
        dev.build_module::<ResNet18<1, 10>, f32>()
            .num_trainable_params(),
        11_180_170
    );
    assert_eq!(
        dev.build_module::<ResNet34<1, 10>, f32>()
            .num_trainable_params(),
        21_292_042
    );
    assert_eq!(
        dev.build_module::<ResNet50<1, 10>, f32>()
            .num_trainable_params(),
        23_548_810
    );
    assert_eq!(
        dev.build_module::<ResNet101<1, 10>, f32>()
            .num_trainable_params(),
        42_567_050
    );
    assert_eq!(
        dev.build_module::<ResNet152<1, 10>, f32>()
            .num_trainable_params(),
        58_233_738
    );
    // He et al. 2015, table 6: 0.27 and 0.85 million.
    let small = dev
        .build_module::<ResNet20<3, 10>, f32>()
        .num_trainable_params();
    assert!((270_000..280_000).contains(&small), "{small}");
    let deep = dev
        .build_module::<ResNet56<3, 10>, f32>()
        .num_trainable_params();
    assert!((850_000..860_000).contains(&deep), "{deep}");
}

#[test]
fn shortcuts_without_weights_add_no_parameters() {
    let dev = dev();
    let residual = dev
        .build_module::<ResNet18<1, 10>, f32>()
        .num_trainable_params();
    let plain = dev
        .build_module::<PlainNet18<1, 10>, f32>()
        .num_trainable_params();
    // Only the three projections: 1x1 convolutions with biases, and their batch norms.
    let projections = [(64, 128), (128, 256), (256, 512)].map(|(i, o)| i * o + o + 2 * o);
    assert_eq!(residual - plain, projections.iter().sum::<usize>());
    let images = dev.sample_normal_like(&(2, Const::<3>, 8, 8));
    let logits = dev
        .build_module::<PlainNet20<3, 10>, f32>()
        .forward(images.clone());
    assert_eq!(*logits.shape(), (2, Const::<10>));
    let logits = dev.build_module::<PlainNet56<3, 10>, f32>().forward(images);
    assert_eq!(*logits.shape(), (2, Const::<10>));
}

/// Table 1 of the paper: the size of the image after each stage, and 1.8 and 3.8 billion multiply-adds.
#[test]
fn sizes_and_work_are_those_of_the_paper() {
    let sizes = |summary: &Summary| -> Vec<usize> {
        let parts = summary.network.children.iter();
        parts
            .filter(|part| part.name.starts_with("layer"))
            .map(|stage| stage.output_shape[2])
            .collect()
    };
    let small = Summary::of(
        &dev().build_module::<ResNet18<3, 1000>, f32>(),
        &[1, 3, 224, 224],
    )
    .unwrap();
    assert_eq!(sizes(&small), [56, 28, 14, 7]);
    assert!((1.7e9..1.9e9).contains(&(small.multiply_adds() as f64)));
    let large = Summary::of(
        &dev().build_module::<ResNet50<3, 1000>, f32>(),
        &[1, 3, 224, 224],
    )
    .unwrap();
    assert_eq!(sizes(&large), [56, 28, 14, 7]);
    // 4.1 with the stride in the 3x3 convolution, 3.8 in the paper with the stride in the 1x1 one.
    assert!((4.0e9..4.2e9).contains(&(large.multiply_adds() as f64)));
}

/// torchvision's way: no biases in the convolutions, `downsample` for the shortcut.
#[test]
fn torchvision_names_load_and_biases_become_zero() {
    let fixture = Fixture::open("blocks");
    let folder = TempDir::new().unwrap();
    let prefix = "basic_down/state/";
    let mut tensors = vec![(
        "bn1.num_batches_tracked".to_owned(),
        vec![],
        1f32.to_le_bytes().to_vec(),
    )];
    for name in fixture.names() {
        let Some(short) = name.strip_prefix(prefix) else {
            continue;
        };
        if ["conv1.bias", "conv2.bias", "shortcut.0.bias"].contains(&short) {
            continue;
        }
        let bytes = fixture
            .tensor(&name)
            .iter()
            .flat_map(|v| v.to_le_bytes())
            .collect();
        tensors.push((
            short.replace("shortcut", "downsample"),
            fixture.shape(&name),
            bytes,
        ));
    }
    let path = write_tensors(&tensors, folder.path());
    let mut block = dev().build_module::<Basic<8, 16, 2>, f32>();
    load_torch_weights(&mut block, path).unwrap();
    assert_eq!(block.conv1.bias.as_vec(), [0.0; 16]);
    let (conv, _) = block.shortcut.as_ref().unwrap();
    assert_eq!(conv.bias.as_vec(), [0.0; 16]);
    assert_eq!(
        conv.weight.as_vec(),
        fixture.tensor("basic_down/state/shortcut.0.weight")
    );
}

#[test]
fn weights_of_another_network_are_listed_and_nothing_is_loaded() {
    let fixture = Fixture::open("blocks");
    let folder = TempDir::new().unwrap();
    let path = fixture.write_state("bottleneck_same", folder.path());
    let mut block = dev().build_module::<Basic<16, 16, 2>, f32>();
    let before = block.conv2.weight.as_vec();
    let error = load_torch_weights(&mut block, &path).unwrap_err();
    let words = error.to_string();
    println!("{words}");
    let WeightsError::Mismatch {
        missing,
        extra,
        misshaped,
        ..
    } = error
    else {
        panic!("{words}")
    };
    assert!(missing.contains(&"shortcut.0.weight".to_owned()));
    assert!(extra.contains(&"conv3.weight".to_owned()));
    assert!(
        misshaped
            .iter()
            .any(|line| line.starts_with("conv2.weight: [16, 16, 3, 3] expected"))
    );
    assert!(words.contains("conv3.weight") && words.contains("shortcut.0.weight"));
    assert_eq!(block.conv2.weight.as_vec(), before);

    std::fs::write(&path, b"not weights").unwrap();
    let words = load_torch_weights(&mut block, &path)
        .unwrap_err()
        .to_string();
    assert!(words.contains("not a complete safetensors file"), "{words}");
    let words = load_torch_weights(&mut block, folder.path().join("none"))
        .unwrap_err()
        .to_string();
    assert!(words.contains("none: No such file"), "{words}");
}

/// A network with the weights of that name, against PyTorch's logits.
macro_rules! network_equals_pytorch {
    ($Network:ty, $IN:literal, $name:literal) => {
        logits_equal_pytorch($name, |weights, x, shape| {
            let mut network = dev().build_module::<$Network, f32>();
            load_torch_weights(&mut network, weights).unwrap();
            let x = dev().tensor_from_vec(x, (shape[0], Const::<$IN>, shape[2], shape[3]));
            network.forward(x).as_vec()
        })
    };
}

#[test]
#[ignore = "needs weights of 140 MB, which fixtures/make_resnet_weights.py writes"]
fn whole_networks_give_the_logits_of_pytorch() {
    network_equals_pytorch!(ResNet18<1, 10>, 1, "resnet18");
    network_equals_pytorch!(ResNet50<3, 100>, 3, "resnet50");
}
