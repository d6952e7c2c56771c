//! Networks written with `network!`: PyTorch's numbers from PyTorch's weights by the fields' names, and what a network
//! can do once it is written.
#![allow(missing_docs, reason = "networks of a test")]

use dldna_nn::data::stripes;
use dldna_nn::nn::{LayerError, last_error};
use dldna_nn::prelude::*;
use dldna_nn::train::{TrainConfig, evaluate, train};
use dldna_nn::weights::{load_model, load_torch_weights, save_model};
use dldna_nn_tests::{Fixture, assert_close};
use proptest::prelude::*;
use tempfile::TempDir;

fn dev() -> Cpu {
    Cpu::seed_from_u64(3)
}

// What a reader writes in a cell: section 7.2.2 of the book.
#[rustfmt::skip]
mod blocks { use dldna_nn::prelude::*; network! {
    pub struct BasicBlock<const IN: usize, const OUT: usize, const STRIDE: usize> {
        conv1: BiasedConv2D<IN, OUT, 3, STRIDE, 1>, bn1: BatchNorm2D<OUT>,
        conv2: BiasedConv2D<OUT, OUT, 3, 1, 1>, bn2: BatchNorm2D<OUT>,
        shortcut: (BiasedConv2D<IN, OUT, 1, STRIDE>, BatchNorm2D<OUT>)
            where IN != OUT || STRIDE != 1,
    }
    forward(x: Images<IN>) -> Images<OUT> {
        let y = relu(bn1(conv1(x.clone())));
        relu(bn2(conv2(y)) + shortcut(x))
    }
}}
use blocks::BasicBlock;

#[rustfmt::skip]
network! {
    pub struct Bottleneck<const IN: usize, const MID: usize, const OUT: usize, const S: usize> {
        conv1: BiasedConv2D<IN, MID, 1>, bn1: BatchNorm2D<MID>,
        conv2: BiasedConv2D<MID, MID, 3, S, 1>, bn2: BatchNorm2D<MID>,
        conv3: BiasedConv2D<MID, OUT, 1>, bn3: BatchNorm2D<OUT>,
        shortcut: (BiasedConv2D<IN, OUT, 1, S>, BatchNorm2D<OUT>) where IN != OUT || S != 1,
    }
    forward(x: Images<IN>) -> Images<OUT> {
        let y = relu(bn2(conv2(relu(bn1(conv1(x.clone()))))));
        relu(bn3(conv3(y)) + shortcut(x))
    }
}

#[rustfmt::skip]
network! {
    pub struct Inception {
        branch1x1: BiasedConv2D<6, 4, 1>, pool: MaxPool2D<3, 1, 1>,
        branch3x3_reduce: BiasedConv2D<6, 3, 1>, branch3x3: BiasedConv2D<3, 5, 3, 1, 1>,
        branch5x5_reduce: BiasedConv2D<6, 2, 1>, branch5x5: BiasedConv2D<2, 4, 5, 1, 2>,
        branch_pool_proj: BiasedConv2D<6, 3, 1>,
    }
    forward(x: Images<6>) -> Images<16> {
        let three = relu(branch3x3(relu(branch3x3_reduce(x.clone()))));
        let five = relu(branch5x5(relu(branch5x5_reduce(x.clone()))));
        cat((relu(branch1x1(x.clone())), three, five, relu(branch_pool_proj(pool(x)))))
    }
}

#[rustfmt::skip]
network! {
    pub struct MBConv<const IN: usize, const OUT: usize, const K: usize, const S: usize> {
        expand_conv: Conv2D<IN, 48, 1>, bn0: BatchNorm2D<48>,
        depthwise_conv: DepthwiseConv2D<48, K, S, SAME>, bn1: BatchNorm2D<48>,
        se_reduce: BiasedConv2D<48, 2, 1>, se_expand: BiasedConv2D<2, 48, 1>,
        project_conv: Conv2D<48, OUT, 1>, bn2: BatchNorm2D<OUT>,
    }
    forward(x: Images<IN>) -> Images<OUT> {
        let y = relu6(bn1(depthwise_conv(relu6(bn0(expand_conv(x.clone()))))));
        let factors = sigmoid(se_expand(relu6(se_reduce(squeeze(y.clone())))));
        let y = bn2(project_conv(scale_channels(y, factors)));
        if IN == OUT && S == 1 { y + x.unchanged() } else { y }
    }
}

