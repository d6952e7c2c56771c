//! Weights from elsewhere: names, prefixes, precisions, and what is no weights at all.

use ::safetensors::{Dtype as Precision, SafeTensors, serialize, tensor::TensorView};
use dldna_nn::efficientnet::{EfficientNetB0, EfficientNetLite0};
use dldna_nn::mobilenet::MobileNetV2;
use dldna_nn::prelude::*;
use dldna_nn::resnet::{ResNet18, ResNet20};
use dldna_nn::weights::{
    Foreign, WeightsError, for_each_tensor, load_model, load_model_from_bytes, load_torch_weights,
    load_torch_weights_from_bytes, save_model,
};
use dldna_nn_tests::{Fixture, logits_equal_pytorch, read};
use std::collections::{BTreeMap, BTreeSet};
use tempfile::TempDir;

fn dev() -> Cpu {
    Cpu::seed_from_u64(0)
}

/// The bytes of a file of such tensors.
fn file(tensors: &[(&str, &[usize], Precision, &[u8])]) -> Vec<u8> {
    let views = tensors.iter().map(|&(name, shape, dtype, bytes)| {
        (name, TensorView::new(dtype, shape.to_vec(), bytes).unwrap())
    });
    serialize(views, &None).unwrap()
}

fn bytes(numbers: &[f32]) -> Vec<u8> {
    numbers.iter().flat_map(|v| v.to_le_bytes()).collect()
}

/// A file with the names and shapes of a network elsewhere, each tensor full of one number; and the number of each name.
fn named_file(network: &str) -> (Vec<u8>, BTreeMap<String, f32>) {
    let names: serde_json::Value = serde_json::from_slice(&read("weight_names.json")).unwrap();
    let shapes: BTreeMap<String, Vec<usize>> =
        serde_json::from_value(names[network].clone()).unwrap();
    let numbers: BTreeMap<String, f32> = shapes
        .keys()
        .cloned()
        .zip((1..).map(|i| i as f32))
        .collect();
    let contents: Vec<Vec<u8>> = shapes
        .iter()
        .map(|(name, shape)| bytes(&vec![numbers[name]; shape.iter().product()]))
        .collect();
    let tensors: Vec<(&str, &[usize], Precision, &[u8])> = shapes
        .iter()
        .zip(&contents)
        .map(|((name, shape), bytes)| (&name[..], &shape[..], Precision::F32, &bytes[..]))
        .collect();
    (file(&tensors), numbers)
}

/// Loads such a file into a network. Each tensor has to get another of the file's, and those listed the one beside them.
macro_rules! loads {
    ($name:literal, $Network:ty, [$($ours:literal = $theirs:literal),+ $(,)?]) => {{
        let (file, number_of) = named_file($name);
        let mut network = dev().build_module::<$Network, f32>();
        load_torch_weights_from_bytes(&mut network, &file).unwrap();
        let mut found = BTreeMap::new();
        for_each_tensor(&network, |name, tensor| {
            let values = tensor.values();
            assert!(values.iter().all(|v| *v == values[0]), "{name}");
            found.insert(name.to_owned(), values[0]);
        });
        let different: BTreeSet<u32> = found.values().map(|v| v.to_bits()).collect();
        let biases = found.values().filter(|v| **v == 0.0).count(); // which no file has for ResNet
        assert_eq!(different.len() + biases.saturating_sub(1), found.len());
        let counters = number_of.keys().filter(|name| name.ends_with("num_batches_tracked")).count();
        assert_eq!(found.len() - biases, number_of.len() - counters);
        $(assert_eq!(found[$ours], number_of[$theirs], $ours);)+
    }};
}

