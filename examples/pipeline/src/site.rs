//! The site: it takes 10 ms for a page, and remembers how many were asked for at once.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

/// Of each page.
pub(crate) const WORDS: usize = 500;

pub(crate) struct Site {
    address: SocketAddr,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    now: AtomicUsize,
    most: AtomicUsize,
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
        self.counts.most.swap(0, Relaxed)
    }
}

async fn answer(mut client: TcpStream, counts: Arc<Counts>) -> io::Result<()> {
    // Short enough to come in one piece; a real server parses it.
    let mut request = [0; 1024];
    let _ = client.read(&mut request).await?;
    counts.most.fetch_max(counts.now.fetch_add(1, Relaxed) + 1, Relaxed);
    sleep(Duration::from_millis(10)).await;
    // Before the answer: the client may come again as soon as it has it.
    counts.now.fetch_sub(1, Relaxed);
    let text = "lorem ".repeat(WORDS);
    client.write_all(format!("HTTP/1.1 200 OK\r\n\r\n{text}").as_bytes()).await
}
