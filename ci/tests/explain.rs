//! What the kernel prints about a network whose layers do not fit, in a cell for each case.
//! Needs the notebooks' own kernel, with the crate: `cargo lab --no-browser` sets it up.
use std::process::Command;

use serde_json::{Value, json};

/// A cell, and the one message that it ends with; then what is written at the place in the cell.
struct Case {
    cell: String,
    message: &'static str,
    label: &'static str,
}

/// A network that is called, `call` standing behind its name.
fn called(network: &str, call: &str, message: &'static str, label: &'static str) -> Case {
    let cell = format!(
        "type Net = {network};\n\
         let mut net = dev.build_module::<Net, f32>();\n\
         let y = net{call};"
    );
    Case {
        cell,
        message,
        label,
    }
}

fn trained(network: &str, kind: &str, message: &'static str, label: &'static str) -> Case {
    let cell = format!(
        "type Net = {network};\n\
         let net = dev.build_module::<Net, {kind}>();\n\
         let trained = train(net, &split, &TrainConfig::default());"
    );
    Case {
        cell,
        message,
        label,
    }
}

/// A network with these layers and this forward pass.
fn written(layers: &str, forward: &str, message: &'static str, label: &'static str) -> Case {
    let cell = format!(
        "mod written {{ use dldna::prelude::*; network! {{\n\
         pub struct Net {{ {layers} }}\n\
         forward{forward}\n\
         }}}}"
    );
    Case {
        cell,
        message,
        label,
    }
}

/// A function of another signature than the exercise asks for.
fn answered(function: &str, message: &'static str, label: &'static str) -> Case {
    let cell = format!(
        "fn answer{function}\n\
         dldna::exercises::check::correlate(answer)"
    );
    Case {
        cell,
        message,
        label,
    }
}

