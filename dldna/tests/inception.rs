//! The Inception module: PyTorch's numbers from PyTorch's weights, and the paper's counts.

mod common;

use common::{Fixture, assert_close};
use dldna::inception::{InceptionModule, InceptionV1, load_torch_weights};
use dldna::nn::composed;
use dldna::prelude::*;
use tempfile::TempDir;

fn dev() -> Cpu {
    Cpu::seed_from_u64(0)
}

#[test]
fn the_module_equals_pytorch() {
    let fixture = Fixture::open("blocks");
    let folder = TempDir::new().unwrap();
    let path = fixture.write_state("inception", folder.path());
    let mut module = dev().build_module::<InceptionV1<6, 4, 3, 5, 2, 4, 3>, f32>();
    load_torch_weights(&mut module, path).unwrap();
    let tensor = |name: &str| fixture.tensor(&format!("inception/{name}"));
    let shape = fixture.shape("inception/x");
    let x = dev().tensor_from_vec(tensor("x"), (shape[0], Const::<6>, shape[2], shape[3]));
    assert_eq!(
        module.num_trainable_params(),
        fixture.setting("inception", "params")
    );
    assert_close(
        "output",
        &module.forward(x.clone()).as_vec(),
        &tensor("y_eval"),
    );

    let y = module.forward_mut(x.leaky_trace());
    assert_close("output in training", &y.as_vec(), &tensor("y_train"));
    let weights = y.device().tensor_from_vec(tensor("gy"), *y.shape());
    let gradients = (y * weights).sum::<Rank0, _>().backward();
    assert_close("input", &gradients.get(&x).as_vec(), &tensor("gx"));
    macro_rules! check {
        ($($layer:ident),+) => {$(
            let name = stringify!($layer);
            let weight = gradients.get(&module.$layer.weight).as_vec();
            assert_close(name, &weight, &tensor(&format!("grad/{name}.weight")));
            let bias = gradients.get(&module.$layer.bias).as_vec();
            assert_close(name, &bias, &tensor(&format!("grad/{name}.bias")));
        )+};
    }
    check!(
        branch1x1,
        branch3x3_reduce,
        branch3x3,
        branch5x5_reduce,
        branch5x5,
        branch_pool_proj
    );
}

#[test]
fn the_module_composed_of_dfdx_operations_equals_pytorch() {
    composed::instead_of_kernels(the_module_equals_pytorch);
}

/// The paper's table 1, row "inception (3a)": 28x28x256, 128 million multiply-adds.
#[test]
fn the_first_module_costs_what_the_paper_says() {
    let module = dev().build_module::<InceptionV1<192, 64, 96, 128, 16, 32, 32>, f32>();
    let summary = Summary::of(&module, &[1, 192, 28, 28]).unwrap();
    assert_eq!(summary.output_shape(), [1, 256, 28, 28]);
    assert_eq!(summary.parameters(), module.num_trainable_params());
    assert_eq!((summary.multiply_adds() as f64 / 1e6).round(), 128.0);
}

#[test]
fn any_widths_can_be_built_with_the_sum_written_out() {
    type Network = (
        InceptionModule<1, 2, 1, 3, 1, 2, 1, 8>,
        InceptionModule<8, 1, 1, 1, 1, 1, 1, 4>,
        AvgPoolGlobal,
        Linear<4, 10>,
    );
    let network = dev().build_module::<Network, f32>();
    let logits = network.forward(dev().zeros_like(&(3, Const::<1>, 5, 7)));
    assert_eq!(*logits.shape(), (3, Const::<10>));
}
