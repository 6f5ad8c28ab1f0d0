//! Durations and names as they are shown, in the same words as on the dashboard.

use std::time::Duration;

/// Longer names are cut.
const NAME: usize = 40;

/// A duration with two or three digits that matter.
pub(crate) fn duration(duration: Duration) -> String {
    let ms = duration.as_secs_f64() * 1e3;
    let s = ms / 1e3;
    match () {
        () if ms < 0.999_5 => format!("{:.0} µs", (ms * 1e3).round().max(1.0)),
        () if ms < 9.95 => format!("{ms:.1} ms"),
        () if ms < 999.5 => format!("{:.0} ms", ms.round()),
        () if s < 9.95 => format!("{s:.1} s"),
        () if s < 59.5 => format!("{:.0} s", s.round()),
        () if s < 3_570.0 => format!("{:.0} min", (s / 60.0).round()),
        () if s < 172_800.0 => format!("{:.1} h", s / 3_600.0),
        () => format!("{:.0} days", (s / 86_400.0).round()),
    }
}

/// The same where there may be none.
pub(crate) fn wait(wait: Option<Duration>) -> String {
    wait.map_or("–".into(), duration)
}

/// A share of all, from 0 to 1.
pub(crate) fn percent(share: f64) -> String {
    if share > 0.0 && share < 0.01 { "<1 %".into() } else { format!("{:.0} %", share * 100.0) }
}

/// A name as it may go to a terminal: without control characters.
pub(crate) fn printable(name: &str) -> String {
    let mut text = String::new();
    for char in name.chars() {
        if char.is_control() || matches!(char, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}') {
            text.extend(char.escape_default());
        } else {
            text.push(char);
        }
    }
    if text.chars().count() > NAME {
        text = text.chars().take(NAME - 1).chain(['…']).collect();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_in_the_words_of_the_dashboard() {
        let table = include_str!("../../monitor/tests/data/durations.json");
        let table: Vec<(Option<f64>, String)> = serde_json::from_str(table).unwrap();
        for (ms, words) in table {
            let duration = ms.map(|ms| Duration::from_secs_f64(ms / 1e3));
            assert_eq!(wait(duration), words, "{ms:?}");
        }
    }
}
