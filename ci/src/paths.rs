//! Where things lie: the repository, and the lab, the folder that `cargo lab` makes.
use anyhow::{Context, Result, bail, ensure};
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// The environment variable that names the repository. Kernels get it: they may run anywhere.
pub const REPOSITORY: &str = "DLDNA_REPOSITORY";

/// The environment variable that moves the lab out of a repository that cannot be written.
pub const LAB: &str = "DLDNA_LAB";

struct Places {
    repository: PathBuf,
    lab: PathBuf,
}

static PLACES: OnceLock<Places> = OnceLock::new();

/// Finds the repository and the lab, before anything is done in them.
pub fn find() -> Result<()> {
    let places = Places::find()?;
    PLACES.get_or_init(|| places);
    Ok(())
}

fn places() -> &'static Places {
    PLACES.get_or_init(|| {
        Places::find().expect("`find` has been called, or this is a test inside the repository")
    })
}

impl Places {
    fn find() -> Result<Self> {
        let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let current = std::env::current_dir().context("finding the current folder")?;
        let program = std::env::current_exe().context("finding this program's own path")?;
        let repository = find_repository(variable, &current, &program)?;
        let lab = find_lab(variable(LAB), &current, &repository)?;
        Ok(Places { repository, lab })
    }
}

/// The repository is looked for at run time: one that was moved or copied still holds the program that was built
/// before, which cargo takes for fresh.
fn find_repository(
    variable: impl Fn(&str) -> Option<OsString>,
    current: &Path,
    program: &Path,
) -> Result<PathBuf> {
    let named = variable(REPOSITORY).map(PathBuf::from);
    // Cargo names the package that it runs.
    let of_cargo = variable("CARGO_MANIFEST_DIR").map(PathBuf::from);
    let places = [
        named.as_deref(),
        Some(current),
        of_cargo.as_deref(),
        Some(program),
    ];
    let found = places
        .into_iter()
        .flatten()
        .flat_map(Path::ancestors)
        .find(|folder| is_repository(folder));
    let found = found.with_context(|| {
        format!(
            "{} is not in the repository of the notebooks: go there first, or name it in {REPOSITORY}",
            current.display()
        )
    })?;
    // The kernel's program follows links too, and compares paths by their letters.
    let found = if cfg!(windows) {
        std::path::absolute(found)?
    } else {
        found.canonicalize()?
    };
    ensure!(
        found.to_str().is_some(),
        "the path {} is not in UTF-8, which cargo needs: rename the folder",
        found.display()
    );
    Ok(found)
}

fn is_repository(folder: &Path) -> bool {
    folder.is_absolute()
        && ["ci/Cargo.toml", "dldna/Cargo.toml", "notebooks"]
            .iter()
            .all(|name| folder.join(name).exists())
}

fn find_lab(named: Option<OsString>, current: &Path, repository: &Path) -> Result<PathBuf> {
    let usual = repository.join(".lab");
    let Some(named) = named else { return Ok(usual) };
    let lab = current.join(named);
    ensure!(
        lab == usual || !lab.starts_with(repository),
        "{LAB} is {}, inside the repository, where cargo would take the kernels' crates for packages of the \
         repository: name a folder elsewhere",
        lab.display()
    );
    ensure!(
        lab.to_str().is_some(),
        "{LAB} is {}, which is not in UTF-8",
        lab.display()
    );
    Ok(lab)
}

/// The folder of the book: crates, notebooks, this tool.
pub fn repository() -> &'static Path {
    &places().repository
}

/// The crate that the notebooks use.
pub fn dldna() -> PathBuf {
    repository().join("dldna")
}

/// The package below it: layers, networks, training.
pub fn engine() -> PathBuf {
    dldna().join("nn")
}

/// The notebooks.
pub fn notebooks() -> PathBuf {
    repository().join("notebooks")
}

/// Everything that is made here and not committed. Deleting it is always safe.
pub fn lab() -> &'static Path {
    &places().lab
}

/// The lab, with a file written into it: nothing else is started where that fails.
pub fn writable_lab() -> Result<&'static Path> {
    let lab = lab();
    write_into(lab)?;
    Ok(lab)
}

fn write_into(lab: &Path) -> Result<()> {
    // Rust's linker takes it for a place where a digit of its own is to stand.
    if lab.to_string_lossy().contains('%') {
        bail!(
            "no program can be linked in {}, since there is a % in its name; rename the folder, or set {LAB} to one without",
            lab.display()
        );
    }
    if cfg!(windows) && lab.to_string_lossy().contains(' ') {
        bail!(
            "the kernel's program loads no cell from {}, since there is a space in its name; set {LAB} to a folder without",
            lab.display()
        );
    }
    match fs::create_dir_all(lab).and_then(|()| tempfile::tempfile_in(lab)) {
        Ok(_) => Ok(()),
        Err(error) => bail!(
            "{} cannot be written ({error}); set {LAB} to a folder of your own outside the repository",
            lab.display()
        ),
    }
}

/// One program, with the ending that the platform wants.
pub fn executable(directory: &Path, name: &str) -> PathBuf {
    directory.join(format!("{name}{}", std::env::consts::EXE_SUFFIX))
}

/// Puts a copy of a program in place at once, also while the old one runs.
pub fn put_in_place(from: &Path, to: &Path) -> Result<()> {
    let same = |a: &Path, b: &Path| -> Option<bool> {
        let (a, b) = (fs::metadata(a).ok()?, fs::metadata(b).ok()?);
        Some(a.len() == b.len() && a.modified().ok()? <= b.modified().ok()?)
    };
    if same(from, to) != Some(true) {
        let new = to.with_extension(format!("new{}", std::process::id()));
        fs::copy(from, &new)
            .with_context(|| format!("copying {} to {}", from.display(), new.display()))?;
        replace(&new, to).with_context(|| format!("replacing {}", to.display()))?;
    }
    Ok(())
}

