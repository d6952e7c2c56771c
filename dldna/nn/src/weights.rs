//! Tensors of a network by name: in and out of safetensors files.

use ::safetensors::{
    Dtype as FileDtype, SafeTensorError, SafeTensors, serialize, tensor::TensorView,
};
use dfdx::prelude::{tensor_collection::*, *};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::Write;
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;
use thiserror::Error;

/// Why weights could not be loaded or saved. After a failed load the network is as it was, after a failed save the file.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum WeightsError {
    /// The file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The file cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The file is not in safetensors format, or cut short.
    #[error("{}: not a complete safetensors file: {reason}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Names or shapes in the file are not those of the network.
    #[error("{}: the weights are not those of this network{}", path.display(), list(missing, extra, misshaped))]
    Mismatch {
        /// The file.
        path: PathBuf,
        /// Names that the network has and the file lacks.
        missing: Vec<String>,
        /// Names that the file has and the network lacks.
        extra: Vec<String>,
        /// Name, shape in the network, and shape and type in the file.
        misshaped: Vec<String>,
    },
}

/// The three lists of a mismatch, each on lines of its own.
fn list(missing: &[String], extra: &[String], misshaped: &[String]) -> String {
    let mut text = String::new();
    for (title, names) in [
        ("missing in the file", missing),
        ("unknown to the network", extra),
        ("of another shape or type", misshaped),
    ] {
        if !names.is_empty() {
            text += &format!("\n{title}:\n  {}", names.join("\n  "));
        }
    }
    text
}

/// A tensor outside any network: its shape, and its values in row-major order.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Values {
    pub shape: Vec<usize>,
    pub data: Vec<f32>,
}

/// Tensors by name, and words about them.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct TensorFile {
    pub tensors: BTreeMap<String, Values>,
    pub words: HashMap<String, String>,
}

impl TensorFile {
    pub fn read(path: &Path) -> Result<Self, WeightsError> {
        let bytes = std::fs::read(path).map_err(|source| WeightsError::Read {
            path: path.to_owned(),
            source,
        })?;
        Self::parse(&bytes).map_err(|reason| WeightsError::Format {
            path: path.to_owned(),
            reason,
        })
    }

    fn parse(bytes: &[u8]) -> Result<Self, String> {
        let words = |error: SafeTensorError| error.to_string();
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(words)?;
        let file = SafeTensors::deserialize(bytes).map_err(words)?;
        let mut tensors = BTreeMap::new();
        for (name, tensor) in file.tensors() {
            if name.ends_with("num_batches_tracked") {
                continue; // PyTorch's batch norms count their batches, as integers
            }
            if tensor.dtype() != FileDtype::F32 {
                return Err(format!("{name} holds {:?}, expected F32", tensor.dtype()));
            }
            let (numbers, _) = tensor.data().as_chunks();
            let values = Values {
                shape: tensor.shape().to_vec(),
                data: numbers
                    .iter()
                    .map(|&bytes| f32::from_le_bytes(bytes))
                    .collect(),
            };
            tensors.insert(name, values);
        }
        Ok(Self {
            tensors,
            words: header.metadata().clone().unwrap_or_default(),
        })
    }

    /// Writes the file as a whole: whoever reads it at any moment finds the old content or the new one.
    pub fn write(&self, path: &Path) -> Result<(), WeightsError> {
        let failed = |source| WeightsError::Write {
            path: path.to_owned(),
            source,
        };
        let bytes: Vec<(&String, &Values, Vec<u8>)> = self
            .tensors
            .iter()
            .map(|(name, values)| {
                let bytes = values.data.iter().flat_map(|v| v.to_le_bytes()).collect();
                (name, values, bytes)
            })
            .collect();
        let mut views = Vec::new();
        for (name, values, bytes) in &bytes {
            let view = TensorView::new(FileDtype::F32, values.shape.clone(), bytes);
            views.push((name, view.map_err(|e| failed(std::io::Error::other(e)))?));
        }
        let content = serialize(views, &Some(self.words.clone()))
            .map_err(|error| failed(std::io::Error::other(error)))?;

        write_atomically(path, &content).map_err(failed)
    }