#[rustfmt::skip]
network! {
    pub struct ResNet18<const IN: usize, const CLASSES: usize> {
        conv1: BiasedConv2D<IN, 64, 7, 2, 3>, bn1: BatchNorm2D<64>, pool: MaxPool2D<3, 2, 1>,
        layer1: (BasicBlock<64, 64, 1>, BasicBlock<64, 64, 1>),
        layer2: (BasicBlock<64, 128, 2>, BasicBlock<128, 128, 1>),
        layer3: (BasicBlock<128, 256, 2>, BasicBlock<256, 256, 1>),
        layer4: (BasicBlock<256, 512, 2>, BasicBlock<512, 512, 1>),
        fc: Linear<512, CLASSES>,
    }
    forward(x: Images<IN>) -> Vectors<CLASSES> {
        let x = pool(relu(bn1(conv1(x))));
        fc(mean(layer4(layer3(layer2(layer1(x))))))
    }
}

#[rustfmt::skip]
network! {
    /// More than six layers in a row: a VGG for small images.
    pub struct SmallVgg {
        conv1: BiasedConv2D<1, 8, 3, 1, 1>, relu1: ReLU, pool1: MaxPool2D<2, 2>,
        conv2: BiasedConv2D<8, 16, 3, 1, 1>, relu2: ReLU, pool2: MaxPool2D<2, 2>,
        flatten: Flatten<784>, fc1: Linear<784, 64>, relu3: ReLU, dropout: DropoutOneIn<2>,
        fc2: Linear<64, 2>,
    }
    forward(Images<1>) -> Vectors<2>;
}

/// Loads the block `$case` of the fixture by its fields' names and compares all that the fixture has.
macro_rules! equals_pytorch {
    ($case:literal, $Block:ty, $IN:literal, [$($layer:ident . $tensor:ident = $name:literal),+ $(,)?]) => {{
        let fixture = Fixture::open("blocks");
        let folder = TempDir::new().unwrap();
        let tensor = |name: &str| fixture.tensor(&format!("{}/{name}", $case));
        let mut block = dev().build_module::<$Block, f32>();
        load_torch_weights(&mut block, fixture.write_state($case, folder.path())).unwrap();
        assert_eq!(block.num_trainable_params(), fixture.setting($case, "params"));
        let shape = fixture.shape(&format!("{}/x", $case));
        let x = dev().tensor_from_vec(tensor("x"), (shape[0], Const::<$IN>, shape[2], shape[3]));
        assert_close("evaluation", &block.forward(x.clone()).as_vec(), &tensor("y_eval"));
        let y = block.forward_mut(x.leaky_trace());
        assert_close("training", &y.as_vec(), &tensor("y_train"));
        let d_y = y.device().tensor_from_vec(tensor("gy"), *y.shape());
        let gradients = (y * d_y).sum::<Rank0, _>().backward();
        assert_close("input", &gradients.get(&x).as_vec(), &tensor("gx"));
        $(
            let gradient = gradients.get(&block.$layer.$tensor).as_vec();
            assert_close($name, &gradient, &tensor(concat!("grad/", $name)));
        )+
        let summary = Summary::of(&block, &shape).unwrap();
        assert_eq!(summary.parameters(), block.num_trainable_params());
        assert_eq!(summary.output_shape(), fixture.shape(&format!("{}/y_eval", $case)));
    }};
}

#[test]
fn what_a_reader_writes_equals_pytorch() {
    equals_pytorch!("basic_same", BasicBlock<8, 8, 1>, 8, [conv1.weight = "conv1.weight", bn2.bias = "bn2.bias"]);
    equals_pytorch!("basic_down", BasicBlock<8, 16, 2>, 8, [conv1.bias = "conv1.bias", bn1.scale = "bn1.weight"]);
    equals_pytorch!("bottleneck_same", Bottleneck<16, 4, 16, 1>, 16, [conv2.weight = "conv2.weight"]);
    equals_pytorch!("bottleneck_down", Bottleneck<8, 4, 16, 2>, 8, [conv3.weight = "conv3.weight"]);
    equals_pytorch!(
        "inception",
        Inception,
        6,
        [
            branch5x5_reduce.weight = "branch5x5_reduce.weight",
            branch_pool_proj.bias = "branch_pool_proj.bias",
        ]
    );
    equals_pytorch!("mbconv_res", MBConv<8, 8, 3, 1>, 8, [
        se_reduce.weight = "se_reduce.weight", bn0.scale = "bn0.weight", project_conv.weight = "project_conv.weight",
    ]);
    equals_pytorch!("mbconv_down", MBConv<8, 12, 5, 2>, 8, [depthwise_conv.weight = "depthwise_conv.weight"]);
}

