//! [`Chains`]: pieces of certificates, as the ring buffer brings them, become chains, leaf first.
//!
//! A chain is whole when the program says which certificate was the last. Where it could not tell, or
//! a piece was lost, what is there counts after [`PATIENCE_NS`].

use std::collections::BTreeMap;

use bpf_redirect::cert_validator::{CertificatePiece, Fingerprint};
use sha2::{Digest as _, Sha256};

/// How long a chain may take to come together, in nanoseconds. libssl parses one in a breath.
pub const PATIENCE_NS: u64 = 20_000_000;
/// Certificates of a chain at most; others beyond are left out, as no real chain has so many.
pub const CERTIFICATES_MAX: usize = 10;
/// Chains that come together at the same time at most; a further one drops the oldest.
pub const PENDING_MAX: usize = 1024;

/// Who was shown a certificate, and where.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Witness {
    /// Of the connection's socket, if it is known.
    pub cookie: Option<u64>,
    /// When its leaf was seen, in nanoseconds of CLOCK_MONOTONIC.
    pub seen_ns: u64,
    /// Process, or nothing for what was seen on the wire.
    pub program: Option<Program>,
    /// The name that the client asked for.
    pub host: Option<String>,
    /// Whether its egress waits for the verdict.
    pub is_held: bool,
}

/// The process that was shown a certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Program {
    /// Process.
    pub pid: u32,
    /// Thread.
    pub tid: u32,
    /// Name of the thread.
    pub comm: String,
    /// Its cgroup.
    pub cgroup_id: u64,
}

/// What a peer has shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// DER, leaf first; never empty.
    pub certificates: Vec<Vec<u8>>,
    /// SHA-256 of the leaf.
    pub fingerprint: Fingerprint,
    /// SHA-256 of all that was shown.
    pub digest: Fingerprint,
    /// To whom.
    pub witness: Witness,
}

impl Chain {
    /// A chain of these certificates; `None` without any.
    pub fn new(mut certificates: Vec<Vec<u8>>, witness: Witness) -> Option<Self> {
        certificates.truncate(CERTIFICATES_MAX);
        let fingerprint = Sha256::digest(certificates.first()?).into();
        let mut digest = Sha256::new();
        for certificate in &certificates {
            digest.update((certificate.len() as u64).to_be_bytes());
            digest.update(certificate);
        }
        Some(Self {
            certificates,
            fingerprint,
            digest: digest.finalize().into(),
            witness,
        })
    }
}

/// A certificate message: process, connection, moment.
type Key = (u32, u64, u64);

/// A certificate on its way.
#[derive(Debug, Default)]
struct Partial {
    der: Vec<u8>,
    is_whole: bool,
}

#[derive(Debug)]
struct Pending {
    witness: Witness,
    certificates: BTreeMap<u32, Partial>,
    /// Place of the last one, if that is known.
    last: Option<u32>,
}

/// Chains that come together.
#[derive(Debug, Default)]
pub struct Chains {
    pending: BTreeMap<Key, Pending>,
    dropped: u64,
}

impl Chains {
    /// Takes a piece; the chain if that makes it whole.
    pub fn take(&mut self, piece: &CertificatePiece<'_>) -> Option<Chain> {
        let key = (piece.pid, piece.ssl, piece.message);
        let pending = self.pending.entry(key).or_insert_with(|| Pending {
            witness: witness_of(piece),
            certificates: BTreeMap::new(),
            last: None,
        });
        if piece.index as usize >= CERTIFICATES_MAX {
            pending.last = pending.last.or(u32::try_from(CERTIFICATES_MAX - 1).ok());
        } else {
            let partial = pending.certificates.entry(piece.index).or_default();
            // Pieces come in order; one behind a gap belongs to a certificate that was lost.
            if partial.der.len() == piece.offset && !partial.is_whole {
                partial.der.extend_from_slice(piece.data);
                partial.is_whole = partial.der.len() == piece.total_bytes;
            }
            if piece.is_last {
                pending.last = Some(piece.index);
            }
        }
        if pending.is_whole() {
            return self.pending.remove(&key).and_then(Pending::into_chain);
        }
        self.forget_oldest();
        None
    }

    /// The chains whose time is over at `now_ns` of CLOCK_MONOTONIC, as far as they have come.
    pub fn expire(&mut self, now_ns: u64) -> Vec<Chain> {
        let is_over =
            |_: &Key, pending: &mut Pending| now_ns > pending.witness.seen_ns + PATIENCE_NS;
        let over: Vec<_> = self.pending.extract_if(.., is_over).collect();
        let mut chains = Vec::new();
        for (_, pending) in over {
            match pending.into_chain() {
                Some(chain) => chains.push(chain),
                None => self.dropped += 1,
            }
        }
        chains
    }

    /// Whether [`Chains::expire`] will have something to do.
    pub fn is_waiting(&self) -> bool {
        !self.pending.is_empty()
    }

    /// How many were given up, for want of a leaf or of room.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    fn forget_oldest(&mut self) {
        if self.pending.len() <= PENDING_MAX {
            return;
        }
        let oldest = self
            .pending
            .iter()
            .min_by_key(|(_, pending)| pending.witness.seen_ns);
        if let Some(key) = oldest.map(|(key, _)| *key) {
            self.pending.remove(&key);
            self.dropped += 1;
        }
    }
}

