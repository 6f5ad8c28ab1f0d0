//! A store in a Redis or Valkey server.

use std::fmt;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use ::redis::{
    Client, Connection, ConnectionAddr, ConnectionInfo, ErrorKind, IntoConnectionInfo, RedisError,
    Script, ServerErrorKind, cmd,
};

use crate::{Answer, Request, Risk, ShareStore, StoreError, Terms};

static SCRIPT: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("script.lua")));

/// How often it is looked whether the server is guarded.
const RISK_EVERY: Duration = Duration::from_secs(60);
/// A server looks once a second for replicas that lag, and counts whole seconds.
const LAG_SLACK: Duration = Duration::from_secs(2);
/// The oldest server with what the script needs.
const OLDEST: u32 = 7;

/// Keeps shares in a server that speaks the protocol of Redis 7 or newer: Redis itself, or Valkey.
///
/// A refresh is one call of a script. The user needs the commands `evalsha`, `script|load`, `info`,
/// `time`, and for the keys `grmgr:{POOL}:*` `del`, `pexpire` and those on hashes and sorted sets; `config|get` lets it
/// [warn](Risk) of a server that is not guarded.
///
/// ```no_run
/// use std::time::Duration;
/// use grmgr_cluster::RedisStore;
///
/// let store = RedisStore::new("redis://user:password@cache.internal:6379/0")?
///     .timeout(Duration::from_millis(500));
/// # Ok::<(), grmgr_cluster::InvalidAddress>(())
/// ```
pub struct RedisStore {
    server: ConnectionInfo,
    /// Those to ask for the server's address, and the name of its group.
    sentinels: Option<(Vec<ConnectionInfo>, String)>,
    timeout: Duration,
    connection: Option<Connection>,
    risk: Option<Risk>,
    risk_looked_at: Option<Instant>,
    max_lag: Duration,
}

/// The address of a server cannot be read. The address itself is not in the text: it may have a password.
///
/// ```
/// # use grmgr_cluster::RedisStore;
/// let error = RedisStore::new("cache.internal").unwrap_err();
/// assert!(error.to_string().contains("redis://"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidAddress(());

impl fmt::Display for InvalidAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "the server's address cannot be read: it should be like redis://user:password@host:6379/0, or \
             with rediss:// for TLS (feature `tls`)",
        )
    }
}

impl std::error::Error for InvalidAddress {}

impl RedisStore {
    /// Makes a store in the server at this address. Nothing is connected yet.
    ///
    /// `redis://[user][:password@]host[:port][/database]`, or `rediss://` for TLS (feature `tls`).
    ///
    /// # Errors
    ///
    /// [`InvalidAddress`].
    pub fn new(address: &str) -> Result<Self, InvalidAddress> {
        Ok(Self {
            server: read(address)?,
            sentinels: None,
            timeout: Duration::from_secs(1),
            connection: None,
            risk: None,
            risk_looked_at: None,
            max_lag: Duration::MAX,
        })
    }

    /// Asks Sentinels for the primary of this group, again after each failure.
    ///
    /// User, password, database and TLS are those of the address given to [`new`](Self::new); its host and
    /// port are not used.
    ///
    /// # Errors
    ///
    /// [`InvalidAddress`]; also if there is no Sentinel.
    ///
    /// ```
    /// # use grmgr_cluster::RedisStore;
    /// let sentinels = ["redis://10.0.0.1:26379", "redis://10.0.0.2:26379"];
    /// let store = RedisStore::new("redis://:password@primary")?.sentinel("main", sentinels)?;
    /// # Ok::<(), grmgr_cluster::InvalidAddress>(())
    /// ```
    pub fn sentinel<S: AsRef<str>>(
        mut self,
        group: &str,
        sentinels: impl IntoIterator<Item = S>,
    ) -> Result<Self, InvalidAddress> {
        let sentinels: Vec<_> = sentinels
            .into_iter()
            .map(|address| read(address.as_ref()))
            .collect::<Result<_, _>>()?;
        if sentinels.is_empty() {
            return Err(InvalidAddress(()));
        }
        self.sentinels = Some((sentinels, group.to_owned()));
        Ok(self)
    }

