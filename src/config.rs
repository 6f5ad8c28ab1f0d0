//! A limiter's settings in one value: made in code, or read from a configuration file.

use core::fmt;
use core::time::Duration;

use alloc::string::String;
use alloc::vec::Vec;

use crate::builder::Builder;
use crate::error::ConfigError;
use crate::limiter::Limiter;
use crate::throttle::{Step, Throttle};

/// Holds a limiter's settings, from code or a file: all options of [`Builder`] except the clock.
///
/// ```
/// use std::time::Duration;
/// use grmgr::{Config, Limiter, Step};
///
/// let config = Config::new("db", 20).max(50).down(Step::Percent(50)).hold(Duration::from_secs(10));
/// let limiter = Limiter::try_from(config)?;
/// assert_eq!(limiter.throttle().max, 50);
/// # Ok::<(), grmgr::InvalidConfig>(())
/// ```
///
/// # In a file
///
/// With feature `serde`. Durations are written for people: `"30s"`, `"1m 30s"`, `"250ms"`; steps as a
/// number or a share, `5` or `"50%"`. A value that cannot be read, or an option that does not exist,
/// is an error that names it; a value that can be read and makes no sense is an [`InvalidConfig`] when
/// the limiter is made. For several limiters in one file there is [`Configs`].
#[cfg_attr(feature = "serde", doc = "```")]
#[cfg_attr(not(feature = "serde"), doc = "```ignore")]
/// use grmgr::{Config, Limiter};
///
/// let config: Config = toml::from_str(r#"
///     name = "db"
///     ceiling = 20
///     max = 50
///     down = "50%"
///     hold = "10s"
/// "#)?;
/// let limiter = Limiter::try_from(config)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(deny_unknown_fields)
)]
#[non_exhaustive]
pub struct Config {
    /// The limiter's name.
    #[cfg_attr(feature = "serde", serde(deserialize_with = "file::named::name"))]
    pub name: String,
    /// See [`Builder::ceiling`].
    #[cfg_attr(feature = "serde", serde(deserialize_with = "file::named::ceiling"))]
    pub ceiling: usize,
    /// See [`Builder::min`].
    #[cfg_attr(
        feature = "serde",
        serde(
            default,
            deserialize_with = "file::named::min",
            skip_serializing_if = "Option::is_none"
        )
    )]
    pub min: Option<usize>,
    /// See [`Builder::max`].
    #[cfg_attr(
        feature = "serde",
        serde(
            default,
            deserialize_with = "file::named::max",
            skip_serializing_if = "Option::is_none"
        )
    )]
    pub max: Option<usize>,
    /// See [`Builder::up`].
    #[cfg_attr(
        feature = "serde",
        serde(
            default,
            deserialize_with = "file::named::up",
            skip_serializing_if = "Option::is_none"
        )
    )]
    pub up: Option<Step>,
    /// See [`Builder::down`].
    #[cfg_attr(
        feature = "serde",
        serde(
            default,
            deserialize_with = "file::named::down",
            skip_serializing_if = "Option::is_none"
        )
    )]
    pub down: Option<Step>,
    /// See [`Builder::hold`].
    #[cfg_attr(
        feature = "serde",
        serde(
            default,
            deserialize_with = "file::named::hold",
            serialize_with = "file::human",
            skip_serializing_if = "Option::is_none"
        )
    )]
    pub hold: Option<Duration>,
    /// See [`Builder::hold_up`]. Takes precedence over `hold`.
    #[cfg_attr(
        feature = "serde",
        serde(
            default,
            deserialize_with = "file::named::hold_up",
            serialize_with = "file::human",
            skip_serializing_if = "Option::is_none"
        )
    )]
    pub hold_up: Option<Duration>,
    /// See [`Builder::hold_down`]. Takes precedence over `hold`.
    #[cfg_attr(
        feature = "serde",
        serde(
            default,
            deserialize_with = "file::named::hold_down",
            serialize_with = "file::human",
            skip_serializing_if = "Option::is_none"
        )
    )]
    pub hold_down: Option<Duration>,
    /// See [`Builder::patience`].
    #[cfg_attr(
        feature = "serde",
        serde(
            default,
            deserialize_with = "file::named::patience",
            skip_serializing_if = "Option::is_none"
        )
    )]
    pub patience: Option<u32>,
    /// See [`Builder::max_waiting`].
    #[cfg_attr(
        feature = "serde",
        serde(
            default,
            deserialize_with = "file::named::max_waiting",
            skip_serializing_if = "Option::is_none"
        )
    )]
    pub max_waiting: Option<usize>,
    /// See [`Builder::run_alone`].
    #[cfg_attr(
        feature = "serde",
        serde(
            default,
            deserialize_with = "file::named::run_alone",
            skip_serializing_if = "Option::is_none"
        )
    )]
    pub run_alone: Option<bool>,
    /// Whether the limiter tracks its holders: see [`Builder::track_holders`] (feature `stats`).
    #[cfg(feature = "stats")]
    #[cfg_attr(
        feature = "serde",
        serde(
            default,
            deserialize_with = "file::named::track_holders",
            skip_serializing_if = "Option::is_none"
        )
    )]
    pub track_holders: Option<bool>,
}

