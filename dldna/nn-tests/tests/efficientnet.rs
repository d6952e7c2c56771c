//! EfficientNet: PyTorch's numbers from PyTorch's weights, and the paper's sizes.

use dldna_nn::efficientnet::scaling::{FAMILY, Variant, grid_search, round_blocks, round_channels};
use dldna_nn::efficientnet::{
    EfficientNetB0, MBConv, SmallEfficientNet, compound_scaling, load_torch_weights,
};
use dldna_nn::prelude::*;
use dldna_nn::weights::WeightsError;
use dldna_nn_tests::{Fixture, assert_close, logits_equal_pytorch};
use tempfile::TempDir;

fn dev() -> Cpu {
    Cpu::seed_from_u64(0)
}

/// Checks a block's values in evaluation and training, and all its gradients.
macro_rules! block_equals_pytorch {
    ($fixture:ident, $case:literal, $Block:ty, $IN:literal) => {{
        let folder = TempDir::new().unwrap();
        let mut block = dev().build_module::<$Block, f32>();
        load_torch_weights(&mut block, $fixture.write_state($case, folder.path())).unwrap();
        let tensor = |name: &str| $fixture.tensor(&format!("{}/{name}", $case));
        let shape = $fixture.shape(&format!("{}/x", $case));
        let x = dev().tensor_from_vec(tensor("x"), (shape[0], Const::<$IN>, shape[2], shape[3]));
        assert_eq!(
            block.num_trainable_params(),
            $fixture.setting($case, "params")
        );

        let y = block.forward(x.clone());
        assert_close(
            &format!("{} in evaluation", $case),
            &y.as_vec(),
            &tensor("y_eval"),
        );

        let y = block.forward_mut(x.leaky_trace());
        assert_close(
            &format!("{} in training", $case),
            &y.as_vec(),
            &tensor("y_train"),
        );
        let weights = y.device().tensor_from_vec(tensor("gy"), *y.shape());
        let gradients = (y * weights).sum::<Rank0, _>().backward();
        assert_close(
            &format!("{}: input", $case),
            &gradients.get(&x).as_vec(),
            &tensor("gx"),
        );
        let (expand_conv, bn0, _) = block.expand.as_ref().unwrap();
        let (depthwise_conv, bn1, _) = &block.depthwise;
        let (project_conv, bn2) = &block.project;
        let gate = &block.squeeze_excitation.gate;
        let found = [
            (
                gradients.get(&expand_conv.weight).as_vec(),
                "expand_conv.weight",
            ),
            (gradients.get(&bn0.scale).as_vec(), "bn0.weight"),
            (gradients.get(&bn0.bias).as_vec(), "bn0.bias"),
            (
                gradients.get(&depthwise_conv.weight).as_vec(),
                "depthwise_conv.weight",
            ),
            (gradients.get(&bn1.scale).as_vec(), "bn1.weight"),
            (gradients.get(&bn1.bias).as_vec(), "bn1.bias"),
            (
                gradients.get(&gate.reduce.weight).as_vec(),
                "se_reduce.weight",
            ),
            (gradients.get(&gate.reduce.bias).as_vec(), "se_reduce.bias"),
            (
                gradients.get(&gate.expand.weight).as_vec(),
                "se_expand.weight",
            ),
            (gradients.get(&gate.expand.bias).as_vec(), "se_expand.bias"),
            (
                gradients.get(&project_conv.weight).as_vec(),
                "project_conv.weight",
            ),
            (gradients.get(&bn2.scale).as_vec(), "bn2.weight"),
            (gradients.get(&bn2.bias).as_vec(), "bn2.bias"),
        ];
        let prefix = format!("{}/grad/", $case);
        let all = $fixture
            .names()
            .iter()
            .filter(|name| name.starts_with(&prefix))
            .count();
        assert_eq!(found.len(), all);
        for (got, name) in found {
            assert_close(
                &format!("{prefix}{name}"),
                &got,
                &tensor(&format!("grad/{name}")),
            );
        }
    }};
}

#[test]
fn blocks_equal_pytorch() {
    let fixture = Fixture::open("blocks");
    block_equals_pytorch!(fixture, "mbconv_res", MBConv<8, 48, 2, 8, 3, 1, ReLU6>, 8);
    block_equals_pytorch!(fixture, "mbconv_down", MBConv<8, 48, 2, 12, 5, 2, ReLU6>, 8);
}

