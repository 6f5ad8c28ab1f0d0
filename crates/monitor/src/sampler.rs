//! What is known of each limiter, sample by sample. No thread, no clock, no I/O: whoever calls
//! says what time it is.

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use grmgr::{Change, Clock, Handle, Limiter, Snapshot, Stats, SystemClock, WeakHandle};

use crate::counts::Counts;
use crate::moment::Moment;
#[cfg(feature = "dashboard")]
use crate::recent::Recent;
use crate::source::Source;
use crate::windows::Windows;

/// All limiters of a registry, as of the last sample.
#[derive(Debug)]
pub(crate) struct Sampler {
    source: Source,
    /// By name.
    #[expect(clippy::vec_box, reason = "all of them are moved at each sample")]
    limiters: Vec<Box<Tracked>>,
    /// Causes that will change ceilings, though they have not yet.
    causes: Vec<&'static str>,
    ids: u64,
    samples: u64,
    last: Duration,
}

/// One limiter, as of the last sample. At most 10 KB with what it points to, and 2 KB more once it
/// has made requests wait.
#[derive(Debug)]
pub(crate) struct Tracked {
    pub(crate) name: Arc<str>,
    /// Differs from that of every other limiter, also of those of the same name before.
    #[cfg_attr(not(feature = "metrics"), allow(dead_code, reason = "only for the metrics"))]
    pub(crate) id: u64,
    /// Watching a limiter is no reason to keep it: a registry may evict it.
    limiter: WeakHandle,
    first_seen: Duration,
    pub(crate) windows: Windows,
    pub(crate) last: Snapshot,
    pub(crate) last_change: Option<Dated>,
    /// The number of the last change seen.
    changes: u64,
    /// How often the ceiling was moved, by cause.
    pub(crate) by_cause: Vec<CauseCount>,
    /// What happened between the last two samples, and how long that was.
    pub(crate) counts: Option<Arc<Counts>>,
    pub(crate) passed: Duration,
    /// What has not been reported yet.
    unreported: Counts,
    #[cfg(feature = "dashboard")]
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
#[cfg_attr(
    not(any(feature = "dashboard", feature = "history")),
    allow(dead_code, reason = "only for the dashboard and the history")
)]
pub(crate) struct Dated {
    pub(crate) change: Change,
    pub(crate) unix_ms: i64,
    /// How many changes just before it had left the log before they could be read.
    #[cfg_attr(not(feature = "history"), allow(dead_code, reason = "only for the history"))]
    pub(crate) missed: u64,
}

/// A limiter was paused, or resumed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pause {
    pub(crate) unix_ms: i64,
    pub(crate) paused: bool,
    /// Empty if it is not known: seen at a sample only.
    pub(crate) cause: &'static str,
}

/// What one sample brought.
#[derive(Debug, Default)]
pub(crate) struct Sample {
    pub(crate) rows: Vec<Row>,
    pub(crate) changes: Vec<(Arc<str>, Dated)>,
    pub(crate) pauses: Vec<(Arc<str>, Pause)>,
    /// Limiters that are no longer registered, seen for the last time.
    #[expect(clippy::vec_box, reason = "they are in boxes already")]
    pub(crate) gone: Vec<Box<Tracked>>,
}

/// A limiter at the moment of a sample, and what happened since the one before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) name: Arc<str>,
    pub(crate) unix_ms: i64,
    pub(crate) in_flight: u32,
    pub(crate) ceiling: u32,
    pub(crate) setting: u32,
    /// The cause of the cap that binds.
    pub(crate) capped_by: Option<Cow<'static, str>>,
    pub(crate) waiting: u32,
    pub(crate) paused: bool,
    /// Seen for the last time: only its counts are new.
    pub(crate) gone: bool,
    pub(crate) counts: Option<Arc<Counts>>,
}

#[cfg(test)]
impl Row {
    pub(crate) fn idle(name: &str, unix_ms: i64) -> Self {
        Self {
            name: name.into(),
            unix_ms,
            in_flight: 0,
            ceiling: 10,
            setting: 10,
            capped_by: None,
            waiting: 0,
            paused: false,
            gone: false,
            counts: None,
        }
    }
}

