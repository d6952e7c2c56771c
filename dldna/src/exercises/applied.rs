//! The applied exercises.

use super::Exercise;

pub(super) const EXERCISES: [Exercise; 5] = [
    Exercise {
        id: "applied-1",
        title: "A small CNN on MNIST, data to evaluation",
        parts: &[],
    },
    Exercise {
        id: "applied-2",
        title: "Transfer: a trained ResNet-18 on other data",
        parts: &[],
    },
    Exercise {
        id: "applied-3",
        title: "Compare the filters, say what each does",
        parts: &[],
    },
    Exercise {
        id: "applied-4",
        title: "Blocks without skips: train, measure, explain",
        parts: &[],
    },
    Exercise {
        id: "applied-5",
        title: "2-D convolution without the library's",
        parts: &[],
    },
];
