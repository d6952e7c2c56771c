//! The kernels of other fields against NumPy and SciPy, and against what defines them.

use dldna::kernel_methods::{
    DensityKernel, Kernel, KernelMethodError, LabelledPoints, SupportVectorMachine, kernel_density,
    null_space, operating_system_kernel, rings,
};
use dldna_nn_tests::{Fixture, assert_close};
use ndarray::{Array2, arr2};
use proptest::prelude::*;

const RBF: Kernel = Kernel::Rbf { gamma: 0.5 };

fn doubles(file: &Fixture, name: &str) -> Vec<f64> {
    file.tensor(name).into_iter().map(f64::from).collect()
}

fn singles(values: impl IntoIterator<Item = f64>) -> Vec<f32> {
    values.into_iter().map(|v| v as f32).collect()
}

#[test]
fn kernels_equal_numpy() {
    let file = Fixture::open("kernels");
    let points = |name| {
        let shape = file.shape(name);
        Array2::from_shape_vec((shape[0], shape[1]), doubles(&file, name)).unwrap()
    };
    let (u, v) = (points("u"), points("v"));
    for (name, kernel) in [
        ("linear", Kernel::Linear),
        (
            "polynomial",
            Kernel::Polynomial {
                degree: 3,
                offset: 1.0,
            },
        ),
        ("rbf", RBF),
        (
            "sigmoid",
            Kernel::Sigmoid {
                scale: 0.5,
                offset: 0.1,
            },
        ),
    ] {
        let got = kernel.matrix(&u, &v).unwrap();
        assert_eq!(file.shape(name), [got.nrows(), got.ncols()]);
        assert_close(name, &singles(got.iter().copied()), &file.tensor(name));
        let (first, last) = (u.row(0).to_vec(), v.row(3).to_vec());
        assert_eq!(kernel.value(&first, &last).unwrap(), got[[0, 3]]);
    }
}

#[test]
fn density_equals_scipy() {
    let file = Fixture::open("kernels");
    let (samples, grid) = (doubles(&file, "samples"), doubles(&file, "grid"));
    let got = kernel_density(&samples, &grid, DensityKernel::Gaussian, 0.4).unwrap();
    assert_close("kde", &singles(got), &file.tensor("kde"));
}

/// What defines the maximum (Karush, Kuhn, Tucker): points beyond the margin have no weight, points inside of it the full weight, and
/// all others lie on its edge. Checked for training points that a boundary separates and for some that none does.
#[test]
fn machines_are_at_the_maximum() {
    let mut mixed = rings(60, 3);
    mixed.labels.swap(0, 1);
    for (data, kernel, cost) in [(&rings(60, 3), RBF, 5.0), (&mixed, RBF, 2.0)] {
        let machine = SupportVectorMachine::fit(kernel, data, cost).unwrap();
        let support = machine.support_vectors();
        assert!(support.nrows() > 0 && support.nrows() < 60);
        let mut bounded = 0;
        for (point, &label) in data.points.rows().into_iter().zip(&data.labels) {
            let place = support.rows().into_iter().position(|s| s == point);
            let weight = place.map_or(0.0, |i| machine.coefficients()[i].abs());
            let sign = if label { 1.0 } else { -1.0 };
            let distance = sign * machine.decision(&point.to_vec()).unwrap();
            assert!((0.0..=cost).contains(&weight));
            bounded += usize::from(weight == cost);
            assert!(
                weight == 0.0 || distance <= 1.0 + 1e-4,
                "{weight} at {distance}"
            );
            assert!(
                weight == cost || distance >= 1.0 - 1e-4,
                "{weight} at {distance}"
            );
        }
        assert_eq!(bounded > 0, std::ptr::eq(data, &mixed));
    }
}

#[test]
fn rings_need_a_kernel_that_bends() {
    let (train, test) = (rings(200, 1), rings(200, 2));
    assert_eq!(train, rings(200, 1));
    assert_ne!(train, test);
    let accuracy = |kernel| {
        let machine = SupportVectorMachine::fit(kernel, &train, 10.0).unwrap();
        machine.accuracy(&test).unwrap()
    };
    assert!(accuracy(Kernel::Linear) < 0.8);
    assert!(accuracy(RBF) > 0.98);
    assert!(
        accuracy(Kernel::Polynomial {
            degree: 2,
            offset: 1.0
        }) > 0.98
    );
}

