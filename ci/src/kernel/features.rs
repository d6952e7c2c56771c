//! The crate's features that the notebooks' build has.
use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};
use std::process::{Command, Stdio};

/// Features of the crate, such as `cuda`, that the notebooks' build has. They are told to cargo and not written into the
/// manifest: a notebook's first cell says the same whether it runs on a GPU or not.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize, clap::Args)]
pub struct Features {
    /// A feature of the crate to build the notebooks' kernel with
    #[arg(long, value_name = "FEATURE", value_parser = ["cuda"])]
    features: Vec<String>,
}

impl Features {
    /// As this program takes them.
    pub fn arguments(&self) -> Vec<String> {
        self.prefixed("")
    }

    /// As cargo takes them for a package that depends on the crate.
    pub fn for_cargo(&self) -> Vec<String> {
        self.prefixed("dldna/")
    }

    #[cfg(test)]
    pub fn cuda() -> Self {
        Features {
            features: vec!["cuda".to_owned()],
        }
    }

    fn prefixed(&self, prefix: &str) -> Vec<String> {
        let features = self.features.iter();
        features
            .flat_map(|feature| ["--features".to_owned(), format!("{prefix}{feature}")])
            .collect()
    }

    /// Says early and in words what the build of dfdx would end with in the middle.
    pub fn check(&self) -> Result<()> {
        if self.features.iter().any(|feature| feature == "cuda") {
            for (program, of) in [
                ("nvidia-smi", "NVIDIA's driver"),
                ("nvcc", "the CUDA toolkit"),
            ] {
                let found = Command::new(program)
                    .arg("--help")
                    .stdout(Stdio::null())
                    .stderr(Stdio::null())
                    .status();
                if found.is_err() {
                    bail!(
                        "the feature `cuda` needs {of}, and its program `{program}` is not on PATH: see docs/gpu.md, or leave out `--features cuda`"
                    );
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        features: Features,
    }

    #[test]
    fn features_reach_cargo_and_the_kernels() {
        let none = Cli::try_parse_from(["lab"]).unwrap().features;
        assert!(none.for_cargo().is_empty() && none.arguments().is_empty());
        let cuda = Cli::try_parse_from(["lab", "--features", "cuda"])
            .unwrap()
            .features;
        assert_eq!(cuda.for_cargo(), ["--features", "dldna/cuda"]);
        // What a kernel is started with is read back as the same.
        let started = [vec!["kernel".to_owned()], cuda.arguments()].concat();
        assert_eq!(Cli::try_parse_from(started).unwrap().features, cuda);
        assert!(Cli::try_parse_from(["lab", "--features", "cudnn"]).is_err());
    }
}
