//! How the files of this folder are broken into lines; shared with `xtask`, which writes them.

/// Bytes on a line.
pub(crate) const HEX_BYTES: usize = 56;
/// Where a line of decoded text may end.
const JSON_COLUMN: usize = 100;

/// Lines that end behind a comma outside of strings; joined, they are the text again.
pub(crate) fn folded(json: &str) -> Vec<&str> {
    let mut lines = Vec::new();
    let (mut start, mut quoted, mut escaped) = (0, false, false);
    for (at, byte) in json.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => quoted = !quoted,
            b',' if !quoted && at - start >= JSON_COLUMN => {
                lines.push(&json[start..=at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    lines.push(&json[start..]);
    lines
}
