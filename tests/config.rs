//! Settings from a configuration file.

use std::time::Duration;

use grmgr::{Builder, Config, ConfigError, Configs, Limiter, ManualClock, Step};

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
        down = "50%"
        hold = "1m 30s"
        hold_down = "250ms"
        patience = 0
        max_waiting = 2
        run_alone = false
        "#,
    )
    .unwrap();
    let in_code = Config::new("db", 20).min(0).max(50).up(5).down(Step::Percent(50));
    let in_code = in_code.hold(Duration::from_secs(90)).hold_down(Duration::from_millis(250));
    assert_eq!(config, in_code.patience(0).max_waiting(2).run_alone(false));
    let limiter = Limiter::try_from(config).unwrap();
    assert_eq!(limiter.name(), "db");
    assert_eq!(limiter.ceiling(), 20);
    let throttle = limiter.throttle();
    assert_eq!((throttle.min, throttle.max), (0, 50));
    assert_eq!((throttle.up, throttle.down), (Step::By(5), Step::Percent(50)));
    assert_eq!(throttle.hold_up, Duration::from_secs(90));
    assert_eq!(throttle.hold_down, Duration::from_millis(250));
}

#[test]
fn hold_of_one_direction_goes_before_that_of_both() {
    let [up, down, both] = [1, 2, 3].map(Duration::from_secs);
    let in_code = Config::new("db", 20).hold_up(up).hold_down(down).hold(both);
    let lines = "hold_up = '1s'\nhold_down = '2s'\nhold = '3s'";
    assert_eq!(parse(&format!("name = 'db'\nceiling = 20\n{lines}")).unwrap(), in_code);
    let throttle = Limiter::try_from(in_code).unwrap().throttle();
    assert_eq!((throttle.hold_up, throttle.hold_down), (up, down));
}

#[cfg(feature = "stats")]
#[test]
fn tracking_is_an_option_of_a_file() {
    for (line, tracks) in [("track_holders = true", 1), ("track_holders = false", 0), ("", 0)] {
        let config = parse(&format!("name = 'db'\nceiling = 20\n{line}")).unwrap();
        let limiter = Limiter::try_from(config).unwrap();
        let _permit = limiter.try_acquire().unwrap();
        assert_eq!(limiter.holders().len(), tracks, "{line}");
    }
    assert!(parse("name = 'db'\nceiling = 20\ntrack_holders = 1").unwrap_err().contains("`track_"));
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
        ("up = -1", "`up`: "),
        ("down = '50'", "`down`: invalid value: string \"50\", expected a number of permits, or a"),
        ("down = '300%'", "`down`: "),
        ("hold_up = 'soon'", "`hold_up`: \"soon\" is no duration"),
        ("hold_down = 'soon'", "`hold_down`: "),
        ("run_alone = 'maybe'", "`run_alone`: "),
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
    let error = Limiter::try_from(config).unwrap_err();
    assert_eq!(error.error, ConfigError::MinAboveMax { min: 30, max: 25 });
    assert!(error.to_string().starts_with("limiter \"db\": `min` is 30"), "{error}");
    for (config, option) in [
        (Config::new("db", 20).up(Step::Percent(0)), "`up` is 0 %"),
        (Config::new("db", 20).max(10), "`ceiling` is 20"),
        (Config::new("db", 0), "`ceiling` is 0"),
    ] {
        let error = Limiter::try_from(config).unwrap_err().to_string();
        assert!(error.starts_with("limiter \"db\": ") && error.contains(option), "{error}");
    }
}

#[test]
fn what_is_written_can_be_read() {
    let config = parse("name = 'db'\nceiling = 20\nup = 5\ndown = '50%'\nhold = '250ms'").unwrap();
    let text = serde_json::to_string(&config).unwrap();
    let written = r#"{"name":"db","ceiling":20,"up":5,"down":"50%","hold":"250ms"}"#;
    assert_eq!(text, written);
    assert_eq!(serde_json::from_str::<Config>(&text).unwrap(), config);
}

/// A file with a list, or a map, of limiters.
#[derive(Debug, serde::Deserialize)]
struct File {
    limiters: Configs,
}

fn parse_file(text: &str) -> Result<Configs, String> {
    toml::from_str(text).map(|file: File| file.limiters).map_err(|error| error.to_string())
}

#[test]
fn limiters_stand_in_a_list_or_in_a_map() {
    let list = "[[limiters]]\nname = 'api'\nceiling = 8\n\n\
                [[limiters]]\nname = 'db'\nceiling = 20\ndown = '50%'";
    let map = "[limiters.api]\nceiling = 8\n\n[limiters.db]\nceiling = 20\ndown = '50%'";
    let wanted = [Config::new("api", 8), Config::new("db", 20).down(Step::Percent(50))];
    assert_eq!(parse_file(list).unwrap().0, wanted);
    assert_eq!(parse_file(map).unwrap().0, wanted);
    assert!(parse_file(map).unwrap().into_iter().eq(wanted.clone()));
    assert_eq!(parse_file("limiters = []").unwrap().0, []);
    let json = r#"{"db": {"ceiling": 20}}"#;
    assert_eq!(serde_json::from_str::<Configs>(json).unwrap().0, [Config::new("db", 20)]);
    let written = serde_json::to_string(&Configs(wanted.to_vec())).unwrap();
    assert_eq!(serde_json::from_str::<Configs>(&written).unwrap().0, wanted);
}

#[test]
fn mistakes_in_a_map_name_the_limiter_and_the_option() {
    for (text, wanted) in [
        ("[limiters.db]\nceiling = 20\nmax = 'many'", "limiter \"db\": `max`: "),
        ("[limiters.db]\nceiling = 20\ncelling = 3", "limiter \"db\": unknown field `celling`"),
        ("[limiters.db]\nmin = 1", "limiter \"db\": missing field `ceiling`"),
        ("[limiters.db]\nname = 'other'\nceiling = 1", "limiter \"db\": duplicate field `name`"),
        ("[limiters]\ndb = 20", "limiter \"db\": invalid type: integer"),
        ("[limiters]\ndb = 20", "expected the settings of a limiter"),
        ("limiters = 20", "expected a list of limiters, or a map"),
    ] {
        let error = parse_file(text).unwrap_err();
        assert!(error.contains(wanted), "{error}");
    }
}
