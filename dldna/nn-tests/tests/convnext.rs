//! The ConvNeXt block: PyTorch's numbers from PyTorch's weights.

use ::safetensors::SafeTensors;
use dldna_nn::convnext::ConvNeXtBlock;
use dldna_nn::prelude::*;

use dldna_nn_tests::assert_close;

/// Made by `fixtures/make_convnext.py`.
fn tensor(name: &str) -> Vec<f32> {
    let bytes = dldna_nn_tests::read("convnext.safetensors");
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let view = file.tensor(name).unwrap();
    let numbers = view.data().chunks_exact(4);
    numbers
        .map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap()))
        .collect()
}

fn check_block() {
    let dev = Cpu::seed_from_u64(0);
    let mut block = dev.build_module::<ConvNeXtBlock<6, 24>, f32>();
    let state = |name: &str| tensor(&format!("state/{name}"));
    block.depthwise.weight.copy_from(&state("depthwise.weight"));
    block
        .depthwise_bias
        .bias
        .copy_from(&state("depthwise.bias"));
    block.norm.scale.copy_from(&state("norm.weight"));
    block.norm.bias.copy_from(&state("norm.bias"));
    block.expand.weight.copy_from(&state("expand.weight"));
    block.expand.bias.copy_from(&state("expand.bias"));
    block.project.weight.copy_from(&state("project.weight"));
    block.project.bias.copy_from(&state("project.bias"));
    block.layer_scale.factors.copy_from(&state("layer_scale"));

    let x = dev.tensor_from_vec(tensor("x"), (2, Const::<6>, 9, 8));
    assert_close("output", &block.forward(x.clone()).as_vec(), &tensor("y"));
    let y = block.forward(x.leaky_trace());
    assert_close("output in training", &y.as_vec(), &tensor("y"));
    let d_y = dev.tensor_from_vec(tensor("gy"), *y.shape());
    let gradients = (y * d_y).sum::<Rank0, _>().backward();
    assert_close("x", &gradients.get(&x).as_vec(), &tensor("gx"));
    let check = |name: &str, gradient: Vec<f32>| {
        assert_close(name, &gradient, &tensor(&format!("gradient/{name}")));
    };
    check(
        "depthwise.weight",
        gradients.get(&block.depthwise.weight).as_vec(),
    );
    check(
        "depthwise.bias",
        gradients.get(&block.depthwise_bias.bias).as_vec(),
    );
    check("norm.weight", gradients.get(&block.norm.scale).as_vec());
    check("norm.bias", gradients.get(&block.norm.bias).as_vec());
    check(
        "expand.weight",
        gradients.get(&block.expand.weight).as_vec(),
    );
    check("expand.bias", gradients.get(&block.expand.bias).as_vec());
    check(
        "project.weight",
        gradients.get(&block.project.weight).as_vec(),
    );
    check("project.bias", gradients.get(&block.project.bias).as_vec());
    check(
        "layer_scale",
        gradients.get(&block.layer_scale.factors).as_vec(),
    );
}

#[test]
fn the_block_equals_pytorch() {
    check_block();
}

/// Table 9 of the paper: the first block of ConvNeXt-T has 96 channels. torchvision's CNBlock has as many parameters.
#[test]
fn the_block_has_the_parameters_of_the_paper() {
    let block = Cpu::default().build_module::<ConvNeXtBlock<96, 384>, f32>();
    let expected = 96 * 49 + 96 + 2 * 96 + (96 * 384 + 384) + (384 * 96 + 96) + 96;
    assert_eq!(block.num_trainable_params(), expected);
    assert_eq!(
        Summary::of(&block, &[1, 96, 56, 56]).unwrap().parameters(),
        expected
    );
}
