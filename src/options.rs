//! The options of a limiter in a `static`.

use core::time::Duration;

use crate::builder::waiting;
use crate::limiter::Limiter;
use crate::sync::atomic::AtomicU32;
use crate::throttle::{Rule, Step, Throttle};

/// Replaces the rule. `$refused` is the compiler's message if the new one makes no sense. (A macro,
/// because a `const fn` can neither call a closure nor look into an atomic that it does not own.)
macro_rules! replace_rule {
    ($limiter:ident, |$throttle:ident| $new:expr, $refused:literal) => {{
        let $throttle = $limiter.hands.rule.into_throttle();
        let throttle: Throttle = $new;
        let ceiling = $limiter.hands.setting.into_inner();
        let within = throttle.min <= ceiling as usize && ceiling as usize <= throttle.max;
        assert!(within && throttle.check().is_ok(), $refused);
        $limiter.hands.setting = AtomicU32::new(ceiling);
        $limiter.hands.rule = Rule::new(throttle);
        let alone_above = $limiter.cell.alone_above.into_inner();
        let alone_above = if alone_above == 0 { 0 } else { throttle.max as u32 };
        $limiter.cell.alone_above = AtomicU32::new(alone_above);
        $limiter
    }};
}

/// Options for a `static`.
///
/// Each is a `const fn` that takes the limiter and returns it, and does what the option of that name does
/// in a [`Builder`](crate::Builder). They are for a limiter that has not been used yet. Their order makes
/// no difference, but `with_hold` sets both holds. In a constant, a value that the builder refuses does
/// not compile.
///
/// ```
/// use std::time::Duration;
/// use grmgr::{Limiter, Step};
///
/// static DB: Limiter = Limiter::const_new("db", 20)
///     .with_min(5)
///     .with_max(50)
///     .with_down(Step::Percent(50))
///     .with_hold_down(Duration::from_secs(5))
///     .with_max_waiting(1_000);
///
/// assert_eq!((DB.ceiling(), DB.throttle().min), (20, 5));
/// ```
impl Limiter {
    /// Sets the lowest setting: see [`Builder::min`](crate::Builder::min).
    ///
    /// # Panics
    ///
    /// If it is above the ceiling.
    #[must_use]
    #[track_caller]
    pub const fn with_min(mut self, min: usize) -> Self {
        replace_rule!(
            self,
            |throttle| throttle.min(min),
            "`with_min` is above the ceiling: lower it, or raise the ceiling in `const_new`"
        )
    }

    /// Sets the highest setting: see [`Builder::max`](crate::Builder::max).
    ///
    /// # Panics
    ///
    /// If it is below the ceiling, or above [`MAX_CEILING`](Self::MAX_CEILING).
    #[must_use]
    #[track_caller]
    pub const fn with_max(mut self, max: usize) -> Self {
        replace_rule!(
            self,
            |throttle| throttle.max(max),
            "`with_max` has to be between the ceiling in `const_new` and Limiter::MAX_CEILING"
        )
    }

    /// Sets the step up: see [`Builder::up`](crate::Builder::up).
    ///
    /// # Panics
    ///
    /// If it is of 0, or of more than [`MAX_CEILING`](Self::MAX_CEILING) or 100 %.
    #[must_use]
    #[track_caller]
    pub const fn with_up(mut self, up: Step) -> Self {
        replace_rule!(
            self,
            |throttle| Throttle { up, ..throttle },
            "`with_up` has to be a step of 1 to Limiter::MAX_CEILING, or of 1 to 100 percent"
        )
    }

    /// Sets the step down: see [`Builder::down`](crate::Builder::down).
    ///
    /// # Panics
    ///
    /// If it is of 0, or of more than [`MAX_CEILING`](Self::MAX_CEILING) or 100 %.
    #[must_use]
    #[track_caller]
    pub const fn with_down(mut self, down: Step) -> Self {
        replace_rule!(
            self,
            |throttle| Throttle { down, ..throttle },
            "`with_down` has to be a step of 1 to Limiter::MAX_CEILING, or of 1 to 100 percent"
        )
    }

    /// Sets both holds: see [`Builder::hold`](crate::Builder::hold).
    #[must_use]
    pub const fn with_hold(self, hold: Duration) -> Self {
        self.with_hold_up(hold).with_hold_down(hold)
    }

    /// Sets the hold of steps up: see [`Builder::hold_up`](crate::Builder::hold_up).
    #[must_use]
    pub const fn with_hold_up(mut self, hold: Duration) -> Self {
        self.hands.rule = Rule::new(self.hands.rule.into_throttle().hold_up(hold));
        self
    }

    /// Sets the hold of steps down: see [`Builder::hold_down`](crate::Builder::hold_down).
    #[must_use]
    pub const fn with_hold_down(mut self, hold: Duration) -> Self {
        self.hands.rule = Rule::new(self.hands.rule.into_throttle().hold_down(hold));
        self
    }

    /// Sets how often newcomers may overtake: see [`Builder::patience`](crate::Builder::patience).
    #[must_use]
    pub const fn with_patience(mut self, patience: u32) -> Self {
        self.cell.patience = patience;
        self
    }

    /// Sets whether large requests run alone: see [`Builder::run_alone`](crate::Builder::run_alone).
    #[must_use]
    pub const fn with_run_alone(mut self, run_alone: bool) -> Self {
        let throttle = self.hands.rule.into_throttle();
        self.hands.rule = Rule::new(throttle);
        let alone_above = if run_alone { 0 } else { throttle.max as u32 };
        self.cell.alone_above = AtomicU32::new(alone_above);
        self
    }

    /// Sets how many may wait: see [`Builder::max_waiting`](crate::Builder::max_waiting).
    #[must_use]
    pub const fn with_max_waiting(mut self, max_waiting: usize) -> Self {
        self.cell.max_waiting = waiting(max_waiting);
        self
    }

    /// Tracks the holders of permits: see [`Builder::track_holders`](crate::Builder::track_holders).
    #[cfg(feature = "stats")]
    #[must_use]
    pub const fn with_track_holders(self) -> Self {
        self.tracked()
    }
}
