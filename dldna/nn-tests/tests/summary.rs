//! Counts and shapes of a summary against formulas, published figures, and what the layers really give.

use dfdx::{nn::modules, prelude::*};
use dldna_nn::{
    nn::{AvgPool2D, BatchNorm2D, BiasedConv2D, Conv2D, DepthwiseConv2D, MaxPool2D},
    summary::{
        LayerSummary, OutputSizeError, Summarize, Summary, SummaryError, SummaryProblem,
        conv_output_size, conv_parameters, count_parameters, pool_output_size,
    },
};
use proptest::prelude::{prop_assert_eq, proptest};

fn dev() -> Cpu {
    Cpu::seed_from_u64(0)
}

/// The parameters of a built layer: from its tensors, and from its summary.
fn counts<M: TensorCollection<f32, Cpu> + Summarize>(layer: &M, input: &[usize]) -> [usize; 2] {
    [
        count_parameters(layer),
        Summary::of(layer, input).unwrap().parameters(),
    ]
}

#[test]
fn the_counts_of_section_7_1_4() {
    let conv1 = dev().build_module::<BiasedConv2D<1, 32, 3>, f32>();
    assert_eq!(counts(&conv1, &[1, 1, 28, 28]), [320; 2]);
    assert_eq!(conv_parameters(1, 32, 3), 320);

    let pool = MaxPool2D::<2, 2>;
    assert_eq!(counts(&pool, &[1, 32, 26, 26]), [0; 2]);

    let padded = dev().build_module::<BiasedConv2D<3, 64, 3, 1, 1>, f32>();
    assert_eq!(counts(&padded, &[1, 3, 32, 32]), [1_792; 2]);
    assert_eq!(conv_parameters(3, 64, 3), 1_792);

    let strided = dev().build_module::<BiasedConv2D<64, 128, 3, 2>, f32>();
    assert_eq!(counts(&strided, &[1, 64, 32, 32]), [73_856; 2]);
    assert_eq!(conv_parameters(64, 128, 3), 73_856);
}

type BasicBlock = (
    BiasedConv2D<64, 64, 3, 1, 1>,
    BatchNorm2D<64>,
    BiasedConv2D<64, 64, 3, 1, 1>,
    BatchNorm2D<64>,
);

#[test]
fn the_basic_block_of_section_7_1_4() {
    let block = dev().build_module::<(BasicBlock, MaxPool2D<2, 2>), f32>();
    let summary = Summary::of(&block, &[1, 64, 56, 56]).unwrap();
    let parts: Vec<usize> = summary.network.children[0]
        .children
        .iter()
        .map(|layer| layer.parameters)
        .collect();
    assert_eq!(parts, [36_928, 128, 36_928, 128]);
    assert_eq!(summary.parameters(), 74_112);
    assert_eq!(count_parameters(&block), 74_112);
    assert_eq!(summary.output_shape(), [1, 64, 28, 28]);
}

type TwoConvs<const IN: usize, const OUT: usize> = (
    BiasedConv2D<IN, OUT, 3, 1, 1>,
    ReLU,
    BiasedConv2D<OUT, OUT, 3, 1, 1>,
    ReLU,
    MaxPool2D<2, 2>,
);
type ThreeConvs<const IN: usize, const OUT: usize> = (
    BiasedConv2D<IN, OUT, 3, 1, 1>,
    ReLU,
    (BiasedConv2D<OUT, OUT, 3, 1, 1>, ReLU),
    TwoMore<OUT>,
);
type TwoMore<const OUT: usize> = (BiasedConv2D<OUT, OUT, 3, 1, 1>, ReLU, MaxPool2D<2, 2>);
type Vgg16Features = (
    TwoConvs<3, 64>,
    TwoConvs<64, 128>,
    ThreeConvs<128, 256>,
    ThreeConvs<256, 512>,
    ThreeConvs<512, 512>,
);

/// VGG-16 has 138,357,544 parameters and 15.47 billion multiply-adds (torchvision's model table). Its three linear
/// layers are counted by hand: they would take half a gigabyte.
#[test]
fn the_published_figures_of_vgg16() {
    let features = dev().build_module::<Vgg16Features, f32>();
    let summary = Summary::of(&features, &[1, 3, 224, 224]).unwrap();
    assert_eq!(summary.output_shape(), [1, 512, 7, 7]);

    let linear = [(512 * 7 * 7, 4_096), (4_096, 4_096), (4_096, 1_000)];
    let linear_parameters: usize = linear.iter().map(|(i, o)| i * o + o).sum();
    let linear_multiply_adds: usize = linear.iter().map(|(i, o)| i * o).sum();
    assert_eq!(summary.parameters() + linear_parameters, 138_357_544);
    assert_eq!(count_parameters(&features) + linear_parameters, 138_357_544);
    let multiply_adds = summary.multiply_adds() + linear_multiply_adds as u128;
    assert_eq!((multiply_adds as f64 / 1e9 * 100.0).round() / 100.0, 15.47);
}