impl Sampler {
    pub(crate) fn new(source: Source) -> Self {
        let (limiters, causes) = (Vec::new(), vec!["manual"]);
        Self { source, limiters, causes, ids: 0, samples: 0, last: Duration::ZERO }
    }

    /// From now on, each limiter counts the changes of this cause, also as long as there are none.
    #[cfg(any(feature = "dashboard", feature = "pressure"))]
    pub(crate) fn expect_cause(&mut self, cause: &'static str) {
        self.causes.push(cause);
    }

    #[cfg(feature = "dashboard")]
    pub(crate) fn source(&self) -> &Source {
        &self.source
    }

    #[cfg(any(feature = "dashboard", feature = "metrics"))]
    pub(crate) fn limiters(&self) -> impl ExactSizeIterator<Item = &Tracked> + Clone {
        self.limiters.iter().map(|tracked| &**tracked)
    }

    #[cfg(feature = "dashboard")]
    pub(crate) fn get(&self, name: &str) -> Option<&Tracked> {
        self.find(name).map(|at| &*self.limiters[at])
    }

    #[cfg(feature = "dashboard")]
    fn find(&self, name: &str) -> Option<usize> {
        self.limiters.binary_search_by(|tracked| (*tracked.name).cmp(name)).ok()
    }

    /// Samples every limiter once.
    pub(crate) fn sample(&mut self, now: Moment) -> Sample {
        let mut sample = Sample::default();
        let passed = now.elapsed.saturating_sub(self.last);
        let first = self.samples == 0;
        let limiters = self.source.limiters();
        let mut before = std::mem::take(&mut self.limiters).into_iter().peekable();
        self.limiters.reserve_exact(limiters.len());
        sample.rows.reserve_exact(limiters.len());
        // Both are in the order of the names.
        for limiter in limiters {
            while let Some(gone) = before.next_if(|known| *known.name < *limiter.name()) {
                sample.end(gone, now, passed);
            }
            let known = before.next_if(|known| *known.name == *limiter.name());
            // Deleted and registered anew between two samples: another limiter of the same name.
            let (known, replaced) = match known {
                Some(known) if known.limiter.upgrade().as_ref() == Some(&limiter) => {
                    (Some(known), None)
                }
                other => (None, other),
            };
            if let Some(replaced) = replaced {
                sample.end(replaced, now, passed);
            }
            let mut tracked = known.unwrap_or_else(|| {
                self.ids += 1;
                Box::new(Tracked::new(&limiter, self.ids, now, first, &self.causes, &mut sample))
            });
            tracked.update(&limiter, now, passed, &mut sample);
            sample.rows.push(tracked.row(now, false));
            self.limiters.push(tracked);
        }
        for gone in before {
            sample.end(gone, now, passed);
        }
        self.samples += 1;
        self.last = now.elapsed;
        sample
    }

    /// Somebody has just paused or resumed a limiter through this monitor; told if that is news.
    #[cfg(feature = "dashboard")]
    pub(crate) fn note_pause(
        &mut self,
        name: &str,
        paused: bool,
        cause: &'static str,
        now: Moment,
    ) -> Option<(Arc<str>, Pause)> {
        let at = self.find(name)?;
        let tracked = &mut *self.limiters[at];
        if std::mem::replace(&mut tracked.last.paused, paused) == paused {
            return None;
        }
        Some((tracked.name.clone(), Pause { unix_ms: now.unix_ms, paused, cause }))
    }

    /// What each limiter has to report: itself, and what it counted since the last report.
    #[cfg(feature = "history")]
    pub(crate) fn reports(&mut self) -> impl Iterator<Item = (&Tracked, Counts)> {
        self.limiters.iter_mut().map(|tracked| {
            let counts = std::mem::take(&mut tracked.unreported);
            (&**tracked, counts)
        })
    }
}

