//! Names and numbers of the protocol: nodes, clusters, epochs, views, sequences, digests, signatures.

use core::fmt;

use sha2::{Digest as _, Sha256};

use crate::codec::{DecodeError, Reader, Wire, Writer};

/// A node: the first 8 bytes, big-endian, of SHA-256 of its Ed25519 public key. A new key is a new node.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u64);

/// An Ed25519 public key (RFC 8032 §5.1.5).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct PublicKey(pub [u8; 32]);

/// An Ed25519 signature (RFC 8032 §5.1.6).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Signature(pub [u8; 64]);

/// SHA-256 of something. What it covers stands where it is made.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; 32]);

/// A cluster: the digest of its first configuration.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct ClusterId(pub Digest);

/// The number of a configuration, from 0. It rises with each change of members.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Epoch(pub u64);

/// The number of a leadership within an epoch, from 0.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct View(pub u64);

/// The place of a batch in the order, from 1. It never restarts; 0 is the state before the first batch.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Sequence(pub u64);

impl NodeId {
    /// The id that belongs to a key.
    #[must_use]
    pub fn of(key: &PublicKey) -> Self {
        let Digest(bytes) = Digest::of(&key.0);
        let mut first = [0; 8];
        first.copy_from_slice(bytes.first_chunk::<8>().unwrap_or(&[0; 8]));
        Self(u64::from_be_bytes(first))
    }
}

impl Digest {
    /// SHA-256 of bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }
}

impl View {
    /// The one after this.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl Sequence {
    /// The one after this.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// This many further on.
    #[must_use]
    pub fn plus(self, count: u64) -> Self {
        Self(self.0.saturating_add(count))
    }
}

macro_rules! number {
    ($($name:ident: $letter:literal),*) => {$(
        impl Wire for $name {
            fn write(&self, out: &mut Writer) {
                out.u64(self.0);
            }

            fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
                Ok(Self(from.u64()?))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(out, "{}", self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(out, concat!($letter, "{}"), self.0)
            }
        }
    )*};
}

number!(Epoch: "e", View: "v", Sequence: "n");

macro_rules! bytes {
    ($($name:ident),*) => {$(
        impl Wire for $name {
            fn write(&self, out: &mut Writer) {
                out.bytes(&self.0);
            }

            fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
                Ok(Self(from.array()?))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(out, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().take(4).try_for_each(|byte| write!(out, "{byte:02x}"))
            }
        }
    )*};
}

bytes!(PublicKey, Signature, Digest);

impl Wire for NodeId {
    fn write(&self, out: &mut Writer) {
        out.u64(self.0);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self(from.u64()?))
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:016x}", self.0)
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:x}", self.0)
    }
}

impl Wire for ClusterId {
    fn write(&self, out: &mut Writer) {
        self.0.write(out);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self(Digest::read(from)?))
    }
}

impl fmt::Display for ClusterId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}
