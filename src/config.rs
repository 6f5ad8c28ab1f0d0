//! A limiter's settings as they stand in a configuration file.

use core::fmt;
use core::time::Duration;

use alloc::string::{String, ToString};

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{Builder, ConfigError, Limiter};

/// What a configuration file may say of a limiter: the options of [`Builder`], but the clock.
///
/// Durations are written for people: `"30s"`, `"1m 30s"`, `"250ms"`. A value that cannot be read,
/// or an option that does not exist, is an error that names it; one that can be read and makes no
/// sense is a [`ConfigError`] when the limiter is made.
///
/// ```
/// use grmgr::{Config, Limiter};
///
/// let config: Config = toml::from_str(r#"
///     name = "db"
///     ceiling = 20
///     max = 50
///     hold = "10s"
/// "#)?;
/// let limiter = Limiter::try_from(config)?;
/// assert_eq!(limiter.throttle().max, 50);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Config {
    /// The limiter's name.
    #[serde(deserialize_with = "named::name")]
    pub name: String,
    /// See [`Builder::ceiling`].
    #[serde(deserialize_with = "named::ceiling")]
    pub ceiling: usize,
    /// See [`Builder::min`].
    #[serde(default, deserialize_with = "named::min", skip_serializing_if = "Option::is_none")]
    pub min: Option<usize>,
    /// See [`Builder::max`].
    #[serde(default, deserialize_with = "named::max", skip_serializing_if = "Option::is_none")]
    pub max: Option<usize>,
    /// See [`Builder::up`].
    #[serde(default, deserialize_with = "named::up", skip_serializing_if = "Option::is_none")]
    pub up: Option<usize>,
    /// See [`Builder::down`].
    #[serde(default, deserialize_with = "named::down", skip_serializing_if = "Option::is_none")]
    pub down: Option<usize>,
    /// See [`Builder::hold`].
    #[serde(
        default,
        deserialize_with = "named::hold",
        serialize_with = "human",
        skip_serializing_if = "Option::is_none"
    )]
    pub hold: Option<Duration>,
    /// See [`Builder::patience`].
    #[serde(
        default,
        deserialize_with = "named::patience",
        skip_serializing_if = "Option::is_none"
    )]
    pub patience: Option<u32>,
    /// See [`Builder::max_waiting`].
    #[serde(
        default,
        deserialize_with = "named::max_waiting",
        skip_serializing_if = "Option::is_none"
    )]
    pub max_waiting: Option<usize>,
}

/// A builder with these settings, to give it a clock, say.
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
        let builder = set(builder, Builder::patience, config.patience);
        set(builder, Builder::max_waiting, config.max_waiting)
    }
}

impl TryFrom<Config> for Limiter {
    type Error = ConfigError;

    fn try_from(config: Config) -> Result<Self, ConfigError> {
        Builder::from(config).build()
    }
}

/// A duration that programs read, in seconds.
pub(crate) fn seconds<S: Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_f64(time.as_secs_f64())
}

/// A number, or a share as text: `5` or `"50%"`.
impl Serialize for crate::Step {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::By(n) => n.serialize(serializer),
            Self::Percent(_) => serializer.collect_str(self),
        }
    }
}

/// A duration written for people.
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

fn human<S: Serializer>(hold: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    hold.map(|hold| humantime::format_duration(hold).to_string()).serialize(serializer)
}

/// Reads each field so that an error in it names it, whatever the format.
mod named {
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
        ($($field:ident: $read:ty => $ty:ty,)*) => {$(
            pub(super) fn $field<'de, D: Deserializer<'de>>(from: D) -> Result<$ty, D::Error> {
                read::<D, $read>(stringify!($field), from).map(Into::into)
            }
        )*};
    }

    fields! {
        name: String => String,
        ceiling: usize => usize,
        min: usize => Option<usize>,
        max: usize => Option<usize>,
        up: usize => Option<usize>,
        down: usize => Option<usize>,
        patience: u32 => Option<u32>,
        max_waiting: usize => Option<usize>,
    }

    pub(super) fn hold<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
        read::<D, Human>("hold", from).map(|human| Some(human.0))
    }
}
