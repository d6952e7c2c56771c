//! The Inception modules: PyTorch's numbers from PyTorch's weights, the papers' counts, and identities between layers.
#![allow(missing_docs, reason = "networks of a test")]

use dldna_nn::inception::{
    AsymmetricConv, AsymmetricInception, AuxiliaryHead, AuxiliarySmallGoogLeNet,
    BatchNormInception, FactorizedInception, InceptionModule, InceptionResNetA, InceptionV1,
    SeparableConv2D, SmallGoogLeNet, load_torch_weights,
};
use dldna_nn::prelude::*;
use dldna_nn_tests::{Fixture, assert_close};
use tempfile::TempDir;

fn dev() -> Cpu {
    Cpu::seed_from_u64(0)
}

#[test]
fn the_module_equals_pytorch() {
    let fixture = Fixture::open("blocks");
    let folder = TempDir::new().unwrap();
    let path = fixture.write_state("inception", folder.path());
    let mut module = dev().build_module::<InceptionV1<6, 4, 3, 5, 2, 4, 3>, f32>();
    load_torch_weights(&mut module, path).unwrap();
    let tensor = |name: &str| fixture.tensor(&format!("inception/{name}"));
    let shape = fixture.shape("inception/x");
    let x = dev().tensor_from_vec(tensor("x"), (shape[0], Const::<6>, shape[2], shape[3]));
    assert_eq!(
        module.num_trainable_params(),
        fixture.setting("inception", "params")
    );
    assert_close(
        "output",
        &module.forward(x.clone()).as_vec(),
        &tensor("y_eval"),
    );

    let y = module.forward_mut(x.leaky_trace());
    assert_close("output in training", &y.as_vec(), &tensor("y_train"));
    let weights = y.device().tensor_from_vec(tensor("gy"), *y.shape());
    let gradients = (y * weights).sum::<Rank0, _>().backward();
    assert_close("input", &gradients.get(&x).as_vec(), &tensor("gx"));
    macro_rules! check {
        ($($layer:ident),+) => {$(
            let name = stringify!($layer);
            let weight = gradients.get(&module.$layer.weight).as_vec();
            assert_close(name, &weight, &tensor(&format!("grad/{name}.weight")));
            let bias = gradients.get(&module.$layer.bias).as_vec();
            assert_close(name, &bias, &tensor(&format!("grad/{name}.bias")));
        )+};
    }
    check!(
        branch1x1,
        branch3x3_reduce,
        branch3x3,
        branch5x5_reduce,
        branch5x5,
        branch_pool_proj
    );
}

/// The paper's table 1, row "inception (3a)": 28x28x256, 128 million multiply-adds.
#[test]
fn the_first_module_costs_what_the_paper_says() {
    let module = dev().build_module::<InceptionV1<192, 64, 96, 128, 16, 32, 32>, f32>();
    let summary = Summary::of(&module, &[1, 192, 28, 28]).unwrap();
    assert_eq!(summary.output_shape(), [1, 256, 28, 28]);
    assert_eq!(summary.parameters(), module.num_trainable_params());
    assert_eq!((summary.multiply_adds() as f64 / 1e6).round(), 128.0);
}

#[test]
fn any_widths_can_be_built_with_the_sum_written_out() {
    type Network = (
        InceptionModule<1, 2, 1, 3, 1, 2, 1, 8>,
        InceptionModule<8, 1, 1, 1, 1, 1, 1, 4>,
        AvgPoolGlobal,
        Linear<4, 10>,
    );
    let network = dev().build_module::<Network, f32>();
    let logits = network.forward(dev().zeros_like(&(3, Const::<1>, 5, 7)));
    assert_eq!(*logits.shape(), (3, Const::<10>));
}

/// Multiply-adds of a layer on one image of `channels` x `size` x `size`.
fn work(layer: &dyn Summarize, channels: usize, size: usize) -> u128 {
    Summary::of(layer, &[1, channels, size, size])
        .unwrap()
        .multiply_adds()
}

network! {
    pub struct Both {
        first: Conv2D<2, 3, 1>,
        second: Conv2D<2, 4, 3, 1, 1>,
    }
    forward(x: Images<2>) -> Images<7> { cat((first(x.clone()), second(x))) }
}

/// Branches beside each other are dfdx's tensors, concatenated by hand.
#[test]
fn branches_put_channels_in_order() {
    let both = dev().build_module::<Both, f32>();
    let x = dev().sample_normal_like(&(2, Const::<2>, 5, 4));
    let first = both.first.forward(x.clone()).as_vec();
    let second = both.second.forward(x.clone()).as_vec();
    // Images of 20 pixels: 3 channels of the first branch, then 4 of the second.
    let by_hand: Vec<f32> = (0..2)
        .flat_map(|image| [&first[image * 60..][..60], &second[image * 80..][..80]].concat())
        .collect();
    assert_close("channels", &both.forward(x).as_vec(), &by_hand);
}

