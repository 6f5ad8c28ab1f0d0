//! The page in a real browser.
#![cfg(all(feature = "dashboard", feature = "history"))]

#[path = "support/webdriver.rs"]
mod webdriver;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use grmgr::{Handle, Limiter, Registry};
use grmgr_monitor::{Builder, Monitor};

use webdriver::Browser;

/// A program at work: threads that take a permit and hold it for a moment.
struct Program {
    registry: Arc<Registry>,
    limiter: Handle,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Program {
    fn start() -> Self {
        let registry = Arc::new(Registry::new());
        let limiter = Limiter::builder("db").ceiling(6).max(12).hold(Duration::from_secs(5));
        let limiter = registry.register(limiter.build().unwrap()).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let work = |limiter: Handle, stop: Arc<AtomicBool>| {
            move || {
                while !stop.load(Ordering::Relaxed) {
                    let _permit = limiter.acquire_blocking().unwrap();
                    // The work itself; nothing waits for it.
                    thread::sleep(Duration::from_millis(5));
                }
            }
        };
        let threads = (0..8).map(|_| thread::spawn(work(limiter.clone(), stop.clone()))).collect();
        Self { registry, limiter, stop, threads }
    }

    fn monitor(&self, with: impl FnOnce(Builder) -> Builder) -> Monitor {
        let builder = Monitor::builder(self.registry.clone())
            .sample_every(Duration::from_millis(100))
            .report_every(Duration::from_millis(200))
            .dashboard("127.0.0.1:0");
        with(builder).start().unwrap()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.limiter.resume();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn url(monitor: &Monitor) -> String {
    format!("http://{}/", monitor.dashboard_address().unwrap())
}

#[test]
#[ignore = "needs chromium and chromedriver: .ci/monitor installs them and runs this"]
fn the_page_shows_a_running_program_and_its_buttons_turn_it() {
    let program = Program::start();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("stats.db");
    let monitor = program.monitor(|builder| builder.history(&file).run_id("browser"));
    let browser = Browser::start();
    browser.open(&url(&monitor));
    browser.eventually("it is live", || browser.text("#live") == "live");
    browser.eventually("the ceiling is shown", || browser.text("[data-v=ceiling]") == "6");
    browser.eventually("all six at work", || browser.text("[data-v=in_flight]") == "6");
    assert!(browser.text("#history").contains("browser"));

    browser.click("[data-do=down]");
    browser.eventually("the program's ceiling falls", || program.limiter.ceiling() == 4);
    browser.eventually("the page says so", || browser.text(".came") == "Changed: 6 → 4");
    browser.eventually("the ceiling is shown", || browser.text("[data-v=ceiling]") == "4");
    browser.eventually("and its cause", || {
        browser.text("[data-v=last]").starts_with("6 → 4 by dashboard")
    });
    browser.eventually("the work goes with it", || browser.text("[data-v=in_flight]") == "4");
    browser.click("[data-do=down]");
    browser.eventually("it is held", || browser.text(".came").starts_with("Held: "));
    browser
        .eventually("the hold counts down", || browser.text("[data-v=hold]").starts_with("held "));
    assert_eq!(program.limiter.ceiling(), 4);

    browser.type_into("article input", "99\u{e007}");
    browser.eventually("out of range", || browser.text(".came").contains("from 1 to 12"));
    browser.run("document.querySelector('article input').value = ''");
    browser.type_into("article input", "9\u{e007}");
    browser.eventually("it is set", || program.limiter.ceiling() == 9);

    browser.click("[data-do=pause]");
    browser.eventually("it is paused", || program.limiter.is_paused());
    browser.eventually("that is shown", || browser.text(".badges") == "paused");
    browser.eventually("also in the chart", || {
        browser.run("return document.querySelector('.chart .paused').getAttribute('d').length > 0")
            == true
    });
    browser.eventually("resume is offered", || browser.text("[data-do=pause]") == "Resume");
    browser.click("[data-do=pause]");
    browser.eventually("it is resumed", || !program.limiter.is_paused());

    monitor.flush().unwrap();
    let db = rusqlite::Connection::open(&file).unwrap();
    let changes: i64 = db
        .query_row("SELECT count(*) FROM change_list WHERE cause = 'dashboard'", [], |row| {
            row.get(0)
        })
        .unwrap();
    assert_eq!(changes, 2, "down and set");
    // A page that is loaded anew begins with what the database has.
    browser.open(&url(&monitor));
    browser.eventually("the past is drawn", || {
        browser.run(
            "return document.querySelectorAll('.chart .ceiling').length === 1 \
            && document.querySelector('.chart .change').getAttribute('d').length > 0",
        ) == true
    });
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
#[ignore = "needs chromium and chromedriver: .ci/monitor installs them and runs this"]
fn the_page_works_by_keyboard() {
    let program = Program::start();
    let monitor = program.monitor(|builder| builder);
    let other = program.registry.register(Limiter::new("other", 5)).unwrap();
    let browser = Browser::start();
    browser.open(&url(&monitor));
    browser.eventually("both are there", || {
        browser.run("return document.querySelectorAll('article').length") == 2
    });
    browser.press("j");
    browser.press("j");
    let ring = browser.run("return getComputedStyle(document.activeElement).outlineStyle");
    assert_eq!(ring, "solid", "it shows where the keys go");
    assert_eq!(browser.run("return document.activeElement.getAttribute('aria-label')"), "other");
    browser.press("d");
    browser.eventually("d is down", || other.ceiling() == 3);
    browser.press("p");
    browser.eventually("p is pause", || other.is_paused());
    browser.press("k");
    assert_eq!(browser.run("return document.activeElement.getAttribute('aria-label')"), "db");
    browser.press("s");
    browser.press("8");
    browser.press("\u{e007}");
    browser.eventually("s is set", || program.limiter.ceiling() == 8);
    // From one control to the next by the tabulator: all of them can be reached.
    browser.run("document.querySelector('article').focus()");
    let mut reached = Vec::new();
    for _ in 0..5 {
        browser.press("\u{e004}");
        let label = browser.run("return document.activeElement.textContent.trim() || document.activeElement.getAttribute('aria-label')");
        reached.push(label.as_str().unwrap().split(' ').next().unwrap().to_owned());
    }
    assert_eq!(reached, ["Down", "Up", "New", "Set", "Pause"]);
}

#[test]
#[ignore = "needs chromium and chromedriver: .ci/monitor installs them and runs this"]
fn a_name_is_only_ever_text() {
    let program = Program::start();
    let monitor = program.monitor(|builder| builder);
    let name =
        "<img src=x onerror=\"document.title='pwned'\"><script>document.title='pwned'</script>";
    let limiter = program.registry.register(Limiter::new(name, 5)).unwrap();
    let browser = Browser::start();
    browser.open(&url(&monitor));
    browser.eventually("it is shown as it is", || browser.text("article:first-child h2") == name);
    browser.click("article:first-child [data-do=down]");
    browser.eventually("and can be turned", || limiter.ceiling() == 3);
    assert_eq!(
        browser.run("return document.querySelectorAll('article img, article script').length"),
        0
    );
    assert_ne!(browser.run("return document.title"), "pwned");
}

#[test]
#[ignore = "needs chromium and chromedriver: .ci/monitor installs them and runs this"]
fn the_page_says_when_the_connection_is_lost_and_comes_back() {
    let program = Program::start();
    let monitor = program.monitor(|builder| builder);
    let address = monitor.dashboard_address().unwrap().to_string();
    let browser = Browser::start();
    browser.open(&url(&monitor));
    browser.eventually("it is live", || browser.text("#live") == "live");
    monitor.shutdown();
    browser.eventually("it says so", || browser.text("#lost").contains("Connection lost"));
    assert_eq!(browser.text("#live"), "reconnecting");
    let _monitor = program.monitor(|builder| builder.dashboard(&address));
    browser.eventually("it is back", || browser.text("#live") == "live");
    assert_eq!(browser.run("return document.querySelector('#lost').hidden"), true);
}

#[test]
#[ignore = "needs chromium and chromedriver: .ci/monitor installs them and runs this"]
fn changes_ask_for_the_token() {
    let program = Program::start();
    let token = "a-token-of-the-test";
    let monitor = program.monitor(|builder| builder.dashboard_token(token));
    let browser = Browser::start();
    browser.open(&url(&monitor));
    browser.eventually("it is asked for", || {
        browser.run("return document.querySelector('#token-form')?.hidden === false") == true
    });
    browser.click("[data-do=down]");
    browser.eventually("without it, no", || browser.text(".came").contains("need the token"));
    assert_eq!(program.limiter.ceiling(), 6);
    browser.type_into("#token", token);
    browser.click("[data-do=down]");
    browser.eventually("with it, yes", || program.limiter.ceiling() == 4);
}

#[test]
#[ignore = "needs chromium and chromedriver: .ci/monitor installs them and runs this"]
fn the_page_fits_a_phone_in_the_dark_and_a_desk_in_the_light() {
    let program = Program::start();
    let monitor = program.monitor(|builder| builder);
    program.registry.register(Limiter::new("a-name-without-any-blank-".repeat(8), 5)).unwrap();
    let browser = Browser::start();
    for (width, height, scheme) in
        [(360, 740, "dark"), (390, 844, "light"), (1_280, 800, "dark"), (1_920, 1_080, "light")]
    {
        browser.size(width, height, scheme);
        browser.open(&url(&monitor));
        browser.eventually("both are there", || {
            browser.run("return document.querySelectorAll('article').length") == 2
        });
        let fits = browser.run("return document.documentElement.scrollWidth <= innerWidth");
        assert_eq!(fits, true, "{width} wide");
        let inside = browser.run(
            "return [...document.querySelectorAll('article')].every(card => \
               [...card.querySelectorAll('button, input')].every(control => { \
                 const box = control.getBoundingClientRect(), around = card.getBoundingClientRect(); \
                 return box.left >= around.left && box.right <= around.right && box.height >= 34; }))",
        );
        assert_eq!(inside, true, "controls at {width}");
        // Text against what is behind it, by the contrast that WCAG asks for.
        let contrast = browser.run(
            "const lum = c => { const [r, g, b] = c.match(/[\\d.]+/g).map(Number).map(v => { v /= 255; \
               return v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4; }); return .2126 * r + .7152 * g + .0722 * b; }; \
             const behind = node => { const color = getComputedStyle(node).backgroundColor; \
               return /, 0\\)$/.test(color) ? behind(node.parentElement) : color; }; \
             const texts = [...document.querySelectorAll('h1, h2, dt, dd, .big b, .big > span, .last span, .chip, .badge, .legend span, footer p, kbd, select, button:enabled')]; \
             return Math.min(...texts.filter(node => node.offsetParent && node.textContent.trim()).map(node => { \
               const text = lum(getComputedStyle(node).color), back = lum(behind(node)); \
               return (Math.max(text, back) + .05) / (Math.min(text, back) + .05); }));",
        );
        assert!(contrast.as_f64().unwrap() >= 4.5, "{contrast} at {width} {scheme}");
    }
}

#[test]
#[ignore = "needs chromium and chromedriver: .ci/monitor installs them and runs this"]
fn none_are_told_of_and_of_many_the_fullest_can_come_first() {
    let registry = Arc::new(Registry::new());
    let monitor = Monitor::builder(registry.clone())
        .sample_every(Duration::from_millis(100))
        .dashboard("127.0.0.1:0")
        .start()
        .unwrap();
    let browser = Browser::start();
    browser.open(&url(&monitor));
    browser.eventually("it says that there is none", || {
        browser.text("#empty").contains("No limiter is registered yet")
    });
    assert_eq!(browser.run("return document.querySelector('#all-down').disabled"), true);

    let limiter = |i| registry.register(Limiter::new(format!("limiter {i:03}"), 10)).unwrap();
    let limiters: Vec<_> = (0..300).map(limiter).collect();
    browser.eventually("they are there", || browser.text("#count") == "300");
    browser.eventually("the first of them", || browser.text("#empty").starts_with("100 more"));
    assert_eq!(browser.run("return document.querySelectorAll('article').length"), 200);
    assert_eq!(browser.text("article h2"), "limiter 000");

    let _nine = limiters[250].try_acquire_many(9).unwrap();
    browser.run(
        "const order = document.querySelector('#order'); order.value = 'full'; order.onchange()",
    );
    browser.eventually("the fullest is first", || browser.text("article h2") == "limiter 250");
    // What has the keyboard stays where it is, though another one is fuller now.
    browser.press("j");
    let _ten = limiters[100].try_acquire_many(10).unwrap();
    browser.eventually("it is seen", || {
        browser.run(
            "return [...document.querySelectorAll('article')].some(card => \
               card.card.name === 'limiter 100' && card.card.limiter.in_flight === 10)",
        ) == true
    });
    assert_eq!(browser.text("article h2"), "limiter 250");
    assert_eq!(browser.run("return document.activeElement.card.name"), "limiter 250");
    browser.run("document.activeElement.blur()");
    browser.eventually("now it may move", || browser.text("article h2") == "limiter 100");
    assert_eq!(browser.complaints(), Vec::<String>::new());
}
