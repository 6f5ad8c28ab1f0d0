//! Where and when: the heading without which figures mean nothing.

use std::fs;
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

/// Lines of Markdown: machine, date, compiler, versions.
#[must_use]
pub fn heading() -> String {
    let cores = thread::available_parallelism().map_or(0, usize::from);
    format!(
        "- Machine: {}, {cores} cores, {} {}\n- Date: {}\n- Compiler: {}\n- Versions: {}\n",
        cpu_model(),
        std::env::consts::OS,
        std::env::consts::ARCH,
        date_of(SystemTime::now()),
        env!("COMPARE_RUSTC"),
        env!("COMPARE_VERSIONS"),
    )
}

fn cpu_model() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    info.lines()
        .find_map(|line| line.strip_prefix("model name")?.split(':').nth(1))
        .map_or_else(|| "unknown processor".into(), |name| name.trim().to_owned())
}

fn date_of(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (year, month, day) = civil(since.as_secs() / 86_400);
    format!("{year}-{month:02}-{day:02}")
}

/// The day of the Gregorian calendar, counted in years that begin in March so that the leap day
/// comes last.
fn civil(days_since_1970: u64) -> (u64, u64, u64) {
    const DAYS_TO_1970: u64 = 719_468;
    const ERA: u64 = 146_097;
    let days = days_since_1970 + DAYS_TO_1970;
    let (era, of_era) = (days / ERA, days % ERA);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::civil;

    #[test]
    fn days_become_dates() {
        assert_eq!(civil(0), (1970, 1, 1));
        assert_eq!(civil(11_016), (2000, 2, 29));
        assert_eq!(civil(20_513), (2026, 3, 1));
    }
}
