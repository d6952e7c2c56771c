//! `cargo lab`: from a fresh clone to JupyterLab with a Rust kernel.
use anyhow::{Context, Result, ensure};
use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::kernel::features::Features;
use crate::kernel::template::Template;
use crate::kernel::{evcxr, start};
use crate::steps::{side_by_side, step};
use crate::{paths, process, python, toolchain, trust};

#[cfg(unix)]
mod early;

#[derive(clap::Args)]
pub struct Args {
    /// Open no browser; the address to open is printed
    #[arg(long)]
    no_browser: bool,
    /// The port to listen on; the next free one if it is taken
    #[arg(long)]
    port: Option<u16>,
    /// The address to listen on: 0.0.0.0 lets other machines in, which need the token that is printed
    #[arg(long, value_name = "ADDRESS")]
    ip: Option<String>,
    #[command(flatten)]
    features: Features,
    /// What JupyterLab itself takes, such as `-- --ServerApp.base_url=/book`
    #[arg(last = true, value_name = "FOR JUPYTERLAB")]
    for_jupyterlab: Vec<OsString>,
}

pub fn run(args: Args) -> Result<()> {
    #[cfg(unix)]
    if !start::Parts::found(&args.features).is_ok_and(|parts| parts.is_some()) {
        return run_early(&args);
    }
    // Half of pip's time is the network's and the disk's.
    side_by_side(&[&|| set_up_kernel(&args.features), &|| {
        step("JupyterLab", || python::LAB.install())
    }])?;
    become_jupyterlab(configured(&args)?)
}

/// JupyterLab opens before all is built.
#[cfg(unix)]
fn run_early(args: &Args) -> Result<()> {
    let features = args.features.clone();
    let build = move || set_up_kernel(&features);
    let set_up = || {
        step("JupyterLab", || python::LAB.install())?;
        configured(args)
    };
    match early::open(build, set_up)? {
        early::End::Closed(status) => std::process::exit(status.code().unwrap_or(1)),
        early::End::Built(jupyterlab) => become_jupyterlab(jupyterlab),
    }
}

/// The command line of JupyterLab, with all that it reads in place.
fn configured(args: &Args) -> Result<Command> {
    write_kernel_specification(&args.features)?;
    step("Trust in the notebooks as committed", || {
        trust::trust_notebooks(jupyter())
    })?;
    disable_announcements()?;
    write_default_settings()?;
    write_config()?;
    let mut command = jupyter();
    command
        .args(["-m", "jupyterlab"])
        .args(our_options(&args.for_jupyterlab))
        .args(chosen_options(args))
        .args(&args.for_jupyterlab);
    Ok(command)
}

fn become_jupyterlab(command: Command) -> Result<()> {
    println!("JupyterLab starts. Stop it with Ctrl-C, twice");
    let status = process::become_program(command)
        .context("JupyterLab does not start; run `cargo doctor`")?;
    ensure!(status.success(), "JupyterLab ended with {status}");
    Ok(())
}

/// All that is needed to run notebooks, with or without JupyterLab. Cargo often waits for one package, or for the network: two
/// builds side by side leave no core idle.
pub fn set_up_kernel(features: &Features) -> Result<()> {
    paths::writable_lab()?;
    side_by_side(&[
        &|| step("Rust kernel", || evcxr::install().map(drop)),
        &|| {
            step("The crate, built for the notebooks", || {
                Template::ready(features).map(drop)
            })
        },
    ])
}

/// What the launcher shows for the kernel.
const LOGO: &str = include_str!("kernel/logo.svg");

/// Tells JupyterLab how to start a kernel.
fn write_kernel_specification(features: &Features) -> Result<()> {
    let folder = python::LAB.folder().join("share/jupyter/kernels/rust");
    fs::create_dir_all(&folder)?;
    let specification = kernel_specification(&start::launcher()?, features);
    fs::write(
        folder.join("kernel.json"),
        serde_json::to_vec_pretty(&specification)?,
    )?;
    fs::write(folder.join("logo-svg.svg"), LOGO)?;
    Ok(())
}

fn kernel_specification(launcher: &Path, features: &Features) -> serde_json::Value {
    let mut argv = vec![
        launcher.display().to_string(),
        "kernel".to_owned(),
        "{connection_file}".to_owned(),
    ];
    argv.extend(features.arguments());
    serde_json::json!({
        "argv": argv,
        "env": {paths::REPOSITORY: paths::repository(), paths::LAB: paths::lab()},
        "display_name": "Rust",
        "language": "rust",
        "interrupt_mode": "message",
    })
}

