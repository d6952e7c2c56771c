//! Training an image classifier: section 7.2.4.
//!
//! [`train_resnet18`] follows the book: ResNet-18 on Fashion-MNIST, Adam, cross entropy. [`train`] does the same with
//! any network and any images. Everything random comes from the seed. With a checkpoint a training can be stopped at any
//! moment, and goes on later with the result that it would have had without the stop.
//!
//! ```no_run
//! use dldna::train::{TrainConfig, train_resnet18};
//!
//! let trained = train_resnet18(&TrainConfig { epochs: 2, subset: Some(2_000), ..Default::default() })?;
//! println!("{}", trained.history);
//! # Ok::<(), dldna::train::TrainError>(())
//! ```

mod features;
mod figures;

pub use dldna_nn::train::*;
pub use features::{TestImage, feature_maps, get_trained_model_and_test_image};
pub use figures::draw_feature_maps;

use crate::data::{self, DataError, Split};
use crate::device::{AnyDevice, device};
use crate::resnet::ResNet18;
use dfdx::prelude::*;

impl From<DataError> for TrainError {
    fn from(error: DataError) -> Self {
        TrainError::Data(Box::new(error))
    }
}

/// Trains ResNet-18 on Fashion-MNIST: all of it, or the first `config.subset` images.
///
/// It trains on the device that [`device()`] picks, from the same first weights on each, and returns the network on
/// the CPU.
///
/// Up to 2,000 images come from the sample that ships with the repository, with its 500 test images; for more, the whole
/// set is looked for on this machine and else downloaded ([`data::fashion_mnist`]).
///
/// # Errors
/// [`TrainError`] says whether data, settings, checkpoint or the learning itself failed.
///
/// # Example
/// ```
/// use dldna::train::{TrainConfig, train_resnet18};
///
/// let config = TrainConfig { epochs: 1, subset: Some(64), batch_size: 32, progress: false, ..Default::default() };
/// let trained = train_resnet18(&config)?;
/// assert_eq!(trained.history.epochs.len(), 1);
/// # Ok::<(), dldna::train::TrainError>(())
/// ```
pub fn train_resnet18(config: &TrainConfig) -> Result<Trained, TrainError> {
    let device = device()?;
    let model = Cpu::seed_from_u64(config.seed).build_module::<ResNet18<1, 10>, f32>();
    let split = fashion_mnist_for(config)?;
    match device {
        AnyDevice::Cpu(_) => train(model, &split, config),
        #[cfg(feature = "cuda")]
        AnyDevice::Cuda(gpu) => {
            if config.progress {
                println!("on the {}", AnyDevice::Cuda(gpu.clone()));
            }
            let model = model.try_to_device(&gpu).map_err(Cuda::explain)?;
            let trained = train(model, &split, config)?;
            Ok(trained.map(|model| model.to_device(&Cpu::default())))
        }
    }
}

/// The smallest set that has as many images as `config` asks for.
fn fashion_mnist_for(config: &TrainConfig) -> Result<Split, TrainError> {
    let sample = data::fashion_mnist_sample()?;
    match config.subset {
        Some(count) if count <= sample.train.len() => Ok(sample),
        _ => Ok(data::fashion_mnist()?),
    }
}
