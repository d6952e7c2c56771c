//! Errors recorded from the compiler, shortened; each with what is to be said instead.
use super::*;

fn recorded(case: &str) -> Vec<Value> {
    let all: Value = serde_json::from_str(include_str!("recorded.json")).unwrap();
    all[case].as_array().expect(case).clone()
}

fn explained(diagnostics: &[Value], source: &str) -> Vec<Value> {
    explain(diagnostics.to_vec(), diagnostics, source)
}

fn messages(explained: &[Value]) -> Vec<&str> {
    let messages = explained.iter().map(|it| it["message"].as_str().unwrap());
    messages.collect()
}

/// One message, and at the place in the cell a label.
#[track_caller]
fn says(case: &str, message: &str, label: &str) {
    let answers = explained(&recorded(case), "");
    assert_eq!(messages(&answers), [message], "{case}");
    let spans = answers[0]["spans"].as_array().unwrap();
    assert_eq!(spans.len(), 1, "{case}");
    assert_eq!(spans[0]["label"], label, "{case}");
    assert_eq!(spans[0]["file_name"], "src/lib.rs", "{case}");
    assert_eq!(answers[0]["children"], json!([]), "{case}");
}

const FROM_CONV: &str = "8 channels from layer 1, `Conv2D<1, 8, 3>`";

#[test]
fn a_convolution_takes_other_channels_than_it_is_given() {
    let message = "layer 3, `Conv2D<16, 10, 3>`, takes 16 channels and is given 8";
    says("forward", message, FROM_CONV);
    says("forward_mut", message, FROM_CONV);
}

#[test]
fn layers_inside_layers_are_counted_with_a_point() {
    let message = "layer 2.2, `Conv2D<16, 10, 3>`, takes 16 channels and is given 8";
    says("nested", message, FROM_CONV);
    says(
        "inside_residual",
        "layer 2.2, `BatchNorm2D<16>`, takes 16 channels and is given 8",
        "8 channels from layer 2.1, `Conv2D<8, 8, 3, 1, 1>`",
    );
    says(
        "split",
        "layer 2.2, `Conv2D<9, 12, 1>`, takes 9 channels and is given 8",
        FROM_CONV,
    );
}

#[test]
fn a_linear_layer_takes_other_features_than_it_is_given() {
    let message = "layer 2, `Linear<392, 10>`, takes 392 features and is given 784";
    let label = "784 features from layer 1, `Flatten<784>`";
    says("flatten_linear", message, label);
    says("flatten_linear_mut", message, label);
    says(
        "linear_linear",
        "layer 3, `Linear<64, 10>`, takes 64 features and is given 128",
        "128 features from layer 1, `Linear<784, 128>`",
    );
    says(
        "conv_linear",
        "layer 3, `Linear<8, 10>`, takes vectors `(batch, 8)` and is given feature maps `(batch, 8, height, width)`",
        FROM_CONV,
    );
}

#[test]
fn other_layers_take_other_channels_than_they_are_given() {
    for (case, layer) in [
        ("batch_norm", "BatchNorm2D<16>"),
        ("depthwise", "DepthwiseConv2D<16, 3>"),
        ("bias", "Bias2D<16>"),
        ("block", "BasicBlock<16, 32, 2>"),
    ] {
        let message = format!("layer 2, `{layer}`, takes 16 channels and is given 8");
        says(case, &message, FROM_CONV);
    }
    says(
        "own_layer",
        "layer 3, `Mix<16>`, does not take 8 channels",
        "8 channels are given here",
    );
}

#[test]
fn branches_and_sums_do_not_fit() {
    let label = "a sum needs equal shapes";
    let residual = "`Residual<Conv2D<8, 16, 3, 1, 1>>`: the shortcut has 8 channels, the layers inside give 16";
    says("residual", &format!("layer 2, {residual}"), label);
    says(
        "two_branches",
        "layer 2, `GeneralizedResidual<...>`: the second branch gives 12 channels, the first 16",
        label,
    );
    says(
        "sum",
        "the left side of the sum has 8 channels, its right side has 16 channels",
        label,
    );
    // Two errors at two places, and one message.
    says("residual_alone", residual, label);
}

#[test]
fn a_tuple_holds_six_layers() {
    for case in ["seven", "seven_nested", "seven_used"] {
        says(
            case,
            "a tuple holds at most six layers, and this one has seven: nest tuples, or write the network with `network!`",
            "seven layers in one tuple",
        );
    }
}

#[test]
fn a_network_cannot_be_trained() {
    says(
        "train_misfit",
        "layer 4, `Linear<16, 10>`, takes 16 features and is given 8",
        "8 features from layer 1, `Conv2D<1, 8, 3>`",
    );
    says(
        "train_maps",
        "the network gives feature maps `(batch, 10, height, width)`, and training needs vectors `(batch, classes)`: end it with `AvgPoolGlobal`, or with `Flatten` and `Linear`",
        "not a classifier",
    );
    says(
        "train_colour",
        "layer 1, `Conv2D<3, 8, 3>`, takes 3 channels and is given 1",
        "the input has 1 channel",
    );
    says(
        "train_f64",
        "the network has numbers of type `f64` and is given `f32`: build it with `build_module::<..., f32>()`",
        "built with `f64`",
    );
    says(
        "train_other",
        "`Mine` cannot be trained here: it does not take images `(batch, 1, height, width)` to logits `(batch, classes)`",
        "not a classifier of such images",
    );
}

