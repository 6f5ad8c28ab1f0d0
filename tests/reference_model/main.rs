//! The limiter against a reference that is written from the promises (I1 to I14), over random
//! sequences of everything that can be done to it.
//!
//! `PROPTEST_CASES` is the number of sequences; the default takes a few seconds.

#[path = "../common/mod.rs"]
mod common;
mod driver;
mod handles;
mod op;
mod reference;

use driver::run;
use op::Op;
use proptest::prelude::*;
use reference::Config;

/// Up to 6 permits: large enough for a head, some that are handed a permit, and some behind.
fn configs() -> impl Strategy<Value = Config> {
    let bounds = (0..=2_usize, 1..=6_usize, 0..=6_usize);
    let hold = || prop_oneof![2 => Just(0_u64), 1 => 1..=3_u64];
    let steps = (1..=3_usize, 1..=3_usize, hold(), hold());
    let patience = prop_oneof![Just(0_u32), Just(1), Just(2), Just(16)];
    let max_waiting = prop_oneof![3 => Just(None), 1 => (0..=3_usize).prop_map(Some)];
    (bounds, steps, patience, max_waiting).prop_map(
        |((min, max, ceiling), (up, down, hold_up, hold_down), patience, max_waiting)| {
            let min = min.min(max);
            let ceiling = ceiling.clamp(min, max);
            Config { ceiling, min, max, up, down, hold_up, hold_down, patience, max_waiting }
        },
    )
}

/// How many to ask for: mostly one; also none, and more than there can ever be.
fn counts() -> impl Strategy<Value = usize> {
    prop_oneof![8 => Just(1_usize), 3 => 2..=3_usize, 1 => 0..=7_usize]
}

fn ops() -> impl Strategy<Value = Op> {
    let which = 0..8_usize;
    prop_oneof![
        12 => counts().prop_map(Op::Try),
        2 => counts().prop_map(Op::Make),
        20 => counts().prop_map(Op::Enter),
        4 => which.clone().prop_map(Op::Poll),
        16 => which.clone().prop_map(Op::Run),
        5 => which.clone().prop_map(Op::DropRequest),
        16 => which.clone().prop_map(Op::DropPermit),
        1 => which.clone().prop_map(Op::Forget),
        2 => Just(Op::Done),
        1 => (which.clone(), 0..4_usize).prop_map(|(i, n)| Op::Split(i, n)),
        1 => (which.clone(), which.clone()).prop_map(|(i, j)| Op::Merge(i, j)),
        2 => Just(Op::Up),
        2 => Just(Op::Down),
        4 => (0..=7_usize).prop_map(Op::SetCeiling),
        1 => Just(Op::NewCap),
        4 => (which.clone(), 0..=7_usize).prop_map(|(i, n)| Op::SetCap(i, n)),
        1 => which.clone().prop_map(Op::LiftCap),
        1 => which.clone().prop_map(Op::DropCap),
        1 => Just(Op::Pause),
        2 => Just(Op::Resume),
        1 => (1..=2_u64).prop_map(Op::Advance),
        1 => prop_oneof![7 => Just(Op::Resume), 1 => Just(Op::Close)],
        3 => Just(Op::Wait),
        6 => which.clone().prop_map(Op::PollWait),
        2 => which.prop_map(Op::DropWait),
    ]
}

/// A sequence that, when it fails, is printed as it has to stand in a test.
struct Ops(Vec<Op>);

impl std::fmt::Debug for Ops {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

fn cases(default: u32) -> ProptestConfig {
    let cases = std::env::var("PROPTEST_CASES")
        .map_or(default, |cases| cases.parse().expect("PROPTEST_CASES is a number"));
    // What is found is kept as a test below, not in a file of seeds.
    ProptestConfig {
        cases,
        failure_persistence: None,
        max_shrink_iters: 100_000,
        ..ProptestConfig::default()
    }
}

/// `done()` without a forgotten permit panics thousands of times here, as it should.
fn silence_expected_panics() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !info.to_string().contains("without a forgotten permit") {
                hook(info);
            }
        }));
    });
}

proptest! {
    #![proptest_config(cases(8_192))]

    #[test]
    fn limiter_does_what_the_reference_allows(
        config in configs(),
        Ops(ops) in prop::collection::vec(ops(), 1..80).prop_map(Ops),
        serve: bool,
    ) {
        silence_expected_panics();
        run(config, &ops, serve);
    }
}

/// A request for several is called for the front; before it runs, one that was handed a permit
/// arrives there first and leaves it the permit, which it cannot use. It is still first in line.
mod large_request_left_with_a_single_permit {
    use super::*;
    use Op::{DropPermit, Enter, Run, SetCeiling, Try};

    const CONFIG: Config = Config {
        ceiling: 2,
        min: 0,
        max: 4,
        up: 1,
        down: 1,
        hold_up: 0,
        hold_down: 0,
        patience: 0,
        max_waiting: None,
    };

    const BEGINNING: [Op; 9] = [
        Enter(1),
        Enter(1),
        // The first in line, and one that is handed a permit behind it.
        Enter(1),
        Enter(1),
        DropPermit(0),
        DropPermit(0),
        Enter(2),
        SetCeiling(4),
        // The first leaves; the large one is called.
        Run(0),
    ];

    #[test]
    fn is_not_overtaken_by_a_newcomer() {
        run(CONFIG, &[&BEGINNING[..], &[Run(1), Try(1)]].concat(), true);
    }

    #[test]
    fn keeps_its_place_before_later_ones() {
        // With patience, so that the newcomer may have the free permit; not so the one after it.
        let config = Config { patience: 16, ..CONFIG };
        run(config, &[&BEGINNING[..], &[Run(1), Try(1), Enter(2), Run(0)]].concat(), true);
    }
}
