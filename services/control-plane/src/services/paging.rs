use hearth_runtime::FieldFaults;
use prost::Message;

use super::page_tokens::PageTokens;
use crate::{error::CallError, store::PageLimit};

const DEFAULT_SIZE: u32 = 100;
const MAX_SIZE: u32 = 1000;
/// gRPC clients accept messages of 4 MiB by default; half of it leaves room for the last item.
const MAX_BYTES: u64 = 2 * 1024 * 1024;
/// Items that are looked at for one page, of which a caller may see few. The next page goes on from there.
const MAX_LOOKED_AT: usize = 10_000;

/// The page of a list that a request asks for. Items have numbers, and lists begin with the highest.
#[derive(Clone, Debug)]
pub(super) struct Paging {
    /// It begins below this number; `None`: with the highest.
    pub(super) before: Option<u64>,
    size: u32,
    tokens: PageTokens,
}

impl Paging {
    /// Reads `page_size` and `page_token`. `None` when a fault was added.
    pub(super) fn read(
        tokens: PageTokens,
        size: u32,
        token: &str,
        faults: &mut FieldFaults,
    ) -> Option<Self> {
        let before = match token {
            "" => None,
            token => {
                let opened = tokens.open(token);
                let fault = "is not a token of a page of this list; list from the beginning";
                Some(faults.check("page_token", opened.ok_or(fault))?)
            }
        };
        let size = match size {
            0 => DEFAULT_SIZE,
            size => size.min(MAX_SIZE),
        };
        Some(Self {
            before,
            size,
            tokens,
        })
    }

    /// How many items to look for: one more than the page holds tells whether there is another page.
    pub(super) fn limit(&self) -> PageLimit {
        PageLimit {
            items: self.size + 1,
            bytes: MAX_BYTES,
        }
    }

    /// The page out of the items that `sees` lets through, and the token of the next page; empty: there is none. `read` finds
    /// items below a number.
    pub(super) async fn visible<M: Message, F>(
        &self,
        read: impl Fn(Option<u64>, PageLimit) -> F,
        sees: impl Fn(&M) -> bool,
    ) -> Result<(Vec<M>, String), CallError>
    where
        F: Future<Output = Result<Vec<(u64, Option<M>)>, CallError>>,
    {
        let (mut found, mut bytes, mut looked_at) = (Vec::new(), 0, 0);
        let (mut before, mut limit) = (self.before, self.limit());
        loop {
            let some = read(before, limit).await?;
            let Some((last, _)) = some.last() else {
                return Ok(self.page(found));
            };
            before = Some(*last);
            looked_at += some.len();
            for (number, item) in some {
                if let Some(item) = item.filter(&sees) {
                    bytes += item.encoded_len() as u64;
                    found.push((number, Some(item)));
                }
            }
            if found.len() > self.size as usize || bytes > MAX_BYTES {
                return Ok(self.page(found));
            }
            if looked_at >= MAX_LOOKED_AT {
                let (items, next) = self.page(found);
                let further = before.map(|number| self.tokens.seal(number));
                let further = further.unwrap_or_default();
                return Ok((items, if next.is_empty() { further } else { next }));
            }
            limit.items = MAX_SIZE;
        }
    }

    /// The page out of the items that were found, without those that cannot be read, and the token of the next page; empty:
    /// there is none.
    pub(super) fn page<M: Message>(&self, found: Vec<(u64, Option<M>)>) -> (Vec<M>, String) {
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
            true => self.tokens.seal(last),
            false => String::new(),
        };
        (items, next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens() -> PageTokens {
        PageTokens::of_test().of("things")
    }

    fn read(size: u32, token: &str) -> Option<Paging> {
        Paging::read(tokens(), size, token, &mut FieldFaults::default())
    }

    fn opened((items, next): (Vec<String>, String)) -> (usize, Option<u64>) {
        (items.len(), tokens().open(&next))
    }

    #[test]
    fn a_size_is_clamped_and_a_token_is_of_the_list() {
        for (asked, size) in [
            (0, 100),
            (1, 1),
            (1000, 1000),
            (1001, 1000),
            (u32::MAX, 1000),
        ] {
            let paging = read(asked, &tokens().seal(7)).expect("good fields");
            assert_eq!((paging.size, paging.before), (size, Some(7)));
        }
        assert_eq!(read(1, "").expect("good fields").before, None);
        for bad in ["third", "7", &tokens().of("others").seal(7)] {
            assert!(read(1, bad).is_none(), "{bad}");
        }
    }

    /// Reads items with the numbers below `before`, down to 1, at most `limit` of them; the text of each is its number.
    async fn numbered(
        all: u64,
        before: Option<u64>,
        limit: PageLimit,
    ) -> Result<Vec<(u64, Option<String>)>, CallError> {
        let below = (1..=all)
            .rev()
            .filter(|number| before.is_none_or(|before| *number < before));
        let items = below.map(|number| (number, Some(number.to_string())));
        Ok(items.take(limit.items as usize).collect())
    }

    /// All pages of this size, of the items among `all` that `sees` lets through.
    async fn pages(size: u32, all: u64, sees: fn(u64) -> bool) -> Vec<Vec<String>> {
        let (mut pages, mut token) = (Vec::new(), String::new());
        loop {
            let paging = read(size, &token).expect("good fields");
            let sees = |text: &String| sees(text.parse().expect("a number"));
            let page = paging.visible(|before, limit| numbered(all, before, limit), sees);
            let (items, next) = page.await.expect("a page");
            pages.push(items);
            if next.is_empty() {
                return pages;
            }
            token = next;
        }
    }

    #[tokio::test]
    async fn pages_of_what_a_caller_sees_are_full_and_nothing_is_left_out_or_twice() {
        let even = pages(3, 20, |number| number % 2 == 0).await;
        let text = even.iter().map(|page| page.join(" ")).collect::<Vec<_>>();
        assert_eq!(text, ["20 18 16", "14 12 10", "8 6 4", "2"]);
        assert_eq!(pages(3, 20, |_| false).await, [Vec::<String>::new()]);
        assert_eq!(pages(3, 3, |_| true).await, [["3", "2", "1"]]);
        // Few among many: a call looks at a part of them, and the token leads on.
        let rare = pages(100, 35_000, |number| number % 17_000 == 1).await;
        assert!(rare.len() > 2, "{rare:?}");
        assert_eq!(rare.concat(), ["34001", "17001", "1"]);
    }

    #[test]
    fn a_page_ends_with_its_size_or_its_bytes() {
        let paging = read(2, "").expect("good fields");
        let text = |length: usize| Some("x".repeat(length));
        let page = |found| opened(paging.page(found));
        let some = vec![(9, text(1)), (7, text(1)), (4, text(1))];
        assert_eq!(page(some), (2, Some(7)));
        assert_eq!(page(vec![(9, text(1)), (7, text(1))]), (2, None));
        let long = text(2 * 1024 * 1024 + 1);
        assert_eq!(page(vec![(9, long), (7, text(1))]), (1, Some(9)));
        // What cannot be read is left out, and hides nothing that follows.
        let some = vec![(9, None), (7, text(1)), (4, text(1))];
        assert_eq!(page(some), (1, Some(7)));
        assert_eq!(page(vec![(9, None), (7, None), (4, None)]), (0, Some(7)));
    }
}