    /// Sets how long the server may take to connect, and to answer. Default: 1 s.
    ///
    /// The time counts for each piece of an answer that comes. Looking up the server's name takes as long
    /// as the system lets it.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        // Zero would mean none.
        self.timeout = timeout.max(Duration::from_millis(1));
        self
    }

    fn connect(&self, to: &ConnectionInfo) -> Result<Connection, RedisError> {
        #[cfg(feature = "tls")]
        if rustls::crypto::CryptoProvider::get_default().is_none() {
            // Somebody else may be first: then it is theirs.
            let _ = rustls::crypto::ring::default_provider().install_default();
        }
        let connection = Client::open(to.clone())?.get_connection_with_timeout(self.timeout)?;
        connection.set_read_timeout(Some(self.timeout))?;
        connection.set_write_timeout(Some(self.timeout))?;
        Ok(connection)
    }

    /// Where the server is now.
    fn address(&self) -> Result<ConnectionInfo, StoreError> {
        let Some((sentinels, group)) = &self.sentinels else { return Ok(self.server.clone()) };
        let mut last = None;
        for sentinel in sentinels {
            let asked = self.connect(sentinel).and_then(|mut connection| {
                let mut ask = cmd("SENTINEL");
                ask.arg("GET-MASTER-ADDR-BY-NAME").arg(group);
                ask.query::<Option<(String, u16)>>(&mut connection)
            });
            match asked {
                Ok(Some((host, port))) => {
                    let address = match self.server.addr() {
                        ConnectionAddr::TcpTls { insecure, tls_params, .. } => {
                            ConnectionAddr::TcpTls {
                                host,
                                port,
                                insecure: *insecure,
                                tls_params: tls_params.clone(),
                            }
                        }
                        _ => ConnectionAddr::Tcp(host, port),
                    };
                    return Ok(self.server.clone().set_addr(address));
                }
                Ok(None) => {
                    last = Some(StoreError::Garbage("Sentinel does not know the group".into()));
                }
                Err(error) => last = Some(self.explain(&error)),
            }
        }
        Err(last.expect("there is at least one"))
    }

    /// Looks whether the server will do, and whether it is guarded.
    fn check(&self, connection: &mut Connection) -> Result<Option<Risk>, StoreError> {
        let explain = |error| self.explain(&error);
        let info: String = cmd("INFO").arg("server").query(connection).map_err(explain)?;
        let version = field(&info, "redis_version").unwrap_or("unknown");
        let major = version.split('.').next().and_then(|major| major.parse::<u32>().ok());
        match major {
            Some(major) if major >= OLDEST => {}
            Some(_) => return Err(StoreError::TooOld(version.into())),
            None => return Err(StoreError::Garbage("INFO names no version".into())),
        }
        let info: String = cmd("INFO").arg("replication").query(connection).map_err(explain)?;
        if field(&info, "role").is_some_and(|role| role != "master") {
            return Err(StoreError::ReadOnly("it is a replica".into()));
        }
        let replicas = field(&info, "connected_slaves").is_none_or(|count| count != "0");
        if !replicas && self.sentinels.is_none() {
            return Ok(None);
        }
        let mut config = |name: &str| -> Result<Option<u64>, StoreError> {
            match cmd("CONFIG").arg("GET").arg(name).query::<Vec<String>>(connection) {
                Ok(found) => Ok(found.get(1).and_then(|value| value.parse().ok())),
                Err(error) if error.is_io_error() => Err(explain(error)),
                // Not allowed, or unknown where the server is somebody's service.
                Err(_) => Ok(None),
            }
        };
        let needed = config("min-replicas-to-write")?;
        let lag = config("min-replicas-max-lag")?;
        Ok(match (needed, lag) {
            (Some(needed), Some(lag)) => {
                let max_lag = self.max_lag.saturating_sub(LAG_SLACK);
                let guarded = needed > 0 && Duration::from_secs(lag) <= max_lag;
                (!guarded).then_some(Risk::Unguarded { max_lag })
            }
            _ => Some(Risk::Unknown),
        })
    }

    fn call(&mut self, q: &Request) -> Result<Answer, StoreError> {
        self.max_lag = Duration::from_millis(q.terms.max_lag);
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => {
                self.risk_looked_at = None;
                let address = self.address()?;
                self.connect(&address).map_err(|error| self.explain(&error))?
            }
        };
        if self.risk_looked_at.is_none_or(|at| at.elapsed() >= RISK_EVERY) {
            self.risk = self.check(&mut connection)?;
            self.risk_looked_at = Some(Instant::now());
        }
        let mut call = SCRIPT.prepare_invoke();
        let pool = escape(&q.pool);
        for part in ["leases", "has", "wants", "meta"] {
            call.key(format!("grmgr:{{{pool}}}:{part}"));
        }
        call.arg(&*q.member).arg(q.seq).arg(q.want).arg(q.used).arg(q.has);
        call.arg(q.left).arg(q.seen).arg(q.elapsed).arg(q.age).arg(q.epoch);
        call.arg(written(&q.terms)).arg(q.since).arg(q.dice).arg(u8::from(q.leaving));
        let reply: Vec<u64> = call.invoke(&mut connection).map_err(|error| self.explain(&error))?;
        let answer = answer(&reply, q)?;
        // Only a connection that has answered as it should is used again: on another, an old answer may
        // be on its way.
        self.connection = Some(connection);
        Ok(answer)
    }

    /// The error for people, without passwords: a server may repeat what it was sent.
    fn explain(&self, error: &RedisError) -> StoreError {
        let mut text = error.to_string();
        let sentinels = self.sentinels.iter().flat_map(|(sentinels, _)| sentinels);
        for server in sentinels.chain([&self.server]) {
            let password = server.redis_settings().password().unwrap_or_default();
            if !password.is_empty() {
                text = text.replace(password, "***");
            }
        }
        text = text.chars().take(500).collect();
        match (error.kind(), error.code()) {
            (ErrorKind::AuthenticationFailed, _)
            | (ErrorKind::Server(ServerErrorKind::NoPerm), _)
            | (_, Some("WRONGPASS" | "NOAUTH" | "NOPERM")) => StoreError::Refused(text),
            (_, Some("READONLY" | "NOREPLICAS" | "MISCONF" | "OOM" | "LOADING" | "MASTERDOWN")) => {
                StoreError::ReadOnly(text)
            }
            (ErrorKind::Io, _) => StoreError::Unreachable(text),
            _ => StoreError::Garbage(text),
        }
    }
}

