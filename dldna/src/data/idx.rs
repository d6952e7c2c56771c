//! The IDX format of MNIST and Fashion-MNIST, plain or gzipped.
//!
//! A file of unsigned bytes: two zero bytes, the type code `0x08`, the number of dimensions, each dimension as a big-endian
//! 32 bit number, then the values, the last dimension running fastest (<http://yann.lecun.com/exdb/mnist/>).

use std::fmt;
use std::io::Read;

use flate2::bufread::MultiGzDecoder;
use thiserror::Error;

use crate::image::describe_start;

/// Files that declare more values than this are refused.
const MAX_VALUES: u64 = 1 << 30;

/// What can be wrong with an IDX file.
#[derive(Debug, Error)]
pub enum IdxError {
    /// The file begins like gzip, but cannot be unpacked to its end.
    #[error("damaged gzip data after {unpacked} unpacked bytes: {reason}")]
    Gzip {
        /// Bytes unpacked before.
        unpacked: usize,
        /// What the decoder said.
        reason: String,
    },
    /// The first four bytes are wrong: another kind of file, of values, or another number of dimensions.
    #[error(
        "not an IDX file of unsigned bytes with {dimensions} dimension(s): \
         expected the magic number 00 00 08 {dimensions:02x}, found {found}"
    )]
    Magic {
        /// Expected number of dimensions.
        dimensions: u8,
        /// The first bytes.
        found: String,
    },
    /// The file ends inside the sizes or before the last value.
    #[error("the file is cut short: expected {expected} bytes, found {found}")]
    Truncated {
        /// Header and all values, in bytes, unpacked.
        expected: u64,
        /// Bytes that are there.
        found: u64,
    },
    /// The file goes on after the last value.
    #[error("the file goes on after its {expected} bytes")]
    Trailing {
        /// Header and all values, in bytes, unpacked.
        expected: u64,
    },
    /// The file declares more values than are accepted.
    #[error("the file declares the sizes {sizes:?}: expected at most {MAX_VALUES} values")]
    TooLarge {
        /// The declared sizes.
        sizes: Vec<u32>,
    },
}

/// The content of an IDX file of unsigned bytes.
///
/// ```
/// use dldna::data::idx::Idx;
///
/// let labels = Idx { sizes: vec![3], values: vec![9, 2, 1] };
/// let bytes = labels.to_bytes();
/// assert_eq!(bytes, [0, 0, 8, 1, 0, 0, 0, 3, 9, 2, 1]);
/// assert_eq!(Idx::from_bytes(&bytes, 1)?, labels);
/// # Ok::<(), dldna::data::idx::IdxError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Idx {
    /// Size of each dimension; images have `[count, height, width]`, labels `[count]`.
    pub sizes: Vec<u32>,
    /// All values, the last dimension running fastest.
    pub values: Vec<u8>,
}

/// The sizes alone: the values would fill the screen.
impl fmt::Debug for Idx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Idx {{ sizes: {:?} }}", self.sizes)
    }
}

impl Idx {
    /// Reads an IDX file, plain or gzipped, of unsigned bytes with the given number of dimensions.
    ///
    /// Memory is taken as values arrive, not as the file declares them.
    ///
    /// # Errors
    /// If the file is of another kind, cut short, too long, too large, or damaged gzip.
    pub fn from_bytes(bytes: &[u8], dimensions: u8) -> Result<Idx, IdxError> {
        if is_gzip(bytes) {
            // The declared sizes say where to stop; unpacking the header first keeps a small file from filling the memory.
            let header_length = header_length(dimensions);
            let header = gunzip(bytes, header_length as u64)?;
            let (_, length) = read_header(&header, dimensions)?;
            return Idx::from_plain(&gunzip(bytes, length + 1)?, dimensions);
        }
        Idx::from_plain(bytes, dimensions)
    }

    fn from_plain(bytes: &[u8], dimensions: u8) -> Result<Idx, IdxError> {
        let (sizes, expected) = read_header(bytes, dimensions)?;
        let found = bytes.len() as u64;
        if found < expected {
            return Err(IdxError::Truncated { expected, found });
        }
        if found > expected {
            return Err(IdxError::Trailing { expected });
        }
        Ok(Idx {
            sizes,
            values: bytes[header_length(dimensions)..].to_vec(),
        })
    }

    /// The content as a plain IDX file.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0, 0, 8, self.sizes.len() as u8];
        bytes.extend(self.sizes.iter().flat_map(|size| size.to_be_bytes()));
        bytes.extend(&self.values);
        bytes
    }
}

fn header_length(dimensions: u8) -> usize {
    4 + 4 * usize::from(dimensions)
}

/// The declared sizes, and the length in bytes that the whole file must have.
fn read_header(bytes: &[u8], dimensions: u8) -> Result<(Vec<u32>, u64), IdxError> {
    if !bytes.starts_with(&[0, 0, 8, dimensions]) {
        return Err(IdxError::Magic {
            dimensions,
            found: describe_start(&bytes[..bytes.len().min(4)]),
        });
    }
    let length = header_length(dimensions);
    let header = bytes.get(4..length).ok_or(IdxError::Truncated {
        expected: length as u64,
        found: bytes.len() as u64,
    })?;
    let sizes: Vec<u32> = header
        .chunks_exact(4)
        .map(|size| u32::from_be_bytes([size[0], size[1], size[2], size[3]]))
        .collect();
    let values = sizes
        .iter()
        .try_fold(1_u64, |product, &size| product.checked_mul(size.into()));
    match values {
        Some(values) if values <= MAX_VALUES => Ok((sizes, values + length as u64)),
        _ => Err(IdxError::TooLarge { sizes }),
    }
}

/// Whether the bytes begin as a gzip file does.
pub(super) fn is_gzip(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0x1f, 0x8b])
}

/// Unpacks at most `limit` bytes of a gzip file. A file that ends sooner is read to its end, with its checksum.
pub(super) fn gunzip(bytes: &[u8], limit: u64) -> Result<Vec<u8>, IdxError> {
    let mut unpacked = Vec::new();
    match MultiGzDecoder::new(bytes)
        .take(limit)
        .read_to_end(&mut unpacked)
    {
        Ok(_) => Ok(unpacked),
        Err(error) => Err(IdxError::Gzip {
            unpacked: unpacked.len(),
            reason: error.to_string(),
        }),
    }
}
