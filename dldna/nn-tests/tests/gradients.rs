//! The gradient of every layer and block against difference quotients, for random shapes.
//!
//! The loss is a weighted sum of the outputs, `L = sum of w y`, with random weights. Along a random direction `v`, of ±1
//! in each element of one tensor `t`, it changes by
//!
//! ```text
//! (L(t + h v) - L(t - h v)) / 2h  =  dL/dt · v  +  O(h^2)
//! ```
//!
//! and `dL/dt · v` is around `|dL/dt|` for a random `v`. Where the function is curved a small `h` is best. But an f32 output
//! has an error of about 2^-23, which the quotient divides by `h`: where the gradient is small a large `h` is best. And
//! where a ReLU or a maximum has its kink between the two points, they do not agree at all. So four `h` are tried, and in
//! three of five directions one of them has to agree within 2% of `|dL/dt|`, and what rounding makes of the loss. A
//! gradient that is missing, doubled, turned or of another element does so in one of ten directions.

use dfdx::nn::tensor_collection::*;
use dldna_nn::convnext::ConvNeXtBlock;
use dldna_nn::efficientnet::{Gate, MBConv, SqueezeExcitation};
use dldna_nn::inception::{
    AsymmetricInception, BatchNormInception, FactorizedInception, Inception, InceptionResNetA,
    SeparableConv2D,
};
use dldna_nn::nn::{ConvNorm, Flatten, LayerScale, RectangularConv2D, SAME, Stage};
use dldna_nn::prelude::*;
use dldna_nn::resnet::{BasicBlock, BottleneckBlock, PlainBlock};
use proptest::prelude::*;
use rand::{Rng, SeedableRng, rngs::StdRng};

/// Half the distances of the two points of a difference quotient.
const STEPS: [f32; 4] = [1.0 / 64.0, 1.0 / 512.0, 1.0 / 4096.0, 1.0 / 32768.0];
/// How far a quotient may be from the gradient, as a share of the gradient's length.
const TOLERANCE: f64 = 0.02;

type Traced<S> = Tensor<S, f32, Cpu, OwnedTape<f32, Cpu>>;

/// Visits the parameters of a network.
struct Parameters<F>(F);

/// What is done with a parameter: its name, its elements, and its gradient where there are some at hand.
trait Visit {
    fn parameter<S: Shape>(&mut self, name: String, tensor: &mut Tensor<S, f32, Cpu>);
}

impl<F: Visit> TensorVisitor<f32, Cpu> for Parameters<&mut F> {
    type Viewer = (ViewTensorMut, ViewTensorName);
    type Err = CpuError;
    type E2 = f32;
    type D2 = Cpu;

    fn visit<S: Shape>(
        &mut self,
        options: TensorOptions<S, f32, Cpu>,
        (tensor, name): (&mut Tensor<S, f32, Cpu>, String),
    ) -> Result<Option<Tensor<S, f32, Cpu>>, CpuError> {
        if options.do_gradient_update {
            self.0.parameter(name, tensor);
        }
        Ok(None)
    }
}

fn visit<M: TensorCollection<f32, Cpu>>(network: &mut M, mut visitor: impl Visit) {
    M::iter_tensors(&mut RecursiveWalker {
        m: (network, String::new()),
        f: &mut Parameters(&mut visitor),
    })
    .unwrap();
}

/// Draws all parameters anew, so that none is 0 or 1: deviations from how they begin of about a third.
struct Shake<'a>(&'a mut StdRng);

impl Visit for Shake<'_> {
    fn parameter<S: Shape>(&mut self, _: String, tensor: &mut Tensor<S, f32, Cpu>) {
        let shaken = tensor
            .as_vec()
            .into_iter()
            .map(|x| x + self.0.gen_range(-0.5..0.5));
        tensor.copy_from(&shaken.collect::<Vec<f32>>());
    }
}

/// Notes down the gradients.
struct Note<'a>(&'a Gradients<f32, Cpu>, &'a mut Vec<(String, Vec<f32>)>);

impl Visit for Note<'_> {
    fn parameter<S: Shape>(&mut self, name: String, tensor: &mut Tensor<S, f32, Cpu>) {
        self.1.push((name, self.0.get(tensor).as_vec()));
    }
}