impl Sample {
    fn end(&mut self, mut tracked: Box<Tracked>, now: Moment, passed: Duration) {
        // If nothing keeps it alive any more, what happened since is nobody's to tell.
        if let Some(limiter) = tracked.limiter.upgrade() {
            tracked.update(&limiter, now, passed, self);
            if tracked.counts.is_some() {
                self.rows.push(tracked.row(now, true));
            }
        }
        self.gone.push(tracked);
    }
}

impl Tracked {
    /// `before_us`: it was there before the monitor, and so was what it has counted and logged;
    /// that belongs to nobody's history.
    fn new(
        limiter: &Handle,
        id: u64,
        now: Moment,
        before_us: bool,
        causes: &[&'static str],
        sample: &mut Sample,
    ) -> Self {
        let mut last = limiter.snapshot();
        if !before_us {
            // Made since the last sample: all that it has counted is news.
            last.stats = nothing_counted();
        }
        let none = |cause: &&'static str| CauseCount {
            cause: Cow::Borrowed(*cause),
            raised: 0,
            lowered: 0,
        };
        let name: Arc<str> = limiter.name().into();
        if last.paused {
            let pause = Pause { unix_ms: now.unix_ms, paused: true, cause: "" };
            sample.pauses.push((name.clone(), pause));
        }
        let mut tracked = Self {
            name,
            id,
            first_seen: now.elapsed,
            windows: Windows::default(),
            last_change: None,
            changes: 0,
            by_cause: causes.iter().map(none).collect(),
            counts: None,
            passed: Duration::ZERO,
            unreported: Counts::default(),
            #[cfg(feature = "dashboard")]
            recent: Recent::default(),
            last,
            limiter: limiter.downgrade(),
        };
        if before_us {
            let mut unrecorded = Sample::default();
            tracked.follow_changes(limiter, now, Duration::MAX, &mut unrecorded);
        }
        tracked
    }

    fn update(&mut self, limiter: &Limiter, now: Moment, passed: Duration, sample: &mut Sample) {
        let before = std::mem::replace(&mut self.last, limiter.snapshot());
        let counts = Counts::between(&before.stats, &self.last.stats);
        #[cfg(feature = "dashboard")]
        self.recent.add(passed, counts.as_ref());
        if let Some(counts) = &counts {
            self.unreported.add(counts);
        }
        self.counts = counts.map(Arc::new);
        self.passed = passed;
        if self.last.paused != before.paused {
            let pause = Pause { unix_ms: now.unix_ms, paused: self.last.paused, cause: "" };
            sample.pauses.push((self.name.clone(), pause));
        }
        let Snapshot { in_flight, ceiling, waiting, .. } = self.last;
        let age = now.elapsed.saturating_sub(self.first_seen);
        self.windows.add(age, [in_flight, ceiling, waiting].map(|n| n as f64));
        self.follow_changes(limiter, now, passed, sample);
    }

