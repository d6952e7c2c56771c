//! Files that people take for weights in safetensors format.

use std::fmt;

/// What a file is that is not in safetensors format. Its words say what to do.
///
/// ```
/// use dldna_nn::{prelude::*, weights::load_torch_weights_from_bytes};
///
/// let mut layer = Cpu::default().build_module::<Linear<2, 3>, f32>();
/// let error = load_torch_weights_from_bytes(&mut layer, b"<!DOCTYPE html><title>404</title>").unwrap_err();
/// assert!(error.to_string().starts_with("weights in memory is a web page"));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Foreign {
    /// Nothing.
    Empty,
    /// What Git has in place of a large file.
    LfsPointer,
    /// HTML or XML: an answer of a server, in place of the file.
    WebPage,
    /// A `.pth`, `.pt`, `.bin` or `.ckpt` of PyTorch, or another pickle of Python.
    PyTorch,
    /// An archive.
    Zip,
}

impl Foreign {
    /// What these bytes are, if they are known. To be asked about what is not a safetensors file.
    pub(super) fn recognise(bytes: &[u8]) -> Option<Self> {
        let text = bytes.trim_ascii_start();
        let text = text.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(text);
        let is_header = bytes.get(8) == Some(&b'{'); // of a safetensors file, behind its length
        match bytes {
            [] => Some(Self::Empty),
            [b'P', b'K', 3, 4, ..] if holds(bytes, b"data.pkl") => Some(Self::PyTorch),
            [b'P', b'K', 3 | 5, 4 | 6, ..] => Some(Self::Zip),
            // Of a pickle the first byte says what it is, the second by which version.
            [0x80, 2..=5, ..] if !is_header => Some(Self::PyTorch),
            _ if bytes.starts_with(b"version https://git-lfs.github.com/spec/") => {
                Some(Self::LfsPointer)
            }
            _ if text.starts_with(b"<") && !is_header => Some(Self::WebPage),
            _ => None,
        }
    }
}

/// Whether `bytes` begin with a file of that name, as an archive of PyTorch does.
fn holds(bytes: &[u8], name: &[u8]) -> bool {
    let start = &bytes[..bytes.len().min(512)];
    start.windows(name.len()).any(|window| window == name)
}

impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "is empty: get the file again",
            Self::LfsPointer => {
                "is a pointer of Git LFS, not the file itself: `git lfs pull` gets it"
            }
            Self::WebPage => {
                "is a web page, not weights: get the file itself \
                 (on Hugging Face and GitHub its address has `resolve` or `raw` in place of `blob`)"
            }
            Self::PyTorch => {
                "is a pickle of Python, as PyTorch saves it, and could run any program when it is read. \
                 Python makes a safetensors file of it without running what is in it:\n  \
                 import torch, safetensors.torch\n  \
                 safetensors.torch.save_file({name: x.contiguous() for name, x in \
                 torch.load(\"weights.pth\", \"cpu\", weights_only=True).items()}, \"weights.safetensors\")"
            }
            Self::Zip => "is a zip archive, not weights: take the file out of it",
        })
    }
}
