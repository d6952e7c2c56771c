//! The template: a kernel's working folder in which the crate is already built.
//!
//! A stock kernel compiles the crate and all that it uses, for minutes, each time a
//! notebook is opened. Here that is done once. Each kernel then gets a copy of what its cells need, in which
//! nearly all files are hard links. What cargo needs besides is copied when a cell first needs cargo.
use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use walkdir::{DirEntry, WalkDir};

use super::features::Features;
use super::{answers, evcxr, manifest, metadata, replay, rust_src};
use crate::steps::{self, say};
use crate::toolchain::Toolchain;
use crate::{lock, paths, private};

/// Change this when a template or a folder of the standard library made by an older version cannot be used any more.
pub const FORMAT: u32 = 13;

/// A template that is complete and fits the sources as they are.
#[derive(Debug, Serialize, Deserialize)]
pub struct Template {
    /// Where it was read: not recorded, as it may have been moved with the repository.
    #[serde(skip)]
    pub directory: PathBuf,
    pub toolchain: Toolchain,
    pub features: Features,
}

/// What a kernel compiles its cells with. The crate and all below it run at full speed, also what only waits for a network: without
/// optimisation rustc exports each generic function that a package uses, and the compiler and the linker read the
/// names of all of them for each cell (31,000 names instead of 8,000: a fifth of the time of a cell). The products of
/// complex matrices, which nothing calls, are few. The engine is one unit of code, for in many the closures of its kernels are
/// not inlined, and a training takes six times as long. The reader's own code keeps the checks for overflow and
/// out-of-range arithmetic, and is compiled quickly: a cell that builds networks has much generic code to compile.
const CARGO_CONFIG: &str = r#"[profile.dev]
opt-level = 3
lto = "off"
debug-assertions = false
overflow-checks = false

[profile.dev.package]
dldna-nn.codegen-units = 1
gemm-c32.opt-level = 0
gemm-c64.opt-level = 0
gemm-f16.opt-level = 0

[profile.dev.package.ctx]
opt-level = 1
codegen-units = 4
debug-assertions = true
overflow-checks = true
"#;

/// The record inside a template; its presence says that the template is complete.
const RECORD: &str = "template.json";
/// The folder in which templates are built.
const UNFINISHED: &str = "unfinished";
/// The compiler's flags, as the kernel's program gives them to cargo.
pub const FLAGS: &str = "-Cprefer-dynamic";

impl Template {
    /// The template, built first where it is missing or the sources have changed.
    pub fn ready(features: &Features) -> Result<Self> {
        let directory = templates().join(fingerprint(features)?);
        if let Some(template) = Self::read(&directory)? {
            return Ok(template);
        }
        let _lock = lock()?;
        // Another start may have built it while this one waited.
        if let Some(template) = Self::read(&directory)? {
            return Ok(template);
        }
        Self::build(&directory, features)
    }

    /// The template for the sources as they are, if it has been built.
    pub fn current(features: &Features) -> Result<Option<Self>> {
        Self::read(&templates().join(fingerprint(features)?))
    }

    /// The template in this folder, if it is complete and its compiler is still there.
    pub fn read(directory: &Path) -> Result<Option<Self>> {
        let path = directory.join(RECORD);
        match fs::read(&path) {
            Ok(text) => {
                let mut template: Template = serde_json::from_slice(&text)
                    .with_context(|| format!("reading {}", path.display()))?;
                template.directory = directory.to_owned();
                Ok(template.toolchain.exists().then_some(template))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("reading {}", path.display())),
        }
    }