    fn follow_changes(
        &mut self,
        limiter: &Limiter,
        now: Moment,
        passed: Duration,
        sample: &mut Sample,
    ) {
        if self.last.stats.raised + self.last.stats.lowered == self.changes {
            return;
        }
        for change in limiter.changes() {
            if change.number <= self.changes {
                continue;
            }
            let missed = change.number - self.changes - 1;
            self.changes = change.number;
            self.count(change.cause.clone(), change.to > change.from);
            let dated = Dated::new(change, missed, now, passed);
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

    fn row(&self, now: Moment, gone: bool) -> Row {
        let Snapshot { in_flight, ceiling, setting, waiting, paused, .. } = self.last;
        let [in_flight, ceiling, setting, waiting] =
            [in_flight, ceiling, setting, waiting].map(|n| u32::try_from(n).unwrap_or(u32::MAX));
        let capped_by = match &self.last.caps[..] {
            [] => None,
            _ => self.last.bound_by().map(|cause| Cow::Owned(cause.to_owned())),
        };
        let (name, counts) = (self.name.clone(), self.counts.clone());
        let unix_ms = now.unix_ms;
        Row { name, unix_ms, in_flight, ceiling, setting, capped_by, waiting, paused, gone, counts }
    }

    /// What it has counted since the last report.
    #[cfg(feature = "history")]
    pub(crate) fn unreported(&self) -> &Counts {
        &self.unreported
    }

    /// The limiter itself, if it is still there.
    #[cfg(feature = "dashboard")]
    pub(crate) fn live(&self) -> Option<Handle> {
        self.limiter.upgrade()
    }

    /// The limiter as it is now; as it was last seen, if it is no longer there.
    #[cfg(feature = "dashboard")]
    pub(crate) fn snapshot_now(&self) -> Cow<'_, Snapshot> {
        match self.live() {
            Some(limiter) => Cow::Owned(limiter.snapshot()),
            None => Cow::Borrowed(&self.last),
        }
    }

    /// The last change of its ceiling, also if it came after the last sample.
    #[cfg(feature = "dashboard")]
    pub(crate) fn newest_change(
        &self,
        live: &Limiter,
        snapshot: &Snapshot,
        now: Moment,
    ) -> Option<Dated> {
        if snapshot.stats.raised + snapshot.stats.lowered > self.changes
            && let Some(change) = live.changes().pop()
        {
            return Some(Dated::new(change, 0, now, Duration::MAX));
        }
        self.last_change.clone()
    }

    /// The averages at the last sample.
    #[cfg(any(test, feature = "history"))]
    pub(crate) fn averages(&self) -> crate::windows::Averages {
        self.windows.averages()
    }

    /// Permits granted a second, between the last two samples.
    #[cfg(feature = "dashboard")]
    pub(crate) fn rate(&self) -> f64 {
        self.per_second(|counts| counts.acquired)
    }

    /// Of the waits that ended between the last two samples, the time within which this share did.
    #[cfg(feature = "dashboard")]
    pub(crate) fn sampled_quantile(&self, share: f64) -> Option<Duration> {
        let buckets = self.counts.as_ref()?.waits.buckets.iter();
        crate::counts::quantile(buckets.map(|(at, n)| (usize::from(*at), *n as f64)), share)
    }

    /// How often a second something happened between the last two samples.
    #[cfg(feature = "dashboard")]
    pub(crate) fn per_second(&self, of: fn(&Counts) -> u64) -> f64 {
        match (&self.counts, self.passed.as_secs_f64()) {
            (Some(counts), seconds) if seconds > 0.0 => of(counts) as f64 / seconds,
            _ => 0.0,
        }
    }

    /// Requests refused, by reason.
    #[cfg(any(feature = "dashboard", feature = "metrics"))]
    pub(crate) fn refused(&self) -> [u64; 4] {
        crate::counts::refused(&self.last.stats)
    }

    /// The means of the last `n` buckets that are closed, the oldest first, each with the date of
    /// its end.
    #[cfg(feature = "dashboard")]
    pub(crate) fn remembered(
        &self,
        n: usize,
        now: Moment,
    ) -> impl Iterator<Item = (i64, [f32; 3])> + '_ {
        self.windows.recent(n).map(move |(age, mean)| {
            let ago = now.elapsed.saturating_sub(self.first_seen + age);
            (now.unix_ms - ago.as_millis() as i64, mean)
        })
    }
}

impl Dated {
    /// Dates a change that was made in the time that has `passed`.
    fn new(change: Change, missed: u64, now: Moment, passed: Duration) -> Self {
        // A limiter may have a clock of its own, whose times say nothing here. Those of the
        // system's clock lie between the last sample and now.
        let clock = SystemClock.now();
        let age = clock.saturating_sub(change.at);
        let by_system = change.at <= clock && age <= passed.saturating_add(SLACK);
        let age_ms = if by_system { age.as_millis() as i64 } else { 0 };
        Self { change, unix_ms: now.unix_ms - age_ms, missed }
    }
}

/// What a limiter has counted that has just been made.
fn nothing_counted() -> Stats {
    Limiter::new("", 1).snapshot().stats
}

/// By how much a change may seem older than the sample before it.
const SLACK: Duration = Duration::from_secs(1);
