use hearth_layers::Transfer;
use parking_lot::Mutex;

/// The progress of several transfers as that of one.
pub struct Transfers<F> {
    report: F,
    all: Mutex<Vec<Transfer>>,
}

impl<F: Fn(Transfer) + Send + Sync> Transfers<F> {
    /// Told to `report`.
    pub fn new(report: F) -> Self {
        Self {
            report,
            all: Mutex::default(),
        }
    }

    /// One more of them: what it is told of it.
    pub fn one(&self) -> impl Fn(Transfer) + Send + Sync {
        let place = {
            let mut all = self.all.lock();
            all.push(Transfer::default());
            all.len() - 1
        };
        move |transfer| {
            let sum = {
                let mut all = self.all.lock();
                all[place] = transfer;
                all.iter().fold(Transfer::default(), |sum, one| Transfer {
                    done: sum.done + one.done,
                    total: sum.total + one.total,
                    layers_done: sum.layers_done + one.layers_done,
                    layers_total: sum.layers_total + one.layers_total,
                })
            };
            (self.report)(sum);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_the_sum_of_all() {
        let told = Mutex::new(Vec::new());
        let transfers = Transfers::new(|transfer: Transfer| told.lock().push(transfer.done));
        let (one, two) = (transfers.one(), transfers.one());
        let done = |done| Transfer {
            done,
            ..Transfer::default()
        };
        one(done(1));
        two(done(10));
        one(done(2));
        assert_eq!(*told.lock(), [1, 11, 12]);
    }
}
