//! The ceiling by controlled experiments.

use core::time::Duration;

use libm::{exp, log};

use crate::arm::{Arm, Low, compare};
use crate::controller::{Bounds, Controller, Outcome, Sample, seconds};
use crate::vegas::Lots;

/// The distance of the arms of a block from the ceiling that they are about.
const NEAR: f64 = 1.15;
/// How much a search goes up or down at once.
const FAR: f64 = 2.0;
/// How far the first look of a search goes down.
const FIRST: f64 = 1.414;
/// The longest rest between experiments, in seconds.
const LONGEST_REST: f64 = 20.0;
/// How many rounds of a block may be needed before it decides with what it has.
const ROUNDS: u32 = 6;
/// How far it goes up until it looks at the ledger, and how far below its entry it goes back.
const LEDGER: f64 = 1.15;
const BACK: f64 = 0.4;

/// Finds the ceiling by asking, again and again, what more concurrency buys.
///
/// Below the knee of a server ten percent more in flight are ten percent more work done; above it they are only a
/// longer queue. So it holds a lower and a higher ceiling in turn (about 15 % below and above, in the order low,
/// high, high, low, so that a steady trend cancels out), and works out the elasticity: the change of the
/// throughput, relative to the change of what is in flight. That tells where between the two the knee is, and
/// there it goes. What is less certain moves it less. Then it rests, longer each time that nothing has
/// moved (at most 20 s); a clear change of the latency ends the rest.
///
/// At first, and after a jump of the latency, it searches: by factors of two, until the knee is between two of them.
///
/// No latency is remembered as the normal one, so there is none to drift with. The one thing that it
/// carries along is how latency has gone since its own last steps up: they have to pay together. That
/// is for clients who share a server. Each of them takes from the others with a step up, so that each
/// step alone seems to pay.
///
/// A ceiling that is not used up (less than 85 % of it in flight) gives no evidence, and it does not move. More than
/// 5 % overload among at least 20 requests take it down at once to what was served, at most by half.
///
/// ```
/// use grmgr_adaptive::{Controller, Experiment};
///
/// let experiment = Experiment::new(20).min(2).max(200);
/// assert_eq!(experiment.ceiling(), 20);
/// ```
#[derive(Clone, Debug)]
pub struct Experiment {
    bounds: Bounds,
    worth: f64,
    lots: Lots,
    /// The ceiling that the experiments are about.
    about: f64,
    phase: Phase,
    now: f64,
    /// The ceiling in force.
    held: usize,
    /// What is measured under it.
    arm: Arm,
    low: Arm,
    high: Arm,
    /// How long it takes until a change shows, in seconds.
    settle: f64,
    /// How long the last block took.
    block: f64,
    /// How many blocks long the next rest is.
    rest: f64,
    /// Which way the last move went.
    upwards: bool,
    /// A ceiling from which it went up, the mean latency there, and the variance of its logarithm.
    ledger: Option<(f64, f64, f64)>,
    pressure: Pressure,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Phase {
    /// Far apart arms, each compared with the one before, until the knee is between two.
    Search(Way),
    /// Near arms in the order low, high, high, low; the two in the middle are one.
    Block { turn: u8, round: u32, since: f64 },
    /// Nothing moves, and latencies are watched.
    Rest { until: f64, usual: Option<Low> },
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    /// The first arm is measured, and nothing is known.
    Start,
    /// The second arm: lower.
    Look,
    Up,
    Down,
}

/// Overload in the last requests.
#[derive(Clone, Copy, Debug, Default)]
struct Pressure {
    since: f64,
    seen: f64,
    overloads: f64,
    /// The latencies of those that did succeed.
    busy: f64,
}

impl Experiment {
    /// Makes one that starts from `ceiling`, and stays between 1 and 1,000.
    ///
    /// ```
    /// # use grmgr_adaptive::{Controller, Experiment};
    /// assert_eq!(Experiment::new(0).ceiling(), 1);
    /// ```
    pub fn new(ceiling: usize) -> Self {
        let bounds = Bounds::DEFAULT;
        let ceiling = bounds.clamp(ceiling);
        let mut this = Self {
            bounds,
            worth: 0.2,
            lots: Lots(0),
            about: ceiling as f64,
            phase: Phase::Search(Way::Start),
            now: 0.0,
            held: ceiling,
            arm: Arm::new(),
            low: Arm::new(),
            high: Arm::new(),
            settle: 0.0,
            block: 0.0,
            rest: 1.0,
            upwards: true,
            ledger: None,
            pressure: Pressure::default(),
        };
        this.arm.open(ceiling, 0.0, 0.0);
        this
    }

