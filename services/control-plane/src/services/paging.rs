use hearth_runtime::FieldFaults;
use prost::Message;

use crate::store::PageLimit;

const DEFAULT_SIZE: u32 = 100;
const MAX_SIZE: u32 = 1000;
/// gRPC clients accept messages of 4 MiB by default; half of it leaves room for the last item.
const MAX_BYTES: u64 = 2 * 1024 * 1024;

/// The page of a list that a request asks for. Items have numbers, and lists begin with the highest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Paging {
    /// It begins below this number; `None`: with the highest.
    pub(super) before: Option<u64>,
    size: u32,
}

impl Paging {
    /// Reads `page_size` and `page_token`. `None` when a fault was added.
    pub(super) fn read(size: u32, token: &str, faults: &mut FieldFaults) -> Option<Self> {
        let before = match token {
            "" => None,
            token => {
                let number = token.parse();
                Some(faults.check("page_token", number.map_err(|_| "is not a token of a page"))?)
            }
        };
        let size = match size {
            0 => DEFAULT_SIZE,
            size => size.min(MAX_SIZE),
        };
        Some(Self { before, size })
    }

    /// How many items to look for: one more than the page holds tells whether there is another page.
    pub(super) fn limit(self) -> PageLimit {
        PageLimit {
            items: self.size + 1,
            bytes: MAX_BYTES,
        }
    }

    /// The page out of the items that were found, without those that cannot be read, and the token of the next page; empty:
    /// there is none.
    pub(super) fn page<M: Message>(self, found: Vec<(u64, Option<M>)>) -> (Vec<M>, String) {
        let available = found.len();
        let (mut items, mut bytes, mut last, mut taken) = (Vec::new(), 0, 0, 0);
        for (number, item) in found.into_iter().take(self.size as usize) {
            bytes += item.as_ref().map_or(0, |item| item.encoded_len() as u64);
            if bytes > MAX_BYTES && !items.is_empty() {
                break;
            }
            (last, taken) = (number, taken + 1);
            items.extend(item);
        }
        let next = match taken < available {
            true => last.to_string(),
            false => String::new(),
        };
        (items, next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(size: u32, token: &str) -> Option<Paging> {
        Paging::read(size, token, &mut FieldFaults::default())
    }

    #[test]
    fn a_size_is_clamped_and_a_token_is_a_number() {
        for (asked, size) in [
            (0, 100),
            (1, 1),
            (1000, 1000),
            (1001, 1000),
            (u32::MAX, 1000),
        ] {
            let paging = read(asked, "7").expect("good fields");
            assert_eq!((paging.size, paging.before), (size, Some(7)));
        }
        assert_eq!(read(1, "").expect("good fields").before, None);
        assert_eq!(read(1, "third"), None);
    }

    #[test]
    fn a_page_ends_with_its_size_or_its_bytes() {
        let paging = read(2, "").expect("good fields");
        let text = |length: usize| Some("x".repeat(length));
        let (items, next) = paging.page(vec![(9, text(1)), (7, text(1)), (4, text(1))]);
        assert_eq!((items.len(), next.as_str()), (2, "7"));
        let (items, next) = paging.page(vec![(9, text(1)), (7, text(1))]);
        assert_eq!((items.len(), next.as_str()), (2, ""));
        let (items, next) = paging.page(vec![(9, text(2 * 1024 * 1024 + 1)), (7, text(1))]);
        assert_eq!((items.len(), next.as_str()), (1, "9"));
        // What cannot be read is left out, and hides nothing that follows.
        let (items, next) = paging.page(vec![(9, None), (7, text(1)), (4, text(1))]);
        assert_eq!((items.len(), next.as_str()), (1, "7"));
        let (items, next) = paging.page::<String>(vec![(9, None), (7, None), (4, None)]);
        assert_eq!((items.len(), next.as_str()), (0, "7"));
    }
}