fn cases() -> Vec<Case> {
    let convolutions = "(Conv2D<1, 8, 3>, ReLU, Conv2D<16, 10, 3>)";
    let fits = "(Conv2D<1, 8, 3>, ReLU, Conv2D<8, 10, 3>)";
    let takes_16 = "layer 3, `Conv2D<16, 10, 3>`, takes 16 channels and is given 8";
    let from_conv = "8 channels from layer 1, `Conv2D<1, 8, 3>`";
    let images = ".forward(dev.zeros_like(&(4usize, Const::<1>, 28usize, 28usize)))";
    let sum = "a sum needs equal shapes";
    vec![
        called(convolutions, images, takes_16, from_conv),
        called(
            convolutions,
            ".forward_mut(x.leaky_trace())",
            takes_16,
            from_conv,
        ),
        called(
            convolutions,
            ".try_forward(x.clone())?",
            takes_16,
            from_conv,
        ),
        called(
            "(Conv2D<1, 8, 3>, (ReLU, Conv2D<16, 10, 3>))",
            images,
            "layer 2.2, `Conv2D<16, 10, 3>`, takes 16 channels and is given 8",
            from_conv,
        ),
        called(
            "(Flatten<784>, Linear<392, 10>)",
            images,
            "layer 2, `Linear<392, 10>`, takes 392 features and is given 784",
            "784 features from layer 1, `Flatten<784>`",
        ),
        called(
            "(Flatten<784>, Linear<784, 128>, ReLU, Linear<64, 10>)",
            ".forward_mut(x.leaky_trace())",
            "layer 4, `Linear<64, 10>`, takes 64 features and is given 128",
            "128 features from layer 2, `Linear<784, 128>`",
        ),
        called(
            "(Conv2D<1, 8, 3>, BatchNorm2D<16>, ReLU)",
            images,
            "layer 2, `BatchNorm2D<16>`, takes 16 channels and is given 8",
            from_conv,
        ),
        called(
            "(Conv2D<1, 8, 3>, DepthwiseConv2D<16, 3>, ReLU)",
            images,
            "layer 2, `DepthwiseConv2D<16, 3>`, takes 16 channels and is given 8",
            from_conv,
        ),
        called(
            "(Conv2D<1, 8, 3>, Bias2D<16>, ReLU)",
            images,
            "layer 2, `Bias2D<16>`, takes 16 channels and is given 8",
            from_conv,
        ),
        called(
            "(Conv2D<1, 8, 3>, Residual<Conv2D<8, 16, 3, 1, 1>>, ReLU)",
            images,
            "layer 2, `Residual<Conv2D<8, 16, 3, 1, 1>>`: the shortcut has 8 channels, the layers inside give 16",
            sum,
        ),
        called(
            "(Conv2D<1, 8, 3>, GeneralizedResidual<Conv2D<8, 16, 1>, Conv2D<8, 12, 1>>)",
            images,
            "layer 2, `GeneralizedResidual<...>`: the second branch gives 12 channels, the first 16",
            sum,
        ),
        called(
            "(Conv2D<1, 8, 3>, SplitInto<(Conv2D<8, 16, 1>, Conv2D<9, 16, 1>)>)",
            images,
            "layer 2.2, `Conv2D<9, 16, 1>`, takes 9 channels and is given 8",
            from_conv,
        ),
        Case {
            cell: "let a = dev.build_module::<Conv2D<1, 8, 3>, f32>();\n\
                   let b = dev.build_module::<Conv2D<1, 16, 3>, f32>();\n\
                   let y = a.forward(x.clone()) + b.forward(x.clone());"
                .to_owned(),
            message: "the left side of the sum has 8 channels, its right side has 16 channels",
            label: sum,
        },
        called(
            "(ReLU, ReLU, ReLU, ReLU, ReLU, ReLU, Conv2D<1, 8, 3>)",
            images,
            "a tuple holds at most six layers, and this one has seven: nest tuples, or write the network with `network!`",
            "seven layers in one tuple",
        ),
        trained(
            "(Conv2D<1, 8, 3>, ReLU, AvgPoolGlobal, Linear<16, 10>)",
            "f32",
            "layer 4, `Linear<16, 10>`, takes 16 features and is given 8",
            "8 features from layer 1, `Conv2D<1, 8, 3>`",
        ),
        trained(
            fits,
            "f32",
            "the network gives feature maps `(batch, 10, height, width)`, and training needs vectors `(batch, classes)`: \
             end it with `AvgPoolGlobal`, or with `Flatten` and `Linear`",
            "not a classifier",
        ),
        trained(
            "(Conv2D<1, 8, 3>, ReLU, AvgPoolGlobal, Linear<8, 10>)",
            "f64",
            "the network has numbers of type `f64` and is given `f32`: build it with `build_module::<..., f32>()`",
            "built with `f64`",
        ),
        Case {
            cell: "struct Mine;\nlet trained = train(Mine, &split, &TrainConfig::default());"
                .to_owned(),
            message: "`Mine` cannot be trained here: it does not take images `(batch, channels, height, width)` to logits `(batch, classes)`",
            label: "not a classifier of such images",
        },
        Case {
            cell: "type Net = (Flatten<784>, Linear<784, 10>);\n\
                   let net = dev.build_module::<Net, f32>();\n\
                   let trained = train(&net, &split, &TrainConfig::default());"
                .to_owned(),
            message: "training takes the network itself, not a reference: leave out the `&`",
            label: "a reference",
        },
        called(
            fits,
            ".forward(dev.zeros_like(&(4usize, Const::<3>, 28usize, 28usize)))",
            "the network takes 1 channel and is given 3",
            "this has 3 channels",
        ),
        called(
            fits,
            ".forward(dev.zeros_like(&(4usize, Const::<784>)))",
            "the network takes feature maps `(batch, 1, height, width)` and is given vectors `(batch, 784)`",
            "this has 784 features",
        ),
        // Written with `network!`.
        written(
            "conv1: Conv2D<1, 8, 3>, conv2: Conv2D<16, 10, 3>,",
            "(x: Images<1>) -> Images<10> { conv2(relu(conv1(x))) }",
            "layer `conv2`, `Conv2D<16, 10, 3>`, takes 16 channels and is given 8",
            "this has 8 channels",
        ),
        written(
            "conv1: Conv2D<1, 8, 3>, fc: Linear<16, 10>,",
            "(x: Images<1>) -> Vectors<10> { fc(mean(conv1(x))) }",
            "layer `fc`, `Linear<16, 10>`, takes 16 features and is given 8",
            "this has 8 channels",
        ),
        written(
            "conv1: Conv2D<8, 16, 3, 1, 1>, bn1: BatchNorm2D<16>,",
            "(x: Images<8>) -> Images<16> { relu(bn1(conv1(x.clone())) + x) }",
            "the left side of the sum has 16 channels, its right side has 8 channels",
            sum,
        ),
        written(
            "conv1: Conv2D<1, 8, 3>,",
            "(x: Images<1>) -> Images<10> { conv1(x) }",
            "the forward pass gives 8 channels, and 10 channels are declared",
            "",
        ),
        written(
            "conv1: Conv2D<1, 8, 3>, relu: ReLU, conv2: Conv2D<16, 10, 3>,",
            "(Images<1>) -> Images<10>;",
            "layer `conv2`, `Conv2D<16, 10, 3>`, takes 16 channels and is given 8",
            "",
        ),
        written(
            "stage: (Conv2D<1, 8, 3>, Conv2D<16, 10, 3>),",
            "(x: Images<1>) -> Images<10> { stage(x) }",
            "layer 2, `Conv2D<16, 10, 3>`, takes 16 channels and is given 8",
            "",
        ),
        Case {
            cell: "mod wide { use dldna::prelude::*; network! {\n\
                   pub struct Wide { a: Conv2D<1, 4, 1>, b: Conv2D<1, 5, 1>, }\n\
                   forward(x: Images<1>) -> Images<10> { cat((a(x.clone()), b(x))) }\n\
                   }}\n\
                   dev.build_module::<wide::Wide, f32>().forward(x.clone());"
                .to_owned(),
            message: "the branches: 9 channels, but the type says 10",
            label: "",
        },
        // The network was built in another cell.
        Case {
            cell: "let y = kept.forward_mut(x.leaky_trace());".to_owned(),
            message: takes_16,
            label: from_conv,
        },
        answered(
            "(image: &Array2<f32>) -> Array2<f32> { image.clone() }",
            "function is expected to take 2 arguments, but it takes 1 argument",
            "takes 1 argument",
        ),
        answered(
            "(image: &Array2<f32>, kernel: &Array2<f32>) -> f32 { image[[0, 0]] * kernel[[0, 0]] }",
            "expected `answer` to return `ArrayBase<OwnedRepr<f32>, Dim<[usize; 2]>, f32>`, but it returns `f32`",
            "expected `ArrayBase<OwnedRepr<f32>, ..., f32>`, found `f32`",
        ),
        // What has nothing to do with networks stays as the compiler says it.
        Case {
            cell: "let words = String::from(\"a\");\ndrop(words);\nprintln!(\"{words}\");"
                .to_owned(),
            message: "borrow of moved value: `words`",
            label: "value borrowed here after move",
        },
    ]
}