    fn build(directory: &Path, features: &Features) -> Result<Self> {
        features.check()?;
        let toolchain = Toolchain::find()?;
        let unfinished = templates().join(UNFINISHED);
        let others = complete(&templates())?;
        let previous = others.last();
        say(&format!(
            "Building the crate for the notebooks ({})",
            if previous.is_some() {
                "it has changed"
            } else {
                "once, about 4 minutes"
            }
        ));
        if let Some(previous) = previous
            && !unfinished.join("Cargo.toml").exists()
        {
            if unfinished.exists() {
                fs::remove_dir_all(&unfinished)?; // headers, see below
            }
            start_from(previous, &unfinished)?;
        }
        rust_src::install(&toolchain)?;
        private::create_folder(&unfinished)?;
        fs::create_dir_all(unfinished.join("src"))?;
        write_cargo_config()?;
        fs::write(unfinished.join("Cargo.toml"), manifest::with_crate())?;
        fs::write(unfinished.join("src/lib.rs"), "")?;
        fs::copy(
            paths::repository().join("Cargo.lock"),
            unfinished.join("Cargo.lock"),
        )?;
        compile(&unfinished, &toolchain, features)?;
        replay::record(&unfinished, &toolchain, features)?;
        replay::build_runtime(&unfinished, &toolchain)?;
        metadata::save(&unfinished, &toolchain, features)?;
        rust_src::save(&toolchain)?;

        let template = Template {
            directory: directory.to_owned(),
            toolchain,
            features: features.clone(),
        };
        fs::write(
            unfinished.join(RECORD),
            serde_json::to_vec_pretty(&template)?,
        )?;
        put_in_place(&unfinished, directory)?;
        keep_headers(directory, &unfinished)?;
        remove_others(&templates(), directory)?;
        Ok(template)
    }

    /// Makes a kernel's working folder. No kernel can change what is in another's or in the template.
    pub fn copy_to(&self, destination: &Path) -> Result<()> {
        let _lock = lock()?;
        copy(&self.directory, destination, Contents::ForCells)
    }
}

/// Adds to a kernel's folder what cargo needs there. A template that is gone had other sources than those that are there now, so
/// cargo would build the crate anew in any case.
pub fn complete_for_cargo(template: &Path, kernel: &Path) -> Result<()> {
    match template.join(RECORD).exists() {
        true => copy(template, kernel, Contents::ForCargo),
        false => Ok(()),
    }
}

fn templates() -> PathBuf {
    paths::lab().join("templates")
}

fn lock() -> Result<File> {
    paths::writable_lab()?;
    fs::create_dir_all(templates())?;
    lock::hold(
        &templates().join("lock"),
        "Waiting for another start that builds the crate",
    )
}

/// On a GPU dfdx compiles some of its code while a notebook runs, and looks for the headers of that in the folder where
/// it was built itself.
fn keep_headers(template: &Path, where_built: &Path) -> Result<()> {
    for entry in WalkDir::new(template.join("target")) {
        let entry = entry?;
        let path = entry.path();
        if path.extension().is_some_and(|extension| extension == "cuh") {
            let kept = where_built.join(path.strip_prefix(template)?);
            fs::create_dir_all(kept.parent().context("a file is in a folder")?)?;
            fs::copy(path, kept)?;
        }
    }
    Ok(())
}

/// Takes over what cargo has built. All else is made anew, and what only an older version made is left behind.
fn start_from(previous: &Path, unfinished: &Path) -> Result<()> {
    let [from, to] = [previous, unfinished].map(|folder| folder.join("target"));
    copy(&from, &to, Contents::All)
}

/// Renames a folder; one that is there already goes first.
fn put_in_place(from: &Path, to: &Path) -> Result<()> {
    if to.exists() {
        fs::remove_dir_all(to)?;
    }
    fs::rename(from, to).with_context(|| format!("renaming {} to {}", from.display(), to.display()))
}

/// The complete templates, the one that was made last at the end. Not the folder of a build that was ended just before
/// it was renamed.
fn complete(templates: &Path) -> Result<Vec<PathBuf>> {
    let mut complete = Vec::new();
    for entry in fs::read_dir(templates)? {
        let entry = entry?;
        let record = fs::metadata(entry.path().join(RECORD));
        if let (Ok(record), true) = (record, entry.file_name() != UNFINISHED) {
            complete.push((record.modified()?, entry.path()));
        }
    }
    complete.sort();
    Ok(complete.into_iter().map(|(_, path)| path).collect())
}

