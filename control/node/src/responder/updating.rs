//! Who may change a zone (RFC 2136 §3.3), and what others are told.

use std::net::IpAddr;

use resolver::zone::{TsigRefusal, TsigSigner, Update};
use wire::answer::write_error;
use wire::query::Query;
use wire::rcode;

use super::{Responder, Verdict, Via};
use crate::signing;
use crate::updates::{ClientUpdate, Submission};

impl Responder {
    /// Checks the signature of a query. Without keys there are no signatures that count, as for a server
    /// that knows nothing of them.
    pub(super) fn check_signature(
        &mut self,
        query: &Query,
        message: &[u8],
    ) -> Result<Option<TsigSigner>, TsigRefusal> {
        let keys = self.zones.load().keys();
        if !query.signed || keys.is_empty() {
            return Ok(None);
        }
        signing::check(keys, message, &self.counters)
    }

    /// A client wants to change a zone.
    pub(super) fn updated(
        &mut self,
        buffer: &mut [u8],
        bytes: usize,
        client: IpAddr,
        via: Via,
    ) -> Verdict {
        let message = &buffer[..bytes];
        let keys = self.zones.load().keys();
        let signer = match signing::check(keys, message, &self.counters) {
            Ok(signer) => signer,
            Err(refusal) => {
                self.counters.updates_refused.increment();
                let bytes = signing::write_refusal(buffer, bytes, None, &refusal);
                return Verdict::Answer { bytes, keep: None };
            }
        };
        let code = match (self.admit(message, signer.as_ref()), signer) {
            (Ok(update), Some(signer)) => {
                let update = ClientUpdate {
                    update,
                    key_name: signer.key_name().into(),
                    client,
                };
                let bytes = write_error(buffer, bytes, None, 0, None);
                return Verdict::Update(Box::new(Submission {
                    update,
                    response: buffer[..bytes].to_vec(),
                    signer,
                    via,
                }));
            }
            (Ok(_), None) => rcode::REFUSED,
            (Err(code), Some(signer)) => {
                self.counters.updates_refused.increment();
                let bytes = write_error(buffer, bytes, None, code, None);
                let bytes = signing::sign(&signer, buffer, bytes, None, via);
                return Verdict::Answer { bytes, keep: None };
            }
            (Err(code), None) => code,
        };
        self.counters.updates_refused.increment();
        let bytes = write_error(buffer, bytes, None, code, None);
        Verdict::Answer { bytes, keep: None }
    }

    /// Reads an update that its sender may make; else the response code.
    fn admit(&mut self, message: &[u8], signer: Option<&TsigSigner>) -> Result<Update, u16> {
        let zone = Update::read_zone(message).map_err(|error| error.rcode())?;
        let zones = self.zones.load();
        match zones.find_agreed(zone.as_bytes()) {
            Some(access) if access.allows_update(signer) => {}
            Some(_) => return Err(rcode::REFUSED),
            None if zones.find_apex(zone.as_bytes()).is_some() => return Err(rcode::REFUSED),
            None => return Err(rcode::NOTAUTH),
        }
        Update::parse(message).map_err(|error| error.rcode())
    }
}