/// Jupyter with folders of its own, so that neither the reader's settings nor ours reach the other.
fn jupyter() -> Command {
    // Not the program `jupyter`: its first line holds the path of Python, which may be long or have quotes in it.
    let mut command = python::LAB.python();
    command
        .env("JUPYTER_CONFIG_DIR", paths::lab().join("jupyter/config"))
        .env("JUPYTER_DATA_DIR", paths::lab().join("jupyter/data"));
    command
}

/// A class of forty should not each be asked whether they want news of Jupyter.
fn disable_announcements() -> Result<()> {
    let folder = paths::lab().join("jupyter/config/labconfig");
    fs::create_dir_all(&folder)?;
    let page = serde_json::json!({
        "disabledExtensions": {"@jupyterlab/apputils-extension:announcements": true}
    });
    fs::write(folder.join("page_config.json"), page.to_string())?;
    Ok(())
}

/// How JupyterLab looks here.
const CSS: &str = include_str!("lab.css");

/// What JupyterLab's own settings have no word for. In the environment it also holds where JupyterHub starts JupyterLab.
fn write_config() -> Result<()> {
    let style = paths::lab().join("jupyter/config/custom");
    fs::create_dir_all(&style)?;
    fs::write(style.join("custom.css"), CSS)?;
    let mut config =
        exporters(&|program| toolchain::stdout(Command::new(program).arg("--version")).is_ok());
    // Not Python's kernel, which comes with JupyterLab and cannot run a cell of the book.
    config["KernelSpecManager"] =
        serde_json::json!({"allowed_kernelspecs": ["rust"], "ensure_native_kernel": false});
    config["MultiKernelManager"] = serde_json::json!({"default_kernel_name": "rust"});
    let folder = python::LAB.folder().join("etc/jupyter");
    fs::create_dir_all(&folder)?;
    fs::write(
        folder.join("jupyter_server_config.json"),
        config.to_string(),
    )?;
    Ok(())
}

/// Of the formats that a notebook can be exported to, those that need a program that is not here are not offered. (The browsers
/// that the others would print with are never in our environment.)
fn exporters(is_here: &dyn Fn(&str) -> bool) -> serde_json::Value {
    let pandoc = is_here("pandoc");
    let enabled = [
        ("LatexExporter", pandoc),
        ("RSTExporter", pandoc),
        ("ASCIIDocExporter", pandoc),
        ("PDFExporter", pandoc && is_here("xelatex")),
        ("WebPDFExporter", false),
        ("QtPDFExporter", false),
        ("QtPNGExporter", false),
    ];
    let settings =
        enabled.map(|(name, enabled)| (name.to_owned(), serde_json::json!({"enabled": enabled})));
    serde_json::Value::Object(settings.into_iter().collect())
}

/// The start page is a text to read and not to edit, and the list of files has room for their names.
fn write_default_settings() -> Result<()> {
    let folder = python::LAB.folder().join("share/jupyter/lab/settings");
    fs::create_dir_all(&folder)?;
    let settings = serde_json::json!({
        "@jupyterlab/docmanager-extension:plugin": {
            "defaultViewers": {"markdown": "Markdown Preview"}
        },
        "@jupyterlab/filebrowser-extension:browser": {"showLastModifiedColumn": false},
    });
    fs::write(folder.join("overrides.json"), settings.to_string())?;
    Ok(())
}

/// Our settings of JupyterLab, without those that the reader gives: it takes no option twice.
fn our_options(given: &[OsString]) -> Vec<String> {
    let root = paths::notebooks();
    let mut options = vec![
        ("--ServerApp.root_dir", root.display().to_string()),
        ("--LabApp.default_url", "/lab/tree/README.md".to_owned()),
        ("--LabApp.custom_css", "True".to_owned()),
        // On Windows a kernel does not answer before the crate is built that has changed.
        (
            "--MappingKernelManager.kernel_info_timeout",
            "600".to_owned(),
        ),
        // By itself the server leaves out what comes after a thousand lines in a second.
        (
            "--ZMQChannelsWebsocketConnection.iopub_msg_rate_limit",
            "1000000".to_owned(),
        ),
    ];
    if !browser_reads_our_files() {
        options.push(("--ServerApp.use_redirect_file", "False".to_owned()));
    }
    let is_given = |option: &str| {
        given.iter().any(|given| {
            let given = given.to_string_lossy();
            given.split('=').next() == Some(option)
        })
    };
    options
        .into_iter()
        .filter(|(option, _)| !is_given(option))
        .map(|(option, value)| format!("{option}={value}"))
        .collect()
}