impl Config {
    /// Makes the settings of a limiter; all but its name and ceiling are as [`Builder`] has them.
    pub fn new(name: impl Into<String>, ceiling: usize) -> Self {
        Self {
            name: name.into(),
            ceiling,
            min: None,
            max: None,
            up: None,
            down: None,
            hold: None,
            hold_up: None,
            hold_down: None,
            patience: None,
            max_waiting: None,
            run_alone: None,
            #[cfg(feature = "stats")]
            track_holders: None,
        }
    }

    /// Sets the lowest setting: see [`Builder::min`].
    #[must_use]
    pub fn min(self, min: usize) -> Self {
        Self { min: Some(min), ..self }
    }

    /// Sets the highest setting: see [`Builder::max`].
    #[must_use]
    pub fn max(self, max: usize) -> Self {
        Self { max: Some(max), ..self }
    }

    /// Sets the step up: see [`Builder::up`].
    #[must_use]
    pub fn up(self, up: impl Into<Step>) -> Self {
        Self { up: Some(up.into()), ..self }
    }

    /// Sets the step down: see [`Builder::down`].
    #[must_use]
    pub fn down(self, down: impl Into<Step>) -> Self {
        Self { down: Some(down.into()), ..self }
    }

    /// Sets both holds: see [`Builder::hold`].
    ///
    /// `hold_up` and `hold_down` take precedence over it, in whatever order they are given.
    #[must_use]
    pub fn hold(self, hold: Duration) -> Self {
        Self { hold: Some(hold), ..self }
    }

    /// Sets the hold of steps up: see [`Builder::hold_up`].
    #[must_use]
    pub fn hold_up(self, hold: Duration) -> Self {
        Self { hold_up: Some(hold), ..self }
    }

    /// Sets the hold of steps down: see [`Builder::hold_down`].
    #[must_use]
    pub fn hold_down(self, hold: Duration) -> Self {
        Self { hold_down: Some(hold), ..self }
    }

    /// Sets how often newcomers may overtake the head: see [`Builder::patience`].
    #[must_use]
    pub fn patience(self, patience: u32) -> Self {
        Self { patience: Some(patience), ..self }
    }

    /// Sets how many may wait: see [`Builder::max_waiting`].
    #[must_use]
    pub fn max_waiting(self, max_waiting: usize) -> Self {
        Self { max_waiting: Some(max_waiting), ..self }
    }

    /// Sets whether large requests run alone: see [`Builder::run_alone`].
    #[must_use]
    pub fn run_alone(self, run_alone: bool) -> Self {
        Self { run_alone: Some(run_alone), ..self }
    }

    /// Sets whether the limiter tracks its holders: see [`Builder::track_holders`].
    #[cfg(feature = "stats")]
    #[must_use]
    pub fn track_holders(self, track_holders: bool) -> Self {
        Self { track_holders: Some(track_holders), ..self }
    }

    /// The ceiling and the throttle, if they make sense.
    pub(crate) fn checked(&self) -> Result<(usize, Throttle), InvalidConfig> {
        let checked = Builder::from(self.clone()).checked();
        checked.map_err(|error| InvalidConfig { limiter: self.name.clone(), error })
    }
}

/// Makes a builder with these settings, for instance to give it a clock.
impl From<Config> for Builder {
    fn from(config: Config) -> Self {
        fn set<T>(builder: Builder, with: fn(Builder, T) -> Builder, value: Option<T>) -> Builder {
            match value {
                Some(value) => with(builder, value),
                None => builder,
            }
        }
        let builder = Limiter::builder(config.name).ceiling(config.ceiling);
        let builder = set(builder, Builder::min, config.min);
        let builder = set(builder, Builder::max, config.max);
        let builder = set(builder, Builder::up, config.up);
        let builder = set(builder, Builder::down, config.down);
        let builder = set(builder, Builder::hold, config.hold);
        let builder = set(builder, Builder::hold_up, config.hold_up);
        let builder = set(builder, Builder::hold_down, config.hold_down);
        let builder = set(builder, Builder::patience, config.patience);
        let builder = set(builder, Builder::max_waiting, config.max_waiting);
        let builder = set(builder, Builder::run_alone, config.run_alone);
        #[cfg(feature = "stats")]
        let builder =
            if config.track_holders == Some(true) { builder.track_holders() } else { builder };
        builder
    }
}

