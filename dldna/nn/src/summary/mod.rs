//! Output sizes, parameter counts, multiply-adds and memory of any network, without running it.
//!
//! [`Summary::of`] walks a built network with the shape of an input and makes a table of its layers. Nothing is
//! computed, so the largest network is summarised at once. A [`network!`](crate::network) can be summarised as it is,
//! a struct of layers that implements [`Summarize`].
//!
//! What is counted:
//! - **Parameters** are the elements that training changes, as [`count_parameters`] and PyTorch's `parameters()` count
//!   them. The running statistics of a batch norm are not among them.
//! - **Multiply-adds** are the multiplications, each with its addition, of convolutions and linear layers. Biases,
//!   batch norms, activations and pooling count as nothing: they are a small share of the work. Papers count this
//!   way (the "1.8 billion FLOPs" of ResNet-18 are multiply-adds), and so does fvcore for these layers.
//! - **Activations** are the outputs of all layers: what back-propagation has to keep.
//!
//! A count that does not fit its type is the largest number of that type.

mod dfdx;
pub(crate) mod layers;
mod sizes;
mod sketch;

pub(crate) use layers::WindowLayer;
pub use sizes::{
    OutputSizeError, conv_multiply_adds, conv_output_size, conv_parameters, pool_output_size,
    receptive_field_behind,
};
pub(crate) use sketch::{Sketch, sketched_shape};

use std::fmt;

use ::dfdx::prelude::{Cpu, NumParams, TensorCollection};

use crate::table::{Table, with_thousands};

/// Number of parameters that training changes, counted by dfdx from the tensors of the model.
///
/// ```
/// use dldna_nn::{prelude::*, summary::count_parameters};
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
    pub(crate) fn inside(self, name: &str) -> Self {
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
/// use dldna_nn::summary::{LayerSummary, Summarize, Summary, SummaryError};
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
    note = "implement `dldna_nn::summary::Summarize` for it: list its layers with `LayerSummary::group(..).then(..)`"
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
        let channels = side_by_side(left, &second)?;
        let mut both = self.with_child(name, branch);
        both.output_shape = vec![batch, channels, height, width];
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
        self.parameters = self.parameters.saturating_add(child.parameters);
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
pub(crate) fn summarize_named(
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
    /// use dldna_nn::{prelude::*, summary::Summary};
    ///
    /// let network = Cpu::default().build_module::<(Linear<784, 32>, ReLU, Linear<32, 10>), f32>();
    /// let summary = Summary::of(&network, &[1, 784])?;
    /// assert_eq!(summary.multiply_adds(), 784 * 32 + 32 * 10);
    /// println!("{summary}");
    ///
    /// let error = Summary::of(&network, &[1, 28, 28]).unwrap_err();
    /// assert_eq!(error.layer, "0");
    /// # Ok::<(), dldna_nn::summary::SummaryError>(())
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
    pub fn with_depth(&self, depth: usize) -> Self {
        Self {
            depth,
            ..self.clone()
        }
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

/// The channels of a branch beside `channels` others.
pub(crate) fn side_by_side(channels: usize, branch: &[usize]) -> Result<usize, SummaryError> {
    channels.checked_add(branch[1]).ok_or_else(|| {
        let problem = SummaryProblem::OutputSize {
            kind: "Channels side by side".to_owned(),
            input: branch.to_vec(),
            source: OutputSizeError::Overflow,
        };
        problem.into()
    })
}

pub(crate) fn elements(shape: &[usize]) -> u128 {
    shape.iter().fold(1, |product: u128, &size| {
        product.saturating_mul(size as u128)
    })
}
