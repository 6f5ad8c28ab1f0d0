//! What waits to be written, within bounds.

use std::collections::BTreeMap;
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use crate::sampler::{Dated, Row, Sample, Tracked};
use crate::windows::Averages;
use crate::worker::lock;

/// Rows on their way to the disk.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) rows: VecDeque<Row>,
    pub(crate) changes: VecDeque<(Arc<str>, Dated)>,
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
    pub(crate) acquired: u64,
    pub(crate) waited: u64,
    pub(crate) refused: u64,
    /// It is no longer registered.
    pub(crate) gone: bool,
}

impl AverageRow {
    pub(crate) fn new(tracked: &Tracked, unix_ms: i64, gone: bool) -> Self {
        let stats = &tracked.last.stats;
        Self {
            unix_ms,
            min: tracked.last.min,
            max: tracked.last.max,
            averages: tracked.averages(),
            acquired: stats.acquired,
            waited: stats.waited,
            refused: tracked.refused(),
            gone,
        }
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
    pub(crate) batch: Batch,
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
        let gone = gone.map(|of| (of.name.clone(), AverageRow::new(of, unix_ms, true)));
        state.batch.averages.extend(gone);
        state.batch.rows.extend(sample.rows);
        state.batch.changes.extend(sample.changes);
        state.trim(self.bound);
    }

    /// Asks for a report; its number.
    pub(crate) fn report(&self, averages: impl Iterator<Item = (Arc<str>, AverageRow)>) -> u64 {
        let mut state = lock(&self.state);
        state.batch.averages.extend(averages);
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
        let batch = std::mem::take(&mut state.batch);
        Work { batch, report: state.asked, stop: state.stop }
    }

    /// For the writer: the report has been written, or not; then what it held goes back in front
    /// of what has come since.
    pub(crate) fn done(&self, work: Work, result: Result<(), String>) {
        let mut state = lock(&self.state);
        state.done = work.report;
        if result.is_err() {
            let mut batch = work.batch;
            batch.rows.append(&mut state.batch.rows);
            batch.changes.append(&mut state.batch.changes);
            batch.averages.append(&mut state.batch.averages);
            state.batch = batch;
            state.trim(self.bound);
        }
        state.last_error = result.err();
        self.changed.notify_all();
    }

    /// The samples of a limiter that wait to be written.
    pub(crate) fn waiting_of(&self, name: &str) -> Vec<Row> {
        let state = lock(&self.state);
        state.batch.rows.iter().filter(|row| *row.name == *name).cloned().collect()
    }

    pub(crate) fn stop(&self) {
        lock(&self.state).stop = true;
        self.changed.notify_all();
    }

    /// Rows that wait, and rows that had to be given up.
    pub(crate) fn waiting_and_lost(&self) -> (usize, u64) {
        let state = lock(&self.state);
        (state.batch.rows.len() + state.batch.changes.len(), state.lost)
    }
}

impl State {
    /// Gives up the oldest of what is too much.
    fn trim(&mut self, bound: usize) {
        let Batch { rows, changes, averages } = &mut self.batch;
        let surplus = rows.len().saturating_sub(bound);
        rows.drain(..surplus);
        // Changes are few and worth more than samples, but not without bound either.
        let changes_surplus = changes.len().saturating_sub(bound);
        changes.drain(..changes_surplus);
        while averages.len() > bound {
            averages.pop_first();
        }
        self.lost += (surplus + changes_surplus) as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(unix_ms: i64) -> Sample {
        let row =
            Row { name: "a".into(), unix_ms, in_flight: 0, ceiling: 1, waiting: 0, paused: false };
        Sample { rows: vec![row], ..Sample::default() }
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
    fn a_full_queue_gives_up_the_oldest_and_counts_them() {
        let queue = Queue::new(3);
        for at in 0..5 {
            queue.push(sample(at), at);
        }
        assert_eq!(times(&lock(&queue.state).batch), [2, 3, 4]);
        assert_eq!(queue.waiting_and_lost(), (3, 2));
    }
}