impl TryFrom<Config> for Limiter {
    type Error = InvalidConfig;

    fn try_from(config: Config) -> Result<Self, InvalidConfig> {
        let limiter = config.name.clone();
        Builder::from(config).build().map_err(|error| InvalidConfig { limiter, error })
    }
}

/// A [`Config`] makes no sense.
///
/// ```
/// use grmgr::{Config, ConfigError, Limiter};
///
/// let error = Limiter::try_from(Config::new("db", 20).min(30)).unwrap_err();
/// assert_eq!(error.limiter, "db");
/// assert_eq!(error.error, ConfigError::CeilingOutside { ceiling: 20, min: 30, max: 20 });
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct InvalidConfig {
    /// The limiter's name.
    pub limiter: String,
    /// The mistake; it names the option.
    pub error: ConfigError,
}

impl fmt::Display for InvalidConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "limiter {:?}: {}", self.limiter, self.error)
    }
}

impl core::error::Error for InvalidConfig {}

/// Holds the limiters of a configuration file, for [`Registry::apply`](crate::Registry::apply).
///
/// With feature `serde` it reads a list of [`Config`]s as well as a map of them, whose keys are the
/// names; it is written as a list.
#[cfg_attr(feature = "serde", doc = "```")]
#[cfg_attr(not(feature = "serde"), doc = "```ignore")]
/// use grmgr::{Configs, Registry};
///
/// #[derive(serde::Deserialize)]
/// struct File {
///     limiters: Configs,
/// }
///
/// let file: File = toml::from_str(r#"
///     [limiters.db]
///     ceiling = 20
///     down = "50%"
///
///     [limiters.api]
///     ceiling = 8
/// "#)?;
/// let registry = Registry::new();
/// registry.apply(file.limiters)?;
/// assert_eq!(registry.names(), ["api", "db"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(transparent))]
pub struct Configs(
    /// In the order of the file, if it has one.
    pub Vec<Config>,
);

impl IntoIterator for Configs {
    type Item = Config;
    type IntoIter = alloc::vec::IntoIter<Config>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

#[cfg(feature = "serde")]
pub(crate) use file::seconds;

/// Reading and writing.
#[cfg(feature = "serde")]
mod file {
    use core::fmt;
    use core::time::Duration;

    use alloc::string::{String, ToString};
    use alloc::vec::Vec;

    use serde::de::value::{MapAccessDeserializer, StrDeserializer, StringDeserializer};
    use serde::de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::{Config, Configs};
    use crate::throttle::Step;

    /// A duration that programs read, in seconds.
    pub(crate) fn seconds<S: Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_f64(time.as_secs_f64())
    }

    /// A duration that people read and write.
    struct Human(Duration);

