//! Starts one Rust kernel from the template.
use anyhow::{Context, Result};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::features::Features;
use super::template::Template;
use super::{evcxr, manifest, rust_src, shim};
use crate::{lock, paths, private, process};

#[derive(clap::Args)]
pub struct Args {
    /// The connection file that Jupyter wrote
    pub connection_file: PathBuf,
    #[command(flatten)]
    pub features: Features,
}

pub fn run(args: Args) -> Result<()> {
    match Parts::found(&args.features)? {
        Some(parts) => start_at_once(parts, args.connection_file),
        None => start_when_ready(args),
    }
}

/// What a kernel is made of.
pub struct Parts {
    program: PathBuf,
    template: Template,
}

impl Parts {
    /// The parts, if nothing has to be built.
    pub fn found(features: &Features) -> Result<Option<Self>> {
        let Some(program) = evcxr::find() else {
            return Ok(None);
        };
        let template = Template::current(features)?;
        Ok(template.map(|template| Parts { program, template }))
    }

    /// The parts, once they are built: the program by whoever is at it, the crate by this process where nobody else is.
    pub fn ready(features: &Features) -> Result<Self> {
        Ok(Parts {
            program: evcxr::installed()?,
            template: Template::ready(features)?,
        })
    }
}

fn start_at_once(parts: Parts, connection_file: PathBuf) -> Result<()> {
    let folder = KernelFolder::make(&parts.template)?;
    #[cfg(unix)]
    let connection_file = super::proxy::start(&connection_file, &folder.directory)?;
    become_kernel(&parts, folder, &connection_file)
}

/// The reader hears meanwhile what the kernel waits for, and whether it fails.
#[cfg(unix)]
fn start_when_ready(args: Args) -> Result<()> {
    let waiting = super::proxy::Waiting::start(&args.connection_file)?;
    let ready = Parts::ready(&args.features).and_then(|parts| {
        let folder = KernelFolder::make(&parts.template)?;
        Ok((parts, folder))
    });
    let (parts, folder) = match ready {
        Ok(ready) => ready,
        Err(error) => {
            waiting.kernel_failed(&error)?;
            return Err(error);
        }
    };
    let connection_file = waiting.kernel_starts(&args.connection_file, &folder.directory)?;
    become_kernel(&parts, folder, &connection_file)
}

#[cfg(not(unix))]
fn start_when_ready(args: Args) -> Result<()> {
    start_at_once(Parts::ready(&args.features)?, args.connection_file)
}

fn become_kernel(parts: &Parts, folder: KernelFolder, connection_file: &Path) -> Result<()> {
    let mut kernel = Command::new(&parts.program);
    kernel.arg("--control_file").arg(connection_file);
    set_environment(&mut kernel, &parts.template, &folder)?;
    start(kernel, folder)
}

/// A file in the kernel's folder. While it exists, a training, a download and the check of an exercise stop by themselves: see
/// `dldna_nn::interrupt`.
pub const INTERRUPT: &str = "interrupt";

/// The program that starts kernels: a copy of this one, which a build of the tool leaves alone.
pub fn launcher() -> Result<PathBuf> {
    let programs = paths::lab().join("bin");
    fs::create_dir_all(&programs)?;
    let launcher = paths::executable(&programs, "ci");
    paths::put_in_place(&std::env::current_exe()?, &launcher)?;
    Ok(launcher)
}

/// Where the system looks for shared libraries. macOS takes the variable away from what `/bin` and `/usr/bin` start; so it
/// is set here, and no program of the system stands between this one and the cells.
const LIBRARIES: &str = if cfg!(target_os = "macos") {
    "DYLD_FALLBACK_LIBRARY_PATH"
} else if cfg!(windows) {
    "PATH"
} else {
    "LD_LIBRARY_PATH"
};

