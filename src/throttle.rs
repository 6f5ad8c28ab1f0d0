//! How far and how often the setting of a ceiling may move: bounds, steps, and the holds after a
//! change.

use core::fmt;
use core::str::FromStr;
use core::time::Duration;

use alloc::string::String;

use crate::clock::nanos;
use crate::error::ConfigError;
use crate::state::MAX_COUNT;
use crate::sync::atomic::{AtomicU64, Ordering::Relaxed};
use crate::sync::const_unless_loom;

/// Tells by how much a step moves the setting.
///
/// ```
/// use grmgr::{Limiter, Step};
///
/// let limiter = Limiter::builder("db").ceiling(20).up(1).down(Step::Percent(50)).build()?;
/// let _ = limiter.down();
/// assert_eq!(limiter.setting(), 10);
/// # Ok::<(), grmgr::ConfigError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step {
    /// By this many permits: 1 to [`Limiter::MAX_CEILING`](crate::Limiter::MAX_CEILING).
    By(usize),
    /// By this share of the present setting, 1 % to 100 %.
    ///
    /// Rounded down to whole permits, and at least one.
    Percent(u8),
}

/// Holds the rule by which a limiter's setting moves; see [`Limiter::reconfigure`].
///
/// It is made with [`new`](Self::new), or taken from a limiter, and changed with the methods named
/// as its fields. Values that make no sense are refused when the rule is put to use.
///
/// ```
/// use std::time::Duration;
/// use grmgr::{Limiter, Step, Throttle};
///
/// let throttle = Throttle::new(20).min(5).down(Step::Percent(50)).hold_down(Duration::ZERO);
/// let limiter = Limiter::new("db", 10);
/// limiter.reconfigure(throttle)?;
/// assert_eq!(limiter.throttle().max, 20);
/// # Ok::<(), grmgr::ConfigError>(())
/// ```
///
/// [`Limiter::reconfigure`]: crate::Limiter::reconfigure
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Throttle {
    /// The lowest setting.
    pub min: usize,
    /// The highest setting, and the most permits that one request may ask for.
    pub max: usize,
    /// By how much [`Limiter::up`](crate::Limiter::up) raises the setting.
    pub up: Step,
    /// By how much [`Limiter::down`](crate::Limiter::down) lowers the setting.
    pub down: Step,
    /// For how long after a change a step up is refused.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::config::seconds"))]
    pub hold_up: Duration,
    /// For how long after a change a step down is refused.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::config::seconds"))]
    pub hold_down: Duration,
}

/// A change to be made to a setting: `up`, `down` or a number, also when it is read from text.
///
/// ```
/// use grmgr::Adjust;
///
/// assert_eq!("up".parse(), Ok(Adjust::Up));
/// assert_eq!("12".parse(), Ok(Adjust::To(12)));
/// assert_eq!(Adjust::To(12).to_string(), "12");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Adjust {
    /// One step up, unless the last change holds it back.
    Up,
    /// One step down, unless the last change holds it back.
    Down,
    /// To this value, clamped to the bounds. No hold applies to it, but it begins holds as any change does.
    To(usize),
}

/// Tells the result of a change of the setting, or of a [cap](crate::Cap).
///
/// ```
/// use grmgr::{Adjustment, Limiter};
///
/// let db = Limiter::new("db", 20);
/// assert_eq!(db.down(), Adjustment::Changed { from: 20, to: 18 });
/// match db.down() {
///     Adjustment::Held { remaining } => println!("not yet: wait another {remaining:?}"),
///     other => println!("{other}"),
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Adjustment {
    /// It has moved.
    Changed {
        /// The value before.
        from: usize,
        /// The value now.
        to: usize,
    },
    /// Refused: the last change still holds such a step back. The refusal does not restart the hold.
    Held {
        /// How long it will be held back.
        #[cfg_attr(feature = "serde", serde(serialize_with = "crate::config::seconds"))]
        remaining: Duration,
    },
    /// It is there already, or at its bound.
    Unchanged {
        /// The value.
        ceiling: usize,
    },
}

