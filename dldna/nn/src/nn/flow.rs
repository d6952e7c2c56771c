//! Images on their way through a network: computed late, so that neighbouring layers become one operation.
//!
//! A batch norm after a convolution, the shortcut that is added to it and the activation behind them read and write the
//! same images. Done one after the other, each of them takes them from memory and puts them back; done together, the
//! values are still in the cache. A network need not be written for that: a convolution, a batch norm and a sum are only
//! noted down here, and run together when somebody needs their result.
//!
//! | step | evaluation | training |
//! |---|---|---|
//! | convolution | noted | noted |
//! | batch norm | noted | convolution and statistics run, the rest is noted |
//! | sum | noted | noted |
//! | activation | all of it runs | all of it runs, or is left to the next step |
//!
//! Behind a batch norm without a shortcut, ReLU is left to the convolution or the pooling that comes next: it computes its input for
//! itself, and once more for its gradient, so that nobody has to keep it in memory (see [`Later`]).

use super::device::{Backward, *};
use super::error::LayerError;
use super::fallback::Fallback;
use crate::kernels::activation::Activation;
use crate::kernels::window::Window;
use crate::summary::{LayerSummary, Sketch, Summarize, SummaryError};
use dfdx::prelude::*;
use std::cell::RefCell;
use std::rc::Rc;

/// Images at some place in a network, or what has to be done to have them.
pub struct Flow<D: LayerDevice> {
    state: RefCell<State<D>>,
    run: Rc<Run<D>>,
}

/// One pass through a network.
struct Run<D: LayerDevice> {
    /// The backward passes of the operations so far, where gradients are asked for.
    recorded: Option<RefCell<Vec<Backward<D>>>>,
    /// The first thing that went wrong.
    failure: RefCell<Option<D::Err>>,
    /// The layers so far, where only shapes are asked for.
    sketch: Option<RefCell<Sketch>>,
}

enum State<D: LayerDevice> {
    Computed(Batch<D>),
    /// Normalised, with their activation: whoever comes next computes them, and need not keep them.
    Normalised(D::Normalised),
    /// A convolution that has not run.
    Convolution(Input<D>, Convolution<D>),
    /// A normalisation that has not run.
    Normalization(Box<Normalization<D>>),
    /// Nothing but a shape, in a summary.
    Shape(Vec<usize>),
    /// See [`Run::failure`].
    Failed,
}

struct Normalization<D: LayerDevice> {
    of: Normalized<D>,
    norm: NormParameters<D>,
    shortcut: Option<Batch<D>>,
}

enum Normalized<D: LayerDevice> {
    /// In training.
    ByBatch(BatchStatistics<D, D::Values>),
    /// In evaluation: the input, the convolution in front, and the running statistics.
    ByRunning(Batch<D>, Option<Convolution<D>>, ChannelStatistics<D>),
}

/// The shape that a summary finds behind a step, from the one in front of it.
type StepOfSummary<'a> = dyn FnMut(&mut Sketch, &[usize]) -> Option<Vec<usize>> + 'a;

impl<D: LayerDevice> Run<D> {
    /// The output of an operation; its backward pass is recorded.
    fn record(&self, operation: Operation<D>) -> Batch<D> {
        if let Some(recorded) = &self.recorded {
            recorded.borrow_mut().push(operation.backward);
        }
        operation.output
    }

    /// What a summary makes of a step: the shape after it. Not by the type of `step`: so the code is the same for all layers.
    fn sketch(&self, step: &mut dyn FnMut(&mut Sketch) -> Option<Vec<usize>>) -> State<D> {
        let sketch = self.sketch.as_ref();
        let shape = sketch.and_then(|sketch| step(&mut sketch.borrow_mut()));
        shape.map_or(State::Failed, State::Shape)
    }

    /// A state, or the failure.
    fn state(&self, result: Result<State<D>, D::Err>) -> State<D> {
        result.unwrap_or_else(|error| {
            self.failure.borrow_mut().get_or_insert(error);
            State::Failed
        })
    }

    /// Runs what `state` has noted, so that the images are there.
    fn finish(&self, state: State<D>) -> State<D> {
        match self.settle(state, Activation::Identity) {
            State::Normalised(normalised) => {
                let images = D::compute(normalised).map(|images| self.record(images));
                self.state(images.map(State::Computed))
            }
            other => other,
        }
    }