/// Multiply-adds as the number of times the innermost line of the loops runs.
#[test]
fn multiply_adds_count_the_loops() {
    let (batch, c_in, c_out, k, size) = (2, 3, 5, 3, 8);
    let output = conv_output_size(size, k, 2, 1, 1).unwrap();
    let mut count = 0u128;
    for _ in 0..batch * c_out * output * output {
        for _ in 0..c_in * k * k {
            count += 1;
        }
    }
    let conv = dev().build_module::<BiasedConv2D<3, 5, 3, 2, 1>, f32>();
    assert_eq!(
        Summary::of(&conv, &[batch, c_in, size, size])
            .unwrap()
            .multiply_adds(),
        count
    );

    // A depthwise convolution sums over one channel only.
    let depthwise = dev().build_module::<DepthwiseConv2D<5, 3, 1, 1>, f32>();
    let summary = Summary::of(&depthwise, &[1, 5, 8, 8]).unwrap();
    assert_eq!(summary.multiply_adds(), 5 * 8 * 8 * 3 * 3);
    assert_eq!([summary.parameters(); 2], counts(&depthwise, &[1, 5, 8, 8]));
}

#[test]
fn the_output_size_counts_window_positions() {
    for input in 1..12 {
        for (kernel, stride, padding, dilation) in [
            (1, 1, 0, 1),
            (3, 1, 1, 1),
            (3, 2, 1, 1),
            (2, 2, 0, 1),
            (3, 3, 0, 2),
            (5, 2, 2, 1),
            (2, 4, 3, 3),
        ] {
            let last_tap = (kernel - 1) * dilation;
            let positions = (0..)
                .step_by(stride)
                .take_while(|start| start + last_tap < input + 2 * padding)
                .count();
            let size = conv_output_size(input, kernel, stride, padding, dilation);
            assert_eq!(
                size.unwrap_or(0),
                positions,
                "{input} {kernel} {stride} {padding} {dilation}"
            );
        }
    }
    assert_eq!(pool_output_size(7, 2, 2), Ok(3));
}

#[test]
fn counts_do_not_wrap() {
    const HUGE: usize = usize::MAX;
    let sizes = [0, 1, 2, 1 << 30, 1 << 32, 1 << 63, HUGE - 1, HUGE];
    for a in sizes {
        for b in sizes {
            for c in sizes {
                // None where it does not fit 128 bits, and so not 64 either.
                let weights = (c as u128 * c as u128).checked_mul(a as u128);
                let exact = weights.and_then(|weights| (weights + 1).checked_mul(b as u128));
                let exact = if b == 0 { Some(0) } else { exact };
                let want = exact.map_or(HUGE as u128, |exact| exact.min(HUGE as u128));
                assert_eq!(conv_parameters(a, b, c) as u128, want, "{a} {b} {c}");
                for d in sizes {
                    let output = conv_output_size(HUGE, a, b, c, d);
                    assert!(output.is_err() || output.unwrap() >= 1);
                    let output = conv_output_size(d, a, b, c, 1);
                    assert!(output.is_err() || output.unwrap() >= 1);
                }
                let output = pool_output_size(a, b, c);
                assert!(output.is_err() || output.unwrap() >= 1);
            }
        }
    }
}

struct Huge;

impl Summarize for Huge {
    fn summarize(&self, input: &[usize]) -> Result<LayerSummary, SummaryError> {
        let shape = [input[0], usize::MAX, 8, 8];
        Ok(LayerSummary::leaf("Huge", shape, usize::MAX, u128::MAX))
    }
}

#[test]
fn sums_do_not_wrap() {
    let image = [1, 1, 8, 8];
    let group = || LayerSummary::group("Two", &image).then("one", &Huge);
    let both = group().unwrap().then("two", &Huge).unwrap();
    assert_eq!(both.parameters, usize::MAX);
    assert_eq!(both.multiply_adds, u128::MAX);
    let error = group().unwrap().beside("two", &Huge, &image).unwrap_err();
    assert!(error.to_string().contains("too large to count"), "{error}");
    let summary = Summary::of(&Huge, &[usize::MAX, 1, 8, 8]).unwrap();
    assert!(summary.activation_bytes() > 0 && summary.to_string().contains("MiB"));
}

