//! The facade, with a real exporter behind it.
#![cfg(feature = "metrics")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use grmgr::{Adjust, Limiter, Registry};
use grmgr_monitor::Monitor;
use metrics_exporter_prometheus::PrometheusBuilder;

/// One test: a program has one recorder.
#[test]
fn an_exporter_that_is_installed_late_gets_everything() {
    let registry = Arc::new(Registry::new());
    let limiter = Limiter::builder("db").ceiling(10).hold(Duration::ZERO).build().unwrap();
    let limiter = registry.register(limiter).unwrap();
    let monitor = Monitor::builder(registry.clone()).metrics().start().unwrap();
    monitor.flush().unwrap();
    let exporter = PrometheusBuilder::new().build_recorder();
    let handle = exporter.handle();
    metrics::set_global_recorder(exporter).unwrap();

    let permit = limiter.try_acquire().unwrap();
    let all = limiter.try_acquire_many(9).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| drop(limiter.acquire_blocking().unwrap()));
        let start = Instant::now();
        while limiter.snapshot().stats.waited == 0 {
            assert!(start.elapsed() < Duration::from_secs(60));
            std::thread::yield_now();
        }
        drop(all);
    });
    assert!(limiter.try_acquire_many(10).is_err());
    let _ = limiter.adjust(Adjust::Down, "night");
    monitor.flush().unwrap();

    let has = |line: &str| {
        let text = handle.render();
        assert!(text.lines().any(|found| found == line), "no {line} in\n{text}");
    };
    has("limiter_in_flight{limiter=\"db\"} 1");
    has("limiter_ceiling{limiter=\"db\"} 8");
    has("limiter_ceiling_min{limiter=\"db\"} 1");
    has("limiter_ceiling_max{limiter=\"db\"} 10");
    has("limiter_waiting{limiter=\"db\"} 0");
    has("limiter_acquired_total{limiter=\"db\"} 11");
    has("limiter_waited_total{limiter=\"db\"} 1");
    has("limiter_cancelled_total{limiter=\"db\"} 0");
    has("limiter_setting{limiter=\"db\"} 8");
    has("limiter_peak_waiting{limiter=\"db\"} 1");
    has("limiter_ceiling_changes_total{limiter=\"db\",direction=\"down\",cause=\"manual\"} 0");
    has("limiter_refused_total{limiter=\"db\",reason=\"no_permits\"} 1");
    has("limiter_ceiling_changes_total{limiter=\"db\",direction=\"down\",cause=\"night\"} 1");
    has("limiter_wait_seconds_count{limiter=\"db\"} 1");

    // Another limiter of the same name: counters go on, gauges are its own.
    drop(permit);
    registry.delete("db");
    let next = registry.register(Limiter::new("db", 5)).unwrap();
    drop(next.try_acquire_many(2).unwrap());
    monitor.flush().unwrap();
    has("limiter_acquired_total{limiter=\"db\"} 13");
    has("limiter_ceiling{limiter=\"db\"} 5");
    // None: its gauges say so.
    registry.delete("db");
    monitor.flush().unwrap();
    has("limiter_ceiling{limiter=\"db\"} 0");
    has("limiter_acquired_total{limiter=\"db\"} 13");
}