impl ShareStore for RedisStore {
    fn refresh(&mut self, request: &Request) -> Result<Answer, StoreError> {
        self.call(request)
    }

    fn risk(&self) -> Option<Risk> {
        self.risk
    }
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore")
            .field("server", &self.server.addr().to_string())
            .field("connected", &self.connection.is_some())
            .finish_non_exhaustive()
    }
}

fn read(address: &str) -> Result<ConnectionInfo, InvalidAddress> {
    address.into_connection_info().map_err(|_| InvalidAddress(()))
}

/// A line of INFO.
fn field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}

/// The pool's name as part of a key: all keys of it are in one hash slot, and no two names are alike.
fn escape(pool: &str) -> String {
    let mut escaped = String::with_capacity(pool.len());
    for byte in pool.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => {
                escaped.push(char::from(byte));
            }
            _ => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}

fn written(terms: &Terms) -> String {
    let Terms { total, floor, max_members, ttl, max_hold, max_lag } = terms;
    format!("{total} {floor} {max_members} {ttl} {max_hold} {max_lag}")
}

fn answer(reply: &[u64], q: &Request) -> Result<Answer, StoreError> {
    let &[
        seq,
        stale,
        share,
        fair,
        members,
        epoch,
        quiet,
        now,
        since,
        total,
        floor,
        max_members,
        ttl,
        max_hold,
        max_lag,
    ] = reply
    else {
        return Err(StoreError::Garbage(format!("{} numbers", reply.len())));
    };
    if seq != q.seq {
        return Err(StoreError::Garbage("it is the answer to another request".into()));
    }
    if stale != 0 {
        return Err(StoreError::Stale);
    }
    let terms = Terms { total, floor, max_members, ttl, max_hold, max_lag };
    Ok(Answer { share, fair, members, epoch, quiet, now, terms, since })
}

