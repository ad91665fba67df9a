//! The UDP socket of whoever talks to other nodes, as quinn wants one: a kernel socket, and beside it
//! the workers' rings while there is a dataplane.
//!
//! It receives by both ways at any time, and sends by the rings what can go there at once, all else by
//! the kernel. So a dataplane may come and go under a running connection. It never blocks.

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, Runtime as _, TokioRuntime, UdpPoller};

use crate::clock;
use crate::mesh_link::MeshLink;

/// For [`quinn::Endpoint::new_with_abstract_socket`].
#[derive(Debug)]
pub struct MeshSocket {
    kernel: Arc<dyn AsyncUdpSocket>,
    link: MeshLink,
    /// The kernel socket is one of IPv6, and names IPv4 endpoints in that form.
    is_ipv6: bool,
    /// Which way is looked at first, the next time: neither can starve the other.
    kernel_first: AtomicBool,
}

impl MeshSocket {
    /// Over `kernel`, bound to the consensus port, which must be that of the dataplane's
    /// configuration. Call it where a tokio runtime runs.
    pub(crate) fn new(kernel: std::net::UdpSocket, link: MeshLink) -> io::Result<Self> {
        let is_ipv6 = kernel.local_addr()?.is_ipv6();
        let kernel = TokioRuntime.wrap_udp_socket(kernel)?;
        link.open();
        Ok(Self {
            kernel,
            link,
            is_ipv6,
            kernel_first: AtomicBool::new(false),
        })
    }

    fn take_from_rings(
        &self,
        context: &Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        metas: &mut [RecvMeta],
    ) -> Option<usize> {
        let taken = self.link.rings().take(context, buffers, metas);
        for meta in metas.iter_mut().take(taken) {
            meta.addr = self.present(meta.addr);
        }
        let counters = self.link.counters();
        counters.mesh_received_rings.add(taken as u64);
        (taken > 0).then_some(taken)
    }

    fn poll_kernel(
        &self,
        context: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        metas: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let polled = self.kernel.poll_recv(context, buffers, metas);
        if let Poll::Ready(Ok(taken)) = &polled {
            let metas = metas.iter().take(*taken);
            let datagrams = metas.map(|meta| meta.len.div_ceil(meta.stride.max(1)) as u64);
            let counters = self.link.counters();
            counters.mesh_received_kernel.add(datagrams.sum());
        }
        polled
    }

    /// An endpoint in the form in which the kernel socket would name it, so that a connection does not
    /// seem to move.
    fn present(&self, endpoint: SocketAddr) -> SocketAddr {
        match endpoint.ip() {
            IpAddr::V4(address) if self.is_ipv6 => {
                SocketAddr::new(address.to_ipv6_mapped().into(), endpoint.port())
            }
            _ => endpoint,
        }
    }
}

impl Drop for MeshSocket {
    fn drop(&mut self) {
        self.link.close();
    }
}

