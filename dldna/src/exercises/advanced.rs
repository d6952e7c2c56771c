//! The advanced exercises.

use super::Exercise;

pub(super) const EXERCISES: [Exercise; 5] = [
    Exercise {
        id: "advanced-1",
        title: "Why gradients vanish or explode",
        parts: &[],
    },
    Exercise {
        id: "advanced-2",
        title: "ResNet, Inception, EfficientNet compared",
        parts: &[],
    },
    Exercise {
        id: "advanced-3",
        title: "Compound scaling: the best model under a budget",
        parts: &[],
    },
    Exercise {
        id: "advanced-4",
        title: "Gaussian processes and deep kernel learning",
        parts: &[],
    },
    Exercise {
        id: "advanced-5",
        title: "A newer CNN: build its block, compare",
        parts: &[],
    },
];
