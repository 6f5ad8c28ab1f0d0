//! Where the limiters come from.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use grmgr::Registry;

/// The registry that a monitor watches: a `&'static Registry`, such as [`Registry::global`], or
/// an `Arc<Registry>`.
#[derive(Clone)]
pub struct Source(Kind);

#[derive(Clone)]
enum Kind {
    Static(&'static Registry),
    Shared(Arc<Registry>),
}

impl From<&'static Registry> for Source {
    fn from(registry: &'static Registry) -> Self {
        Self(Kind::Static(registry))
    }
}

impl From<Arc<Registry>> for Source {
    fn from(registry: Arc<Registry>) -> Self {
        Self(Kind::Shared(registry))
    }
}

impl Deref for Source {
    type Target = Registry;

    fn deref(&self) -> &Registry {
        match &self.0 {
            Kind::Static(registry) => registry,
            Kind::Shared(registry) => registry,
        }
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