/// Table of section 7.2.2, and the names that PyTorch's `state_dict` has.
#[test]
fn resnet18_has_the_books_parameters_and_names() {
    let network = dev().build_module::<ResNet18<1, 10>, f32>();
    assert_eq!(network.num_trainable_params(), 11_180_170);
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("resnet18.safetensors");
    save_model(&network, &path).unwrap();
    let mut other = dev().build_module::<dldna_nn::resnet::ResNet18<1, 10>, f32>();
    load_torch_weights(&mut other, &path).unwrap();
    let images = dev().sample_normal_like(&(2, Const::<1>, 33, 33));
    assert_eq!(
        network.forward(images.clone()).as_vec(),
        other.forward(images).as_vec()
    );

    let summary = Summary::of(&network, &[1, 1, 224, 224]).unwrap();
    assert_eq!(summary.parameters(), 11_180_170);
    let names: Vec<&str> = summary
        .network
        .children
        .iter()
        .map(|part| part.name.as_str())
        .collect();
    assert_eq!(
        names,
        [
            "conv1", "bn1", "relu", "pool", "layer1", "layer2", "layer3", "layer4", "mean", "fc"
        ]
    );
    let block = &summary.network.children[5].children[0];
    let parts: Vec<&str> = block
        .children
        .iter()
        .map(|part| part.name.as_str())
        .collect();
    assert_eq!(
        parts,
        [
            "conv1", "bn1", "relu1", "conv2", "bn2", "shortcut", "add", "relu2"
        ]
    );
}

#[test]
fn a_written_network_learns_is_saved_and_is_loaded() {
    let sample = stripes(400, 100, 28);
    let config = TrainConfig {
        epochs: 3,
        batch_size: 32,
        progress: false,
        ..Default::default()
    };
    let trained = train(dev().build_module::<SmallVgg, f32>(), &sample, &config).unwrap();
    let accuracy = |network: &SmallVgg| evaluate(network, &sample.test, 28).unwrap().accuracy();
    let reached = accuracy(&trained.model);
    assert!(reached > 0.9, "{reached}");

    let folder = TempDir::new().unwrap();
    let path = folder.path().join("vgg.safetensors");
    save_model(&trained.model, &path).unwrap();
    let mut loaded = dev().build_module::<SmallVgg, f32>();
    load_model(&mut loaded, &path).unwrap();
    assert_eq!(accuracy(&loaded), reached);
}

/// A convolution, a batch norm, a sum and an activation run as one operation. dfdx's tensors know nothing of that.
mod one_by_one {
    use super::*;

    network! {
        pub struct Block {
            conv: BiasedConv2D<3, 4, 3, 1, 1>,
            norm: BatchNorm2D<4>,
            shortcut: Conv2D<3, 4, 1>,
        }
        forward(x: Images<3>) -> Images<4> { silu(norm(conv(x.clone())) + shortcut(x)) }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn layers_run_together_as_they_do_one_by_one(
            (batch, height, width) in (2..5usize, 1..7usize, 1..7usize),
            seed: u64,
        ) {
            let dev = Cpu::seed_from_u64(seed);
            let mut block = dev.build_module::<Block, f32>();
            let x = dev.sample_normal_like(&(batch, Const::<3>, height, width));
            let evaluated = SiLU.forward(
                block.norm.forward(block.conv.forward(x.clone())) + block.shortcut.forward(x.clone()),
            );
            prop_assert!(near(&block.forward(x.clone()).as_vec(), &evaluated.as_vec()));

            let mut other = block.clone();
            let together = block.forward_mut(x.leaky_trace());
            let y = other.norm.forward_mut(other.conv.forward(x.leaky_trace()));
            let apart = SiLU.forward(y + other.shortcut.forward(x.leaky_trace()));
            prop_assert!(near(&together.as_vec(), &apart.as_vec()));
            let (mean, other_mean) = (&block.norm.running_mean, &other.norm.running_mean);
            prop_assert!(near(&mean.as_vec(), &other_mean.as_vec()));
            let (variance, other_variance) = (&block.norm.running_var, &other.norm.running_var);
            prop_assert!(near(&variance.as_vec(), &other_variance.as_vec()));
            let one = together.square().sum::<Rank0, _>().backward();
            let two = apart.square().sum::<Rank0, _>().backward();
            prop_assert!(near(&one.get(&x).as_vec(), &two.get(&x).as_vec()));
            let weights = (one.get(&block.conv.weight), two.get(&other.conv.weight));
            prop_assert!(near(&weights.0.as_vec(), &weights.1.as_vec()));
            let scales = (one.get(&block.norm.scale), two.get(&other.norm.scale));
            prop_assert!(near(&scales.0.as_vec(), &scales.1.as_vec()));
        }
    }

