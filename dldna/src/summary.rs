//! Output sizes, parameter counts, multiply-adds and memory of any network, without running it.
//!
//! [`Summary::of`] walks a built network with the shape of an input and makes a table of its layers. Nothing is
//! computed, so the largest network is summarised at once. A struct of layers joins in by implementing
//! [`Summarize`].
//!
//! What is counted:
//! - **Parameters** are the numbers that training changes, as [`count_parameters`] and PyTorch's `parameters()` count
//!   them. The running statistics of a batch norm are not among them.
//! - **Multiply-adds** are the multiplications, each with its addition, of convolutions and linear layers. Biases,
//!   batch norms, activations and pooling count as nothing: they are a small share of the work. Papers count this
//!   way (the "1.8 billion FLOPs" of ResNet-18 are multiply-adds), and so does fvcore for these layers.
//! - **Activations** are the outputs of all layers: what back-propagation has to keep.

use std::fmt;

use dfdx::nn::modules::{
    Abs, AccurateGeLU, AvgPoolGlobal, BatchNorm1D, BatchNorm2D as DfdxBatchNorm2D, Bias2D, Cos,
    Dropout, DropoutOneIn, Exp, FastGeLU, GeneralizedResidual, LayerNorm1D, LeakyReLU, Linear, Ln,
    LogSoftmax, MaxPoolGlobal, MinPoolGlobal, ReLU, Repeated, Residual, Sigmoid, Sin, Softmax,
    Sqrt, Square, Tanh, UnbiasedLinear,
};
use dfdx::prelude::{Cpu, Dtype, NumParams, Storage, TensorCollection};

use crate::kernels::window::Window;
use crate::nn::modules::{
    AvgPool2D, BatchNorm2D, BiasedConv2D, Conv2D, DepthwiseConv2D, Flatten, GELU, LayerNorm2D,
    MaxPool2D, ReLU6, RectangularConv2D, SiLU,
};
use crate::table::{Table, with_thousands};

/// Why a sliding window has no output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OutputSizeError {
    /// A size that must be at least 1 is 0.
    #[error("the {0} must be at least 1, but is 0")]
    Zero(&'static str),
    /// The kernel does not fit the padded input.
    #[error("the kernel spans {span} pixels, but the padded input has only {padded_input}")]
    KernelTooLarge {
        /// Pixels from the kernel's first tap to its last.
        span: usize,
        /// Input size with the padding on both sides.
        padded_input: usize,
    },
    /// A size does not fit `usize`.
    #[error("the sizes are too large to count")]
    Overflow,
}

/// Output size of a convolution or pooling along one side:
///
/// ```text
/// output = floor((input + 2 * padding - dilation * (kernel - 1) - 1) / stride) + 1
/// ```
///
/// The division rounds down: pixels at the end that no whole step reaches are not looked at.
///
/// ```
/// use dldna::summary::conv_output_size;
///
/// assert_eq!(conv_output_size(28, 3, 1, 1, 1)?, 28);
/// assert_eq!(conv_output_size(28, 3, 2, 0, 1)?, 13); // 25 / 2 = 12.5, rounded down to 12
/// assert!(conv_output_size(2, 3, 1, 0, 1).is_err());
/// # Ok::<(), dldna::summary::OutputSizeError>(())
/// ```
pub fn conv_output_size(
    input: usize,
    kernel: usize,
    stride: usize,
    padding: usize,
    dilation: usize,
) -> Result<usize, OutputSizeError> {
    for (name, size) in [
        ("input", input),
        ("kernel", kernel),
        ("stride", stride),
        ("dilation", dilation),
    ] {
        if size == 0 {
            return Err(OutputSizeError::Zero(name));
        }
    }
    let padded_input = padding
        .checked_mul(2)
        .and_then(|both| both.checked_add(input));
    let span = dilation
        .checked_mul(kernel - 1)
        .and_then(|gaps| gaps.checked_add(1));
    let (padded_input, span) = padded_input.zip(span).ok_or(OutputSizeError::Overflow)?;
    let positions = Window::square(kernel, stride, padding, dilation).output_size(input, input);
    positions
        .map(|(size, _)| size)
        .ok_or(OutputSizeError::KernelTooLarge { span, padded_input })
}