/// Renames a file to one that may be there already. Windows replaces no program that runs, but lets it be renamed: then it
/// steps aside, and goes with a later call.
fn replace(new: &Path, to: &Path) -> std::io::Result<()> {
    remove_old(to);
    if fs::rename(new, to).is_ok() {
        return Ok(());
    }
    fs::rename(
        to,
        to.with_extension(format!("{OLD}{}", std::process::id())),
    )?;
    fs::rename(new, to)
}

/// How the ending of a program begins that stepped aside.
const OLD: &str = "old";

fn remove_old(program: &Path) {
    let files = program.parent().map(fs::read_dir);
    for file in files.into_iter().flatten().flatten().flatten() {
        let path = file.path();
        let ending = path.extension().unwrap_or_default().to_string_lossy();
        if path.file_stem() == program.file_stem() && ending.starts_with(OLD) {
            let _ = fs::remove_file(&path); // it may still run
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder with the outline of the repository in it.
    fn repository(name: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let repository = folder.path().canonicalize().unwrap().join(name);
        for package in ["ci", "dldna"] {
            fs::create_dir_all(repository.join(package)).unwrap();
            fs::write(repository.join(package).join("Cargo.toml"), "").unwrap();
        }
        fs::create_dir_all(repository.join("notebooks/mine")).unwrap();
        (folder, repository)
    }

    fn none(_: &str) -> Option<OsString> {
        None
    }

    #[test]
    fn the_repository_is_the_one_around_the_current_folder() {
        let (_a, here) = repository("here");
        let (_b, other) = repository("other");
        let program = other.join("target/debug/ci");
        let of_cargo =
            |name: &str| (name == "CARGO_MANIFEST_DIR").then(|| other.join("ci").into_os_string());
        for current in [here.clone(), here.join("notebooks/mine"), here.join("ci")] {
            assert_eq!(find_repository(of_cargo, &current, &program).unwrap(), here);
        }
    }

    #[test]
    fn elsewhere_it_is_cargos_or_the_programs_own() {
        let (_a, one) = repository("one");
        let (_b, two) = repository("two");
        let elsewhere = std::env::temp_dir();
        let program = two.join(".lab/bin/ci");
        assert_eq!(find_repository(none, &elsewhere, &program).unwrap(), two);
        let of_cargo =
            |name: &str| (name == "CARGO_MANIFEST_DIR").then(|| one.join("ci").into_os_string());
        assert_eq!(
            find_repository(of_cargo, &elsewhere, &program).unwrap(),
            one
        );
        let error = find_repository(none, &elsewhere, Path::new("/bin/ci")).unwrap_err();
        assert!(error.to_string().contains(REPOSITORY), "{error}");
    }

    #[test]
    fn a_folder_in_which_no_program_can_be_linked_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let (plain, percent) = (folder.path().join("100"), folder.path().join("100%"));
        write_into(&plain).unwrap();
        let error = write_into(&percent).unwrap_err().to_string();
        assert!(
            error.contains("100%") && error.contains("rename"),
            "{error}"
        );
        assert!(plain.exists() && !percent.exists());
    }

    /// A folder stands for a program that runs on Windows: no file takes its place, but it can be renamed.
    #[test]
    fn what_cannot_be_replaced_steps_aside() {
        let folder = tempfile::tempdir().unwrap();
        let [from, to] = ["built", "ci.exe"].map(|name| folder.path().join(name));
        fs::write(&from, "new").unwrap();
        fs::write(folder.path().join("ci.old1"), "ended").unwrap();
        fs::write(folder.path().join("cargo.old1"), "another program").unwrap();
        fs::create_dir(&to).unwrap();
        put_in_place(&from, &to).unwrap();
        assert_eq!(fs::read_to_string(&to).unwrap(), "new");
        let entries = fs::read_dir(folder.path()).unwrap();
        let mut names: Vec<_> = entries.map(|it| it.unwrap().file_name()).collect();
        names.sort();
        let aside = format!("ci.old{}", std::process::id());
        assert_eq!(
            names,
            ["built", "cargo.old1", "ci.exe", &aside].map(OsString::from)
        );
    }

    #[test]
    fn a_kernel_is_told() {
        let (_a, one) = repository("one");
        let (_b, two) = repository("two");
        let named = |name: &str| (name == REPOSITORY).then(|| one.clone().into_os_string());
        let program = two.join(".lab/bin/ci");
        assert_eq!(find_repository(named, &two, &program).unwrap(), one);
    }

    #[test]
    fn the_lab_is_moved_out_of_the_repository_only() {
        let (_a, repository) = repository("one");
        let lab = |named: &str| find_lab(Some(named.into()), Path::new("/home/me"), &repository);
        let usual = repository.join(".lab");
        assert_eq!(find_lab(None, Path::new("/"), &repository).unwrap(), usual);
        assert_eq!(lab(usual.to_str().unwrap()).unwrap(), usual);
        assert_eq!(lab("/scratch/lab").unwrap(), Path::new("/scratch/lab"));
        assert_eq!(lab("lab").unwrap(), Path::new("/home/me/lab"));
        let inside = repository.join("lab");
        assert!(lab(inside.to_str().unwrap()).is_err());
    }
}
