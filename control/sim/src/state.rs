//! All that the simulated nodes agree on: the registers, and in runs with a certificate log the real ledger beside them.

use consensus::{
    ApplyContext, ClusterId, Configuration, Digest, Reader, Request, RestoreError, SignatureCheck,
    StateMachine, Wire as _, Writer,
};
use ledger::{Applications, CtNews, Ledger, Parameters};

use crate::machine::{Command, Registers};

/// Registers, and perhaps a ledger.
#[derive(Debug)]
pub(crate) struct State {
    registers: Registers,
    ledger: Option<Ledger>,
}

impl State {
    pub(crate) fn new(registers: Registers, genesis: &Configuration, has_ledger: bool) -> Self {
        let new = || Ledger::new(genesis, Parameters::default(), Applications::default());
        Self {
            registers,
            ledger: has_ledger.then(new),
        }
    }

    pub(crate) fn registers(&self) -> &Registers {
        &self.registers
    }

    pub(crate) fn ledger(&self) -> Option<&Ledger> {
        self.ledger.as_ref()
    }

    /// What has happened to the log since this was last asked.
    pub(crate) fn take_news(&mut self) -> Vec<CtNews> {
        let ledger = self.ledger.as_mut();
        ledger.map_or(Vec::new(), Ledger::take_ct_news)
    }
}

/// The request as the ledger gets it.
fn of_ledger(request: &Request) -> Option<Request> {
    match Command::from_bytes(&request.command) {
        Ok(Command::Ledger(command)) => Some(Request {
            command,
            ..request.clone()
        }),
        _ => None,
    }
}

impl StateMachine for State {
    fn fresh(&self) -> Self {
        Self {
            registers: self.registers.fresh(),
            ledger: self.ledger.as_ref().map(Ledger::fresh),
        }
    }

    fn is_well_formed(&self, request: &Request) -> bool {
        let suits = |inner| {
            let ledger = self.ledger.as_ref();
            ledger.is_some_and(|ledger| ledger.is_well_formed(&inner))
        };
        self.registers.is_well_formed(request) && of_ledger(request).is_none_or(suits)
    }

    fn checks(&self, cluster: ClusterId, request: &Request) -> Vec<SignatureCheck> {
        of_ledger(request).map_or(Vec::new(), |inner| ledger::checks_of(cluster, &inner))
    }

    fn apply(&mut self, context: ApplyContext, request: &Request) -> Vec<u8> {
        let mut reply = self.registers.apply(context, request);
        if let (Some(ledger), Some(inner)) = (&mut self.ledger, of_ledger(request)) {
            reply.extend(ledger.apply(context, &inner));
        }
        reply
    }

    fn root(&mut self) -> Digest {
        let registers = self.registers.root();
        let Some(ledger) = &mut self.ledger else {
            return registers;
        };
        Digest::of(&[registers.0, ledger.root().0].concat())
    }

    fn wanted_configuration(&self, current: &Configuration) -> Configuration {
        self.registers.wanted_configuration(current)
    }

    fn snapshot(&self) -> Vec<u8> {
        let Some(ledger) = &self.ledger else {
            return self.registers.snapshot();
        };
        let mut out = Writer::default();
        out.block(&self.registers.snapshot());
        out.block(&ledger.snapshot());
        out.into_bytes()
    }

    fn restore(&mut self, snapshot: &[u8]) -> Result<(), RestoreError> {
        let Some(ledger) = &mut self.ledger else {
            return self.registers.restore(snapshot);
        };
        let mut from = Reader::new(snapshot);
        let mut part = || from.block("bytes of a state", snapshot.len());
        let parts = part().and_then(|registers| Ok((registers, part()?)));
        let (registers, of_ledger) = parts.map_err(|_| RestoreError("not two states"))?;
        self.registers.restore(registers)?;
        ledger.restore(of_ledger)
    }
}