/// Output size of a pooling without padding along one side: [`conv_output_size`] with no padding and dilation 1.
///
/// ```
/// assert_eq!(dldna::summary::pool_output_size(13, 2, 2)?, 6);
/// # Ok::<(), dldna::summary::OutputSizeError>(())
/// ```
pub fn pool_output_size(
    input: usize,
    kernel: usize,
    stride: usize,
) -> Result<usize, OutputSizeError> {
    conv_output_size(input, kernel, stride, 0, 1)
}

/// Parameters of a convolution: `kernel * kernel * in_channels` weights for each output channel, and its bias.
///
/// ```
/// assert_eq!(dldna::summary::conv_parameters(3, 64, 3), 1_792);
/// ```
pub fn conv_parameters(in_channels: usize, out_channels: usize, kernel: usize) -> usize {
    (kernel * kernel * in_channels + 1) * out_channels
}

/// Number of parameters that training changes, counted by dfdx from the tensors of the model.
///
/// ```
/// use dldna::{prelude::*, summary::count_parameters};
///
/// let model = Cpu::default().build_module::<(Linear<10, 5>, ReLU, Linear<5, 2>), f32>();
/// assert_eq!(count_parameters(&model), (10 * 5 + 5) + (5 * 2 + 2));
/// ```
pub fn count_parameters<M: TensorCollection<f32, Cpu>>(model: &M) -> usize {
    model.num_trainable_params()
}

/// Why a network cannot be summarised: which layer, and what does not fit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {problem}", if layer.is_empty() { "the network" } else { layer })]
pub struct SummaryError {
    /// Path of the layer, such as `layer1.0.conv1`; empty for the whole network.
    pub layer: String,
    /// What does not fit.
    pub problem: SummaryProblem,
}

/// What does not fit in a layer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SummaryProblem {
    /// The input has another shape than the layer takes.
    #[error("{kind} expects an input of shape {expected}, but gets {actual:?}")]
    InputShape {
        /// The layer.
        kind: String,
        /// The shape it takes, in words.
        expected: String,
        /// The shape it gets.
        actual: Vec<usize>,
    },
    /// The layer has no output for this input.
    #[error("{kind} has no output for an input of shape {input:?}: {source}")]
    OutputSize {
        /// The layer.
        kind: String,
        /// The shape it gets.
        input: Vec<usize>,
        /// What does not fit.
        source: OutputSizeError,
    },
    /// Two branches that meet have different shapes.
    #[error("the branches give shapes {first:?} and {second:?}, which do not fit together")]
    Branches {
        /// Output of the first branch.
        first: Vec<usize>,
        /// Output of the second branch.
        second: Vec<usize>,
    },
}

impl From<SummaryProblem> for SummaryError {
    fn from(problem: SummaryProblem) -> Self {
        Self {
            layer: String::new(),
            problem,
        }
    }
}

impl SummaryError {
    fn inside(self, name: &str) -> Self {
        let layer = if self.layer.is_empty() {
            name.to_string()
        } else {
            format!("{name}.{}", self.layer)
        };
        Self { layer, ..self }
    }
}

/// A layer or network that can say what it makes of an input shape, and at what cost.
///
/// All layers of [`crate::nn`] and the common ones of dfdx implement it, and so do tuples of them, `Residual`,
/// `GeneralizedResidual` and `Repeated`. For a struct of layers, list them in the order in which they are applied:
///
/// ```
/// use dfdx::{nn::modules, prelude::*};
/// use dldna::summary::{LayerSummary, Summarize, Summary, SummaryError};
///
/// struct Classifier {
///     hidden: modules::Linear<784, 32, f32, Cpu>,
///     output: modules::Linear<32, 10, f32, Cpu>,
/// }
///
/// impl Summarize for Classifier {
///     fn summarize(&self, input: &[usize]) -> Result<LayerSummary, SummaryError> {
///         LayerSummary::group("Classifier", input)
///             .then("hidden", &self.hidden)?
///             .then("relu", &ReLU)?
///             .then("output", &self.output)
///     }
/// }
///
/// let dev = Cpu::default();
/// let model = Classifier { hidden: BuildModule::build(&dev), output: BuildModule::build(&dev) };
/// let summary = Summary::of(&model, &[8, 784])?;
/// assert_eq!(summary.output_shape(), [8, 10]);
/// assert_eq!(summary.parameters(), 784 * 32 + 32 + 32 * 10 + 10);
/// # Ok::<(), SummaryError>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be summarised",
    label = "has no `Summarize`",
    note = "implement `dldna::summary::Summarize` for it: list its layers with `LayerSummary::group(..).then(..)`"
)]
pub trait Summarize {
    /// Describes the layer for an input of the given shape, batch first.
    ///
    /// Errors: the layer cannot take that shape.
    fn summarize(&self, input: &[usize]) -> Result<LayerSummary, SummaryError>;
}