    /// All tensors of a network, under its own names.
    pub fn of<M: TensorCollection<f32, D>, D: Device<f32>>(network: &M) -> Self {
        let mut tensors = BTreeMap::new();
        for_each_tensor(network, |name, tensor| {
            let (shape, data) = (tensor.sizes(), tensor.values());
            tensors.insert(name.to_owned(), Values { shape, data });
        });
        Self {
            tensors,
            words: HashMap::new(),
        }
    }

    /// Puts the tensors into a network, all or none. `name_of` translates the network's names to the file's;
    /// tensors that `may_lack` names become 0 where the file has none.
    pub fn put_into<M: TensorCollection<f32, D>, D: Device<f32>>(
        &self,
        network: &mut M,
        path: &Path,
        name_of: &dyn Fn(&str) -> String,
        may_lack: &dyn Fn(&str) -> bool,
    ) -> Result<(), WeightsError> {
        let mut differences = Differences::default();
        for_each_tensor(network, |name, tensor| {
            let name = name_of(name);
            let may_lack = may_lack(&name);
            differences.compare(self, name, &tensor.sizes(), may_lack);
        });
        differences.check(self, path)?;
        for_each_tensor_mut(network, |name, tensor| {
            match self.tensors.get(&name_of(name)) {
                Some(values) => tensor.set(&values.data),
                None => tensor.set(&vec![0.0; tensor.sizes().iter().product()]),
            }
        });
        Ok(())
    }
}

/// A new file, readable by those who may read any other new file.
#[cfg(unix)]
fn unfinished_file(folder: &Path) -> std::io::Result<NamedTempFile> {
    let permissions = std::os::unix::fs::PermissionsExt::from_mode(0o666); // less what the umask takes
    tempfile::Builder::new()
        .permissions(permissions)
        .tempfile_in(folder)
}

#[cfg(not(unix))]
fn unfinished_file(folder: &Path) -> std::io::Result<NamedTempFile> {
    NamedTempFile::new_in(folder)
}

/// Writes a file beside its place and moves it there when it is complete and on the disk.
fn write_atomically(path: &Path, content: &[u8]) -> std::io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut file = unfinished_file(folder)?;
    file.write_all(content)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

/// A tensor of a network, of whatever shape: what [`for_each_tensor`] shows.
pub trait AnyTensor<D: Device<f32>> {
    /// The size of each of its axes.
    fn sizes(&self) -> Vec<usize>;
    /// Its values in row-major order.
    fn values(&self) -> Vec<f32>;
    /// Other values, as many as it has elements, in row-major order.
    fn set(&mut self, values: &[f32]);
    /// Where it is.
    fn device(&self) -> &D;
    /// The gradient with respect to it, which has been computed.
    fn gradient(&self, gradients: &Gradients<f32, D>) -> Vec<f32>;
}

impl<S: Shape, D: Device<f32>> AnyTensor<D> for Tensor<S, f32, D> {
    fn sizes(&self) -> Vec<usize> {
        self.shape().concrete().as_ref().to_vec()
    }

    fn values(&self) -> Vec<f32> {
        let mut values = vec![0.0; self.shape().num_elements()];
        self.copy_into(&mut values);
        values
    }

    fn set(&mut self, values: &[f32]) {
        self.copy_from(values);
    }

    fn device(&self) -> &D {
        Tensor::device(self)
    }

    fn gradient(&self, gradients: &Gradients<f32, D>) -> Vec<f32> {
        gradients.get(self).as_vec()
    }
}

