//! The gauges.

use std::time::Duration;

use grmgr::Limiter;
use grmgr_cluster::{LeaseClock, Member, MemoryStore};
use metrics_util::debugging::{DebugValue, DebuggingRecorder};

#[test]
fn gauges_tell_of_the_share_and_of_being_alone() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    recorder.install().unwrap();
    let db = Limiter::builder("db").ceiling(9).run_alone(false).clock(LeaseClock).build().unwrap();
    let builder = Member::builder(db).store(MemoryStore::new()).total(9);
    let builder = builder.ttl(Duration::from_millis(300)).max_lag(Duration::ZERO);
    let _member = builder.start().unwrap();
    let mut seen = Vec::new();
    for _ in 0..2_000 {
        let gauges: Vec<(String, f64)> = snapshotter
            .snapshot()
            .into_vec()
            .into_iter()
            .filter_map(|(key, _, _, value)| match value {
                DebugValue::Gauge(value) => {
                    assert_eq!(key.key().labels().next().unwrap().value(), "db");
                    Some((key.key().name().to_owned(), value.into_inner()))
                }
                _ => None,
            })
            .collect();
        let of = |name: &str| {
            let name = format!("limiter_cluster_{name}");
            gauges.iter().find(|(found, _)| *found == name).map(|(_, value)| *value)
        };
        if let [Some(share), Some(total), Some(members), Some(alone)] =
            ["share", "total", "members", "alone"].map(of)
        {
            seen.push([share, total, members, alone]);
            if share > 0.0 {
                break;
            }
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    // One permit is kept at hand where nobody wants any.
    assert_eq!(seen.last(), Some(&[1.0, 9.0, 1.0, 0.0]));
}