/// Removes all templates but one. The record goes first: what is left is no template. Windows deletes no library that a kernel
/// has loaded: then the rest goes with a later build.
fn remove_others(templates: &Path, kept: &Path) -> Result<()> {
    for entry in fs::read_dir(templates)? {
        let entry = entry?;
        let folder = entry.path();
        if folder.is_dir() && folder != kept && entry.file_name() != UNFINISHED {
            let _ = fs::remove_file(folder.join(RECORD));
            let _ = fs::remove_dir_all(folder);
        }
    }
    Ok(())
}

/// Changes whenever cargo would compile something else. It goes by what is in the files and not, as cargo, by their times, which
/// a container's image does not keep exactly.
fn fingerprint(features: &Features) -> Result<String> {
    let mut hasher = DefaultHasher::new();
    (FORMAT, evcxr::VERSION, CARGO_CONFIG, manifest::with_crate()).hash(&mut hasher);
    replay::RUNTIME_SOURCE.hash(&mut hasher);
    features.hash(&mut hasher);
    for name in ["Cargo.toml", "Cargo.lock", "rust-toolchain.toml"] {
        hash_file(&paths::repository().join(name), &mut hasher)?;
    }
    for package in [paths::dldna(), paths::engine()] {
        hash_file(&package.join("Cargo.toml"), &mut hasher)?;
        hash_folder(&package.join("src"), &mut hasher)?;
    }
    hash_folder(&paths::dldna().join("assets"), &mut hasher)?;
    hash_file(&paths::engine().join("build.rs"), &mut hasher)?;
    Ok(format!("{:016x}", hasher.finish()))
}

/// The paths and contents of all files of a folder.
pub fn hash_folder(folder: &Path, hasher: &mut DefaultHasher) -> Result<()> {
    for entry in WalkDir::new(folder).sort_by_file_name() {
        let entry = entry?;
        if !entry.file_type().is_dir() {
            hash_file(entry.path(), hasher)?;
        }
    }
    Ok(())
}

fn hash_file(path: &Path, hasher: &mut DefaultHasher) -> Result<()> {
    let content = fs::read(path).with_context(|| format!("reading {}", path.display()))?;
    (path, content).hash(hasher);
    Ok(())
}

/// Cargo reads this for all folders below `.lab`: the templates and the kernels' own.
fn write_cargo_config() -> Result<()> {
    let folder = paths::lab().join(".cargo");
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("config.toml"), CARGO_CONFIG)?;
    Ok(())
}

/// Builds the crate as the kernel's program builds it below a cell.
fn compile(directory: &Path, toolchain: &Toolchain, features: &Features) -> Result<()> {
    let mut cargo = cargo_build(directory, toolchain, features)?;
    if features == &Features::default() {
        cargo.args(["--package", "dldna"]); // cargo takes no features for a package that is not in the workspace
    }
    if !steps::run_cargo("The crate", &mut cargo)? {
        bail!("the crate does not compile; see above, or run `cargo check -p dldna`");
    }
    Ok(())
}

/// Cargo as the kernel's program calls it.
pub fn cargo_build(
    directory: &Path,
    toolchain: &Toolchain,
    features: &Features,
) -> Result<Command> {
    let mut command = toolchain.cargo_command();
    command
        .args(["build", "--target", toolchain.host()?])
        .args(features.for_cargo())
        .current_dir(directory)
        .env("CARGO_TARGET_DIR", "target")
        .env("CARGO_BUILD_BUILD_DIR", "target")
        .env("RUSTC", &toolchain.rustc)
        .env("RUSTFLAGS", FLAGS)
        .stdin(Stdio::null());
    // With another setting than the template's, cargo would build the crate anew.
    lock::set_incremental(&mut command, directory)?;
    Ok(command)
}

#[derive(Clone, Copy, PartialEq)]
enum Contents {
    All,
    /// What a kernel's cells need.
    ForCells,
    /// What cargo needs besides, to build on what is there: all but what only a new build of the crate would use.
    ForCargo,
}

/// What cargo alone reads.
const FOR_CARGO: [&str; 3] = [".fingerprint", "build", "examples"];