    /// Sets the lowest ceiling, at least 1.
    ///
    /// ```
    /// # use grmgr_adaptive::{Controller, Experiment};
    /// assert_eq!(Experiment::new(2).min(5).ceiling(), 5);
    /// ```
    pub fn min(mut self, min: usize) -> Self {
        self.bounds.min = min;
        self.within()
    }

    /// Sets the highest ceiling; if it is below the lowest, the lowest counts.
    ///
    /// ```
    /// # use grmgr_adaptive::{Controller, Experiment};
    /// assert_eq!(Experiment::new(20).max(10).ceiling(), 10);
    /// ```
    pub fn max(mut self, max: usize) -> Self {
        self.bounds.max = max;
        self.within()
    }

    /// Sets what more concurrency must bring to be worth it, from 0.1 to 0.9; 0.2 if not set.
    ///
    /// With 0.2, ten percent more concurrency must bring 2 percent more work. Less tolerates a longer
    /// queue at the server, more a few idle workers.
    ///
    /// ```
    /// # use grmgr_adaptive::{Controller, Experiment};
    /// let latency_first = Experiment::new(20).worth(0.5);
    /// # let _ = latency_first.ceiling();
    /// ```
    pub fn worth(mut self, worth: f64) -> Self {
        self.worth = if worth.is_nan() { 0.2 } else { worth.clamp(0.1, 0.9) };
        self
    }

    /// Sets where the jitter of its rests starts from: different in each process.
    ///
    /// ```
    /// # use grmgr_adaptive::{Controller, Experiment};
    /// let one = Experiment::new(20).seed(std::process::id().into());
    /// # let _ = one.ceiling();
    /// ```
    pub fn seed(mut self, seed: u64) -> Self {
        self.lots = Lots(seed);
        self
    }

    fn within(mut self) -> Self {
        let ceiling = self.bounds.round(self.about);
        (self.about, self.held) = (ceiling as f64, ceiling);
        self.arm.open(ceiling, self.now, 0.0);
        self
    }

    /// Holds another ceiling from now on.
    fn hold(&mut self, ceiling: usize) {
        let ceiling = self.bounds.clamp(ceiling);
        let settle = if ceiling == self.held { 0.0 } else { self.settle };
        self.held = ceiling;
        self.arm.open(ceiling, self.now, settle);
        self.pressure = Pressure { since: self.now, ..Pressure::default() };
    }

    fn search(&mut self) {
        self.rest = 1.0;
        self.phase = Phase::Search(Way::Start);
        self.hold(self.bounds.round(self.about));
    }

    /// The lower and the higher arm of a block.
    fn arms(&self) -> (usize, usize) {
        let about = self.bounds.round(self.about) as f64;
        let low = self.bounds.clamp((about / NEAR) as usize);
        let high = self.bounds.clamp(libm::ceil(about * NEAR) as usize);
        (low, high)
    }

    fn start_block(&mut self) {
        let (low, high) = self.arms();
        if low == high {
            return self.start_rest();
        }
        self.low.open(low, self.now, 0.0);
        self.high.open(high, self.now, 0.0);
        self.phase = Phase::Block { turn: 0, round: 0, since: self.now };
        self.hold(low);
    }

    fn start_rest(&mut self) {
        let jitter = 0.8 + 0.4 * self.lots.draw();
        let least = (2.0 * self.settle).min(LONGEST_REST);
        let length = (self.rest * self.block).clamp(least, LONGEST_REST) * jitter;
        self.phase = Phase::Rest { until: self.now + length, usual: None };
        self.hold(self.bounds.round(self.about));
    }

    /// The knee is between two arms of a search: goes there, and looks closer.
    fn land(&mut self, about: f64) {
        self.about = self.bounds.round(about) as f64;
        self.rest = 1.0;
        self.start_block();
    }

    fn learn(&mut self) {
        let after = self.arm.settled_after();
        if after > 0.0 {
            self.settle = after;
        }
    }

