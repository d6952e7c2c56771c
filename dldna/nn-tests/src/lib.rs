//! Reference tensors, made by PyTorch, OpenCV, NumPy and SciPy (`dldna/tests/fixtures/make_fixtures.py`), for the tests of
//! both packages.
use ndarray::Array2;
use safetensors::{Dtype, SafeTensors, serialize_to_file, tensor::TensorView};
use std::path::{Path, PathBuf};

/// One file of reference tensors and its entry in `index.json`.
pub struct Fixture {
    bytes: Vec<u8>,
    /// The settings of each case.
    pub cases: serde_json::Value,
}

/// The folder named by `DLDNA_FIXTURES`, or `dldna/tests/fixtures`.
fn folder() -> PathBuf {
    if let Some(folder) = std::env::var_os("DLDNA_FIXTURES") {
        return folder.into();
    }
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures")
}

/// The bytes of a file of reference values.
pub fn read(file: &str) -> Vec<u8> {
    let path = folder().join(file);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A tensor with two axes.
pub fn matrix(file: &SafeTensors, name: &str) -> Array2<f32> {
    let tensor = file.tensor(name).unwrap();
    let shape = (tensor.shape()[0], tensor.shape()[1]);
    Array2::from_shape_vec(shape, numbers(tensor.data())).unwrap()
}

/// The numbers of a tensor, from its bytes.
pub fn numbers(bytes: &[u8]) -> Vec<f32> {
    let (numbers, _) = bytes.as_chunks();
    numbers.iter().map(|&b| f32::from_le_bytes(b)).collect()
}

impl Fixture {
    /// Reads `NAME.safetensors`, and its entry in `index.json`.
    pub fn open(name: &str) -> Self {
        let index: serde_json::Value = serde_json::from_slice(&read("index.json")).unwrap();
        Self {
            bytes: read(&format!("{name}.safetensors")),
            cases: index[name].clone(),
        }
    }

    /// The names of the cases, in order. Panics if there are none: an empty test would prove nothing.
    pub fn case_names(&self) -> Vec<String> {
        let names: Vec<String> = self.cases.as_object().unwrap().keys().cloned().collect();
        assert!(!names.is_empty(), "the fixture has no cases");
        names
    }

    /// An integer setting of a case.
    pub fn setting(&self, case: &str, name: &str) -> usize {
        let value = &self.cases[case][name];
        value
            .as_u64()
            .unwrap_or_else(|| panic!("{case}/{name} is {value}")) as usize
    }

    /// The elements of a tensor in row-major order.
    pub fn tensor(&self, name: &str) -> Vec<f32> {
        let file = SafeTensors::deserialize(&self.bytes).unwrap();
        let view = file
            .tensor(name)
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        numbers(view.data())
    }

    /// The names of all tensors of the file.
    pub fn names(&self) -> Vec<String> {
        let file = SafeTensors::deserialize(&self.bytes).unwrap();
        file.names().iter().map(|name| name.to_string()).collect()
    }

    /// Writes the weights of a case in a file of their own, with PyTorch's names.
    pub fn write_state(&self, case: &str, folder: &Path) -> PathBuf {
        let prefix = format!("{case}/state/");
        let names = self.names();
        let states = names.iter().filter_map(|name| {
            let bytes = self.tensor(name).into_iter().flat_map(|v| v.to_le_bytes());
            let short = name.strip_prefix(&prefix)?.to_owned();
            Some((short, self.shape(name), bytes.collect()))
        });
        write_tensors(&states.collect::<Vec<_>>(), folder)
    }

    /// The shape of a tensor.
    pub fn shape(&self, name: &str) -> Vec<usize> {
        let file = SafeTensors::deserialize(&self.bytes).unwrap();
        file.tensor(name).unwrap().shape().to_vec()
    }
}

/// Writes a file of tensors: names, shapes and the bytes of the numbers.
pub fn write_tensors(tensors: &[(String, Vec<usize>, Vec<u8>)], folder: &Path) -> PathBuf {
    let path = folder.join("weights.safetensors");
    let views = tensors.iter().map(|(name, shape, bytes)| {
        (
            name,
            TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap(),
        )
    });
    serialize_to_file(views, &None, &path).unwrap();
    path
}

/// Fails unless `|got - want| <= 1e-4 max(1, |want|)` everywhere.
#[track_caller]
pub fn assert_close(what: &str, got: &[f32], want: &[f32]) {
    assert_eq!(got.len(), want.len(), "{what}: number of elements");
    for (i, (got, want)) in got.iter().zip(want).enumerate() {
        let tolerance = 1e-4 * want.abs().max(1.0);
        assert!(
            (got - want).abs() <= tolerance,
            "{what}[{i}]: got {got}, want {want}"
        );
    }
}

/// A whole network in the folder `DLDNA_TORCH_WEIGHTS`: `run` gets the file of the weights, the images and their shape,
/// and its logits have to be PyTorch's within a thousandth of the largest.
pub fn logits_equal_pytorch(
    name: &str,
    run: impl FnOnce(PathBuf, Vec<f32>, Vec<usize>) -> Vec<f32>,
) {
    let folder = std::env::var("DLDNA_TORCH_WEIGHTS")
        .expect("DLDNA_TORCH_WEIGHTS names the folder that a script in fixtures/ wrote");
    let folder = Path::new(&folder);
    let bytes = std::fs::read(folder.join(format!("{name}.case.safetensors"))).unwrap();
    let case = SafeTensors::deserialize(&bytes).unwrap();
    let numbers = |name: &str| numbers(case.tensor(name).unwrap().data());
    let shape = case.tensor("x").unwrap().shape().to_vec();
    let weights = folder.join(format!("{name}.safetensors"));
    let (got, want) = (run(weights, numbers("x"), shape), numbers("logits"));
    assert_eq!(got.len(), want.len());
    let largest = want.iter().fold(0f32, |largest, v| largest.max(v.abs()));
    let differences = got.iter().zip(&want).map(|(got, want)| (got - want).abs());
    let error = differences.fold(0f32, f32::max);
    println!("{name}: largest logit {largest}, largest difference {error}");
    assert!(error <= 1e-3 * largest, "{name}: {error} of {largest}");
}
