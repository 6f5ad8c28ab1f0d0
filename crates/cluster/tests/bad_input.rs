//! Servers that will not do, and answers that are not what was asked for: a clear state, no panic, and never
//! more than the floor.

#![cfg(feature = "redis")]

mod support;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;
use std::time::Duration;

use grmgr::{Handle, Limiter};
use grmgr_cluster::{
    LeaseClock, Member, RedisStore, Request, Risk, ShareStore, StartError, State, StoreError,
    Terms, Warning, Why,
};
use support::{Server, free_port, soon};

const PATIENCE: Duration = Duration::from_secs(20);
const TERMS: Terms =
    Terms { total: 9, floor: 0, max_members: 0, ttl: 1_000, max_hold: 0, max_lag: 0 };

fn limiter() -> Handle {
    let limiter = Limiter::builder("db").ceiling(9).run_alone(false).clock(LeaseClock);
    limiter.build().unwrap().into()
}

fn start(limiter: &Handle, url: &str) -> Member {
    let builder = Member::builder(limiter.clone()).redis(url).total(9).floor(2).max_members(2);
    builder.ttl(Duration::from_secs(1)).max_lag(Duration::ZERO).start().unwrap()
}

/// The reason for which a member of this server stays at its floor.
fn why(url: &str) -> StoreError {
    let limiter = limiter();
    let member = start(&limiter, url);
    let mut found = None;
    soon(PATIENCE, "a reason", || {
        assert_eq!(limiter.ceiling(), 2);
        if let State::Alone { why: Why::Store(error), floor: 2, .. } = member.state() {
            found = Some(error);
        }
        found.is_some()
    });
    let text = format!("{member:?} {:?} {}", member.warnings(), member.state());
    assert!(!text.contains("secret"), "{text}");
    found.unwrap()
}

/// A server that answers each command with the next of these texts, and with the last one for good.
fn fake(answers: &'static [&'static str]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            thread::spawn(move || {
                let mut buffer = [0; 65536];
                // What the client says of itself is a pipeline of two, answered as one.
                let mut answers = ["+OK\r\n+OK\r\n"].iter().chain(answers).peekable();
                while let Ok(1..) = stream.read(&mut buffer) {
                    let answer = answers.next().or(answers.peek().copied());
                    let answer = *answer.unwrap_or(&"+nonsense\r\n");
                    if stream.write_all(answer.as_bytes()).is_err() {
                        return;
                    }
                }
            });
        }
    });
    format!("redis://127.0.0.1:{port}")
}

#[test]
fn a_server_that_is_not_there() {
    assert!(matches!(
        why(&format!("redis://127.0.0.1:{}", free_port())),
        StoreError::Unreachable(_)
    ));
}

#[test]
fn a_host_that_does_not_exist() {
    assert!(matches!(why("redis://no-such-host.invalid"), StoreError::Unreachable(_)));
}

#[test]
fn an_address_that_is_none_shows_no_password() {
    for address in ["", "secret", "http://user:secret@host", "redis://user:secret@host:99999"] {
        let builder = Member::builder(limiter()).redis(address).total(9);
        let shown = format!("{builder:?}");
        let error = builder.start().unwrap_err();
        assert!(matches!(error, StartError::Address), "{address}");
        assert!(!format!("{shown} {error} {error:?}").contains("secret"));
    }
    let store = RedisStore::new("redis://user:secret@host").unwrap();
    assert!(!format!("{store:?}").contains("secret"));
}

#[test]
fn a_server_that_is_too_old() {
    let url = fake(&["$19\r\nredis_version:6.2.6\r\n"]);
    assert_eq!(why(&url), StoreError::TooOld("6.2.6".into()));
}

#[test]
fn answers_that_are_not_what_was_asked_for() {
    const NEW: &str = "$17\r\nredis_version:7.0\r\n";
    const ROLE: &str = "$33\r\nrole:master\r\nconnected_slaves:0\r\n\r\n";
    let cases: [&'static [&'static str]; 8] = [
        &["GET / HTTP/1.1\r\n\r\n"],
        &["\u{0}\u{1}\u{2}"],
        &["+OK\r\n"],
        &["$11\r\nnothing:yet\r\n"],
        &["$25\r\nredis_version:7.0.0-secre\r\n", "*0\r\n"],
        &[NEW, ROLE, "+OK\r\n"],
        &[NEW, ROLE, "*2\r\n:1\r\n:0\r\n"],
        // Fifteen numbers, and none of them makes sense.
        &[
            NEW,
            ROLE,
            "*15\r\n:1\r\n:0\r\n:9\r\n:9\r\n:1\r\n:1\r\n:0\r\n:1\r\n:1\r\n:-9\r\n:0\r\n:0\r\n:9999999999999\r\n:0\r\n:0\r\n",
        ],
    ];
    for case in cases {
        let error = why(&fake(case));
        // Those that get as far as the script's answer.
        assert!(case.len() < 3 || matches!(error, StoreError::Garbage(_)), "{error:?}");
        assert!(
            matches!(error, StoreError::Garbage(_) | StoreError::Unreachable(_)),
            "{case:?}: {error:?}"
        );
    }
}