/// Sets one parameter to its value plus a multiple of a direction.
struct Move<'a>(&'a str, &'a [f32], &'a mut Vec<f32>, f32);

impl Visit for Move<'_> {
    fn parameter<S: Shape>(&mut self, name: String, tensor: &mut Tensor<S, f32, Cpu>) {
        if name == self.0 {
            if self.2.is_empty() {
                *self.2 = tensor.as_vec();
            }
            tensor.copy_from(&moved(self.2, self.1, self.3));
        }
    }
}

fn moved(values: &[f32], direction: &[f32], step: f32) -> Vec<f32> {
    values
        .iter()
        .zip(direction)
        .map(|(x, v)| x + step * v)
        .collect()
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter()
        .zip(b)
        .map(|(a, b)| f64::from(*a) * f64::from(*b))
        .sum()
}

/// Checks the gradients of a network's input and parameters; `run` is one of its forward passes. A kink may lie exactly at
/// the point that the seed gives: of three points one has to be good.
fn check<X: Shape, Y: Shape, M: TensorCollection<f32, Cpu> + Clone>(
    name: &str,
    network: M,
    shape: X,
    seed: u64,
    run: impl Fn(&mut M, Traced<X>) -> Traced<Y>,
) {
    let seeds = (0..3).map(|i| seed.wrapping_add(i));
    let faults: Vec<String> = seeds
        .map_while(|seed| check_at(network.clone(), shape, seed, &run).err())
        .collect();
    assert!(faults.len() < 3, "{name}: {}", faults.join("\n"));
}