/// The trick: a machine with the kernel is the linear machine in the space of the features.
#[test]
fn a_kernel_stands_for_its_features() {
    let data = rings(80, 5);
    let square = Kernel::Polynomial {
        degree: 2,
        offset: 0.0,
    };
    let features =
        |p: ndarray::ArrayView1<f64>| [p[0] * p[0], 2f64.sqrt() * p[0] * p[1], p[1] * p[1]];
    let rows: Vec<[f64; 3]> = data.points.rows().into_iter().map(features).collect();
    let mapped = LabelledPoints {
        points: arr2(&rows),
        labels: data.labels.clone(),
    };
    let by_kernel = SupportVectorMachine::fit(square, &data, 1.0).unwrap();
    let by_features = SupportVectorMachine::fit(Kernel::Linear, &mapped, 1.0).unwrap();
    for (point, row) in data.points.rows().into_iter().zip(&rows) {
        let (a, b) = (
            by_kernel.decision(&point.to_vec()),
            by_features.decision(row),
        );
        assert!((a.unwrap() - b.unwrap()).abs() < 1e-3);
    }
}

proptest! {
    #[test]
    fn densities_have_area_one(samples in prop::collection::vec(-5.0f64..5.0, 1..20), bandwidth in 0.1f64..2.0) {
        let step = 0.005;
        let grid: Vec<f64> = (0..=8000).map(|i| -20.0 + step * f64::from(i)).collect();
        // A sum over a grid is exact for smooth curves, and less so for a curve with bends or with jumps.
        for (kernel, error) in [
            (DensityKernel::Gaussian, 1e-9),
            (DensityKernel::Epanechnikov, (step / bandwidth).powi(2)),
            (DensityKernel::Box, step / bandwidth),
        ] {
            let density = kernel_density(&samples, &grid, kernel, bandwidth).unwrap();
            prop_assert!(density.iter().all(|&p| p >= 0.0));
            let area = density.iter().sum::<f64>() * step;
            prop_assert!((area - 1.0).abs() <= error, "{kernel:?}: {area}");
        }
    }

    /// A matrix of known rank: `rank` rows with ones on a diagonal, then combinations of them.
    #[test]
    fn null_space_is_the_whole_kernel(
        rank in 0usize..6, more_columns in 0usize..5, more_rows in 0usize..4,
        numbers in prop::collection::vec(-3.0f64..3.0, 100), scale in prop::sample::select(vec![1e-200, 1e-3, 1.0, 1e200]),
    ) {
        let columns = rank + more_columns;
        let independent = Array2::from_shape_fn((rank, columns), |(i, j)| {
            if j < rank { f64::from(i == j) } else { numbers[(7 * i + j) % 100] }
        });
        let mixture = Array2::from_shape_fn((more_rows, rank), |(i, j)| numbers[(50 + 7 * i + j) % 100]);
        let combined = mixture.dot(&independent);
        let matrix = ndarray::concatenate![ndarray::Axis(0), independent, combined] * scale;
        let basis = null_space(&matrix, 1e-9).unwrap();
        prop_assert_eq!(basis.dim(), (columns, columns - rank));
        let product = matrix.dot(&basis);
        prop_assert!(product.iter().all(|v| v.abs() <= 1e-11 * scale));
        let error = basis.t().dot(&basis) - Array2::<f64>::eye(columns - rank);
        prop_assert!(error.iter().all(|v| v.abs() <= 1e-12));
    }
}

#[test]
fn null_spaces_at_the_edges() {
    assert_eq!(
        null_space(&Array2::zeros((2, 3)), 1e-9).unwrap().dim(),
        (3, 3)
    );
    assert_eq!(
        null_space(&Array2::zeros((0, 3)), 1e-9).unwrap().dim(),
        (3, 3)
    );
    assert_eq!(
        null_space(&Array2::zeros((3, 0)), 1e-9).unwrap().dim(),
        (0, 0)
    );
    assert_eq!(null_space(&Array2::eye(3), 1e-9).unwrap().dim(), (3, 0));
    // With a loose tolerance nearly equal rows count as one.
    let nearly = arr2(&[[1.0, 0.0], [1.0, 1e-5]]);
    assert_eq!(null_space(&nearly, 1e-9).unwrap().dim(), (2, 0));
    assert_eq!(null_space(&nearly, 1e-3).unwrap().dim(), (2, 1));
    // No tolerance is too small for rounding errors: 0.3 is not quite 3 times 0.1.
    let rounded = arr2(&[[0.1, 0.3], [0.3, 0.9]]);
    assert_eq!(null_space(&rounded, 1e-300).unwrap().dim(), (2, 1));
}

