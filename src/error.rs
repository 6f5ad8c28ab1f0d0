//! The reasons of a refusal. Each message says what to do instead.

use core::error::Error;
use core::fmt;

use crate::state::MAX_COUNT;

/// Says why [`Limiter::acquire`](crate::Limiter::acquire) and its kin gave no permit.
///
/// If several reasons hold, the first of them is told.
///
/// ```
/// use grmgr::{AcquireError, Limiter};
///
/// let db = Limiter::new("db", 20);
/// let error = db.acquire_many_blocking(21).unwrap_err();
/// assert_eq!(error, AcquireError::ExceedsMax { requested: 21, max: 20 });
/// db.close();
/// assert_eq!(db.acquire_blocking().unwrap_err(), AcquireError::Closed);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AcquireError {
    /// The limiter is closed.
    Closed,
    /// More permits were asked for than the highest setting.
    ExceedsMax {
        /// Permits asked for.
        requested: usize,
        /// The highest setting.
        max: usize,
    },
    /// The queue is full.
    QueueFull {
        /// How many requests may wait.
        max_waiting: usize,
    },
    /// The time given to `blocking_timeout` or `blocking_until` was not enough.
    ///
    /// Nothing else gives this.
    TimedOut,
    /// [`acquire_all`](crate::acquire_all) was given one limiter twice. Nothing else gives this.
    Repeated {
        /// The first entry with this limiter, counted from 0.
        first: usize,
        /// The entry that repeats it.
        again: usize,
    },
}

/// Says why [`Limiter::try_acquire`](crate::Limiter::try_acquire) and its kin gave no permit.
///
/// If several reasons hold, the first of them is told.
///
/// ```
/// use grmgr::{Limiter, TryAcquireError};
///
/// let db = Limiter::new("db", 1);
/// let held = db.try_acquire()?;
/// assert_eq!(db.try_acquire().unwrap_err(), TryAcquireError::NoPermits);
/// # drop(held);
/// # Ok::<(), TryAcquireError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TryAcquireError {
    /// The limiter is closed.
    Closed,
    /// More permits were asked for than the highest setting.
    ExceedsMax {
        /// Permits asked for.
        requested: usize,
        /// The highest setting.
        max: usize,
    },
    /// Too few permits are free, or they are kept for waiters, or the limiter is paused.
    NoPermits,
}

/// A mistake in a limiter's configuration.
///
/// ```
/// use grmgr::{ConfigError, Limiter};
///
/// let error = Limiter::builder("db").ceiling(20).min(30).max(25).build().unwrap_err();
/// assert_eq!(error, ConfigError::MinAboveMax { min: 30, max: 25 });
/// assert!(error.to_string().starts_with("`min` is 30 and `max` is 25: lower `min` or raise `max`"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigError {
    /// No ceiling was given.
    NoCeiling,
    /// A ceiling, bound or step is above [`MAX_CEILING`](crate::Limiter::MAX_CEILING), or `max` is 0.
    OutOfRange {
        /// The name of the option.
        option: &'static str,
        /// The value given.
        value: usize,
    },
    /// `min` is above `max`.
    MinAboveMax {
        /// The lowest setting.
        min: usize,
        /// The highest setting.
        max: usize,
    },
    /// The ceiling is not between `min` and `max`.
    CeilingOutside {
        /// The ceiling to begin with.
        ceiling: usize,
        /// The lowest setting.
        min: usize,
        /// The highest setting.
        max: usize,
    },
    /// A step of 0 would never change anything.
    ZeroStep {
        /// The name of the option.
        option: &'static str,
    },
    /// A step of 0 %, or of more than 100 %.
    PercentOutOfRange {
        /// The name of the option.
        option: &'static str,
        /// The value given.
        percent: u8,
    },
    /// A hold needs a clock, and without feature `std` there is none by default.
    NoClock,
}

