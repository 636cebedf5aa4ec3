//! A Docker Compose project: what Compose makes of its files is judged once, the images that it builds come from the cache or are
//! built one by one, those that it pulls are fetched by their digests, and what is started builds nothing.

mod files;
mod images;
mod judge;
mod model;
mod parts;
mod project;
mod pulls;
mod report;
mod transfers;

pub use judge::Rules;
pub use project::make;
