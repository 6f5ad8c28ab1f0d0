//! The page in a real browser.
#![cfg(all(feature = "dashboard", feature = "history"))]

#[path = "support/webdriver.rs"]
mod webdriver;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use grmgr::{Handle, Limiter, Registry};
use grmgr_monitor::{Builder, Monitor};

use serde_json::{Value, json};

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

/// The cards or rows that are there, by name.
fn names(browser: &Browser) -> Vec<String> {
    let names = browser.run(
        "return [...document.querySelectorAll('.card, tbody tr')].filter(node => node.item).map(node => node.item.name)",
    );
    serde_json::from_value(names).unwrap()
}

fn query(browser: &Browser) -> String {
    browser.run("return location.pathname + location.search").as_str().unwrap().to_owned()
}

fn focused(browser: &Browser) -> Value {
    browser.run("return document.activeElement.item?.name ?? null")
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
    browser.eventually("in a line, too", || browser.text("#summary").starts_with("1 full, "));
    assert!(browser.text("#history").contains("browser"));

    browser.click("[data-do=down]");
    browser.eventually("the program's ceiling falls", || program.limiter.ceiling() == 4);
    browser.eventually("the page says so", || browser.text("#said") == "db: lowered from 6 to 4");
    browser.eventually("the ceiling is shown", || browser.text("[data-v=ceiling]") == "4");
    browser.eventually("and its cause", || {
        browser.text("[data-v=last]").starts_with("6 → 4 by dashboard")
    });
    browser.eventually("the work goes with it", || browser.text("[data-v=in_flight]") == "4");
    browser.click("[data-do=down]");
    browser.eventually("it is held", || browser.text("#said").contains("held for another "));
    browser
        .eventually("the hold counts down", || browser.text("[data-v=hold]").starts_with("held "));
    assert_eq!(program.limiter.ceiling(), 4);

    browser.type_into(".card input", "99\u{e007}");
    browser.eventually("out of range", || {
        browser.text("#said") == "db: 99 is out of range: give a number from 1 to 12"
    });
    browser.run("document.querySelector('.card input').value = ''");
    browser.type_into(".card input", "9\u{e007}");
    browser.eventually("it is set", || program.limiter.ceiling() == 9);

    browser.click("[data-do=pause]");
    browser.eventually("it asks", || browser.text("#confirm-title") == "Pause db?");
    browser.click("#confirm-yes");
    browser.eventually("it is paused", || program.limiter.is_paused());
    browser.eventually("that is shown", || browser.text(".badges") == "paused");
    browser.eventually("also in the chart", || {
        browser.run("return document.querySelector('.card .paused').getAttribute('d').length > 0")
            == true
    });
    browser.eventually("resume is offered", || browser.text("[data-do=pause]") == "Resume");
    browser.click("[data-do=pause]");
    browser.eventually("it is resumed", || !program.limiter.is_paused());

    monitor.flush().unwrap();
    let db = rusqlite::Connection::open(&file).unwrap();
    let number = |query: &str| db.query_row(query, [], |row| row.get::<_, i64>(0)).unwrap();
    let changes = number("SELECT count(*) FROM change_list WHERE cause = 'dashboard'");
    assert_eq!(changes, 2, "down and set");
    assert_eq!(number("SELECT count(*) FROM pause_list WHERE cause = 'dashboard'"), 2);
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
    browser.eventually("both are there", || names(&browser).len() == 2);
    browser.press("j");
    browser.press("j");
    let ring = browser.run("return getComputedStyle(document.activeElement).outlineStyle");
    assert_eq!(ring, "solid", "it shows where the keys go");
    assert_eq!(focused(&browser), "other");
    browser.press("d");
    browser.eventually("d is down", || other.ceiling() == 3);
    browser.press("p");
    browser.eventually("p asks first", || browser.text("#confirm-title") == "Pause other?");
    browser.press("\u{e00c}");
    browser.eventually("Escape is no", || {
        browser.run("return document.querySelector('#confirm').open") == false
    });
    assert!(!other.is_paused());
    browser.run("[...document.querySelectorAll('.card')].at(-1).focus()");
    browser.press("p");
    browser.eventually("it asks again", || {
        browser.run("return document.querySelector('#confirm').open") == true
    });
    browser.run("document.querySelector('#confirm-yes').focus()");
    browser.press("\u{e007}");
    browser.eventually("Enter is yes", || other.is_paused());
    browser.run("[...document.querySelectorAll('.card')].at(-1).focus()");
    browser.press("k");
    assert_eq!(focused(&browser), "db");
    browser.press("s");
    browser.press("8");
    browser.press("\u{e007}");
    browser.eventually("s is set", || program.limiter.ceiling() == 8);
    // From one control to the next by the tabulator: all of them can be reached, and each says of
    // which limiter it is.
    browser.run("document.querySelector('.card').focus()");
    let mut reached = Vec::new();
    for _ in 0..6 {
        browser.press("\u{e004}");
        let label = browser.run(
            "return document.activeElement.getAttribute('aria-label') || document.activeElement.textContent.trim()",
        );
        reached.push(label.as_str().unwrap().to_owned());
    }
    assert_eq!(
        reached,
        ["db", "Down 2: db", "Up 1: db", "New ceiling of db", "Set: db", "Pause: db"]
    );
    // To its own page and back.
    browser.run("document.querySelector('.card').focus()");
    browser.press("\u{e007}");
    browser.eventually("Enter opens it", || query(&browser) == "/limiter?name=db");
    browser.eventually("it is there", || browser.text("#one-name") == "db");
    browser.press("3");
    browser.eventually("3 is an hour", || query(&browser) == "/limiter?name=db&range=60");
    browser.press("\u{e00c}");
    browser.eventually("Escape goes back", || {
        query(&browser).starts_with("/?") || query(&browser) == "/"
    });
    browser.eventually("to where it was", || focused(&browser) == "db");
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
#[ignore = "needs chromium and chromedriver: .ci/monitor installs them and runs this"]
fn a_name_is_only_ever_text() {
    let program = Program::start();
    let monitor = program.monitor(|builder| builder);
    let name =
        "<img src=x onerror=\"document.title='pwned'\"><script>document.title='pwned'</script>";
    let limiter = program.registry.register(Limiter::new(name, 5)).unwrap();
    for odd in ["  ", "a/b?c=d&e#f", "\u{202e}backwards", "🦀 \u{1}"] {
        program.registry.register(Limiter::new(odd, 5)).unwrap();
    }
    let browser = Browser::start();
    browser.open(&url(&monitor));
    browser.eventually("it is there", || names(&browser).iter().any(|one| one == name));
    let card = format!(
        "[...document.querySelectorAll('.card')].find(card => card.item.name === {})",
        json!(name)
    );
    assert_eq!(browser.run(&format!("return {card}.querySelector('h2').textContent")), name);
    browser.run(&format!("{card}.querySelector('[data-do=down]').click()"));
    browser.eventually("and can be turned", || limiter.ceiling() == 3);
    browser.eventually("the message", || browser.text("#said").contains("<img"));
    for odd in names(&browser) {
        browser.run(&format!("go({{ limiter: {} }})", json!(odd)));
        browser.eventually("its own page", || {
            browser.text("#one-name").trim() == odd.trim()
                || browser.text("#one-name") == "(blank name)"
        });
        browser.eventually("with numbers", || !browser.text("#one [data-v=ceiling]").is_empty());
        // And by its address alone.
        let address = query(&browser);
        browser.open(&format!("{}{}", url(&monitor), &address[1..]));
        browser.eventually("again", || !browser.text("#one [data-v=ceiling]").is_empty());
    }
    assert_eq!(browser.run("return document.querySelectorAll('main img, main script').length"), 0);
    assert_ne!(browser.run("return document.title"), "pwned");
    assert_eq!(browser.complaints(), Vec::<String>::new());
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
    browser.click("[data-do=down]");
    browser.eventually("a press is told that, too", || {
        browser.text("#said").contains("does not answer")
    });
    let _monitor = program.monitor(|builder| builder.dashboard(&address));
    browser.eventually("it is back", || browser.text("#live") == "live");
    assert_eq!(browser.run("return document.querySelector('#lost').hidden"), true);
}

#[test]
#[ignore = "needs chromium and chromedriver: .ci/monitor installs them and runs this"]
fn the_token_is_asked_for_in_words() {
    let program = Program::start();
    let token = "a-token-of-the-test";
    let browser = Browser::start();
    let open = |browser: &Browser| {
        browser.run("return document.querySelector('#token-dialog').open") == true
    };
    // Where only this machine can connect: for changes.
    let monitor = program.monitor(|builder| builder.dashboard_token(token));
    browser.open(&url(&monitor));
    browser.eventually("it is live", || browser.text("#live") == "live");
    browser.click("[data-do=down]");
    browser.eventually("it is asked for", || open(&browser));
    browser.click("#token-no");
    browser.eventually("without it, no", || browser.text("#said").contains("token is needed"));
    assert_eq!(program.limiter.ceiling(), 6);
    browser.click("[data-do=down]");
    browser.eventually("it is asked for again", || open(&browser));
    browser.type_into("#token", "a-wrong-one-indeed\u{e007}");
    browser.eventually("it says what is wrong", || {
        open(&browser) && browser.text("#token-why").contains("is not the token")
    });
    browser.type_into("#token", &format!("{token}\u{e007}"));
    browser.eventually("with it, yes", || program.limiter.ceiling() == 4);
    monitor.shutdown();
    // Where others can: before anything is told.
    let monitor = program.monitor(|builder| builder.dashboard("0.0.0.0:0").dashboard_token(token));
    let port = monitor.dashboard_address().unwrap().port();
    browser.open(&format!("http://localhost:{port}/"));
    browser.eventually("it is asked for at once", || open(&browser));
    assert_eq!(names(&browser), Vec::<String>::new());
    browser.type_into("#token", &format!("{token}\u{e007}"));
    browser.eventually("it is live", || browser.text("#live") == "live");
    browser.eventually("and there", || names(&browser) == ["db"]);
}

#[test]
#[ignore = "needs chromium and chromedriver: .ci/monitor installs them and runs this"]
fn the_page_fits_a_phone_in_the_dark_and_a_desk_in_the_light() {
    let program = Program::start();
    let monitor = program.monitor(|builder| builder);
    let long = "a-name-without-any-blank-".repeat(8);
    program.registry.register(Limiter::new(long.clone(), 5)).unwrap();
    let browser = Browser::start();
    for (width, height, scheme) in
        [(360, 740, "dark"), (390, 844, "light"), (1_280, 800, "dark"), (1_920, 1_080, "light")]
    {
        browser.size(width, height, scheme);
        browser.open(&url(&monitor));
        browser.eventually("both are there", || names(&browser).len() == 2);
        let fits = || browser.run("return document.documentElement.scrollWidth <= innerWidth");
        assert_eq!(fits(), true, "{width} wide");
        let inside = browser.run(
            "return [...document.querySelectorAll('.card')].every(card => \
               [...card.querySelectorAll('button, input')].every(control => { \
                 const box = control.getBoundingClientRect(), around = card.getBoundingClientRect(); \
                 return box.left >= around.left && box.right <= around.right && box.height >= 32; }))",
        );
        assert_eq!(inside, true, "controls at {width}");
        browser.run(&format!("go({{ limiter: {} }})", json!(long)));
        browser.eventually("drawn", || {
            browser.run("return document.querySelectorAll('#charts canvas').length") == 5
        });
        assert_eq!(fits(), true, "its own page, {width} wide");
        assert_eq!(browser.text("#one-name"), long, "all of it can be read");
    }
}

#[test]
#[ignore = "needs chromium and chromedriver: .ci/monitor installs them and runs this"]
fn many_are_a_table_that_is_sorted_and_filtered_by_its_address() {
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
    browser.eventually("they are there", || names(&browser).len() == 300);
    assert_eq!(names(&browser)[0], "limiter 000");
    browser.size(390, 844, "light");
    let screens = browser.run("return document.documentElement.scrollHeight / innerHeight");
    assert!(screens.as_f64().unwrap() < 16.0, "{screens} screens of a phone");
    browser.size(1_280, 900, "light");

    let _nine = limiters[250].try_acquire_many(9).unwrap();
    browser.click("[data-sort=full] button");
    browser.eventually("the fullest is first", || names(&browser)[0] == "limiter 250");
    assert_eq!(query(&browser), "/?order=full");
    let sorted = "return document.querySelector('[data-sort=full]').getAttribute('aria-sort')";
    browser.eventually("it says so", || browser.run(sorted) == "descending");
    browser.click("[data-sort=full] button");
    browser.eventually("the other way round", || names(&browser)[299] == "limiter 250");
    browser.eventually("it says so", || browser.run(sorted) == "ascending");
    assert_eq!(query(&browser), "/?order=full&reverse=true");
    browser.click("[data-sort=full] button");
    browser.run("document.activeElement.blur()");
    browser.eventually("and back", || names(&browser)[0] == "limiter 250");
    // What has the keyboard stays where it is, though another one is fuller now.
    browser.press("j");
    assert_eq!(focused(&browser), "limiter 250");
    let _ten = limiters[100].try_acquire_many(10).unwrap();
    browser.eventually("it is seen", || {
        browser.run("return rows.get('limiter 100').limiter.in_flight") == 10
    });
    assert_eq!(
        (names(&browser)[0].as_str(), focused(&browser)),
        ("limiter 250", json!("limiter 250"))
    );
    browser.run("document.activeElement.blur()");
    browser.eventually("now it may move", || names(&browser)[0] == "limiter 100");

    browser.type_into("#filter", "ER 25");
    browser.eventually("those that match", || names(&browser).len() == 10);
    browser.eventually("in the address", || query(&browser) == "/?q=ER+25&order=full");
    // The address is all there is to know.
    browser.open(&format!("{}?q=ER+25&order=full", url(&monitor)));
    browser.eventually("the same", || {
        names(&browser).len() == 10 && names(&browser)[0] == "limiter 250"
    });
    assert_eq!(browser.run("return document.querySelector('#filter').value"), "ER 25");
    browser.click("tbody tr:first-child a");
    browser.eventually("its own page", || browser.text("#one-name") == "limiter 250");
    browser.run("history.back()");
    browser.eventually("back to the same", || names(&browser).len() == 10);
    assert_eq!(query(&browser), "/?q=ER+25&order=full");
    browser.click("tbody tr:first-child [data-do=down]");
    browser.eventually("a row has buttons, too", || limiters[250].ceiling() == 8);
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
#[ignore = "needs chromium and chromedriver: .ci/monitor installs them and runs this"]
fn a_limiter_has_a_page_with_ranges_and_zoom_in_its_address() {
    let program = Program::start();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("stats.db");
    let monitor = program.monitor(|builder| builder.history(&file).run_id("browser"));
    let browser = Browser::start();
    browser.open(&format!("{}limiter?name=db&range=5", url(&monitor)));
    browser.eventually("its numbers", || browser.text("#one [data-v=ceiling]") == "6");
    browser.eventually("its charts", || {
        browser.run("return one.plots.length === 5 && one.plots[0].data[0].length > 20") == true
    });
    let pressed =
        "return document.querySelector('#ranges [aria-pressed=true]')?.textContent ?? null";
    assert_eq!(browser.run(pressed), "5 min");
    let cap = program.limiter.cap("replica lag").unwrap();
    cap.set(3);
    browser.eventually("what binds", || browser.text("#caps") == "replica lag3");
    browser.eventually("is a change", || {
        browser.text("#changes").contains("capped at 3 by replica lag")
    });
    browser
        .eventually("and said", || browser.text("#one .badges").contains("capped by replica lag"));
    assert_eq!(browser.text("#one [data-v=setting]"), "set to 6, of 1 to 12");
    browser.eventually("waits are shown", || {
        browser.run("return one.plots[2].data[2].filter(n => n > 0).length > 3") == true
    });
    // A chart says in words what it shows.
    let label = browser.run("return document.querySelector('.plot').getAttribute('aria-label')");
    assert!(
        label.as_str().unwrap().starts_with("In flight and ceiling: in flight now "),
        "{label}"
    );

    // Dragging zooms; the address says where.
    browser.drag(".plot .u-over", 0.97, 0.995);
    browser.eventually("it is zoomed", || query(&browser).contains("&from="));
    assert_eq!(browser.run(pressed), Value::Null);
    let range = browser.run("return one.range[1] - one.range[0]").as_f64().unwrap();
    assert!((3_000.0..20_000.0).contains(&range), "{range} ms of 300,000");
    let address = query(&browser);
    browser.open(&format!("{}{}", url(&monitor), &address[1..]));
    browser.eventually("the same by its address", || {
        browser.run("return one?.range ? one.range[1] - one.range[0] : 0").as_f64().unwrap() - range
            < 2.0
            && browser.run("return one?.fixed ?? false") == true
    });
    browser.click("#zoom-out");
    browser.eventually("zoomed out", || {
        browser.run("return one.range[1] - one.range[0]").as_f64().unwrap() > range * 1.9
    });
    browser.run("history.back()");
    browser.eventually("back is back", || query(&browser) == address);
    for (button, range) in [(3, "60"), (6, "10080")] {
        browser.click(&format!("#ranges button:nth-child({button})"));
        browser
            .eventually("another range", || query(&browser).ends_with(&format!("range={range}")));
        browser.eventually("drawn", || {
            let minutes =
                browser.run("return (one.range[1] - one.range[0]) / 60000").as_f64().unwrap();
            (minutes - range.parse::<f64>().unwrap()).abs() < 0.01
        });
    }
    // The past comes from the database: also that of before the page was opened.
    browser.eventually("with the past", || {
        browser.run("return one.points.some(point => !point.live && point.wait_p99_ms > 0)") == true
    });
    program.registry.remove("db");
    browser.eventually("one that is gone is told", || {
        browser.text(".gone").contains("no longer registered")
    });
    browser.open(&format!("{}limiter?name=nobody", url(&monitor)));
    browser.eventually("so is one that never was", || {
        browser.text(".gone").contains("No limiter of this name")
    });
}

#[test]
#[ignore = "needs chromium and chromedriver: .ci/monitor installs them and runs this"]
fn what_was_pressed_can_be_taken_back() {
    let program = Program::start();
    let monitor = program.monitor(|builder| builder);
    let other = program.registry.register(Limiter::new("other", 5)).unwrap();
    let browser = Browser::start();
    browser.open(&url(&monitor));
    browser.eventually("both are there", || names(&browser).len() == 2);
    browser.click("[data-do=down]");
    browser.eventually("it is down", || program.limiter.ceiling() == 4);
    browser.eventually("undo is offered", || browser.shown("#undo"));
    browser.click("#undo");
    browser.eventually("it is up again, whatever the hold", || program.limiter.ceiling() == 6);
    browser.eventually("that is told", || browser.text("#said") == "db: raised from 4 to 6");
    assert!(!browser.shown("#undo"), "once");
    // Not over somebody else's head.
    browser.run("document.querySelectorAll('.card')[1].querySelector('[data-do=down]').click()");
    browser.eventually("the other is down", || other.ceiling() == 3);
    browser.eventually("undo is offered", || browser.text("#said").starts_with("other: lowered"));
    let _ = other.set_ceiling(2);
    browser.click("#undo");
    browser.eventually("it has been changed", || {
        browser.text("#said").contains("not undone: it has been changed meanwhile: it is set to 2")
    });
    assert_eq!(other.ceiling(), 2);
    // All of them, once confirmed.
    let both = || (program.limiter.setting(), other.setting());
    let _ = (
        program.limiter.reconfigure(program.limiter.throttle().hold(Duration::ZERO)),
        other.reconfigure(other.throttle().hold(Duration::ZERO)),
    );
    browser.click("#all-down");
    browser.eventually("it asks", || {
        browser.text("#confirm-title") == "Lower all 2 limiters by one step?"
    });
    browser.click("#confirm button[value=no]");
    assert_eq!(both(), (6, 2));
    browser.click("#all-down");
    browser.eventually("it asks again", || browser.shown("#confirm"));
    browser.click("#confirm-yes");
    browser.eventually("all are lower", || both() == (4, 1));
    browser.eventually("that is told", || browser.text("#said").starts_with("All down: 2 changed"));
    browser.click("#undo");
    browser.eventually("all are back", || both() == (6, 2));
    browser.eventually("that is told", || browser.text("#said") == "Undone: 2 of 2");
}

#[test]
#[ignore = "needs chromium and chromedriver: .ci/monitor installs them and runs this"]
fn nothing_is_in_the_way_of_those_who_cannot_see_it() {
    let axe =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/axe-core/axe.min.js");
    let axe = std::fs::read_to_string(&axe)
        .unwrap_or_else(|error| panic!("{}: {error}: .ci/monitor fetches it", axe.display()));
    let program = Program::start();
    let monitor = program.monitor(|builder| builder);
    let browser = Browser::start();
    let check = |what: &str| {
        browser.run(&format!("if (!window.axe) {{ {axe} }}"));
        let found = browser.run_async(
            "const done = arguments[arguments.length - 1]; \
             axe.run(document, { resultTypes: ['violations'] }).then(({ violations }) => done(violations.map(one => \
               `${one.id}: ${one.help}: ${one.nodes.slice(0, 3).map(node => node.html.slice(0, 160)).join(' | ')}`)));",
        );
        assert_eq!(found, json!([]), "{what}");
    };
    for (width, height, scheme) in [(1_280, 800, "light"), (390, 844, "dark")] {
        browser.size(width, height, scheme);
        browser.open(&url(&monitor));
        browser.eventually("it is live", || {
            browser.text("#live") == "live" && !names(&browser).is_empty()
        });
        check("cards");
        browser.run("document.querySelector('.card [data-do=pause]').click()");
        browser.eventually("it asks", || browser.shown("#confirm"));
        check("a question");
        browser.run("document.querySelector('#confirm').close()");
        browser.run("wantToken('')");
        browser.eventually("it asks", || browser.shown("#token-dialog"));
        check("the token");
        browser.open(&format!("{}limiter?name=db", url(&monitor)));
        browser.eventually("its charts", || browser.run("return one?.plots.length ?? 0") == 5);
        browser.press("u");
        browser.eventually("a message", || browser.shown("#toast"));
        check("its own page");
    }
    let more: Vec<_> = (0..30)
        .map(|i| program.registry.register(Limiter::new(format!("limiter {i}"), 2)).unwrap())
        .collect();
    more[3].pause();
    let _permits = more[4].try_acquire_many(2).unwrap();
    for (width, height, scheme) in [(1_280, 800, "dark"), (390, 844, "light")] {
        browser.size(width, height, scheme);
        browser.open(&format!("{}?order=full", url(&monitor)));
        browser.eventually("a table", || names(&browser).len() == 31);
        check("the table");
    }
}

#[test]
#[ignore = "needs chromium and chromedriver: .ci/monitor installs them and runs this"]
fn durations_are_in_the_same_words_everywhere() {
    let program = Program::start();
    let monitor = program.monitor(|builder| builder);
    let browser = Browser::start();
    browser.open(&url(&monitor));
    let table: Value = serde_json::from_str(include_str!("data/durations.json")).unwrap();
    for pair in table.as_array().unwrap() {
        assert_eq!(browser.run(&format!("return duration({})", pair[0])), pair[1], "{pair}");
    }
}

/// What the tasks themselves have seen of a load that is known: 8 of them, 5 at a time, 100 ms each.
#[derive(Default)]
struct Truth {
    waits: Mutex<Vec<Duration>>,
    at_once: AtomicU64,
    refused: AtomicU64,
    timed_out: AtomicU64,
}

impl Truth {
    /// A request that took this long to be granted; less than a few ms is no wait but the machine.
    fn granted(&self, after: Duration) {
        if after < Duration::from_millis(3) {
            self.at_once.fetch_add(1, Ordering::Relaxed);
        } else {
            self.waits.lock().unwrap().push(after);
        }
    }

    fn quantile(&self, share: f64) -> f64 {
        let mut waits = self.waits.lock().unwrap().clone();
        waits.sort();
        let rank = (share * waits.len() as f64).ceil() as usize;
        waits[rank.clamp(1, waits.len()) - 1].as_secs_f64() * 1e3
    }
}

/// The end of the bucket in which this share of the waits has ended, from `/metrics`.
fn quantile_of(metrics: &str, share: f64) -> f64 {
    let buckets = metrics.lines().filter_map(|line| {
        let rest = line.strip_prefix("limiter_wait_seconds_bucket{limiter=\"db\",le=\"")?;
        let (end, count) = rest.split_once("\"} ")?;
        Some((end.parse::<f64>().unwrap_or(f64::INFINITY), count.parse::<f64>().unwrap()))
    });
    let buckets: Vec<_> = buckets.collect();
    let rank = share * buckets.last().unwrap().1;
    buckets.iter().find(|(_, count)| *count >= rank).unwrap().0 * 1e3
}

fn counter_of(metrics: &str, series: &str) -> f64 {
    let value = metrics.lines().find_map(|line| line.strip_prefix(series)).unwrap();
    value.trim().parse().unwrap()
}

/// "118 ms", "50/s", "62 %", in milliseconds, or as a plain number.
fn number_in(text: &str) -> f64 {
    let plain: String = text.chars().filter(|c| c.is_ascii_digit() || *c == '.').collect();
    let factor = if text.ends_with(" s") {
        1e3
    } else if text.ends_with("µs") {
        1e-3
    } else {
        1.0
    };
    plain.parse::<f64>().unwrap_or_else(|_| panic!("{text:?}")) * factor
}

#[test]
#[ignore = "needs chromium and chromedriver: .ci/monitor installs them and runs this"]
fn the_numbers_are_those_of_a_known_load() {
    let registry = Arc::new(Registry::new());
    let limiter = registry.register(Limiter::new("db", 5)).unwrap();
    let monitor = Monitor::builder(registry)
        .sample_every(Duration::from_millis(500))
        .dashboard("127.0.0.1:0")
        .start()
        .unwrap();
    let browser = Browser::start();
    browser.open(&format!("{}limiter?name=db", url(&monitor)));
    browser.eventually("it is live", || browser.text("#live") == "live");
    let (truth, stop) = (Truth::default(), AtomicBool::new(false));
    let mut rates = Vec::new();
    let began = Instant::now();
    let running = thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let asked = Instant::now();
                    let permit = limiter.acquire_blocking().unwrap();
                    truth.granted(asked.elapsed());
                    // The load itself: each holds its permit for 100 ms.
                    thread::sleep(Duration::from_millis(100));
                    drop(permit);
                }
            });
        }
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                match limiter.try_acquire() {
                    Ok(permit) => {
                        truth.granted(Duration::ZERO);
                        drop(permit);
                    }
                    Err(_) => {
                        truth.refused.fetch_add(1, Ordering::Relaxed);
                    }
                }
                let asked = Instant::now();
                match limiter.acquire().blocking_timeout(Duration::from_millis(10)) {
                    Ok(permit) => {
                        truth.granted(asked.elapsed());
                        drop(permit);
                    }
                    Err(_) => {
                        truth.timed_out.fetch_add(1, Ordering::Relaxed);
                    }
                }
                thread::sleep(Duration::from_millis(150));
            }
        });
        while began.elapsed() < Duration::from_secs(12) {
            let rate = browser.text("#one [data-v=rate]");
            if began.elapsed() > Duration::from_secs(2) {
                rates.push(number_in(&rate));
            }
            thread::sleep(Duration::from_millis(250));
        }
        stop.store(true, Ordering::Relaxed);
        began.elapsed().as_secs_f64()
    });
    monitor.flush().unwrap();
    let granted = truth.at_once.load(Ordering::Relaxed) + truth.waits.lock().unwrap().len() as u64;
    let refused = truth.refused.load(Ordering::Relaxed) as f64;
    let timed_out = truth.timed_out.load(Ordering::Relaxed) as f64;
    browser.eventually("the last sample is shown", || {
        browser.run("return one.limiter.acquired") == granted
            && browser.run("return one.limiter.in_flight") == 0
    });
    let page = |value: &str| number_in(&browser.text(&format!("#one [data-v={value}]")));
    let mut answer = ureq::get(format!("{}metrics", url(&monitor))).call().unwrap();
    let metrics = answer.body_mut().read_to_string().unwrap();
    let all = granted as f64 + timed_out;
    let waited = truth.waits.lock().unwrap().len() as f64 + timed_out;
    let count = |name: &str| counter_of(&metrics, &format!("{name}{{limiter=\"db\"}}"));
    let rate = rates.iter().sum::<f64>() / rates.len() as f64;
    let no_permits = "limiter_refused_total{limiter=\"db\",reason=\"no_permits\"}";
    // Of the last column, how far the others may be off, as a factor: a bucket is a quarter wide.
    let table = [
        (
            "waited, %",
            100.0 * waited / all,
            page("share"),
            100.0 * count("limiter_waited_total")
                / (count("limiter_acquired_total") + count("limiter_cancelled_total")),
            1.03,
        ),
        ("p50, ms", truth.quantile(0.5), page("p50"), quantile_of(&metrics, 0.5), 1.26),
        ("p99, ms", truth.quantile(0.99), page("p99"), quantile_of(&metrics, 0.99), 1.26),
        (
            "granted a second",
            granted as f64 / running,
            rate,
            count("limiter_acquired_total") / running,
            1.08,
        ),
        ("refused", refused, page("refused"), counter_of(&metrics, no_permits), 1.0),
        ("timed out", timed_out, page("cancelled"), count("limiter_cancelled_total"), 1.0),
    ];
    println!("| | truth | page | /metrics |\n|---|---|---|---|");
    for (what, truth, page, metrics, _) in table {
        println!("| {what} | {truth:.1} | {page:.1} | {metrics:.1} |");
    }
    for (what, truth, page, metrics, factor) in table {
        for shown in [page, metrics] {
            assert!(
                shown <= truth * factor + 0.6 && shown >= truth / factor - 0.6,
                "{what}: {truth} is shown as {shown}"
            );
        }
    }
}
