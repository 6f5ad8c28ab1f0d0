//! `grmgr`: looks at what a monitor has recorded, and at a program that runs.

#![forbid(unsafe_code)]

mod report;
mod top;
mod words;

use std::error::Error;
use std::fs;
use std::io::{ErrorKind, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use report::Report;

/// Looks at limiters: at a recorded history, or at a program that runs.
#[derive(Parser)]
#[command(name = "grmgr", arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Prints a table of each run in a history.
    Report {
        /// The SQLite file that a monitor writes. It may be in use.
        file: PathBuf,
        /// Only this run.
        #[arg(long, value_name = "ID")]
        run: Option<String>,
        /// Draws a chart as well, into this file.
        #[arg(long, value_name = "FILE")]
        svg: Option<PathBuf>,
    },
    /// Shows the limiters of a running program, and turns them.
    Top {
        /// Where the program serves its dashboard.
        #[arg(default_value = "127.0.0.1:9187")]
        address: String,
        /// A file that holds the dashboard's token, if it asks for one. Default: the variable
        /// GRMGR_TOKEN.
        #[arg(long, value_name = "FILE")]
        token_file: Option<PathBuf>,
    },
}

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("grmgr: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<(), Box<dyn Error>> {
    match command {
        Command::Report { file, run, svg } => {
            let report = Report::read(&file, run.as_deref())?;
            print(&report.to_string())?;
            if let Some(svg) = svg {
                fs::write(&svg, report.svg()?)
                    .map_err(|error| format!("cannot write {}: {error}", svg.display()))?;
                print(&format!("\nchart: {}\n", svg.display()))?;
            }
            Ok(())
        }
        Command::Top { address, token_file } => {
            let token = match token_file {
                Some(file) => Some(
                    fs::read_to_string(&file)
                        .map_err(|error| format!("cannot read {}: {error}", file.display()))?
                        .trim()
                        .to_owned(),
                ),
                None => std::env::var("GRMGR_TOKEN").ok(),
            };
            Ok(top::run(&address, token)?)
        }
    }
}

/// Whoever reads the output may stop reading: `grmgr report FILE | head`.
fn print(text: &str) -> std::io::Result<()> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}
