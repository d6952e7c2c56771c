//! The same mistake inside a network.
use dldna::prelude::*;

type Network = (Conv2D<1, 8, 3>, ReLU, Conv2D<16, 10, 3>);

fn main() {
    let dev = Cpu::seed_from_u64(0);
    let network = dev.build_module::<Network, f32>();
    let images = dev.zeros_like(&(4, Const::<1>, 28, 28));
    network.forward(images);
}
