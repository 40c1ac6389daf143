//! How much memory things take that conversations keep.

/// Bytes that optional texts take.
pub(super) fn texts<const N: usize>(texts: [&Option<String>; N]) -> usize {
    texts.iter().filter_map(|text| text.as_ref()).map(String::capacity).sum()
}
