//! The site: it takes 10 ms for a page, and remembers how many were asked for at once.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

/// Of each page.
pub(crate) const WORDS: usize = 500;

pub(crate) struct Site {
    address: SocketAddr,
    counts: Arc<Mutex<Counts>>,
}

#[derive(Default)]
struct Counts {
    now: usize,
    most: usize,
}

fn lock(counts: &Mutex<Counts>) -> MutexGuard<'_, Counts> {
    counts.lock().expect("no panic")
}

impl Site {
    pub(crate) async fn start() -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let site = Self { address: listener.local_addr()?, counts: Arc::default() };
        let counts = site.counts.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(answer(client, counts.clone()));
            }
        });
        Ok(site)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Since it was asked the last time.
    pub(crate) fn most_at_once(&self) -> usize {
        std::mem::take(&mut lock(&self.counts).most)
    }
}

async fn answer(mut client: TcpStream, counts: Arc<Mutex<Counts>>) -> io::Result<()> {
    // Short enough to come in one piece; a real server parses it.
    let mut request = [0; 1024];
    let _ = client.read(&mut request).await?;
    {
        let mut counts = lock(&counts);
        counts.now += 1;
        counts.most = counts.most.max(counts.now);
    }
    sleep(Duration::from_millis(10)).await;
    // Before the answer: the client may come again as soon as it has it.
    lock(&counts).now -= 1;
    let text = "lorem ".repeat(WORDS);
    client.write_all(format!("HTTP/1.1 200 OK\r\n\r\n{text}").as_bytes()).await
}