/// The gradient of branches is the sum of the branches' gradients.
#[test]
fn branches_add_their_gradients() {
    let mut both = dev().build_module::<Both, f32>();
    let x = dev().sample_normal_like(&(2, Const::<2>, 5, 4));
    let gradients = both
        .forward_mut(x.leaky_trace())
        .square()
        .sum::<Rank0, _>()
        .backward();
    let (first, second) = (both.first.clone(), both.second.clone());
    let one = first.forward(x.leaky_trace()).square().sum::<Rank0, _>();
    let two = second.forward(x.leaky_trace()).square().sum::<Rank0, _>();
    let (one, two) = (one.backward(), two.backward());
    let sum: Tensor<_, f32, Cpu> = one.get(&x) + two.get(&x);
    assert_close("input", &gradients.get(&x).as_vec(), &sum.as_vec());
    assert_close(
        "weight",
        &gradients.get(&both.second.weight).as_vec(),
        &two.get(&second.weight).as_vec(),
    );
}

/// Section 3.1 of the second paper: two 3x3 convolutions do 18 / 25 of the work of a 5x5 one.
#[test]
fn two_small_windows_cost_18_of_25() {
    let one = dev().build_module::<Conv2D<32, 32, 5, 1, 2>, f32>();
    let two = dev().build_module::<(Conv2D<32, 32, 3, 1, 1>, Conv2D<32, 32, 3, 1, 1>), f32>();
    assert_eq!(18 * work(&one, 32, 28), 25 * work(&two, 32, 28));
}

/// Section 3.2: a 3x1 convolution after a 1x3 one is a third cheaper than a 3x3 one.
#[test]
fn a_row_and_a_column_cost_two_thirds() {
    let square = dev().build_module::<Conv2D<8, 8, 3, 1, 1>, f32>();
    let pair = dev().build_module::<AsymmetricConv<8, 8, 3, 1>, f32>();
    assert_eq!(2 * work(&square, 8, 17), 3 * work(&pair, 8, 17));
}

/// The module of GoogLeNet's 3a, with the saving in its 5x5 branch alone.
#[test]
fn the_factorized_modules_save_where_they_should() {
    let plain = dev().build_module::<BatchNormInception<192, 64, 96, 128, 32, 32, 32, 256>, f32>();
    let factorized =
        dev().build_module::<FactorizedInception<192, 64, 96, 128, 32, 32, 32, 256>, f32>();
    let asymmetric =
        dev().build_module::<AsymmetricInception<192, 64, 96, 128, 32, 32, 32, 256>, f32>();
    let pixels = 28 * 28;
    let [plain, factorized, asymmetric] =
        [&plain as &dyn Summarize, &factorized, &asymmetric].map(|m| work(m, 192, 28));
    assert_eq!(plain - factorized, pixels * (25 - 18) * 32 * 32);
    // 3x3, 96 -> 128, becomes 1x3, 96 -> 128, and 3x1, 128 -> 128; twice 3x3, 32 -> 32, becomes four of three.
    let three = 9 * 96 * 128 - (3 * 96 * 128 + 3 * 128 * 128);
    assert_eq!(
        factorized - asymmetric,
        pixels * (three + 2 * (9 - 6) * 32 * 32)
    );
}

/// Xception, and MobileNets (Howard et al. 2017, section 3.1): 1 / N + 1 / D² of the work.
#[test]
fn a_separable_convolution_costs_a_ninth_and_a_bit() {
    let full = dev().build_module::<Conv2D<24, 40, 3, 1, 1>, f32>();
    let separable = dev().build_module::<SeparableConv2D<24, 40>, f32>();
    let ratio = work(&separable, 24, 14) as f64 / work(&full, 24, 14) as f64;
    assert!((ratio - (1.0 / 40.0 + 1.0 / 9.0)).abs() < 1e-12);
}

/// It is a full convolution whose kernels are products: weight[o, i] = point[o, i] * depth[i].
#[test]
fn a_separable_convolution_is_a_full_one_of_rank_one() {
    let separable = dev().build_module::<SeparableConv2D<3, 4, 2>, f32>();
    let depth = separable.0.weight.as_vec();
    let point = separable.1.weight.as_vec();
    let mut full = dev().build_module::<Conv2D<3, 4, 3, 2, 1>, f32>();
    let products = point.iter().enumerate().flat_map(|(pair, p)| {
        let kernel = &depth[pair % 3 * 9..][..9];
        kernel.iter().map(move |d| p * d)
    });
    full.weight.copy_from(&products.collect::<Vec<f32>>());
    let x = dev().sample_normal_like(&(2, Const::<3>, 7, 8));
    assert_close(
        "output",
        &separable.forward(x.clone()).as_vec(),
        &full.forward(x).as_vec(),
    );
}