/// Shows each tensor of a network with its name, in the order of the layers.
///
/// ```
/// use dldna_nn::{prelude::*, weights::for_each_tensor};
///
/// let network = Cpu::seed_from_u64(0).build_module::<(Linear<2, 3>, ReLU), f32>();
/// let mut names = Vec::new();
/// for_each_tensor(&network, |name, tensor| names.push(format!("{name}: {:?}", tensor.sizes())));
/// assert_eq!(names, ["0.weight: [3, 2]", "0.bias: [3]"]);
/// ```
pub fn for_each_tensor<M: TensorCollection<f32, D>, D: Device<f32>>(
    network: &M,
    f: impl FnMut(&str, &dyn AnyTensor<D>),
) {
    struct Each<F>(F);
    impl<F: FnMut(&str, &dyn AnyTensor<D>), D: Device<f32>> TensorVisitor<f32, D> for Each<F> {
        type Viewer = (ViewTensorRef, ViewTensorName);
        type Err = std::convert::Infallible;
        type E2 = f32;
        type D2 = D;

        fn visit<S: Shape>(
            &mut self,
            _: TensorOptions<S, f32, D>,
            (tensor, name): (&Tensor<S, f32, D>, String),
        ) -> Result<Option<Tensor<S, f32, D>>, Self::Err> {
            (self.0)(&name, tensor);
            Ok(None)
        }
    }
    let walked = M::iter_tensors(&mut RecursiveWalker {
        m: (network, String::new()),
        f: &mut Each(f),
    });
    let Ok(_) = walked; // cannot fail
}

/// [`for_each_tensor`] with tensors that can be written to.
fn for_each_tensor_mut<M: TensorCollection<f32, D>, D: Device<f32>>(
    network: &mut M,
    f: impl FnMut(&str, &mut dyn AnyTensor<D>),
) {
    struct Each<F>(F);
    impl<F: FnMut(&str, &mut dyn AnyTensor<D>), D: Device<f32>> TensorVisitor<f32, D> for Each<F> {
        type Viewer = (ViewTensorMut, ViewTensorName);
        type Err = std::convert::Infallible;
        type E2 = f32;
        type D2 = D;

        fn visit<S: Shape>(
            &mut self,
            _: TensorOptions<S, f32, D>,
            (tensor, name): (&mut Tensor<S, f32, D>, String),
        ) -> Result<Option<Tensor<S, f32, D>>, Self::Err> {
            (self.0)(&name, tensor);
            Ok(None)
        }
    }
    let walked = M::iter_tensors(&mut RecursiveWalker {
        m: (network, String::new()),
        f: &mut Each(f),
    });
    let Ok(_) = walked; // cannot fail
}

/// The names and shapes in which a network and a file differ.
#[derive(Default)]
struct Differences {
    /// Names of the file that the network has.
    seen: BTreeSet<String>,
    missing: Vec<String>,
    misshaped: Vec<String>,
}

impl Differences {
    /// Looks up a tensor of the network by its `name` in the file.
    fn compare(&mut self, file: &TensorFile, name: String, sizes: &[usize], may_lack: bool) {
        match file.tensors.get(&name) {
            None if may_lack => {}
            None => self.missing.push(name),
            Some(values) => {
                if values.shape != sizes {
                    let found = &values.shape;
                    self.misshaped
                        .push(format!("{name}: {sizes:?} expected, {found:?} in the file"));
                }
                self.seen.insert(name);
            }
        }
    }

    /// An error if there are any.
    fn check(self, file: &TensorFile, path: &Path) -> Result<(), WeightsError> {
        let names = file.tensors.keys();
        let extra: Vec<String> = names
            .filter(|name| !self.seen.contains(*name))
            .cloned()
            .collect();
        if self.missing.is_empty() && self.misshaped.is_empty() && extra.is_empty() {
            return Ok(());
        }
        Err(WeightsError::Mismatch {
            path: path.to_owned(),
            missing: self.missing,
            extra,
            misshaped: self.misshaped,
        })
    }
}

/// Writes the weights of a network to a safetensors file, under the names of its fields. The file is replaced as a
/// whole: an interruption leaves the old one.
///
/// # Errors
/// [`WeightsError::Write`].
///
/// # Example
/// ```
/// use dldna_nn::{prelude::*, weights::{load_model, save_model}};
///
/// let dev = Cpu::seed_from_u64(1);
/// let model = dev.build_module::<Conv2D<1, 2, 3>, f32>();
/// let path = std::env::temp_dir().join("dldna-doc-model.safetensors");
/// save_model(&model, &path)?;
/// let mut other = dev.build_module::<Conv2D<1, 2, 3>, f32>();
/// load_model(&mut other, &path)?;
/// assert_eq!(other.weight.array(), model.weight.array());
/// # std::fs::remove_file(path).unwrap();
/// # Ok::<(), dldna_nn::weights::WeightsError>(())
/// ```
pub fn save_model<M: TensorCollection<f32, D>, D: Device<f32>>(
    network: &M,
    path: impl AsRef<Path>,
) -> Result<(), WeightsError> {
    TensorFile::of(network).write(path.as_ref())
}