    fn near(one: &[f32], other: &[f32]) -> bool {
        let largest = one.iter().fold(1f32, |largest, v| largest.max(v.abs()));
        let mut pairs = one.iter().zip(other);
        one.len() == other.len() && pairs.all(|(a, b)| (a - b).abs() < 2e-4 * largest)
    }
}

/// In evaluation a network has gradients too: those of fixed statistics. Against a difference quotient.
#[test]
fn gradients_in_evaluation_follow_the_loss() {
    let mut block = dev().build_module::<BasicBlock<3, 4, 2>, f32>();
    let x = dev().sample_normal_like(&(2, Const::<3>, 6, 6));
    block.forward_mut(x.leaky_trace()); // running statistics of its own
    let loss = |x: &Tensor<(usize, Const<3>, usize, usize), f32, Cpu>| {
        block.forward(x.leaky_trace()).square().sum::<Rank0, _>()
    };
    let direction = dev().sample_normal_like(x.shape());
    let step = 1e-3;
    let above = loss(&(x.clone() + direction.clone() * step)).array();
    let below = loss(&(x.clone() - direction.clone() * step)).array();
    let predicted = (loss(&x).backward().get(&x) * direction)
        .sum::<Rank0, _>()
        .array();
    let measured = (above - below) / (2.0 * step);
    assert!(
        (predicted - measured).abs() < 0.02 * measured.abs(),
        "{predicted} and {measured}"
    );
}

network! {
    /// A shortcut that is left out although the channels differ: the writer's mistake.
    pub struct Careless {
        conv: Conv2D<3, 4, 1>,
        shortcut: Conv2D<3, 4, 1> where false,
    }
    forward(x: Images<3>) -> Images<4> { conv(x.clone()) + shortcut(x) }
}

#[test]
fn a_layer_that_may_not_be_left_out_is_an_error_with_words() {
    let network = dev().build_module::<Careless, f32>();
    assert!(
        network
            .try_forward(dev().zeros_like(&(1, Const::<3>, 5, 5)))
            .is_err()
    );
    let Some(LayerError::Channels {
        expected: 4,
        found: 3,
        ..
    }) = last_error()
    else {
        panic!("no words")
    };
    let error = Summary::of(&network, &[1, 3, 5, 5]).unwrap_err();
    assert!(error.to_string().contains("[1, 3, 5, 5]"), "{error}");
}

#[test]
fn an_image_that_is_too_small_is_named_in_run_and_in_summary() {
    let network = dev().build_module::<ResNet18<1, 10>, f32>();
    let small = dev().zeros_like(&(1, Const::<1>, 0, 0));
    assert!(network.try_forward(small).is_err());
    let error = Summary::of(&network, &[1, 3, 32, 32]).unwrap_err();
    assert!(
        error.to_string().contains("[batch, 1, height, width]"),
        "{error}"
    );
    let vgg = dev().build_module::<SmallVgg, f32>();
    let error = Summary::of(&vgg, &[1, 1, 32, 32]).unwrap_err();
    assert_eq!(error.layer, "flatten");
    assert!(
        vgg.try_forward(dev().zeros_like(&(1, Const::<1>, 32, 32)))
            .is_err()
    );
    assert!(matches!(
        last_error(),
        Some(LayerError::Features { expected: 784, .. })
    ));
}

/// Images of another size than the shortcut's, which only shows at run time.
mod sums {
    use super::*;

    network! {
        pub struct Shrinking { conv: Conv2D<2, 2, 3>, norm: BatchNorm2D<2> }
        forward(x: Images<2>) -> Images<2> { norm(conv(x.clone())) + x }
    }

    #[test]
    fn a_shortcut_of_another_size_is_an_error_with_words() {
        let mut network = dev().build_module::<Shrinking, f32>();
        let x = dev().zeros_like(&(2, Const::<2>, 5, 5));
        let words = || last_error().unwrap().to_string();
        assert!(network.try_forward(x.clone()).is_err());
        let evaluating = words();
        assert!(network.try_forward_mut(x.leaky_trace()).is_err());
        for words in [evaluating, words()] {
            assert!(
                words.contains("2x2x3x3") && words.contains("2x2x5x5"),
                "{words}"
            );
        }
        let error = Summary::of(&network, &[2, 2, 5, 5]).unwrap_err();
        assert!(error.to_string().contains("do not fit together"), "{error}");
    }
}

#[test]
fn a_network_shows_its_layers_and_not_its_weights() {
    let text = format!("{:?}", dev().build_module::<SmallVgg, f32>());
    assert!(
        text.starts_with("SmallVgg { conv1: BiasedConv2D<1, 8, 3, 1, 1>, relu1: ReLU"),
        "{text}"
    );
}
