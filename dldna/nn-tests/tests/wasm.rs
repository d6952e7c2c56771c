//! The engine in WebAssembly, in Node: the numbers are PyTorch's, and those of the same program on this machine.

#[path = "wasm/program.rs"]
mod program;

use dldna_nn_tests::{Fixture, assert_close};
use std::path::{Path, PathBuf};
use std::process::Command;

#[test]
fn the_program_here_equals_pytorch() {
    check(program::losses_weights_logits());
}

#[test]
#[ignore = "needs the target wasm32-unknown-unknown and Node: `cargo ci` runs it"]
fn the_program_in_node_equals_pytorch_and_the_program_here() {
    let here = program::losses_weights_logits();
    let values = in_node(&compiled());
    assert_close("in Node", &values, &here.concat());
    let (losses, rest) = values.split_at(here[0].len());
    let (weights, logits) = rest.split_at(here[1].len());
    check([losses, weights, logits].map(<[f32]>::to_vec));
}

fn check([losses, weights, logits]: [Vec<f32>; 3]) {
    let fixture = Fixture::open("training");
    assert_close("losses", &losses, &fixture.tensor("losses"));
    assert_close(
        "weights",
        &weights,
        &fixture.tensor("state_after/fc.weight"),
    );
    assert_eq!(logits.len(), 160);
}

/// The program as a WebAssembly module.
fn compiled() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("wasm");
    let mut cargo = Command::new(env!("CARGO"));
    if std::env::var_os("DLDNA_WASM_BUILD_STD").is_some() {
        // The standard library from its source, where it cannot be had compiled for this target.
        cargo
            .env("RUSTC_BOOTSTRAP", "1")
            .arg("-Zbuild-std=std,panic_abort");
    }
    let built = cargo
        .args([
            "build",
            "--release",
            "--package",
            "dldna-nn-tests",
            "--example",
            "wasm",
        ])
        .args(["--target", "wasm32-unknown-unknown", "--target-dir"])
        .arg(&target)
        .status()
        .unwrap();
    assert!(built.success());
    target.join("wasm32-unknown-unknown/release/examples/wasm.wasm")
}

fn in_node(module: &Path) -> Vec<f32> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/wasm/run.mjs");
    let output = Command::new("node")
        .arg(script)
        .arg(module)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let lines = String::from_utf8(output.stdout).unwrap();
    lines.lines().map(|line| line.parse().unwrap()).collect()
}
