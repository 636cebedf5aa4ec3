use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// Bytes of an archive. In JSON they are a string where they are UTF-8, and else `{"base64": …}`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Text(pub Vec<u8>);

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Form<'a> {
    Utf8(std::borrow::Cow<'a, str>),
    Other { base64: String },
}

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let form = match std::str::from_utf8(&self.0) {
            Ok(text) => Form::Utf8(text.into()),
            Err(_) => Form::Other {
                base64: BASE64_STANDARD.encode(&self.0),
            },
        };
        form.serialize(to)
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Ok(Self(match Form::deserialize(from)? {
            Form::Utf8(text) => text.into_owned().into_bytes(),
            Form::Other { base64 } => BASE64_STANDARD.decode(base64).map_err(D::Error::custom)?,
        }))
    }
}