fn exceeds_max(f: &mut fmt::Formatter<'_>, requested: usize, max: usize) -> fmt::Result {
    write!(
        f,
        "{requested} permits requested, but the ceiling is never above {max}: \
         ask for at most {max}, or build the limiter with a larger `max`"
    )
}

const CLOSED: &str = "the limiter is closed and grants nothing any more: make a new one";

impl fmt::Display for AcquireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Closed => f.write_str(CLOSED),
            Self::ExceedsMax { requested, max } => exceeds_max(f, requested, max),
            Self::QueueFull { max_waiting } => write!(
                f,
                "{max_waiting} requests wait already: try again later, or build the limiter \
                 with a larger `max_waiting`"
            ),
            Self::TimedOut => f.write_str(
                "no permit came free in time: try again later, wait longer, or raise the ceiling",
            ),
            Self::Repeated { first, again } => write!(
                f,
                "entries {first} and {again} are of the same limiter: make them one entry that \
                 asks for the permits of both"
            ),
        }
    }
}

impl fmt::Display for TryAcquireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Closed => f.write_str(CLOSED),
            Self::ExceedsMax { requested, max } => exceeds_max(f, requested, max),
            Self::NoPermits => {
                f.write_str("too few permits are free: try again later, or wait with `acquire`")
            }
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::NoCeiling => f.write_str("no ceiling: set one with `ceiling`"),
            Self::OutOfRange { option, value: 0 } => {
                write!(f, "`{option}` is 0: set it to 1 to {MAX_COUNT}")
            }
            Self::OutOfRange { option, value } => {
                write!(f, "`{option}` is {value}: set it to {MAX_COUNT} or less")
            }
            Self::MinAboveMax { min, max } => write!(
                f,
                "`min` is {min} and `max` is {max}: lower `min` or raise `max` so that they span \
                 the range in which the ceiling may move"
            ),
            Self::CeilingOutside { ceiling, min, .. } if ceiling < min => write!(
                f,
                "`ceiling` is {ceiling}, below `min`, which is {min}: raise it, or lower `min`"
            ),
            Self::CeilingOutside { ceiling, max, .. } => write!(
                f,
                "`ceiling` is {ceiling}, above `max`, which is {max}: lower it, or raise `max`"
            ),
            Self::ZeroStep { option } => {
                write!(f, "`{option}` is 0 and would never change the ceiling: set it to 1 or more")
            }
            Self::PercentOutOfRange { option, percent } => {
                write!(f, "`{option}` is {percent} %: set it to 1 % to 100 %")
            }
            Self::NoClock => f.write_str(
                "a hold needs a clock: set one with `clock`, or set `hold` to zero, or enable \
                 feature `std`",
            ),
        }
    }
}

/// Converts an error that [`acquire`](crate::Limiter::acquire) would have returned as well.
///
/// The exception, given back as the error, is [`TryAcquireError::NoPermits`]: `acquire` would have waited.
///
/// ```
/// use grmgr::{AcquireError, Limiter, TryAcquireError};
///
/// let db = Limiter::new("db", 1);
/// let held = db.try_acquire()?;
/// let busy = db.try_acquire().unwrap_err();
/// assert_eq!(AcquireError::try_from(busy), Err(TryAcquireError::NoPermits));
/// db.close();
/// let closed = db.try_acquire().unwrap_err();
/// assert_eq!(AcquireError::try_from(closed), Ok(AcquireError::Closed));
/// # drop(held);
/// # Ok::<(), TryAcquireError>(())
/// ```
impl TryFrom<TryAcquireError> for AcquireError {
    type Error = TryAcquireError;

    fn try_from(error: TryAcquireError) -> Result<Self, TryAcquireError> {
        match error {
            TryAcquireError::Closed => Ok(Self::Closed),
            TryAcquireError::ExceedsMax { requested, max } => {
                Ok(Self::ExceedsMax { requested, max })
            }
            TryAcquireError::NoPermits => Err(error),
        }
    }
}

impl Error for AcquireError {}
impl Error for TryAcquireError {}
impl Error for ConfigError {}
