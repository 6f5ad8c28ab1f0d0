//! Settings from a configuration file.

use std::time::Duration;

use grmgr::{Builder, Config, ConfigError, Limiter, ManualClock, Step};

fn parse(text: &str) -> Result<Config, String> {
    toml::from_str(text).map_err(|error| error.to_string())
}

#[test]
fn all_options_are_read() {
    let config = parse(
        r#"
        name = "db"
        ceiling = 20
        min = 0
        max = 50
        up = 5
        down = 10
        hold = "1m 30s"
        patience = 0
        max_waiting = 2
        "#,
    )
    .unwrap();
    let limiter = Limiter::try_from(config).unwrap();
    assert_eq!(limiter.name(), "db");
    assert_eq!(limiter.ceiling(), 20);
    let throttle = limiter.throttle();
    assert_eq!((throttle.min, throttle.max), (0, 50));
    assert_eq!((throttle.up, throttle.down), (Step::By(5), Step::By(10)));
    assert_eq!(throttle.hold_up, Duration::from_secs(90));
}

#[test]
fn options_left_out_have_the_builders_defaults() {
    let limiter = Limiter::try_from(parse("name = 'db'\nceiling = 20").unwrap()).unwrap();
    let built = Limiter::builder("db").ceiling(20).build().unwrap();
    assert_eq!(limiter.throttle(), built.throttle());
}

#[test]
fn config_can_be_given_a_clock() {
    let config = parse("name = 'db'\nceiling = 20\nhold = '5s'").unwrap();
    let clock = ManualClock::new();
    let limiter = Builder::from(config).clock(clock.clone()).build().unwrap();
    let _ = limiter.down();
    clock.advance(Duration::from_secs(2));
    assert_eq!(limiter.snapshot().hold_up_remaining, Duration::from_secs(3));
}

#[test]
fn bad_values_are_named() {
    for (line, wanted) in [
        ("hold = '30 bananas'", "`hold`: \"30 bananas\" is no duration"),
        ("hold = 30", "`hold`: "),
        ("min = -1", "`min`: "),
        ("max = 'many'", "`max`: "),
        ("up = 1.5", "`up`: "),
        ("patience = 4294967296", "`patience`: "),
        ("celing = 3", "unknown field `celing`"),
    ] {
        let error = parse(&format!("name = 'db'\nceiling = 20\n{line}")).unwrap_err();
        assert!(error.contains(wanted), "{line}: {error}");
    }
    assert!(parse("name = 'db'").unwrap_err().contains("missing field `ceiling`"));
    // Also in a format whose errors give no more than a position.
    let error = serde_json::from_str::<Config>(r#"{"name": "db", "ceiling": "20"}"#).unwrap_err();
    assert!(error.to_string().contains("`ceiling`: "), "{error}");
}

#[test]
fn values_that_make_no_sense_are_refused_when_the_limiter_is_made() {
    let config = parse("name = 'db'\nceiling = 20\nmin = 30\nmax = 25").unwrap();
    assert_eq!(
        Limiter::try_from(config).unwrap_err(),
        ConfigError::MinAboveMax { min: 30, max: 25 }
    );
}

#[test]
fn what_is_written_can_be_read() {
    let config = parse("name = 'db'\nceiling = 20\nhold = '250ms'").unwrap();
    let text = serde_json::to_string(&config).unwrap();
    assert_eq!(text, r#"{"name":"db","ceiling":20,"hold":"250ms"}"#);
    assert_eq!(serde_json::from_str::<Config>(&text).unwrap(), config);
}
