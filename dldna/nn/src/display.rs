//! Rich output of values in a notebook.
//!
//! The Rust kernel (evcxr) shows the last value of a cell through the method `evcxr_display(&self)`, if the value has one. What that method
//! prints between two marker lines is taken as content of the named MIME type. [`emit`] is the one place that knows these markers.

use dfdx::shapes::Shape;

/// Content of one MIME type.
#[derive(Clone, Copy, Debug)]
pub enum Content<'a> {
    /// Text of the named MIME type, such as `text/html`.
    Text(&'a str, &'a str),
    /// Bytes of the named MIME type, such as `image/png`; the kernel expects them in base64.
    Bytes(&'a str, &'a [u8]),
}

/// The text by which the kernel recognises `parts`: one value in several forms, of which the viewer shows the best that it can.
///
/// # Example
/// ```
/// use dldna_nn::display::{Content, message};
///
/// let text = message(&[Content::Text("text/plain", "42")]);
/// assert_eq!(text, "EVCXR_BEGIN_CONTENT text/plain\n42\nEVCXR_END_CONTENT\n");
/// ```
pub fn message(parts: &[Content]) -> String {
    use base64::{Engine, engine::general_purpose::STANDARD};

    let mut text = String::new();
    for part in parts {
        let (mime, body) = match part {
            Content::Text(mime, body) => (mime, (*body).to_owned()),
            Content::Bytes(mime, bytes) => (mime, STANDARD.encode(bytes)),
        };
        text += &format!("EVCXR_BEGIN_CONTENT {mime}\n{body}\nEVCXR_END_CONTENT\n");
    }
    text
}

/// Prints `parts` for the kernel. To be called from a method `evcxr_display(&self)`.
///
/// # Example
/// ```
/// use dldna_nn::display::{Content, emit};
///
/// struct Greeting;
///
/// impl Greeting {
///     fn evcxr_display(&self) {
///         emit(&[Content::Text("text/html", "<b>hello</b>"), Content::Text("text/plain", "hello")]);
///     }
/// }
///
/// Greeting.evcxr_display();
/// ```
pub fn emit(parts: &[Content]) {
    print!("{}", message(parts));
}

/// Shows a shape by its numbers. dfdx prints a size that is part of the type as `Const`.
///
/// A prelude brings it into scope, so that a cell may end with `x.shape()`.
///
/// ```
/// use dldna_nn::prelude::*;
/// let dev = Cpu::default();
/// let x: Tensor<(usize, Const<3>), f32, _> = dev.zeros_like(&(4, Const));
/// x.shape().evcxr_display(); // (4, 3)
/// ```
pub trait DisplayShape {
    /// Shows it in a notebook.
    fn evcxr_display(&self);
}

impl<S: Shape> DisplayShape for S {
    fn evcxr_display(&self) {
        emit(&[Content::Text("text/plain", &in_numbers(self))]);
    }
}

fn in_numbers(shape: &impl Shape) -> String {
    let debug = format!("{shape:?}");
    let sizes: Vec<String> = shape
        .concrete()
        .into_iter()
        .map(|n| n.to_string())
        .collect();
    match (debug.contains("Const"), &sizes[..]) {
        (false, _) => debug,
        (true, [size]) => format!("({size},)"),
        (true, sizes) => format!("({})", sizes.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dfdx::shapes::Const;

    #[test]
    fn a_shape_is_shown_as_rust_shows_its_numbers() {
        assert_eq!(
            in_numbers(&(4, Const::<3>, 28, 28)),
            format!("{:?}", (4, 3, 28, 28))
        );
        assert_eq!(in_numbers(&(Const::<10>,)), format!("{:?}", (10,)));
        assert_eq!(in_numbers(&(2, 3)), format!("{:?}", (2, 3)));
        assert_eq!(in_numbers(&[2, 3]), format!("{:?}", [2, 3]));
        assert_eq!(in_numbers(&()), format!("{:?}", ()));
    }

    #[test]
    fn bytes_travel_in_base64_and_parts_keep_their_order() {
        let text = message(&[
            Content::Bytes("image/png", b"Rust"),
            Content::Text("text/plain", "a\nb"),
        ]);
        assert_eq!(
            text,
            "EVCXR_BEGIN_CONTENT image/png\nUnVzdA==\nEVCXR_END_CONTENT\nEVCXR_BEGIN_CONTENT text/plain\na\nb\nEVCXR_END_CONTENT\n"
        );
    }
}
