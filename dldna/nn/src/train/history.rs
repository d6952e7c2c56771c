//! What a training has reached, epoch by epoch.

use crate::table::Table;
use std::fmt;

/// The figures of one epoch. Accuracies are shares between 0 and 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Epoch {
    /// Mean loss over the training images, each measured when it was learned from.
    pub train_loss: f32,
    /// Accuracy on the training images, each measured when it was learned from.
    pub train_accuracy: f32,
    /// Mean loss over the test images after the epoch.
    pub test_loss: f32,
    /// Accuracy on the test images after the epoch.
    pub test_accuracy: f32,
}

/// All epochs so far.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct History {
    /// The first epoch first.
    pub epochs: Vec<Epoch>,
}

impl History {
    /// The last epoch, if there is one.
    pub fn last(&self) -> Option<&Epoch> {
        self.epochs.last()
    }

    fn table(&self) -> Table {
        let mut table = Table::new(
            &[
                "Epoch",
                "Training loss",
                "accuracy",
                "Test loss",
                "accuracy ",
            ],
            0,
        );
        for (index, epoch) in self.epochs.iter().enumerate() {
            let percent = |share: f32| format!("{:.1}%", 100.0 * share);
            table.push(vec![
                (index + 1).to_string(),
                format!("{:.3}", epoch.train_loss),
                percent(epoch.train_accuracy),
                format!("{:.3}", epoch.test_loss),
                percent(epoch.test_accuracy),
            ]);
        }
        table
    }

    /// Shows the table in the notebook.
    pub fn evcxr_display(&self) {
        self.table().show("");
    }
}

impl fmt::Display for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.table().fmt(f)
    }
}
