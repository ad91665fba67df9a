//! Zones by the operator's word: through the ledger, like everything that all nodes shall serve alike.

use std::sync::Arc;

use ledger::{Command, CreateMode, Outcome, Reason, commands_of};
use resolver::zone::{DisplayName, Zone, ZoneContents};
use wire::rcode;

use super::Mesh;
use super::asked::failure;
use super::records::{Wanted, update};
use crate::admin::{Failure, FailureCode, ZONE_TEXT_BYTES_MAX, ZoneChanged, ZoneText};
use crate::control::{apart, parse_name, wire_name_of};
use crate::zone_text;

impl Mesh {
    /// Gives the cluster a zone.
    pub(super) async fn create_zone(
        &self,
        name: &str,
        text: String,
        replace: bool,
    ) -> Result<ZoneChanged, Failure> {
        let apex = apex_of(name)?;
        let name = DisplayName(&apex).to_string();
        let admitted = self.part()?.publisher.admit(&name);
        admitted.map_err(|reason| invalid(format!("{name} would not be served here: {reason}")))?;
        if text.len() > ZONE_TEXT_BYTES_MAX {
            let text = format!("a text of more than {ZONE_TEXT_BYTES_MAX} bytes");
            return Err(Failure::new(FailureCode::BadRequest, text));
        }
        let mode = if replace {
            CreateMode::Replace
        } else {
            CreateMode::New
        };
        let commands = apart({
            let apex = Arc::clone(&apex);
            move || {
                let contents = read(&apex, &text)?;
                commands_of(&contents, mode).map_err(|error| invalid(error.to_string()))
            }
        })
        .await??;
        let serial_before = self.serial(&apex).await?;
        let (count, mut serial) = (commands.len(), 0);
        for (index, command) in commands.iter().enumerate() {
            let part = self.order(&apex, command).await;
            serial = part.map_err(|failure| match index {
                0 => failure,
                _ => {
                    let text = format!(
                        "part {} of {count}: {}; the zone is incomplete: remove it and try again",
                        index + 1,
                        failure.message
                    );
                    Failure::new(failure.code, text)
                }
            })?;
        }
        self.changed(&apex, serial_before, Some(serial))
    }

    /// Changes records of one name.
    pub(super) async fn change_records(
        &self,
        name: &str,
        owner: &str,
        wanted: Wanted<'_>,
    ) -> Result<ZoneChanged, Failure> {
        let apex = apex_of(name)?;
        let update = update(&apex, owner, wanted)
            .map_err(|error| Failure::new(FailureCode::BadRequest, error))?;
        let serial_before = self.serial(&apex).await?;
        let command = Command::ZoneUpdate(Box::new(update));
        let serial = self.order(&apex, &command).await?;
        self.changed(&apex, serial_before, Some(serial))
    }

    /// Takes a zone from the cluster.
    pub(super) async fn remove_zone(&self, name: &str) -> Result<ZoneChanged, Failure> {
        let apex = apex_of(name)?;
        let serial_before = self.serial(&apex).await?;
        let command = Command::ZoneDelete(Arc::clone(&apex));
        self.order(&apex, &command).await?;
        self.changed(&apex, serial_before, None)
    }

    /// What the ledger holds of a zone, as a master file.
    pub(super) async fn show_zone(
        &self,
        name: &str,
        is_linearizable: bool,
    ) -> Result<ZoneText, Failure> {
        let apex = apex_of(name)?;
        if is_linearizable {
            let barrier = self.part()?.handle.read_barrier().await;
            barrier.map_err(|error| failure(&error))?;
        }
        let asked = Arc::clone(&apex);
        let contents = self.look(move |ledger| ledger.zone(&asked).cloned());
        let contents = contents.await?.ok_or_else(|| unknown(&apex))?;
        apart(move || show(&contents)).await
    }

    async fn serial(&self, apex: &Arc<[u8]>) -> Result<Option<u32>, Failure> {
        let apex = Arc::clone(apex);
        self.look(move |ledger| ledger.zone(&apex).map(ZoneContents::serial))
            .await
    }

