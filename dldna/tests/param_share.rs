//! Parameter counts of shared and unshared weights: the chapter's numbers, and real layers.

use dfdx::prelude::*;
use dldna::param_share::{compare_parameter_counts, example_text, show_example};

#[test]
fn the_table_of_the_chapter() {
    let table = compare_parameter_counts(&[8, 16, 32, 64, 128]);
    let expected = [
        "   Input Size  Conv Params  FC Params  Ratio (FC/Conv)",
        "0         8x8           10       4160            416.0",
        "1       16x16           10      65792           6579.2",
        "2       32x32           10    1049600         104960.0",
        "3       64x64           10   16781312        1678131.2",
        "4     128x128           10  268451840       26845184.0",
    ];
    assert_eq!(table.to_string().lines().collect::<Vec<_>>(), expected);
}

#[test]
fn the_example_of_the_chapter() {
    let expected = "Example with 32x32 input:
CNN parameters: 10 (fixed)
FC parameters: 1,049,600
Parameter reduction: 99.9990%
";
    assert_eq!(example_text(32), expected);
    show_example(32);
}

/// dfdx's own count of a built layer from all pixels to all pixels.
#[test]
fn real_linear_layers_have_as_many_parameters() {
    let dev = Cpu::default();
    let counts = [
        dev.build_module::<Linear<1, 1>, f32>()
            .num_trainable_params(),
        dev.build_module::<Linear<4, 4>, f32>()
            .num_trainable_params(),
        dev.build_module::<Linear<9, 9>, f32>()
            .num_trainable_params(),
        dev.build_module::<Linear<64, 64>, f32>()
            .num_trainable_params(),
    ];
    let table = compare_parameter_counts(&[1, 2, 3, 8]);
    for (row, count) in table.rows.iter().zip(counts) {
        assert_eq!(row.fully_connected, Some(count as u128), "{row:?}");
    }
}

#[test]
fn huge_images_are_counted_approximately() {
    let table = compare_parameter_counts(&[0, usize::MAX]);
    assert_eq!(table.rows[0].fully_connected, Some(0));
    assert_eq!(table.rows[1].fully_connected, None);
    // (2^64)^4 / 10 = 1.158e76
    assert!(
        (table.rows[1].ratio / 1.157_920_9e76 - 1.0).abs() < 1e-6,
        "{}",
        table.rows[1].ratio
    );
    assert!(table.to_string().contains("1.158e76"), "{table}");
    assert!(example_text(usize::MAX).contains("FC parameters: 1.158e77"));
}
