//! `cargo run -p ci -- bench --torch PYTHON`: the crate's speed beside PyTorch's best mode, in turn, on the same machine.
use anyhow::{Context, Result, bail};
use std::process::Command;

use crate::paths;

#[derive(clap::Args)]
pub struct Args {
    /// A Python that has torch
    #[arg(long)]
    torch: String,
    /// How often both are measured
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Threads for PyTorch; the crate takes all cores
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Only cases with this in their name
    filter: Option<String>,
}

/// How PyTorch can run: as it is, with the channels last, compiled.
const MODES: [&str; 3] = ["eager", "channels-last", "compile"];

/// One line of a bench.
#[derive(Debug, Clone, PartialEq)]
struct Measurement {
    name: String,
    milliseconds: f64,
    mebibytes: f64,
}

pub fn run(args: Args) -> Result<()> {
    let names: Vec<String> = lines(&mut ours(&["--list"]))?
        .into_iter()
        .filter(|name| {
            args.filter
                .as_ref()
                .is_none_or(|filter| name.contains(filter))
        })
        .collect();
    if names.is_empty() {
        bail!(
            "no case has {:?} in its name",
            args.filter.unwrap_or_default()
        );
    }
    println!(
        "{:28} {:>8} {:>8} {:>13} {:>8} {:>8} {:>6} {:>6} {:>9} {:>6}",
        "case (medians)",
        "ours ms",
        MODES[0],
        MODES[1],
        MODES[2],
        "best ms",
        "speed",
        "spread",
        "ours MiB",
        "memory"
    );
    for name in names {
        let mut crate_runs = Vec::new();
        let mut torch_runs = MODES.map(|_| Vec::new());
        for _ in 0..args.rounds {
            crate_runs.push(measure(&mut ours(&[&format!("--case={name}")]))?);
            for (mode, runs) in MODES.iter().zip(&mut torch_runs) {
                runs.push(measure(&mut torch(&args, &name, mode))?);
            }
        }
        println!("{}", row(&name, &crate_runs, &torch_runs));
    }
    println!("best: PyTorch's fastest mode; speed: images per second, ours over its;");
    println!("memory: peak, ours over that mode's;");
    println!("spread: slowest round over fastest, the larger of ours and that mode's");
    Ok(())
}

fn ours(arguments: &[&str]) -> Command {
    let mut command = Command::new("cargo");
    command
        .args(["bench", "--quiet", "--package", "dldna-nn", "--"])
        .args(arguments)
        .current_dir(paths::repository());
    command
}

fn torch(args: &Args, name: &str, mode: &str) -> Command {
    let mut command = Command::new(&args.torch);
    command
        .arg(paths::engine().join("benches/torch_reference.py"))
        .args(["--case", name, "--mode", mode])
        .args(["--threads", &args.threads.to_string()]);
    command
}

fn lines(command: &mut Command) -> Result<Vec<String>> {
    let output = command
        .output()
        .with_context(|| format!("starting {:?}", command.get_program()))?;
    if !output.status.success() {
        bail!(
            "{:?} ended with {}:\n{}",
            command.get_program(),
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
    }
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.lines().map(str::to_owned).collect())
}

fn measure(command: &mut Command) -> Result<Measurement> {
    let lines = lines(command)?;
    lines
        .iter()
        .find_map(|line| parse(line))
        .with_context(|| format!("no measurement in {lines:?}"))
}

/// Reads `name  12.3 ms  2601.6 img/s  128 MiB`.
fn parse(line: &str) -> Option<Measurement> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [name, milliseconds, "ms", _, "img/s", mebibytes, "MiB"] = words[..] else {
        return None;
    };
    Some(Measurement {
        name: name.to_owned(),
        milliseconds: milliseconds.parse().ok()?,
        mebibytes: mebibytes.parse().ok()?,
    })
}

fn row(name: &str, ours: &[Measurement], torch: &[Vec<Measurement>; 3]) -> String {
    let time = |runs: &[Measurement]| median(runs.iter().map(|run| run.milliseconds).collect());
    let memory = |runs: &[Measurement]| median(runs.iter().map(|run| run.mebibytes).collect());
    let spread = |runs: &[Measurement]| {
        let times = runs.iter().map(|run| run.milliseconds);
        times.clone().fold(0.0, f64::max) / times.fold(f64::INFINITY, f64::min)
    };
    let [eager, channels_last, compiled] = torch;
    let faster = |a, b| if time(a) <= time(b) { a } else { b };
    let best = faster(faster(eager, channels_last), compiled);
    format!(
        "{name:28} {:8.2} {:8.2} {:13.2} {:8.2} {:8.2} {:6.2} {:6.2} {:9.0} {:6.2}",
        time(ours),
        time(eager),
        time(channels_last),
        time(compiled),
        time(best),
        time(best) / time(ours),
        spread(ours).max(spread(best)),
        memory(ours),
        memory(ours) / memory(best),
    )
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_either_bench_is_read() {
        let line = "conv/fwd/b8/c64/56/k3                   14.5 ms     551.7 img/s      128 MiB";
        let measurement = parse(line).unwrap();
        assert_eq!(measurement.name, "conv/fwd/b8/c64/56/k3");
        assert_eq!(
            (measurement.milliseconds, measurement.mebibytes),
            (14.5, 128.0)
        );
        assert_eq!(parse("warning: something else"), None);
    }

    #[test]
    fn the_speed_is_that_over_the_best_mode() {
        let run = |milliseconds, mebibytes| Measurement {
            name: "a".to_owned(),
            milliseconds,
            mebibytes,
        };
        let row = row(
            "a",
            &[run(5.0, 100.0), run(6.0, 100.0), run(4.0, 100.0)],
            &[
                vec![run(10.0, 400.0)],
                vec![run(8.0, 500.0)],
                vec![run(12.0, 600.0)],
            ],
        );
        let words: Vec<&str> = row.split_whitespace().collect();
        let expected = [
            "a", "5.00", "10.00", "8.00", "12.00", "8.00", "1.60", "1.50", "100", "0.20",
        ];
        assert_eq!(words, expected);
    }
}