/// Without expansion there are no layers for it: 2 (depthwise 3x3), 2 x 2 (norm), 2 + 1 + 2 + 2 (gate by one number),
/// 2 x 3 (project), 2 x 3 (norm).
#[test]
fn a_block_without_expansion_has_no_layers_for_it() {
    let mut block = dev().build_module::<MBConv<2, 2, 1, 3, 3, 1>, f32>();
    assert!(block.expand.is_none());
    assert_eq!(block.num_trainable_params(), 2 * 9 + 4 + 7 + 6 + 6);
    let x = dev().sample_normal_like(&(2, Const::<2>, 5, 5));
    let y = block.forward_mut(x.leaky_trace());
    assert_eq!(*y.shape(), (2, Const::<3>, 5, 5));
    let gradient = y.square().sum::<Rank0, _>().backward().get(&x);
    assert!(gradient.as_vec().iter().any(|g| *g != 0.0));
}

/// torchvision's counts, and the paper's 0.39 billion.
#[test]
fn b0_has_the_size_of_the_paper() {
    let network = dev().build_module::<EfficientNetB0<1000>, f32>();
    assert_eq!(network.num_trainable_params(), 5_288_548);
    let summary = Summary::of(&network, &[1, 3, 224, 224]).unwrap();
    assert_eq!(summary.output_shape(), [1, 1000]);
    assert_eq!(summary.parameters(), 5_288_548);
    let work = summary.multiply_adds() as f64;
    assert!((work / 0.39e9 - 1.0).abs() < 0.02, "{work}");

    // The same by the configuration.
    assert_eq!(FAMILY[0].parameters(), 5_288_548);
    assert_eq!(FAMILY[0].multiply_adds(), summary.multiply_adds());
    // Table 1: the size of each stage's input, and its channels.
    let stages = FAMILY[0].stages();
    let column = |of: fn(&dldna_nn::efficientnet::scaling::Stage) -> usize| -> Vec<usize> {
        stages.iter().map(of).collect()
    };
    assert_eq!(
        column(|s| s.image_size),
        [224, 112, 112, 56, 28, 14, 14, 7, 7]
    );
    assert_eq!(
        column(|s| s.channels),
        [32, 16, 24, 40, 80, 112, 192, 320, 1280]
    );
    assert_eq!(column(|s| s.layers), [1, 1, 2, 2, 3, 3, 4, 1, 1]);
    assert_eq!(column(|s| s.layers).iter().sum::<usize>(), 18);
}

/// torchvision's parameters exactly; the multiply-adds of the paper's table 2 within 2 percent, but for B4 and B5, whose
/// stated work is less than that of these networks at these sizes. torchvision counts 4.39 and 10.27 billion for them.
#[test]
fn the_family_has_the_sizes_of_torchvision_and_the_paper() {
    let parameters = [
        5_288_548, 7_794_184, 9_109_994, 12_233_232, 19_341_616, 30_389_784, 43_040_704, 66_347_960,
    ];
    for (variant, want) in FAMILY.iter().zip(parameters) {
        assert_eq!(variant.parameters(), want, "{}", variant.name);
        let counted = variant.multiply_adds() as f64 / 1e9;
        let stated = variant.published().unwrap().multiply_adds.unwrap();
        let difference = counted / stated - 1.0;
        println!(
            "{}: {counted:.3} counted, {stated} stated, {:+.1}%",
            variant.name,
            100.0 * difference
        );
        let tolerance = if ["B4", "B5"].contains(&variant.name) {
            0.05
        } else {
            0.021
        };
        assert!(
            difference.abs() < tolerance,
            "{}: {difference}",
            variant.name
        );
    }
    // Xie et al. 2020, Noisy Student: 480 million.
    let l2 = Variant::new("L2", 4.3, 5.3, 475).parameters();
    assert!((479_500_000..480_500_000).contains(&l2), "{l2}");
}

