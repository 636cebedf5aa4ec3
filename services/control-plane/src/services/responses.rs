//! Streams of answers.

use std::pin::Pin;

use futures_util::Stream;
use tonic::Status;

/// What a client is sent.
pub(super) type Responses<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;