/// One layer of a summary, with the layers inside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerSummary {
    /// Name inside the layer around it: a field's name, or a position in a tuple.
    pub name: String,
    /// What it is, such as `Conv2D 3 -> 64, 3x3`.
    pub kind: String,
    /// Shape of its output, batch first.
    pub output_shape: Vec<usize>,
    /// Trainable parameters, those of the layers inside included.
    pub parameters: usize,
    /// Multiply-adds for the whole batch, those of the layers inside included.
    pub multiply_adds: u128,
    /// Elements of all layer outputs, for the whole batch.
    pub activations: u128,
    /// The layers inside, in the order in which they are applied.
    pub children: Vec<LayerSummary>,
}

impl LayerSummary {
    /// A layer without layers inside.
    pub fn leaf(
        kind: impl Into<String>,
        output_shape: impl Into<Vec<usize>>,
        parameters: usize,
        multiply_adds: u128,
    ) -> Self {
        let output_shape = output_shape.into();
        Self {
            name: String::new(),
            kind: kind.into(),
            activations: elements(&output_shape),
            output_shape,
            parameters,
            multiply_adds,
            children: Vec::new(),
        }
    }

    /// A layer made of others; [`then`](Self::then) adds them.
    pub fn group(kind: impl Into<String>, input: &[usize]) -> Self {
        Self {
            activations: 0,
            ..Self::leaf(kind, input, 0, 0)
        }
    }

    /// Applies `layer` to the output so far.
    ///
    /// Errors: the layer cannot take that shape; the error's path starts with `name`.
    pub fn then(self, name: &str, layer: &dyn Summarize) -> Result<Self, SummaryError> {
        let child = summarize_named(name, layer, &self.output_shape)?;
        Ok(self.with_child(name, child))
    }

    /// Applies `layer` to `input`, and adds the result to the output so far: the other branch of a residual block.
    ///
    /// Errors: the layer cannot take that shape, or the two outputs differ in shape.
    pub fn plus(
        self,
        name: &str,
        layer: &dyn Summarize,
        input: &[usize],
    ) -> Result<Self, SummaryError> {
        let branch = summarize_named(name, layer, input)?;
        if branch.output_shape != self.output_shape {
            let (first, second) = (self.output_shape, branch.output_shape);
            return Err(SummaryProblem::Branches { first, second }.into());
        }
        let sum = Self::leaf("Sum", &*self.output_shape, 0, 0);
        Ok(self.with_child(name, branch).with_child("add", sum))
    }

    /// Applies `layer` to `input`, and puts the result beside the output so far: the channels of both.
    ///
    /// Errors: the layer cannot take that shape, or the two outputs differ in more than channels.
    pub fn beside(
        self,
        name: &str,
        layer: &dyn Summarize,
        input: &[usize],
    ) -> Result<Self, SummaryError> {
        let branch = summarize_named(name, layer, input)?;
        let (first, second) = (self.output_shape.clone(), branch.output_shape.clone());
        let (&[batch, left, height, width], &[_, right, _, _]) = (&first[..], &second[..]) else {
            return Err(SummaryProblem::Branches { first, second }.into());
        };
        if second != [batch, right, height, width] {
            return Err(SummaryProblem::Branches { first, second }.into());
        }
        let mut both = self.with_child(name, branch);
        both.output_shape = vec![batch, left + right, height, width];
        Ok(both)
    }

