//! What a member tells the world: the one place where the features `tracing` and `metrics` are asked for.

use crate::{State, StoreError, Warning};

/// Publishes the gauges.
pub(crate) fn publish(limiter: &str, state: &State) {
    #[cfg(feature = "metrics")]
    {
        use metrics::{describe_gauge, gauge};
        describe_gauge!("limiter_cluster_share", "Permits that this process may have in flight.");
        describe_gauge!("limiter_cluster_total", "Permits of the pool, 0 while it is not known.");
        describe_gauge!("limiter_cluster_members", "Members of the pool, 0 while it is not known.");
        describe_gauge!("limiter_cluster_alone", "1 while this process has no lease.");
        let (share, total, members, alone) = match state {
            State::Leased { share, total, members, .. } => (*share, *total, *members, 0.0),
            State::Alone { floor, .. } => (*floor, 0, 0, 1.0),
        };
        // Asked for anew each time: the recorder may be installed later.
        let set = |name: &'static str, value: f64| {
            gauge!(name, "limiter" => limiter.to_owned()).set(value);
        };
        set("limiter_cluster_share", share as f64);
        set("limiter_cluster_total", total as f64);
        set("limiter_cluster_members", members as f64);
        set("limiter_cluster_alone", alone);
    }
    let _ = (limiter, state);
}

/// A share has changed, or the member has got its first, or is without one.
pub(crate) fn state_changed(limiter: &str, state: &State) {
    #[cfg(feature = "tracing")]
    match state {
        State::Leased { share, total, members, epoch, .. } => {
            tracing::debug!(limiter, share, total, members, epoch, "share leased");
        }
        State::Alone { why, floor, .. } => {
            tracing::warn!(limiter, floor, %why, "without a lease: at the floor");
        }
    }
    let _ = (limiter, state);
}

/// A refresh has failed; the share that is in force goes on to its end.
pub(crate) fn failed(limiter: &str, error: &StoreError, first: bool) {
    #[cfg(feature = "tracing")]
    if first {
        tracing::warn!(limiter, %error, "the share could not be refreshed");
    } else {
        tracing::debug!(limiter, %error, "the share could not be refreshed");
    }
    let _ = (limiter, error, first);
}

/// Something is dangerous, or not as it was configured.
pub(crate) fn warned(limiter: &str, warning: &Warning) {
    #[cfg(feature = "tracing")]
    tracing::warn!(limiter, "{warning}");
    let _ = (limiter, warning);
}

/// The member's thread has panicked.
pub(crate) fn panicked(limiter: &str) {
    #[cfg(feature = "tracing")]
    tracing::error!(limiter, "the member panicked; it goes on");
    let _ = limiter;
}
