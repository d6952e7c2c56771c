//! Receptive fields against a count of pixels, published figures, and the gradients of real networks.

use std::collections::BTreeSet;

use dldna::{
    receptive_field::{
        ProbeNetwork, ProbeWeights, ReceptiveFieldError, WindowLayer, alexnet_layers,
        effective_receptive_field, receptive_fields, resnet18_layers, resnet50_layers,
        resnet50_strided_3x3_layers, vgg16_layers,
    },
    summary::OutputSizeError,
};
use proptest::prelude::{Strategy, prop_assert_eq, proptest};

/// The input positions, along one side, from which a signal can reach unit `unit` of the last layer: follows every
/// tap of every window. Positions in the padding are kept, so no border cuts the field.
fn positions_that_reach(layers: &[WindowLayer], unit: isize) -> BTreeSet<isize> {
    layers
        .iter()
        .rev()
        .fold(BTreeSet::from([unit]), |units, layer| {
            let taps = |unit: isize| {
                (0..layer.kernel as isize).map(move |tap| {
                    unit * layer.stride as isize + tap * layer.dilation as isize
                        - layer.padding as isize
                })
            };
            units.into_iter().flat_map(taps).collect()
        })
}

fn span(positions: &BTreeSet<isize>) -> usize {
    (positions.last().unwrap() - positions.first().unwrap() + 1) as usize
}

/// Araujo, Norris and Sim (2019), table of receptive fields: AlexNet 195, VGG-16 212, ResNet-50 483. ResNet-18: 435.
#[test]
fn published_figures_and_a_count_of_pixels_agree() {
    let networks = [
        (alexnet_layers(), 195),
        (vgg16_layers(), 212),
        (resnet18_layers(), 435),
        (resnet50_layers(), 483),
        (resnet50_strided_3x3_layers(), 427),
    ];
    for (layers, published) in networks {
        let table = receptive_fields(&layers, 224).unwrap();
        assert_eq!(table.receptive_field(), published);
        assert_eq!(span(&positions_that_reach(&layers, 100)), published);
    }
}

#[test]
fn output_sizes_of_known_networks() {
    let output = |layers: &[WindowLayer]| {
        receptive_fields(layers, 224)
            .unwrap()
            .rows
            .last()
            .unwrap()
            .output_size
    };
    assert_eq!(output(&alexnet_layers()), 6);
    assert_eq!(output(&vgg16_layers()), 7);
    assert_eq!(output(&resnet18_layers()), 7);
    assert_eq!(output(&resnet50_layers()), 7);
    assert_eq!(
        (
            vgg16_layers().len(),
            resnet18_layers().len(),
            resnet50_layers().len()
        ),
        (18, 18, 50)
    );
}

fn layer() -> impl Strategy<Value = WindowLayer> {
    (1..5usize, 1..4usize, 0..3usize, 1..4usize).prop_map(|(kernel, stride, padding, dilation)| {
        WindowLayer::new("layer", kernel, stride, padding).with_dilation(dilation)
    })
}

proptest! {
    #[test]
    fn the_formula_counts_pixels(layers in proptest::collection::vec(layer(), 0..5)) {
        // Large enough for every list above to have an output.
        let table = receptive_fields(&layers, 2_000).unwrap();
        let here = positions_that_reach(&layers, 5);
        prop_assert_eq!(table.receptive_field(), span(&here));
        let next = positions_that_reach(&layers, 6);
        let jump = table.rows.last().map_or(1, |row| row.jump);
        prop_assert_eq!(next.first().unwrap() - here.first().unwrap(), jump as isize);
    }
}

#[test]
fn the_table_reads_well() {
    let layers = [
        WindowLayer::new("conv1", 3, 1, 1),
        WindowLayer::new("pool1", 2, 2, 0),
    ];
    let expected = "\
Layer  Kernel  Stride  Padding  Dilation  Output  Jump  Receptive field
input                                      28x28     1              1x1
conv1     3x3       1        1         1   28x28     1              3x3
pool1     2x2       2        0         1   14x14     2              4x4
";
    assert_eq!(receptive_fields(&layers, 28).unwrap().to_string(), expected);
}

#[test]
fn a_network_without_layers_sees_one_pixel() {
    assert_eq!(receptive_fields(&[], 28).unwrap().receptive_field(), 1);
}

