//! How a limiter is configured.

use core::fmt;
use core::time::Duration;

use alloc::borrow::Cow;
use alloc::boxed::Box;

use crate::clock::Clock;
use crate::state::MAX_COUNT;
use crate::throttle::Throttle;
use crate::{ConfigError, Limiter};

/// How often the head of the line may lose before permits are kept for it.
pub(crate) const PATIENCE: u32 = 16;

/// Makes a [`Limiter`]; from [`Limiter::builder`].
///
/// ```
/// use std::time::Duration;
/// use grmgr::Limiter;
///
/// let limiter = Limiter::builder("db")
///     .ceiling(20)
///     .min(5)
///     .max(50)
///     .up(5)
///     .down(10)
///     .hold(Duration::from_secs(10))
///     .max_waiting(1_000)
///     .build()?;
/// # Ok::<(), grmgr::ConfigError>(())
/// ```
#[must_use = "a builder does nothing until `build`"]
pub struct Builder {
    name: Cow<'static, str>,
    ceiling: Option<usize>,
    max: Option<usize>,
    throttle: Throttle,
    patience: u32,
    max_waiting: Option<usize>,
    run_alone: bool,
    clock: Option<Box<dyn Clock>>,
}

impl Builder {
    pub(crate) fn new(name: Cow<'static, str>) -> Self {
        Self {
            name,
            ceiling: None,
            max: None,
            throttle: Throttle::new(0),
            patience: PATIENCE,
            max_waiting: None,
            run_alone: true,
            clock: None,
        }
    }

    /// The ceiling to begin with. Has to be given. 0 to [`Limiter::MAX_CEILING`], and between
    /// `min` and `max`.
    pub fn ceiling(mut self, ceiling: usize) -> Self {
        self.ceiling = Some(ceiling);
        self
    }

    /// The lowest ceiling. Default: 1. With 0 the ceiling can be turned down to where nothing is
    /// granted.
    pub fn min(mut self, min: usize) -> Self {
        self.throttle.min = min;
        self
    }

    /// The highest ceiling, and the most permits that one request may ask for: 1 to
    /// [`Limiter::MAX_CEILING`]. Default: the ceiling to begin with.
    pub fn max(mut self, max: usize) -> Self {
        self.max = Some(max);
        self
    }

    /// By how much [`Limiter::up`] raises the ceiling, at least 1. Default: 1.
    pub fn up(mut self, up: usize) -> Self {
        self.throttle.up = up;
        self
    }

    /// By how much [`Limiter::down`] lowers the ceiling, at least 1. Default: 2.
    pub fn down(mut self, down: usize) -> Self {
        self.throttle.down = down;
        self
    }

    /// For how long after a change steps up and down are refused. Default: 30 s. Zero: no hold.
    pub fn hold(mut self, hold: Duration) -> Self {
        self.throttle.hold = hold;
        self
    }

    /// How often newcomers may overtake the head of the line: after it has been woken and found
    /// too few permits so many times, permits are kept for it. Default: 16. With 0 nobody ever
    /// overtakes: strictly first in, first out, at a price in throughput.
    pub fn patience(mut self, patience: u32) -> Self {
        self.patience = patience;
        self
    }

    /// How many requests may wait; a further one is refused with
    /// [`QueueFull`](crate::AcquireError::QueueFull). Default: any number.
    pub fn max_waiting(mut self, max_waiting: usize) -> Self {
        self.max_waiting = Some(max_waiting);
        self
    }

    /// What becomes of a request for more permits than the ceiling has, but not more than `max`. By
    /// default it runs alone: it is granted when nothing else is in flight, so that lowering the
    /// ceiling never makes a request unsatisfiable. With `false` it waits, and those behind it with
    /// it, until the ceiling has room for it.
    pub fn run_alone(mut self, run_alone: bool) -> Self {
        self.run_alone = run_alone;
        self
    }

    /// Where holds get the time from. Default: [`SystemClock`](crate::SystemClock); without
    /// feature `std` there is none.
    pub fn clock(mut self, clock: impl Clock + 'static) -> Self {
        self.clock = Some(Box::new(clock));
        self
    }

    /// Makes the limiter.
    ///
    /// # Errors
    ///
    /// A [`ConfigError`] that names the option and says what to do.
    pub fn build(self) -> Result<Limiter, ConfigError> {
        let ceiling = self.ceiling.ok_or(ConfigError::NoCeiling)?;
        let max = self.max.unwrap_or(ceiling);
        let throttle = Throttle { max, ..self.throttle };
        let Throttle { min, up, down, hold, .. } = throttle;
        for (option, value) in
            [("ceiling", ceiling), ("min", min), ("max", max), ("up", up), ("down", down)]
        {
            if value > MAX_COUNT {
                return Err(ConfigError::OutOfRange { option, value });
            }
        }
        for (option, step) in [("up", up), ("down", down)] {
            if step == 0 {
                return Err(ConfigError::ZeroStep { option });
            }
        }
        if self.max.is_some() && min > max {
            return Err(ConfigError::MinAboveMax { min, max });
        }
        if ceiling < min || ceiling > max {
            return Err(ConfigError::CeilingOutside { ceiling, min, max });
        }
        if max == 0 {
            return Err(ConfigError::OutOfRange { option: "max", value: max });
        }
        if cfg!(not(feature = "std")) && self.clock.is_none() && !hold.is_zero() {
            return Err(ConfigError::NoClock);
        }
        // So many waiters would not fit in memory: u32::MAX is any number.
        let max_waiting =
            self.max_waiting.map_or(u32::MAX, |n| u32::try_from(n).unwrap_or(u32::MAX));
        Ok(Limiter::from_parts(
            self.name,
            ceiling,
            throttle,
            self.patience,
            max_waiting,
            self.run_alone,
            self.clock,
        ))
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("name", &self.name)
            .field("ceiling", &self.ceiling)
            .field("max", &self.max)
            .field("throttle", &self.throttle)
            .field("patience", &self.patience)
            .field("max_waiting", &self.max_waiting)
            .field("run_alone", &self.run_alone)
            .finish_non_exhaustive()
    }
}
