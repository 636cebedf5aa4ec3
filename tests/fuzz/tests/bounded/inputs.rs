use std::{collections::BTreeSet, fs, path::Path};

use proptest::{collection::vec as many, prelude::*, sample::select, strategy::BoxedStrategy};

/// Larger inputs are slow and find nothing that smaller ones do not.
const MAX_BYTES: usize = 64 * 1024;
/// Deep nesting comes from the same few characters, written again and again.
const MAX_REPEATS: usize = 8 * 1024;

/// The committed inputs of a target, whole and in parts.
pub struct Seeds {
    pub whole: Vec<Vec<u8>>,
    lines: Vec<Vec<u8>>,
    words: Vec<Vec<u8>>,
    /// What begins with an opening bracket: written again and again, it nests.
    openings: Vec<Vec<u8>>,
}

impl Seeds {
    /// All files of `seeds/NAME`.
    pub fn load(name: &str) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("seeds")
            .join(name);
        let mut files: Vec<_> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        files.sort();
        let whole: Vec<Vec<u8>> = files.iter().map(|file| fs::read(file).unwrap()).collect();
        assert!(!whole.is_empty(), "{name} has no seeds");
        let lines: BTreeSet<Vec<u8>> = whole
            .iter()
            .flat_map(|seed| seed.split_inclusive(|byte| *byte == b'\n'))
            .map(<[u8]>::to_vec)
            .collect();
        let words: BTreeSet<Vec<u8>> = lines.iter().flat_map(|line| words(line)).collect();
        let openings: BTreeSet<Vec<u8>> = lines.iter().flat_map(|line| openings(line)).collect();
        Self {
            whole,
            openings: openings.into_iter().collect(),
            lines: lines.into_iter().collect(),
            words: words.into_iter().collect(),
        }
    }

    /// Inputs that look like the seeds, more or less.
    pub fn inputs(&self) -> BoxedStrategy<Vec<u8>> {
        let piece = self.piece();
        let made = many(piece.clone(), 0..24).prop_map(|pieces| pieces.concat());
        let seed = select(self.whole.clone());
        let changed = (seed, many((any::<u16>(), 0..16usize, piece), 1..6)).prop_map(
            |(mut seed, changes)| {
                for (at, removed, piece) in changes {
                    let at = usize::from(at) % (seed.len() + 1);
                    let end = (at + removed).min(seed.len());
                    seed.splice(at..end, piece);
                }
                seed
            },
        );
        prop_oneof![made, changed]
            .prop_map(|mut input| {
                input.truncate(MAX_BYTES);
                input
            })
            .boxed()
    }

    fn piece(&self) -> BoxedStrategy<Vec<u8>> {
        let word = select(self.words.clone());
        let part = (select(self.lines.clone()), any::<u16>(), 1..24usize);
        let part = part.prop_map(|(line, at, length)| {
            let at = usize::from(at) % line.len();
            line[at..line.len().min(at + length)].to_vec()
        });
        let repeat = |(text, times): (Vec<u8>, usize)| {
            let times = times.min(MAX_BYTES / text.len());
            text.repeat(times)
        };
        let repeated = (part.clone(), 1..MAX_REPEATS).prop_map(repeat);
        let mut openings = self.openings.clone();
        openings.push(b"[".to_vec());
        let nested = (select(openings), 1..MAX_REPEATS).prop_map(repeat);
        let text = "\\PC{1,8}".prop_map(String::into_bytes);
        prop_oneof![
            8 => word,
            6 => select(self.lines.clone()),
            2 => part,
            1 => many(any::<u8>(), 1..8),
            1 => text,
            1 => repeated,
            1 => nested,
        ]
        .boxed()
    }
}

/// From each opening bracket, or from the `$` before it, up to twelve bytes.
fn openings(line: &[u8]) -> Vec<Vec<u8>> {
    let at_bracket = |at: &usize| b"([{<".contains(&line[*at]);
    let starts = (0..line.len()).filter(at_bracket).map(|at| match at {
        1.. if line[at - 1] == b'$' => at - 1,
        _ => at,
    });
    starts
        .flat_map(|at| (at + 1..=line.len().min(at + 12)).map(move |end| at..end))
        .map(|range| line[range].to_vec())
        .collect()
}

/// Runs of letters and digits, and every other byte by itself.
fn words(line: &[u8]) -> Vec<Vec<u8>> {
    let mut words: Vec<Vec<u8>> = Vec::new();
    let mut inside = false;
    for byte in line {
        let part = byte.is_ascii_alphanumeric();
        match words.last_mut().filter(|_| part && inside) {
            Some(word) => word.push(*byte),
            None => words.push(vec![*byte]),
        }
        inside = part;
    }
    words
}
