//! Who may copy and change a zone, and who is told of its changes, as the configuration says.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use config::Networks;
use resolver::zone::{TsigKey, TsigKeys, TsigSigner};

use crate::transfer_key;
use crate::zone_file::{Remark, wire_name};

/// What the configuration says of one zone. Names of keys are in wire form.
#[derive(Debug, Default)]
pub(crate) struct Access {
    transfer: Networks,
    transfer_keys: Vec<Vec<u8>>,
    update_keys: Vec<Vec<u8>>,
    /// Secondaries to be told.
    pub(crate) notify: Vec<SocketAddr>,
    /// Signs what they are told.
    pub(crate) notify_key: Option<Arc<TsigKey>>,
}

impl Access {
    pub(crate) fn new(zone: &config::Zone, keys: &TsigKeys) -> Self {
        let wire = |names: &[String]| names.iter().filter_map(|name| wire_name(name)).collect();
        let notify_key = zone.notify_key.as_ref().and_then(|name| wire_name(name));
        Self {
            transfer: zone.allow_transfer.clone(),
            transfer_keys: wire(&zone.allow_transfer_keys),
            update_keys: wire(&zone.allow_update),
            notify: zone.notify.iter().map(|secondary| secondary.0).collect(),
            notify_key: notify_key.and_then(|name| keys.get(&name).cloned()),
        }
    }

    /// Whether the zone may be copied by who asks from there, with that signature.
    pub(crate) fn allows_transfer(&self, client: IpAddr, signer: Option<&TsigSigner>) -> bool {
        self.transfer.contain(client) || is_one_of(signer, &self.transfer_keys)
    }

    /// Whether the zone may be changed by who has signed so.
    pub(crate) fn allows_update(&self, signer: Option<&TsigSigner>) -> bool {
        is_one_of(signer, &self.update_keys)
    }

    /// Whether anybody may change the zone.
    pub(crate) fn takes_updates(&self) -> bool {
        !self.update_keys.is_empty()
    }
}

fn is_one_of(signer: Option<&TsigSigner>, names: &[Vec<u8>]) -> bool {
    signer.is_some_and(|signer| names.iter().any(|name| *name == signer.key_name()))
}

/// Reads the secrets of all keys.
///
/// # Errors
/// What is wrong with the first file that is of no use.
pub(crate) fn read_keys(from: &[config::Tsig]) -> Result<TsigKeys, Remark> {
    from.iter().map(transfer_key::read).collect()
}
