//! MobileNetV2 and EfficientNet-Lite0: PyTorch's numbers from PyTorch's weights, and the published sizes.

use ::safetensors::SafeTensors;
use dldna_nn::efficientnet::EfficientNetLite0;
use dldna_nn::mobilenet::{InvertedResidual, MobileNetV2};
use dldna_nn::prelude::*;
use dldna_nn::weights::{for_each_tensor, load_torch_weights};
use dldna_nn_tests::{Fixture, assert_close, numbers};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

fn dev() -> Cpu {
    Cpu::seed_from_u64(0)
}

/// Checks a block's values in evaluation and training, and all its gradients.
macro_rules! block_equals_pytorch {
    ($case:literal, $Block:ty, $IN:literal) => {{
        let fixture = Fixture::open("mobilenet"); // made by fixtures/make_mobilenet.py
        let folder = TempDir::new().unwrap();
        let mut block = dev().build_module::<$Block, f32>();
        load_torch_weights(&mut block, fixture.write_state($case, folder.path())).unwrap();
        let tensor = |name: &str| fixture.tensor(&format!("{}/{name}", $case));
        let shape = fixture.shape(&format!("{}/x", $case));
        let x = dev().tensor_from_vec(tensor("x"), (shape[0], Const::<$IN>, shape[2], shape[3]));
        assert_close(
            "evaluation",
            &block.forward(x.clone()).as_vec(),
            &tensor("y_eval"),
        );
        let y = block.forward_mut(x.leaky_trace());
        assert_close("training", &y.as_vec(), &tensor("y_train"));
        let d_y = y.device().tensor_from_vec(tensor("gy"), *y.shape());
        let gradients = (y * d_y).sum::<Rank0, _>().backward();
        assert_close("input", &gradients.get(&x).as_vec(), &tensor("gx"));
        let mut compared = 0;
        for_each_tensor(&block, |name, parameter| {
            if !name.contains("running") {
                let want = tensor(&format!("grad/{name}"));
                assert_close(name, &parameter.gradient(&gradients), &want);
                compared += 1;
            }
        });
        let prefix = format!("{}/grad/", $case);
        let names = fixture.names();
        assert_eq!(
            compared,
            names
                .iter()
                .filter(|name| name.starts_with(&prefix))
                .count()
        );
    }};
}

#[test]
fn blocks_equal_torchvision() {
    block_equals_pytorch!("same", InvertedResidual<6, 36, 6, 3, 1>, 6);
    block_equals_pytorch!("down", InvertedResidual<4, 24, 6, 3, 2>, 4);
    block_equals_pytorch!("plain", InvertedResidual<4, 4, 3, 3, 1>, 4);
}

/// Sandler et al. 2018, table 4: 3.4 million parameters, 300 million multiply-adds; torchvision counts 3,504,872.
/// Google's README of EfficientNet-Lite: 4.7 million, 407 million.
#[test]
fn sizes_and_work_are_those_published() {
    let network = dev().build_module::<MobileNetV2<3, 1000>, f32>();
    let summary = Summary::of(&network, &[1, 3, 224, 224]).unwrap();
    assert_eq!(summary.parameters(), 3_504_872);
    let work = summary.multiply_adds() as f64;
    assert!((work / 300e6 - 1.0).abs() < 0.02, "{work}");

    let network = dev().build_module::<EfficientNetLite0<1000>, f32>();
    let summary = Summary::of(&network, &[1, 3, 224, 224]).unwrap();
    assert_eq!(summary.parameters(), 4_652_008);
    let work = summary.multiply_adds() as f64;
    assert!((work / 407e6 - 1.0).abs() < 0.06, "{work}");
}

/// The folder that `fixtures/make_mobilenet_weights.py` wrote.
fn folder() -> PathBuf {
    let folder = std::env::var_os("DLDNA_TORCH_WEIGHTS");
    folder
        .expect(
            "DLDNA_TORCH_WEIGHTS names the folder that fixtures/make_mobilenet_weights.py wrote",
        )
        .into()
}

/// The five largest logits, largest first.
fn likeliest(logits: &[f32]) -> Vec<usize> {
    let mut classes: Vec<usize> = (0..logits.len()).collect();
    classes.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]));
    classes.truncate(5);
    classes
}

/// The photograph's logits are PyTorch's, and its five likeliest classes.
fn photograph_equals_pytorch(
    name: &str,
    run: impl FnOnce(&Path, Tensor<(usize, Const<3>, usize, usize), f32, Cpu>) -> Vec<f32>,
) {
    let bytes = std::fs::read(folder().join(format!("{name}.case.safetensors"))).unwrap();
    let case = SafeTensors::deserialize(&bytes).unwrap();
    let tensor = |name: &str| numbers(case.tensor(name).unwrap().data());
    let shape = case.tensor("x").unwrap().shape().to_vec();
    let x = dev().tensor_from_vec(tensor("x"), (shape[0], Const::<3>, shape[2], shape[3]));
    let (got, want) = (
        run(&folder().join(format!("{name}.safetensors")), x),
        tensor("logits"),
    );
    assert_eq!(got.len(), want.len());
    let differences = got.iter().zip(&want).map(|(got, want)| (got - want).abs());
    let error = differences.fold(0.0, f32::max);
    let classes = std::fs::read_to_string(folder().join("imagenet_classes.txt")).unwrap();
    let classes: Vec<&str> = classes.lines().collect();
    let names: Vec<&str> = likeliest(&got)
        .into_iter()
        .map(|class| classes[class])
        .collect();
    println!("{name}: {names:?}, largest difference {error}");
    assert!(error <= 1e-3, "{name}: {error}");
    assert_eq!(likeliest(&got), likeliest(&want));
}

#[test]
#[ignore = "needs weights of 33 MB, which fixtures/make_mobilenet_weights.py writes"]
fn the_photograph_has_the_logits_of_pytorch() {
    photograph_equals_pytorch("mobilenet_v2", |weights, x| {
        let mut network = dev().build_module::<MobileNetV2<3, 1000>, f32>();
        load_torch_weights(&mut network, weights).unwrap();
        network.forward(x).as_vec()
    });
    photograph_equals_pytorch("efficientnet_lite0", |weights, x| {
        let mut network = dev().build_module::<EfficientNetLite0<1000>, f32>();
        load_torch_weights(&mut network, weights).unwrap();
        network.forward(x).as_vec()
    });
}
