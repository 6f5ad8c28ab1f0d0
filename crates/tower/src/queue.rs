//! What a request does that finds no permit.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

pub(crate) type Sleep = Pin<Box<dyn Future<Output = ()> + Send>>;

#[derive(Clone, Default)]
pub(crate) enum Queue {
    /// It waits.
    #[default]
    Forever,
    /// It does not wait.
    Shed,
    /// It waits for this long. The timer is made only when the wait begins.
    For(Duration, Timer),
}

#[derive(Clone)]
pub(crate) enum Timer {
    #[cfg(feature = "tokio")]
    Tokio,
    Own(Arc<dyn Fn(Duration) -> Sleep + Send + Sync>),
}

impl Timer {
    pub(crate) fn sleep(&self, limit: Duration) -> Sleep {
        match self {
            #[cfg(feature = "tokio")]
            Self::Tokio => Box::pin(tokio::time::sleep(limit)),
            Self::Own(sleep) => sleep(limit),
        }
    }
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Forever => f.write_str("Forever"),
            Self::Shed => f.write_str("Shed"),
            Self::For(limit, _) => f.debug_tuple("For").field(limit).finish(),
        }
    }
}
