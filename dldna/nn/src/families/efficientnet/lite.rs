//! EfficientNet for small devices.

use crate::families::mobilenet::InvertedResiduals;
use crate::network;
use crate::nn::{ConvNorm, Linear, ReLU6, mean};
use dfdx::prelude::DropoutOneIn;

network! {
    /// EfficientNet-Lite0: [`EfficientNetB0`](super::EfficientNetB0) without squeeze-and-excitation and with ReLU6, which
    /// integer arithmetic computes well. `(batch, 3, height, width)` to `(batch, CLASSES)`.
    ///
    /// Google's `efficientnet/lite` of 2020, whose stem and head keep their channels throughout the family.
    ///
    /// Its weights come from TensorFlow, which pads an even size by one pixel less above and to the left than below and
    /// to the right. This network pads all sides alike, as PyTorch does. Both are the same where every size that is
    /// halved is odd: on images of `32 n + 1` pixels, such as 225x225. On 224x224 pixels its results are not those of the
    /// original.
    ///
    /// The original was trained on channels of 0 to 255 normalised to `(x - 127) / 128`.
    ///
    /// ```
    /// use dldna_nn::{efficientnet::EfficientNetLite0, prelude::*};
    /// let dev = Cpu::seed_from_u64(0);
    /// let network = dev.build_module::<EfficientNetLite0<1000>, f32>();
    /// assert_eq!(network.num_trainable_params(), 4_652_008);
    /// let logits = network.forward(dev.zeros_like(&(1, Const::<3>, 65, 65)));
    /// assert_eq!(*logits.shape(), (1, Const::<1000>));
    /// ```
    pub struct EfficientNetLite0<const CLASSES: usize> {
        stem: ConvNorm<3, 32, 3, 2, 1, ReLU6>,
        stage1: InvertedResiduals<32, 16, 3, 1, 32, 96, 1>,
        stage2: InvertedResiduals<16, 24, 3, 2, 96, 144, 2>,
        stage3: InvertedResiduals<24, 40, 5, 2, 144, 240, 2>,
        stage4: InvertedResiduals<40, 80, 3, 2, 240, 480, 3>,
        stage5: InvertedResiduals<80, 112, 5, 1, 480, 672, 3>,
        stage6: InvertedResiduals<112, 192, 5, 2, 672, 1152, 4>,
        stage7: InvertedResiduals<192, 320, 3, 1, 1152, 1920, 1>,
        head: ConvNorm<320, 1280, 1, 1, 0, ReLU6>,
        dropout: DropoutOneIn<5>,
        classifier: Linear<1280, CLASSES>,
    }
    forward(x: Images<3>) -> Vectors<CLASSES> {
        let x = stage4(stage3(stage2(stage1(stem(x)))));
        classifier(dropout(mean(head(stage7(stage6(stage5(x)))))))
    }
}
