//! Who is asking: the bearer tokens of buyers and the signature of the bank's callbacks, both HMAC-SHA256.
//!
//! A bearer token is `{account}.{hex of the HMAC of the account}`: the gateway checks it without asking anybody.
use hmac::{Hmac, Mac};
use sha2::Sha256;

/// Longest account name, device id, idempotency key or token that is accepted.
const NAME_LENGTH_MAX: usize = 64;

fn mac(secret: &str, message: &[u8]) -> Hmac<Sha256> {
    // An HMAC takes a key of any length, so this cannot fail.
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC takes a key of any length");
    mac.update(message);
    mac
}

/// Hex of the HMAC-SHA256 of `message`.
pub fn signature(secret: &str, message: &[u8]) -> String {
    let digest = mac(secret, message).finalize().into_bytes();
    digest.iter().fold(String::with_capacity(64), |mut hex, byte| {
        hex.push(char::from_digit(u32::from(byte >> 4), 16).unwrap_or('0'));
        hex.push(char::from_digit(u32::from(byte & 15), 16).unwrap_or('0'));
        hex
    })
}

/// Whether `hex` is the signature of `message`; takes the same time whatever is wrong with it.
pub fn is_signed(secret: &str, message: &[u8], hex: &str) -> bool {
    if hex.len() != 64 || !hex.is_ascii() {
        return false;
    }
    let digit = |c: u8| (c as char).to_digit(16).map(|digit| digit as u8);
    let bytes: Option<Vec<u8>> = hex
        .as_bytes()
        .chunks(2)
        .map(|pair| Some((digit(*pair.first()?)? << 4) | digit(*pair.get(1)?)?))
        .collect();
    bytes.is_some_and(|bytes| mac(secret, message).verify_slice(&bytes).is_ok())
}

/// The bearer token of an account, to be sent as `authorization: Bearer {token}`.
pub fn token(secret: &str, account: &str) -> String {
    format!("{account}.{}", signature(secret, account.as_bytes()))
}

/// The account that a value of the `authorization` header proves; `None` when it proves nothing.
pub fn account<'a>(secret: &str, authorization: &'a str) -> Option<&'a str> {
    let (account, signature) = authorization.strip_prefix("Bearer ")?.rsplit_once('.')?;
    (is_name(account) && is_signed(secret, account.as_bytes(), signature)).then_some(account)
}

/// Whether `text` can be an account, a device id, an order id or a token: 1 to 64 of `A-Z a-z 0-9 - _`.
pub fn is_name(text: &str) -> bool {
    (1..=NAME_LENGTH_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

/// Whether `text` can be an idempotency key: 1 to 64 visible ASCII characters.
pub fn is_idempotency_key(text: &str) -> bool {
    (1..=NAME_LENGTH_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_proves_its_account() {
        let header = format!("Bearer {}", token("secret", "buyer-7"));
        assert_eq!(account("secret", &header), Some("buyer-7"));
        assert_eq!(account("other", &header), None);
        assert_eq!(account("secret", &header.replace("buyer-7", "buyer-8")), None);
    }

    #[test]
    fn nonsense_proves_nothing() {
        for header in ["", "Bearer", "Bearer ", "Bearer .", "Bearer a.b", "Basic a.b", "Bearer é.é"] {
            assert_eq!(account("secret", header), None, "{header}");
        }
        let signed = signature("secret", b"body");
        assert!(is_signed("secret", b"body", &signed));
        assert!(!is_signed("secret", b"Body", &signed));
        assert!(!is_signed("secret", b"body", &signed[..62]));
        assert!(!is_signed("secret", b"body", &"é".repeat(32)));
    }

    /// RFC 4231, test case 2.
    #[test]
    fn the_signature_is_hmac_sha256() {
        assert_eq!(
            signature("Jefe", b"what do ya want for nothing?"),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
    }

    #[test]
    fn names_cannot_break_a_key() {
        assert!(is_name("buyer-7_x"));
        for name in ["", "a:b", "a b", "a{b}", "ä", &"x".repeat(65)] {
            assert!(!is_name(name), "{name}");
        }
        assert!(is_idempotency_key("a:b/c"));
        assert!(!is_idempotency_key("a b"));
    }
}