    /// Runs what `state` has noted, with an activation behind it.
    fn settle(&self, state: State<D>, activation: Activation) -> State<D> {
        self.state(self.try_settle(state, activation))
    }

    fn try_settle(&self, state: State<D>, activation: Activation) -> Result<State<D>, D::Err> {
        let x = match (state, activation) {
            (State::Normalization(normalization), _) => {
                return self.normalize(*normalization, activation);
            }
            (State::Convolution(x, conv), _) => self.record(D::conv2d(x, conv)?),
            (State::Computed(x), _) => x,
            (state, Activation::Identity) => return Ok(state),
            (State::Normalised(normalised), _) => self.record(D::compute(normalised)?),
            (state @ (State::Shape(_) | State::Failed), _) => return Ok(state),
        };
        Ok(State::Computed(match activation {
            Activation::Identity => x,
            _ => self.record(D::activate(x, activation)?),
        }))
    }

    fn normalize(
        &self,
        Normalization { of, norm, shortcut }: Normalization<D>,
        activation: Activation,
    ) -> Result<State<D>, D::Err> {
        let epilogue = Epilogue {
            shortcut,
            activation,
        };
        Ok(State::Computed(match of {
            Normalized::ByBatch(of) => {
                if epilogue.shortcut.is_some() {
                    self.record(D::batch_norm2d_train(of, norm, epilogue)?)
                } else {
                    match D::batch_norm2d_later(of, norm, activation)? {
                        Later::Computed(operation) => self.record(operation),
                        Later::Normalised(normalised) => {
                            return Ok(State::Normalised(normalised));
                        }
                    }
                }
            }
            Normalized::ByRunning(x, conv, running) if self.recorded.is_none() => {
                D::batch_norm2d_eval(x, conv, norm, running, epilogue)?
            }
            Normalized::ByRunning(x, conv, running) => {
                let x = match conv {
                    Some(conv) => self.record(D::conv2d(Input::Images(x), conv)?),
                    None => x,
                };
                self.record(D::batch_norm2d_frozen(x, norm, running, epilogue)?)
            }
        }))
    }
}

impl<D: LayerDevice> Flow<D> {
    /// Images that enter a network. `recorded`: whether gradients are asked for.
    pub(super) fn start(images: Batch<D>, recorded: bool) -> Self {
        let shape = *images.shape();
        Self::start_with(images, shape, recorded)
    }

    /// Feature vectors that enter a network.
    pub(super) fn start_vectors(vectors: Tensor<(usize, usize), f32, D>, recorded: bool) -> Self {
        let &(batch, features) = vectors.shape();
        Self::start_with(vectors, (batch, features, 1, 1), recorded)
    }

    fn start_with<S: Shape>(
        x: Tensor<S, f32, D>,
        shape: (usize, usize, usize, usize),
        recorded: bool,
    ) -> Self {
        let run = Rc::new(Run {
            recorded: recorded.then(RefCell::default),
            failure: RefCell::default(),
            sketch: None,
        });
        let x = Fallback::default()
            .contiguous(x, shape)
            .map(|(output, backward)| match backward {
                Some(backward) => run.record(Operation { output, backward }),
                None => output,
            });
        let state = run.state(x.map(State::Computed));
        Self::of(state, run)
    }

    /// The images that leave the network, and the backward passes of all operations in order.
    #[allow(clippy::type_complexity, reason = "a batch and its backward passes")]
    pub(super) fn end(self) -> Result<(Batch<D>, Vec<Backward<D>>), D::Err> {
        let Self { state, run } = self;
        let state = run.finish(state.into_inner());
        let State::Computed(images) = state else {
            let failure = run.failure.borrow_mut().take();
            return Err(failure.unwrap_or_else(|| unreachable!("a failure is kept")));
        };
        let recorded = run.recorded.as_ref();
        Ok((images, recorded.map(RefCell::take).unwrap_or_default()))
    }

    /// [`end`](Self::end) for feature vectors.
    #[allow(clippy::type_complexity, reason = "vectors and their backward passes")]
    pub(super) fn end_vectors(
        self,
    ) -> Result<(Tensor<(usize, usize), f32, D>, Vec<Backward<D>>), D::Err> {
        let (x, recorded) = self.end()?;
        let &(batch, channels, height, width) = x.shape();
        Ok((
            x.try_reshape_like(&(batch, channels * height * width))?,
            recorded,
        ))
    }

