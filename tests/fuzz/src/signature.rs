use hearth_signatures::{Bundle, Claim, PublicKey, PublicKeys, Signature};

/// A key whose private part nobody has (`openssl ecparam -name prime256v1 -genkey`).
const KEY: &str = include_str!("../../fleet/signed/other-key.pem");

/// Reads the input as a signature in DER, as a sigstore bundle, and as public keys.
///
/// What is read has one form: written again it is read as the same. Nothing is signed with a key that nobody has.
pub fn signature(data: &[u8]) {
    if let Ok(signature) = Signature::from_der(data) {
        assert_eq!(signature.as_der(), data);
    }
    let keys: PublicKeys = KEY.parse().expect("a key");
    let key: PublicKey = KEY.parse().expect("a key");
    if let Ok(bundle) = Bundle::read(data) {
        assert_eq!(Bundle::read(&bundle.to_json(&key)).as_ref(), Ok(&bundle));
        assert!(Claim::read(&bundle, &keys).is_err());
    }
    if let Ok(keys) = String::from_utf8_lossy(data).parse::<PublicKeys>() {
        assert!(keys.contain_first_of(&keys));
    }
}
