//! Prints the comparison as Markdown, and with `--check` fails when a bar is missed.

use std::process::ExitCode;
use std::time::Instant;

use grmgr_benches::measure::Row;
use grmgr_benches::suite::{self, Scale};
use grmgr_benches::watchdog::Watchdog;
use grmgr_benches::{bars, chart, curves, machine, table, verdict};

const HELP: &str = "\
Compares grmgr with other semaphores and prints the figures as Markdown.

Usage: compare [OPTIONS]

  --quick         a smoke run of less than a minute
  --rows TEXT     only rows whose name contains TEXT; may be given several times
  --list          print the names of the rows and stop
  --check         exit with 1 when a bar is missed by more than the spread of the run;
                  with --quick only the bars on what is counted, not timed
  --curves FILE   also measure the cost as work grows, print it and draw it as SVG
  --no-table      leave the tables and bars out, for --curves alone
  --help          this text
";

#[derive(Debug)]
struct Options {
    quick: bool,
    check: bool,
    list: bool,
    no_table: bool,
    rows: Vec<String>,
    curves: Option<String>,
}

fn options() -> Result<Option<Options>, pico_args::Error> {
    let mut args = pico_args::Arguments::from_env();
    if args.contains(["-h", "--help"]) {
        return Ok(None);
    }
    let options = Options {
        quick: args.contains("--quick"),
        check: args.contains("--check"),
        list: args.contains("--list"),
        no_table: args.contains("--no-table"),
        rows: args.values_from_str("--rows")?,
        curves: args.opt_value_from_str("--curves")?,
    };
    match args.finish().first() {
        None => Ok(Some(options)),
        Some(unknown) => Err(pico_args::Error::ArgumentParsingFailed {
            cause: format!("unknown argument {}", unknown.display()),
        }),
    }
}

fn main() -> ExitCode {
    match options() {
        Ok(Some(options)) => run(&options),
        Ok(None) => {
            print!("{HELP}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}\n\n{HELP}");
            ExitCode::from(2)
        }
    }
}

fn run(options: &Options) -> ExitCode {
    let wanted = |name: &str| {
        let parts = &options.rows;
        parts.is_empty() || parts.iter().any(|part| name.contains(part.as_str()))
    };
    let scale = if options.quick { Scale::QUICK } else { Scale::FULL };
    if options.list {
        for group in suite::groups(scale) {
            group.names().filter(|name| wanted(name)).for_each(|name| println!("{name}"));
        }
        return ExitCode::SUCCESS;
    }

    let watchdog = Watchdog::start();
    let start = Instant::now();
    println!("{}", machine::heading());
    let mut missed = false;
    if !options.no_table {
        let rows = measure(scale, &watchdog, wanted);
        print!("{}", notes());
        print!("{}", table::markdown(&rows));
        let mut bars = bars::all();
        // The figures of a quick run mean little; what is counted and not timed holds all the same.
        bars.retain(|bar| bar.exact || !options.quick);
        let (report, any_missed) = verdict::report(&bars, &rows);
        println!("{report}");
        missed = any_missed;
    }
    if let Some(file) = &options.curves
        && let Err(error) = draw(file, options.quick, &watchdog)
    {
        eprintln!("{file}: {error}");
        return ExitCode::FAILURE;
    }
    eprintln!("{} s in all", start.elapsed().as_secs());
    if options.check && missed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn measure(scale: Scale, watchdog: &Watchdog, wanted: impl Fn(&str) -> bool) -> Vec<Row> {
    let mut groups = suite::groups(scale);
    groups.retain(|group| group.names().any(|name| wanted(&name)));
    let all = groups.len();
    let mut rows = Vec::new();
    for (done, group) in groups.into_iter().enumerate() {
        let name = group.names().next().unwrap_or_default();
        eprintln!("[{}/{all}] {name}", done + 1);
        rows.extend(group.run(watchdog));
    }
    rows.retain(|row| wanted(&row.full_name()));
    rows
}

fn notes() -> &'static str {
    "Medians; the peers take turns within one process, round by round. Ratios are those of grmgr, \
     ± half the distance of the quartiles of the ratios within each round; *spread* is the \
     distance of the quartiles of grmgr's own figure as a share of it. – : does not offer it (saa \
     has at most 63 permits).\n\n\
     \\* async-lock is shown and not counted as a peer: of two releases before the first waiter \
     runs, the second wakes no waiter.\n\n"
}

fn draw(file: &str, quick: bool, watchdog: &Watchdog) -> Result<(), Box<dyn std::error::Error>> {
    eprintln!("curves");
    let panels = curves::measure(quick, watchdog);
    print!("{}", curves::markdown(&panels));
    std::fs::write(file, chart::svg(&panels)?)?;
    Ok(())
}
