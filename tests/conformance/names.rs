//! What differs between any two workspaces: ids, and paths of the machine.

/// Texts, and what is put in their places.
pub struct Names(Vec<(String, String)>);

impl Names {
    /// Longer ones are replaced first.
    pub fn new(mut names: Vec<(String, String)>) -> Self {
        names.retain(|(name, _)| !name.is_empty());
        names.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
        Self(names)
    }

    /// A text without them, and without ids of devcontainers and digests.
    pub fn replaced(&self, text: &str) -> String {
        let names = self.0.iter();
        let text = names.fold(text.to_owned(), |text, (name, place)| {
            text.replace(name, place)
        });
        let mut result = String::new();
        let mut rest = &*text;
        while !rest.is_empty() {
            let is_word = |byte: char| byte.is_ascii_alphanumeric();
            let end = rest.find(|byte| !is_word(byte)).unwrap_or(rest.len());
            let (word, after) = rest.split_at(end);
            result.push_str(match word.len() {
                52 if word.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'v')) => {
                    "<devcontainer id>"
                }
                64 if word.bytes().all(|b| b.is_ascii_hexdigit()) => "<digest>",
                _ => word,
            });
            let next = after.find(is_word).unwrap_or(after.len());
            result.push_str(&after[..next]);
            rest = &after[next..];
        }
        result
    }
}

#[test]
fn ids_are_replaced_and_words_like_them_stay() {
    let names = Names::new(vec![
        ("/a/b".to_owned(), "<clone>".to_owned()),
        ("/a".to_owned(), "<home>".to_owned()),
    ]);
    let id = "0123456789abcdefghijklmnopqrstuv0123456789abcdefghij";
    let digest = "0123456789abcdef".repeat(4);
    let text = format!("/a/b/c:/a {id}x {id}, sha256:{digest}");
    let expected = format!("<clone>/c:<home> {id}x <devcontainer id>, sha256:<digest>");
    assert_eq!(names.replaced(&text), expected);
}