#[cfg(test)]
#[path = "../tests/support/mod.rs"]
mod support;

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::support::Server;
    use super::*;
    use crate::ledger::Ledger;
    use crate::random::Random;

    /// A call of the script with a time and a name of the server.
    fn script(
        connection: &mut Connection,
        now: u64,
        run: &str,
        q: &Request,
    ) -> Result<Answer, StoreError> {
        let mut call = SCRIPT.prepare_invoke();
        for part in ["leases", "has", "wants", "meta"] {
            call.key(format!("grmgr:{{{}}}:{part}", q.pool));
        }
        call.arg(&*q.member).arg(q.seq).arg(q.want).arg(q.used).arg(q.has);
        call.arg(q.left).arg(q.seen).arg(q.elapsed).arg(q.age).arg(q.epoch);
        call.arg(written(&q.terms)).arg(q.since).arg(q.dice).arg(u8::from(q.leaving));
        let reply: Vec<u64> = call.arg(now).arg(run).invoke(connection).unwrap();
        answer(&reply, q)
    }

    /// What a member remembers.
    #[derive(Clone, Default)]
    struct Known {
        seq: u64,
        seen: u64,
        heard: u64,
        first: u64,
        epoch: u64,
        since: u64,
        has: u64,
        terms: Option<Terms>,
    }

    #[test]
    #[ignore = "needs redis-server"]
    fn the_script_answers_as_the_ledger_does() {
        let server = Server::start(&[]);
        let mut connection = server.client().get_connection().unwrap();
        let rounds: u64 =
            std::env::var("ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(60);
        let mut requests = 0;
        for round in 0..rounds {
            let mut random = Random::new();
            let mut below = |n: u64| random.next() % n;
            let pool = format!("pool {round}");
            let mut ledger = Ledger::default();
            let mut known: HashMap<u64, Known> = HashMap::new();
            let (mut now, mut run) = (1_000_000_000_000 + round, 0);
            let count = [3, 12, 60][(round % 3) as usize];
            let terms = Terms {
                total: below(30) + 1,
                floor: below(2),
                max_members: below(4),
                ttl: 1_000,
                max_hold: below(2) * 500,
                max_lag: below(300),
            };
            for _ in 0..400 {
                now += [0, 1, 20, 60, 150, 400][below(6) as usize];
                match below(200) {
                    0 => run += 1,
                    1 => now += 5_000,
                    2 => now -= 3_000,
                    _ => {}
                }
                let member = below(count);
                if below(100) == 0 {
                    known.remove(&member);
                }
                let m = known.entry(member).or_default();
                m.seq += 1;
                let mut q = Request::first(&pool, &format!("member {member}"), below(12), terms);
                if below(40) == 0 && m.seq > 2 {
                    m.seq -= 2;
                }
                if below(60) == 0 {
                    q.terms.total = below(30) + 1;
                    q.terms.ttl = [1_000, 2_000][below(2) as usize];
                } else if let Some(terms) = m.terms {
                    q.terms = terms;
                    q.since = m.since;
                }
                q.seq = m.seq;
                q.has = m.has;
                q.used = below(m.has + 2);
                q.left = below(1_000) * below(2);
                q.seen = m.seen;
                q.elapsed = if m.seen > 0 { now.saturating_sub(m.heard) } else { 0 };
                q.elapsed = q.elapsed.saturating_sub(below(2) * below(300));
                q.age = if m.first > 0 { now.saturating_sub(m.first) } else { 0 };
                q.epoch = m.epoch;
                q.dice = below(256) as u8;
                q.leaving = below(30) == 0;
                let name = run.to_string();
                let expected = ledger.refresh(now, &name, &q);
                let found = script(&mut connection, now, &name, &q);
                assert_eq!(found, expected, "{q:#?} at {now} {ledger:#?}");
                requests += 1;
                if let Ok(answer) = expected
                    && below(10) > 0
                {
                    if m.epoch != answer.epoch {
                        m.first = now;
                    }
                    (m.seen, m.heard, m.epoch) = (now, now, answer.epoch);
                    (m.since, m.terms, m.has) = (answer.since, Some(answer.terms), answer.share);
                }
                if q.leaving {
                    known.remove(&member);
                }
                ledger.sum();
            }
        }
        println!("{requests} requests, all answers alike");
    }

    #[test]
    fn no_error_repeats_a_password() {
        let store = RedisStore::new("redis://user:secret@host").unwrap();
        let store = store.sentinel("main", ["redis://:hidden@host"]).unwrap();
        let detail = "unknown command 'AUTH', with args beginning with: 'secret' 'hidden'";
        for kind in [ErrorKind::AuthenticationFailed, ErrorKind::Io, ErrorKind::Parse] {
            let error = RedisError::from((kind, "failed", detail.to_owned()));
            let text = store.explain(&error).to_string();
            assert!(
                text.contains("AUTH") && !text.contains("secret") && !text.contains("hidden"),
                "{text}"
            );
        }
    }

    #[test]
    fn no_two_pools_have_the_same_keys() {
        assert_eq!(escape("db-1_a.b"), "db-1_a.b");
        assert_eq!(escape("{a}"), "%7Ba%7D");
        assert_eq!(escape("%7Ba%7D"), "%257Ba%257D");
        assert_eq!(escape("näme\n"), "n%C3%A4me%0A");
    }
}