/// A text could not be read as an [`Adjust`].
///
/// ```
/// use grmgr::{Adjust, ParseAdjustError};
///
/// let error: ParseAdjustError = "upwards".parse::<Adjust>().unwrap_err();
/// assert!(error.to_string().starts_with("\"upwards\" is no change of a ceiling: write `up`, "));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseAdjustError {
    text: String,
}

impl From<usize> for Step {
    fn from(n: usize) -> Self {
        Self::By(n)
    }
}

impl Step {
    const PERCENT: u32 = 1 << 31;

    /// Returns how many permits that is at a setting.
    ///
    /// ```
    /// # use grmgr::Step;
    /// assert_eq!((Step::By(5).of(15), Step::Percent(50).of(15)), (5, 7));
    /// ```
    pub fn of(self, setting: usize) -> usize {
        match self {
            Self::By(n) => n,
            Self::Percent(percent) => {
                let permits = (setting as u128 * u128::from(percent) / 100).max(1);
                // A share above 100 % is refused where it is put to use, and must not overflow here.
                usize::try_from(permits).unwrap_or(usize::MAX)
            }
        }
    }

    const fn check(self, option: &'static str) -> Result<(), ConfigError> {
        match self {
            Self::By(0) => Err(ConfigError::ZeroStep { option }),
            Self::By(value) if value > MAX_COUNT => Err(ConfigError::OutOfRange { option, value }),
            Self::Percent(percent) if percent == 0 || percent > 100 => {
                Err(ConfigError::PercentOutOfRange { option, percent })
            }
            _ => Ok(()),
        }
    }

    const fn pack(self) -> u32 {
        match self {
            Self::By(n) => n as u32,
            Self::Percent(percent) => Self::PERCENT | percent as u32,
        }
    }

    const fn unpack(packed: u32) -> Self {
        if packed & Self::PERCENT == 0 {
            Self::By(packed as usize)
        } else {
            Self::Percent(packed as u8)
        }
    }
}

impl Throttle {
    /// Makes the rule of a limiter with this ceiling and no options.
    ///
    /// Settings from 1 to `ceiling`, 1 up, 2 down, holds of 30 s, as `Limiter::new` has them.
    pub const fn new(ceiling: usize) -> Self {
        let hold = Duration::from_secs(30);
        let (up, down) = (Step::By(1), Step::By(2));
        Self { min: 1, max: ceiling, up, down, hold_up: hold, hold_down: hold }
    }

    /// Replaces the lowest setting. With 0 it can be lowered to where nothing is granted.
    #[must_use]
    pub const fn min(self, min: usize) -> Self {
        Self { min, ..self }
    }

    /// Replaces the highest setting: 1 to [`MAX_CEILING`](crate::Limiter::MAX_CEILING).
    #[must_use]
    pub const fn max(self, max: usize) -> Self {
        Self { max, ..self }
    }

    /// Replaces the step up.
    #[must_use]
    pub fn up(self, up: impl Into<Step>) -> Self {
        Self { up: up.into(), ..self }
    }

    /// Replaces the step down.
    #[must_use]
    pub fn down(self, down: impl Into<Step>) -> Self {
        Self { down: down.into(), ..self }
    }

    /// Replaces both holds. Zero: no hold.
    #[must_use]
    pub const fn hold(self, hold: Duration) -> Self {
        Self { hold_up: hold, hold_down: hold, ..self }
    }

    /// Replaces the hold of steps up. Zero: no hold.
    #[must_use]
    pub const fn hold_up(self, hold_up: Duration) -> Self {
        Self { hold_up, ..self }
    }

    /// Replaces the hold of steps down. With zero a step down is never held back.
    #[must_use]
    pub const fn hold_down(self, hold_down: Duration) -> Self {
        Self { hold_down, ..self }
    }

