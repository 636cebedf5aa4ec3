use std::{collections::BTreeMap, fmt, str::FromStr};

const MAX_LABELS: usize = 32;
const MAX_BYTES: usize = 63;

/// The labels of a workspace: at most 32, whose keys and values have at most 63 letters, digits and `-_./`. A key begins with a
/// letter or digit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labels(BTreeMap<String, String>);

/// Why something is no label.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LabelError {
    /// There are more than [`MAX_LABELS`].
    #[error("are more than {MAX_LABELS}")]
    TooMany,
    /// The key is malformed; it may be long.
    #[error(
        "have the key {0:?}, which must be 1 to 63 letters, digits and -_./ that begin with a letter or digit"
    )]
    Key(String),
    /// The value of this key is malformed.
    #[error("have a value for {0:?} that is not at most 63 letters, digits and -_./")]
    Value(String),
}

impl Labels {
    /// Reads labels.
    pub fn new(labels: BTreeMap<String, String>) -> Result<Self, LabelError> {
        if labels.len() > MAX_LABELS {
            return Err(LabelError::TooMany);
        }
        for (key, value) in &labels {
            let starts = key.starts_with(|first: char| first.is_ascii_alphanumeric());
            if !starts || !is_short_and_plain(key) {
                let shown = key.chars().take(MAX_BYTES).collect();
                return Err(LabelError::Key(shown));
            }
            if !is_short_and_plain(value) {
                return Err(LabelError::Value(key.clone()));
            }
        }
        Ok(Self(labels))
    }

    /// Whether these are among others, with the same values.
    pub fn are_among(&self, others: &BTreeMap<String, String>) -> bool {
        let mut own = self.0.iter();
        own.all(|(key, value)| others.get(key) == Some(value))
    }

    /// As a map.
    pub fn into_map(self) -> BTreeMap<String, String> {
        self.0
    }
}

fn is_short_and_plain(text: &str) -> bool {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte);
    text.len() <= MAX_BYTES && text.bytes().all(good)
}

/// One label, as `KEY=VALUE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// Its key.
    pub key: String,
    /// Its value.
    pub value: String,
}

/// The text is no label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be KEY=VALUE, each of at most 63 letters, digits and -_./, the key beginning with a letter or digit"
)]
pub struct LabelParseError;

impl FromStr for Label {
    type Err = LabelParseError;

    fn from_str(text: &str) -> Result<Self, LabelParseError> {
        let (key, value) = text.split_once('=').ok_or(LabelParseError)?;
        let one = BTreeMap::from([(key.to_owned(), value.to_owned())]);
        Labels::new(one).map_err(|_| LabelParseError)?;
        Ok(Self {
            key: key.to_owned(),
            value: value.to_owned(),
        })
    }
}

/// Who a workspace belongs to: 1 to 63 letters, digits and `-_.@`. A client's name is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkspaceOwner(String);

/// The text names no owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be 1 to 63 letters, digits and -_.@")]
pub struct WorkspaceOwnerError;

impl FromStr for WorkspaceOwner {
    type Err = WorkspaceOwnerError;

    fn from_str(text: &str) -> Result<Self, WorkspaceOwnerError> {
        let good = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.@".contains(&byte);
        match (1..=MAX_BYTES).contains(&text.len()) && text.bytes().all(good) {
            true => Ok(Self(text.to_owned())),
            false => Err(WorkspaceOwnerError),
        }
    }
}

impl fmt::Display for WorkspaceOwner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Result<Labels, LabelError> {
        let pairs = pairs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        Labels::new(pairs.collect())
    }

    #[test]
    fn labels_are_few_short_and_plain() {
        let long = "x".repeat(64);
        assert!(labels(&[("team", "web"), ("acme.dev/ticket", "A-7"), ("empty", "")]).is_ok());
        for key in ["", "-a", ".a", "a b", "a=b", "ä", "a\n", &long] {
            let refused = labels(&[(key, "v")]).unwrap_err();
            assert!(
                matches!(refused, LabelError::Key(shown) if shown.len() <= 63),
                "{key}"
            );
        }
        for value in ["a b", "\u{1b}[31m", "a,b", &long] {
            let refused = labels(&[("k", value)]).unwrap_err();
            assert_eq!(refused, LabelError::Value("k".into()), "{value}");
        }
        let many = |count: usize| {
            let pairs = (0..count).map(|number| (format!("k{number}"), String::new()));
            Labels::new(pairs.collect())
        };
        assert!(many(32).is_ok());
        assert_eq!(many(33), Err(LabelError::TooMany));
    }

    #[test]
    fn a_filter_finds_what_has_all_of_its_labels() {
        let has = labels(&[("team", "web"), ("ticket", "7")])
            .unwrap()
            .into_map();
        let finds = |pairs: &[(&str, &str)]| labels(pairs).unwrap().are_among(&has);
        assert!(finds(&[]));
        assert!(finds(&[("team", "web")]));
        assert!(finds(&[("team", "web"), ("ticket", "7")]));
        assert!(!finds(&[("team", "db")]));
        assert!(!finds(&[("team", "web"), ("other", "7")]));
    }

    #[test]
    fn a_label_is_read_from_a_text_and_so_is_an_owner() {
        let label: Label = "team=web".parse().unwrap();
        assert_eq!((label.key.as_str(), label.value.as_str()), ("team", "web"));
        assert_eq!("team=".parse::<Label>().unwrap().value, "");
        for bad in ["", "team", "=web", "team=a=b", "team=a b"] {
            assert_eq!(bad.parse::<Label>(), Err(LabelParseError), "{bad}");
        }
        for good in ["ci", "Ann.Lee@acme.dev", "a_b-c"] {
            assert_eq!(good.parse::<WorkspaceOwner>().unwrap().to_string(), good);
        }
        for bad in ["", "a b", "a/b", "ä", &"x".repeat(64)] {
            assert!(bad.parse::<WorkspaceOwner>().is_err(), "{bad}");
        }
    }
}