/// What the reader has chosen by options of ours.
fn chosen_options(args: &Args) -> Vec<String> {
    let mut options = Vec::new();
    if args.no_browser {
        options.push("--no-browser".to_owned());
    }
    options.extend(args.port.map(|port| format!("--port={port}")));
    options.extend(args.ip.as_ref().map(|ip| format!("--ip={ip}")));
    if is_root() {
        options.push("--allow-root".to_owned());
    }
    options
}

/// Jupyter gives a browser a file that leads on to the address: so no other user of the machine sees the token in the
/// list of processes. A browser in a sandbox or on the other side of WSL cannot read it and gets the address.
fn browser_reads_our_files() -> bool {
    let chosen = std::env::var_os("BROWSER").is_some_and(|browser| !browser.is_empty());
    let wsl = std::env::var_os("WSL_DISTRO_NAME").is_some();
    let snap = ["firefox", "chromium"]
        .iter()
        .any(|browser| Path::new("/snap/bin").join(browser).exists());
    let flatpak = Path::new("/var/lib/flatpak/exports/bin/org.mozilla.firefox").exists();
    !(chosen || wsl || snap || flatpak)
}

/// In a container the only user is often root, as whom JupyterLab starts only when told to.
fn is_root() -> bool {
    toolchain::stdout(Command::new("id").arg("-u")).is_ok_and(|id| id.trim() == "0")
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: Args,
    }

    #[test]
    fn what_cannot_be_exported_is_not_offered() {
        let pdf = |programs: &[&str]| {
            let exporters = exporters(&|program| programs.contains(&program));
            (
                exporters["PDFExporter"]["enabled"].clone(),
                exporters["LatexExporter"]["enabled"].clone(),
            )
        };
        assert_eq!(pdf(&[]), (false.into(), false.into()));
        assert_eq!(pdf(&["pandoc"]), (false.into(), true.into()));
        assert_eq!(pdf(&["pandoc", "xelatex"]), (true.into(), true.into()));
    }

    #[test]
    fn what_follows_two_dashes_is_for_jupyterlab() {
        let arguments = ["lab", "--no-browser", "--", "--ip", "0.0.0.0", "--port=1"];
        let args = Cli::try_parse_from(arguments).unwrap().args;
        assert!(args.no_browser && args.port.is_none());
        assert_eq!(args.for_jupyterlab, ["--ip", "0.0.0.0", "--port=1"]);
    }

    #[test]
    fn other_machines_are_let_in_when_asked_for_and_need_the_token() {
        let options = |arguments: &[&str]| {
            let args = Cli::try_parse_from(arguments).unwrap().args;
            [our_options(&args.for_jupyterlab), chosen_options(&args)].concat()
        };
        let (plain, open) = (options(&["lab"]), options(&["lab", "--ip", "0.0.0.0"]));
        assert!(open.contains(&"--ip=0.0.0.0".to_owned()), "{open:?}");
        assert!(
            !plain.iter().any(|option| option.contains("ip=")),
            "{plain:?}"
        );
        for option in plain.iter().chain(&open) {
            assert!(
                !["token", "password", "PasswordIdentity"]
                    .iter()
                    .any(|it| option.contains(it)),
                "{option}"
            );
        }
    }

    #[test]
    fn the_readers_options_replace_ours() {
        let ours = |given: &[&str]| {
            let given: Vec<OsString> = given.iter().map(OsString::from).collect();
            our_options(&given).join(" ")
        };
        assert!(ours(&["--ip=0.0.0.0"]).contains("--ServerApp.root_dir="));
        for given in [
            &["--ServerApp.root_dir=/a=b"][..],
            &["--ServerApp.root_dir", "/a"],
        ] {
            let ours = ours(given);
            assert!(!ours.contains("root_dir"), "{ours}");
            assert!(ours.contains("--LabApp.default_url="), "{ours}");
        }
    }

    #[test]
    fn jupyter_starts_kernels_with_the_features_of_the_lab() {
        let argv = |arguments: &[&str]| {
            let cli = Cli::try_parse_from([&["lab"], arguments].concat()).unwrap();
            kernel_specification(Path::new("ci"), &cli.args.features)["argv"].clone()
        };
        let plain = serde_json::json!(["ci", "kernel", "{connection_file}"]);
        assert_eq!(argv(&["--no-browser"]), plain);
        let cuda = serde_json::json!(["ci", "kernel", "{connection_file}", "--features", "cuda"]);
        assert_eq!(argv(&["--features", "cuda"]), cuda);
    }
}