#[test]
fn a_network_takes_another_input() {
    let label = "this has 3 channels";
    says("input", "the network takes 1 channel and is given 3", label);
    says(
        "single_layer",
        "the network takes 16 channels and is given 1",
        "this has 1 channel",
    );
    // The argument has a line of its own.
    let mut diagnostics = recorded("input");
    let argument = &mut diagnostics[0]["spans"][0];
    argument["text"] = json!([{"text": "    x"}]);
    argument["column_start"] = json!(5);
    let answers = explained(&diagnostics, "");
    assert_eq!(
        messages(&answers),
        ["the network takes 1 channel and is given 3"]
    );
    says(
        "rank",
        "the network takes feature maps `(batch, 1, height, width)` and is given vectors `(batch, 784)`",
        "this has 784 features",
    );
    says(
        "run_time_channels",
        "the network takes 1 channel; in the input's shape this is a `usize`: write `Const::<1>`",
        "a `usize` is known too late",
    );
}

/// The networks of the case "written".
const WRITTEN: &str = "
mod a { use super::*; network! {
    pub struct A { 
        conv1: Conv2D<1, 8, 3>,
        bn1: BatchNorm2D<8>,
        conv2: Conv2D<16, 10, 3> }
    forward(x: Images<1>) -> Images<10> { 
        let y = relu(bn1(conv1(x)));
        conv2(y)
    }
} }
mod b { use super::*; network! {
    pub struct B { conv1: Conv2D<1, 8, 3>, mean: AvgPoolGlobal,
        fc: Linear<16, 10> }
    forward(x: Images<1>) -> Vectors<10> { 
        fc(mean(conv1(x)))
    }
} }
mod c { use super::*; network! {
    pub struct C<const IN: usize, const OUT: usize> { conv1: Conv2D<IN, OUT, 3>, 
        conv2: Conv2D<IN, OUT, 3> }
    forward(x: Images<IN>) -> Images<OUT> { 
        let y = conv1(x.clone());
        conv2(y) + x
    }
} }
mod d { use super::*; network! {
    pub struct Dd { conv1: Conv2D<1, 8, 3>, 
        two: (ReLU, Conv2D<16, 10, 3>) }
    forward(x: Images<1>) -> Images<10> { 
        two(conv1(x))
    }
} }
    pub struct Ee { conv1: Conv2D<1, 8, 3>, fc: Linear<8, 10> }
    forward(x: Images<1>) -> Vectors<10> { 
        fc(conv1(x))
    }
} }
mod f { use super::*; network! {
    pub struct F { conv1: Conv2D<1, 8, 3>, act: ReLU }
    forward(x: Images<1>) -> Images<10> { 
        act(conv1(x))
    }
} }
mod g { use super::*; network! {
    pub struct G { conv1: Conv2D<1, 8, 3>, conv2: Conv2D<1, 16, 3> }
    forward(x: Images<1>) -> Images<8> { 
        conv1(x.clone()) + conv2(x)
    }
} }
";

#[test]
fn layers_of_a_written_network_have_names() {
    let answers = explained(&recorded("written"), WRITTEN);
    let expected = [
        "layer `conv2`, `Conv2D<16, 10, 3>`, takes 16 channels and is given 8",
        // The compiler complains of the layer in between.
        "layer `fc`, `Linear<16, 10>`, takes 16 features and is given 8",
        "layer `conv2`, `Conv2D<IN, OUT, 3>`, takes IN channels and is given OUT",
        "the left side of the sum has OUT channels, its right side has IN channels",
        "layer 2, `Conv2D<16, 10, 3>`, takes 16 channels and is given 8", // in a tuple
        "layer `fc`, `Linear<8, 10>`, takes vectors `(batch, 8)` and is given feature maps `(batch, 8, height, width)`",
        "the forward pass gives 8 channels, and 10 channels are declared",
        "the left side of the sum has 8 channels, its right side has 16 channels",
    ];
    assert_eq!(messages(&answers), expected);
    assert_eq!(answers[0]["spans"][0]["label"], "this has 8 channels");
    // Without the list of fields the numbers are left.
    let answers = explained(&recorded("written"), "");
    assert_eq!(messages(&answers)[0], "expected 16 channels, found 8");
}

#[test]
fn everything_else_stays() {
    let loss = recorded("loss");
    assert_eq!(explained(&loss, ""), loss);
    let before = recorded("among_others");
    let answers = explained(&before, "");
    assert_eq!(answers.len(), 2); // the network is used twice
    assert_eq!(answers[1], before[1]);
    // What is said in full is only read.
    let mut shortened = before.clone();
    shortened[1]["message"] = json!("mismatched types `(..., ...)`");
    assert_eq!(explain(shortened.clone(), &before, "")[1], shortened[1]);
    let borrowed = json!({
        "message": "borrow of moved value: `net`", "level": "error", "code": {"code": "E0382"},
        "spans": [{"file_name": "src/lib.rs", "is_primary": true, "label": "value borrowed here after move"}],
        "children": [{"level": "note", "message": "move occurs because `net` has type `(Conv2D<1, 8, 3>, Conv2D<16, 10, 3>)`"}],
    });
    assert_eq!(explained(std::slice::from_ref(&borrowed), ""), [borrowed]);
    let output = "{\"artifact\":\"libctx.so\"}\nnote: no JSON\n";
    let lines = |text: &str| {
        text.lines()
            .map(str::to_owned)
            .collect::<std::collections::BTreeSet<_>>()
    };
    assert_eq!(lines(&explain_output(output, output, "")), lines(output));
}
