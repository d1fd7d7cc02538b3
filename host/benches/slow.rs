//! Slow callers: so many connections, each of which sends a byte of its headers every half second, and comes again when it
//! is ended. Prints a line when all are there, and goes on until its input ends.
//!
//! `slow ADDRESS CONNECTIONS`

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

type Failure = Box<dyn std::error::Error>;

/// Connections of one address of this machine: fewer than a server takes of one.
const OF_ADDRESS: u32 = 400;
const PAUSE: Duration = Duration::from_millis(500);
/// Over what time they come.
const SPREAD: Duration = Duration::from_millis(2500);

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, connections] = arguments.as_slice() else { return Err("usage: slow ADDRESS CONNECTIONS".into()) };
    let (address, connections): (SocketAddr, u32) = (address.parse()?, connections.parse()?);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let open = Arc::new(AtomicUsize::new(0));
        for number in 0..connections {
            let from = Ipv4Addr::from_bits(Ipv4Addr::new(127, 0, 0, 2).to_bits() + number / OF_ADDRESS);
            // Strangers do not send in step.
            let later = SPREAD * number / connections;
            tokio::spawn(hold(IpAddr::V4(from), address, later, Arc::clone(&open)));
        }
        while open.load(Ordering::Relaxed) < connections as usize / 100 * 99 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        println!("{connections} connections are open");
        tokio::io::stdin().read_to_end(&mut Vec::new()).await?;
        Ok(())
    })
}

async fn hold(from: IpAddr, to: SocketAddr, later: Duration, open: Arc<AtomicUsize>) {
    tokio::time::sleep(later).await;
    loop {
        if let Ok(mut stream) = connect(from, to).await {
            open.fetch_add(1, Ordering::Relaxed);
            let head = b"POST /h/none HTTP/1.1\r\nhost: slow.example\r\nx-slow: ";
            for byte in head.iter().chain(std::iter::repeat(&b'x')) {
                if stream.write_all(&[*byte]).await.is_err() {
                    break;
                }
                // Ended, or told so: the next one.
                if tokio::time::timeout(PAUSE, stream.read_u8()).await.is_ok() {
                    break;
                }
            }
            open.fetch_sub(1, Ordering::Relaxed);
        }
        tokio::time::sleep(later / 5).await;
    }
}

async fn connect(from: IpAddr, to: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::new(from, 0))?;
    socket.connect(to).await
}
