//! The tensors of a network, one after the other.

use crate::kernels::elements::elements_mut;
use dfdx::prelude::{tensor_collection::*, *};
use std::any::Any;
use std::convert::Infallible;

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

/// A tensor that is shown to be changed.
pub(crate) trait AnyTensorMut<D: Device<f32>>: AnyTensor<D> {
    /// The gradient with respect to it; zeros where none has been computed.
    fn gradient_mut<'a>(
        &self,
        gradients: &'a mut Gradients<f32, D>,
    ) -> Result<&'a mut <D as Storage<f32>>::Vec, D::Err>;
    /// Its elements as they lie in memory; `None` on another device than the CPU, and where one element stands for several.
    fn elements_mut(&mut self) -> Option<&mut [f32]>;
}

impl<S: Shape, D: Device<f32>> AnyTensorMut<D> for Tensor<S, f32, D> {
    fn gradient_mut<'a>(
        &self,
        gradients: &'a mut Gradients<f32, D>,
    ) -> Result<&'a mut <D as Storage<f32>>::Vec, D::Err> {
        gradients.get_or_alloc_mut(self)
    }

    fn elements_mut(&mut self) -> Option<&mut [f32]> {
        let tensor: &mut dyn Any = self;
        tensor
            .downcast_mut::<Tensor<S, f32, Cpu>>()
            .and_then(elements_mut)
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
    mut f: impl FnMut(&str, &dyn AnyTensor<D>),
) {
    walk(network, &mut f);
}

/// The walk through a network is much code, layer by layer. Since it knows nothing of who asks, it is compiled once for each network.
fn walk<M: TensorCollection<f32, D>, D: Device<f32>>(
    network: &M,
    f: &mut dyn FnMut(&str, &dyn AnyTensor<D>),
) {
    struct Each<'a, D>(&'a mut dyn FnMut(&str, &dyn AnyTensor<D>));
    impl<D: Device<f32>> TensorVisitor<f32, D> for Each<'_, D> {
        type Viewer = Named;
        type Err = Infallible;
        type E2 = f32;
        type D2 = D;

        fn visit<S: Shape>(
            &mut self,
            _: TensorOptions<S, f32, D>,
            (tensor, name): (&Tensor<S, f32, D>, String),
        ) -> Result<Option<Tensor<S, f32, D>>, Infallible> {
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

/// What is done with each tensor of a network: its name, the tensor, and whether it is trained.
pub(crate) type Change<'a, D> = dyn FnMut(&str, &mut dyn AnyTensorMut<D>, bool) + 'a;

/// [`for_each_tensor`] with tensors that can be written to. Here too the walk is the same for all who ask.
pub(crate) fn for_each_tensor_mut<M: TensorCollection<f32, D>, D: Device<f32>>(
    network: &mut M,
    f: &mut Change<D>,
) {
    struct Each<'a, 'f, D>(&'a mut Change<'f, D>);
    impl<D: Device<f32>> TensorVisitor<f32, D> for Each<'_, '_, D> {
        type Viewer = NamedMut;
        type Err = Infallible;
        type E2 = f32;
        type D2 = D;

        fn visit<S: Shape>(
            &mut self,
            options: TensorOptions<S, f32, D>,
            (tensor, name): (&mut Tensor<S, f32, D>, String),
        ) -> Result<Option<Tensor<S, f32, D>>, Infallible> {
            (self.0)(&name, tensor, options.do_gradient_update);
            Ok(None)
        }
    }
    let walked = M::iter_tensors(&mut RecursiveWalker {
        m: (network, String::new()),
        f: &mut Each(f),
    });
    let Ok(_) = walked; // cannot fail
}

/// Views a part of a network together with its name. The same as dfdx's `(ViewTensorRef, ViewTensorName)`, which makes names
/// by code of its own in each layer.
struct Named;

impl TensorViewer for Named {
    type View<'a, Part: 'a> = (&'a Part, String);

    fn view_field<'a, Part, Field, GetRef, GetMut>(
        (part, name): &'a mut (&Part, String),
        field: &str,
        get: &mut GetRef,
        _: &mut GetMut,
    ) -> (&'a Field, String)
    where
        GetRef: FnMut(&Part) -> &Field,
        GetMut: FnMut(&mut Part) -> &mut Field,
    {
        (get(part), name_of_field(name, field))
    }
}

/// [`Named`] with parts that can be written to.
struct NamedMut;

impl TensorViewer for NamedMut {
    type View<'a, Part: 'a> = (&'a mut Part, String);

    fn view_field<'a, Part, Field, GetRef, GetMut>(
        (part, name): &'a mut (&mut Part, String),
        field: &str,
        _: &mut GetRef,
        get: &mut GetMut,
    ) -> (&'a mut Field, String)
    where
        GetRef: FnMut(&Part) -> &Field,
        GetMut: FnMut(&mut Part) -> &mut Field,
    {
        (get(part), name_of_field(name, field))
    }
}

fn name_of_field(part: &str, field: &str) -> String {
    if part.is_empty() {
        field.to_owned()
    } else {
        format!("{part}.{field}")
    }
}