#[test]
fn a_pooling_with_too_much_padding_has_no_summary() {
    let error = Summary::of(&MaxPool2D::<3, 1, 2>, &[1, 1, 8, 8]).unwrap_err();
    assert!(
        error.to_string().contains("half its kernel of 3"),
        "{error}"
    );
}

#[test]
fn impossible_output_sizes_say_why() {
    assert_eq!(
        conv_output_size(0, 1, 1, 0, 1),
        Err(OutputSizeError::Zero("input"))
    );
    assert_eq!(
        conv_output_size(4, 0, 1, 0, 1),
        Err(OutputSizeError::Zero("kernel"))
    );
    assert_eq!(
        conv_output_size(4, 1, 0, 0, 1),
        Err(OutputSizeError::Zero("stride"))
    );
    assert_eq!(
        conv_output_size(4, 1, 1, 0, 0),
        Err(OutputSizeError::Zero("dilation"))
    );
    let error = conv_output_size(4, 3, 1, 0, 2).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the kernel spans 5 pixels, but the padded input has only 4"
    );
    assert_eq!(
        conv_output_size(4, usize::MAX, 1, 0, 2),
        Err(OutputSizeError::Overflow)
    );
    assert_eq!(
        conv_output_size(4, 1, 1, usize::MAX, 1),
        Err(OutputSizeError::Overflow)
    );
}

/// Compares the summary's shape with the shape of a real forward pass, or both refusals.
macro_rules! assert_shape {
    ($layer:expr, $channels:literal, $batch:expr, $height:expr, $width:expr) => {{
        let layer = $layer;
        let input = [$batch, $channels, $height, $width];
        let summary = Summary::of(&layer, &input);
        let images: Tensor<(usize, Const<$channels>, usize, usize), f32, Cpu> =
            dev().zeros_like(&($batch, Const, $height, $width));
        let output = layer.try_forward(images);
        prop_assert_eq!(summary.is_ok(), output.is_ok(), "{:?}", input);
        if let (Ok(summary), Ok(output)) = (summary, output) {
            let shape: Vec<usize> = output.shape().concrete().into_iter().collect();
            prop_assert_eq!(summary.output_shape(), &shape[..]);
        }
    }};
}

proptest! {
    #[test]
    fn shapes_are_those_of_a_forward_pass(batch in 1..3usize, height in 1..12usize, width in 1..12usize) {
        let dev = dev();
        assert_shape!(dev.build_module::<Conv2D<2, 3, 3>, f32>(), 2, batch, height, width);
        assert_shape!(dev.build_module::<Conv2D<2, 3, 3, 2, 1>, f32>(), 2, batch, height, width);
        assert_shape!(dev.build_module::<BiasedConv2D<2, 3, 1, 3>, f32>(), 2, batch, height, width);
        assert_shape!(dev.build_module::<BiasedConv2D<1, 2, 3, 1, 2, 2>, f32>(), 1, batch, height, width);
        assert_shape!(dev.build_module::<DepthwiseConv2D<3, 5, 2, 2>, f32>(), 3, batch, height, width);
        assert_shape!(MaxPool2D::<3, 2, 1>, 2, batch, height, width);
        assert_shape!(AvgPool2D::<2, 2>, 2, batch, height, width);
        assert_shape!(dev.build_module::<BatchNorm2D<2>, f32>(), 2, batch, height, width);
        assert_shape!(dev.build_module::<Bias2D<2>, f32>(), 2, batch, height, width);
        assert_shape!(AvgPoolGlobal, 2, batch, height, width);
        type Classifier = (BiasedConv2D<1, 4, 3, 2>, ReLU, AvgPoolGlobal, Linear<4, 3>, Softmax);
        assert_shape!(dev.build_module::<Classifier, f32>(), 1, batch, height, width);
        type Skip = Residual<(Conv2D<2, 2, 3, 1, 1>, Tanh)>;
        assert_shape!(dev.build_module::<Skip, f32>(), 2, batch, height, width);
        type Shortcut = GeneralizedResidual<Conv2D<2, 4, 3, 2, 1>, Conv2D<2, 4, 1, 2>>;
        assert_shape!(dev.build_module::<Shortcut, f32>(), 2, batch, height, width);
        assert_shape!(dev.build_module::<Repeated<(Conv2D<2, 2, 3>, ReLU), 3>, f32>(), 2, batch, height, width);
    }
}

