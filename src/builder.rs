//! How a limiter is configured.

use core::fmt;
use core::time::Duration;

use alloc::borrow::Cow;
use alloc::boxed::Box;

use crate::clock::Clock;
use crate::error::ConfigError;
use crate::limiter::{ItsClock, Limiter};
use crate::state::MAX_COUNT;
use crate::throttle::{Step, Throttle};

/// How often the head of the line may lose before permits are kept for it.
pub(crate) const PATIENCE: u32 = 16;

/// How many requests may wait. `u32::MAX` stands for any number: so many would not fit in memory.
pub(crate) const fn waiting(max: usize) -> u32 {
    if max > u32::MAX as usize { u32::MAX } else { max as u32 }
}

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
    clock: Option<ItsClock>,
    #[cfg(feature = "stats")]
    track_holders: bool,
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
            #[cfg(feature = "stats")]
            track_holders: false,
        }
    }

    /// Sets the ceiling to begin with. There is no default.
    ///
    /// 0 to [`Limiter::MAX_CEILING`], and between `min` and `max`.
    pub fn ceiling(mut self, ceiling: usize) -> Self {
        self.ceiling = Some(ceiling);
        self
    }

    /// Sets the lowest setting. Default: 1.
    ///
    /// With 0 the ceiling can be lowered to where nothing is granted.
    pub fn min(mut self, min: usize) -> Self {
        self.throttle.min = min;
        self
    }

    /// Sets the highest setting, which is also the most permits that one request may ask for.
    ///
    /// 1 to [`Limiter::MAX_CEILING`]. Default: the ceiling to begin with.
    pub fn max(mut self, max: usize) -> Self {
        self.max = Some(max);
        self
    }

    /// Sets the step of [`Limiter::up`]: a number of permits, or [`Step::Percent`]. Default: 1.
    ///
    /// 1 to [`Limiter::MAX_CEILING`], or 1 % to 100 %.
    pub fn up(mut self, up: impl Into<Step>) -> Self {
        self.throttle.up = up.into();
        self
    }

    /// Sets the step of [`Limiter::down`]: a number of permits, or [`Step::Percent`]. Default: 2.
    ///
    /// 1 to [`Limiter::MAX_CEILING`], or 1 % to 100 %.
    pub fn down(mut self, down: impl Into<Step>) -> Self {
        self.throttle.down = down.into();
        self
    }

    /// Sets `hold_up` and `hold_down`, the time after a change in which steps are refused.
    ///
    /// Default: 30 s. Zero: no hold.
    pub fn hold(self, hold: Duration) -> Self {
        self.hold_up(hold).hold_down(hold)
    }

    /// Sets for how long after a change steps up are refused. Default: 30 s. Zero: no hold.
    pub fn hold_up(mut self, hold: Duration) -> Self {
        self.throttle.hold_up = hold;
        self
    }

    /// Sets for how long after a change steps down are refused. Default: 30 s. Zero: no hold.
    ///
    /// With zero a step down is never held back, as befits an emergency brake.
    pub fn hold_down(mut self, hold: Duration) -> Self {
        self.throttle.hold_down = hold;
        self
    }

    /// Sets how often newcomers may overtake the head of the line. Default: 16.
    ///
    /// After it has been woken and found too few permits this many times, permits are kept for it. With 0
    /// no newcomer ever overtakes: strictly first in, first out, at a price in throughput.
    pub fn patience(mut self, patience: u32) -> Self {
        self.patience = patience;
        self
    }

    /// Sets how many requests may wait. Default: any number.
    ///
    /// A further one is refused with [`QueueFull`](crate::AcquireError::QueueFull).
    pub fn max_waiting(mut self, max_waiting: usize) -> Self {
        self.max_waiting = Some(max_waiting);
        self
    }

    /// Sets whether a request above the ceiling, but not above `max`, runs alone. Default: true.
    ///
    /// If it does, it is granted when nothing else is in flight, so that lowering the ceiling never makes
    /// a queued request unsatisfiable. With `false` it waits, and those behind it with it, until the
    /// ceiling has room for it.
    pub fn run_alone(mut self, run_alone: bool) -> Self {
        self.run_alone = run_alone;
        self
    }

    /// Sets the clock of the holds and of the [terms of caps](crate::CapOf).
    ///
    /// Default: `SystemClock`; without feature `std` there is none.
    pub fn clock(mut self, clock: impl Clock + 'static) -> Self {
        self.clock = Some(Box::new(Box::new(clock)));
        self
    }

    /// Tracks the holders of permits: see [`Limiter::holders`]. Default: off.
    ///
    /// Every acquire and every release then takes a lock and asks the clock. A clock that panics
    /// there costs no permit.
    #[cfg(feature = "stats")]
    pub fn track_holders(mut self) -> Self {
        self.track_holders = true;
        self
    }

    /// Makes the limiter.
    ///
    /// # Errors
    ///
    /// A [`ConfigError`] that names the option and says what to do.
    pub fn build(self) -> Result<Limiter, ConfigError> {
        let (ceiling, throttle) = self.checked()?;
        if cfg!(not(feature = "std")) && self.clock.is_none() && throttle.has_holds() {
            return Err(ConfigError::NoClock);
        }
        let max_waiting = self.max_waiting.map_or(u32::MAX, waiting);
        let limiter = Limiter::from_parts(
            self.name,
            ceiling,
            throttle,
            self.patience,
            max_waiting,
            self.run_alone,
            self.clock,
        );
        #[cfg(feature = "stats")]
        let limiter = if self.track_holders { limiter.tracked() } else { limiter };
        Ok(limiter)
    }
}

impl Builder {
    /// The ceiling and the throttle, if they make sense.
    pub(crate) fn checked(&self) -> Result<(usize, Throttle), ConfigError> {
        let ceiling = self.ceiling.ok_or(ConfigError::NoCeiling)?;
        let max = self.max.unwrap_or(ceiling);
        let throttle = self.throttle.max(max);
        let min = throttle.min;
        if ceiling > MAX_COUNT {
            return Err(ConfigError::OutOfRange { option: "ceiling", value: ceiling });
        }
        // Without a `max` it is the ceiling that `min` collides with.
        if self.max.is_some() || ceiling >= min || min > MAX_COUNT {
            throttle.check()?;
        }
        if ceiling < min || ceiling > max {
            return Err(ConfigError::CeilingOutside { ceiling, min, max });
        }
        Ok((ceiling, throttle))
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
