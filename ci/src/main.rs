//! `cargo lab`, `cargo nb`, `cargo ci`, `cargo doctor`: everything around the notebooks.
use clap::{Parser, Subcommand};
use std::process::ExitCode;

mod bench;
mod check_all;
mod doctor;
mod kernel;
mod lab;
mod lock;
mod loopback;
mod nb;
mod paths;
mod private;
mod process;
mod python;
mod role;
mod site;
mod steps;
mod toolchain;
mod trust;

use role::Role;

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
    Ci(check_all::Args),
    /// Say what is missing or wrong, and the command that fixes it
    Doctor(doctor::Args),
    /// Make the web site of the book
    Site(site::Args),
    /// Measure the speed of the crate beside PyTorch's
    Bench(bench::Args),
    /// Start one Rust kernel (Jupyter calls this)
    #[command(hide = true)]
    Kernel(kernel::start::Args),
    /// Pass messages between Jupyter and a kernel (a kernel's start calls this)
    #[cfg(unix)]
    #[command(hide = true)]
    Proxy(kernel::proxy::Args),
    /// End a kernel when its `cargo nb` ends (`cargo nb` calls this)
    #[cfg(unix)]
    #[command(hide = true)]
    Guard(nb::guard::Args),
}

fn main() -> ExitCode {
    let done = match Role::of_this_process() {
        Role::Tool => {
            let command = Cli::parse().command; // `--help` answers everywhere
            paths::find().and_then(|()| run(command).map(|()| ExitCode::SUCCESS))
        }
        Role::Recorder { file } => kernel::replay::record_call(&file),
        Role::CargoShim { kernel } => paths::find().and_then(|()| kernel::shim::cargo(&kernel)),
        Role::RustupShim { kernel } => paths::find().and_then(|()| kernel::shim::rustup(&kernel)),
    };
    done.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Lab(args) => lab::run(args),
        Command::Nb(args) => nb::run(args),
        Command::Ci(args) => check_all::run(args),
        Command::Doctor(args) => doctor::run(args),
        Command::Site(args) => site::run(args),
        Command::Bench(args) => bench::run(args),
        Command::Kernel(args) => kernel::start::run(args),
        #[cfg(unix)]
        Command::Proxy(args) => kernel::proxy::run(args),
        #[cfg(unix)]
        Command::Guard(args) => nb::guard::run(args),
    }
}