/// Copies a folder. Files that cargo and rustc replace as a whole are hard links; files that they
/// write to in place are copies, so that the original stays as it is. What is there already stays.
fn copy(from: &Path, to: &Path, contents: Contents) -> Result<()> {
    let is_copied = |entry: &DirEntry| {
        let name = entry.file_name();
        match contents {
            // What is built in a copy is not complete before it has a record of its own.
            _ if name == answers::FOLDER => false,
            Contents::All => true,
            Contents::ForCells => {
                let of_a_build = Path::new(name)
                    .extension()
                    .is_some_and(|it| it == "o" || it == "d");
                name != "incremental" && !of_a_build && !FOR_CARGO.iter().any(|it| name == *it)
            }
            Contents::ForCargo => name != "incremental",
        }
    };
    for entry in WalkDir::new(from).into_iter().filter_entry(is_copied) {
        let entry = entry?;
        let source = entry.path();
        let name = source.strip_prefix(from)?;
        let target = to.join(name);
        if entry.file_type().is_dir() {
            private::create_folder(&target)?; // it may hold the record of an environment
        } else if !target.exists()
            && (!is_replaced_whole(name) || fs::hard_link(source, &target).is_err())
        {
            // Some file systems have no links, and none has them to another.
            copy_file(source, &target)?;
        }
    }
    Ok(())
}

/// Compiled libraries: rustc writes them under another name and renames them. And outlines, to which nobody writes.
fn is_replaced_whole(path: &Path) -> bool {
    path.starts_with(metadata::OUTLINES)
        || path.extension().is_some_and(|extension| {
            ["rlib", "rmeta", "so", "dylib", "dll"]
                .iter()
                .any(|it| extension == *it)
        })
}