#[test]
fn sums_are_those_of_the_parts() {
    type Stage = (BiasedConv2D<1, 4, 3, 1, 1>, BatchNorm2D<4>, ReLU);
    type Head = (AvgPoolGlobal, DropoutOneIn<2>, UnbiasedLinear<4, 3>);
    type Network = (Stage, Residual<Repeated<Conv2D<4, 4, 3, 1, 1>, 2>>, Head);
    let network = dev().build_module::<Network, f32>();
    let summary = Summary::of(&network, &[2, 1, 6, 6]).unwrap();

    assert_eq!(summary.parameters(), count_parameters(&network));
    assert_eq!(summary.parameters(), (9 + 1) * 4 + 8 + 2 * (9 * 4 * 4) + 12);
    assert_eq!(
        summary.multiply_adds(),
        2 * (36 * 4 * 9 + 2 * (36 * 4 * 36) + 12)
    );
    assert_eq!(summary.parameter_bytes(), 4 * summary.parameters() as u128);
    // Input, three layers of the stage, two convolutions and the sum, then 4, 4 and 3 features.
    assert_eq!(
        summary.activation_bytes(),
        4 * 2 * (36 + 6 * 144 + 4 + 4 + 3)
    );
}

#[test]
fn every_dfdx_layer_is_counted_as_dfdx_counts_it() {
    type Features = (
        Linear<6, 5>,
        LayerNorm1D<5>,
        BatchNorm1D<5>,
        UnbiasedLinear<5, 4>,
        LeakyReLU<f32>,
        Dropout,
    );
    let network = dev().build_module::<Features, f32>();
    let [counted, summed] = counts(&network, &[3, 6]);
    assert_eq!(counted, summed);
    assert_eq!(counted, 35 + 10 + 10 + 20);
    let norm = dev().build_module::<(dfdx::nn::builders::BatchNorm2D<3>, Bias2D<3>), f32>();
    assert_eq!(counts(&norm, &[1, 3, 2, 2]), [9; 2]);
}

#[test]
fn the_table_reads_well() {
    type Network = (
        BiasedConv2D<1, 32, 3, 1, 1>,
        ReLU,
        (MaxPool2D<2, 2>, AvgPoolGlobal),
        Linear<32, 10>,
    );
    let network = dev().build_module::<Network, f32>();
    let summary = Summary::of(&network, &[1, 1, 28, 28]).unwrap();
    let totals = "\
Input shape: [1, 1, 28, 28]
Parameters: 650
Multiply-adds: 226,112
Memory as f32: 0.00 MiB parameters + 0.22 MiB activations = 0.22 MiB
";
    println!("{summary}");
    let text = summary.to_string();
    assert!(text.ends_with(totals), "{text}");
    assert_eq!(text.lines().count(), 1 + 6 + 4, "{text}");
    let short = summary.with_depth(1).to_string();
    assert_eq!(short.lines().count(), 1 + 4 + 4, "{short}");
    assert!(short.ends_with(totals), "{short}");
}

struct Wrapped {
    stage: (modules::Linear<4, 3, f32, Cpu>, ReLU),
    head: modules::Linear<2, 1, f32, Cpu>,
}

impl Summarize for Wrapped {
    fn summarize(&self, input: &[usize]) -> Result<LayerSummary, SummaryError> {
        LayerSummary::group("Wrapped", input)
            .then("stage", &self.stage)?
            .then("head", &self.head)
    }
}

#[test]
fn errors_name_the_layer() {
    let network = Wrapped {
        stage: (BuildModule::build(&dev()), ReLU),
        head: BuildModule::build(&dev()),
    };
    let error = Summary::of(&network, &[1, 4]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "head: Linear 2 -> 1 expects an input of shape [.., 2], but gets [1, 3]"
    );
    let error = Summary::of(&network, &[1, 5]).unwrap_err();
    assert_eq!(error.layer, "stage.0");

    let conv = dev().build_module::<Conv2D<3, 4, 5>, f32>();
    let error = Summary::of(&conv, &[1, 1, 28, 28]).unwrap_err();
    let expected = "the network: Conv2D 3 -> 4, 5x5 expects an input of shape [batch, 3, height, width], but gets [1, 1, 28, 28]";
    assert_eq!(error.to_string(), expected);
    let error = Summary::of(&conv, &[1, 3, 4, 28]).unwrap_err();
    assert!(matches!(
        error.problem,
        SummaryProblem::OutputSize {
            source: OutputSizeError::KernelTooLarge { .. },
            ..
        }
    ));
    assert!(Summary::of(&conv, &[]).is_err());
    assert!(Summary::of(&MaxPool2D::<2, 2>, &[4, 4]).is_err());

    let unequal = dev().build_module::<Residual<Conv2D<1, 2, 1>>, f32>();
    let (first, second) = (vec![1, 2, 4, 4], vec![1, 1, 4, 4]);
    assert_eq!(
        Summary::of(&unequal, &[1, 1, 4, 4]).unwrap_err().problem,
        SummaryProblem::Branches { first, second }
    );
}
