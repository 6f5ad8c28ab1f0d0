//! Reading a limiter: its snapshot, and its values one by one.

use core::time::Duration;

use alloc::borrow::Cow;
#[cfg(feature = "std")]
use alloc::vec::Vec;

use crate::limiter::Limiter;
#[cfg(feature = "stats")]
use crate::stats::{Change, Holder, Holders, Stats};
use crate::throttle::Throttle;

/// Shows a limiter at one moment.
///
/// `in_flight`, `ceiling`, `setting`, `caps`, the bounds, `paused` and `closed` belong together; the rest
/// may be a little older or newer. Serialised (feature `serde`), times are in seconds.
///
/// ```
/// # use grmgr::Limiter;
/// let db = Limiter::new("db", 20);
/// let permit = db.try_acquire()?;
/// let snapshot = db.snapshot();
/// assert_eq!((snapshot.in_flight, snapshot.ceiling, snapshot.waiting), (1, 20, 0));
/// # drop(permit);
/// # Ok::<(), grmgr::TryAcquireError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Snapshot {
    /// The limiter's name.
    pub name: Cow<'static, str>,
    /// Permits in flight: in guards, forgotten, or handed to a request that has not seen them yet.
    ///
    /// There may be more than the ceiling after it was lowered.
    pub in_flight: usize,
    /// The ceiling in force: the lowest of the setting and all caps.
    pub ceiling: usize,
    /// The value that steps and absolute changes move, between `min` and `max`.
    pub setting: usize,
    /// The caps that are set, each with its cause: see [`Limiter::caps`].
    #[cfg(feature = "std")]
    pub caps: Vec<(Cow<'static, str>, usize)>,
    /// The lowest setting.
    pub min: usize,
    /// The highest setting.
    pub max: usize,
    /// Requests that wait.
    pub waiting: usize,
    /// Whether it is closed.
    pub closed: bool,
    /// Whether it is paused.
    pub paused: bool,
    /// For how long steps up are refused.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::config::seconds"))]
    pub hold_up_remaining: Duration,
    /// For how long steps down are refused.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::config::seconds"))]
    pub hold_down_remaining: Duration,
    /// Its counters.
    #[cfg(feature = "stats")]
    pub stats: Stats,
    /// For how long the oldest holder has had its permits.
    ///
    /// `None` if there is none, or the limiter does not
    /// [track its holders](crate::Builder::track_holders).
    #[cfg(feature = "stats")]
    pub oldest_held: Option<Duration>,
}

#[cfg(feature = "std")]
impl Snapshot {
    /// Returns the cause of the cap that keeps the ceiling below the setting, if one does.
    ///
    /// Of several caps, the lowest. `None`: the setting itself binds.
    ///
    /// ```
    /// # use grmgr::Limiter;
    /// let db = Limiter::new("db", 20);
    /// let pressure = db.cap("pressure")?;
    /// assert_eq!(db.snapshot().bound_by(), None);
    /// pressure.set(5);
    /// assert_eq!(db.snapshot().bound_by(), Some("pressure"));
    /// # Ok::<(), grmgr::TooManyCaps>(())
    /// ```
    pub fn bound_by(&self) -> Option<&str> {
        let lowest = self.caps.iter().min_by_key(|(_, at)| *at)?;
        (lowest.1 < self.setting).then_some(&lowest.0)
    }
}

/// Reading it.
impl Limiter {
    /// Returns its name, which may be any text.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the ceiling in force: the lowest of the [setting](Self::setting) and all caps.
    ///
    /// See [`cap`](Self::cap). A pause does not change it.
    ///
    /// ```
    /// # use grmgr::Limiter;
    /// let db = Limiter::new("db", 20);
    /// let pressure = db.cap("pressure")?;
    /// pressure.set(5);
    /// assert_eq!((db.ceiling(), db.setting()), (5, 20));
    /// # Ok::<(), grmgr::TooManyCaps>(())
    /// ```
    pub fn ceiling(&self) -> usize {
        self.end_terms_if_any();
        match self.cell.word.load().ceiling() {
            // Perhaps only because it is paused. In a turn, because the lowest of hands that move while
            // they are read may never have been in force.
            0 => {
                let _turn = self.hands.turn();
                self.hands.lowest()
            }
            ceiling => ceiling,
        }
    }

    /// Returns the setting, between `min` and `max`: the ceiling, but for caps.
    ///
    /// [`up`](Self::up), [`down`](Self::down), [`set_ceiling`](Self::set_ceiling) and
    /// [`adjust`](Self::adjust) move it.
    pub fn setting(&self) -> usize {
        self.hands.setting()
    }

    /// Returns the permits in flight: in guards, forgotten, or on their way to a waiter.
    ///
    /// There may be more than the ceiling after it was lowered.
    pub fn in_flight(&self) -> usize {
        self.cell.word.load().in_flight()
    }

    /// Returns the ceiling less the permits in flight.
    ///
    /// A request may be refused one of them while they are kept for the head of the line, or while the
    /// limiter is paused.
    pub fn available(&self) -> usize {
        self.ceiling().saturating_sub(self.in_flight())
    }