    /// Applies `layer` to `input`, and keeps the output so far: a branch with a result of its own.
    ///
    /// Errors: the layer cannot take that shape.
    pub fn aside(
        self,
        name: &str,
        layer: &dyn Summarize,
        input: &[usize],
    ) -> Result<Self, SummaryError> {
        let branch = summarize_named(name, layer, input)?;
        let output_shape = self.output_shape.clone();
        Ok(Self {
            output_shape,
            ..self.with_child(name, branch)
        })
    }

    /// Puts `child` behind the layers so far; its output is the output from now on.
    pub(crate) fn with_child(mut self, name: &str, child: Self) -> Self {
        self.parameters += child.parameters;
        self.multiply_adds = self.multiply_adds.saturating_add(child.multiply_adds);
        self.activations = self.activations.saturating_add(child.activations);
        self.output_shape.clone_from(&child.output_shape);
        self.children.push(Self {
            name: name.to_string(),
            ..child
        });
        self
    }
}

/// A layer's summary; the path of an error starts with `name`.
fn summarize_named(
    name: &str,
    layer: &dyn Summarize,
    input: &[usize],
) -> Result<LayerSummary, SummaryError> {
    layer.summarize(input).map_err(|error| error.inside(name))
}

/// A table of a network's layers: output shapes, parameters, multiply-adds, and the memory it needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// Shape of the input, batch first.
    pub input_shape: Vec<usize>,
    /// The network.
    pub network: LayerSummary,
    depth: usize,
}

/// Bytes of one `f32`.
const ELEMENT_BYTES: u128 = size_of::<f32>() as u128;

impl Summary {
    /// Summarises `network` for an input of shape `input_shape`, batch first.
    ///
    /// Errors: a layer cannot take the shape that it gets.
    ///
    /// ```
    /// use dldna::{prelude::*, summary::Summary};
    ///
    /// let network = Cpu::default().build_module::<(Linear<784, 32>, ReLU, Linear<32, 10>), f32>();
    /// let summary = Summary::of(&network, &[1, 784])?;
    /// assert_eq!(summary.multiply_adds(), 784 * 32 + 32 * 10);
    /// println!("{summary}");
    ///
    /// let error = Summary::of(&network, &[1, 28, 28]).unwrap_err();
    /// assert_eq!(error.layer, "0");
    /// # Ok::<(), dldna::summary::SummaryError>(())
    /// ```
    pub fn of(network: &dyn Summarize, input_shape: &[usize]) -> Result<Self, SummaryError> {
        let network = network.summarize(input_shape)?;
        Ok(Self {
            input_shape: input_shape.to_vec(),
            network,
            depth: usize::MAX,
        })
    }

    /// Shows only layers up to `depth` levels inside the network; 1 shows its direct parts. The sums stay the same.
    pub fn with_depth(self, depth: usize) -> Self {
        Self { depth, ..self }
    }

    /// Shape of the network's output, batch first.
    pub fn output_shape(&self) -> &[usize] {
        &self.network.output_shape
    }

    /// Trainable parameters of the network.
    pub fn parameters(&self) -> usize {
        self.network.parameters
    }

    /// Multiply-adds of one forward pass of the whole batch.
    pub fn multiply_adds(&self) -> u128 {
        self.network.multiply_adds
    }

    /// Bytes of the parameters as `f32`.
    pub fn parameter_bytes(&self) -> u128 {
        self.network.parameters as u128 * ELEMENT_BYTES
    }

    /// Bytes of the input and of all layer outputs as `f32`: what has to be kept for the backward pass.
    pub fn activation_bytes(&self) -> u128 {
        let elements = elements(&self.input_shape).saturating_add(self.network.activations);
        elements.saturating_mul(ELEMENT_BYTES)
    }

    fn table(&self) -> Table {
        let mut table = Table::new(
            &[
                "Layer",
                "Kind",
                "Output shape",
                "Parameters",
                "Multiply-adds",
            ],
            3,
        );
        if self.network.children.is_empty() || self.depth == 0 {
            table.push(row(&self.network, 0, true));
        }
        self.push_children(&mut table, &self.network, 0);
        table
    }

    fn push_children(&self, table: &mut Table, layer: &LayerSummary, level: usize) {
        if level == self.depth {
            return;
        }
        for child in &layer.children {
            let closed = child.children.is_empty() || level + 1 == self.depth;
            table.push(row(child, level, closed));
            self.push_children(table, child, level + 1);
        }
    }

