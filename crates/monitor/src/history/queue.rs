//! What waits to be written, within bounds.

use std::collections::BTreeMap;
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use crate::counts::Counts;
use crate::mutex::lock;
use crate::sampler::{Dated, Pause, Row, Sample, Tracked};
use crate::windows::Averages;

/// Rows on their way to the disk.
#[derive(Clone, Debug, Default)]
pub(crate) struct Batch {
    pub(crate) rows: VecDeque<Row>,
    pub(crate) changes: VecDeque<(Arc<str>, Dated)>,
    pub(crate) pauses: VecDeque<(Arc<str>, Pause)>,
    /// The newest of each limiter.
    pub(crate) averages: BTreeMap<Arc<str>, AverageRow>,
}

/// What a report says of a limiter.
#[derive(Clone, Debug)]
pub(crate) struct AverageRow {
    pub(crate) unix_ms: i64,
    pub(crate) min: usize,
    pub(crate) max: usize,
    pub(crate) averages: Averages,
    /// What has been counted since the report before.
    pub(crate) counts: Counts,
    /// It is no longer registered.
    pub(crate) gone: bool,
}

impl AverageRow {
    pub(crate) fn new(tracked: &Tracked, counts: Counts, unix_ms: i64, gone: bool) -> Self {
        let (min, max) = (tracked.last.min, tracked.last.max);
        Self { unix_ms, min, max, averages: tracked.averages(), counts, gone }
    }
}

/// Between the sampler, which never waits, and the writer.
#[derive(Debug)]
pub(crate) struct Queue {
    /// How many rows may wait.
    bound: usize,
    state: Mutex<State>,
    /// Something for the writer to do, or done by it.
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    batch: Batch,
    /// What the writer has in hand.
    in_hand: Option<Arc<Batch>>,
    lost: u64,
    /// Reports asked for, and those the writer has dealt with.
    asked: u64,
    done: u64,
    last_error: Option<String>,
    stop: bool,
}

/// What the writer is to do.
#[derive(Debug)]
pub(crate) struct Work {
    pub(crate) batch: Arc<Batch>,
    pub(crate) report: u64,
    pub(crate) stop: bool,
}

impl Queue {
    pub(crate) fn new(bound: usize) -> Self {
        Self { bound, state: Mutex::default(), changed: Condvar::new() }
    }

    /// Appends what a sample brought.
    pub(crate) fn push(&self, sample: Sample, unix_ms: i64) {
        let mut state = lock(&self.state);
        let gone = sample.gone.iter();
        let gone = gone.map(|of| {
            let row = AverageRow::new(of, of.unreported().clone(), unix_ms, true);
            (of.name.clone(), row)
        });
        state.batch.add_averages(gone);
        state.batch.rows.extend(sample.rows);
        state.batch.changes.extend(sample.changes);
        state.batch.pauses.extend(sample.pauses);
        state.trim(self.bound);
    }

    /// Asks for a report; its number.
    pub(crate) fn report(&self, averages: impl Iterator<Item = (Arc<str>, AverageRow)>) -> u64 {
        let mut state = lock(&self.state);
        state.batch.add_averages(averages);
        state.trim(self.bound);
        state.asked += 1;
        self.changed.notify_all();
        state.asked
    }

    /// Waits until the writer has dealt with a report; the error it met, if one.
    pub(crate) fn wait(&self, report: u64) -> Result<(), String> {
        let state = lock(&self.state);
        let pending = |state: &mut State| state.done < report;
        let state = self.changed.wait_while(state, pending);
        let state = state.unwrap_or_else(PoisonError::into_inner);
        state.last_error.clone().map_or(Ok(()), Err)
    }

    /// For the writer: waits for work. Everything that waits is handed out, and comes back by
    /// [`done`](Self::done).
    pub(crate) fn take(&self) -> Work {
        let state = lock(&self.state);
        let idle = |state: &mut State| state.done == state.asked && !state.stop;
        let state = self.changed.wait_while(state, idle);
        let mut state = state.unwrap_or_else(PoisonError::into_inner);
        let batch = Arc::new(std::mem::take(&mut state.batch));
        state.in_hand = Some(batch.clone());
        Work { batch, report: state.asked, stop: state.stop }
    }

    /// For the writer: the report has been written, or not; then what it held goes back in front
    /// of what has come since.
    pub(crate) fn done(&self, work: Work, result: Result<(), String>) {
        let Work { batch, report, .. } = work;
        drop(batch);
        let mut state = lock(&self.state);
        state.done = report;
        let in_hand = state.in_hand.take();
        if result.is_err() {
            let mut batch = in_hand.map(Arc::unwrap_or_clone).unwrap_or_default();
            let newer = std::mem::take(&mut state.batch);
            batch.rows.extend(newer.rows);
            batch.changes.extend(newer.changes);
            batch.pauses.extend(newer.pauses);
            batch.add_averages(newer.averages);
            state.batch = batch;
            state.trim(self.bound);
        }
        state.last_error = result.err();
        self.changed.notify_all();
    }

