//! Coverage-guided fuzzing on a stable toolchain: builds the targets of `fuzz/` as libFuzzer programs, runs them from the
//! committed inputs, and says what was executed and covered.
//!
//! No sanitiser: the code has no `unsafe` to watch. Debug assertions and overflow checks are on (profile `fuzz`).

use crate::lab::process::output;
use crate::root;
use anyhow::{Context, Result, bail, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What instruments the code for libFuzzer with a stable compiler: these are code generation options, no sanitiser.
/// Counters on edges (level 3 and up), the table that names them, and the operands of comparisons to learn from.
const INSTRUMENTED: &[&str] = &[
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "--cfg=fuzzing",
];

/// Most memory a target may take: decoders are bounded by their input, so more is a fault.
const RSS_MIB_MAX: u32 = 512;

/// Longest that one input may take, in seconds.
const INPUT_SECONDS_MAX: u32 = 10;

/// Most inputs of a target that are committed.
const COMMITTED_MAX: usize = 200;

/// How many lines of libFuzzer's report are shown of a fault: from the panic on, or the last ones.
const REPORT_LINES: usize = 40;

/// What `cargo xtask fuzz` was asked for.
struct Options {
    targets: Vec<String>,
    seconds: u32,
    seed: Option<u32>,
    minimise: bool,
}

/// Fuzzes, or with `--minimise` distils what earlier runs found into the committed inputs.
pub(crate) fn run(args: &[&str]) -> Result<()> {
    let options = Options::parse(args)?;
    let program = build()?;
    for target in &options.targets {
        let workshop = Workshop::new(target)?;
        if options.minimise { workshop.minimise(&program)? } else { workshop.fuzz(&program, &options)? }
    }
    Ok(())
}

impl Options {
    fn parse(args: &[&str]) -> Result<Options> {
        let known = targets()?;
        let mut options = Options { targets: Vec::new(), seconds: 60, seed: None, minimise: false };
        let mut args = args.iter();
        while let Some(&arg) = args.next() {
            let mut number = || -> Result<u32> {
                args.next().context("a number is missing")?.parse().context(arg.to_owned())
            };
            match arg {
                "--all" => options.targets.clone_from(&known),
                "--seconds" => options.seconds = number()?,
                "--seed" => options.seed = Some(number()?),
                "--minimise" => options.minimise = true,
                name if known.iter().any(|target| target == name) => options.targets.push(name.to_owned()),
                other => bail!("no such target: {other}; there are: {}", known.join(", ")),
            }
        }
        ensure!(!options.targets.is_empty(), "name a target or say --all; there are: {}", known.join(", "));
        Ok(options)
    }
}

/// The targets: a folder of committed inputs each. A test of `fuzz/` keeps them and the code the same.
fn targets() -> Result<Vec<String>> {
    let corpus = root().join("fuzz/corpus");
    let mut names = Vec::new();
    for entry in fs::read_dir(&corpus).with_context(|| corpus.display().to_string())? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

/// Builds the one program that holds all targets, in a target directory of its own, so that other builds stay as they are.
fn build() -> Result<PathBuf> {
    let version = output(Command::new("rustc").arg("-vV"))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc names no host")?;
    let target_dir = root().join("target/fuzz");
    // With a target named, build scripts are built without the flags.
    let status = Command::new("cargo")
        .args(["build", "--quiet", "--package", "gannet-fuzz", "--profile", "fuzz", "--target", host])
        .arg("--target-dir")
        .arg(&target_dir)
        .env("CARGO_ENCODED_RUSTFLAGS", INSTRUMENTED.join("\x1f"))
        .current_dir(root())
        .status()
        .context("cargo")?;
    ensure!(
        status.success(),
        "the fuzz targets do not build (libFuzzer needs a C++ compiler, as Debian's g++)"
    );
    Ok(target_dir.join(host).join("fuzz/gannet-fuzz"))
}

/// Where one target's inputs lie.
struct Workshop {
    target: String,
    /// In the repository: few and small.
    committed: PathBuf,
    /// What runs on this machine found.
    found: PathBuf,
    /// Inputs that broke a promise.
    faults: PathBuf,
    dictionary: PathBuf,
}

/// Longest input in bytes. Room for everything a format has, once or twice; what is longer dilutes what is invented.
fn len_max(target: &str) -> u32 {
    match target {
        "handshake" => 80,
        "tracker_udp" => 320,
        "session" | "session_inputs" | "swarm_table" | "trace" | "tracker_snapshot" | "tracker_ws" => 2048,
        _ => 640,
    }
}

impl Workshop {
    fn new(target: &str) -> Result<Workshop> {
        let workshop = Workshop {
            target: target.to_owned(),
            committed: root().join("fuzz/corpus").join(target),
            found: root().join("target/fuzz/corpus").join(target),
            faults: root().join("target/fuzz/faults").join(target),
            dictionary: root().join("fuzz/dictionaries").join(format!("{target}.dict")),
        };
        fs::create_dir_all(&workshop.found)?;
        fs::create_dir_all(&workshop.faults)?;
        Ok(workshop)
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .env("GANNET_FUZZ_TARGET", &self.target)
            // libFuzzer prints a stack of its own; ours would push the message out of sight.
            .env("RUST_BACKTRACE", "0")
            .arg(format!("-artifact_prefix={}/", self.faults.display()))
            .arg(format!("-rss_limit_mb={RSS_MIB_MAX}"))
            .arg(format!("-timeout={INPUT_SECONDS_MAX}"))
            .arg(format!("-max_len={}", len_max(&self.target)))
            .stdin(Stdio::null());
        if self.dictionary.exists() {
            command.arg(format!("-dict={}", self.dictionary.display()));
        }
        command
    }

    fn fuzz(&self, program: &Path, options: &Options) -> Result<()> {
        let mut command = self.command(program);
        command.arg(format!("-max_total_time={}", options.seconds));
        if let Some(seed) = options.seed {
            command.arg(format!("-seed={seed}"));
        }
        let ended = command.arg(&self.found).arg(&self.committed).output().context("libFuzzer")?;
        let report = String::from_utf8_lossy(&ended.stderr);
        if !ended.status.success() {
            return Err(self.fault(&report));
        }
        println!("{:<14} {}", self.target, Figures::read(&report).context("libFuzzer gave no figures")?);
        Ok(())
    }

    fn fault(&self, report: &str) -> anyhow::Error {
        let lines: Vec<_> = report.lines().collect();
        let panic = lines.iter().position(|line| line.contains("panicked at"));
        let start = panic.unwrap_or_else(|| lines.len().saturating_sub(REPORT_LINES));
        let tail: Vec<_> =
            lines.iter().skip(start).take(REPORT_LINES).copied().filter(|line| line.len() < 400).collect();
        let tail = tail.join("\n");
        let written = lines.iter().find_map(|line| line.split("Test unit written to ").nth(1));
        let Some(input) = written else {
            return anyhow::anyhow!("{}: libFuzzer failed\n{tail}", self.target);
        };
        let again = format!("cargo run --package gannet-fuzz -- {} {input}", self.target);
        anyhow::anyhow!("{}: a promise is broken by {input}\n{tail}\nagain with: {again}", self.target)
    }

    /// Keeps of all known inputs the fewest that cover what all cover, and of those the smallest.
    fn minimise(&self, program: &Path) -> Result<()> {
        let distilled = self.found.with_extension("distilled");
        fs::create_dir_all(&distilled)?;
        output(self.command(program).arg("-set_cover_merge=1").args([
            &distilled,
            &self.committed,
            &self.found,
        ]))?;
        let mut kept = Vec::new();
        for entry in fs::read_dir(&distilled)? {
            let entry = entry?;
            kept.push((entry.metadata()?.len(), entry.path()));
        }
        ensure!(!kept.is_empty(), "{}: nothing to keep", self.target);
        kept.sort();
        kept.truncate(COMMITTED_MAX);
        fs::remove_dir_all(&self.committed)?;
        fs::create_dir_all(&self.committed)?;
        for (_, path) in &kept {
            fs::copy(path, self.committed.join(path.file_name().unwrap_or_default()))?;
        }
        fs::remove_dir_all(&distilled)?;
        let bytes: u64 = kept.iter().map(|(len, _)| len).sum();
        println!("{:<14} {} inputs, {bytes} bytes", self.target, kept.len());
        Ok(())
    }
}

/// What libFuzzer says at the end of a run.
#[derive(Debug, PartialEq, Default)]
struct Figures {
    executions: u64,
    per_second: u64,
    edges: u64,
    features: u64,
    inputs: String,
}

impl Figures {
    /// From a line such as `#738525 DONE   cov: 318 ft: 1200 corp: 98/12Kb lim: 4096 exec/s: 123087 rss: 28Mb`.
    fn read(report: &str) -> Option<Figures> {
        let line = report.lines().find(|line| line.starts_with('#') && line.contains("DONE"))?;
        let words: Vec<&str> = line.split_whitespace().collect();
        let after =
            |label: &str| words.iter().position(|word| *word == label).and_then(|at| words.get(at + 1));
        let number = |label: &str| after(label).and_then(|word| word.parse().ok());
        Some(Figures {
            executions: words.first()?.trim_start_matches('#').parse().ok()?,
            per_second: number("exec/s:")?,
            edges: number("cov:")?,
            features: number("ft:")?,
            inputs: after("corp:")?.split('/').next()?.to_owned(),
        })
    }
}

impl std::fmt::Display for Figures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Figures { executions, per_second, edges, features, inputs } = self;
        write!(f, "{executions:>10} executions {per_second:>7}/s {edges:>5} edges {features:>6} features ")?;
        write!(f, "{inputs:>5} inputs")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_of_a_run_is_read() {
        let report = "INFO: Seed: 1\n#2\tINITED cov: 1 ft: 1 corp: 1/1b exec/s: 0 rss: 1Mb\n\
            #738525\tDONE   cov: 318 ft: 1200 corp: 98/12Kb lim: 4096 exec/s: 123087 rss: 28Mb\n";
        let figures = Figures {
            executions: 738_525,
            per_second: 123_087,
            edges: 318,
            features: 1200,
            inputs: "98".into(),
        };
        assert_eq!(Figures::read(report), Some(figures));
        assert_eq!(Figures::read("Killed"), None);
    }
}