#[test]
fn layers_without_output_and_huge_fields_are_errors() {
    let error = receptive_fields(
        &[
            WindowLayer::new("conv1", 3, 1, 0),
            WindowLayer::new("conv2", 5, 1, 0),
        ],
        6,
    );
    let source = OutputSizeError::KernelTooLarge {
        span: 5,
        padded_input: 4,
    };
    assert_eq!(
        error.unwrap_err(),
        ReceptiveFieldError::OutputSize {
            layer: "conv2".into(),
            source
        }
    );

    let zero = receptive_fields(&[WindowLayer::new("conv1", 3, 0, 0)], 6).unwrap_err();
    assert_eq!(
        zero.to_string(),
        "layer `conv1` has no output: the stride must be at least 1, but is 0"
    );

    let wide = WindowLayer::new("wide", 1, usize::MAX, 0);
    let error = receptive_fields(
        &[wide.clone(), WindowLayer::new("next", 2, usize::MAX, 1)],
        6,
    )
    .unwrap_err();
    assert_eq!(
        error,
        ReceptiveFieldError::Overflow {
            layer: "next".into()
        }
    );
}

/// Rows (equal to columns) with a gradient that is not zero.
fn rows_with_gradient(
    network: ProbeNetwork,
    weights: ProbeWeights,
    image_size: usize,
) -> Vec<isize> {
    let field = effective_receptive_field(network, weights, image_size).unwrap();
    assert_eq!(field.dim(), (image_size, image_size));
    let rows: Vec<isize> = (0..image_size)
        .filter(|&row| field.row(row).iter().any(|&g| g != 0.0))
        .map(|row| row as isize)
        .collect();
    let columns: Vec<isize> = (0..image_size)
        .filter(|&column| field.column(column).iter().any(|&g| g != 0.0))
        .map(|c| c as isize)
        .collect();
    assert_eq!(rows, columns);
    rows
}

#[test]
fn gradients_reach_exactly_the_pixels_of_the_formula() {
    let random = ProbeWeights::Random {
        networks: 2,
        seed: 3,
    };
    let networks = (0..=8)
        .map(|depth| ProbeNetwork::Plain { depth })
        .chain((1..=3).map(|depth| ProbeNetwork::Pooled { depth }))
        .chain((1..=4).map(|depth| ProbeNetwork::Dilated { depth }));
    for network in networks {
        let layers = network.layers();
        for weights in [ProbeWeights::Mean, random] {
            let table = receptive_fields(&layers, 41).unwrap();
            let output_size = table.rows.last().map_or(41, |row| row.output_size);
            let rows = rows_with_gradient(network, weights, 41);
            let expected = positions_that_reach(&layers, output_size as isize / 2);
            assert_eq!(
                rows,
                expected.into_iter().collect::<Vec<_>>(),
                "{network:?}"
            );
            assert_eq!(rows.len(), table.receptive_field(), "{network:?}");
        }
    }
}

/// With every weight 1/9, the gradient of `n` convolutions is the product of two `n`-fold convolutions of
/// (1, 1, 1) / 3 with itself.
#[test]
fn mean_filters_give_trinomial_coefficients() {
    let field =
        effective_receptive_field(ProbeNetwork::Plain { depth: 3 }, ProbeWeights::Mean, 7).unwrap();
    let side = [1.0, 3.0, 6.0, 7.0, 6.0, 3.0, 1.0].map(|paths: f32| paths / 27.0);
    for (row, a) in side.iter().enumerate() {
        for (column, b) in side.iter().enumerate() {
            assert!((field[[row, column]] - a * b).abs() < 1e-6);
        }
    }
}

#[test]
fn random_fields_repeat_and_differ_by_seed() {
    let field = |seed| {
        let weights = ProbeWeights::Random { networks: 3, seed };
        effective_receptive_field(ProbeNetwork::Plain { depth: 2 }, weights, 9).unwrap()
    };
    assert_eq!(field(1), field(1));
    assert_ne!(field(1), field(2));
}

#[test]
fn an_image_smaller_than_the_field_is_an_error() {
    let error = effective_receptive_field(ProbeNetwork::Plain { depth: 4 }, ProbeWeights::Mean, 8)
        .unwrap_err();
    assert_eq!(
        error,
        ReceptiveFieldError::ImageTooSmall {
            image_size: 8,
            receptive_field: 9
        }
    );
    let error =
        effective_receptive_field(ProbeNetwork::Pooled { depth: 80 }, ProbeWeights::Mean, 8)
            .unwrap_err();
    assert!(
        matches!(error, ReceptiveFieldError::Overflow { .. }),
        "{error}"
    );
}
