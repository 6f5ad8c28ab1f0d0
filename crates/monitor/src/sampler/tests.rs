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
    assert_eq!(sample.rows.len(), 1, "of what is gone, nothing has been counted");
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
    // Of one that makes requests wait, for as long as they like: the waits, in all and of late.
    let waits = (size_of::<u64>() + size_of::<f32>()) * crate::counts::ENDS.len();
    assert!(bytes + waits <= 12 * 1_024, "{bytes} and {waits} bytes");
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
    assert_eq!(sampler.limiters().next().unwrap().rate(), 5.0);
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

#[test]
fn what_was_counted_before_the_monitor_is_not_told_and_what_comes_later_is() {
    let (registry, mut sampler) = sampler();
    let old = registry.register(free("old")).unwrap();
    drop(old.try_acquire_many(7).unwrap());
    assert_eq!(sampler.sample(Moment::at(SECOND)).rows[0].counts, None);
    let new = registry.register(free("new")).unwrap();
    drop((old.try_acquire_many(2).unwrap(), new.try_acquire_many(3).unwrap()));
    assert!(new.try_acquire_many(2_000).is_err());
    let rows = sampler.sample(Moment::at(SECOND * 2)).rows;
    let counts = |name| {
        let row = rows.iter().find(|row| &*row.name == name).unwrap();
        let counts = row.counts.as_ref().unwrap();
        (counts.acquired, counts.peak_in_flight, counts.refused)
    };
    assert_eq!(counts("new"), (3, 3, [0, 1, 0, 0]));
    assert_eq!(counts("old"), (2, 0, [0; 4]), "it has been as high as 7 before");
    let unreported: Vec<_> = sampler.reports().map(|(_, counts)| counts.acquired).collect();
    assert_eq!(unreported, [3, 2]);
    assert!(sampler.reports().all(|(_, counts)| counts == Counts::default()), "told once");
}

#[test]
fn what_a_limiter_counted_before_it_went_is_told() {
    let (registry, mut sampler) = sampler();
    let limiter = registry.register(free("a")).unwrap();
    sampler.sample(Moment::at(SECOND));
    drop(limiter.try_acquire_many(4).unwrap());
    registry.delete("a");
    let sample = sampler.sample(Moment::at(SECOND * 2));
    assert!(sample.rows[0].gone);
    assert_eq!(sample.rows[0].counts.as_ref().unwrap().acquired, 4);
}

#[test]
fn pauses_are_events() {
    let (registry, mut sampler) = sampler();
    let limiter = registry.register(free("a")).unwrap();
    limiter.pause();
    let mut pauses = |second| {
        let sample = sampler.sample(Moment::at(SECOND * second));
        sample.pauses.iter().map(|(_, pause)| pause.paused).collect::<Vec<_>>()
    };
    assert_eq!(pauses(1), [true], "also one from before the monitor");
    assert!(pauses(2).is_empty());
    limiter.resume();
    assert_eq!(pauses(3), [false]);
    // One that this monitor makes is known at once, with its cause, and not told twice.
    limiter.pause();
    let noted = sampler.note_pause("a", true, "dashboard", Moment::at(SECOND * 4)).unwrap();
    assert_eq!((noted.1.paused, noted.1.cause), (true, "dashboard"));
    assert!(sampler.sample(Moment::at(SECOND * 5)).pauses.is_empty());
}

#[test]
fn the_setting_and_the_cap_that_binds_are_beside_the_ceiling() {
    let (registry, mut sampler) = sampler();
    let limiter = registry.register(free("a")).unwrap();
    let cap = limiter.cap("pressure").unwrap();
    cap.set(20);
    let row = sampler.sample(Moment::at(SECOND)).rows.remove(0);
    assert_eq!((row.ceiling, row.setting, row.capped_by.as_deref()), (20, 50, Some("pressure")));
    cap.set(60);
    let row = sampler.sample(Moment::at(SECOND * 2)).rows.remove(0);
    assert_eq!((row.ceiling, row.setting, row.capped_by), (50, 50, None));
}

#[test]
fn causes_that_are_expected_are_counted_from_nought() {
    let (registry, mut sampler) = sampler();
    sampler.expect_cause("pressure");
    let limiter = registry.register(free("a")).unwrap();
    sampler.sample(Moment::at(SECOND));
    let of = |sampler: &Sampler, cause| {
        let tracked = sampler.limiters().next().unwrap();
        let count = tracked.by_cause.iter().find(|count| count.cause == cause);
        count.map(|count| (count.raised, count.lowered))
    };
    assert_eq!((of(&sampler, "pressure"), of(&sampler, "manual")), (Some((0, 0)), Some((0, 0))));
    let _ = limiter.adjust(Adjust::Down, "pressure");
    sampler.sample(Moment::at(SECOND * 2));
    assert_eq!(of(&sampler, "pressure"), Some((0, 1)));
}
