//! `cargo lab`, `cargo nb`, `cargo ci`, `cargo doctor`: everything around the notebooks.
use clap::{Parser, Subcommand};

mod doctor;
mod kernel;
mod lab;
mod nb;
mod suite;

#[derive(Parser)]
#[command(name = "ci", about = "Everything around the notebooks")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Set up everything and open JupyterLab on the notebooks
    Lab(lab::Args),
    /// Execute notebooks with the real kernel and compare their outputs
    Nb(nb::Args),
    /// Run every check: format, lints, tests, notebooks
    Ci(suite::Args),
    /// Say what is missing or wrong, and the command that mends it
    Doctor(doctor::Args),
    /// Start one Rust kernel (Jupyter calls this)
    #[command(hide = true)]
    Kernel(kernel::Args),
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::Lab(args) => lab::run(args),
        Command::Nb(args) => nb::run(args),
        Command::Ci(args) => suite::run(args),
        Command::Doctor(args) => doctor::run(args),
        Command::Kernel(args) => kernel::run(args),
    }
}
