//! SHA-256 sums of all files below some folders, while the number of files that are read and
//! hashed at once is moved up and down.
//!
//! ```text
//! cargo run --release -p checksum-example -- --ceiling 4 --script "25% down, 50% up" --output sums /usr
//! sha256sum --check --quiet sums
//! ```
//!
//! There is one limiter for reading and one for hashing ([`stage`]). The walk through the folders
//! waits for permits as a thread, the files as tasks ([`pipeline`]); a script, keys and signals
//! turn the limiters' knobs meanwhile ([`control`]).

mod control;
mod keys;
mod pipeline;
mod stage;
mod sums;

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::{CommandFactory, Parser, error::ErrorKind};
use grmgr::Limiter;
use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressState, ProgressStyle};
use tokio::sync::mpsc;

use control::{Controls, Progress, STAGES, Script};
use keys::Keys;
use pipeline::{Outcome, Pipeline};
use stage::Stage;
use sums::Sums;

/// Prints the SHA-256 sums of all files below the given folders, for `sha256sum --check`.
///
/// In a terminal the keys u, d, p, r and q turn the ceilings up and down, pause, resume and quit.
/// A lowered ceiling and a pause let the files that have begun finish, and begin no others.
///
/// The sums come in the order in which the files are done. Symbolic links are not followed, unless
/// they are given as PATH.
///
/// Exit code: 0 if every file was read, 1 if some were not or the sums could not be written, 2 for
/// wrong arguments, 130 if it was stopped.
#[derive(Parser)]
#[command(name = "checksum")]
struct Args {
    /// Folders and files to hash
    #[arg(value_name = "PATH", default_value = ".")]
    paths: Vec<PathBuf>,

    /// How many files may be read, and how many hashed, at once [default: the number of cores]
    #[arg(short, long, value_name = "N")]
    ceiling: Option<usize>,

    /// How many may be read at once, if that is to differ
    #[arg(long, value_name = "N")]
    read: Option<usize>,

    /// How many may be hashed at once, if that is to differ
    #[arg(long, value_name = "N")]
    hash: Option<usize>,

    /// How far the ceilings can be raised [default: 64, or the higher ceiling]
    #[arg(long, value_name = "N")]
    max: Option<usize>,

    /// Moves the ceilings, as in "3s down, 6s up, 8s hash set 4, 9s pause, 10s resume", or when a
    /// part of the bytes has been read, as in "25% down, 50% up"
    #[arg(short, long, value_name = "STEPS")]
    script: Option<Script>,

    /// Writes the sums to FILE when all are there, and the table to standard output [default: the
    /// sums to standard output, the table to standard error]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let controls = controls(&args).unwrap_or_else(|what| {
        Args::command().error(ErrorKind::ValueValidation, what).exit();
    });
    run(args, Arc::new(controls)).unwrap_or_else(|error| {
        eprintln!("checksum: {error}");
        ExitCode::FAILURE
    })
}

/// The two limiters, or what is wrong with the arguments.
fn controls(args: &Args) -> Result<Controls, String> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let ceilings = [args.read, args.hash].map(|own| own.or(args.ceiling).unwrap_or(cores));
    let max = args.max.unwrap_or(ceilings[0].max(ceilings[1]).max(64));
    let [read, hash] = [0, 1].map(|i| {
        // No hold: each step of the script, and each key, is to be obeyed.
        let builder = Limiter::builder(STAGES[i]).ceiling(ceilings[i]).max(max);
        let limiter = builder.hold(Duration::ZERO).build();
        limiter.map(Stage::new).map_err(|error| {
            format!("{error} (the limiter `{}`: --ceiling, --{0}, --max)", STAGES[i])
        })
    });
    let controls = Controls { stages: [read?, hash?] };
    if let Some(script) = &args.script {
        script.check(&controls.stages)?;
    }
    Ok(controls)
}