    fn totals(&self) -> String {
        let (parameters, activations) = (self.parameter_bytes(), self.activation_bytes());
        format!(
            "Input shape: {:?}\nParameters: {}\nMultiply-adds: {}\nMemory as f32: {} parameters + {} activations = {}\n",
            self.input_shape,
            with_thousands(self.parameters() as u128),
            with_thousands(self.multiply_adds()),
            mebibytes(parameters),
            mebibytes(activations),
            mebibytes(parameters.saturating_add(activations)),
        )
    }

    /// Shows the table in the notebook.
    pub fn evcxr_display(&self) {
        self.table().show(&self.totals());
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.table(), self.totals())
    }
}

/// A row of the table. The costs of an open layer are left out: they are in the rows of the layers inside it.
fn row(layer: &LayerSummary, level: usize, closed: bool) -> Vec<String> {
    let cost = |cost: u128| {
        if closed {
            with_thousands(cost)
        } else {
            String::new()
        }
    };
    vec![
        format!("{}{}", "  ".repeat(level), layer.name),
        layer.kind.clone(),
        format!("{:?}", layer.output_shape),
        cost(layer.parameters as u128),
        cost(layer.multiply_adds),
    ]
}

fn mebibytes(bytes: u128) -> String {
    format!("{:.2} MiB", bytes as f64 / f64::from(1 << 20))
}

fn elements(shape: &[usize]) -> u128 {
    shape.iter().fold(1, |product: u128, &size| {
        product.saturating_mul(size as u128)
    })
}

/// An input of shape `(batch, channels, height, width)`, with the expected channels.
fn image_shape(kind: &str, input: &[usize], channels: usize) -> Result<[usize; 4], SummaryError> {
    match *input {
        [batch, found, height, width] if found == channels => Ok([batch, channels, height, width]),
        _ => Err(wrong_input(
            kind,
            format!("[batch, {channels}, height, width]"),
            input,
        )),
    }
}

fn wrong_input(kind: &str, expected: String, actual: &[usize]) -> SummaryError {
    SummaryProblem::InputShape {
        kind: kind.to_string(),
        expected,
        actual: actual.to_vec(),
    }
    .into()
}

/// A layer that gives what it gets, element by element, on inputs of any shape.
fn elementwise(kind: impl Into<String>, input: &[usize]) -> Result<LayerSummary, SummaryError> {
    Ok(LayerSummary::leaf(kind, input, 0, 0))
}

macro_rules! summarize_elementwise {
    ($($layer:ident),+) => {$(
        impl Summarize for $layer {
            fn summarize(&self, input: &[usize]) -> Result<LayerSummary, SummaryError> {
                elementwise(stringify!($layer), input)
            }
        }
    )+};
}

summarize_elementwise!(
    Abs,
    AccurateGeLU,
    Cos,
    Exp,
    FastGeLU,
    Ln,
    LogSoftmax,
    ReLU,
    ReLU6,
    GELU,
    SiLU,
    Sigmoid,
    Sin,
    Softmax,
    Sqrt,
    Square,
    Tanh
);

impl<E: Dtype> Summarize for LeakyReLU<E> {
    fn summarize(&self, input: &[usize]) -> Result<LayerSummary, SummaryError> {
        elementwise(format!("LeakyReLU {:?}", self.0), input)
    }
}

impl Summarize for Dropout {
    fn summarize(&self, input: &[usize]) -> Result<LayerSummary, SummaryError> {
        elementwise(format!("Dropout {}", self.p), input)
    }
}

impl<const N: usize> Summarize for DropoutOneIn<N> {
    fn summarize(&self, input: &[usize]) -> Result<LayerSummary, SummaryError> {
        elementwise(format!("DropoutOneIn {N}"), input)
    }
}

macro_rules! summarize_global_pooling {
    ($($layer:ident),+) => {$(
        impl Summarize for $layer {
            /// `(batch, channel, height, width)` becomes `(batch, channel)`.
            fn summarize(&self, input: &[usize]) -> Result<LayerSummary, SummaryError> {
                let kind = stringify!($layer);
                match input {
                    [batch, channels, _, _] => Ok(LayerSummary::leaf(kind, [*batch, *channels], 0, 0)),
                    _ => Err(wrong_input(kind, "[batch, channel, height, width]".to_string(), input)),
                }
            }
        }
    )+};
}

