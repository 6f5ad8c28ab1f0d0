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

    /// Finds the files anew each time: a process may be moved to another group.
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
        let group = text.lines().find_map(|line| line.strip_prefix("0::"))?;
        let (mounted_at, mounted) = match read(&self.root.join("proc/self/mountinfo")) {
            Ok(text) => text.lines().find_map(mount)?,
            // Where it is by convention.
            Err(_) => ("/sys/fs/cgroup".into(), "/".into()),
        };
        // A group outside of what is mounted cannot be seen: `/../…`, or another part of the tree.
        let inside = Path::new(group).strip_prefix(mounted).ok()?;
        let inside =
            (!inside.components().any(|part| part.as_os_str() == "..")).then_some(inside)?;
        Some(self.root.join(mounted_at.trim_start_matches('/')).join(inside))
    }
}

/// Of a line of `mountinfo` about control groups of version 2: where they are mounted, and from
/// which group on.
fn mount(line: &str) -> Option<(String, String)> {
    let (mount, kind) = line.split_once(" - ")?;
    let mut fields = mount.split(' ').skip(3);
    let (from, at) = (fields.next()?, fields.next()?);
    kind.starts_with("cgroup2 ").then(|| (unescaped(at), unescaped(from)))
}

/// Blanks and the like are written as `\040`.
fn unescaped(text: &str) -> String {
    let mut parts = text.split('\\');
    let mut path = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let code = part.get(..3).and_then(|code| u8::from_str_radix(code, 8).ok());
        match code {
            Some(code) => {
                path.push(char::from(code));
                path.push_str(&part[3..]);
            }
            None => path.push_str(part),
        }
    }
    path
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
    fn the_group_is_where_it_is_mounted() {
        let pressure = |at| (at, "some avg10=50.00 avg60=30.50 avg300=1.00 total=1\n");
        let hybrid = "30 24 0:26 / /sys/fs/cgroup ro shared:9 - tmpfs tmpfs ro,mode=755\n\
             31 30 0:27 / /sys/fs/cgroup/unified rw shared:10 - cgroup2 cgroup2 rw\n\
             32 30 0:28 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n";
        // A container that sees only its own part of the tree.
        let bound = "31 30 0:27 /pods/one /sys/fs/c\\040group rw - cgroup2 cgroup2 rw\n";
        for (group, mounts, at) in [
            ("0::/job\n", hybrid, "sys/fs/cgroup/unified/job/cpu.pressure"),
            ("0::/pods/one/job\n", bound, "sys/fs/c group/job/cpu.pressure"),
            ("0::/pods/one\n", bound, "sys/fs/c group/cpu.pressure"),
        ] {
            let files = [
                SYSTEM,
                ("proc/self/cgroup", group),
                ("proc/self/mountinfo", mounts),
                pressure(at),
            ];
            let (_root, mut signal) = fixture(&files);
            assert_eq!(signal.read().unwrap().source, "control group", "{at}");
        }
        let files =
            [SYSTEM, ("proc/self/cgroup", "0::/pods/two\n"), ("proc/self/mountinfo", bound)];
        let (_root, mut signal) = fixture(&files);
        assert_eq!(signal.read().unwrap().source, "system", "not to be seen from here");
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