    /// What is not on the disk yet, of one limiter: its samples, changes and pauses.
    #[cfg(feature = "dashboard")]
    pub(crate) fn waiting_of(&self, name: &str) -> Batch {
        let state = lock(&self.state);
        let mut of = Batch::default();
        for batch in state.batches() {
            of.rows.extend(batch.rows.iter().filter(|row| *row.name == *name).cloned());
            of.changes.extend(batch.changes.iter().filter(|(of, _)| **of == *name).cloned());
            of.pauses.extend(batch.pauses.iter().filter(|(of, _)| **of == *name).cloned());
        }
        of
    }

    /// Appends a pause that was made by this monitor itself.
    #[cfg(feature = "dashboard")]
    pub(crate) fn push_pause(&self, pause: (Arc<str>, Pause)) {
        let mut state = lock(&self.state);
        state.batch.pauses.push_back(pause);
        state.trim(self.bound);
    }

    pub(crate) fn stop(&self) {
        lock(&self.state).stop = true;
        self.changed.notify_all();
    }

    /// Rows that are not on the disk yet, and rows that had to be given up.
    pub(crate) fn waiting_and_lost(&self) -> (usize, u64) {
        let state = lock(&self.state);
        let rows = |batch: &Batch| batch.rows.len() + batch.changes.len() + batch.pauses.len();
        (state.batches().map(rows).sum(), state.lost)
    }
}

impl Batch {
    /// Of a limiter that is there already, what it counted is added up.
    fn add_averages(&mut self, newer: impl IntoIterator<Item = (Arc<str>, AverageRow)>) {
        for (name, mut row) in newer {
            if let Some(older) = self.averages.remove(&name) {
                let counts = std::mem::replace(&mut row.counts, older.counts);
                row.counts.add(&counts);
            }
            self.averages.insert(name, row);
        }
    }
}

impl State {
    /// All that is not on the disk, the oldest first.
    fn batches(&self) -> impl Iterator<Item = &Batch> {
        self.in_hand.as_deref().into_iter().chain([&self.batch])
    }

    /// Gives up the oldest of what is too much.
    fn trim(&mut self, bound: usize) {
        fn cut<T>(rows: &mut VecDeque<T>, bound: usize) -> u64 {
            let surplus = rows.len().saturating_sub(bound);
            rows.drain(..surplus);
            surplus as u64
        }
        let Batch { rows, changes, pauses, averages } = &mut self.batch;
        // Changes and pauses are few and worth more than samples, but not without bound either.
        self.lost += cut(rows, bound) + cut(changes, bound) + cut(pauses, bound);
        while averages.len() > bound {
            averages.pop_first();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(unix_ms: i64) -> Sample {
        Sample { rows: vec![Row::idle("a", unix_ms)], ..Sample::default() }
    }

    fn times(batch: &Batch) -> Vec<i64> {
        batch.rows.iter().map(|row| row.unix_ms).collect()
    }

    #[test]
    fn what_could_not_be_written_comes_back_in_order() {
        let queue = Queue::new(100);
        queue.push(sample(1), 1);
        let report = queue.report(std::iter::empty());
        let work = queue.take();
        queue.push(sample(2), 2);
        queue.done(work, Err("full".into()));
        assert_eq!(queue.wait(report), Err("full".into()));
        assert_eq!(times(&lock(&queue.state).batch), [1, 2]);
    }

    #[test]
    fn what_the_writer_has_in_hand_still_waits() {
        let queue = Queue::new(100);
        queue.push(sample(1), 1);
        queue.report(std::iter::empty());
        let work = queue.take();
        queue.push(sample(2), 2);
        assert_eq!(queue.waiting_and_lost(), (2, 0));
        assert_eq!(times(&queue.waiting_of("a")), [1, 2]);
        queue.done(work, Ok(()));
        assert_eq!(queue.waiting_and_lost(), (1, 0));
        assert_eq!(times(&queue.waiting_of("a")), [2]);
    }

    #[test]
    fn what_two_reports_counted_adds_up() {
        let counted = |acquired| {
            let counts = Counts { acquired, ..Counts::default() };
            let averages = Averages::default();
            let row = AverageRow { unix_ms: 0, min: 1, max: 1, averages, counts, gone: false };
            [("a".into(), row)].into_iter()
        };
        let queue = Queue::new(100);
        queue.report(counted(3));
        let work = queue.take();
        queue.report(counted(4));
        queue.done(work, Err("full".into()));
        assert_eq!(queue.take().batch.averages["a"].counts.acquired, 7);
    }

    #[test]
    fn a_full_queue_gives_up_the_oldest_and_counts_them() {
        let queue = Queue::new(3);
        for at in 0..5 {
            queue.push(sample(at), at);
        }
        assert_eq!(times(&lock(&queue.state).batch), [2, 3, 4]);
        assert_eq!(queue.waiting_and_lost(), (3, 2));
    }
}