/// Reads what [`save_model`] wrote into a network of the same kind.
///
/// # Errors
/// [`WeightsError`] lists every name that is missing, extra or of another shape; nothing is loaded then.
pub fn load_model<M: TensorCollection<f32, D>, D: Device<f32>>(
    network: &mut M,
    path: impl AsRef<Path>,
) -> Result<(), WeightsError> {
    let path = path.as_ref();
    TensorFile::read(path)?.put_into(network, path, &str::to_owned, &|_| false)
}

/// Puts the weights of a safetensors file with PyTorch's names into a network whose fields have these names.
///
/// `num_batches_tracked` is skipped. A file without a bias for any convolution, such as torchvision's, sets the biases of
/// the network's convolutions to 0.
/// In Python, `safetensors.torch.save_file(model.state_dict(), "weights.safetensors")` writes such a file.
///
/// # Errors
/// [`WeightsError`] lists every name that is missing, extra or of another shape; nothing is loaded then.
///
/// # Example
/// ```no_run
/// use dldna_nn::{prelude::*, weights::load_torch_weights};
///
/// network! {
///     pub struct LeNet {
///         conv1: BiasedConv2D<1, 6, 5>, relu1: ReLU, pool1: MaxPool2D<2, 2>,
///         conv2: BiasedConv2D<6, 16, 5>, relu2: ReLU, pool2: MaxPool2D<2, 2>,
///         flatten: Flatten<256>, fc1: Linear<256, 120>, relu3: ReLU, fc2: Linear<120, 10>,
///     }
///     forward(Images<1>) -> Vectors<10>;
/// }
/// let mut network = Cpu::default().build_module::<LeNet, f32>();
/// load_torch_weights(&mut network, "lenet.safetensors")?; // conv1.weight, conv1.bias, conv2.weight, ..
/// # Ok::<(), dldna_nn::weights::WeightsError>(())
/// ```
pub fn load_torch_weights<M: TensorCollection<f32, D>, D: Device<f32>>(
    network: &mut M,
    path: impl AsRef<Path>,
) -> Result<(), WeightsError> {
    load_renamed(network, path.as_ref(), str::to_owned)
}

/// [`load_torch_weights`] of a file that calls a tensor of the network by the name that `name_of` gives.
pub(crate) fn load_renamed<M: TensorCollection<f32, D>, D: Device<f32>>(
    network: &mut M,
    path: &Path,
    name_of: impl Fn(&str) -> String,
) -> Result<(), WeightsError> {
    let file = TensorFile::read(path)?;
    let biases = conv_biases(network);
    let biases: BTreeSet<String> = biases.iter().map(|name| name_of(name)).collect();
    // A file with some biases has to have all of them.
    let has_biases = biases.iter().any(|name| file.tensors.contains_key(name));
    let may_lack = |name: &str| !has_biases && biases.contains(name);
    file.put_into(network, path, &name_of, &may_lack)
}

/// The names of the biases of all convolutions: those beside a weight of four axes.
fn conv_biases<M: TensorCollection<f32, D>, D: Device<f32>>(network: &M) -> Vec<String> {
    let (mut kernels, mut biases) = (BTreeSet::new(), Vec::new());
    for_each_tensor(network, |name, tensor| {
        match name.strip_suffix("weight").map(|layer| layer.to_owned()) {
            Some(layer) if tensor.sizes().len() == 4 => drop(kernels.insert(layer)),
            _ => biases.extend(name.strip_suffix("bias").map(str::to_owned)),
        }
    });
    biases.retain(|layer| kernels.contains(layer));
    biases.iter().map(|layer| format!("{layer}bias")).collect()
}

/// A name after all of these renamings, one after the other: `(ours, theirs)`.
pub(crate) fn renamed(name: &str, renamings: &[(&str, &str)]) -> String {
    let rename = |name: String, (ours, theirs): &(&str, &str)| name.replace(ours, theirs);
    renamings.iter().fold(name.to_owned(), rename)
}