impl AsyncUdpSocket for MeshSocket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        // Only the kernel ever says that it would block.
        Arc::clone(&self.kernel).create_io_poller()
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let bytes = transmit.contents.len();
        let is_one = transmit.segment_size.is_none_or(|segment| segment >= bytes);
        let counters = self.link.counters();
        let (to, from) = (transmit.destination, transmit.src_ip);
        if is_one && (self.link.rings()).send(to, from, transmit.contents, clock::now_ms()) {
            counters.mesh_sent_rings.increment();
            return Ok(());
        }
        self.kernel.try_send(transmit)?;
        let segment = transmit.segment_size.unwrap_or(bytes).max(1);
        counters
            .mesh_sent_kernel
            .add(bytes.div_ceil(segment) as u64);
        Ok(())
    }

    fn poll_recv(
        &self,
        context: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        metas: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        if self.kernel_first.fetch_xor(true, Ordering::Relaxed) {
            match self.poll_kernel(context, buffers, metas) {
                Poll::Pending => {}
                ready => return ready,
            }
            match self.take_from_rings(context, buffers, metas) {
                Some(taken) => Poll::Ready(Ok(taken)),
                None => Poll::Pending,
            }
        } else {
            match self.take_from_rings(context, buffers, metas) {
                Some(taken) => Poll::Ready(Ok(taken)),
                None => self.poll_kernel(context, buffers, metas),
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.kernel.local_addr()
    }

    /// One where a ring may take it: they know no segmentation.
    fn max_transmit_segments(&self) -> usize {
        if self.link.rings().has_routes() {
            1
        } else {
            self.kernel.max_transmit_segments()
        }
    }

    fn max_receive_segments(&self) -> usize {
        self.kernel.max_receive_segments()
    }

    fn may_fragment(&self) -> bool {
        self.kernel.may_fragment()
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::net::UdpSocket;
    use std::time::Duration;

    use exchange::{Punt, Transport};

    use super::*;
    use crate::bell::Bell;

    /// Nothing on loopback takes this long.
    const PATIENCE: Duration = Duration::from_secs(20);

    fn socket(address: &str) -> (MeshLink, Arc<MeshSocket>) {
        let link = MeshLink::new(Arc::new(Bell::new().unwrap()), Arc::default());
        let kernel = UdpSocket::bind(address).unwrap();
        let socket = link.socket(kernel).unwrap();
        (link, socket)
    }

    fn punt(client: SocketAddr, message: &[u8]) -> Punt<'_> {
        Punt {
            transport: Transport::Mesh,
            client,
            local: "127.0.0.1:4853".parse().unwrap(),
            ecn: 0,
            received_us: 0,
            headers: b"headers",
            message,
        }
    }

    async fn receive(socket: &MeshSocket) -> (SocketAddr, Vec<u8>) {
        let mut space = [0; 1500];
        let mut metas = [RecvMeta::default()];
        let taken = poll_fn(|context| {
            let mut buffers = [IoSliceMut::new(&mut space)];
            socket.poll_recv(context, &mut buffers, &mut metas)
        });
        let taken = tokio::time::timeout(PATIENCE, taken).await;
        assert_eq!(taken.unwrap().unwrap(), 1);
        (metas[0].addr, space[..metas[0].len].to_vec())
    }

    async fn send(socket: &Arc<MeshSocket>, destination: SocketAddr, contents: &[u8]) {
        let transmit = Transmit {
            destination,
            ecn: None,
            contents,
            segment_size: None,
            src_ip: None,
        };
        let mut poller = Arc::clone(socket).create_io_poller();
        while let Err(error) = socket.try_send(&transmit) {
            assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
            let writable = poll_fn(|context| poller.as_mut().poll_writable(context));
            tokio::time::timeout(PATIENCE, writable)
                .await
                .unwrap()
                .unwrap();
        }
    }

    #[tokio::test]
    async fn without_a_dataplane_the_kernel_carries_all() {
        let ((link, one), (_, two)) = (socket("127.0.0.1:0"), socket("127.0.0.1:0"));
        send(&one, two.local_addr().unwrap(), b"hello").await;
        let (from, message) = receive(&two).await;
        assert_eq!(
            (from, message.as_slice()),
            (one.local_addr().unwrap(), &b"hello"[..])
        );
        assert!(link.rings().is_idle());
        assert_eq!(link.counters().mesh_sent_kernel.get(), 1);
    }

    #[tokio::test]
    async fn a_dataplane_may_come_and_go_under_the_socket() {
        let ((link, one), (_, two)) = (socket("127.0.0.1:0"), socket("127.0.0.1:0"));
        let peer = two.local_addr().unwrap();
        let front = link.clone();
        // The front thread hears of the peer while the task waits.
        let heard = std::thread::spawn(move || {
            let now_ms = clock::now_ms();
            front.rings().receive(2, &punt(peer, b"by ring"), now_ms);
        });
        assert_eq!(receive(&one).await, (peer, b"by ring".to_vec()));
        heard.join().unwrap();
        assert_eq!(one.max_transmit_segments(), 1);
        send(&one, peer, b"back by ring").await;
        let outgoing = link.rings().next_outgoing().unwrap();
        assert_eq!(
            (outgoing.worker, &*outgoing.payload),
            (2, &b"back by ring"[..])
        );
        // The kernel is heard all the same.
        send(&two, one.local_addr().unwrap(), b"by kernel").await;
        assert_eq!(receive(&one).await, (peer, b"by kernel".to_vec()));

        link.rings().forget_routes();
        send(&one, peer, b"back by kernel").await;
        assert_eq!(receive(&two).await.1, b"back by kernel");
        let counters = link.counters();
        assert_eq!(counters.mesh_received_rings.get(), 1);
        assert_eq!(counters.mesh_received_kernel.get(), 1);
        assert_eq!(counters.mesh_sent_rings.get(), 1);
        assert_eq!(counters.mesh_sent_kernel.get(), 1);
    }

    #[tokio::test]
    async fn neither_way_starves_the_other() {
        let ((link, one), (_, two)) = (socket("127.0.0.1:0"), socket("127.0.0.1:0"));
        let peer = two.local_addr().unwrap();
        let now_ms = clock::now_ms();
        for _ in 0..100 {
            link.rings().receive(0, &punt(peer, b"by ring"), now_ms);
        }
        send(&two, one.local_addr().unwrap(), b"by kernel").await;
        for _ in 0..100 {
            // The runtime looks at its sockets between tasks.
            tokio::task::yield_now().await;
            if receive(&one).await.1 == b"by kernel" {
                return;
            }
        }
        panic!("the kernel was not looked at while the rings had something");
    }

    #[tokio::test]
    async fn ring_and_kernel_name_a_peer_alike_on_a_socket_for_both_families() {
        let (link, one) = socket("[::]:0");
        let (_, two) = socket("127.0.0.1:0");
        let port = one.local_addr().unwrap().port();
        send(&two, ([127, 0, 0, 1], port).into(), b"by kernel").await;
        let (by_kernel, _) = receive(&one).await;
        let now_ms = clock::now_ms();
        link.rings()
            .receive(0, &punt(two.local_addr().unwrap(), b"x"), now_ms);
        assert_eq!(receive(&one).await.0, by_kernel);
        send(&one, by_kernel, b"back").await;
        assert!(link.rings().next_outgoing().is_some());
    }

    #[tokio::test]
    async fn the_dataplane_is_told_while_somebody_takes_datagrams() {
        let (link, socket) = socket("127.0.0.1:0");
        assert!(link.rings().is_open());
        drop(socket);
        assert!(!link.rings().is_open());
    }
}