    /// The arm of a search is measured.
    fn on_search(&mut self, way: Way) {
        self.learn();
        let here = self.arm.ceiling;
        match way {
            Way::Start => {
                let below = self.bounds.round(libm::floor(here as f64 / FIRST));
                core::mem::swap(&mut self.arm, &mut self.high);
                if below == here {
                    // At the lower bound: there is only up.
                    core::mem::swap(&mut self.high, &mut self.low);
                    self.step_up(here);
                } else {
                    self.phase = Phase::Search(Way::Look);
                    self.hold(below);
                }
            }
            Way::Look | Way::Down => {
                core::mem::swap(&mut self.arm, &mut self.low);
                match compare(&mut self.low, &mut self.high) {
                    None => self.land(here as f64),
                    Some(found) if way == Way::Look && found.elasticity > 0.75 => {
                        let from = self.high.ceiling;
                        core::mem::swap(&mut self.low, &mut self.high);
                        self.step_up(from);
                    }
                    Some(found) if found.elasticity < 0.2 => {
                        let below = self.bounds.round(libm::floor(here as f64 / FAR));
                        if below == here {
                            return self.land(here as f64);
                        }
                        core::mem::swap(&mut self.low, &mut self.high);
                        self.phase = Phase::Search(Way::Down);
                        self.hold(below);
                    }
                    Some(found) => {
                        let to = between(&self.low, &self.high, found.elasticity);
                        self.land(to);
                    }
                }
            }
            Way::Up => {
                core::mem::swap(&mut self.arm, &mut self.high);
                match compare(&mut self.low, &mut self.high) {
                    None => {
                        let used = libm::ceil(1.25 * self.high.in_flight());
                        self.land(used.clamp(self.low.ceiling as f64, here as f64));
                    }
                    Some(found) if found.elasticity > 0.75 => {
                        if !self.paid(here as f64, self.high.mean(), self.high.spread()) {
                            return self.start_block();
                        }
                        core::mem::swap(&mut self.low, &mut self.high);
                        self.step_up(here);
                    }
                    Some(found) => {
                        let to = between(&self.low, &self.high, found.elasticity);
                        self.land(to);
                    }
                }
            }
        }
    }

    /// Goes on upwards from the arm that is now the lower one.
    fn step_up(&mut self, from: usize) {
        let above = self.bounds.round(from as f64 * FAR);
        if above == from {
            return self.land(from as f64);
        }
        self.phase = Phase::Search(Way::Up);
        self.hold(above);
    }

    /// How many requests an arm of a search needs: more where latencies differ much.
    fn needed(&self) -> f64 {
        let ceiling = self.arm.ceiling as f64;
        // Twice around, where that takes little time: those in flight may well move in step.
        let around = if self.phase == Phase::Search(Way::Up) { 2.0 } else { 1.0 };
        (34.0 * self.arm.cv2()).min(150.0).max(around * ceiling).max(4.0)
    }

    /// Nobody fills the ceiling of this arm: no evidence.
    fn on_starved(&mut self) {
        match self.phase {
            Phase::Search(Way::Up) => {
                let used = libm::ceil(1.25 * self.arm.in_flight());
                let (low, high) = (self.low.ceiling as f64, self.arm.ceiling as f64);
                self.about = used.clamp(low.min(high), high);
                self.start_rest();
            }
            Phase::Search(Way::Start) => self.hold(self.arm.ceiling),
            Phase::Search(_) => self.search(),
            Phase::Block { .. } => self.start_rest(),
            Phase::Rest { .. } => {}
        }
    }

    /// One of the three arms of a block is measured.
    fn on_block(&mut self, turn: u8, round: u32, since: f64) {
        let into = if turn == 1 { &mut self.high } else { &mut self.low };
        into.merge(&self.arm);
        if turn < 2 {
            self.phase = Phase::Block { turn: turn + 1, round, since };
            let next = if turn == 0 { self.high.ceiling } else { self.low.ceiling };
            return self.hold(next);
        }
        self.settle = self.low.settled_after().max(self.high.settled_after());
        let Some(found) = compare(&mut self.low, &mut self.high) else {
            return self.start_rest();
        };
        if found.error > 0.25 && round + 1 < ROUNDS {
            self.phase = Phase::Block { turn: 0, round: round + 1, since };
            return self.hold(self.low.ceiling);
        }
        self.block = self.now - since;
        self.decide(found.elasticity, found.error);
    }

    /// Whether the steps up since the last entry in the ledger have paid, all of them together.
    ///
    /// Who shares a server can take from the others, and so each step alone pays, whatever the queue. But the others
    /// go up as well; what they all lose by it shows over several steps. If those have not
    /// paid, the ceiling goes back to below where they began. All do that, and so all come down. If
    /// something else has made the latency rise, that costs one more ascent.
    fn paid(&mut self, here: f64, latency: f64, variance: f64) -> bool {
        let Some((from, before, variance_before)) = self.ledger else {
            self.ledger = Some((here, latency, variance));
            return true;
        };
        if here <= from || latency < before {
            self.ledger = Some((here, latency, variance));
        } else if here > LEDGER * from {
            let doubt = 2.0 * libm::sqrt(variance + variance_before);
            if log(latency / before) - doubt > 0.5 * log(here / from) {
                self.about = self.bounds.round(from * BACK) as f64;
                self.ledger = None;
                self.rest = 1.0;
                return false;
            }
            self.ledger = Some((here, latency, variance));
        }
        true
    }

