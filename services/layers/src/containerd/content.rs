//! Content: blobs and documents by their digests, and the names of images.

use std::pin::Pin;

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use hearth_domain::Digest;
use prost_types::FieldMask;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;

use super::{
    api::{
        services::{
            content::v1::{
                Info, InfoRequest, ReadContentRequest, UpdateRequest, WriteAction,
                WriteContentRequest, content_client::ContentClient,
            },
            images::v1::{
                CreateImageRequest, Image, UpdateImageRequest, images_client::ImagesClient,
            },
        },
        types::Descriptor,
    },
    client::{
        Containerd, ContainerdError, Labels, Lease, TIMEOUT, answer, failed, if_there, request,
        unless_there,
    },
    lease::Kept,
};

/// Messages of a blob that containerd has not taken yet.
const WAITING: usize = 2;
const WRITE: &str = "store content";

impl Containerd {
    /// Whether content is there. If so, the lease keeps it, and it gets these labels.
    pub async fn has_content(
        &self,
        lease: &Lease,
        digest: &Digest,
        labels: &Labels,
    ) -> Result<bool, ContainerdError> {
        self.keep(lease, Kept::Content(digest.as_str())).await?;
        let info = InfoRequest {
            digest: digest.to_string(),
        };
        let mut content = self.content();
        let info = if_there("look for content", content.info(request(info, None))).await?;
        if info.is_none() {
            return Ok(false);
        }
        if labels.is_empty() {
            return Ok(true);
        }
        let paths = labels.keys().map(|name| format!("labels.{name}"));
        let update = UpdateRequest {
            info: Some(Info {
                digest: digest.to_string(),
                labels: labels.clone(),
                ..Info::default()
            }),
            update_mask: Some(FieldMask {
                paths: paths.collect(),
            }),
        };
        let update = content.update(request(update, Some(lease)));
        // Gone in between: it is written again.
        Ok(if_there("label content", update).await?.is_some())
    }

    /// Stores content that arrives in pieces. containerd verifies size and digest before it has it.
    pub async fn store(
        &self,
        lease: &Lease,
        digest: &Digest,
        bytes: u64,
        labels: Labels,
        mut pieces: mpsc::Receiver<Bytes>,
    ) -> Result<(), ContainerdError> {
        let (messages, outgoing) = mpsc::channel(WAITING);
        let head = WriteContentRequest {
            r#ref: format!("{}-{digest}", lease.id),
            total: i64::try_from(bytes).unwrap_or(i64::MAX),
            expected: digest.to_string(),
            ..WriteContentRequest::default()
        };
        let feed = async move {
            let mut offset = 0;
            while let Some(data) = pieces.recv().await {
                let length = i64::try_from(data.len()).unwrap_or_default();
                let message = WriteContentRequest {
                    action: WriteAction::Write.into(),
                    offset,
                    data,
                    ..head.clone()
                };
                // It is not taken any more: the answer says why. The pieces have other takers, who are not to wait.
                if messages.send(message).await.is_err() {
                    while pieces.recv().await.is_some() {}
                    return;
                }
                offset += length;
            }
            let commit = WriteContentRequest {
                action: WriteAction::Commit.into(),
                offset,
                labels,
                ..head
            };
            let _ = messages.send(commit).await;
        };
        let write = async {
            let outgoing = request(ReceiverStream::new(outgoing), Some(lease));
            let mut answers = self.content().write(outgoing).await?.into_inner();
            while let Some(answer) = answers.next().await {
                if answer?.action() == WriteAction::Commit {
                    break;
                }
            }
            Ok::<(), tonic::Status>(())
        };
        let ((), written) = tokio::join!(feed, write);
        match written {
            Err(status) if status.code() == Code::AlreadyExists => {
                self.keep(lease, Kept::Content(digest.as_str())).await
            }
            other => other.map_err(failed(WRITE)),
        }
    }