/// Copies one file with its time, by which cargo judges what is fresh.
fn copy_file(source: &Path, target: &Path) -> Result<()> {
    let context = || format!("copying {} to {}", source.display(), target.display());
    fs::copy(source, target).with_context(context)?;
    let modified = fs::metadata(source)?.modified()?;
    File::options()
        .write(true)
        .open(target)?
        .set_modified(modified)
        .with_context(context)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_stay_where_the_build_has_left_them() {
        let folder = tempfile::tempdir().unwrap();
        let (template, built) = (folder.path().join("template"), folder.path().join("built"));
        let out = "target/host/debug/build/dfdx-1234/out";
        fs::create_dir_all(template.join(out)).unwrap();
        keep_headers(&template, &built).unwrap();
        assert!(!built.exists()); // nothing to keep
        for name in ["cuda_utils.cuh", "gather.ptx"] {
            fs::write(template.join(out).join(name), name).unwrap();
        }
        keep_headers(&template, &built).unwrap();
        let header = fs::read_to_string(built.join(out).join("cuda_utils.cuh")).unwrap();
        assert_eq!(header, "cuda_utils.cuh");
        assert!(!built.join(out).join("gather.ptx").exists());
    }

    /// Between these two the build may be ended: its folder is then no template.
    #[test]
    fn a_build_that_was_ended_before_it_was_renamed_is_no_template() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["1", "2", UNFINISHED, "without-record"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        for (age, name) in [(2, "1"), (1, "2"), (0, UNFINISHED)] {
            let record = folder.path().join(name).join(RECORD);
            fs::write(&record, "{}").unwrap();
            let time = std::time::SystemTime::now() - std::time::Duration::from_secs(age);
            let record = File::options().write(true).open(record).unwrap();
            record.set_modified(time).unwrap();
        }
        let [first, second, unfinished] =
            ["1", "2", UNFINISHED].map(|name| folder.path().join(name));
        assert_eq!(complete(folder.path()).unwrap(), [first, second.clone()]);
        put_in_place(&unfinished, &second).unwrap();
        assert!(second.join(RECORD).exists() && !unfinished.exists());
    }

    #[test]
    fn of_other_templates_nothing_stays() {
        let folder = tempfile::tempdir().unwrap();
        let names = ["kept", "old", "half-removed", UNFINISHED];
        let [kept, ..] = names.map(|name| folder.path().join(name));
        for name in names {
            fs::create_dir(folder.path().join(name)).unwrap();
            fs::write(folder.path().join(name).join("libdldna.so"), "").unwrap();
        }
        for name in ["kept", "old"] {
            fs::write(folder.path().join(name).join(RECORD), "{}").unwrap();
        }
        fs::write(folder.path().join("lock"), "").unwrap();
        remove_others(folder.path(), &kept).unwrap();
        let entries = fs::read_dir(folder.path()).unwrap();
        let mut left: Vec<_> = entries.map(|it| it.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["kept", "lock", UNFINISHED]);
        assert!(kept.join(RECORD).exists());
    }

    #[test]
    fn a_copy_has_a_record_only_for_a_kernel() {
        let folder = tempfile::tempdir().unwrap();
        let [template, next, kernel] =
            ["template", "next", "kernel"].map(|name| folder.path().join(name));
        for name in ["target/debug/libdldna.so", "outlines/lib.rs", RECORD] {
            let file = template.join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, "{}").unwrap();
        }
        start_from(&template, &next).unwrap();
        copy(&template, &kernel, Contents::ForCells).unwrap();
        assert!(!next.join(RECORD).exists() && kernel.join(RECORD).exists());
        // And of a folder that only an older version made nothing comes along.
        assert!(next.join("target/debug/libdldna.so").exists() && !next.join("outlines").exists());
    }

    #[test]
    fn what_only_cargo_needs_comes_when_cargo_does() {
        let folder = tempfile::tempdir().unwrap();
        let [template, kernel] = ["template", "kernel"].map(|name| folder.path().join(name));
        let cells = [
            "Cargo.toml",
            "target/deps/libdldna.so",
            "target/outlines/dldna/src/lib.rs",
        ];
        let cargo = [
            "target/.fingerprint/dldna/hash",
            "target/build/ring/out/ring.a",
            "target/deps/dldna.d",
        ];
        let never = "target/incremental/dldna/data";
        for name in cells.iter().chain(&cargo).chain([&never, &RECORD]) {
            let file = template.join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, "template's").unwrap();
        }
        copy(&template, &kernel, Contents::ForCells).unwrap();
        assert!(cells.iter().all(|name| kernel.join(name).exists()));
        assert!(!cargo.iter().any(|name| kernel.join(name).exists()));
        fs::write(kernel.join("Cargo.toml"), "kernel's").unwrap();
        complete_for_cargo(&template, &kernel).unwrap();
        assert!(cargo.iter().all(|name| kernel.join(name).exists()));
        assert!(!kernel.join(never).exists());
        let read = |folder: &Path| fs::read_to_string(folder.join("Cargo.toml")).unwrap();
        assert_eq!([read(&kernel), read(&template)], ["kernel's", "template's"]);
        fs::remove_dir_all(&template).unwrap();
        complete_for_cargo(&template, &kernel).unwrap(); // it does without
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_copy_may_go_to_another_file_system() {
        let Ok(to) = tempfile::tempdir_in("/dev/shm") else {
            return; // a machine without one
        };
        let from = tempfile::tempdir_in(paths::repository().join("target")).unwrap();
        fs::write(from.path().join("libdldna.so"), "library").unwrap();
        let copied = to.path().join("kernel");
        copy(from.path(), &copied, Contents::ForCells).unwrap();
        assert_eq!(
            fs::read_to_string(copied.join("libdldna.so")).unwrap(),
            "library"
        );
    }

    #[test]
    fn each_set_of_features_has_a_template_of_its_own() {
        let cuda = Features::cuda();
        let none = Features::default();
        assert_ne!(fingerprint(&cuda).unwrap(), fingerprint(&none).unwrap());
        // And both have the manifest that a notebook's first cell leads to.
        assert!(!manifest::with_crate().contains("features"));
        let toolchain = Toolchain::find().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let cargo = cargo_build(folder.path(), &toolchain, &cuda).unwrap();
        let arguments: Vec<_> = cargo.get_args().collect();
        assert!(
            arguments
                .windows(2)
                .any(|pair| pair == ["--features", "dldna/cuda"])
        );
    }
}