    /// A shape that enters a network.
    pub(super) fn start_sketch(shape: Vec<usize>) -> Self {
        Self {
            state: RefCell::new(State::Shape(shape)),
            run: Rc::new(Run {
                recorded: None,
                failure: RefCell::default(),
                sketch: Some(RefCell::default()),
            }),
        }
    }

    /// What the network is that the shape has gone through.
    pub(super) fn end_sketch(self) -> Result<LayerSummary, SummaryError> {
        match &self.run.sketch {
            Some(sketch) => sketch.take().finish(),
            None => unreachable!("a sketch is ended as it was started"),
        }
    }

    fn of(state: State<D>, run: Rc<Run<D>>) -> Self {
        Self {
            state: RefCell::new(state),
            run,
        }
    }

    /// What `operation` makes of the images.
    pub(super) fn apply(
        self,
        operation: impl FnOnce(Batch<D>) -> Result<Operation<D>, D::Err>,
    ) -> Self {
        self.then(|run, x| Ok(State::Computed(run.record(operation(x)?))))
    }

    /// The state that `next` makes of the images, once they are computed.
    fn then(self, next: impl FnOnce(&Run<D>, Batch<D>) -> Result<State<D>, D::Err>) -> Self {
        let Self { state, run } = self.computed();
        let state = match state.into_inner() {
            State::Computed(x) => run.state(next(&run, x)),
            other => other,
        };
        Self::of(state, run)
    }

    /// What was noted down has run.
    fn computed(self) -> Self {
        D::finish(self)
    }

    /// Runs what was noted down, so that the images are there.
    pub(super) fn finish(self) -> Self {
        let Self { state, run } = self;
        Self::of(run.finish(state.into_inner()), run)
    }

    /// Runs what was noted down, with an activation behind it.
    pub(super) fn settle(self, activation: Activation) -> Self {
        let Self { state, run } = self;
        Self::of(run.settle(state.into_inner(), activation), run)
    }

    /// Tells a summary the name of the layer that comes next.
    pub(super) fn name(&self, name: &str) {
        if let Some(sketch) = &self.run.sketch {
            sketch.borrow_mut().name(name);
        }
    }

    /// `layer` applied to the images: `compute` does it, or a summary notes it down.
    pub(super) fn layer(self, layer: &dyn Summarize, compute: impl FnOnce(Self) -> Self) -> Self {
        match self.run.sketch {
            None => compute(self),
            Some(_) => self.sketch(&mut |sketch, shape| sketch.layer(layer, shape)),
        }
    }

    /// A function of the images without parameters, that keeps their shape; a summary calls it `name`.
    pub(super) fn function(
        self,
        name: &str,
        kind: &str,
        compute: impl FnOnce(Self) -> Self,
    ) -> Self {
        match self.run.sketch {
            None => compute(self),
            Some(_) => self.sketch(&mut |sketch, shape| sketch.function(name, kind, shape)),
        }
    }

    /// What `layers` make of the images; a summary puts them under one heading.
    pub(super) fn group(self, kind: &str, layers: impl FnOnce(Self) -> Self) -> Self {
        self.open(kind);
        layers(self).close()
    }

    /// Tells a summary the heading of the layers that come next.
    fn open(&self, kind: &str) {
        if let (Some(sketch), State::Shape(shape)) = (&self.run.sketch, &*self.state.borrow()) {
            sketch.borrow_mut().open(kind, shape);
        }
    }

    /// Tells a summary that the layers under a heading have come.
    fn close(self) -> Self {
        match self.run.sketch {
            None => self,
            Some(_) => self.sketch(&mut |sketch, shape| sketch.close(shape)),
        }
    }

    /// What a summary makes of the shape.
    fn sketch(self, step: &mut StepOfSummary) -> Self {
        let Self { state, run } = self;
        let state = match state.into_inner() {
            State::Shape(shape) => run.sketch(&mut |sketch| step(sketch, &shape)),
            other => other,
        };
        Self::of(state, run)
    }