#[test]
fn names_of_other_libraries_are_found() {
    loads!("timm/resnet18", ResNet18<3, 1000>, [
        "conv1.weight" = "conv1.weight",
        "layer3.1.bn2.running_var" = "layer3.1.bn2.running_var",
        "layer2.0.shortcut.0.weight" = "layer2.0.downsample.0.weight",
        "layer4.0.shortcut.1.bias" = "layer4.0.downsample.1.bias",
        "fc.bias" = "fc.bias",
    ]);
    loads!(
        "timm/efficientnet_b0",
        EfficientNetB0<1000>,
        [
            "stem.conv.weight" = "conv_stem.weight",
            "stem.norm.bias" = "bn1.bias",
            "stage1.0.depthwise.0.weight" = "blocks.0.0.conv_dw.weight",
            "stage1.0.depthwise.1.weight" = "blocks.0.0.bn1.weight",
            "stage1.0.squeeze_excitation.gate.reduce.bias" = "blocks.0.0.se.conv_reduce.bias",
            "stage1.0.project.0.weight" = "blocks.0.0.conv_pw.weight",
            "stage1.0.project.1.weight" = "blocks.0.0.bn2.weight",
            "stage2.1.expand.0.weight" = "blocks.1.1.conv_pw.weight",
            "stage2.1.expand.1.running_mean" = "blocks.1.1.bn1.running_mean",
            "stage6.3.depthwise.0.weight" = "blocks.5.3.conv_dw.weight",
            "stage6.3.depthwise.1.running_mean" = "blocks.5.3.bn2.running_mean",
            "stage6.3.squeeze_excitation.gate.expand.weight" = "blocks.5.3.se.conv_expand.weight",
            "stage7.0.project.0.weight" = "blocks.6.0.conv_pwl.weight",
            "stage7.0.project.1.bias" = "blocks.6.0.bn3.bias",
            "head.conv.weight" = "conv_head.weight",
            "head.norm.running_var" = "bn2.running_var",
            "classifier.weight" = "classifier.weight",
        ]
    );
    loads!(
        "torchvision/efficientnet_b0",
        EfficientNetB0<1000>,
        [
            "stem.conv.weight" = "features.0.0.weight",
            "stem.norm.weight" = "features.0.1.weight",
            "stage1.0.depthwise.0.weight" = "features.1.0.block.0.0.weight",
            "stage1.0.squeeze_excitation.gate.reduce.bias" = "features.1.0.block.1.fc1.bias",
            "stage1.0.project.1.running_var" = "features.1.0.block.2.1.running_var",
            "stage2.1.expand.1.weight" = "features.2.1.block.0.1.weight",
            "stage5.2.depthwise.1.weight" = "features.5.2.block.1.1.weight",
            "stage7.0.squeeze_excitation.gate.expand.weight" = "features.7.0.block.2.fc2.weight",
            "stage7.0.project.0.weight" = "features.7.0.block.3.0.weight",
            "head.norm.running_mean" = "features.8.1.running_mean",
            "classifier.bias" = "classifier.1.bias",
        ]
    );
    loads!("torchvision/mobilenet_v2", MobileNetV2<3, 1000>, [
        "stem.norm.bias" = "features.0.1.bias",
        "stage1.0.depthwise.1.bias" = "features.1.conv.0.1.bias",
        "stage1.0.project.1.bias" = "features.1.conv.2.bias",
        "stage2.0.expand.1.bias" = "features.2.conv.0.1.bias",
        "stage4.3.depthwise.1.bias" = "features.10.conv.1.1.bias",
        "stage7.0.project.1.bias" = "features.17.conv.3.bias",
        "head.norm.bias" = "features.18.1.bias",
        "classifier.bias" = "classifier.1.bias",
    ]);
    loads!(
        "efficientnet_lite_pytorch/efficientnet-lite0",
        EfficientNetLite0<1000>,
        [
            "stem.norm.bias" = "_bn0.bias",
            "stage1.0.depthwise.1.bias" = "_blocks.0._bn1.bias",
            "stage1.0.project.1.bias" = "_blocks.0._bn2.bias",
            "stage3.1.expand.1.bias" = "_blocks.4._bn0.bias",
            "stage7.0.depthwise.1.bias" = "_blocks.15._bn1.bias",
            "head.norm.bias" = "_bn1.bias",
            "classifier.bias" = "_fc.bias",
        ]
    );
}

/// TensorFlow's batch norms add 1e-3 to the variance, ours 1e-5.
#[test]
fn batch_norms_of_tensorflow_keep_their_epsilon() {
    let (file, number_of) = named_file("efficientnet_lite_pytorch/efficientnet-lite0");
    let mut network = dev().build_module::<EfficientNetLite0<1000>, f32>();
    load_torch_weights_from_bytes(&mut network, &file).unwrap();
    let norm = &network.stem.norm;
    let sum = f64::from(norm.running_var.array()[0]) + norm.epsilon;
    let want = f64::from(number_of["_bn0.running_var"]) + 1e-3;
    assert!((sum - want).abs() < 1e-6 * want, "{sum} {want}");
    assert_eq!(
        norm.running_mean.array(),
        [number_of["_bn0.running_mean"]; 32]
    );
}

#[test]
#[ignore = "needs weights of 100 MB, which fixtures/make_weights_fixtures.py writes"]
fn networks_give_the_logits_of_timm() {
    macro_rules! equals_timm {
        ($name:literal, $Network:ty) => {
            logits_equal_pytorch($name, |weights, x, shape| {
                let mut network = dev().build_module::<$Network, f32>();
                load_torch_weights(&mut network, weights).unwrap();
                let x = dev().tensor_from_vec(x, (shape[0], Const::<3>, shape[2], shape[3]));
                network.forward(x).as_vec()
            })
        };
    }
    equals_timm!("timm_resnet18", ResNet18<3, 1000>);
    equals_timm!("timm_efficientnet_b0", EfficientNetB0<1000>);
    equals_timm!("timm_mobilenetv2_100", MobileNetV2<3, 1000>);
    equals_timm!("timm_efficientnet_lite0", EfficientNetLite0<1000>);
}