impl Pending {
    fn is_whole(&self) -> bool {
        let is_there = |index| {
            let partial: Option<&Partial> = self.certificates.get(&index);
            partial.is_some_and(|partial| partial.is_whole)
        };
        self.last.is_some_and(|last| (0..=last).all(is_there))
    }

    /// Certificates up to the first gap.
    fn into_chain(self) -> Option<Chain> {
        let in_order = (0..).zip(self.certificates);
        let whole =
            in_order.take_while(|(place, (index, partial))| place == index && partial.is_whole);
        let certificates = whole.map(|(_, (_, partial))| partial.der).collect();
        Chain::new(certificates, self.witness)
    }
}

/// To whom a certificate was shown.
pub fn witness_of(piece: &CertificatePiece<'_>) -> Witness {
    Witness {
        cookie: piece.cookie,
        seen_ns: piece.message,
        program: Some(Program {
            pid: piece.pid,
            tid: piece.tid,
            comm: piece.comm.clone(),
            cgroup_id: piece.cgroup_id,
        }),
        host: piece.host.clone(),
        is_held: piece.is_held,
    }
}

#[cfg(test)]
mod tests {
    use bpf_redirect::cert_validator::Direction;

    use super::*;

    fn piece<'a>(
        index: u32,
        offset: usize,
        total_bytes: usize,
        data: &'a [u8],
    ) -> CertificatePiece<'a> {
        CertificatePiece {
            cookie: Some(7),
            seen_ns: 5,
            message: 5,
            ssl: 1,
            cgroup_id: 2,
            pid: 3,
            tid: 4,
            index,
            offset,
            total_bytes,
            direction: Direction::Client,
            is_last: false,
            is_held: true,
            known: None,
            fingerprint: [0; 32],
            comm: "curl".to_owned(),
            host: Some("a.example".to_owned()),
            data,
        }
    }

    fn last(mut piece: CertificatePiece<'_>) -> CertificatePiece<'_> {
        piece.is_last = true;
        piece
    }

    #[test]
    fn chain_is_whole_with_its_last_piece_and_is_leaf_first() {
        let mut chains = Chains::default();
        assert_eq!(chains.take(&piece(0, 0, 5, b"lea")), None);
        assert_eq!(chains.take(&piece(0, 3, 5, b"f!")), None);
        let chain = chains.take(&last(piece(1, 0, 2, b"ca"))).unwrap();
        assert_eq!(chain.certificates, [b"leaf!".to_vec(), b"ca".to_vec()]);
        assert_eq!(
            chain.fingerprint,
            <[u8; 32]>::from(Sha256::digest(b"leaf!"))
        );
        assert_eq!(chain.witness.cookie, Some(7));
        assert!(!chains.is_waiting());
    }

    #[test]
    fn chain_whose_end_is_unknown_counts_after_its_time_up_to_a_gap() {
        let mut chains = Chains::default();
        for piece in [piece(0, 0, 4, b"leaf"), piece(2, 0, 4, b"root")] {
            assert_eq!(chains.take(&piece), None);
        }
        assert!(chains.expire(5 + PATIENCE_NS).is_empty());
        let over = chains.expire(6 + PATIENCE_NS);
        assert_eq!(over.len(), 1);
        assert_eq!(over[0].certificates, [b"leaf".to_vec()]);
    }

    #[test]
    fn chain_without_a_whole_leaf_is_dropped_and_counted() {
        let mut chains = Chains::default();
        assert_eq!(chains.take(&piece(0, 3, 5, b"f!")), None);
        assert_eq!(chains.take(&last(piece(1, 0, 2, b"ca"))), None);
        assert!(chains.expire(u64::MAX).is_empty());
        assert_eq!(chains.dropped(), 1);
    }

    #[test]
    fn more_chains_than_there_is_room_for_drop_the_oldest() {
        let mut chains = Chains::default();
        for moment in 0..PENDING_MAX as u64 + 1 {
            let mut piece = piece(0, 0, 4, b"lea");
            piece.message = moment;
            assert_eq!(chains.take(&piece), None);
        }
        assert_eq!((chains.pending.len(), chains.dropped()), (PENDING_MAX, 1));
        assert!(!chains.pending.contains_key(&(3, 1, 0)));
    }

    #[test]
    fn any_pieces_make_bounded_chains_that_begin_with_a_leaf() {
        bolero::check!()
            .with_type::<Vec<(u8, u8, u8, bool, Vec<u8>)>>()
            .for_each(|pieces| {
                let mut chains = Chains::default();
                let mut made = Vec::new();
                for (index, offset, total, is_last, data) in pieces {
                    let mut piece = piece((*index).into(), (*offset).into(), (*total).into(), data);
                    piece.is_last = *is_last;
                    piece.message = u64::from(*index) % 3;
                    made.extend(chains.take(&piece));
                }
                made.extend(chains.expire(u64::MAX));
                assert!(!chains.is_waiting());
                for chain in made {
                    assert!((1..=CERTIFICATES_MAX).contains(&chain.certificates.len()));
                }
            });
    }
}