    /// What `next` makes of the images, which it computes itself if they are not there.
    fn then_with_input(
        self,
        next: impl FnOnce(&Run<D>, Input<D>) -> Result<State<D>, D::Err>,
    ) -> Self {
        let Self { state, run } = D::settle(self, Activation::Identity);
        let input = match state.into_inner() {
            State::Computed(x) => Input::Images(x),
            State::Normalised(normalised) => Input::Normalised(normalised),
            other => return Self::of(other, run),
        };
        Self::of(run.state(next(&run, input)), run)
    }

    /// Convolution.
    pub(super) fn conv2d(self, conv: Convolution<D>) -> Self {
        self.then_with_input(|_, x| Ok(State::Convolution(x, conv)))
    }

    /// The mean of each window.
    pub(super) fn avg_pool2d(self, window: Window) -> Self {
        self.apply(|x| D::avg_pool2d(x, window))
    }

    /// The largest value of each window.
    pub(super) fn max_pool2d(self, window: Window) -> Self {
        self.then_with_input(|run, x| {
            Ok(State::Computed(match x {
                Input::Images(x) if run.recorded.is_none() => D::max_pool2d_eval(x, window)?,
                x => run.record(D::max_pool2d(x, window)?),
            }))
        })
    }

    /// Batch normalisation in evaluation.
    pub(super) fn batch_norm2d_eval(
        self,
        norm: NormParameters<D>,
        running: ChannelStatistics<D>,
    ) -> Self {
        self.normalize(norm, |run, x, conv| {
            let x = match x {
                Input::Images(x) => x,
                Input::Normalised(normalised) => run.record(D::compute(normalised)?),
            };
            Ok(Normalized::ByRunning(x, conv, running))
        })
    }

    /// Batch normalisation in training; `update` gets the statistics of the batch, and the number of values for a
    /// channel.
    pub(super) fn batch_norm2d_train(
        self,
        norm: NormParameters<D>,
        update: impl FnOnce(&ChannelStatistics<D>, usize) -> Result<(), D::Err>,
    ) -> Self {
        self.normalize(norm, |run, x, conv| {
            let of = match (conv, x) {
                (Some(conv), x) => D::conv2d_statistics(x, conv)?,
                (None, Input::Images(x)) => D::statistics(x)?,
                (None, Input::Normalised(normalised)) => {
                    D::statistics(run.record(D::compute(normalised)?))?
                }
            };
            let (batch, _, height, width) = of.shape;
            update(&with_bias(&of)?, batch * height * width)?;
            Ok(Normalized::ByBatch(of))
        })
    }

    /// Notes a normalisation down of the images, and of the convolution that waits to be run on them.
    fn normalize(
        self,
        norm: NormParameters<D>,
        of: impl FnOnce(&Run<D>, Input<D>, Option<Convolution<D>>) -> Result<Normalized<D>, D::Err>,
    ) -> Self {
        let Self { state, run } = self;
        let of = match state.into_inner() {
            State::Convolution(x, conv) => of(&run, x, Some(conv)),
            other => match Self::of(other, Rc::clone(&run))
                .computed()
                .state
                .into_inner()
            {
                State::Computed(x) => of(&run, Input::Images(x), None),
                other => return Self::of(other, run),
            },
        };
        let state = of.map(|of| {
            State::Normalization(Box::new(Normalization {
                of,
                norm,
                shortcut: None,
            }))
        });
        Self::of(run.state(state), run)
    }

    /// The activation of each value.
    pub(super) fn activate(self, activation: Activation) -> Self {
        D::settle(self, activation)
    }

    /// The sum of two flows. A normalisation that waits takes the other one along as its shortcut.
    pub(super) fn plus(self, other: Self) -> Self {
        let run = self.run;
        let computed = |state| run.finish(state);
        let state = match (self.state.into_inner(), other.state.into_inner()) {
            (State::Normalization(mut waiting), other)
            | (other, State::Normalization(mut waiting))
                if waiting.shortcut.is_none() =>
            {
                match computed(other) {
                    State::Computed(shortcut) => {
                        waiting.shortcut = Some(shortcut);
                        State::Normalization(waiting)
                    }
                    other => other,
                }
            }
            (x, y) => match (computed(x), computed(y)) {
                (State::Computed(x), State::Computed(y)) => {
                    let sum = D::add(x, y).map(|sum| State::Computed(run.record(sum)));
                    run.state(sum)
                }
                (State::Shape(x), State::Shape(y)) => run.sketch(&mut |sketch| sketch.sum(&x, &y)),
                _ => State::Failed,
            },
        };
        Self::of(state, run)
    }

