//! The layers made of dfdx's own operations: they run on every device that dfdx has. A GPU runs them this way.
//!
//! | file | what is in it |
//! |---|---|
//! | here | an operation that keeps nothing but its inputs, and is computed again for its gradients |
//! | `convolution` | convolutions and poolings: gather what is under the window, then multiply |
//! | `separable` | padding, upsampling and adaptive pooling: a product of matrices for rows and one for columns |
//! | `normalization` | batch and layer normalisation |
//! | `elementwise` | activations, sums, channels side by side, and the linear layer |
//!
//! The columns of a 3x3 convolution hold every pixel nine times. For a batch of photographs that is more than a GPU
//! has. So the batch is taken in chunks whose columns fit into a workspace.

mod convolution;
#[cfg(any(feature = "cuda", feature = "fallback"))]
mod device;
mod elementwise;
mod normalization;
mod separable;
#[cfg(all(test, not(feature = "fallback")))]
mod tests;

#[cfg(any(feature = "cuda", feature = "fallback"))]
pub(super) use device::layer_device_by_fallback;

use super::device::{Backward as WayBack, Batch, Operation, ReportError};
use dfdx::optim::UnusedTensors;
use dfdx::prelude::*;
use std::ops::Range;

/// The operations, with so much memory for each chunk of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fallback {
    /// Elements that one chunk may take between input and output.
    pub workspace: usize,
}

impl Default for Fallback {
    /// 128 MB.
    fn default() -> Self {
        Self { workspace: 1 << 25 }
    }
}

/// Images with their pixels in one row: `(batch, channel, height * width)`.
type Rows<D, T = NoneTape> = Tensor<(usize, usize, usize), f32, D, T>;
/// What records the operations inside a chunk.
type Recorded<D> = OwnedTape<f32, D>;

/// An operation that is computed again when its gradients are asked for.
struct Recomputed<D: ReportError> {
    dev: D,
    /// What gradients are asked for.
    leaves: Vec<Box<dyn Leaf<D>>>,
    /// The chunks of the batch.
    chunks: Vec<Range<usize>>,
    /// Of the result.
    shape: (usize, usize, usize, usize),
    /// What a chunk of the batch becomes.
    #[allow(clippy::type_complexity, reason = "a function from images to rows")]
    operation: Box<dyn Fn(Range<usize>) -> Result<Rows<D, Recorded<D>>, D::Err>>,
}

impl<D: ReportError> Recomputed<D> {
    /// The result, computed.
    fn output(&self) -> Result<Batch<D>, D::Err> {
        let parts = self.chunks.iter().map(|chunk| {
            let (part, _) = (self.operation)(chunk.clone())?.split_tape();
            Ok(part)
        });
        match join(parts.collect::<Result<Vec<_>, D::Err>>()?)? {
            Some(rows) => rows.try_reshape_like(&self.shape),
            None => self.dev.try_zeros_like(&self.shape),
        }
    }

    /// Adds to the gradients of the leaves.
    fn backward(
        &self,
        gradients: &mut Gradients<f32, D>,
        d_output: Batch<D>,
    ) -> Result<(), D::Err> {
        let d_output = rows(d_output)?;
        add_gradients(gradients, &self.leaves, &self.chunks, |chunk| {
            let output = (self.operation)(chunk.clone())?;
            let d_output = d_output.clone().try_slice((chunk, .., ..))?;
            output.try_mul(d_output)?.try_sum()
        })
    }

    /// The result and its backward pass.
    fn run(self) -> Result<Operation<D>, D::Err>
    where
        D: 'static,
    {
        let output = self.output()?;
        let d_y = output.ghost();
        Ok(Operation {
            output,
            backward: Box::new(move |gradients| {
                let d_output = taken!(gradients, &d_y, &self.dev);
                self.backward(gradients, d_output)
            }),
        })
    }
}

/// The gradient of a result, of which `$of` is the ghost (a type that dfdx does not name). Nothing reads it afterwards,
/// so its memory can go.
macro_rules! taken {
    ($gradients:ident, $of:expr, $dev:expr) => {{
        $gradients.try_alloc_for($of)?;
        let gradient = $gradients.get($of);
        *$gradients.get_or_alloc_mut($of)? = Storage::<f32>::try_alloc_len($dev, 1)?;
        gradient
    }};
}
use taken;

/// Adds to the gradients of the leaves those of a loss, which is the sum of what `loss` gives for each chunk.
fn add_gradients<D: ReportError>(
    gradients: &mut Gradients<f32, D>,
    leaves: &[Box<dyn Leaf<D>>],
    chunks: &[Range<usize>],
    loss: impl Fn(Range<usize>) -> Result<Tensor<Rank0, f32, D, Recorded<D>>, D::Err>,
) -> Result<(), D::Err> {
    // The gradients of the leaves move into a map of their own, where all others vanish after each chunk.
    let mut own = Gradients::leaky();
    let mut kept = UnusedTensors { ids: Vec::new() };
    for leaf in leaves {
        leaf.exchange(gradients, &mut own)?;
        leaf.keep(&mut kept);
    }
    own.retain_leafs(&kept.ids);
    for chunk in chunks {
        let (loss, operations) = loss(chunk.clone())?.split_tape();
        let (loss, tape) = loss.traced(own).split_tape();
        own = loss.put_tape(tape.merge(operations)).try_backward()?;
    }
    for leaf in leaves {
        leaf.exchange(gradients, &mut own)?;
    }
    Ok(())
}

impl Fallback {
    /// The chunks of a batch, where an operation needs `elements` elements for each image. Images without elements have
    /// none: dfdx's own operations cannot take them.
    fn chunks(&self, batch: usize, elements: usize) -> Vec<Range<usize>> {
        if elements == 0 {
            return Vec::new();
        }
        let images = (self.workspace / elements.max(1)).clamp(1, batch.max(1));
        (0..batch)
            .step_by(images)
            .map(|start| start..(start + images).min(batch))
            .collect()
    }