/// Inception-ResNet-v1's first block, counted by hand.
#[test]
fn the_residual_block_has_the_papers_shape() {
    let block = dev().build_module::<InceptionResNetA<256, 32, 96>, f32>();
    let summary = Summary::of(&block, &[1, 256, 35, 35]).unwrap();
    assert_eq!(summary.output_shape(), [1, 256, 35, 35]);
    let one = 256 * 32 + 2 * 32; // weights, and scale and bias of the batch norm
    let three = 32 * 32 * 9 + 2 * 32;
    let by_hand = 3 * one + 3 * three + (96 * 256 + 256);
    assert_eq!(summary.parameters(), by_hand);
    assert_eq!(block.num_trainable_params(), by_hand);
}

/// The scale multiplies what is added, in the result and in the gradients.
#[test]
fn the_scale_is_in_the_sum_and_in_the_gradients() {
    let mut block = dev().build_module::<InceptionResNetA<6, 2, 6>, f32>();
    let x = dev().sample_normal_like(&(2, Const::<6>, 5, 5));
    block.scale.factor = 0.25;
    let pixels: Vec<Vec<f32>> = [
        block.branch0.forward(x.clone()).as_vec(),
        block.branch1.forward(x.clone()).as_vec(),
        block.branch2.forward(x.clone()).as_vec(),
    ]
    .into();
    let images = pixels.iter().map(|pixels| pixels.chunks(2 * 25)); // two channels of 5x5 pixels
    let images = images
        .map(|images| images.map(<[f32]>::to_vec).collect())
        .collect::<Vec<Vec<_>>>();
    let beside = (0..2).flat_map(|n| images.iter().flat_map(move |branch| branch[n].clone()));
    let branches = dev().tensor_from_vec(beside.collect(), (2, Const::<6>, 5, 5));
    let inside = block.expand.forward(branches);
    let by_hand = (x.clone() + inside * 0.25).relu();
    assert_close(
        "output",
        &block.forward(x.clone()).as_vec(),
        &by_hand.as_vec(),
    );

    // The loss changes along a direction as its gradient says.
    let mut loss = |x: &Tensor<(usize, Const<6>, usize, usize), f32, Cpu>| {
        block
            .forward_mut(x.leaky_trace())
            .square()
            .sum::<Rank0, _>()
    };
    let direction = dev().sample_normal_like(x.shape());
    let step = 1e-3;
    let above = loss(&(x.clone() + direction.clone() * step)).array();
    let below = loss(&(x.clone() - direction.clone() * step)).array();
    let gradients = loss(&x).backward();
    let predicted = (gradients.get(&x) * direction).sum::<Rank0, _>().array();
    let measured = (above - below) / (2.0 * step);
    assert!(
        (predicted - measured).abs() < 0.01 * measured.abs(),
        "{predicted} against {measured}"
    );
}

/// GoogLeNet's auxiliary classifier on 512 channels of 14x14 (section 5 of the first paper): "4x4x512" after the pooling.
#[test]
fn the_auxiliary_head_has_the_papers_sizes() {
    let head = dev().build_module::<AuxiliaryHead<512, 2048, 1000>, f32>();
    let summary = Summary::of(&head, &[1, 512, 14, 14]).unwrap();
    assert_eq!(summary.network.children[0].output_shape, [1, 512, 4, 4]);
    assert_eq!(summary.output_shape(), [1, 1000]);
    let linear = 2048 * 1024 + 1024 + 1024 * 1000 + 1000;
    assert_eq!(summary.parameters(), 512 * 128 + 2 * 128 + linear);
}

#[test]
fn an_auxiliary_head_runs_in_training_only() {
    let mut network = dev().build_module::<AuxiliarySmallGoogLeNet<1, 10>, f32>();
    let x = dev().sample_normal_like(&(2, Const::<1>, 28, 28));
    let without = (network.0.clone(), network.1.main.clone());
    assert_eq!(
        network.forward(x.clone()).as_vec(),
        without.forward(x.clone()).as_vec()
    );
    let (main, head) = network.forward_mut(x.leaky_trace());
    // What the head alone is told to learn reaches the first layer, and not the other classifier.
    let loss = main.sum::<Rank0, _>() * 0.0 + head.square().sum::<Rank0, _>();
    let gradients = loss.backward();
    let first = gradients.get(&network.0.0.conv.weight).as_vec();
    assert!(first.iter().any(|&g| g != 0.0));
    let last = gradients.get(&network.1.main.1.1.weight).as_vec();
    assert!(last.iter().all(|&g| g == 0.0));
}

#[test]
fn the_small_network_is_counted() {
    let network = dev().build_module::<SmallGoogLeNet<1, 10>, f32>();
    let summary = Summary::of(&network, &[1, 1, 28, 28]).unwrap();
    assert_eq!(summary.parameters(), network.num_trainable_params());
    let with_head = dev().build_module::<AuxiliarySmallGoogLeNet<1, 10>, f32>();
    let summary = Summary::of(&with_head, &[1, 1, 28, 28]).unwrap();
    assert_eq!(summary.output_shape(), [1, 10]);
    assert_eq!(summary.parameters(), with_head.num_trainable_params());
}
