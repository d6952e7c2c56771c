//! VGG networks: Simonyan and Zisserman, *Very Deep Convolutional Networks for Large-Scale Image Recognition*, 2014.
//!
//! Five stages of 3x3 convolutions, each ended by a pooling that halves height and width, and three linear layers, for
//! images of 224x224 pixels.

use crate::network;
use crate::nn::{BiasedConv2D, Flatten, Linear, MaxPool2D, ReLU, Stage};
use dfdx::prelude::DropoutOneIn;

/// A convolution that keeps the size, and a ReLU.
type Conv<const IN: usize, const OUT: usize> = (BiasedConv2D<IN, OUT, 3, 1, 1>, ReLU);
/// `N` of them.
type Convs<const IN: usize, const OUT: usize, const N: usize> =
    Stage<Conv<IN, OUT>, Conv<OUT, OUT>, N>;

network! {
    /// Five stages of convolutions, a pooling after each, and three linear layers on the 512 x 7 x 7 elements that
    /// the last pooling leaves; dropout of one half, as in the paper. `(batch, IN, 224, 224)` to `(batch, CLASSES)`.
    pub struct Vgg<
        const IN: usize, const CLASSES: usize,
        const N1: usize, const N2: usize, const N3: usize, const N4: usize, const N5: usize
    > {
        stage1: Convs<IN, 64, N1>, pool1: MaxPool2D<2, 2>,
        stage2: Convs<64, 128, N2>, pool2: MaxPool2D<2, 2>,
        stage3: Convs<128, 256, N3>, pool3: MaxPool2D<2, 2>,
        stage4: Convs<256, 512, N4>, pool4: MaxPool2D<2, 2>,
        stage5: Convs<512, 512, N5>, pool5: MaxPool2D<2, 2>,
        flatten: Flatten<25_088>,
        fc1: Linear<25_088, 4096>, relu1: ReLU, dropout1: DropoutOneIn<2>,
        fc2: Linear<4096, 4096>, relu2: ReLU, dropout2: DropoutOneIn<2>,
        fc3: Linear<4096, CLASSES>,
    }
    forward(Images<IN>) -> Vectors<CLASSES>;
}

/// Configuration A: 8 convolutions and 3 linear layers.
pub type Vgg11<const IN: usize, const CLASSES: usize> = Vgg<IN, CLASSES, 1, 1, 2, 2, 2>;
/// Configuration B: 10 convolutions and 3 linear layers.
pub type Vgg13<const IN: usize, const CLASSES: usize> = Vgg<IN, CLASSES, 2, 2, 2, 2, 2>;
/// Configuration D: 13 convolutions and 3 linear layers.
///
/// ```no_run
/// use dldna_nn::{prelude::*, vgg::Vgg16};
///
/// let dev = Cpu::seed_from_u64(0);
/// let network = dev.build_module::<Vgg16<3, 1000>, f32>(); // half a GiB
/// assert_eq!(network.num_trainable_params(), 138_357_544);
/// ```
pub type Vgg16<const IN: usize, const CLASSES: usize> = Vgg<IN, CLASSES, 2, 2, 3, 3, 3>;
/// Configuration E: 16 convolutions and 3 linear layers.
pub type Vgg19<const IN: usize, const CLASSES: usize> = Vgg<IN, CLASSES, 2, 2, 4, 4, 4>;
