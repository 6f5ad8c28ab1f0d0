//! The files of Linux.

use std::fs;
use std::path::{Path, PathBuf};

use super::Reading;

/// Under a root that tests choose.
#[derive(Debug)]
pub(crate) struct Signal {
    root: PathBuf,
}

impl Signal {
    pub(crate) fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// Looks for the files each time: a process may be moved to another group.
    pub(crate) fn read(&mut self) -> Result<Reading, String> {
        let group = self.group();
        let stat = group.as_ref().and_then(|group| read(&group.join("cpu.stat")).ok());
        let periods = stat.as_deref().and_then(periods);
        if let Some(Ok(text)) = group.map(|group| read(&group.join("cpu.pressure"))) {
            let (avg10, avg60) = some(&text)?;
            return Ok(Reading { source: "control group", avg10, avg60, periods });
        }
        let text = read(&self.root.join("proc/pressure/cpu"))?;
        let (avg10, avg60) = some(&text)?;
        Ok(Reading { source: "system", avg10, avg60, periods })
    }

    /// The folder of the process's own control group, version 2.
    fn group(&self) -> Option<PathBuf> {
        let text = read(&self.root.join("proc/self/cgroup")).ok()?;
        let path = text.lines().find_map(|line| line.strip_prefix("0::"))?;
        let path = path.trim_start_matches('/');
        // A group outside of what this process can see: `/../…`.
        let inside = !Path::new(path).components().any(|part| part.as_os_str() == "..");
        inside.then(|| self.root.join("sys/fs/cgroup").join(path))
    }
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

/// The averages over 10 s and 60 s of the line `some`. (The line `full` means nothing for a CPU.)
fn some(text: &str) -> Result<(f64, f64), String> {
    let line = text.lines().find_map(|line| line.strip_prefix("some "));
    let value = |name: &str| -> Option<f64> {
        line?.split_whitespace().find_map(|word| word.strip_prefix(name))?.parse().ok()
    };
    match (value("avg10="), value("avg60=")) {
        (Some(avg10), Some(avg60)) if avg10.is_finite() && avg60.is_finite() => Ok((avg10, avg60)),
        _ => Err(format!("no pressure in {text:?}")),
    }
}

fn periods(text: &str) -> Option<(u64, u64)> {
    let value = |name: &str| {
        text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<u64>().ok())
    };
    Some((value("nr_periods ")?, value("nr_throttled ")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixture(files: &[(&str, &str)]) -> (tempfile::TempDir, Signal) {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let signal = Signal::new(Path::new(root.path()).to_owned());
        (root, signal)
    }

    const SYSTEM: (&str, &str) = (
        "proc/pressure/cpu",
        "some avg10=27.96 avg60=18.84 avg300=9.45 total=61548502\n\
         full avg10=99.00 avg60=99.00 avg300=0.00 total=0\n",
    );

    #[test]
    fn the_own_control_group_comes_first() {
        let (_root, mut signal) = fixture(&[
            SYSTEM,
            ("proc/self/cgroup", "1:cpu:/old\n0::/app.slice/job\n"),
            (
                "sys/fs/cgroup/app.slice/job/cpu.pressure",
                "some avg10=50.00 avg60=30.50 avg300=1.00 total=1\n",
            ),
            (
                "sys/fs/cgroup/app.slice/job/cpu.stat",
                "usage_usec 5\nnr_periods 40\nnr_throttled 30\nthrottled_usec 9\n",
            ),
        ]);
        let expected =
            Reading { source: "control group", avg10: 50.0, avg60: 30.5, periods: Some((40, 30)) };
        assert_eq!(signal.read(), Ok(expected));
    }

    #[test]
    fn without_one_it_is_the_system() {
        for group in ["0::/\n", "0::/../elsewhere\n", "1:cpu:/\n", ""] {
            let (_root, mut signal) = fixture(&[SYSTEM, ("proc/self/cgroup", group)]);
            let reading = signal.read().unwrap();
            assert_eq!((reading.source, reading.avg10, reading.avg60), ("system", 27.96, 18.84));
        }
    }

    #[test]
    fn nothing_to_read_and_nonsense_are_errors() {
        let (_root, mut signal) = fixture(&[]);
        assert!(signal.read().unwrap_err().contains("proc/pressure/cpu"));
        for nonsense in
            ["", "some", "some avg10=x avg60=1", "full avg10=1 avg60=1", "some avg10=NaN avg60=1"]
        {
            let (_root, mut signal) = fixture(&[("proc/pressure/cpu", nonsense)]);
            assert!(signal.read().is_err(), "{nonsense:?}");
        }
    }
}
