//! Starts the Rust kernel.
#[derive(clap::Args)]
pub struct Args {
    /// The connection file that Jupyter wrote
    pub connection_file: std::path::PathBuf,
}

pub fn run(args: Args) -> anyhow::Result<()> {
    let program = std::env::var_os("DLDNA_EVCXR").unwrap_or_else(|| "evcxr_jupyter".into());
    let mut kernel = std::process::Command::new(&program);
    kernel.arg("--control_file").arg(&args.connection_file);
    Err(std::os::unix::process::CommandExt::exec(&mut kernel).into())
}
