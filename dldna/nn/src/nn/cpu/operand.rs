//! The input of an operation: there, or to be computed.

use super::normalised::{Normalisation, Normalised};
use super::{Pixels, Result, elements, shared};
use crate::kernels::scratch::{Lent, Scratch};
use crate::nn::Input;
use dfdx::prelude::*;
use std::rc::Rc;

/// Adds to a gradient.
pub(super) type AddTo<'a> = Box<dyn FnOnce(&mut [f32]) + 'a>;
/// Hands the gradient with respect to an operation's input over to the function that adds to it.
type InputBackward = Box<dyn FnOnce(AddTo, &mut Gradients<f32, Cpu>) -> Result<()>>;

/// The input of an operation.
pub(super) struct Operand {
    pub lender: Lender,
    pub shape: (usize, usize, usize, usize),
    pub device: Cpu,
    pub backward: InputBackward,
}

/// Lends the elements as often as they are needed.
pub(super) enum Lender {
    Images(Pixels),
    Normalised(Rc<Normalisation>),
}

impl Lender {
    /// The elements. To be called on the network's own thread, on which tensors come and go: what the system's allocator gets back
    /// from one thread it keeps from the others.
    pub(super) fn elements(&self) -> Result<Lent<'_>> {
        Ok(match self {
            Lender::Images(pixels) => Lent::Slice(pixels),
            Lender::Normalised(normalisation) => Lent::Scratch(normalisation.results(None)?.0),
        })
    }
}

impl Operand {
    pub(super) fn of(input: Input<Cpu>) -> Result<Self> {
        Ok(match input {
            Input::Images(x) => {
                let d_x = x.ghost();
                Self {
                    lender: Lender::Images(shared(&x)?),
                    shape: *x.shape(),
                    device: x.device().clone(),
                    backward: Box::new(move |add_to, gradients| {
                        add_to(gradients.get_or_alloc_mut(&d_x)?);
                        Ok(())
                    }),
                }
            }
            Input::Normalised(normalised) => {
                let device = normalised.device();
                let Normalised {
                    normalisation,
                    shape,
                    to_operands,
                } = normalised;
                let normalisation = Rc::new(normalisation);
                Self {
                    lender: Lender::Normalised(Rc::clone(&normalisation)),
                    shape,
                    device,
                    backward: Box::new(move |add_to, gradients| {
                        let mut gradient = Scratch::zeros(elements(&shape));
                        add_to(&mut gradient);
                        let gradient = normalisation.backward(gradient, gradients)?;
                        drop(normalisation);
                        to_operands(gradient, gradients)
                    }),
                }
            }
        })
    }
}
