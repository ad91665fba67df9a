//! Bytes of the whole state: one state, one form. What another node sends is outside input, though a quorum has signed its root.

use consensus::{
    Configuration, DecodeError, Digest, MEMBERS_MAX, Member, NodeId, Reader, RestoreError,
    Sequence, Wire, Writer,
};
use resolver::zone::{CONTENTS_BYTES_MAX, ZoneContents};

use crate::answers::Answers;
use crate::application::{APPLICATION_BYTES_MAX, APPLICATIONS_MAX, Applications};
use crate::codec::{read_map, write_map};
use crate::command::read_application_name;
use crate::ct_log::CtLog;
use crate::members::{PROPOSALS_MAX, RETIRED_MAX};
use crate::parameters::Parameters;
use crate::reputation::TALLIES_MAX;
use crate::score::Score;
use crate::state::State;
use crate::zones::{ZONES_MAX, Zones};

/// Of the form below.
const VERSION: u8 = 3;

/// Trust of one reporter.
struct Subjects(std::collections::BTreeMap<NodeId, Score>);

impl Wire for Subjects {
    fn write(&self, out: &mut Writer) {
        write_map(&self.0, out);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self(read_map(from, "subjects", MEMBERS_MAX)?))
    }
}

/// State and applications, as bytes.
pub(crate) fn write(state: &State, applications: &Applications) -> Vec<u8> {
    let mut out = Writer::default();
    out.u8(VERSION);
    state.parameters.write(&mut out);
    state.sequence.write(&mut out);
    out.u64(state.time_ms);
    out.list(&state.members.values().cloned().collect::<Vec<_>>());
    out.list(&state.retired.iter().copied().collect::<Vec<_>>());
    write_map(&state.proposals, &mut out);
    write_map(&state.standings, &mut out);
    let trust = state.trust.iter();
    let trust = trust.map(|(reporter, subjects)| (*reporter, Subjects(subjects.clone())));
    write_map(&trust.collect(), &mut out);
    write_map(&state.tallies, &mut out);
    state.answers.write(&mut out);
    state.ct.write(&mut out);
    out.u32(u32::try_from(state.zones.len()).unwrap_or(u32::MAX));
    for contents in state.zones.iter() {
        out.block(&contents.encode());
    }
    out.u32(u32::try_from(applications.0.len()).unwrap_or(u32::MAX));
    for (name, application) in &applications.0 {
        out.block(name.as_bytes());
        out.block(&application.snapshot());
    }
    out.into_bytes()
}

/// What [`write`] wrote, for a node of the same cluster that has the same applications as `own`.
pub(crate) fn read(
    bytes: &[u8],
    genesis: &Configuration,
    own: &Applications,
) -> Result<(State, Applications), RestoreError> {
    let mut from = Reader::new(bytes);
    let state = read_state(&mut from, genesis).map_err(|_| RestoreError("malformed"))?;
    check(&state)?;
    state.ct.check()?;
    let state = read_zones(&mut from, state)?;
    let applications = read_applications(&mut from, own)?;
    from.finish()
        .map_err(|_| RestoreError("bytes behind the end"))?;
    Ok((state, applications))
}

fn read_state(from: &mut Reader<'_>, genesis: &Configuration) -> Result<State, DecodeError> {
    let offset = from.offset();
    let version = from.u8()?;
    if version != VERSION {
        return crate::codec::unknown("version", version, offset);
    }
    let parameters = Parameters::read(from)?;
    let (sequence, time_ms) = (Sequence::read(from)?, from.u64()?);
    let members: Vec<Member> = from.list("members", MEMBERS_MAX)?;
    let members: Vec<_> = members.into_iter().map(|m| (m.id(), m)).collect();
    if !members.is_sorted_by(|(one, _), (next, _)| one < next) {
        return Err(DecodeError::Order { what: "members" });
    }
    let retired: Vec<NodeId> = from.list("retired keys", RETIRED_MAX)?;
    if !retired.is_sorted_by(|one, next| one < next) {
        return Err(DecodeError::Order {
            what: "retired keys",
        });
    }
    let proposals = read_map(from, "proposals", PROPOSALS_MAX)?;
    let standings = read_map(from, "standings", MEMBERS_MAX)?;
    let trust = read_map::<NodeId, Subjects>(from, "reporters", MEMBERS_MAX)?;
    Ok(State {
        genesis: genesis.clone(),
        parameters,
        sequence,
        time_ms,
        members: members.into_iter().collect(),
        retired: retired.into_iter().collect(),
        proposals,
        standings,
        trust: trust
            .into_iter()
            .map(|(reporter, subjects)| (reporter, subjects.0))
            .collect(),
        tallies: read_map(from, "tallies", TALLIES_MAX)?,
        answers: Answers::read(from)?,
        ct: CtLog::read(from)?,
        zones: Zones::default(),
        dirty: std::collections::BTreeSet::new(),
    })
}

/// What bytes alone do not show.
fn check(state: &State) -> Result<(), RestoreError> {
    if !state.members.keys().eq(state.standings.keys()) {
        return Err(RestoreError("standings of others than the members"));
    }
    if state.members.keys().any(|id| state.retired.contains(id)) {
        return Err(RestoreError("a member whose key is retired"));
    }
    let is_key = |(key, proposal): (&Digest, &crate::members::Proposal)| {
        *key == Digest::of(&proposal.change.to_bytes())
    };
    if !state.proposals.iter().all(is_key) {
        return Err(RestoreError("a proposal under another's key"));
    }
    Ok(())
}

fn read_zones(from: &mut Reader<'_>, mut state: State) -> Result<State, RestoreError> {
    let malformed = |_| RestoreError("malformed zones");
    let mut last: Option<Vec<u8>> = None;
    for _ in 0..from.count("zones", ZONES_MAX).map_err(malformed)? {
        let bytes = from.block("bytes of a zone", 2 * CONTENTS_BYTES_MAX);
        let bytes = bytes.map_err(malformed)?;
        let contents = ZoneContents::decode(bytes).map_err(|_| RestoreError("a zone"))?;
        if last.as_deref().is_some_and(|last| last >= contents.apex()) {
            return Err(RestoreError("zones out of order"));
        }
        last = Some(contents.apex().to_vec());
        state.zones.insert(contents);
    }
    Ok(state)
}

fn read_applications(
    from: &mut Reader<'_>,
    own: &Applications,
) -> Result<Applications, RestoreError> {
    let malformed = |_| RestoreError("malformed applications");
    let mut restored = Applications::default();
    for _ in 0..from
        .count("applications", APPLICATIONS_MAX)
        .map_err(malformed)?
    {
        let name = read_application_name(from).map_err(malformed)?;
        let bytes = from.block("bytes of an application", APPLICATION_BYTES_MAX);
        let bytes = bytes.map_err(malformed)?;
        let unknown = RestoreError("an application that is not registered");
        let application = own.0.get(&name).ok_or(unknown)?;
        let last = restored.0.last_key_value();
        if last.is_some_and(|(last, _)| *last >= name) {
            return Err(RestoreError("applications out of order"));
        }
        let mut application = application.fresh();
        application.restore(bytes)?;
        restored.0.insert(name, application);
    }
    match restored.0.len() == own.0.len() {
        true => Ok(restored),
        false => Err(RestoreError("an application is missing")),
    }
}
