use super::*;
use grmgr::{Adjust, Registry};

const SECOND: Duration = Duration::from_secs(1);

fn sampler() -> (Arc<Registry>, Sampler) {
    let registry = Arc::new(Registry::new());
    (registry.clone(), Sampler::new(registry.into()))
}

fn free(name: &'static str) -> Limiter {
    Limiter::builder(name).ceiling(50).max(1_000).hold(Duration::ZERO).build().unwrap()
}

#[test]
fn limiters_come_and_go_and_the_gone_are_seen_once_more() {
    let (registry, mut sampler) = sampler();
    registry.register(free("a")).unwrap();
    assert_eq!(sampler.sample(Moment::at(SECOND)).rows.len(), 1);
    let b = registry.register(free("b")).unwrap();
    assert_eq!(sampler.sample(Moment::at(SECOND * 2)).rows.len(), 2);
    let _ = b.down();
    registry.delete("b");
    let sample = sampler.sample(Moment::at(SECOND * 3));
    assert_eq!(sample.rows.len(), 1);
    assert_eq!(sample.gone.len(), 1);
    assert_eq!(sample.changes.len(), 1, "the change before the deletion");
    assert!(sample.gone[0].last.closed);
    assert!(sampler.sample(Moment::at(SECOND * 4)).gone.is_empty());
    assert_eq!(sampler.limiters().len(), 1);
}

/// A registry that is watched can be tidied up all the same.
#[test]
fn watching_a_limiter_does_not_keep_it() {
    let (registry, mut sampler) = sampler();
    registry.register(free("a")).unwrap();
    sampler.sample(Moment::at(SECOND));
    assert_eq!(registry.remove_idle(), 1);
    let sample = sampler.sample(Moment::at(SECOND * 2));
    assert_eq!((sample.rows.len(), sample.gone.len()), (0, 1));
    assert_eq!(sampler.limiters().len(), 0);
}

#[test]
fn another_limiter_of_the_same_name_starts_afresh() {
    let (registry, mut sampler) = sampler();
    registry.register(free("a")).unwrap();
    for second in 0..=10 {
        sampler.sample(Moment::at(SECOND * second));
    }
    assert!(sampler.limiters().next().unwrap().averages()[0].is_some());
    registry.delete("a");
    registry.register(free("a")).unwrap();
    let sample = sampler.sample(Moment::at(SECOND * 11));
    assert_eq!((sample.rows.len(), sample.gone.len()), (1, 1));
    assert!(sampler.limiters().next().unwrap().averages()[0].is_none());
}

#[test]
fn every_change_between_two_samples_is_seen_with_its_cause() {
    let (registry, mut sampler) = sampler();
    let limiter = registry.register(free("a")).unwrap();
    let _ = limiter.adjust(Adjust::Up, "before the monitor");
    assert!(sampler.sample(Moment::at(SECOND)).changes.is_empty());
    for _ in 0..64 {
        let _ = limiter.adjust(Adjust::Up, "test");
    }
    let changes = sampler.sample(Moment::at(SECOND * 2)).changes;
    assert_eq!(changes.len(), 64);
    assert!(
        changes.iter().all(|(name, dated)| &**name == "a"
            && dated.change.cause == "test"
            && dated.missed == 0)
    );
    assert!(sampler.sample(Moment::at(SECOND * 3)).changes.is_empty());
}

#[test]
fn changes_that_left_the_log_are_counted() {
    let (registry, mut sampler) = sampler();
    let limiter = registry.register(free("a")).unwrap();
    sampler.sample(Moment::at(SECOND));
    for _ in 0..70 {
        let _ = limiter.adjust(Adjust::Up, "test");
    }
    let changes = sampler.sample(Moment::at(SECOND * 2)).changes;
    assert_eq!(changes.len(), 64);
    assert_eq!(changes[0].1.missed, 6);
    let tracked = sampler.limiters().next().unwrap();
    let raised: u64 = tracked.by_cause.iter().map(|count| count.raised).sum();
    assert_eq!(raised, 70);
    assert!(tracked.by_cause.iter().any(|count| count.cause.is_empty() && count.raised == 6));
}

#[test]
fn a_limiter_takes_at_most_ten_kilobytes_whatever_happens_to_it() {
    let (registry, mut sampler) = sampler();
    let limiter = registry.register(free("a")).unwrap();
    for second in 0..30_000u32 {
        let _ = limiter.adjust(Adjust::To(1 + second as usize % 900), "test");
        sampler.sample(Moment::at(SECOND * second));
    }
    let tracked = sampler.limiters().next().unwrap();
    let bytes = size_of::<Tracked>()
        + tracked.windows.heap_bytes()
        + tracked.by_cause.capacity() * size_of::<CauseCount>();
    assert!(bytes <= 10 * 1_024, "{bytes} bytes");
}

#[test]
fn admissions_a_second_are_those_between_two_samples() {
    let (registry, mut sampler) = sampler();
    let limiter = registry.register(free("a")).unwrap();
    sampler.sample(Moment::at(SECOND));
    for _ in 0..10 {
        drop(limiter.try_acquire());
    }
    sampler.sample(Moment::at(SECOND * 3));
    assert_eq!(sampler.limiters().next().unwrap().rate, 5.0);
}

#[test]
fn ten_thousand_limiters_are_sampled_well_within_the_interval() {
    let (registry, mut sampler) = sampler();
    for i in 0..10_000 {
        registry.register(Limiter::new(format!("limiter {i}"), 10)).unwrap();
    }
    sampler.sample(Moment::at(Duration::ZERO));
    // The quickest of three, without optimisation: the default interval is 2 s.
    let sample = |second| {
        let start = std::time::Instant::now();
        assert_eq!(sampler.sample(Moment::at(SECOND * second)).rows.len(), 10_000);
        start.elapsed()
    };
    let quickest = (1..=3).map(sample).min().unwrap();
    assert!(quickest < SECOND, "{quickest:?}");
}
