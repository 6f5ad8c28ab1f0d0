use grmgr::{Limiter, Registry};
use grmgr_monitor::Monitor;
use std::{sync::Arc, thread, time::Duration};
fn main() {
    let n: usize = std::env::args().nth(1).unwrap().parse().unwrap();
    let addr = std::env::args().nth(2).unwrap();
    let r = Arc::new(Registry::new());
    let words = [
        "database",
        "mail api",
        "thumbnails",
        "search",
        "payments",
        "a-very-long-name-without-any-blank-that-goes-on-and-on-for-ever-and-ever-and-ever-and-then-some-more",
        "<script>alert(1)</script>",
        "\u{202e}right to left",
        "",
        "zip  archives",
    ];
    let mut ls = vec![];
    for i in 0..n {
        let w = words[i % words.len()];
        let name = if i < words.len() { w.to_string() } else { format!("{w} {i}") };
        let big = if i % 7 == 3 { 120_000 } else { 10 + i % 30 };
        let l = Limiter::builder(name)
            .ceiling(big / 2)
            .max(big)
            .hold(Duration::from_secs(20))
            .build()
            .unwrap();
        ls.push(r.register(l).unwrap());
    }
    for (i, l) in ls.iter().enumerate() {
        if i > 40 {
            break;
        }
        for k in 0..(2 + i % 9) {
            let l = l.clone();
            thread::spawn(move || {
                loop {
                    let m = if l.ceiling() < 50 { 1 + k % 2 } else { 100 };
                    match l.acquire_many(m.min(l.ceiling().max(1))).wait() {
                        Ok(_p) => thread::sleep(Duration::from_millis(
                            20 + ((k * 37 + i * 13) % 50) as u64,
                        )),
                        Err(_) => break,
                    }
                }
            });
        }
    }
    let mut b = Monitor::builder(r.clone()).sample_every(Duration::from_secs(1)).dashboard(addr);
    if let Some(t) = std::env::args().nth(3) {
        b = b.dashboard_token(t);
    }
    if let Ok(h) = std::env::var("HIST") {
        b = b.history(h).run_id("scratch");
    }
    let _m = b.start().unwrap();
    if n > 3 {
        thread::sleep(Duration::from_secs(3));
        ls[2].pause();
        if n > 8 {
            ls[4].close();
        }
        thread::sleep(Duration::from_secs(8));
        ls[2].resume();
        let _ = ls[0].down();
        thread::sleep(Duration::from_secs(4));
        ls[2].pause();
    }
    loop {
        thread::park();
    }
}
