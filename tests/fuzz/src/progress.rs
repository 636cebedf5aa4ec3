use std::collections::BTreeMap;

use hearth_agent::buildkit::{Progress, Status, Update};

/// Reads the input as the output of a build, line by line.
///
/// Every step begins once and ends once, in this order, and the counts are those of the steps that ended.
pub fn progress(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut progress = Progress::default();
    let mut updates: Vec<Update> = text.lines().flat_map(|line| progress.line(line)).collect();
    updates.extend(progress.close());

    let mut steps: BTreeMap<u32, Option<Status>> = BTreeMap::new();
    for update in updates {
        let Update::Step(step) = update else {
            continue;
        };
        assert!(step.seconds.is_finite() && step.seconds >= 0.0);
        let before = match step.status {
            Status::Started => steps.insert(step.number, None),
            ended => {
                let before = steps.insert(step.number, Some(ended));
                assert_eq!(before, Some(None), "step {} ends", step.number);
                continue;
            }
        };
        assert_eq!(before, None, "step {} begins", step.number);
    }
    let ended_as = |wanted: &[Status]| {
        let fits = |status: &&Option<Status>| status.is_some_and(|status| wanted.contains(&status));
        u32::try_from(steps.values().filter(fits).count()).unwrap_or(u32::MAX)
    };
    assert!(steps.values().all(Option::is_some), "close ends all steps");
    let counts = progress.counts();
    assert_eq!(counts.reused, ended_as(&[Status::Cached]));
    assert_eq!(
        counts.total,
        ended_as(&[Status::Cached, Status::Done, Status::Failed])
    );
}
