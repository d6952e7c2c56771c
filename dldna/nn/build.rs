//! Stops a build with a nightly compiler before it starts: dfdx 0.13 turns on unstable code there
//! that no current nightly compiles, and its 192 errors do not say so.
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let rustc = std::env::var_os("RUSTC").expect("cargo names the compiler");
    let version = Command::new(rustc)
        .arg("--version")
        .output()
        .expect("the compiler runs");
    let version = String::from_utf8_lossy(&version.stdout);
    if version.contains("nightly") {
        println!(
            "cargo::error=dfdx 0.13 does not compile with a nightly compiler ({}): \
             unset RUSTUP_TOOLCHAIN and leave out +nightly, so that rust-toolchain.toml picks the stable one",
            version.trim()
        );
    }
}