/// The rules of the authors' `efficientnet_builder.py`.
#[test]
fn rounding_keeps_multiples_of_eight() {
    for channels in 1..400 {
        for width in [0.3, 1.0, 1.1, 1.2, 1.4, 1.6, 1.8, 2.0] {
            let rounded = round_channels(channels, width);
            let exact = channels as f64 * width;
            assert!(rounded > 0 && rounded.is_multiple_of(8));
            assert!(
                rounded as f64 >= 0.9 * exact,
                "{channels} {width}: {rounded}"
            );
            assert!(rounded as f64 <= exact.max(8.0) + 8.0);
        }
    }
    assert_eq!(
        [1, 2, 3, 4].map(|blocks| round_blocks(blocks, 1.4)),
        [2, 3, 5, 6]
    );
    // What no network has is no reason to stop.
    assert_eq!(round_channels(8, f64::NAN), 8);
    assert!(round_channels(usize::MAX, f64::INFINITY) > 0);
    assert!(Variant::new("", 1e18, 1.0, usize::MAX).parameters() > 0);
}

#[test]
fn weights_of_another_block_are_listed() {
    let fixture = Fixture::open("blocks");
    let folder = TempDir::new().unwrap();
    let path = fixture.write_state("mbconv_res", folder.path());
    let mut block = dev().build_module::<MBConv<8, 48, 2, 12, 5, 2>, f32>();
    let error = load_torch_weights(&mut block, &path).unwrap_err();
    let WeightsError::Mismatch { misshaped, .. } = error else {
        panic!("{error}")
    };
    assert_eq!(
        misshaped[0],
        "depthwise_conv.weight: [48, 1, 5, 5] expected, [48, 1, 3, 3] in the file"
    );
    assert!(
        misshaped
            .iter()
            .any(|line| line.starts_with("project_conv.weight"))
    );
}

/// Dropout acts in training only, and the seed of the device decides it.
#[test]
fn training_drops_and_evaluation_does_not() {
    let run = || {
        let dev = dev();
        let images = dev.sample_normal_like(&(4, Const::<1>, 12, 12));
        let mut network = dev.build_module::<SmallEfficientNet<1, 10>, f32>();
        let once = network.forward(images.clone()).as_vec();
        assert_eq!(once, network.forward(images.clone()).as_vec());
        let first = network.forward_mut(images.leaky_trace()).as_vec();
        let second = network.forward_mut(images.leaky_trace()).as_vec();
        assert_ne!(first, second); // the batch norms of both steps use the same batch
        first
    };
    assert_eq!(run(), run());
}

#[test]
#[ignore = "needs weights of 21 MB, which fixtures/make_efficientnet_weights.py writes"]
fn b0_gives_the_logits_of_torchvision() {
    logits_equal_pytorch("efficientnet_b0", |weights, x, shape| {
        let mut network = dev().build_module::<EfficientNetB0<1000>, f32>();
        load_torch_weights(&mut network, weights).unwrap();
        let x = dev().tensor_from_vec(x, (shape[0], Const::<3>, shape[2], shape[3]));
        network.forward(x).as_vec()
    });
}

/// Factors that somebody may type: a count at once, or the largest number there is.
#[test]
fn any_scaling_is_counted_at_once() {
    let factors = [
        f64::NEG_INFINITY,
        -1.0,
        0.0,
        1e-300,
        1.0,
        120.0,
        1e300,
        f64::INFINITY,
        f64::NAN,
    ];
    for a in factors {
        let scaled = Variant::scaled("", &compound_scaling(a));
        assert!(
            scaled.parameters() > 0 && !scaled.to_string().is_empty(),
            "{a}"
        );
        for b in factors {
            let variant = Variant::new("", a, b, 224);
            assert!(
                variant.parameters() > 0 && variant.multiply_adds() > 0,
                "{a} {b}"
            );
            assert!(round_channels(usize::MAX, a) >= 8);
            assert_eq!(round_blocks(1, a) >= 1, a > 0.0);
            assert!(grid_search(a, b).len() < 1_000_000);
        }
    }
    for image_size in [0, 1, usize::MAX] {
        assert!(Variant::new("", 1.0, 1.0, image_size).parameters() > 0);
    }
    assert_eq!(
        Variant::scaled("", &compound_scaling(f64::MAX)).parameters(),
        u128::MAX
    );
}
