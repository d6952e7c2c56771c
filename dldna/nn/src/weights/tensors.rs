//! The tensors of a network, one after the other.

use dfdx::prelude::{tensor_collection::*, *};

/// A tensor of a network, of whatever shape: what [`for_each_tensor`] shows.
pub trait AnyTensor<D: Device<f32>> {
    /// The size of each of its axes.
    fn sizes(&self) -> Vec<usize>;
    /// Its values in row-major order.
    fn values(&self) -> Vec<f32>;
    /// Other values, as many as it has elements, in row-major order.
    fn set(&mut self, values: &[f32]);
    /// Where it is.
    fn device(&self) -> &D;
    /// The gradient with respect to it, which has been computed.
    fn gradient(&self, gradients: &Gradients<f32, D>) -> Vec<f32>;
}

impl<S: Shape, D: Device<f32>> AnyTensor<D> for Tensor<S, f32, D> {
    fn sizes(&self) -> Vec<usize> {
        self.shape().concrete().as_ref().to_vec()
    }

    fn values(&self) -> Vec<f32> {
        let mut values = vec![0.0; self.shape().num_elements()];
        self.copy_into(&mut values);
        values
    }

    fn set(&mut self, values: &[f32]) {
        self.copy_from(values);
    }

    fn device(&self) -> &D {
        Tensor::device(self)
    }

    fn gradient(&self, gradients: &Gradients<f32, D>) -> Vec<f32> {
        gradients.get(self).as_vec()
    }
}

/// Shows each tensor of a network with its name, in the order of the layers.
///
/// ```
/// use dldna_nn::{prelude::*, weights::for_each_tensor};
///
/// let network = Cpu::seed_from_u64(0).build_module::<(Linear<2, 3>, ReLU), f32>();
/// let mut names = Vec::new();
/// for_each_tensor(&network, |name, tensor| names.push(format!("{name}: {:?}", tensor.sizes())));
/// assert_eq!(names, ["0.weight: [3, 2]", "0.bias: [3]"]);
/// ```
pub fn for_each_tensor<M: TensorCollection<f32, D>, D: Device<f32>>(
    network: &M,
    f: impl FnMut(&str, &dyn AnyTensor<D>),
) {
    struct Each<F>(F);
    impl<F: FnMut(&str, &dyn AnyTensor<D>), D: Device<f32>> TensorVisitor<f32, D> for Each<F> {
        type Viewer = (ViewTensorRef, ViewTensorName);
        type Err = std::convert::Infallible;
        type E2 = f32;
        type D2 = D;

        fn visit<S: Shape>(
            &mut self,
            _: TensorOptions<S, f32, D>,
            (tensor, name): (&Tensor<S, f32, D>, String),
        ) -> Result<Option<Tensor<S, f32, D>>, Self::Err> {
            (self.0)(&name, tensor);
            Ok(None)
        }
    }
    let walked = M::iter_tensors(&mut RecursiveWalker {
        m: (network, String::new()),
        f: &mut Each(f),
    });
    let Ok(_) = walked; // cannot fail
}

/// [`for_each_tensor`] with tensors that can be written to.
pub(super) fn for_each_tensor_mut<M: TensorCollection<f32, D>, D: Device<f32>>(
    network: &mut M,
    f: impl FnMut(&str, &mut dyn AnyTensor<D>),
) {
    struct Each<F>(F);
    impl<F: FnMut(&str, &mut dyn AnyTensor<D>), D: Device<f32>> TensorVisitor<f32, D> for Each<F> {
        type Viewer = (ViewTensorMut, ViewTensorName);
        type Err = std::convert::Infallible;
        type E2 = f32;
        type D2 = D;

        fn visit<S: Shape>(
            &mut self,
            _: TensorOptions<S, f32, D>,
            (tensor, name): (&mut Tensor<S, f32, D>, String),
        ) -> Result<Option<Tensor<S, f32, D>>, Self::Err> {
            (self.0)(&name, tensor);
            Ok(None)
        }
    }
    let walked = M::iter_tensors(&mut RecursiveWalker {
        m: (network, String::new()),
        f: &mut Each(f),
    });
    let Ok(_) = walked; // cannot fail
}
