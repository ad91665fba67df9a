//! A port in memory: queries go in, what a worker would send comes out.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use port::{
    BATCH_PACKETS_MAX, HEADERS_BYTES_MAX, InjectError, Port, PortError, PortStatistics, Sent,
    Source,
};
use wire::frame::FrameError;

/// Capacity of a packet, as in a umem chunk.
const ROOM_BYTES: usize = 1700;

/// Whoever sends from there is another node.
pub(crate) const MESH_PORT: u16 = 4853;
/// What its datagrams are marked with.
pub(crate) const MESH_ECN: u8 = 2;

#[derive(Debug)]
struct Packet {
    room: Vec<u8>,
    message_bytes: usize,
    client: SocketAddr,
    replied: Option<usize>,
}

/// Queries in, answers out; headers are the client's port.
#[derive(Debug, Default)]
pub(crate) struct MemoryPort {
    pub(crate) incoming: VecDeque<(SocketAddr, Vec<u8>)>,
    pub(crate) outgoing: Vec<(u16, Vec<u8>)>,
    /// Free frames for replies from control.
    pub(crate) frames: usize,
    batch: Vec<Packet>,
}

impl MemoryPort {
    pub(crate) fn new() -> Self {
        Self {
            frames: 1000,
            ..Self::default()
        }
    }

    /// Puts a query in.
    pub(crate) fn ask(&mut self, client: &str, message: &[u8]) {
        self.incoming
            .push_back((client.parse().unwrap(), message.to_vec()));
    }
}

impl Port for MemoryPort {
    fn receive(&mut self) -> Result<usize, PortError> {
        while self.batch.len() < BATCH_PACKETS_MAX {
            let Some((client, message)) = self.incoming.pop_front() else {
                break;
            };
            let message_bytes = message.len();
            let mut room = message;
            room.resize(ROOM_BYTES.max(message_bytes), 0xaa);
            self.batch.push(Packet {
                room,
                message_bytes,
                client,
                replied: None,
            });
        }
        Ok(self.batch.len())
    }

    fn open(&mut self, _: usize) -> Result<(), FrameError> {
        Ok(())
    }

    fn message(&self, index: usize) -> &[u8] {
        let packet = &self.batch[index];
        &packet.room[..packet.message_bytes]
    }

    fn packet_bytes(&self, index: usize) -> usize {
        self.batch[index].message_bytes
    }

    fn reply(&mut self, index: usize, write: impl FnOnce(&mut [u8]) -> usize) {
        let packet = &mut self.batch[index];
        packet.replied = Some(write(&mut packet.room));
    }

    fn replied(&self, index: usize) -> Option<&[u8]> {
        let packet = &self.batch[index];
        packet.room.get(..packet.replied?)
    }

    fn source(&self, index: usize) -> Source {
        let client = self.batch[index].client;
        Source {
            client,
            local: "192.0.2.53:53".parse().unwrap(),
        }
    }

    fn mesh(&self, index: usize) -> Option<u8> {
        (self.batch[index].client.port() == MESH_PORT).then_some(MESH_ECN)
    }

    fn reply_headers(&self, index: usize, out: &mut [u8; HEADERS_BYTES_MAX]) -> usize {
        out[..2].copy_from_slice(&self.batch[index].client.port().to_be_bytes());
        2
    }

    fn inject(&mut self, headers: &[u8], message: &[u8]) -> Result<(), InjectError> {
        let Ok(port) = headers.try_into() else {
            return Err(InjectError::Invalid);
        };
        if self.frames == 0 {
            return Err(InjectError::NoFrame);
        }
        self.frames -= 1;
        self.outgoing
            .push((u16::from_be_bytes(port), message.to_vec()));
        Ok(())
    }

    fn flush(&mut self) -> Result<Sent, PortError> {
        let mut sent = Sent::default();
        for packet in self.batch.drain(..) {
            if let Some(length) = packet.replied.filter(|length| *length > 0) {
                sent.packets += 1;
                self.outgoing
                    .push((packet.client.port(), packet.room[..length].to_vec()));
            }
        }
        Ok(sent)
    }

    fn sleep(&mut self, _: BorrowedFd<'_>, _: Duration) -> Result<(), PortError> {
        Ok(())
    }

    fn statistics(&mut self) -> PortStatistics {
        PortStatistics::default()
    }
}