fn check_at<X: Shape, Y: Shape, M: TensorCollection<f32, Cpu>>(
    mut network: M,
    shape: X,
    seed: u64,
    run: impl Fn(&mut M, Traced<X>) -> Traced<Y>,
) -> Result<(), String> {
    let (dev, mut random) = (Cpu::default(), StdRng::seed_from_u64(seed));
    visit(&mut network, Shake(&mut random));
    let mut draw = |count: usize| {
        (0..count)
            .map(|_| random.gen_range(-1.0..1.0))
            .collect::<Vec<f32>>()
    };
    let input = draw(shape.num_elements());
    let tensor = |values: Vec<f32>| dev.tensor_from_vec(values, shape);

    let x = tensor(input.clone());
    let y = run(&mut network, x.leaky_trace());
    let weights = draw(y.shape().num_elements());
    let terms: Vec<f32> = y
        .as_vec()
        .iter()
        .zip(&weights)
        .map(|(y, w)| y * w)
        .collect();
    let rounding = f64::from(f32::EPSILON) * dot(&terms, &terms).sqrt() / 16.0;
    let d_y = dev.tensor_from_vec(weights.clone(), *y.shape());
    let gradients = (y * d_y).sum::<Rank0, _>().backward();
    let mut noted = vec![("input".to_owned(), gradients.get(&x).as_vec())];
    visit(&mut network, Note(&gradients, &mut noted));

    let loss = |network: &mut M, input: Vec<f32>| {
        dot(
            &run(network, tensor(input).leaky_trace()).as_vec(),
            &weights,
        )
    };
    for (of, gradient) in noted {
        let length = dot(&gradient, &gradient).sqrt();
        let mut quotients = Vec::new();
        for _ in 0..5 {
            let signs = gradient
                .iter()
                .map(|_| if random.r#gen() { 1.0 } else { -1.0 });
            let direction: Vec<f32> = signs.collect();
            let mut before = Vec::new();
            let mut at = |step: f32| {
                if of == "input" {
                    return loss(&mut network, moved(&input, &direction, step));
                }
                visit(&mut network, Move(&of, &direction, &mut before, step));
                loss(&mut network, input.clone())
            };
            let quotient = STEPS.map(|step| (at(step) - at(-step)) / f64::from(2.0 * step));
            at(0.0);
            quotients.push((quotient, dot(&gradient, &direction)));
        }
        let agree = |(quotients, slope): &&([f64; 4], f64)| {
            STEPS.iter().zip(quotients).any(|(step, quotient)| {
                let tolerance = TOLERANCE * length + rounding / f64::from(*step);
                (quotient - slope).abs() <= tolerance
            })
        };
        if quotients.iter().filter(agree).count() < 3 {
            return Err(format!(
                "{of}, shape {:?}, seed {seed}: quotients and slopes {quotients:?} of a gradient of length {length}",
                shape.concrete()
            ));
        }
    }
    Ok(())
}

/// Trains (`forward_mut`) and evaluates (`forward`) each layer for a random batch of images of so many channels.
macro_rules! check_images {
    ($($test:ident: $channels:literal => [$($Layer:ty),+ $(,)?];)+) => {
        proptest! {
            #![proptest_config(ProptestConfig { cases: 3, max_shrink_iters: 0, ..ProptestConfig::default() })]
            $(
                #[test]
                fn $test(batch in 2..5usize, height in 6..10usize, width in 6..10usize, seed in any::<u64>()) {
                    let shape = (batch, Const::<$channels>, height, width);
                    $(
                        let network = Cpu::seed_from_u64(seed).build_module::<$Layer, f32>();
                        let name = stringify!($Layer);
                        check(&format!("{name} in training"), network.clone(), shape, seed, |network, x| network.forward_mut(x));
                        check(&format!("{name} in evaluation"), network, shape, seed, |network, x| network.forward(x));
                    )+
                }
            )+
        }
    };
}

check_images! {
    convolutions: 4 => [
        Conv2D<4, 3, 3, 1, 1>,
        Conv2D<4, 5, 1>,
        Conv2D<4, 2, 3, 2, 1, 2>,
        BiasedConv2D<4, 3, 5, 2, 2>,
        RectangularConv2D<4, 3, 1, 3, 1, 0, 1>,
        DepthwiseConv2D<4, 3, 1, 1>,
        DepthwiseConv2D<4, 5, 2, SAME>,
        SeparableConv2D<4, 6, 2>,
    ];
    convolutions_by_winograd: 16 => [
        Conv2D<16, 17, 3, 1, 2>,
        BiasedConv2D<16, 16, 3, 1, 2>,
    ];
    norms: 4 => [
        BatchNorm2D<4>,
        LayerNorm2D<4>,
        LayerScale<4>,
        ConvNorm<4, 3, 3, 2, 1>,
        ConvNorm<4, 3, 1, 1, 0, SiLU>,
    ];
    activations: 3 => [ReLU, ReLU6, SiLU, GELU];
    poolings: 3 => [
        MaxPool2D<3, 2, 1>,
        MaxPool2D<2, 2>,
        AvgPool2D<3, 1, 1>,
        AvgPool2D<2, 2>,
        AvgPoolGlobal,
    ];
    residual_blocks: 4 => [
        BasicBlock<4, 4, 1>,
        BasicBlock<4, 6, 2>,
        PlainBlock<4, 4, 1>,
        BottleneckBlock<4, 2, 8, 2>,
        Stage<BasicBlock<4, 5, 2>, BasicBlock<5, 5, 1>, 2>,
    ];
    block_that_adds_its_input: 8 => [BottleneckBlock<8, 2, 8, 1>];
    blocks_of_efficientnet: 4 => [
        Gate<4, 2>,
        SqueezeExcitation<4, 2>,
        MBConv<4, 8, 2, 4, 3, 1>,
        MBConv<4, 4, 2, 6, 5, 2>,
    ];
    inception_modules: 4 => [
        Inception<4, 2, 3, 2, 2, 3, 2, 9>,
        BatchNormInception<4, 2, 3, 2, 2, 3, 2, 9>,
        FactorizedInception<4, 2, 3, 2, 2, 3, 2, 9>,
        AsymmetricInception<4, 2, 3, 2, 2, 3, 2, 9>,
        InceptionResNetA<4, 2, 6>,
    ];
    convnext_block: 4 => [ConvNeXtBlock<4, 6>];
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3, max_shrink_iters: 0, ..ProptestConfig::default() })]
    #[test]
    fn layers_of_vectors(batch in 1..5usize, seed in any::<u64>()) {
        let linear = Cpu::seed_from_u64(seed).build_module::<Linear<7, 5>, f32>();
        check("Linear", linear, (batch, Const::<7>), seed, |network, x| network.forward_mut(x));
        let flatten = Cpu::seed_from_u64(seed).build_module::<(Flatten<24>, Linear<24, 3>), f32>();
        let shape = (batch, Const::<4>, 2, 3);
        check("Flatten", flatten, shape, seed, |network, x| network.forward_mut(x));
    }
}