#[test]
fn a_server_that_repeats_the_password_in_its_error() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut buffer = [0; 65536];
            while let Ok(1..) = stream.read(&mut buffer) {
                let error = "-ERR unknown command 'AUTH', with args beginning with: 'secret'\r\n";
                let _ = stream.write_all(error.repeat(3).as_bytes());
            }
        }
    });
    // `why` looks for the password in all that is shown.
    why(&format!("redis://:secret@127.0.0.1:{port}"));
}

#[test]
#[ignore = "needs redis-server"]
fn a_wrong_password() {
    let server = Server::start(&["--requirepass", "right"]);
    let port = server.port;
    for url in [
        format!("redis://:secret@127.0.0.1:{port}"),
        format!("redis://user:secret@127.0.0.1:{port}"),
        format!("redis://127.0.0.1:{port}"),
    ] {
        let error = why(&url);
        assert!(matches!(error, StoreError::Refused(_)), "{error:?}");
    }
    let limiter = limiter();
    let _member = start(&limiter, &server.url());
    soon(PATIENCE, "a share", || limiter.ceiling() > 2);
}

#[test]
#[ignore = "needs redis-server"]
fn a_user_that_may_do_what_the_docs_say() {
    let server = Server::start(&[]);
    let acl = "ACL SETUSER app on >secret ~grmgr:{*}:* +evalsha +script|load +info +time +@hash \
               +@sortedset +del +pexpire";
    let _: () = server.command(&acl.split_whitespace().collect::<Vec<_>>());
    let limiter = limiter();
    let _member = start(&limiter, &format!("redis://app:secret@127.0.0.1:{}", server.port));
    soon(PATIENCE, "a share", || limiter.ceiling() > 2);
    let _: () = server.command(&["ACL", "SETUSER", "app", "-evalsha"]);
    soon(PATIENCE, "the floor", || limiter.ceiling() == 2);
    let error = why(&format!("redis://app:secret@127.0.0.1:{}", server.port));
    assert!(matches!(error, StoreError::Refused(_)), "{error:?}");
}

#[test]
#[ignore = "needs redis-server"]
fn a_replica_and_a_primary_without_its_replicas_grant_nothing() {
    let primary = Server::start(&["--min-replicas-to-write", "1"]);
    assert!(matches!(why(&primary.url()), StoreError::ReadOnly(_)));
    let replica = Server::start(&[]);
    let _: () = replica.command(&["REPLICAOF", "127.0.0.1", &primary.port.to_string()]);
    assert!(matches!(why(&replica.url()), StoreError::ReadOnly(_)));
}

#[test]
#[ignore = "needs redis-server"]
fn a_server_without_memory_grants_nothing() {
    let server = Server::start(&[]);
    let _: () = server.command(&["CONFIG", "SET", "maxmemory", "1"]);
    assert!(matches!(why(&server.url()), StoreError::ReadOnly(_)));
}

#[test]
#[ignore = "needs redis-server"]
fn a_primary_that_goes_on_after_a_promotion_is_warned_of() {
    let [primary, replica] = [Server::start(&[]), Server::start(&[])];
    let mut request = Request::first("db", "a", 1, Terms { max_lag: 4_000, ..TERMS });
    let mut risk = || {
        request.seq += 1;
        let mut store = RedisStore::new(&primary.url()).unwrap();
        store.refresh(&request).unwrap();
        store.risk()
    };
    // Without a replica there is nothing to promote.
    assert_eq!(risk(), None);
    let _: () = replica.command(&["REPLICAOF", "127.0.0.1", &primary.port.to_string()]);
    soon(PATIENCE, "the replica is up", || {
        let info: String = replica.command(&["INFO", "replication"]);
        info.contains("master_link_status:up")
    });
    let unguarded = Some(Risk::Unguarded { max_lag: Duration::from_secs(2) });
    assert_eq!(risk(), unguarded);
    let _: () = primary.command(&["CONFIG", "SET", "min-replicas-max-lag", "2"]);
    let _: () = primary.command(&["CONFIG", "SET", "min-replicas-to-write", "1"]);
    thread::sleep(Duration::from_millis(1_500));
    assert_eq!(risk(), None);
    // More than the quiet time allows for.
    let _: () = primary.command(&["CONFIG", "SET", "min-replicas-max-lag", "10"]);
    assert_eq!(risk(), unguarded);
    // And a member says so.
    let limiter = limiter();
    let member = start(&limiter, &primary.url());
    soon(PATIENCE, "a warning", || {
        member.warnings().iter().any(|warning| matches!(warning, Warning::Risk(_)))
    });
}

#[test]
#[ignore = "needs redis-server"]
fn pools_with_odd_names_are_pools_of_their_own() {
    let server = Server::start(&[]);
    let names = ["{a}", "a", "", " ", "a:leases", "}{", "ä\n\u{0}", "%7Ba%7D", &"x".repeat(5_000)];
    for name in names {
        let mut store = RedisStore::new(&server.url()).unwrap();
        let answer = store.refresh(&Request::first(name, "member", 1, TERMS)).unwrap();
        assert_eq!((answer.epoch, answer.members), (1, 1), "{name:?}");
    }
    let keys: Vec<String> = server.command(&["KEYS", "*"]);
    assert_eq!(keys.len(), 4 * names.len());
}

#[test]
#[ignore = "needs redis-server"]
fn keys_that_hold_something_else_grant_nothing() {
    let server = Server::start(&[]);
    let _: () = server.command(&["SET", "grmgr:{db}:meta", "mine"]);
    assert!(matches!(why(&server.url()), StoreError::Garbage(_)));
}
