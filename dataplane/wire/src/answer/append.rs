//! Puts one more option into an answer that is written.

use super::{EXTENDED_TEXT_BYTES_MAX, OPTION_HEADER_BYTES, begin_option};
use crate::code;
use crate::cursor::{Cursor, CursorError};
use crate::query::words;

/// Family, two lengths and a whole address.
const CLIENT_SUBNET_BYTES_MAX: usize = 20;

/// Puts an extended error behind the options of the OPT record that ends the first `bytes` of
/// `message`, if there is one, and if the whole then has at most `limit` bytes and fits `message`
/// (RFC 8914 §2 allows several in one message). At most [`EXTENDED_TEXT_BYTES_MAX`] of `text` are
/// written. Gives the length of the message after that, which is `bytes` if nothing was done.
///
/// For what is too rare to be kept with an answer: it walks the message.
#[must_use]
pub fn append_extended_error(
    message: &mut [u8],
    bytes: usize,
    limit: u16,
    info_code: u16,
    text: &[u8],
) -> usize {
    let text = text.get(..EXTENDED_TEXT_BYTES_MAX).unwrap_or(text);
    let parts = (&info_code.to_be_bytes()[..], text);
    append(message, bytes, limit, code::OPTION_EXTENDED_ERROR, parts)
}

/// Puts a CLIENT-SUBNET option (RFC 7871 §6) with this data there, under the same conditions. Data of
/// more bytes than an address of IPv6 has are not written.
#[must_use]
pub fn append_client_subnet(message: &mut [u8], bytes: usize, limit: u16, data: &[u8]) -> usize {
    if data.len() > CLIENT_SUBNET_BYTES_MAX {
        return bytes;
    }
    let parts = (data, &[][..]);
    append(message, bytes, limit, code::OPTION_CLIENT_SUBNET, parts)
}

/// Puts the Nexus extension (option 65053) with this data there, under the same conditions.
#[must_use]
pub fn append_nexus(message: &mut [u8], bytes: usize, limit: u16, data: &[u8; 16]) -> usize {
    append(message, bytes, limit, code::OPTION_NEXUS, (data, &[]))
}

fn append(
    message: &mut [u8],
    bytes: usize,
    limit: u16,
    option: u16,
    (first, second): (&[u8], &[u8]),
) -> usize {
    let data_bytes = first.len() + second.len();
    let end = bytes + OPTION_HEADER_BYTES + data_bytes;
    let walked = message.get(..bytes).map(last_opt);
    let Some(Ok(Some(opt))) = walked.filter(|_| end <= usize::from(limit)) else {
        return bytes;
    };
    let rdata_bytes = u16::try_from(opt.rdata_bytes + end - bytes);
    let (Ok(rdata_bytes), Some(room)) = (rdata_bytes, message.get_mut(bytes..end)) else {
        return bytes;
    };
    let (data, _) = begin_option(room, option, data_bytes);
    let (head, rest) = data.split_at_mut(first.len());
    head.copy_from_slice(first);
    rest.copy_from_slice(second);
    if let Some(length) = message.get_mut(opt.length_at..opt.length_at + 2) {
        length.copy_from_slice(&rdata_bytes.to_be_bytes());
    }
    end
}

/// The OPT record at the end of a message.
struct LastOpt {
    /// Offset of its RDLENGTH.
    length_at: usize,
    rdata_bytes: usize,
}

fn last_opt(message: &[u8]) -> Result<Option<LastOpt>, CursorError> {
    let mut cursor = Cursor::new(message, 0);
    let [_, _, question_count, counts @ ..] = words(&cursor.array()?);
    for _ in 0..question_count {
        cursor.skip_name()?;
        cursor.array::<4>()?; // Type and class.
    }
    let mut last = None;
    for _ in 0..counts.into_iter().map(u32::from).sum() {
        last = Some(cursor.record()?);
    }
    let last = last.filter(|record| record.is_root && record.rtype == code::TYPE_OPT);
    Ok(last.filter(|_| cursor.is_at_end()).map(|opt| LastOpt {
        length_at: opt.rdata_offset - 2,
        rdata_bytes: opt.rdata.len(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extension_goes_behind_the_other_options_if_there_is_room() {
        let query = [0, 7, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 1];
        let opt = [0, 0, 41, 4, 0xd0, 0, 0, 0, 0, 0, 4, 0, 3, 0, 0]; // With an empty NSID.
        let (mut message, bytes) = ([0; 64], query.len() + opt.len());
        for (byte, value) in message.iter_mut().zip(query.into_iter().chain(opt)) {
            *byte = value;
        }
        let data = [9; 16];
        assert_eq!(append_nexus(&mut message, bytes, 46, &data), bytes);
        let after = append_nexus(&mut message, bytes, 47, &data);
        assert_eq!(after, bytes + 20);
        assert_eq!(message.get(21..23), Some(&[0, 24][..]), "RDLENGTH");
        assert_eq!(message.get(27..31), Some(&[0xfe, 0x1d, 0, 16][..])); // 65053.
        assert_eq!(message.get(31..after), Some(&data[..]));
    }
}
