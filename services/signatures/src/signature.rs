/// Half of the order of P-256, rounded down (SEC 2, "secp256r1").
const HALF_ORDER: [u8; 32] = [
    0x7f, 0xff, 0xff, 0xff, 0x80, 0x00, 0x00, 0x00, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xde, 0x73, 0x7d, 0x56, 0xd3, 0x8b, 0xcf, 0x42, 0x79, 0xdc, 0xe5, 0x61, 0x7e, 0x31, 0x92, 0xa8,
];
const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;

/// An ECDSA signature of P-256 in DER (RFC 3279, "ECDSA Signature Algorithm").
///
/// Of a signature (r, s) everybody can make a second one of the same message, (r, n − s). Only the one with the smaller s is
/// a `Signature`, and only in its one encoding: one message has no two of them that differ without the private key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature(Vec<u8>);

/// The bytes are not a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not an ECDSA signature of P-256 in DER with a small s")]
pub struct SignatureError;

impl Signature {
    /// Reads a signature.
    pub fn from_der(der: &[u8]) -> Result<Self, SignatureError> {
        let (r, s) = integers(der).ok_or(SignatureError)?;
        // Without leading zeros the longer number is the larger one.
        let is_small = s.len() < HALF_ORDER.len() || s <= &HALF_ORDER[..];
        match r.len() <= HALF_ORDER.len() && s.len() <= HALF_ORDER.len() && is_small {
            true => Ok(Self(der.to_vec())),
            false => Err(SignatureError),
        }
    }

    /// Its bytes.
    pub fn as_der(&self) -> &[u8] {
        &self.0
    }
}

/// The two numbers of a signature, without leading zeros. Nothing may be left over, and no form is taken but the shortest.
fn integers(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (body, rest) = element(SEQUENCE, der)?;
    let (r, body) = element(INTEGER, body)?;
    let (s, body) = element(INTEGER, body)?;
    (rest.is_empty() && body.is_empty()).then_some(())?;
    Some((positive(r)?, positive(s)?))
}

/// The contents of the element at the beginning, and what follows it. None in a signature of P-256 has 128 bytes or more.
fn element(tag: u8, der: &[u8]) -> Option<(&[u8], &[u8])> {
    let [found, length @ 0..0x80, rest @ ..] = der else {
        return None;
    };
    (*found == tag).then_some(())?;
    rest.split_at_checked(usize::from(*length))
}

fn positive(integer: &[u8]) -> Option<&[u8]> {
    match integer {
        // The zero keeps a first bit from being a sign.
        [0, rest @ ..] if rest.first().is_some_and(|first| *first >= 0x80) => Some(rest),
        [1..0x80, ..] => Some(integer),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn der(r: &[u8], s: &[u8]) -> Vec<u8> {
        let mut body = Vec::new();
        for number in [r, s] {
            body.extend([INTEGER, number.len() as u8]);
            body.extend(number);
        }
        [vec![SEQUENCE, body.len() as u8], body].concat()
    }

    #[test]
    fn a_signature_has_one_form() {
        let half = HALF_ORDER.to_vec();
        let mut above = half.clone();
        above[31] += 1;
        for (r, s) in [
            (vec![1], vec![1]),
            (vec![0, 0x80], vec![0x7f]),
            (vec![1], half.clone()),
        ] {
            assert!(Signature::from_der(&der(&r, &s)).is_ok(), "{r:?} {s:?}");
        }
        let good = der(&[1], &[1]);
        let all_ones = [vec![0], vec![0xff; 32]].concat();
        for bad in [
            vec![],
            good[..good.len() - 1].to_vec(),
            [good.clone(), vec![0]].concat(),
            // Numbers that are zero, negative, padded, too large or missing.
            der(&[0], &[1]),
            der(&[1], &[0x80]),
            der(&[0, 1], &[1]),
            der(&[], &[1]),
            der(&[1], &above),
            der(&[1], &all_ones),
            der(&[1; 33], &[1]),
            // The long form of a length.
            vec![SEQUENCE, 0x81, 6, INTEGER, 1, 1, INTEGER, 1, 1],
            vec![SEQUENCE, 7, INTEGER, 1, 1, INTEGER, 1, 1, 0],
            vec![0x31, 6, INTEGER, 1, 1, INTEGER, 1, 1],
        ] {
            assert_eq!(Signature::from_der(&bad), Err(SignatureError), "{bad:?}");
        }
    }
}