summarize_global_pooling!(AvgPoolGlobal, MaxPoolGlobal, MinPoolGlobal);

impl<const FEATURES: usize> Summarize for Flatten<FEATURES> {
    fn summarize(&self, input: &[usize]) -> Result<LayerSummary, SummaryError> {
        let kind = format!("Flatten {FEATURES}");
        match input {
            [batch, image @ ..] if image.len() == 3 && elements(image) == FEATURES as u128 => {
                // The same numbers in another shape: nothing new is kept.
                Ok(LayerSummary {
                    activations: 0,
                    ..LayerSummary::leaf(kind, [*batch, FEATURES], 0, 0)
                })
            }
            _ => Err(wrong_input(
                &kind,
                format!("[batch, channel, height, width] with {FEATURES} values an image"),
                input,
            )),
        }
    }
}

/// `in_features` multiply-adds for each output element; any leading dimensions.
fn linear(
    kind: String,
    input: &[usize],
    [in_features, out_features]: [usize; 2],
    parameters: usize,
) -> Result<LayerSummary, SummaryError> {
    let Some((_, leading)) = input.split_last().filter(|(last, _)| **last == in_features) else {
        return Err(wrong_input(&kind, format!("[.., {in_features}]"), input));
    };
    let output = [leading, &[out_features]].concat();
    let multiply_adds = elements(&output).saturating_mul(in_features as u128);
    Ok(LayerSummary::leaf(kind, output, parameters, multiply_adds))
}

impl<const I: usize, const O: usize, E: Dtype, D: Storage<E>> Summarize for Linear<I, O, E, D> {
    fn summarize(&self, input: &[usize]) -> Result<LayerSummary, SummaryError> {
        linear(format!("Linear {I} -> {O}"), input, [I, O], I * O + O)
    }
}

impl<const I: usize, const O: usize, E: Dtype, D: Storage<E>> Summarize
    for UnbiasedLinear<I, O, E, D>
{
    fn summarize(&self, input: &[usize]) -> Result<LayerSummary, SummaryError> {
        linear(format!("UnbiasedLinear {I} -> {O}"), input, [I, O], I * O)
    }
}

impl<const C: usize, E: Dtype, D: Storage<E>> Summarize for Bias2D<C, E, D> {
    fn summarize(&self, input: &[usize]) -> Result<LayerSummary, SummaryError> {
        let kind = format!("Bias2D {C}");
        let shape = image_shape(&kind, input, C)?;
        Ok(LayerSummary::leaf(kind, shape, C, 0))
    }
}

/// Scale and bias for each channel are trained; the running mean and variance are not.
fn batch_norm_2d(input: &[usize], channels: usize) -> Result<LayerSummary, SummaryError> {
    let kind = format!("BatchNorm2D {channels}");
    let shape = image_shape(&kind, input, channels)?;
    Ok(LayerSummary::leaf(kind, shape, 2 * channels, 0))
}

impl<const C: usize, E: Dtype, D: Storage<E>> Summarize for DfdxBatchNorm2D<C, E, D> {
    fn summarize(&self, input: &[usize]) -> Result<LayerSummary, SummaryError> {
        batch_norm_2d(input, C)
    }
}

impl<const C: usize, E: Dtype, D: Storage<E>> Summarize for BatchNorm1D<C, E, D> {
    fn summarize(&self, input: &[usize]) -> Result<LayerSummary, SummaryError> {
        let kind = format!("BatchNorm1D {C}");
        match input {
            [_, channels] | [_, channels, _] if *channels == C => {
                Ok(LayerSummary::leaf(kind, input, 2 * C, 0))
            }
            _ => Err(wrong_input(
                &kind,
                format!("[batch, {C}] or [batch, {C}, length]"),
                input,
            )),
        }
    }
}