/// PyTorch's numbers, bit for bit: `x.float()`.
#[test]
fn other_precisions_are_converted_as_pytorch_does() {
    let fixture = Fixture::open("precisions"); // made by fixtures/make_weights_fixtures.py
    let all = read("precisions.safetensors");
    let all = SafeTensors::deserialize(&all).unwrap();
    for (precision, dtype) in [
        ("F64", Precision::F64),
        ("F16", Precision::F16),
        ("BF16", Precision::BF16),
    ] {
        let numbers = all.tensor(&format!("{precision}/numbers")).unwrap();
        assert_eq!((numbers.dtype(), numbers.shape()), (dtype, &[64][..]));
        let bias = bytes(&[0.0]);
        let file = file(&[
            ("weight", &[1, 64], dtype, numbers.data()),
            ("bias", &[1], Precision::F32, &bias), // precisions may be mixed
        ]);
        let want = fixture.tensor(&format!("{precision}/expected"));
        let mut layer = dev().build_module::<Linear<64, 1>, f32>();
        load_torch_weights_from_bytes(&mut layer, &file).unwrap();
        let bits = |numbers: &[f32]| -> Vec<u32> { numbers.iter().map(|v| v.to_bits()).collect() };
        assert_eq!(bits(&layer.weight.as_vec()), bits(&want), "{precision}");
    }

    let file = file(&[
        ("weight", &[1, 2], Precision::I32, &[0; 8]),
        ("bias", &[1], Precision::F32, &[0; 4]),
    ]);
    let mut layer = dev().build_module::<Linear<2, 1>, f32>();
    let error = load_torch_weights_from_bytes(&mut layer, &file).unwrap_err();
    let words = "weights in memory: weight holds I32, expected F64, F32, F16 or BF16";
    assert_eq!(error.to_string(), words);
}

network! {
    /// A network whose own names begin alike.
    struct Wrapped {
        model: (Linear<2, 3>, ReLU, Linear<3, 1>),
    }
    forward(Vectors<2>) -> Vectors<1>;
}

/// What `DataParallel`, `torch.compile` and Lightning put in front of all names.
#[test]
fn a_prefix_of_all_names_is_left_out() {
    let tensors = |prefix: &str| -> Vec<u8> {
        let names =
            ["0.weight", "0.bias", "2.weight", "2.bias"].map(|name| format!("{prefix}{name}"));
        let contents = [6, 3, 3, 1].map(|count| bytes(&vec![count as f32; count]));
        file(&[
            (&names[0], &[3, 2], Precision::F32, &contents[0]),
            (&names[1], &[3], Precision::F32, &contents[1]),
            (&names[2], &[1, 3], Precision::F32, &contents[2]),
            (&names[3], &[1], Precision::F32, &contents[3]),
        ])
    };
    for prefix in [
        "",
        "module.",
        "_orig_mod.",
        "model.",
        "module._orig_mod.",
        "a.b.c.",
    ] {
        let mut network = dev().build_module::<(Linear<2, 3>, ReLU, Linear<3, 1>), f32>();
        load_torch_weights_from_bytes(&mut network, &tensors(prefix)).unwrap();
        assert_eq!(network.0.bias.array(), [3.0; 3], "{prefix}");
        assert_eq!(network.2.bias.array(), [1.0], "{prefix}");
    }
    for prefix in ["model.", "module.model."] {
        let mut network = dev().build_module::<Wrapped, f32>();
        load_torch_weights_from_bytes(&mut network, &tensors(prefix)).unwrap();
        assert_eq!(network.model.2.bias.array(), [1.0], "{prefix}");
    }
    // It is not what differs.
    let mut network = dev().build_module::<(Linear<2, 3>, ReLU, Linear<3, 2>), f32>();
    let error = load_torch_weights_from_bytes(&mut network, &tensors("module.")).unwrap_err();
    let words = "weights in memory: the weights are not those of this network\nof another shape:
  module.2.weight: [2, 3] expected, [1, 3] in the file
  module.2.bias: [2] expected, [1] in the file";
    assert_eq!(error.to_string(), words);
}

