//! The pages of the book's web site that compute, inside a notebook.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use dldna_nn::display::{Content, emit};

/// The pages there are.
const PAGES: [&str; 4] = ["filter", "layers", "receptive_field", "training"];

/// A page of the web site, to be shown in a notebook. See [`explorable`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explorable {
    name: String,
    /// The page as one HTML document, if it was built.
    document: Option<String>,
}

/// The page `name` (`filter`, `layers`, `receptive_field` or `training`) as `cargo site` has built it. As a cell's last value it is
/// there to play with; where it was not built, a line says how it is.
///
/// The whole page, about a megabyte, becomes part of the notebook: clear the cell's output before you commit it.
///
/// ```
/// let page = dldna::web::explorable("filter");
/// println!("{page}");
/// assert!(dldna::web::explorable("films").to_string().contains("`filter`"));
/// ```
pub fn explorable(name: &str) -> Explorable {
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("target");
    let current = std::env::current_dir().unwrap_or_default();
    let around = current.ancestors().map(|folder| folder.join("target"));
    Explorable::find(name, around.chain([built]))
}

impl Explorable {
    /// The page in the first of the folders that cargo builds in.
    fn find(name: &str, mut targets: impl Iterator<Item = PathBuf>) -> Self {
        let file = |target: PathBuf| target.join("site/html/alone").join(format!("{name}.html"));
        let is_known = PAGES.contains(&name); // another name could lead out of the folder
        Explorable {
            name: name.to_owned(),
            document: targets.find_map(|target| {
                is_known
                    .then(|| fs::read_to_string(file(target)).ok())
                    .flatten()
            }),
        }
    }

    /// The page in a frame of its own, without an address: a notebook serves no files of another folder.
    fn html(&self) -> Option<String> {
        let document = self.document.as_ref()?;
        let text = document.replace('&', "&amp;").replace('"', "&quot;");
        let Explorable { name, .. } = self;
        Some(format!(
            "<iframe title=\"{name}\" srcdoc=\"{text}\" style=\"width: 100%; height: 48rem; border: 0\"></iframe>"
        ))
    }

    /// Shows the page in the notebook, or says how it is built.
    pub fn evcxr_display(&self) {
        let text = self.to_string();
        match self.html() {
            Some(html) => emit(&[
                Content::Text("text/html", &html),
                Content::Text("text/plain", &text),
            ]),
            None => println!("{text}"),
        }
    }
}

impl fmt::Display for Explorable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Explorable { name, document } = self;
        if document.is_some() {
            write!(f, "the page `{name}`")
        } else if PAGES.contains(&name.as_str()) {
            write!(
                f,
                "the page `{name}` is not built: `cargo site` in the repository makes it, in a minute or two"
            )
        } else {
            write!(f, "expected one of `{}`, got `{name}`", PAGES.join("`, `"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_that_was_built_comes_in_a_frame() {
        let target = tempfile::tempdir().unwrap();
        let folder = target.path().join("site/html/alone");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("filter.html"), "<p class=\"a\">1 &lt; 2</p>").unwrap();
        let find = |name| Explorable::find(name, [target.path().to_owned()].into_iter());

        let html = find("filter").html().unwrap();
        assert!(
            html.contains("srcdoc=\"<p class=&quot;a&quot;>1 &amp;lt; 2</p>\""),
            "{html}"
        );
        let page = find("layers");
        assert_eq!(page.html(), None);
        assert!(page.to_string().contains("`cargo site`"), "{page}");
        assert_eq!(find("../alone/filter").html(), None);
    }
}