    /// Returns how many requests have begun to wait and have neither been answered nor dropped.
    pub fn waiting(&self) -> usize {
        self.cell.waiting()
    }

    /// Returns whether a request above the ceiling, but not above `max`, runs alone.
    ///
    /// See [`run_alone`](crate::Builder::run_alone). Only with feature `std`.
    ///
    /// ```
    /// # use grmgr::Limiter;
    /// assert!(Limiter::new("db", 20).runs_alone());
    /// assert!(!Limiter::builder("db").ceiling(20).run_alone(false).build()?.runs_alone());
    /// # Ok::<(), grmgr::ConfigError>(())
    /// ```
    #[cfg(feature = "std")]
    pub fn runs_alone(&self) -> bool {
        self.cell.runs_alone()
    }

    /// Returns the rule by which its setting moves.
    pub fn throttle(&self) -> Throttle {
        let _turn = self.hands.turn();
        self.hands.rule.read()
    }

    /// Takes a snapshot: all values of one moment.
    pub fn snapshot(&self) -> Snapshot {
        // The clock first: nothing calls out in a turn.
        let now = self.now().unwrap_or_default();
        self.end_terms_if_any();
        let turn = self.hands.turn();
        let word = self.cell.word.load();
        let (setting, ceiling) = (self.hands.setting(), self.hands.lowest());
        let Throttle { min, max, .. } = self.hands.rule.read();
        let (hold_up_remaining, hold_down_remaining) = self.hands.rule.remaining(now);
        let paused = self.hands.is_paused();
        #[cfg(feature = "std")]
        let caps = turn.caps();
        drop(turn);
        Snapshot {
            name: self.name.clone(),
            in_flight: word.in_flight(),
            ceiling,
            setting,
            #[cfg(feature = "std")]
            caps,
            min,
            max,
            waiting: self.waiting(),
            closed: word.is_closed(),
            paused,
            hold_up_remaining,
            hold_down_remaining,
            #[cfg(feature = "stats")]
            stats: self.counters.read(self.cell.handed(), self.tracked_holders()),
            #[cfg(feature = "stats")]
            oldest_held: self
                .tracked_holders()
                .and_then(Holders::oldest)
                .map(|since| now.saturating_sub(since)),
        }
    }

    /// Returns the last 64 changes of the setting and of caps, the oldest first.
    ///
    /// ```
    /// # use grmgr::{Adjust, Limiter};
    /// let db = Limiter::new("db", 20);
    /// let _ = db.adjust(Adjust::Down, "replica is down");
    /// let changes = db.changes();
    /// assert_eq!((changes[0].from, changes[0].to), (20, 18));
    /// assert_eq!(changes[0].cause, "replica is down");
    /// ```
    #[cfg(feature = "stats")]
    pub fn changes(&self) -> alloc::vec::Vec<Change> {
        self.counters.changes()
    }

    /// Returns the holders of permits, the oldest first.
    ///
    /// Only of a limiter that [tracks its holders](crate::Builder::track_holders); empty otherwise.
    /// A guard is a holder; so is the part that is [split](crate::PermitOf::split) off one, with the
    /// same label and age. A guard that takes over another's permits keeps its label and is as old as
    /// the older of the two. Forgotten permits are held until [`done`](Self::done), which gives back
    /// those first that were forgotten first. A permit on its way to a waiter has no holder yet.
    ///
    /// ```
    /// use std::time::Duration;
    /// use grmgr::{Limiter, ManualClock};
    ///
    /// let clock = ManualClock::new();
    /// let limiter =
    ///     Limiter::builder("db").ceiling(2).track_holders().clock(clock.clone()).build()?;
    /// let _permit = limiter.try_acquire().unwrap();
    /// clock.advance(Duration::from_secs(60));
    /// assert_eq!(limiter.holders()[0].held_for, Duration::from_secs(60));
    /// # Ok::<(), grmgr::ConfigError>(())
    /// ```
    #[cfg(feature = "stats")]
    pub fn holders(&self) -> alloc::vec::Vec<Holder> {
        let holders = |holders: &Holders| holders.list(self.now().unwrap_or_default());
        self.tracked_holders().map(holders).unwrap_or_default()
    }

    /// Returns whether the limiter [tracks its holders](crate::Builder::track_holders).
    ///
    /// For a label that costs something to make: where holders are not tracked, none is needed.
    ///
    /// ```
    /// # use grmgr::Limiter;
    /// # let path = "/export";
    /// let requests = Limiter::builder("requests").ceiling(20).track_holders().build()?;
    /// let mut permit = requests.try_acquire().unwrap();
    /// if requests.tracks_holders() {
    ///     permit.set_label(format!("GET {path}"));
    /// }
    /// assert_eq!(requests.holders()[0].label, "GET /export");
    /// # Ok::<(), grmgr::ConfigError>(())
    /// ```
    #[cfg(feature = "stats")]
    #[inline]
    pub fn tracks_holders(&self) -> bool {
        self.holders.is_some()
    }
}
