use clap::{Args, ValueEnum};
use tracing_subscriber::{EnvFilter, fmt, prelude::*};

/// How a process logs. Lines go to stderr; stdout belongs to what a program prints for its user.
#[derive(Args, Clone, Debug)]
pub struct LogArgs {
    /// What is logged, as `level` or `target=level,…`
    #[arg(
        long,
        env = "HEARTH_LOG",
        default_value = "info",
        value_name = "FILTER"
    )]
    pub log: String,
    /// How log lines look
    #[arg(
        long,
        env = "HEARTH_LOG_FORMAT",
        default_value = "text",
        value_name = "FORMAT"
    )]
    pub log_format: LogFormat,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl LogArgs {
    /// Starts logging for the whole process.
    pub fn init(&self) -> anyhow::Result<()> {
        let filter = EnvFilter::builder()
            .parse(&self.log)
            .map_err(|error| anyhow::anyhow!("--log (HEARTH_LOG): {error}"))?;
        let registry = tracing_subscriber::registry().with(filter);
        let writer = std::io::stderr;
        match self.log_format {
            LogFormat::Text => registry
                .with(fmt::layer().with_writer(writer).with_ansi(false))
                .try_init()?,
            LogFormat::Json => registry
                .with(fmt::layer().json().with_writer(writer))
                .try_init()?,
        }
        Ok(())
    }
}
