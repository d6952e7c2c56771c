//! `cargo ci`: every check, and one table at the end.
use anyhow::{Context, Result, bail, ensure};
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::kernel::features::Features;
use crate::{lab, paths, site, toolchain};

#[derive(clap::Args)]
pub struct Args {}

/// The engine, the book, and what the pages of the site compute with.
const CRATES: [&str; 6] = [
    "--package",
    "dldna-nn",
    "--package",
    "dldna",
    "--package",
    "dldna-web",
];

/// The engine's integration tests.
const ENGINE_TESTS: &str = "dldna-nn-tests";

/// What a step reports: tests that passed and failed, where it runs tests.
#[derive(Clone, Copy, Default, Debug, PartialEq)]
struct Tests {
    passed: usize,
    failed: usize,
}

struct Outcome {
    name: &'static str,
    took: Duration,
    result: Result<Tests>,
}

pub fn run(_args: Args) -> Result<()> {
    let outcomes = [
        step("format", || cargo(&["fmt", "--all", "--check"])),
        // With what is compiled for a GPU only: that needs neither GPU nor CUDA toolkit, and cannot run.
        step("lints", || {
            cargo(&[
                "clippy",
                "--workspace",
                "--all-targets",
                "--features",
                "dldna/ci-check,dldna-nn/ci-check",
                "--",
                "-D",
                "warnings",
            ])
        }),
        // The tests of the tool itself run notebooks, so the kernel comes before them.
        step("kernel", || {
            lab::set_up_kernel(&Features::default()).map(|()| Tests::default())
        }),
        // One package after the other: what `cargo ci` itself is made of is then built, and not built anew with
        // the features that the other package asks for. Not the examples: the lints have compiled them.
        step("tool", || tests(&["--package", "ci", "--bins", "--tests"])),
        step("crates", || {
            tests(
                &[
                    &CRATES[..],
                    &["--package", ENGINE_TESTS, "--lib", "--tests"],
                ]
                .concat(),
            )
        }),
        // Whole networks as a GPU computes them.
        step("fallback", || {
            tests(&[
                "--package",
                ENGINE_TESTS,
                "--features",
                "fallback",
                "--test",
                "nn",
                "--test",
                "resnet",
                "--test",
                "network",
                "--test",
                "layers",
            ])
        }),
        step("doctests", || tests(&[&CRATES[..], &["--doc"]].concat())),
        step("wasm", wasm),
        step("site", || site::run_for_ci().map(|()| Tests::default())),
        // By its command: the tests may have built this program anew.
        step("notebooks", || cargo(&["nb"])),
    ];
    print!("{}", table(&outcomes));
    let failed = outcomes
        .iter()
        .filter(|outcome| outcome.result.is_err())
        .count();
    ensure!(failed == 0, "{failed} of {} steps failed", outcomes.len());
    Ok(())
}

/// The engine in WebAssembly. Where the standard library cannot be had for it, it is compiled from the component
/// `rust-src`.
fn wasm() -> Result<Tests> {
    const TARGET: &str = "wasm32-unknown-unknown";
    let added = toolchain::add_target(TARGET)?;
    let variables: &[_] = if added {
        &[]
    } else {
        &[("DLDNA_WASM_BUILD_STD", "1")]
    };
    let test = [
        "--package",
        ENGINE_TESTS,
        "--test",
        "wasm",
        "--",
        "--ignored",
    ];
    tests_with(&test, variables)
}

/// Runs one step. A step that fails does not keep the later ones from running.
fn step(name: &'static str, action: impl FnOnce() -> Result<Tests>) -> Outcome {
    println!("\n== {name}");
    let started = Instant::now();
    let result = action();
    if let Err(error) = &result {
        eprintln!("{name} failed: {error:#}");
    }
    Outcome {
        name,
        took: started.elapsed(),
        result,
    }
}

/// Cargo with the toolchain that the repository pins, without the records that only a next build would use.
fn cargo_command(arguments: &[&str]) -> Command {
    let mut command = Command::new("cargo");
    command
        .args(arguments)
        .current_dir(paths::repository())
        .env("CARGO_INCREMENTAL", "0")
        .env_remove("RUSTUP_TOOLCHAIN");
    command
}

fn cargo(arguments: &[&str]) -> Result<Tests> {
    let status = cargo_command(arguments)
        .status()
        .context("starting cargo")?;
    ensure!(
        status.success(),
        "cargo {} ended with {status}",
        arguments.join(" ")
    );
    Ok(Tests::default())
}

/// `cargo test` with these arguments. All tests run, also after a failure.
fn tests(of: &[&str]) -> Result<Tests> {
    tests_with(of, &[])
}

fn tests_with(of: &[&str], variables: &[(&str, &str)]) -> Result<Tests> {
    let mut child = cargo_command(&[&["test", "--no-fail-fast"], of].concat())
        .envs(variables.iter().copied())
        .stdout(Stdio::piped())
        .spawn()
        .context("starting cargo")?;
    let mut total = Tests::default();
    let output = child.stdout.take().context("cargo has an output")?;
    for line in BufReader::new(output).lines() {
        let line = line?;
        println!("{line}");
        if let Some(tests) = parse_result(&line) {
            total.passed += tests.passed;
            total.failed += tests.failed;
        }
    }
    let status = child.wait()?;
    if !status.success() {
        bail!(
            "{} tests passed, {} failed; cargo test ended with {status}",
            total.passed,
            total.failed
        );
    }
    ensure!(total.passed > 0, "no test ran");
    Ok(total)
}

/// Reads `test result: ok. 12 passed; 0 failed; ..`.
fn parse_result(line: &str) -> Option<Tests> {
    let (_, counts) = line.strip_prefix("test result: ")?.split_once(". ")?;
    let mut counts = counts.split("; ");
    let mut next = |word| counts.next()?.strip_suffix(word)?.trim().parse().ok();
    Some(Tests {
        passed: next("passed")?,
        failed: next("failed")?,
    })
}

fn table(outcomes: &[Outcome]) -> String {
    let mut table = String::from("\nstep        seconds  result\n");
    for Outcome { name, took, result } in outcomes {
        let result = match result {
            Ok(Tests { passed: 0, .. }) => "ok".to_owned(),
            Ok(tests) => format!("ok, {} tests", tests.passed),
            Err(error) => format!("FAILED: {error:#}"),
        };
        table += &format!("{name:10} {:8.0}  {result}\n", took.as_secs_f64());
    }
    let total: Duration = outcomes.iter().map(|outcome| outcome.took).sum();
    table += &format!("{:10} {:8.0}\n", "together", total.as_secs_f64());
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_read_from_the_line_of_cargo_test() {
        let line = "test result: FAILED. 12 passed; 3 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s";
        assert_eq!(
            parse_result(line),
            Some(Tests {
                passed: 12,
                failed: 3
            })
        );
        assert_eq!(parse_result("test plot::a ... ok"), None);
    }

    #[test]
    fn the_table_names_what_failed() {
        let outcomes = [
            step("first", || {
                Ok(Tests {
                    passed: 7,
                    failed: 0,
                })
            }),
            step("second", || bail!("broken")),
        ];
        let table = table(&outcomes);
        assert!(table.contains("ok, 7 tests"), "{table}");
        assert!(
            table.contains("second") && table.contains("FAILED: broken"),
            "{table}"
        );
    }
}