#[test]
fn an_error_lists_ten_names_of_a_kind() {
    let zeros = [0; 4];
    let names: Vec<String> = (10..22).map(|i| format!("layer{i}.weight")).collect();
    let tensors: Vec<_> = names
        .iter()
        .map(|name| (&name[..], &[1][..], Precision::F32, &zeros[..]))
        .collect();
    let mut network = dev().build_module::<ResNet20<3, 10>, f32>();
    let mut count = 0;
    for_each_tensor(&network, |_, _| count += 1);
    let error = load_torch_weights_from_bytes(&mut network, &file(&tensors)).unwrap_err();
    let words = error.to_string();
    let WeightsError::Mismatch { missing, extra, .. } = error else {
        panic!("{words}")
    };
    assert_eq!(extra, names); // the lists are whole
    let biases = missing
        .iter()
        .filter(|name| name.contains("conv") && name.ends_with("bias"));
    assert_eq!(biases.count(), 0); // torchvision has none either
    assert!(
        words.contains(&format!("\n  and {} more\n", missing.len() - 10)),
        "{words}"
    );
    assert!(
        words.ends_with("\n  layer19.weight\n  and 2 more"),
        "{words}"
    );
    assert_eq!(words.lines().count(), 1 + 2 * (1 + 10 + 1));
}

#[test]
fn what_is_no_safetensors_file_is_named() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("weights.safetensors");
    let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n";
    let mut archive = b"PK\x03\x04\0\0\x08\x08\0\0\0\0\0\0".to_vec();
    archive.extend([0; 16]);
    let pth = [&archive[..], b"resnet18/data.pklFB"].concat();
    let npz = [&archive[..], b"arr_0.npy"].concat();
    let legacy = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.";
    for (content, want, words) in [
        (&b""[..], Foreign::Empty, "is empty"),
        (pointer, Foreign::LfsPointer, "`git lfs pull`"),
        (
            b"\n<!DOCTYPE html>\n<html>",
            Foreign::WebPage,
            "is a web page",
        ),
        (b"\xEF\xBB\xBF<html>", Foreign::WebPage, "`resolve`"),
        (
            b"<?xml version=\"1.0\"?><Error>",
            Foreign::WebPage,
            "is a web page",
        ),
        (
            &pth,
            Foreign::PyTorch,
            "torch.load(\"weights.pth\", \"cpu\", weights_only=True)",
        ),
        (legacy, Foreign::PyTorch, "safetensors.torch.save_file("),
        (&npz, Foreign::Zip, "is a zip archive"),
    ] {
        std::fs::write(&path, content).unwrap();
        let mut layer = dev().build_module::<Linear<2, 1>, f32>();
        for error in [
            load_torch_weights(&mut layer, &path),
            load_model(&mut layer, &path),
        ] {
            let error = error.unwrap_err();
            let text = error.to_string();
            assert!(
                text.contains("weights.safetensors is ") && text.contains(words),
                "{text}"
            );
            let WeightsError::Foreign { found, .. } = error else {
                panic!("{text}")
            };
            assert_eq!(found, want);
        }
    }
}

/// A length of 0x280 or 0x33c bytes begins as a pickle or a web page does.
#[test]
fn a_file_cut_short_is_not_taken_for_another() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("weights.safetensors");
    for length in [0x280u64, 0x3c] {
        let content = [&length.to_le_bytes()[..], b"{\"weight\":{\"dtype\":\"F32\""].concat();
        std::fs::write(&path, content).unwrap();
        let mut layer = dev().build_module::<Linear<2, 1>, f32>();
        let error = load_torch_weights(&mut layer, &path).unwrap_err();
        assert!(matches!(error, WeightsError::Format { .. }), "{error}");
    }
}

/// The largest offset there is: whoever adds the header's length to it overflows.
#[test]
fn a_tensor_outside_of_the_file_is_an_error() {
    let end = u64::MAX;
    let header =
        format!(r#"{{"weight":{{"dtype":"U8","shape":[{end}],"data_offsets":[0,{end}]}}}}"#);
    let content = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes()].concat();
    let mut layer = dev().build_module::<Linear<2, 1>, f32>();
    let error = load_torch_weights_from_bytes(&mut layer, &content).unwrap_err();
    let words = "weights in memory: not a complete safetensors file: a tensor ends outside of it";
    assert_eq!(error.to_string(), words);
}

#[test]
fn bytes_load_as_files_do() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("net.safetensors");
    let saved = dev().build_module::<Wrapped, f32>();
    save_model(&saved, &path).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    let mut network = Cpu::seed_from_u64(1).build_module::<Wrapped, f32>();
    assert_ne!(network.model.0.weight.array(), saved.model.0.weight.array());
    load_model_from_bytes(&mut network, &bytes).unwrap();
    assert_eq!(network.model.0.weight.array(), saved.model.0.weight.array());

    let mut other = dev().build_module::<Linear<2, 1>, f32>();
    let error = load_model_from_bytes(&mut other, &bytes)
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("weights in memory: the weights are not those"),
        "{error}"
    );
}
