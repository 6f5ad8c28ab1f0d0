//! What is known of each limiter, sample by sample. No thread, no clock, no I/O: whoever calls
//! says what time it is.

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use grmgr::{Change, Clock, Handle, Limiter, Snapshot, SystemClock, Throttle, WeakHandle};

use crate::latency::Recent;
use crate::moment::Moment;
use crate::source::Source;
use crate::windows::{Averages, Windows};

/// All limiters of a registry, as last seen.
#[derive(Debug)]
pub(crate) struct Sampler {
    source: Source,
    limiters: BTreeMap<Arc<str>, Tracked>,
    ids: u64,
    samples: u64,
    last: Duration,
}

/// One limiter, as last seen. At most 10 KB, with what it points to.
#[derive(Debug)]
pub(crate) struct Tracked {
    pub(crate) name: Arc<str>,
    /// Differs from that of every other limiter, also of those of the same name before.
    pub(crate) id: u64,
    /// Watching a limiter is no reason to keep it: a registry may evict it.
    limiter: WeakHandle,
    throttle: Throttle,
    first_seen: Duration,
    pub(crate) windows: Windows,
    pub(crate) last: Snapshot,
    pub(crate) last_change: Option<Dated>,
    /// The number of the last change seen.
    changes: u64,
    /// How often the ceiling was moved, by cause.
    pub(crate) by_cause: Vec<CauseCount>,
    /// Permits granted a second, between the last two samples.
    pub(crate) rate: f64,
    pub(crate) recent: Recent,
}

/// How often a cause has moved a ceiling.
#[derive(Clone, Debug)]
pub(crate) struct CauseCount {
    /// Empty for changes that had left the log before they could be read.
    pub(crate) cause: Cow<'static, str>,
    pub(crate) raised: u64,
    pub(crate) lowered: u64,
}

/// A change of a ceiling, with its date.
#[derive(Clone, Debug)]
pub(crate) struct Dated {
    pub(crate) change: Change,
    pub(crate) unix_ms: i64,
    /// How many changes just before it had left the log before they could be read.
    pub(crate) missed: u64,
}

/// What one sample brought.
#[derive(Debug, Default)]
pub(crate) struct Sample {
    pub(crate) rows: Vec<Row>,
    pub(crate) changes: Vec<(Arc<str>, Dated)>,
    /// How many waits ended: the limiter, the end of the bucket of their length, their number.
    pub(crate) waits: Vec<(Arc<str>, Duration, u64)>,
    /// Limiters that are no longer registered, seen for the last time.
    pub(crate) gone: Vec<Tracked>,
}

/// A limiter at the moment of a sample.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) name: Arc<str>,
    pub(crate) unix_ms: i64,
    pub(crate) in_flight: u32,
    pub(crate) ceiling: u32,
    pub(crate) waiting: u32,
    pub(crate) paused: bool,
}

impl Sampler {
    pub(crate) fn new(source: Source) -> Self {
        Self { source, limiters: BTreeMap::new(), ids: 0, samples: 0, last: Duration::ZERO }
    }

    pub(crate) fn source(&self) -> &Source {
        &self.source
    }

    pub(crate) fn limiters(&self) -> impl ExactSizeIterator<Item = &Tracked> + Clone {
        self.limiters.values()
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Tracked> {
        self.limiters.get(name)
    }

    /// Looks at every limiter once.
    pub(crate) fn sample(&mut self, now: Moment) -> Sample {
        let mut sample = Sample::default();
        let since_last = now.elapsed.saturating_sub(self.last);
        let (mut before, first) = (std::mem::take(&mut self.limiters), self.samples == 0);
        for limiter in self.source.limiters() {
            let known = before.remove(limiter.name());
            // Deleted and registered anew between two samples: another limiter of the same name.
            let (known, replaced) = match known {
                Some(known) if known.limiter.upgrade().as_ref() == Some(&limiter) => {
                    (Some(known), None)
                }
                other => (None, other),
            };
            if let Some(replaced) = replaced {
                sample.end(replaced, now, since_last);
            }
            let mut tracked = known.unwrap_or_else(|| {
                self.ids += 1;
                Tracked::new(&limiter, self.ids, now, first)
            });
            tracked.look(&limiter, now, since_last, &mut sample);
            sample.rows.push(tracked.row(now));
            self.limiters.insert(tracked.name.clone(), tracked);
        }
        for (_, gone) in before {
            sample.end(gone, now, since_last);
        }
        self.samples += 1;
        self.last = now.elapsed;
        sample
    }
}

impl Sample {
    fn end(&mut self, mut tracked: Tracked, now: Moment, since_last: Duration) {
        // If nothing keeps it alive any more, what happened since is nobody's to tell.
        if let Some(limiter) = tracked.limiter.upgrade() {
            tracked.look(&limiter, now, since_last, self);
        }
        self.gone.push(tracked);
    }
}

impl Tracked {
    /// `before_us`: it was there before the monitor, and so were the changes in its log; they
    /// belong to nobody's history.
    fn new(limiter: &Handle, id: u64, now: Moment, before_us: bool) -> Self {
        let last = limiter.snapshot();
        let mut tracked = Self {
            name: limiter.name().into(),
            id,
            first_seen: now.elapsed,
            windows: Windows::default(),
            last_change: None,
            changes: 0,
            by_cause: Vec::new(),
            rate: 0.0,
            recent: Recent::default(),
            last,
            limiter: limiter.downgrade(),
            throttle: limiter.throttle(),
        };
        if before_us {
            let mut unrecorded = Sample::default();
            tracked.read_changes(limiter, now, Duration::MAX, &mut unrecorded);
        }
        tracked
    }

