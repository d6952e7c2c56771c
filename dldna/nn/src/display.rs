//! Rich output of values in a notebook.
//!
//! The Rust kernel (evcxr) shows the last value of a cell through the method `evcxr_display(&self)`, if the value has one. What that method
//! prints between two marker lines is taken as content of the named MIME type. [`emit`] is the one place that knows these markers.

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

#[cfg(test)]
mod tests {
    use super::*;

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