impl<const M: usize, E: Dtype, D: Storage<E>> Summarize for LayerNorm1D<M, E, D> {
    fn summarize(&self, input: &[usize]) -> Result<LayerSummary, SummaryError> {
        let kind = format!("LayerNorm1D {M}");
        match input.last() {
            Some(&last) if last == M => Ok(LayerSummary::leaf(kind, input, 2 * M, 0)),
            _ => Err(wrong_input(&kind, format!("[.., {M}]"), input)),
        }
    }
}

impl<F: Summarize> Summarize for Residual<F> {
    fn summarize(&self, input: &[usize]) -> Result<LayerSummary, SummaryError> {
        LayerSummary::group("Residual", input)
            .then("0", &self.0)?
            .plus("skip", &(), input)
    }
}

impl<F: Summarize, R: Summarize> Summarize for GeneralizedResidual<F, R> {
    fn summarize(&self, input: &[usize]) -> Result<LayerSummary, SummaryError> {
        LayerSummary::group("GeneralizedResidual", input)
            .then("f", &self.f)?
            .plus("r", &self.r, input)
    }
}

impl<T: Summarize, const N: usize> Summarize for Repeated<T, N> {
    fn summarize(&self, input: &[usize]) -> Result<LayerSummary, SummaryError> {
        let layers = self.modules.iter().enumerate();
        layers
            .map(|(index, layer)| (index.to_string(), layer))
            .try_fold(
                LayerSummary::group(format!("Repeated {N} times"), input),
                |summary, (name, layer)| summary.then(&name, layer),
            )
    }
}

impl Summarize for () {
    fn summarize(&self, input: &[usize]) -> Result<LayerSummary, SummaryError> {
        Ok(LayerSummary::group("Identity", input))
    }
}

macro_rules! summarize_tuple {
    ($($layer:ident $index:tt),+) => {
        impl<$($layer: Summarize),+> Summarize for ($($layer,)+) {
            fn summarize(&self, input: &[usize]) -> Result<LayerSummary, SummaryError> {
                let summary = LayerSummary::group("Sequence", input);
                $(let summary = summary.then(stringify!($index), &self.$index)?;)+
                Ok(summary)
            }
        }
    };
}

summarize_tuple!(A 0);
summarize_tuple!(A 0, B 1);
summarize_tuple!(A 0, B 1, C 2);
summarize_tuple!(A 0, B 1, C 2, D 3);
summarize_tuple!(A 0, B 1, C 2, D 3, F 4);
summarize_tuple!(A 0, B 1, C 2, D 3, F 4, G 5);

/// A layer that slides a window over the image.
struct WindowLayer {
    name: &'static str,
    in_channels: usize,
    out_channels: usize,
    window: Window,
}

impl WindowLayer {
    /// `parameters` in all, and for each output element as many multiply-adds as there are products in its sum.
    fn summarize(
        &self,
        input: &[usize],
        parameters: usize,
        products: usize,
    ) -> Result<LayerSummary, SummaryError> {
        let kind = self.kind();
        let [batch, _, height, width] = image_shape(&kind, input, self.in_channels)?;
        let size = |size, kernel, padding| {
            let Window {
                stride, dilation, ..
            } = self.window;
            conv_output_size(size, kernel, stride, padding, dilation).map_err(|source| {
                SummaryProblem::OutputSize {
                    kind: kind.clone(),
                    input: input.to_vec(),
                    source,
                }
            })
        };
        let Window {
            kernel, padding, ..
        } = self.window;
        let output = [
            batch,
            self.out_channels,
            size(height, kernel.0, padding.0)?,
            size(width, kernel.1, padding.1)?,
        ];
        let multiply_adds = elements(&output).saturating_mul(products as u128);
        Ok(LayerSummary::leaf(kind, output, parameters, multiply_adds))
    }

    /// Name, channels and window; what has its usual value is left out.
    fn kind(&self) -> String {
        let channels = if self.in_channels == self.out_channels {
            format!("{}", self.in_channels)
        } else {
            format!("{} -> {}", self.in_channels, self.out_channels)
        };
        let Window {
            kernel,
            stride,
            padding,
            dilation,
        } = self.window;
        let mut kind = format!("{} {channels}, {}x{}", self.name, kernel.0, kernel.1);
        if stride != 1 {
            kind += &format!(", stride {stride}");
        }
        if padding != (0, 0) {
            kind += &match padding {
                (height, width) if height == width => format!(", padding {height}"),
                (height, width) => format!(", padding {height}x{width}"),
            };
        }
        if dilation != 1 {
            kind += &format!(", dilation {dilation}");
        }
        kind
    }
}

