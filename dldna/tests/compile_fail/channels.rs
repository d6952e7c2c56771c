//! The first convolution gives 8 channels, the second expects 16.
use dldna::prelude::*;

fn main() {
    let dev = Cpu::seed_from_u64(0);
    let first = dev.build_module::<Conv2D<1, 8, 3>, f32>();
    let second = dev.build_module::<Conv2D<16, 10, 3>, f32>();
    let images = dev.zeros_like(&(4, Const::<1>, 28, 28));
    second.forward(first.forward(images));
}