    /// The same elements in another shape.
    pub(super) fn reshape(
        self,
        shape: impl FnOnce(
            &(usize, usize, usize, usize),
        ) -> Result<(usize, usize, usize, usize), D::Err>,
    ) -> Self {
        self.then(|_, x| {
            let shape = shape(x.shape())?;
            // Contiguous tensors keep their identity, and with it their gradient.
            Ok(State::Computed(x.try_reshape_like(&shape)?))
        })
    }

    /// Sets so large a share of the elements to 0 at random, and makes the others larger by as much.
    pub(super) fn dropout(self, probability: f64) -> Self {
        self.apply(|x| {
            let ones = x.device().try_ones_like(x.shape())?;
            D::multiply(x, ones.try_dropout(probability)?)
        })
    }

    /// The channels of all flows side by side.
    pub(super) fn concat(flows: Vec<Self>) -> Self {
        let Some(run) = flows.first().map(|flow| Rc::clone(&flow.run)) else {
            unreachable!("a tuple of flows has at least one")
        };
        let (mut batches, mut shapes) = (Vec::new(), Vec::new());
        for flow in flows {
            match flow.computed().state.into_inner() {
                State::Computed(batch) => batches.push(batch),
                State::Shape(shape) => shapes.push(shape),
                other => return Self::of(other, run),
            }
        }
        let state = if run.sketch.is_some() {
            run.sketch(&mut |sketch| sketch.beside(&shapes))
        } else {
            let both = D::concat(batches).map(|both| State::Computed(run.record(both)));
            run.state(both)
        };
        Self::of(state, run)
    }

    /// Each channel of each image times a factor of its own.
    pub(super) fn scale_channels(self, factors: Self) -> Self {
        match factors.computed().state.into_inner() {
            State::Computed(factors) => self.apply(|x| D::scale_channels(x, factors)),
            State::Failed => Self::of(State::Failed, self.run),
            _ => self,
        }
    }

    /// The images times a constant.
    pub(crate) fn scale(self, factor: f32) -> Self {
        self.apply(|x| {
            let constants = x.device().try_ones_like(x.shape())?.try_mul(factor)?;
            D::multiply(x, constants)
        })
    }

    /// The flow where it has as many channels as it should.
    pub(super) fn with_channels(self, layer: &str, expected: usize) -> Self {
        let Self { state, run } = self.computed();
        let found = |channels| LayerError::Channels {
            layer: layer.to_owned(),
            expected,
            found: channels,
        };
        let state = match state.into_inner() {
            State::Computed(x) if x.shape().1 != expected => {
                run.state(Err(D::error(found(x.shape().1))))
            }
            State::Shape(shape) if shape[1] != expected => {
                run.sketch(&mut |sketch| sketch.wrong_channels(layer, expected, &shape))
            }
            other => other,
        };
        Self::of(state, run)
    }
}

/// The statistics of a convolution with its bias, which moves the mean and nothing else.
fn with_bias<D: LayerDevice>(
    of: &BatchStatistics<D, D::Values>,
) -> Result<ChannelStatistics<D>, D::Err> {
    let mut statistics = of.statistics.clone();
    let convolution = of.convolution.as_ref();
    if let Some(bias) = convolution.and_then(|conv| conv.bias.as_ref()) {
        statistics.mean = statistics.mean.try_add(bias.clone())?;
    }
    Ok(statistics)
}

/// A copy that the network may go on with on another path. What was noted down runs first, once for both.
impl<D: LayerDevice> Clone for Flow<D> {
    fn clone(&self) -> Self {
        let noted = Self::of(self.state.replace(State::Failed), Rc::clone(&self.run));
        let state = noted.computed().state.into_inner();
        let copy = match &state {
            State::Computed(x) => State::Computed(x.clone()),
            State::Shape(shape) => State::Shape(shape.clone()),
            _ => State::Failed,
        };
        self.state.replace(state);
        Self::of(copy, Rc::clone(&self.run))
    }
}
