//! Configuration that is loaded, and reloaded while the program runs.

use core::fmt;
use std::collections::BTreeMap;

use alloc::string::String;
use alloc::vec::Vec;

use crate::builder::{Builder, waiting};
use crate::config::{Config, InvalidConfig};
use crate::limiter::Limiter;
use crate::registry::Registry;
use crate::throttle::Adjustment;

/// The cause of what a reload changes.
const RELOAD: &str = "reload";

/// Tells the result of [`Registry::apply`] for one limiter.
///
/// ```
/// use grmgr::{Config, Outcome, Registry};
///
/// let registry = Registry::new();
/// let applied = registry.apply([Config::new("db", 20)])?;
/// assert_eq!((&*applied[0].limiter, &applied[0].outcome), ("db", &Outcome::Registered));
/// # Ok::<(), grmgr::ApplyError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Applied {
    /// The limiter's name.
    pub limiter: String,
    /// What has been done with it.
    pub outcome: Outcome,
}

/// Tells what [`Registry::apply`] has done with a limiter.
///
/// ```
/// use grmgr::{Adjustment, Config, Outcome, Registry};
///
/// let registry = Registry::new();
/// registry.apply([Config::new("db", 20).patience(0)])?;
/// let applied = registry.apply([Config::new("db", 30).patience(5)])?;
/// let Outcome::Reconfigured { setting, fixed } = &applied[0].outcome else { unreachable!() };
/// assert_eq!(setting, &Adjustment::Changed { from: 20, to: 30 });
/// assert_eq!(fixed, &["patience"]);
/// # Ok::<(), grmgr::ApplyError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// The limiter is new, and registered.
    Registered,
    /// The limiter was known, and has the bounds, steps, holds and setting of its entry.
    Reconfigured {
        /// The change of the setting.
        setting: Adjustment,
        /// The options whose values in the entry differ from those that the limiter was made with.
        ///
        /// They cannot be changed while the limiter is in use, and stay as they were.
        fixed: Vec<&'static str>,
    },
    /// The limiter is registered and has no entry. Nothing has been done to it.
    Missing,
}

/// Says why [`Registry::apply`] has changed nothing.
///
/// ```
/// use grmgr::{ApplyError, Config, Registry};
///
/// let registry = Registry::new();
/// let error = registry.apply([Config::new("db", 20), Config::new("db", 30)]).unwrap_err();
/// assert_eq!(error, ApplyError::Twice { limiter: "db".into() });
/// assert!(registry.is_empty());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ApplyError {
    /// An entry makes no sense.
    Invalid(InvalidConfig),
    /// Two entries have one name.
    Twice {
        /// The name.
        limiter: String,
    },
}

/// Loading configuration.
impl Registry {
    /// Makes the limiters agree with the entries: registers new ones and reconfigures known ones.
    ///
    /// For a limiter that is known, an entry sets what [`Limiter::reconfigure`] sets, and the
    /// setting itself to its `ceiling`, also if an operator has moved it meanwhile; in the log of
    /// changes the cause is "reload". Caps stay as they are, and work goes on. An entry says all: an
    /// option that it leaves out gets its default, as when the limiter is made. Options that cannot
    /// be changed while a limiter is in use (`patience`, `max_waiting`, `run_alone`, `track_holders`) stay
    /// as they are. The result [names](Outcome::Reconfigured) those to which an entry gives another value,
    /// but not those that it leaves out.
    ///
    /// Returns one result for each entry, in order, and after them those for the limiters that have
    /// none, which stay as they are.
    ///
    /// If the clock of a limiter panics, the entries after its own have not been applied.
    ///
    /// A limiter that is closed stays closed: [delete](Self::delete) it first to have it made anew.
    ///
    /// # Errors
    ///
    /// An [`ApplyError`], found before anything is changed.
    ///
    /// ```
    /// use grmgr::{Config, Limiter, Registry};
    ///
    /// let registry = Registry::new();
    /// registry.apply([Config::new("db", 20)])?;
    /// let db = registry.get("db").unwrap();
    /// registry.apply([Config::new("db", 30), Config::new("api", 8)])?;
    /// assert_eq!((db.ceiling(), registry.names().len()), (30, 2));
    /// # Ok::<(), grmgr::ApplyError>(())
    /// ```
    pub fn apply(
        &self,
        configs: impl IntoIterator<Item = Config>,
    ) -> Result<Vec<Applied>, ApplyError> {
        let mut checked = Vec::new();
        let mut names = BTreeMap::new();
        for config in configs {
            let (ceiling, throttle) = config.checked().map_err(ApplyError::Invalid)?;
            if names.insert(config.name.clone(), ()).is_some() {
                return Err(ApplyError::Twice { limiter: config.name });
            }
            checked.push((config, ceiling, throttle));
        }
        let missing = self.names().into_iter().filter(|name| !names.contains_key(name));
        let missing: Vec<_> = missing.collect();

        let mut applied = Vec::new();
        for (config, ceiling, throttle) in checked {
            let limiter = config.name.clone();
            // Another thread may register or remove a limiter of this name in between.
            let outcome = loop {
                if let Some(known) = self.get(&config.name) {
                    let setting = known.replace_throttle(throttle, Some(ceiling), RELOAD);
                    break Outcome::Reconfigured { setting, fixed: known.fixed(&config) };
                }
                let new = Builder::from(config.clone()).build().expect("checked");
                if self.register(new).is_ok() {
                    break Outcome::Registered;
                }
            };
            applied.push(Applied { limiter, outcome });
        }
        let gone = |limiter| Applied { limiter, outcome: Outcome::Missing };
        applied.extend(missing.into_iter().map(gone));
        Ok(applied)
    }
}

impl Limiter {
    /// The options that cannot be changed and to which an entry gives other values.
    fn fixed(&self, config: &Config) -> Vec<&'static str> {
        let waiting = config.max_waiting.map(waiting);
        let differs = [
            ("patience", config.patience.is_some_and(|patience| patience != self.cell.patience)),
            ("max_waiting", waiting.is_some_and(|waiting| waiting != self.cell.max_waiting)),
            ("run_alone", config.run_alone.is_some_and(|alone| alone != self.cell.runs_alone())),
            #[cfg(feature = "stats")]
            ("track_holders", config.track_holders.is_some_and(|on| on != self.tracks_holders())),
        ];
        differs.into_iter().filter_map(|(option, differs)| differs.then_some(option)).collect()
    }
}

impl fmt::Display for ApplyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(invalid) => write!(f, "nothing has changed: {invalid}"),
            Self::Twice { limiter } => write!(
                f,
                "nothing has changed: limiter {limiter:?} has two entries: remove one of them"
            ),
        }
    }
}

impl core::error::Error for ApplyError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Invalid(invalid) => Some(&invalid.error),
            Self::Twice { .. } => None,
        }
    }
}