fn notebook(cells: &[(&str, &str)]) -> Value {
    let cells: Vec<Value> = cells
        .iter()
        .enumerate()
        .map(|(index, (source, tag))| {
            let tags: Vec<&str> = tag.split_whitespace().collect();
            json!({
                "cell_type": "code", "id": format!("c{index}"), "metadata": {"tags": tags},
                "execution_count": null, "outputs": [], "source": source,
            })
        })
        .collect();
    json!({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5})
}

/// Runs the notebook with the notebooks' own kernel and reads its outputs.
fn executed(notebook: &Value) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("network.ipynb");
    std::fs::write(&path, notebook.to_string()).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_ci"))
        .args(["nb", "--update"])
        .arg(&path)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap()
}

#[test]
fn the_kernel_names_the_layer_that_does_not_fit() {
    let cases = cases();
    let first = "use dldna::data::{Dataset, Split};\n\
                 use dldna::train::{TrainConfig, train};\n\
                 let dev = Cpu::default();\n\
                 let x: Tensor<(usize, Const<1>, usize, usize), f32, Cpu> = dev.zeros_like(&(4usize, Const::<1>, 28usize, 28usize));\n\
                 let mut kept = dev.build_module::<(Conv2D<1, 8, 3>, ReLU, Conv2D<16, 10, 3>), f32>();\n\
                 let split: Split = dldna::data::fashion_mnist_sample()?;";
    let mut cells = vec![(first, "")];
    cells.extend(cases.iter().map(|case| (&*case.cell, "raises-exception")));
    let executed = executed(&notebook(&cells));
    let mut wrong = Vec::new();
    for (case, cell) in cases
        .iter()
        .zip(&executed["cells"].as_array().unwrap()[1..])
    {
        let outputs = cell["outputs"].as_array().unwrap();
        let said: Vec<&str> = outputs
            .iter()
            .filter_map(|output| output["evalue"].as_str())
            .collect();
        let shown = outputs[0]["traceback"].to_string();
        if said != [case.message] || !shown.contains(case.label) {
            wrong.push(format!("{}\n{said:#?}\n{shown}", case.cell));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}