macro_rules! summarize_convolution {
    ($layer:ident, $bias:literal) => {
        impl<
            const IN: usize,
            const OUT: usize,
            const K: usize,
            const STRIDE: usize,
            const PADDING: usize,
            const DILATION: usize,
            E: Dtype,
            D: Storage<E>,
        > Summarize for $layer<IN, OUT, K, STRIDE, PADDING, DILATION, E, D>
        {
            fn summarize(&self, input: &[usize]) -> Result<LayerSummary, SummaryError> {
                let layer = WindowLayer {
                    name: stringify!($layer),
                    in_channels: IN,
                    out_channels: OUT,
                    window: Window::square(K, STRIDE, PADDING, DILATION),
                };
                layer.summarize(input, OUT * (IN * K * K + $bias), IN * K * K)
            }
        }
    };
}

summarize_convolution!(Conv2D, 0);
summarize_convolution!(BiasedConv2D, 1);

impl<
    const C: usize,
    const K: usize,
    const STRIDE: usize,
    const PADDING: usize,
    E: Dtype,
    D: Storage<E>,
> Summarize for DepthwiseConv2D<C, K, STRIDE, PADDING, E, D>
{
    fn summarize(&self, input: &[usize]) -> Result<LayerSummary, SummaryError> {
        let layer = WindowLayer {
            name: "DepthwiseConv2D",
            in_channels: C,
            out_channels: C,
            window: Window::square(K, STRIDE, PADDING, 1),
        };
        layer.summarize(input, C * K * K, K * K)
    }
}

impl<
    const IN: usize,
    const OUT: usize,
    const KERNEL_HEIGHT: usize,
    const KERNEL_WIDTH: usize,
    const STRIDE: usize,
    const PADDING_HEIGHT: usize,
    const PADDING_WIDTH: usize,
    E: Dtype,
    D: Storage<E>,
> Summarize
    for RectangularConv2D<
        IN,
        OUT,
        KERNEL_HEIGHT,
        KERNEL_WIDTH,
        STRIDE,
        PADDING_HEIGHT,
        PADDING_WIDTH,
        E,
        D,
    >
{
    fn summarize(&self, input: &[usize]) -> Result<LayerSummary, SummaryError> {
        let layer = WindowLayer {
            name: "RectangularConv2D",
            in_channels: IN,
            out_channels: OUT,
            window: Self::WINDOW,
        };
        let products = IN * KERNEL_HEIGHT * KERNEL_WIDTH;
        layer.summarize(input, OUT * products, products)
    }
}

macro_rules! summarize_pooling {
    ($($layer:ident),+) => {$(
        impl<const K: usize, const STRIDE: usize, const PADDING: usize> Summarize for $layer<K, STRIDE, PADDING> {
            /// Works on any number of channels.
            fn summarize(&self, input: &[usize]) -> Result<LayerSummary, SummaryError> {
                let name = stringify!($layer);
                let &[_, channels, _, _] = input else {
                    return Err(wrong_input(name, "[batch, channel, height, width]".to_string(), input));
                };
                let layer = WindowLayer {
                    name,
                    in_channels: channels,
                    out_channels: channels,
                    window: Window::square(K, STRIDE, PADDING, 1),
                };
                layer.summarize(input, 0, 0)
            }
        }
    )+};
}

summarize_pooling!(MaxPool2D, AvgPool2D);

impl<const C: usize, E: Dtype, D: Storage<E>> Summarize for LayerNorm2D<C, E, D> {
    fn summarize(&self, input: &[usize]) -> Result<LayerSummary, SummaryError> {
        let kind = format!("LayerNorm2D {C}");
        let shape = image_shape(&kind, input, C)?;
        Ok(LayerSummary::leaf(kind, shape, 2 * C, 0))
    }
}

impl<const C: usize, E: Dtype, D: Storage<E>> Summarize for BatchNorm2D<C, E, D> {
    fn summarize(&self, input: &[usize]) -> Result<LayerSummary, SummaryError> {
        batch_norm_2d(input, C)
    }
}