    pub(crate) const fn check(&self) -> Result<(), ConfigError> {
        let Self { min, max, up, down, .. } = *self;
        if min > MAX_COUNT {
            return Err(ConfigError::OutOfRange { option: "min", value: min });
        }
        if max > MAX_COUNT || max == 0 {
            return Err(ConfigError::OutOfRange { option: "max", value: max });
        }
        if let Err(error) = up.check("up") {
            return Err(error);
        }
        if let Err(error) = down.check("down") {
            return Err(error);
        }
        if min > max {
            return Err(ConfigError::MinAboveMax { min, max });
        }
        Ok(())
    }

    pub(crate) const fn has_holds(&self) -> bool {
        !(self.hold_up.is_zero() && self.hold_down.is_zero())
    }

    /// Returns the setting that `adjust` makes of `setting`, if no hold is in the way.
    ///
    /// ```
    /// use grmgr::{Adjust, Step, Throttle};
    ///
    /// let throttle = Throttle::new(20).down(Step::Percent(50));
    /// assert_eq!(throttle.next(15, Adjust::Down), 8);
    /// assert_eq!(throttle.next(20, Adjust::Up), 20);
    /// ```
    pub fn next(&self, setting: usize, adjust: Adjust) -> usize {
        // I8.
        let wanted = match adjust {
            Adjust::Up => setting.saturating_add(self.up.of(setting)),
            Adjust::Down => setting.saturating_sub(self.down.of(setting)),
            Adjust::To(wanted) => wanted,
        };
        // Not `clamp`, which panics at bounds that have not been checked.
        wanted.min(self.max).max(self.min)
    }
}

/// The throttle in force, which may be replaced while it is read, and the time of the last change (I7).
///
/// All is Relaxed. Only the hand that has the [turn](crate::caps) writes, and decides by it; the turn
/// orders that. All others read it to report or to refuse, and the two bounds, which must belong together,
/// are in one word.
#[derive(Debug)]
pub(crate) struct Rule {
    /// `max`, `min`.
    bounds: AtomicU64,
    /// `up`, `down`.
    steps: AtomicU64,
    /// In nanoseconds; `u64::MAX` for good.
    hold_up: AtomicU64,
    hold_down: AtomicU64,
    /// The time of the last change in nanoseconds of the limiter's clock, and one more. 0: never.
    changed: AtomicU64,
}

impl Rule {
    const_unless_loom! {
        pub(crate) fn new(throttle: Throttle) -> Self {
            Self {
                bounds: AtomicU64::new(pair(throttle.max as u32, throttle.min as u32)),
                steps: AtomicU64::new(pair(throttle.up.pack(), throttle.down.pack())),
                hold_up: AtomicU64::new(nanos(throttle.hold_up)),
                hold_down: AtomicU64::new(nanos(throttle.hold_down)),
                changed: AtomicU64::new(0),
            }
        }
    }

    #[inline]
    pub(crate) fn max(&self) -> usize {
        halves(self.bounds.load(Relaxed)).0 as usize
    }

    pub(crate) fn read(&self) -> Throttle {
        unpack([&self.bounds, &self.steps, &self.hold_up, &self.hold_down].map(|a| a.load(Relaxed)))
    }

    /// The throttle of a limiter that is not in use yet.
    #[cfg(all(feature = "std", not(any(loom, shuttle))))]
    pub(crate) const fn into_throttle(self) -> Throttle {
        unpack([
            self.bounds.into_inner(),
            self.steps.into_inner(),
            self.hold_up.into_inner(),
            self.hold_down.into_inner(),
        ])
    }

    /// Puts another throttle in force. In a turn.
    pub(crate) fn replace(&self, throttle: Throttle) {
        self.bounds.store(pair(throttle.max as u32, throttle.min as u32), Relaxed);
        self.steps.store(pair(throttle.up.pack(), throttle.down.pack()), Relaxed);
        self.hold_up.store(nanos(throttle.hold_up), Relaxed);
        self.hold_down.store(nanos(throttle.hold_down), Relaxed);
    }