fn set_environment(kernel: &mut Command, template: &Template, folder: &KernelFolder) -> Result<()> {
    kernel
        .env("EVCXR_TMPDIR", &folder.directory)
        .env("EVCXR_CONFIG_DIR", write_config()?)
        .env(
            "RUST_SRC_PATH",
            rust_src::link_empty(&folder.directory, &template.toolchain)?,
        )
        .env("DLDNA_INTERRUPT", folder.directory.join(INTERRUPT))
        // The program's allocator asks for pages of 2 MB, each of which the system clears first: a sixth of a start, and 50 MB.
        .env("MIMALLOC_ALLOW_THP", "0")
        // The program would renew its own entry in the reader's list of kernels, if there is one.
        .env("JUPYTER_PATH", paths::lab().join("none"));
    lock::set_incremental(kernel, &folder.directory)?; // as in the template
    // Cells link to the crate and the standard library as shared ones. The kernel's own come first: cargo
    // puts the folder of the workspace's build here, with a crate of the same name; and the path to the
    // standard library that evcxr leaves in a cell is right only in /tmp.
    let target = folder.directory.join("target");
    let build = target.join(template.toolchain.host()?).join("debug/deps");
    let mut libraries = vec![build, template.toolchain.library.clone()];
    if cfg!(target_os = "macos") && std::env::var_os(LIBRARIES).is_none() {
        libraries.extend(["/usr/local/lib", "/usr/lib"].map(PathBuf::from)); // as without the variable
    }
    shim::search_first(kernel, LIBRARIES, &libraries)?;
    shim::install(kernel, &folder.directory, template)
}

/// What each kernel runs as it starts: it loads the crate while the reader reads the first
/// paragraph. A notebook's first cell then finds its `:dep` in place. The variable, which is gone
/// at once, makes rust-analyzer read all that it needs for the types of later ones. The `?` makes the program compile
/// all cells such that they may have one: else the first that has shows its value as `{:?}` does.
fn write_config() -> Result<PathBuf> {
    let folder = paths::lab().join("config");
    fs::create_dir_all(&folder)?;
    let start = format!(
        ":dep {}\
         use dldna::prelude::*;\n\
         let warm_up = vec![1].iter().map(|x| x + 1).collect::<Vec<i32>>(); drop(warm_up);\n\
         let _: i32 = \"1\".parse()?;\n",
        manifest::dependency()
    );
    let path = folder.join("init.evcxr");
    // As a whole: another kernel may be reading it.
    if fs::read_to_string(&path).unwrap_or_default() != start {
        private::write(&path, start.as_bytes())?;
    }
    Ok(folder)
}

/// A kernel's working folder. It is in use as long as its lock is held.
struct KernelFolder {
    directory: PathBuf,
    lock: File,
}

impl KernelFolder {
    /// Makes the folder, and sets those of kernels that have ended aside.
    fn make(template: &Template) -> Result<Self> {
        let kernels = paths::lab().join("kernels");
        fs::create_dir_all(&kernels)?;
        let kernels = without_spaces(kernels)?;
        let _lock = lock::hold(&kernels.join("lock"), "Waiting for another kernel to start")?;
        set_ended_aside(&kernels)?;
        let directory = kernels.join(std::process::id().to_string());
        // In another container or on another machine a process may have the same number; and where there are no locks,
        // a folder outlives its kernel.
        let directory = (0..)
            .map(|count| match count {
                0 => directory.clone(),
                _ => directory.with_extension(count.to_string()),
            })
            .find(|directory| !directory.exists())
            .context("no name for the kernel's folder")?;
        template.copy_to(&directory)?;
        let lock = lock::hold(&directory.join("lock"), "")?;
        Ok(KernelFolder { directory, lock })
    }
}

/// Another path to the same folder: the kernel's program loads no cell from a path with a space in it.
#[cfg(unix)]
fn without_spaces(folder: PathBuf) -> Result<PathBuf> {
    use std::hash::{DefaultHasher, Hash, Hasher};
    if !folder.to_string_lossy().contains(' ') {
        return Ok(folder);
    }
    let links = private::own_folder("dldna-kernels")?;
    let mut hasher = DefaultHasher::new();
    folder.hash(&mut hasher);
    let link = links.join(format!("{:016x}", hasher.finish()));
    if fs::read_link(&link).ok().as_ref() != Some(&folder) {
        let new = links.join(format!("new{}", std::process::id()));
        std::os::unix::fs::symlink(&folder, &new)
            .and_then(|()| fs::rename(&new, &link))
            .with_context(|| format!("linking {} to {}", link.display(), folder.display()))?;
    }
    Ok(link)
}

#[cfg(not(unix))]
fn without_spaces(folder: PathBuf) -> Result<PathBuf> {
    Ok(folder)
}

/// How long the folder of a kernel is kept after its last cell where no lock tells that it lives.
const KEPT: Duration = Duration::from_secs(24 * 3600);

