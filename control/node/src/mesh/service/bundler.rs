//! Many commands in one request of the ledger's, and its outcomes apart again.

use consensus::{Reader, Wire, Writer};
use ledger::{Outcome, Outcomes};

use crate::mesh::driver::Bundler;

/// Wishes are commands in their byte form; replies are outcomes.
#[derive(Debug)]
pub struct LedgerBundler;

impl Bundler for LedgerBundler {
    fn bundle(&self, wishes: &[Vec<u8>]) -> Vec<u8> {
        // The byte form of `ledger::Commands`, without reading what this node has just written.
        let mut out = Writer::default();
        out.u32(u32::try_from(wishes.len()).unwrap_or(u32::MAX));
        wishes.iter().for_each(|wish| out.bytes(wish));
        out.into_bytes()
    }

    fn split(&self, reply: &[u8], count: usize) -> Vec<Vec<u8>> {
        let outcomes = Outcomes::from_bytes(reply).map_or(Vec::new(), |outcomes| outcomes.0);
        outcomes.iter().take(count).map(Outcome::to_bytes).collect()
    }
}

/// The outcome of one wish.
pub(super) fn outcome(reply: &[u8]) -> Option<Outcome> {
    let mut from = Reader::new(reply);
    let outcome = Outcome::read(&mut from).ok()?;
    from.finish().ok().map(|()| outcome)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use ledger::{Command, Commands};

    use super::*;

    #[test]
    fn bundled_wishes_are_the_commands_of_one_request() {
        let apex: Arc<[u8]> = Arc::from(b"\x04zone\0".as_slice());
        let commands = vec![
            Command::ZoneDelete(Arc::clone(&apex)),
            Command::CtRefresh("one2026".into()),
        ];
        let wishes: Vec<_> = commands.iter().map(Command::to_bytes).collect();
        let bundle = LedgerBundler.bundle(&wishes);
        assert_eq!(Commands::from_bytes(&bundle), Ok(Commands(commands)));
    }

    #[test]
    fn each_wish_gets_its_own_outcome() {
        let outcomes = vec![
            Outcome::Done,
            Outcome::Zone {
                rcode: 0,
                serial: 7,
            },
        ];
        let reply = Outcomes(outcomes.clone()).to_bytes();
        let parts = LedgerBundler.split(&reply, 2);
        let found: Vec<_> = parts.iter().filter_map(|part| outcome(part)).collect();
        assert_eq!(found, outcomes);
        assert_eq!(LedgerBundler.split(b"?", 2), Vec::<Vec<u8>>::new());
    }
}
