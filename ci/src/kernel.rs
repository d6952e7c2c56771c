//! TODO
#[derive(clap::Args)]
pub struct Args {
    /// The connection file that Jupyter wrote
    pub connection_file: std::path::PathBuf,
}

pub fn run(_args: Args) -> anyhow::Result<()> {
    Ok(())
}
