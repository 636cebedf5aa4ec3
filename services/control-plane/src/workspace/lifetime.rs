use clap::Args;
use hearth_api::v1::{Lifetime, TtlAction};
use hearth_runtime::FieldFaults;

/// Shorter times are more likely a mistake, and nobody could be warned of their end.
const LEAST: u32 = 60;

/// How long workspaces may run.
#[derive(Args, Clone, Copy, Debug, PartialEq, Eq)]
pub struct LifetimeArgs {
    /// Seconds that a workspace may run since it was prepared, started or renewed, unless its request says another time; 0:
    /// without end. Then it is stopped, or deleted where its request asks for that. Time counts while the control plane runs
    #[arg(
        long,
        env = "HEARTH_TTL_SECONDS",
        default_value = "0",
        value_name = "SECONDS",
        value_parser = seconds
    )]
    pub ttl_seconds: u32,
    /// The longest such time that a request may ask for; 0: any
    #[arg(
        long,
        env = "HEARTH_MAX_TTL_SECONDS",
        default_value = "0",
        value_name = "SECONDS",
        value_parser = seconds
    )]
    pub max_ttl_seconds: u32,
    /// Seconds after which a workspace that nobody uses is stopped, unless its request says another time; 0: it is not. Shells,
    /// commands and connections to ports are uses, and so are attempts
    #[arg(
        long,
        env = "HEARTH_IDLE_TIMEOUT_SECONDS",
        default_value = "0",
        value_name = "SECONDS",
        value_parser = seconds
    )]
    pub idle_timeout_seconds: u32,
    /// The longest such time that a request may ask for; 0: any
    #[arg(
        long,
        env = "HEARTH_MAX_IDLE_TIMEOUT_SECONDS",
        default_value = "0",
        value_name = "SECONDS",
        value_parser = seconds
    )]
    pub max_idle_timeout_seconds: u32,
    /// Seconds before its end at which a workspace's log tells of it; at most half of its time
    #[arg(
        long,
        env = "HEARTH_EXPIRY_WARNING_SECONDS",
        default_value = "300",
        value_name = "SECONDS",
        value_parser = clap::value_parser!(u32).range(1..=86_400)
    )]
    pub expiry_warning_seconds: u32,
}

fn seconds(text: &str) -> Result<u32, String> {
    match text.parse() {
        Ok(seconds) if seconds == 0 || seconds >= LEAST => Ok(seconds),
        _ => Err(format!("must be 0, or a number of seconds from {LEAST}")),
    }
}

impl LifetimeArgs {
    /// What is wrong with them together.
    pub(crate) fn fault(&self) -> Option<String> {
        [
            ("ttl-seconds", self.ttl_seconds, self.max_ttl_seconds),
            (
                "idle-timeout-seconds",
                self.idle_timeout_seconds,
                self.max_idle_timeout_seconds,
            ),
        ]
        .into_iter()
        .find(|(_, default, max)| *max > 0 && *default > *max)
        .map(|(flag, ..)| format!("--{flag} is more than --max-{flag}"))
    }

    /// What a request asks for, completed; of a workspace that has limits, what it does not name stays. `None` when a fault was
    /// added.
    pub(crate) fn resolve(
        &self,
        asked: Option<Lifetime>,
        before: Option<Lifetime>,
        faults: &mut FieldFaults,
    ) -> Option<Lifetime> {
        let asked = asked.unwrap_or_default();
        let before = before.unwrap_or_default();
        let ttl = limit(
            "lifetime.ttl_seconds",
            asked.ttl_seconds,
            before.ttl_seconds,
            (self.ttl_seconds, self.max_ttl_seconds),
            faults,
        );
        let idle = limit(
            "lifetime.idle_timeout_seconds",
            asked.idle_timeout_seconds,
            before.idle_timeout_seconds,
            (self.idle_timeout_seconds, self.max_idle_timeout_seconds),
            faults,
        );
        let action = TtlAction::try_from(asked.ttl_action);
        let action = action.map_err(|_| "must be one of the values of TtlAction");
        let action = faults.check("lifetime.ttl_action", action);
        let action = match action? {
            TtlAction::Unspecified => match before.ttl_action() {
                TtlAction::Unspecified => TtlAction::Stop,
                before => before,
            },
            action => action,
        };
        Some(Lifetime {
            ttl_seconds: Some(ttl?),
            idle_timeout_seconds: Some(idle?),
            ttl_action: action.into(),
        })
    }
}

fn limit(
    field: &str,
    asked: Option<u32>,
    before: Option<u32>,
    (default, max): (u32, u32),
    faults: &mut FieldFaults,
) -> Option<u32> {
    // A maximum is a default for those who name no time.
    let default = if default == 0 { max } else { default };
    let seconds = match asked {
        Some(seconds) => seconds,
        None => return Some(before.unwrap_or(default)),
    };
    if (1..LEAST).contains(&seconds) {
        faults.add(
            field,
            format!("must be 0 or a number of seconds from {LEAST}"),
        );
        return None;
    }
    if max > 0 && (seconds == 0 || seconds > max) {
        let why = format!("is more than {max}, which is as long as this control plane allows");
        faults.add(field, why);
        return None;
    }
    Some(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: LifetimeArgs = LifetimeArgs {
        ttl_seconds: 0,
        max_ttl_seconds: 7200,
        idle_timeout_seconds: 600,
        max_idle_timeout_seconds: 0,
        expiry_warning_seconds: 300,
    };

    fn asked(ttl: Option<u32>, idle: Option<u32>, action: TtlAction) -> Lifetime {
        Lifetime {
            ttl_seconds: ttl,
            idle_timeout_seconds: idle,
            ttl_action: action.into(),
        }
    }

    fn resolved(wanted: Lifetime, before: Option<Lifetime>) -> Result<Lifetime, String> {
        let mut faults = FieldFaults::default();
        let resolved = SETTINGS.resolve(Some(wanted), before, &mut faults);
        faults
            .complete(resolved)
            .map_err(|status| status.message().to_owned())
    }

    #[test]
    fn what_is_not_asked_for_is_as_the_settings_say_and_later_as_it_was() {
        let unset = TtlAction::Unspecified;
        let first = resolved(asked(None, None, unset), None).expect("defaults");
        assert_eq!(first, asked(Some(7200), Some(600), TtlAction::Stop));
        let other = resolved(asked(Some(60), Some(0), TtlAction::Delete), None).expect("allowed");
        assert_eq!(other, asked(Some(60), Some(0), TtlAction::Delete));
        let kept = resolved(asked(None, Some(90), unset), Some(other)).expect("allowed");
        assert_eq!(kept, asked(Some(60), Some(90), TtlAction::Delete));
    }

    #[test]
    fn what_is_too_long_or_too_short_is_refused_by_its_field() {
        for (ttl, idle, field) in [
            (Some(7201), None, "ttl_seconds"),
            (Some(0), None, "ttl_seconds"),
            (Some(59), None, "ttl_seconds"),
            (None, Some(1), "idle_timeout_seconds"),
        ] {
            let refused = resolved(asked(ttl, idle, TtlAction::Stop), None).expect_err("a fault");
            assert!(refused.contains(&format!("lifetime.{field} ")), "{refused}");
        }
        let mut unknown = asked(None, None, TtlAction::Stop);
        unknown.ttl_action = 99;
        let refused = resolved(unknown, None).expect_err("a fault");
        assert!(refused.contains("lifetime.ttl_action"), "{refused}");
    }
}
