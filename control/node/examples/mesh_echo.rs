//! A control whose mesh is an echo: shows that datagrams between two nodes take the workers' rings.
//!
//! `mesh_echo CONFIG OWN PEER` listens on OWN and sends back what PEER sends; with `ping` behind it, it
//! sends a datagram every few milliseconds and prints how many came back. The lab runs it on two hosts,
//! beside `nexus-dataplane`. The payload has the shape of QUIC and no more.

use std::error::Error;
use std::future::poll_fn;
use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use config::Config;
use exchange::MeshPeer;
use node::mesh_link::MeshLink;
use node::mesh_socket::MeshSocket;
use quinn::AsyncUdpSocket as _;
use quinn::udp::{RecvMeta, Transmit};

/// Between two datagrams of who pings.
const PAUSE: Duration = Duration::from_millis(5);
/// Datagrams between two lines of output.
const REPORT_EVERY: u64 = 100;
const PAYLOAD_BYTES: usize = 1200;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [config, own, peer, rest @ ..] = arguments.as_slice() else {
        return Err("usage: mesh_echo CONFIG OWN PEER [ping]".into());
    };
    let config = Config::load_or_default(Some(Path::new(config)))?;
    let (own, peer): (SocketAddr, SocketAddr) = (own.parse()?, peer.parse()?);
    let pings = rest.first().is_some_and(|word| word == "ping");
    let prepared = node::start::prepare(&config, None)?;
    let link = prepared.mesh_link();
    std::thread::spawn(move || {
        if let Err(error) = talk(&link, own, peer, pings) {
            eprintln!("mesh_echo: {error}");
            std::process::exit(1);
        }
    });
    Ok(prepared.run()?)
}

fn talk(link: &MeshLink, own: SocketAddr, peer: SocketAddr, pings: bool) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let socket = link.socket(UdpSocket::bind(own)?)?;
        let known = MeshPeer {
            node_id: 1,
            endpoint: peer,
            isolated_until_ms: 0,
        };
        link.say(Some((vec![known], Vec::new())));
        if pings {
            ping(&socket, peer).await
        } else {
            echo(&socket).await
        }
    })
}

async fn echo(socket: &Arc<MeshSocket>) -> io::Result<()> {
    loop {
        let (from, payload) = receive(socket).await?;
        send(socket, from, &payload).await?;
    }
}

#[expect(clippy::print_stdout, reason = "the figures are what this is for")]
async fn ping(socket: &Arc<MeshSocket>, peer: SocketAddr) -> io::Result<()> {
    let payload = [0x40; PAYLOAD_BYTES];
    let (mut sent, mut returned) = (0, 0);
    loop {
        // While the other side is not there yet, the kernel says so.
        let _ = send(socket, peer, &payload).await;
        sent += 1;
        while let Ok(received) = tokio::time::timeout(PAUSE, receive(socket)).await {
            returned += u64::from(received.is_ok_and(|(_, echoed)| echoed == payload));
        }
        if sent % REPORT_EVERY == 0 {
            println!("sent {sent} returned {returned}");
        }
    }
}

async fn receive(socket: &MeshSocket) -> io::Result<(SocketAddr, Vec<u8>)> {
    let mut space = vec![0; 65536];
    let mut metas = [RecvMeta::default()];
    poll_fn(|context| {
        let mut buffers = [IoSliceMut::new(&mut space)];
        socket.poll_recv(context, &mut buffers, &mut metas)
    })
    .await?;
    space.truncate(metas[0].stride.min(metas[0].len));
    Ok((metas[0].addr, space))
}

async fn send(
    socket: &Arc<MeshSocket>,
    destination: SocketAddr,
    contents: &[u8],
) -> io::Result<()> {
    let transmit = Transmit {
        destination,
        ecn: None,
        contents,
        segment_size: None,
        src_ip: None,
    };
    let mut poller = Arc::clone(socket).create_io_poller();
    loop {
        match socket.try_send(&transmit) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                poll_fn(|context| poller.as_mut().poll_writable(context)).await?;
            }
            result => return result,
        }
    }
}