#[track_caller]
fn assert_says<T: std::fmt::Debug>(result: Result<T, KernelMethodError>, parts: &[&str]) {
    let message = result.unwrap_err().to_string();
    for part in parts {
        assert!(message.contains(part), "{message:?} does not say {part:?}");
    }
}

#[test]
fn bad_input_is_named() {
    let data = rings(10, 1);
    let machine = SupportVectorMachine::fit(RBF, &data, 1.0).unwrap();
    assert_says(RBF.value(&[1.0, 2.0], &[1.0]), &["got 2 and 1"]);
    assert_says(
        RBF.matrix(&data.points, &Array2::zeros((3, 4))),
        &["got 2 and 4"],
    );
    assert_says(machine.decision(&[1.0, 2.0, 3.0]), &["got 2 and 3"]);
    let short = LabelledPoints {
        labels: vec![true; 9],
        ..data.clone()
    };
    assert_says(
        SupportVectorMachine::fit(RBF, &short, 1.0),
        &["10 labels", "got 9"],
    );
    assert_says(machine.accuracy(&short), &["10 labels", "got 9"]);
    assert_says(
        machine.draw("", &rings(0, 1)),
        &["at least one labelled point"],
    );
    assert_says(
        SupportVectorMachine::fit(RBF, &data, 0.0),
        &["cost", "got 0"],
    );
    let mut broken = data.clone();
    broken.points[[2, 1]] = f64::NAN;
    assert_says(
        SupportVectorMachine::fit(RBF, &broken, 1.0),
        &["coordinate 5 is NaN"],
    );
    let falling = Kernel::Sigmoid {
        scale: 1.0,
        offset: -1e3,
    };
    assert_says(
        SupportVectorMachine::fit(falling, &data, 1.0),
        &["Sigmoid", "0 and 0", "similarity -1"],
    );
    let growing = Kernel::Rbf { gamma: -1e6 };
    assert_says(
        SupportVectorMachine::fit(growing, &data, 1.0),
        &["Rbf", "similarity inf"],
    );

    let line = LabelledPoints {
        points: arr2(&[[0.0], [1.0]]),
        labels: vec![false, true],
    };
    let on_a_line = SupportVectorMachine::fit(RBF, &line, 1.0).unwrap();
    assert_says(on_a_line.draw("", &line), &["2 coordinates", "got 1"]);

    let density =
        |samples: &[f64], grid: &[f64], h| kernel_density(samples, grid, DensityKernel::Box, h);
    assert_says(density(&[], &[0.0], 1.0), &["at least one sample"]);
    assert_says(
        density(&[0.0, f64::INFINITY], &[0.0], 1.0),
        &["sample 1 is inf"],
    );
    assert_says(density(&[0.0], &[f64::NAN], 1.0), &["grid place 0 is NaN"]);
    for bad in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert_says(
            density(&[0.0], &[0.0], bad),
            &["bandwidth", &format!("got {bad}")],
        );
    }
    assert_says(
        null_space(&arr2(&[[f64::NAN]]), 1e-9),
        &["matrix element 0 is NaN"],
    );
    assert_says(null_space(&arr2(&[[1.0]]), -1.0), &["tolerance", "got -1"]);
}

#[test]
fn the_operating_system_tells_its_kernel() {
    let answer = operating_system_kernel().unwrap();
    assert!(answer.contains(|c: char| c.is_ascii_digit()), "{answer}");
    if cfg!(target_os = "linux") {
        let version = std::fs::read_to_string("/proc/version").unwrap();
        let (name, release) = answer.split_once(' ').unwrap();
        assert!(
            version.starts_with(&format!("{name} version {release} ")),
            "{version}"
        );
    }
}
