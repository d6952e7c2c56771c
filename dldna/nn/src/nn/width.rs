//! Widths that stable Rust cannot compute in a type: they are passed, and checked.

/// Stops the compilation where a width in a type is not what it has to be, and names both numbers.
///
/// Stable Rust cannot write `4 * MID` in a type, so the product is passed, and checked here.
///
/// ```
/// struct Block<const MID: usize, const OUT: usize>;
/// impl<const MID: usize, const OUT: usize> Block<MID, OUT> {
///     const CHECKED: () = dldna_nn::nn::assert_width("four times MID", 4 * MID, OUT);
/// }
/// let _ = Block::<16, 64>::CHECKED;
/// ```
///
/// ```compile_fail
/// # struct Block<const MID: usize, const OUT: usize>;
/// # impl<const MID: usize, const OUT: usize> Block<MID, OUT> {
/// #     const CHECKED: () = dldna_nn::nn::assert_width("four times MID", 4 * MID, OUT);
/// # }
/// let _ = Block::<16, 32>::CHECKED; // four times MID: 64 channels, but OUT says 32
/// ```
pub const fn assert_width(what: &str, expected: usize, found: usize) {
    if expected != found {
        let mut text = [0; 160];
        let mut length = write(&mut text, 0, what.as_bytes());
        length = write(&mut text, length, b": ");
        length = write_number(&mut text, length, expected);
        length = write(&mut text, length, b" channels, but the type says ");
        length = write_number(&mut text, length, found);
        stop(&text, length);
    }
}

/// Stops the compilation where the groups do not divide the channels, and names both numbers.
pub(super) const fn assert_groups(channels: usize, groups: usize) {
    if groups == 0 || !channels.is_multiple_of(groups) {
        let mut text = [0; 160];
        let mut length = write_number(&mut text, 0, channels);
        length = write(&mut text, length, b" channels cannot be divided into ");
        length = write_number(&mut text, length, groups);
        length = write(&mut text, length, b" groups of one size");
        stop(&text, length);
    }
}

/// Stops with the first `length` bytes of `text`.
const fn stop(text: &[u8], length: usize) -> ! {
    let (text, _) = text.split_at(length);
    match std::str::from_utf8(text) {
        Ok(text) => panic!("{}", text),
        Err(_) => panic!("a width is not what it has to be"),
    }
}

/// Copies `bytes` behind the first `length` bytes of `text`, as far as there is room; the new length.
const fn write(text: &mut [u8], length: usize, bytes: &[u8]) -> usize {
    let mut index = 0;
    while index < bytes.len() && length + index < text.len() {
        text[length + index] = bytes[index];
        index += 1;
    }
    length + index
}

/// [`write`] for the decimal digits of a number.
const fn write_number(text: &mut [u8], length: usize, number: usize) -> usize {
    let length = if number < 10 {
        length
    } else {
        write_number(text, length, number / 10)
    };
    write(text, length, &[b'0' + (number % 10) as u8])
}
