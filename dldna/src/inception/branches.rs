//! Any modules side by side on one input.

use crate::nn::LayerDevice;
use crate::summary::{LayerSummary, Summarize, SummaryError};
use dfdx::prelude::*;

/// Two to four modules that all get the same input; their results side by side, the channels of the first one first:
/// `(batch, IN, height, width)` to `(batch, OUT, height', width')`.
///
/// `OUT` has to be the sum of the branches' channels, or it does not compile. All branches have to give the same
/// height and width. PyTorch: `torch.cat([branch(x) for branch in branches], 1)`.
///
/// ```
/// use dldna::{inception::Branches, prelude::*};
/// let dev = Cpu::seed_from_u64(0);
/// type Three = Branches<(Conv2D<3, 4, 1>, Conv2D<3, 8, 3, 1, 1>, MaxPool2D<3, 1, 1>), 15>;
/// let module = dev.build_module::<Three, f32>();
/// let y = module.forward(dev.zeros_like(&(2, Const::<3>, 9, 9)));
/// assert_eq!(*y.shape(), (2, Const::<15>, 9, 9)); // 4 + 8 + 3 channels
/// ```
///
/// ```compile_fail
/// use dldna::{inception::Branches, prelude::*};
/// let dev = Cpu::seed_from_u64(0);
/// let module = dev.build_module::<Branches<(Conv2D<3, 4, 1>, Conv2D<3, 8, 1>), 13>, f32>();
/// module.forward(dev.zeros_like(&(2, Const::<3>, 9, 9))); // 4 + 8 is not 13
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct Branches<B, const OUT: usize> {
    /// A tuple of modules.
    pub branches: B,
}

impl<B: BuildOnDevice<D, E>, const OUT: usize, E: Dtype, D: Device<E>> BuildOnDevice<D, E>
    for Branches<B, OUT>
{
    type Built = Branches<B::Built, OUT>;
}

impl<B: TensorCollection<E, D>, const OUT: usize, E: Dtype, D: Device<E>> TensorCollection<E, D>
    for Branches<B, OUT>
{
    type To<E2: Dtype, D2: Device<E2>> = Branches<B::To<E2, D2>, OUT>;

    fn iter_tensors<V: ModuleVisitor<Self, E, D>>(
        visitor: &mut V,
    ) -> Result<Option<Self::To<V::E2, V::D2>>, V::Err> {
        visitor.visit_fields(
            Self::module("branches", |m| &m.branches, |m| &mut m.branches),
            |branches| Branches { branches },
        )
    }
}

type Images<B, const C: usize, D, T> = Tensor<(B, Const<C>, usize, usize), f32, D, T>;
/// Images with a number of channels that is known at run time: side by side, the channels add up.
type AnyImages<B, D, T> = Tensor<(B, usize, usize, usize), f32, D, T>;

/// Forgets the number of channels in the type.
pub(super) fn any<B: Dim, C: Dim, D: LayerDevice, T: Tape<f32, D>>(
    images: Tensor<(B, C, usize, usize), f32, D, T>,
) -> AnyImages<B, D, T> {
    let Ok(any) = images.try_realize() else {
        unreachable!("any number of channels is a number of channels")
    };
    any
}

/// The channels of `first`, then those of `rest`. Together there have to be `OUT`.
pub(super) fn side_by_side<
    const OUT: usize,
    const N: usize,
    B: Dim,
    D: LayerDevice,
    T: Tape<f32, D> + Merge<T>,
>(
    first: AnyImages<B, D, T>,
    rest: [AnyImages<B, D, T>; N],
) -> Result<Images<B, OUT, D, T>, D::Err> {
    let all = rest.into_iter().try_fold(first, |left, right| {
        (left, right).try_concat_along(Axis::<1>)
    })?;
    let Ok(images) = all.try_realize() else {
        unreachable!("OUT is the sum of the branches' channels")
    };
    Ok(images)
}

macro_rules! impl_branches {
    ($Head:ident $HEAD_CHANNELS:ident, $($Tail:ident $CHANNELS:ident $index:tt),+) => {
        impl<
            X: WithEmptyTape,
            $Head: Module<X, Output = Images<B, $HEAD_CHANNELS, D, T>, Error = D::Err>,
            $($Tail: Module<X, Output = Images<B, $CHANNELS, D, T>, Error = D::Err>,)+
            const $HEAD_CHANNELS: usize,
            $(const $CHANNELS: usize,)+
            const OUT: usize,
            B: Dim,
            D: LayerDevice,
            T: Tape<f32, D> + Merge<T>,
        > Module<X> for Branches<($Head, $($Tail,)+), OUT>
        {
            type Output = Images<B, OUT, D, T>;
            type Error = D::Err;

            fn try_forward(&self, x: X) -> Result<Self::Output, D::Err> {
                const { assert!($HEAD_CHANNELS $(+ $CHANNELS)+ == OUT, "OUT has to be the sum of the branches' channels") };
                let tails = [$(any(self.branches.$index.try_forward(x.with_empty_tape())?)),+];
                side_by_side(any(self.branches.0.try_forward(x)?), tails)
            }
        }

        impl<
            X: WithEmptyTape,
            $Head: ModuleMut<X, Output = Images<B, $HEAD_CHANNELS, D, T>, Error = D::Err>,
            $($Tail: ModuleMut<X, Output = Images<B, $CHANNELS, D, T>, Error = D::Err>,)+
            const $HEAD_CHANNELS: usize,
            $(const $CHANNELS: usize,)+
            const OUT: usize,
            B: Dim,
            D: LayerDevice,
            T: Tape<f32, D> + Merge<T>,
        > ModuleMut<X> for Branches<($Head, $($Tail,)+), OUT>
        {
            type Output = Images<B, OUT, D, T>;
            type Error = D::Err;

            fn try_forward_mut(&mut self, x: X) -> Result<Self::Output, D::Err> {
                const { assert!($HEAD_CHANNELS $(+ $CHANNELS)+ == OUT, "OUT has to be the sum of the branches' channels") };
                let tails = [$(any(self.branches.$index.try_forward_mut(x.with_empty_tape())?)),+];
                side_by_side(any(self.branches.0.try_forward_mut(x)?), tails)
            }
        }

        impl<$Head: Summarize, $($Tail: Summarize,)+ const OUT: usize> Summarize
            for Branches<($Head, $($Tail,)+), OUT>
        {
            fn summarize(&self, input: &[usize]) -> Result<LayerSummary, SummaryError> {
                let summary = LayerSummary::group("Branches", input).then("0", &self.branches.0)?;
                $(let summary = summary.beside(stringify!($index), &self.branches.$index, input)?;)+
                Ok(summary)
            }
        }
    };
}

impl_branches!(M0 C0, M1 C1 1);
impl_branches!(M0 C0, M1 C1 1, M2 C2 2);
impl_branches!(M0 C0, M1 C1 1, M2 C2 2, M3 C3 3);
