//! Labs in which something is still built, for tests.
use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use rustix::process::{Pid, test_kill_process};
use tempfile::TempDir;
use walkdir::WalkDir;

/// The lab in which tests find what kernels are made of: `cargo lab --no-browser` sets it up.
fn real() -> PathBuf {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    std::env::var_os("DLDNA_LAB").map_or(repository.join(".lab"), PathBuf::from)
}

/// A lab in which the kernel's program is there and the crate has not been built.
pub fn without_template() -> TempDir {
    let (lab, real) = (tempfile::tempdir().unwrap(), real());
    for name in ["bin", "templates"] {
        fs::create_dir(lab.path().join(name)).unwrap();
    }
    for name in [".cargo", ".crates.toml", "std", "bin/evcxr_jupyter"] {
        symlink(real.join(name), lab.path().join(name)).unwrap();
    }
    lab
}

/// Puts the templates of the real lab into another, as if they had been built there.
pub fn add_templates(lab: &Path) {
    let real = real();
    for entry in WalkDir::new(real.join("templates")).min_depth(2) {
        let entry = entry.unwrap();
        let (from, to) = (entry.path(), entry.path().strip_prefix(&real).unwrap());
        let to = lab.join(to);
        if entry.file_type().is_dir() {
            fs::create_dir_all(to).unwrap();
        } else if fs::hard_link(from, &to).is_err() {
            fs::copy(from, to).unwrap(); // on another disk
        }
    }
}

/// Locks a file of a lab, as a process does that builds.
pub fn building(lab: &Path, lock: &str) -> File {
    let lock = File::create(lab.join(lock)).unwrap();
    lock.lock().unwrap();
    lock
}

/// A program that stands in for another.
pub fn script(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// The process that has noted its number in a file.
pub fn process(noted: &Path) -> Pid {
    let number = fs::read_to_string(noted).unwrap();
    Pid::from_raw(number.trim().parse().unwrap()).unwrap()
}

pub fn runs(process: Pid) -> bool {
    test_kill_process(process).is_ok()
}
