//! Frame Streams: how a stream of frames begins and ends, over a socket with a handshake or in a file.
//!
//! A frame is its length and its bytes; length 0 is the escape of a control frame, which has a length of its own
//! (<https://farsightsec.github.io/fstrm/>). Only bytes in and out: whoever calls reads and writes.

/// Longest control frame that is taken, in bytes: what the reference implementation takes.
pub(crate) const CONTROL_BYTES_MAX: usize = 512;

/// Field of a control frame: a content type.
const FIELD_CONTENT_TYPE: u32 = 1;

/// What a control frame says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Control {
    Accept = 1,
    Start = 2,
    Stop = 3,
    Ready = 4,
    Finish = 5,
}

/// A control frame is malformed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no control frame of Frame Streams")]
pub(crate) struct Malformed;

/// Appends a control frame, with the escape in front.
pub(crate) fn push_control(control: Control, content_type: Option<&str>, out: &mut Vec<u8>) {
    let mut body = (control as u32).to_be_bytes().to_vec();
    if let Some(content_type) = content_type {
        body.extend_from_slice(&FIELD_CONTENT_TYPE.to_be_bytes());
        push_data(content_type.as_bytes(), &mut body);
    }
    out.extend_from_slice(&0_u32.to_be_bytes());
    push_data(&body, out);
}

/// Appends a frame: its length and its bytes, which are some, and less than 4 GiB.
pub(crate) fn push_data(frame: &[u8], out: &mut Vec<u8>) {
    let bytes = u32::try_from(frame.len()).unwrap_or(u32::MAX);
    out.extend_from_slice(&bytes.to_be_bytes());
    out.extend_from_slice(frame);
}

/// What a control frame says, and the content types that it names. `body` is what follows its length.
pub(crate) fn parse_control(body: &[u8]) -> Result<(Control, Vec<&[u8]>), Malformed> {
    let (kind, mut rest) = take_u32(body)?;
    let control = match kind {
        1 => Control::Accept,
        2 => Control::Start,
        3 => Control::Stop,
        4 => Control::Ready,
        5 => Control::Finish,
        _ => return Err(Malformed),
    };
    let mut types = Vec::new();
    while !rest.is_empty() {
        let (field, after) = take_u32(rest)?;
        let (bytes, after) = take_u32(after)?;
        let bytes = usize::try_from(bytes).map_err(|_| Malformed)?;
        let (value, after) = after.split_at_checked(bytes).ok_or(Malformed)?;
        if field != FIELD_CONTENT_TYPE {
            return Err(Malformed);
        }
        types.push(value);
        rest = after;
    }
    Ok((control, types))
}

fn take_u32(bytes: &[u8]) -> Result<(u32, &[u8]), Malformed> {
    let (head, rest) = bytes.split_first_chunk().ok_or(Malformed)?;
    Ok((u32::from_be_bytes(*head), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn start_has_the_bytes_of_the_specification() {
        let mut out = Vec::new();
        push_control(Control::Start, Some("ab"), &mut out);
        let expected = [
            [0, 0, 0, 0],
            [0, 0, 0, 14],
            [0, 0, 0, 2],
            [0, 0, 0, 1],
            [0, 0, 0, 2],
        ];
        assert_eq!(out, [&expected.concat()[..], b"ab"].concat());
    }

    #[test]
    fn any_bytes_are_a_control_frame_that_reads_back_or_none() {
        bolero::check!()
            .with_iterations(20_000)
            .for_each(|body: &[u8]| {
                if let Ok((control, types)) = parse_control(body)
                    && let [one] = types[..]
                    && let Ok(one) = std::str::from_utf8(one)
                {
                    let mut out = Vec::new();
                    push_control(control, Some(one), &mut out);
                    assert_eq!(&out[8..], body);
                }
            });
    }
}
