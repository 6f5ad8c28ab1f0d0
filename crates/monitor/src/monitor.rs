//! The running monitor.

use std::io;
use std::sync::Arc;

use crate::engine::Engine;
use crate::moment::Moment;
use crate::worker::Worker;
use crate::{Builder, Health, Source};

/// A running monitor. It watches the limiters of a registry from threads of its own; the limiters
/// know nothing of it.
///
/// Dropping it, or [`shutdown`](Self::shutdown), stops its threads, takes a last sample, writes it
/// to the history and joins.
///
/// ```
/// use grmgr::{Limiter, Registry};
/// use grmgr_monitor::Monitor;
///
/// let db = Registry::global().register(Limiter::new("db", 20)).unwrap();
/// let monitor = Monitor::builder(Registry::global()).start()?;
/// # let _ = db;
/// monitor.shutdown();
/// # Ok::<(), grmgr_monitor::StartError>(())
/// ```
#[derive(Debug)]
#[must_use = "a monitor stops when it is dropped"]
pub struct Monitor {
    pub(crate) engine: Arc<Engine>,
    pub(crate) sampler: Option<Worker>,
    #[cfg(feature = "dashboard")]
    pub(crate) dashboard: Option<crate::dashboard::Dashboard>,
    #[cfg(feature = "pressure")]
    pub(crate) pressure: Option<Worker>,
}

impl Monitor {
    /// A monitor of the limiters in this registry: a `&'static Registry`, such as
    /// [`Registry::global`](grmgr::Registry::global), or an `Arc<Registry>`. Limiters that are
    /// registered later are seen from the next sample on.
    pub fn builder(registry: impl Into<Source>) -> Builder {
        Builder::new(registry.into())
    }

    /// The address of the dashboard, if there is one.
    #[cfg(feature = "dashboard")]
    pub fn dashboard_address(&self) -> Option<std::net::SocketAddr> {
        self.dashboard.as_ref().map(|dashboard| dashboard.address())
    }

    /// How the monitor itself is: whether the history is written, and if not, why.
    pub fn health(&self) -> Health {
        self.engine.health()
    }

    /// Takes a sample now, and waits until it and all before it are in the history.
    ///
    /// # Errors
    ///
    /// Why it could not be written. It is kept, and written with a later report.
    pub fn flush(&self) -> io::Result<()> {
        self.engine.flush(Moment::since(self.engine.start))
    }

    /// Stops: the same as dropping it.
    pub fn shutdown(self) {}
}

impl Drop for Monitor {
    fn drop(&mut self) {
        #[cfg(feature = "dashboard")]
        drop(self.dashboard.take());
        #[cfg(feature = "pressure")]
        drop(self.pressure.take());
        drop(self.sampler.take());
        // What could not be written is told by the history when it goes.
        let _ = self.flush();
        #[cfg(feature = "history")]
        if let Some(history) = &self.engine.history {
            history.stop();
        }
    }
}