    /// Decides what becomes of a setting, and claims the window between two changes if it moves (I7, I8).
    /// In a turn.
    ///
    /// The claim comes last, so none has to be given back: a step that is held back, or that finds the
    /// setting where it would put it, has claimed nothing.
    pub(crate) fn adjust(&self, from: usize, adjust: Adjust, now: Duration) -> Adjustment {
        let to = self.read().next(from, adjust);
        if to == from {
            return Adjustment::Unchanged { ceiling: from };
        }
        let (up, down) = self.remaining(now);
        let remaining = match adjust {
            Adjust::Up => up,
            Adjust::Down => down,
            Adjust::To(_) => Duration::ZERO,
        };
        if !remaining.is_zero() {
            return Adjustment::Held { remaining };
        }
        self.claim(now);
        Adjustment::Changed { from, to }
    }

    /// How long the last change holds back steps up, and steps down.
    pub(crate) fn remaining(&self, now: Duration) -> (Duration, Duration) {
        let changed = self.changed.load(Relaxed);
        let remaining = |hold: &AtomicU64| {
            let hold = hold.load(Relaxed);
            // Without a hold there is none to lengthen by a clock that goes backwards.
            if changed == 0 || hold == 0 {
                return Duration::ZERO;
            }
            let end = (changed - 1).saturating_add(hold);
            Duration::from_nanos(end.saturating_sub(nanos(now)))
        };
        (remaining(&self.hold_up), remaining(&self.hold_down))
    }

    /// Begins the holds at `now`. The clock was asked before the turn came: a change that was made
    /// meanwhile may be of a later time, and its holds must last as long.
    fn claim(&self, now: Duration) {
        self.changed.fetch_max(nanos(now).saturating_add(1), Relaxed);
    }
}

const fn pair(high: u32, low: u32) -> u64 {
    (high as u64) << 32 | low as u64
}

const fn halves(pair: u64) -> (u32, u32) {
    ((pair >> 32) as u32, pair as u32)
}

const fn unpack([bounds, steps, hold_up, hold_down]: [u64; 4]) -> Throttle {
    let ((max, min), (up, down)) = (halves(bounds), halves(steps));
    Throttle {
        min: min as usize,
        max: max as usize,
        up: Step::unpack(up),
        down: Step::unpack(down),
        hold_up: hold(hold_up),
        hold_down: hold(hold_down),
    }
}

const fn hold(nanos: u64) -> Duration {
    if nanos == u64::MAX { Duration::MAX } else { Duration::from_nanos(nanos) }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::By(n) => write!(f, "{n}"),
            Self::Percent(percent) => write!(f, "{percent}%"),
        }
    }
}

impl fmt::Display for Adjust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Up => f.write_str("up"),
            Self::Down => f.write_str("down"),
            Self::To(ceiling) => write!(f, "{ceiling}"),
        }
    }
}

impl fmt::Display for Adjustment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Changed { from, to } if from < to => write!(f, "raised from {from} to {to}"),
            Self::Changed { from, to } => write!(f, "lowered from {from} to {to}"),
            Self::Held { remaining } => write!(f, "held for another {remaining:?}"),
            Self::Unchanged { ceiling } => write!(f, "unchanged at {ceiling}"),
        }
    }
}

impl FromStr for Adjust {
    type Err = ParseAdjustError;

    fn from_str(text: &str) -> Result<Self, ParseAdjustError> {
        match text {
            "up" => Ok(Self::Up),
            "down" => Ok(Self::Down),
            // A number with a sign looks like a step.
            _ if text.starts_with(|first: char| first.is_ascii_digit()) => {
                text.parse().map(Self::To).map_err(|_| ParseAdjustError { text: text.into() })
            }
            _ => Err(ParseAdjustError { text: text.into() }),
        }
    }
}

impl fmt::Display for ParseAdjustError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} is no change of a ceiling: write `up`, `down`, or the ceiling that is wanted, \
             as in `12`",
            self.text
        )
    }
}

impl core::error::Error for ParseAdjustError {}