    /// `x` as a batch of another shape, and the way back where its elements had to be put in order first.
    ///
    /// # Errors
    /// Those of the device.
    ///
    /// # Example
    /// ```
    /// use dldna_nn::{nn::fallback::Fallback, prelude::*};
    ///
    /// let x = Cpu::default().tensor([[1.0, 2.0], [3.0, 4.0]]);
    /// let turned: Tensor<Rank2<2, 2>, f32, _> = x.clone().permute();
    /// let (same, back) = Fallback::default().contiguous(x, (2, 2, 1, 1))?;
    /// assert!(same.as_vec() == [1.0, 2.0, 3.0, 4.0] && back.is_none());
    /// let (copied, back) = Fallback::default().contiguous(turned, (2, 2, 1, 1))?;
    /// assert!(copied.as_vec() == [1.0, 3.0, 2.0, 4.0] && back.is_some());
    /// # Ok::<(), CpuError>(())
    /// ```
    #[allow(clippy::type_complexity, reason = "a batch and its way back")]
    pub fn contiguous<S: Shape, D: ReportError>(
        &self,
        x: Tensor<S, f32, D>,
        shape: (usize, usize, usize, usize),
    ) -> Result<(Batch<D>, Option<WayBack<D>>), D::Err> {
        // A tensor that is reshaped without a copy stays the same one for its gradient.
        let in_order = x.clone().try_reshape_like(&shape)?;
        if have_one_gradient(&x, &in_order) {
            return Ok((in_order, None));
        }
        let (batch, channels, height, width) = shape;
        let Operation { output, backward } = Recomputed {
            dev: x.device().clone(),
            leaves: leaves([&x as &dyn Leaf<D>]),
            chunks: std::iter::once(0..batch).collect(),
            shape,
            operation: Box::new(move |_| {
                let x = x.retaped::<Recorded<D>>();
                x.try_reshape_like(&(batch, channels, height * width))
            }),
        }
        .run()?;
        Ok((output, Some(backward)))
    }
}

/// Whether two tensors are one for dfdx's tape.
fn have_one_gradient<S1: Shape, S2: Shape, D: ReportError>(
    one: &Tensor<S1, f32, D>,
    other: &Tensor<S2, f32, D>,
) -> bool {
    let mut both = UnusedTensors { ids: Vec::new() };
    both.add(one);
    both.add(other);
    both.ids[0] == both.ids[1]
}

/// The pixels of each image in one row, without a copy where they are that already.
fn rows<D: ReportError, T: Tape<f32, D>>(
    images: Tensor<(usize, usize, usize, usize), f32, D, T>,
) -> Result<Rows<D, T>, D::Err> {
    let &(batch, channels, height, width) = images.shape();
    images.try_reshape_like(&(batch, channels, height * width))
}

/// Some images of a batch, recorded on a tape of their own.
///
/// They are gathered: the gradient of dfdx's slice takes the place of what was there, and is not added to it.
fn part<D: ReportError>(x: &Batch<D>, range: Range<usize>) -> Result<Rows<D, Recorded<D>>, D::Err> {
    let all = rows(x.retaped::<Recorded<D>>())?;
    if range == (0..x.shape().0) {
        return Ok(all);
    }
    let count = range.len();
    let index = x.device().try_tensor_from_vec(range.collect(), (count,))?;
    all.try_gather(index)
}

/// A tensor that gradients are asked for, of whatever shape.
trait Leaf<D: ReportError> {
    fn boxed(&self) -> Box<dyn Leaf<D>>;
    /// Adds the tensor to those whose gradients stay.
    fn keep(&self, kept: &mut UnusedTensors);
    /// Exchanges the gradients that two maps have for the tensor.
    fn exchange(
        &self,
        one: &mut Gradients<f32, D>,
        other: &mut Gradients<f32, D>,
    ) -> Result<(), D::Err>;
}

impl<S: Shape, D: ReportError> Leaf<D> for Tensor<S, f32, D> {
    fn boxed(&self) -> Box<dyn Leaf<D>> {
        Box::new(self.clone())
    }

    fn keep(&self, kept: &mut UnusedTensors) {
        kept.add(self);
    }

    fn exchange(
        &self,
        one: &mut Gradients<f32, D>,
        other: &mut Gradients<f32, D>,
    ) -> Result<(), D::Err> {
        let (one, other) = (one.get_or_alloc_mut(self)?, other.get_or_alloc_mut(self)?);
        std::mem::swap(one, other);
        Ok(())
    }
}

fn leaves<'a, D: ReportError>(
    tensors: impl IntoIterator<Item = &'a dyn Leaf<D>>,
) -> Vec<Box<dyn Leaf<D>>> {
    tensors.into_iter().map(Leaf::boxed).collect()
}

/// The chunks of a batch in one tensor; `None` of an empty batch. All but the last have the same size.
fn join<D: ReportError>(mut parts: Vec<Rows<D>>) -> Result<Option<Rows<D>>, D::Err> {
    let Some(last) = parts.pop() else {
        return Ok(None);
    };
    let Some(first) = parts.first() else {
        return Ok(Some(last));
    };
    let &(images, channels, pixels) = first.shape();
    let rest = if last.shape().0 == images {
        parts.push(last);
        None
    } else {
        Some(last)
    };
    let shape = (parts.len() * images, channels, pixels);
    let whole = parts.try_stack()?.try_reshape_like(&shape)?;
    Ok(Some(match rest {
        Some(rest) => (whole, rest).try_concat_along(Axis::<0>)?,
        None => whole,
    }))
}