    impl<'de> Deserialize<'de> for Human {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            let text = String::deserialize(deserializer)?;
            let explain = |error: &dyn fmt::Display| {
                D::Error::custom(format_args!(
                    "{text:?} is no duration ({error}): write one like \"30s\" or \"1m 30s\""
                ))
            };
            humantime::parse_duration(&text).map(Self).map_err(|error| explain(&error))
        }
    }

    pub(super) fn human<S: Serializer>(
        hold: &Option<Duration>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        hold.map(|hold| humantime::format_duration(hold).to_string()).serialize(serializer)
    }

    /// A number, or a share as text: `5` or `"50%"`.
    impl Serialize for Step {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            match self {
                Self::By(n) => n.serialize(serializer),
                Self::Percent(_) => serializer.collect_str(self),
            }
        }
    }

    impl<'de> Deserialize<'de> for Step {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct StepVisitor;

            impl Visitor<'_> for StepVisitor {
                type Value = Step;

                fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.write_str("a number of permits, or a share of the setting like \"50%\"")
                }

                fn visit_u64<E: serde::de::Error>(self, n: u64) -> Result<Step, E> {
                    // A number too large for this machine is too large for a step, and refused later.
                    Ok(Step::By(usize::try_from(n).unwrap_or(usize::MAX)))
                }

                fn visit_i64<E: serde::de::Error>(self, n: i64) -> Result<Step, E> {
                    let wrong = |_| E::invalid_value(serde::de::Unexpected::Signed(n), &self);
                    u64::try_from(n).map_err(wrong).and_then(|n| self.visit_u64(n))
                }

                fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Step, E> {
                    let percent = text.strip_suffix('%').and_then(|n| n.trim_end().parse().ok());
                    percent
                        .map(Step::Percent)
                        .ok_or_else(|| E::invalid_value(serde::de::Unexpected::Str(text), &self))
                }
            }

            deserializer.deserialize_any(StepVisitor)
        }
    }

    impl<'de> Deserialize<'de> for Configs {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct ConfigsVisitor;

            impl<'de> Visitor<'de> for ConfigsVisitor {
                type Value = Configs;

                fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.write_str("a list of limiters, or a map from their names to their settings")
                }

                fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Configs, A::Error> {
                    let mut configs = Vec::new();
                    while let Some(config) = seq.next_element()? {
                        configs.push(config);
                    }
                    Ok(Configs(configs))
                }

                fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Configs, A::Error> {
                    let mut configs = Vec::new();
                    while let Some(name) = map.next_key::<String>()? {
                        let config = map.next_value_seed(Body(&name)).map_err(|error| {
                            A::Error::custom(format_args!("limiter {name:?}: {error}"))
                        })?;
                        configs.push(config);
                    }
                    Ok(Configs(configs))
                }
            }

            deserializer.deserialize_any(ConfigsVisitor)
        }
    }

    /// The settings of a limiter whose name is known: read as if the name stood before them.
    struct Body<'a>(&'a str);

    impl<'de> DeserializeSeed<'de> for Body<'_> {
        type Value = Config;

        fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Config, D::Error> {
            deserializer.deserialize_map(self)
        }
    }

    impl<'de> Visitor<'de> for Body<'_> {
        type Value = Config;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("the settings of a limiter")
        }

        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Config, A::Error> {
            let name = Some(self.0.into());
            let named = Named { key: true, name, map };
            Config::deserialize(MapAccessDeserializer::new(named))
        }
    }

    struct Named<A> {
        /// Whether the key of the name is still to come.
        key: bool,
        /// Its value, until that has been read.
        name: Option<String>,
        map: A,
    }

    impl<'de, A: MapAccess<'de>> MapAccess<'de> for Named<A> {
        type Error = A::Error;

        fn next_key_seed<K: DeserializeSeed<'de>>(
            &mut self,
            seed: K,
        ) -> Result<Option<K::Value>, A::Error> {
            if core::mem::take(&mut self.key) {
                return seed.deserialize(StrDeserializer::new("name")).map(Some);
            }
            self.map.next_key_seed(seed)
        }

        fn next_value_seed<V: DeserializeSeed<'de>>(
            &mut self,
            seed: V,
        ) -> Result<V::Value, A::Error> {
            match self.name.take() {
                Some(name) => seed.deserialize(StringDeserializer::new(name)),
                None => self.map.next_value_seed(seed),
            }
        }
    }

    /// Reads each field so that an error in it names it, whatever the format.
    pub(super) mod named {
        use super::*;

        fn read<'de, D, T>(field: &str, deserializer: D) -> Result<T, D::Error>
        where
            D: Deserializer<'de>,
            T: Deserialize<'de>,
        {
            T::deserialize(deserializer)
                .map_err(|error| D::Error::custom(format_args!("`{field}`: {error}")))
        }

        macro_rules! fields {
            ($($(#[$meta:meta])* $field:ident: $read:ty => $ty:ty,)*) => {$(
                $(#[$meta])*
                pub(crate) fn $field<'de, D: Deserializer<'de>>(from: D) -> Result<$ty, D::Error> {
                    read::<D, $read>(stringify!($field), from).map(Into::into)
                }
            )*};
        }

        fields! {
            name: String => String,
            ceiling: usize => usize,
            min: usize => Option<usize>,
            max: usize => Option<usize>,
            up: Step => Option<Step>,
            down: Step => Option<Step>,
            hold: Human => Option<Duration>,
            hold_up: Human => Option<Duration>,
            hold_down: Human => Option<Duration>,
            patience: u32 => Option<u32>,
            max_waiting: usize => Option<usize>,
            run_alone: bool => Option<bool>,
            #[cfg(feature = "stats")]
            track_holders: bool => Option<bool>,
        }

        impl From<Human> for Option<Duration> {
            fn from(human: Human) -> Self {
                Some(human.0)
            }
        }
    }
}