fn run(args: Args, controls: Arc<Controls>) -> Result<ExitCode, String> {
    let mut sums = match &args.output {
        Some(path) => Sums::to_file(path)
            .map_err(|error| format!("the sums cannot be written to {path:?}: {error}"))?,
        None => Sums::to_stdout(),
    };
    let bar = if sums.on_terminal() { ProgressBar::hidden() } else { progress_bar(&controls) };
    // One thread drives the tasks. What takes time runs on others, of which there are enough for
    // both limiters at their highest and the walk: nothing else is to limit the work.
    let [read, hash] = controls.stages.clone();
    let threads = read.limiter().throttle().max + hash.limiter().throttle().max + 1;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .max_blocking_threads(threads)
        .enable_all()
        .build()
        .map_err(|error| format!("no threads to work with: {error}"))?;
    let keys = Keys::listen(controls.clone());
    if keys.is_some() {
        eprintln!("{}", keys::HELP);
    }

    let started = Instant::now();
    let script = args.script.unwrap_or_default();
    let (paths, own_files) = (Arc::new(args.paths), sums.own_files());
    let mut total = 0;
    if script.asks_for_progress() {
        pipeline::count(&paths, &own_files, |bytes| total += bytes);
        bar.set_length(total);
    } else if !bar.is_hidden() {
        let (paths, own_files, bar) = (paths.clone(), own_files.clone(), bar.clone());
        std::thread::spawn(move || {
            pipeline::count(&paths, &own_files, |bytes| bar.inc_length(bytes));
        });
    }

    let progress = Arc::new(Progress::new(controls.clone(), &script, total));
    runtime.spawn(control::play(controls.clone(), script.clone(), started));
    runtime.spawn(control::stop_at_signal(controls.clone()));
    let (sender, outcomes) = mpsc::channel(64);
    let pipeline =
        Pipeline { read, hash, outcomes: sender, bar: bar.clone(), progress: progress.clone() };
    let pipeline = Arc::new(pipeline);
    runtime.spawn_blocking(move || pipeline.walk(&paths, &own_files));

    let collected = collect(outcomes, &mut sums, &bar);
    let (time, stopped) = (started.elapsed(), controls.stopped());
    // After an error there is work left, and it is not waited for.
    controls.stop();
    runtime.shutdown_background();
    bar.finish_and_clear();
    drop(keys);

    let totals = collected.map_err(|error| format!("the sums cannot be written: {error}"))?;
    let table = table(&totals, time, &controls);
    match &args.output {
        Some(_) => io::stdout().write_all(table.as_bytes()).map_err(|error| error.to_string())?,
        None => eprint!("\n{table}"),
    }
    if stopped {
        let note = args.output.map(|path| format!(": {path:?} is not written"));
        eprintln!("checksum: stopped before the end{}", note.unwrap_or_default());
        return Ok(ExitCode::from(130));
    }
    let missed = script.steps_after(time) + progress.steps_left();
    if missed > 0 {
        eprintln!("checksum: the work was done before {missed} step(s) of the script");
    }
    sums.finish().map_err(|error| format!("the sums cannot be written: {error}"))?;
    Ok(if totals.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

#[derive(Default)]
struct Totals {
    files: u64,
    bytes: u64,
    failed: u64,
}

/// Writes the sums until all work is done, and adds up.
fn collect(
    mut outcomes: mpsc::Receiver<Outcome>,
    sums: &mut Sums,
    bar: &ProgressBar,
) -> io::Result<Totals> {
    let mut totals = Totals::default();
    while let Some(Outcome { path, result }) = outcomes.blocking_recv() {
        match result {
            Ok((sum, length)) => {
                sums.write(&sum, &path)?;
                totals.files += 1;
                totals.bytes += length;
            }
            Err(error) => {
                bar.suspend(|| eprintln!("checksum: {path:?}: {error}"));
                totals.failed += 1;
            }
        }
    }
    sums.flush()?;
    Ok(totals)
}

/// Shows the limiters as they are each time it is drawn; on standard error, if that is a terminal.
fn progress_bar(controls: &Arc<Controls>) -> ProgressBar {
    let controls = controls.clone();
    let limits = move |_: &ProgressState, out: &mut dyn std::fmt::Write| {
        for stage in &controls.stages {
            let now = stage.limiter().snapshot();
            let _ = match now.paused {
                true => write!(out, "  {} paused", now.name),
                false => write!(out, "  {} {}/{}", now.name, now.in_flight, now.ceiling),
            };
        }
    };
    let style = "{elapsed} [{bar:16}] {bytes} of {total_bytes}, {binary_bytes_per_sec}{limits}";
    let style = ProgressStyle::with_template(style).expect("the template is right");
    let bar = ProgressBar::new(0).with_style(style.with_key("limits", limits));
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}

fn table(totals: &Totals, time: Duration, controls: &Controls) -> String {
    let Totals { files, bytes, failed } = *totals;
    let rate = HumanBytes((bytes as f64 / time.as_secs_f64()) as u64);
    let mut table = format!("files  {}", HumanCount(files));
    if failed > 0 {
        let _ = write!(table, "  ({} more could not be read)", HumanCount(failed));
    }
    let _ = writeln!(table, "\nbytes  {}  ({})", HumanCount(bytes), HumanBytes(bytes));
    let _ = writeln!(table, "time   {:.2} s  ({rate}/s)\n", time.as_secs_f64());
    let _ = writeln!(table, "limiter   mean  peak  ceiling");
    for stage in &controls.stages {
        let (mean, peak) = stage.parallelism();
        let (name, course) = (stage.limiter().name(), stage.course());
        let _ = writeln!(table, "{name:<7}  {mean:>5.2}  {peak:>4}  {course}");
    }
    table
}