    /// Stores content that is at hand, unless it is there.
    pub async fn store_document(
        &self,
        lease: &Lease,
        content: &[u8],
        labels: Labels,
    ) -> Result<(), ContainerdError> {
        let digest = Digest::of(content);
        if self.has_content(lease, &digest, &labels).await? {
            return Ok(());
        }
        let (send, pieces) = mpsc::channel(1);
        // There is room for one.
        let _ = send.try_send(Bytes::copy_from_slice(content));
        drop(send);
        let store = self.store(lease, &digest, content.len() as u64, labels, pieces);
        match tokio::time::timeout(TIMEOUT, store).await {
            Ok(stored) => stored,
            Err(_) => Err(ContainerdError {
                action: WRITE,
                cause: format!("no answer within {} s", TIMEOUT.as_secs()),
            }),
        }
    }

    /// Reads content in pieces, in order, and hands each to `take`.
    pub async fn read<E: From<ContainerdError>>(
        &self,
        digest: &Digest,
        mut take: impl AsyncFnMut(Bytes) -> Result<(), E>,
    ) -> Result<(), E> {
        let action = "read content";
        let read = ReadContentRequest {
            digest: digest.to_string(),
            ..ReadContentRequest::default()
        };
        let mut content = self.content();
        let mut pieces = answer(action, content.read(request(read, None))).await?;
        loop {
            let piece = tokio::time::timeout(TIMEOUT, pieces.next()).await;
            let piece = piece.map_err(|_| ContainerdError {
                action,
                cause: format!("nothing came within {} s", TIMEOUT.as_secs()),
            })?;
            match piece {
                None => return Ok(()),
                Some(piece) => take(piece.map_err(failed(action))?.data).await?,
            }
        }
    }

    /// Reads a document. It has to be what its digest says, and at most `max` bytes.
    pub async fn document(&self, digest: &Digest, max: usize) -> Result<Vec<u8>, ContainerdError> {
        let wrong = |cause: &str| ContainerdError {
            action: "read a document",
            cause: format!("{digest} {cause}"),
        };
        let mut document = Vec::new();
        self.read(digest, async |piece: Bytes| {
            document.extend_from_slice(&piece);
            match document.len() > max {
                true => Err(wrong("is too long")),
                false => Ok(()),
            }
        })
        .await?;
        match Digest::of(&document) == *digest {
            true => Ok(document),
            false => Err(wrong("has other content")),
        }
    }

    /// Names an image.
    pub async fn name_image(
        &self,
        lease: &Lease,
        name: &str,
        digest: &Digest,
        media_type: &str,
        bytes: usize,
    ) -> Result<(), ContainerdError> {
        let image = Some(Image {
            name: name.to_owned(),
            labels: Labels::new(),
            target: Some(Descriptor {
                media_type: media_type.to_owned(),
                digest: digest.to_string(),
                size: i64::try_from(bytes).unwrap_or_default(),
                annotations: Labels::new(),
            }),
        });
        let mut images = ImagesClient::new(self.channel.clone());
        let create = CreateImageRequest {
            image: image.clone(),
        };
        let action = "name the image";
        let created = images.create(request(create, Some(lease)));
        if unless_there(action, created).await?.is_some() {
            return Ok(());
        }
        let update = images.update(request(UpdateImageRequest { image }, Some(lease)));
        answer(action, update).await.map(drop)
    }

    /// Reads content from the byte `first` on; `None` when it is not there.
    pub async fn read_from(
        &self,
        digest: &Digest,
        first: u64,
    ) -> Result<Option<impl Stream<Item = Result<Bytes, ContainerdError>> + use<>>, ContainerdError>
    {
        const READ: &str = "read content";
        let read = ReadContentRequest {
            digest: digest.to_string(),
            offset: i64::try_from(first).unwrap_or(i64::MAX),
            size: 0,
        };
        let mut content = self.content();
        let mut pieces = match if_there(READ, content.read(request(read, None))).await? {
            Some(pieces) => pieces.peekable(),
            None => return Ok(None),
        };
        // That it is not there can be the first thing in its place.
        let absent = Pin::new(&mut pieces)
            .next_if(|piece| matches!(piece, Err(status) if status.code() == Code::NotFound));
        if absent.await.is_some() {
            return Ok(None);
        }
        Ok(Some(pieces.map(|piece| {
            piece.map(|piece| piece.data).map_err(failed(READ))
        })))
    }

    fn content(&self) -> ContentClient<tonic::transport::Channel> {
        ContentClient::new(self.channel.clone())
    }
}