/// How the name of a folder begins whose kernel has ended.
const ENDED: &str = "ended-";

/// Gives the folders of kernels that have ended another name: to remove one with its thousand files may take half a second, and a
/// kernel that starts does not wait for that.
fn set_ended_aside(kernels: &Path) -> Result<()> {
    for (name, directory) in folders(kernels)? {
        if !name.starts_with(ENDED) && !is_in_use(&directory).unwrap_or(true) {
            // One that is still written to, or that has the name of another, goes at a later start.
            let _ = fs::rename(directory, kernels.join(format!("{ENDED}{name}")));
        }
    }
    Ok(())
}

/// Removes the folders beside this kernel's whose kernels have ended, while the caller goes on.
pub fn remove_ended_beside(kernel: &Path) {
    let kernels = kernel.parent().map(Path::to_owned);
    std::thread::spawn(move || kernels.map(|kernels| remove_ended(&kernels)));
}

/// Removes the folders of kernels that have ended.
fn remove_ended(kernels: &Path) -> Result<()> {
    for (name, directory) in folders(kernels)? {
        if name.starts_with(ENDED) {
            let _ = fs::remove_dir_all(directory); // another start may be about it, too
        }
    }
    Ok(())
}

fn folders(kernels: &Path) -> Result<Vec<(String, PathBuf)>> {
    let mut folders = Vec::new();
    for entry in fs::read_dir(kernels)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        folders.extend(entry.path().is_dir().then(|| (name, entry.path())));
    }
    Ok(folders)
}

fn is_in_use(kernel: &Path) -> Result<bool> {
    if let Some(held) = lock::is_held(&kernel.join("lock"))? {
        return Ok(held);
    }
    let last_cell = fs::metadata(kernel.join("src/lib.rs"))
        .or_else(|_| fs::metadata(kernel)) // it is being made
        .and_then(|file| file.modified())?;
    Ok(last_cell.elapsed().unwrap_or_default() < KEPT)
}

/// Becomes the kernel. The lock is its standard input, which it does not read: so the folder is
/// in use exactly as long as the kernel lives, even if it is killed.
#[cfg(unix)]
fn start(mut kernel: Command, folder: KernelFolder) -> Result<()> {
    kernel.stdin(folder.lock);
    process::become_program(kernel).map(drop) // the proxy removes what is set aside
}

/// Windows has no way to become another program. Jupyter then knows this process, and ends it where it ends a kernel.
#[cfg(windows)]
fn start(kernel: Command, folder: KernelFolder) -> Result<()> {
    remove_ended_beside(&folder.directory);
    let status = process::become_program_with_all_it_starts(kernel)?;
    drop(folder.lock);
    anyhow::ensure!(status.success(), "the kernel ended with {status}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_of_kernels_that_ended_are_removed() {
        let kernels = tempfile::tempdir().unwrap();
        let [running, ended, aside] = ["7", "8", "ended-8"].map(|name| kernels.path().join(name));
        for folder in [&running, &ended] {
            fs::create_dir(folder).unwrap();
        }
        let _lock = lock::hold(&running.join("lock"), "").unwrap();
        fs::write(ended.join("lock"), "").unwrap();
        remove_ended(kernels.path()).unwrap();
        assert!(running.exists() && ended.exists());
        set_ended_aside(kernels.path()).unwrap();
        assert!(running.exists() && !ended.exists() && aside.exists());
        remove_ended(kernels.path()).unwrap();
        assert!(running.exists() && !aside.exists());
    }

    #[cfg(unix)]
    #[test]
    fn a_path_with_a_space_gets_another_name() {
        let place = tempfile::tempdir().unwrap();
        let [plain, spaced] = ["a", "b c"].map(|name| place.path().join(name));
        fs::create_dir(&spaced).unwrap();
        fs::write(spaced.join("file"), "content").unwrap();
        assert_eq!(without_spaces(plain.clone()).unwrap(), plain);
        for _ in 0..2 {
            let link = without_spaces(spaced.clone()).unwrap();
            assert!(!link.to_string_lossy().contains(' '));
            assert_eq!(fs::read_to_string(link.join("file")).unwrap(), "content");
        }
        fs::remove_file(without_spaces(spaced).unwrap()).unwrap();
    }
}
