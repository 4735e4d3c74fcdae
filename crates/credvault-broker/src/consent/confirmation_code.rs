//! The code by which a person sees that the browser's consent is the one that the caller's page has begun.

use credvault_crypto::sha256;

/// The digits of Crockford's base 32, none of which is mistaken for another.
const DIGITS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// Eight letters and digits (40 bits) in two groups, which follow from the state.
pub fn confirmation_code(state: &str) -> String {
    let hash = sha256(&[b"credvault confirmation".as_slice(), state.as_bytes()]);
    let mut code = String::with_capacity(9);
    for (place, byte) in hash.iter().take(8).enumerate() {
        if place == 4 {
            code.push('-');
        }
        code.extend(DIGITS.get(usize::from(byte % 32)).map(|digit| char::from(*digit)));
    }
    code
}