    fn look(&mut self, limiter: &Limiter, now: Moment, since_last: Duration, sample: &mut Sample) {
        self.throttle = limiter.throttle();
        let before = std::mem::replace(&mut self.last, limiter.snapshot());
        let (stats, old) = (&self.last.stats, &before.stats);
        if !since_last.is_zero() {
            let granted = stats.acquired.saturating_sub(old.acquired);
            self.rate = granted as f64 / since_last.as_secs_f64();
        }
        let name = &self.name;
        self.recent.add(since_last, &old.wait, &stats.wait, |end, count| {
            sample.waits.push((name.clone(), end, count));
        });
        let Snapshot { in_flight, ceiling, waiting, .. } = self.last;
        let age = now.elapsed.saturating_sub(self.first_seen);
        self.windows.add(age, [in_flight, ceiling, waiting].map(|n| n as f64));
        self.read_changes(limiter, now, since_last, sample);
    }

    fn read_changes(
        &mut self,
        limiter: &Limiter,
        now: Moment,
        since_last: Duration,
        sample: &mut Sample,
    ) {
        if self.last.stats.raised + self.last.stats.lowered == self.changes {
            return;
        }
        let clock = SystemClock.now();
        for change in limiter.changes() {
            if change.number <= self.changes {
                continue;
            }
            let missed = change.number - self.changes - 1;
            self.changes = change.number;
            // A limiter may have a clock of its own, whose times say nothing here. Those of the
            // system's clock lie between the last sample and now.
            let age = clock.saturating_sub(change.at);
            let by_system = change.at <= clock && age <= since_last.saturating_add(SLACK);
            let age_ms = if by_system { age.as_millis() as i64 } else { 0 };
            self.count(change.cause.clone(), change.to > change.from);
            let dated = Dated { change, unix_ms: now.unix_ms - age_ms, missed };
            self.last_change = Some(dated.clone());
            sample.changes.push((self.name.clone(), dated));
        }
        self.count_missed();
    }

    fn count(&mut self, cause: Cow<'static, str>, raised: bool) {
        let known = self.by_cause.iter().position(|count| count.cause == cause);
        let index = known.unwrap_or_else(|| {
            self.by_cause.push(CauseCount { cause, raised: 0, lowered: 0 });
            self.by_cause.len() - 1
        });
        let count = &mut self.by_cause[index];
        *(if raised { &mut count.raised } else { &mut count.lowered }) += 1;
    }

    /// The limiter's own counts are complete; what they have and the log had not, has no cause.
    fn count_missed(&mut self) {
        let stats = &self.last.stats;
        let counted = |of: fn(&CauseCount) -> u64| -> u64 {
            self.by_cause.iter().filter(|count| !count.cause.is_empty()).map(of).sum()
        };
        let raised = stats.raised.saturating_sub(counted(|count| count.raised));
        let lowered = stats.lowered.saturating_sub(counted(|count| count.lowered));
        if raised + lowered == 0 {
            return;
        }
        match self.by_cause.iter_mut().find(|count| count.cause.is_empty()) {
            Some(count) => (count.raised, count.lowered) = (raised, lowered),
            None => self.by_cause.push(CauseCount { cause: Cow::Borrowed(""), raised, lowered }),
        }
    }

    fn row(&self, now: Moment) -> Row {
        let Snapshot { in_flight, ceiling, waiting, paused, .. } = self.last;
        let [in_flight, ceiling, waiting] =
            [in_flight, ceiling, waiting].map(|n| u32::try_from(n).unwrap_or(u32::MAX));
        let name = self.name.clone();
        Row { name, unix_ms: now.unix_ms, in_flight, ceiling, waiting, paused }
    }

    /// The averages at the last sample.
    pub(crate) fn averages(&self) -> Averages {
        self.windows.averages()
    }

    /// Requests refused, by reason.
    pub(crate) fn refusals(&self) -> [(&'static str, u64); 4] {
        let stats = &self.last.stats;
        [
            ("closed", stats.refused_closed),
            ("exceeds_max", stats.refused_exceeds_max),
            ("no_permits", stats.refused_no_permits),
            ("queue_full", stats.refused_queue_full),
        ]
    }

    /// Requests refused, for whatever reason.
    pub(crate) fn refused(&self) -> u64 {
        self.refusals().iter().map(|(_, count)| count).sum()
    }

    pub(crate) fn throttle(&self) -> Throttle {
        self.throttle
    }

    /// When the limiter was first seen, since the monitor's start.
    pub(crate) fn first_seen(&self) -> Duration {
        self.first_seen
    }
}

/// By how much a change may seem older than the sample before it.
const SLACK: Duration = Duration::from_secs(1);