    fn decide(&mut self, elasticity: f64, error: f64) {
        if !self.paid(self.about, self.low.mean(), self.low.spread()) {
            return self.start_block();
        }
        let (low, high) = (self.low.ceiling as f64, self.high.ceiling as f64);
        // In the middle between the arms an elasticity of `worth` changes nothing.
        let position = (elasticity + 0.5 - self.worth).clamp(0.0, 1.0);
        let wanted = log(low) + position * log(high / low);
        // What is less certain moves less.
        let weight = 1.0 / (1.0 + error * error / (0.2 * 0.2));
        let before = self.about;
        let about = exp(log(before) + weight * (wanted - log(before)));
        self.about = about.clamp(self.bounds.clamp(0) as f64, self.bounds.clamp(usize::MAX) as f64);

        let up = self.about > before;
        let moved = (self.about / before - 1.0).abs() > 0.06
            && self.bounds.round(self.about) != self.bounds.round(before);
        // A second step the same way: the knee is still away.
        let on = moved && up == self.upwards;
        if moved {
            self.upwards = up;
        }
        if on {
            self.rest = 0.5;
            return self.start_block();
        }
        self.rest = (self.rest * 2.0).min(8.0);
        self.start_rest();
    }

    fn on_rest(&mut self, until: f64, usual: Option<Low>) {
        if self.arm.has(self.arm.ceiling.max(40) as f64) {
            if self.arm.filled() {
                let low = self.arm.low();
                let usual = usual.unwrap_or(low);
                self.phase = Phase::Rest { until, usual: Some(usual) };
                if (low.mean - usual.mean).abs() > 6.0 * (low.error + usual.error) {
                    // Much longer: the knee may be anywhere. Much shorter: it has gone up.
                    if low.mean > 1.25 * usual.mean {
                        return self.search();
                    }
                    if low.mean < 0.8 * usual.mean {
                        self.rest = 1.0;
                        return self.start_block();
                    }
                }
                if self.now >= until {
                    return self.start_block();
                }
            }
            let ceiling = self.arm.ceiling;
            self.arm.open(ceiling, self.now, 0.0);
        } else if self.arm.starved() {
            let ceiling = self.arm.ceiling;
            self.arm.open(ceiling, self.now, 0.0);
        }
    }

    /// More than a twentieth of at least 20 requests met overload.
    fn on_overload(&mut self) {
        let here = self.arm.ceiling as f64;
        let time = (self.now - self.pressure.since).max(1e-9);
        let served = libm::ceil(self.pressure.busy / time - 0.25);
        let searched = matches!(self.phase, Phase::Search(_));
        if here > self.about && !searched {
            // Only the higher arm: the ceiling itself is well.
            if let Phase::Block { since, .. } = self.phase {
                self.block = self.block.max(self.now - since);
            }
            self.rest = (self.rest * 2.0).min(64.0);
            return self.start_rest();
        }
        self.about = self.bounds.round(served.max(here / 2.0).min(here - 1.0)) as f64;
        self.rest = if searched { 1.0 } else { self.rest.max(1.0) };
        self.block = self.block.max(self.settle);
        self.start_rest();
    }
}

/// The ceiling at which the throughput of the higher arm would be reached in the latency of the lower one.
fn between(low: &Arm, high: &Arm, elasticity: f64) -> f64 {
    let (low, high) = (low.ceiling as f64, high.ceiling as f64);
    (low * exp(elasticity * log(high / low)) * 1.04).clamp(low, high)
}

impl Controller for Experiment {
    fn observe(&mut self, now: Duration, sample: Sample) -> Option<usize> {
        self.now = seconds(now).max(self.now);
        if sample.outcome == Outcome::Ignored {
            return None;
        }
        let before = self.held;
        let latency = seconds(sample.latency).clamp(1e-9, 1e6);
        let started = seconds(sample.started).min(self.now);
        if started >= self.pressure.since {
            let pressure = &mut self.pressure;
            pressure.seen += 1.0;
            if sample.outcome.is_overload() {
                pressure.overloads += 1.0;
            } else {
                pressure.busy += latency;
            }
            if pressure.seen >= 20.0 && pressure.overloads > 0.05 * pressure.seen {
                self.on_overload();
                return (self.held != before).then_some(self.held);
            }
            if pressure.seen >= 400.0 {
                *pressure = Pressure { since: self.now, ..Pressure::default() };
            }
        }
        if sample.outcome.is_overload() {
            return None;
        }
        self.arm.add(self.now, started, latency, sample.in_flight);
        match self.phase {
            Phase::Rest { until, usual } => self.on_rest(until, usual),
            _ if self.arm.starved() => self.on_starved(),
            Phase::Search(way) => {
                if self.arm.has(self.needed()) {
                    self.on_search(way);
                }
            }
            Phase::Block { turn, round, since } => {
                let need = self.arm.ceiling.max(24) as f64 * if turn == 1 { 2.0 } else { 1.0 };
                if self.arm.has(need) {
                    self.on_block(turn, round, since);
                }
            }
        }
        (self.held != before).then_some(self.held)
    }

    fn ceiling(&self) -> usize {
        self.held
    }
}
