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

    /// The epoch with the smallest test loss, counted from 0, and what it reached; the first of equals.
    ///
    /// ```
    /// use dldna_nn::train::{Epoch, History};
    ///
    /// let epoch = |test_loss| Epoch { train_loss: 1.0, train_accuracy: 0.8, test_loss, test_accuracy: 0.7 };
    /// let history = History { epochs: vec![epoch(1.1), epoch(0.9), epoch(1.0)] };
    /// assert_eq!(history.best().unwrap().0, 1);
    /// ```
    pub fn best(&self) -> Option<(usize, &Epoch)> {
        let epochs = self.epochs.iter().enumerate();
        epochs.min_by(|(_, a), (_, b)| a.test_loss.total_cmp(&b.test_loss))
    }

    /// What is wrong with a training whose loss is far above that of a guess, `ln(classes)`.
    pub(super) fn warning(&self, classes: usize, learning_rate: f32) -> Option<String> {
        let loss = self.last()?.train_loss;
        let guess = (classes.max(2) as f32).ln();
        (loss > 3.0 * guess).then(|| {
            format!(
                "warning: the training loss is {loss:.3}, and a guess would give {guess:.3}: \
                 the network does not learn. Try a smaller learning rate than {learning_rate}"
            )
        })
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