    /// Has a command about a zone executed; its serial then.
    async fn order(&self, apex: &[u8], command: &Command) -> Result<u32, Failure> {
        let outcome = self
            .submit(command)
            .await
            .map_err(|error| failure(&error))?;
        match outcome {
            Outcome::Zone { rcode: 0, serial } => Ok(serial),
            Outcome::Zone { rcode, .. } => Err(refusal(apex, rcode)),
            Outcome::Refused(reason) => Err(refused(reason)),
            outcome => Err(Failure::new(
                FailureCode::Internal,
                format!("the ledger's reply does not fit: {outcome:?}"),
            )),
        }
    }

    fn changed(
        &self,
        apex: &[u8],
        serial_before: Option<u32>,
        serial: Option<u32>,
    ) -> Result<ZoneChanged, Failure> {
        let zone = DisplayName(apex).to_string();
        tracing::info!(zone, serial_before, serial, "changed by the command line");
        Ok(ZoneChanged {
            zone,
            serial_before,
            serial,
        })
    }
}

fn apex_of(name: &str) -> Result<Arc<[u8]>, Failure> {
    Ok(wire_name_of(&parse_name(name)?).into())
}

fn read(apex: &[u8], text: &str) -> Result<ZoneContents, Failure> {
    let mut refuse = |_: &str, _: &str| Err("files are included before they are sent".to_owned());
    let read = Zone::read(apex, text.as_bytes(), "zone", &mut refuse);
    let (zone, _) = read.map_err(|error| {
        let place = &error.place;
        invalid(format!(
            "{}:{}: {}",
            place.line, place.column, error.problem
        ))
    })?;
    Ok(ZoneContents::from_zone(&zone))
}

fn show(contents: &ZoneContents) -> ZoneText {
    ZoneText {
        zone: DisplayName(contents.apex()).to_string(),
        serial: contents.serial(),
        records: contents.records_count() as u64,
        text: zone_text::write(contents),
    }
}

fn invalid(text: String) -> Failure {
    Failure::new(FailureCode::Invalid, text)
}

fn unknown(apex: &[u8]) -> Failure {
    let text = format!("the cluster has no zone {}", DisplayName(apex));
    Failure::new(FailureCode::NotFound, text)
}

/// Why the ledger does not do it, by RFC 2136 §2.2.
fn refusal(apex: &[u8], code: u16) -> Failure {
    let zone = DisplayName(apex);
    match code {
        rcode::NOTAUTH => unknown(apex),
        rcode::YXDOMAIN => invalid(format!("the cluster has a zone {zone}: --replace")),
        rcode::NXRRSET => invalid(format!("{zone} has been changed meanwhile")),
        rcode::REFUSED => invalid(format!(
            "{zone} must not become what it would, or is signed elsewhere"
        )),
        code => invalid(format!("{zone} is not changed: RCODE {code}")),
    }
}

/// Why the ledger does not listen.
pub(super) fn refused(reason: Reason) -> Failure {
    let text = match reason {
        Reason::NotMember => "this node is no member",
        Reason::NotVoter => "this node has no vote",
        Reason::Isolated => "this node is shut out",
        Reason::NoSuchNode => "there is no such member, or it is not isolated",
        Reason::OwnSubject => "no node speaks for itself",
        Reason::WrongTime => "it is of another time",
        Reason::TooMany => "too many proposals wait, or too many members have gone",
        Reason::NotSafe => "nothing would change, or the members would be no safe cluster",
        Reason::NotProposer => "this node is not who proposes it",
        Reason::UsedKey => {
            "a member that is gone had this key, and requests of that time could be executed again: move \
             node.key_file and consensus/ away at that node, run `nexus key show`, and propose its new key"
        }
        Reason::NoSuchShard => "the members have not agreed on that shard",
        Reason::ShardClosed => "the shard takes nothing any more",
        Reason::OtherRoots => "this node's ct.roots are not those that the members have agreed on",
        Reason::NotYours => "the key has not signed that it is this node's",
        Reason::OtherKind => {
            "a witness has no state, and the others have: remove the node, and add it in its other role \
             under a new key"
        }
    };
    Failure::new(
        FailureCode::Invalid,
        format!("refused by the ledger: {text}"),
    )
}
