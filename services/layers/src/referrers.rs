//! The list of what refers to an image (OCI distribution spec 1.1, "Listing Referrers"). A registry without that API has an
//! index under a tag instead, which clients keep ("Referrers Tag Schema").

use hearth_domain::Digest;
use oci_spec::{distribution::Reference, image::MediaType};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    RegistryError,
    access::{Access, finish, read_body},
    client::{MAX_MANIFEST, get_manifest, in_time},
};

/// How often the list under the tag is written because another program wrote it meanwhile.
const TRIES: usize = 3;

/// The list, from wherever the registry has it.
pub(crate) async fn list(access: &Access, reference: &Reference) -> Result<Value, RegistryError> {
    match list_of_api(access, reference).await? {
        Some(list) => Ok(list),
        None => Ok(list_under_tag(access, reference).await?.0),
    }
}

/// `None`: the registry has no such API.
async fn list_of_api(
    access: &Access,
    reference: &Reference,
) -> Result<Option<Value>, RegistryError> {
    let path = format!("referrers/{}", reference.digest().unwrap_or_default());
    match access.send(Method::GET, &path).await {
        Ok(answer) => {
            let body = read_body(answer, MAX_MANIFEST).await?;
            // Some registries answer unknown paths with a page for people.
            Ok(serde_json::from_slice(&body).ok())
        }
        // The spec asks for 404; others are seen where a gateway does not know the path.
        Err(RegistryError::NotFound(_) | RegistryError::Protocol(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The tag of the list of what refers to an image (OCI distribution spec, "Referrers Tag Schema").
fn list_tag(reference: &Reference) -> String {
    reference.digest().unwrap_or_default().replacen(':', "-", 1)
}

/// The list as it is, with its digest; an empty one without where there is none.
async fn list_under_tag(
    access: &Access,
    reference: &Reference,
) -> Result<(Value, Option<Digest>), RegistryError> {
    let tag = Reference::with_tag(
        reference.registry().to_owned(),
        reference.repository().to_owned(),
        list_tag(reference),
    );
    match get_manifest(access, &tag).await {
        Ok((digest, body)) => {
            let list = serde_json::from_slice(&body)
                .map_err(|_| RegistryError::Protocol(format!("{tag} has an unknown form")))?;
            Ok((list, Some(digest)))
        }
        Err(RegistryError::NotFound(_)) => {
            let index = MediaType::ImageIndex.to_string();
            let empty = json!({ "schemaVersion": 2, "mediaType": index, "manifests": [] });
            Ok((empty, None))
        }
        Err(error) => Err(error),
    }
}

fn entries(list: &mut Value) -> Result<&mut Vec<Value>, RegistryError> {
    list["manifests"].as_array_mut().ok_or_else(|| {
        RegistryError::Protocol("what refers to the image is listed in an unknown form".to_owned())
    })
}

/// Adds entries to the list under the tag, and keeps what others have put there. A registry cannot compare and swap: the
/// list is read again, and written once more where another program wrote it in between.
pub(crate) async fn add_under_tag(
    access: &Access,
    reference: &Reference,
    new: Vec<Value>,
) -> Result<(), RegistryError> {
    // The last round only looks.
    for round in 0..=TRIES {
        let (mut list, _) = in_time(list_under_tag(access, reference)).await?;
        let there = entries(&mut list)?;
        let is_missing = |new: &&Value| !there.iter().any(|entry| entry["digest"] == new["digest"]);
        let missing: Vec<Value> = new.iter().filter(is_missing).cloned().collect();
        if missing.is_empty() {
            return Ok(());
        }
        if round < TRIES {
            there.extend(missing);
            put_list(access, reference, &list).await?;
        }
    }
    Err(RegistryError::Protocol(
        "another program writes the list of what refers to the image at the same time".to_owned(),
    ))
}

/// Takes entries from the list under the tag, and keeps what others have put there. Returns the digest of a list that has
/// nothing else.
pub(crate) async fn remove_under_tag(
    access: &Access,
    reference: &Reference,
    gone: &[Digest],
) -> Result<Option<Digest>, RegistryError> {
    let (mut list, digest) = in_time(list_under_tag(access, reference)).await?;
    let there = entries(&mut list)?;
    let before = there.len();
    there.retain(|entry| !gone.iter().any(|gone| entry["digest"] == gone.as_str()));
    if there.is_empty() {
        return Ok(digest);
    }
    if there.len() < before {
        put_list(access, reference, &list).await?;
    }
    Ok(None)
}

async fn put_list(
    access: &Access,
    reference: &Reference,
    list: &Value,
) -> Result<(), RegistryError> {
    let path = format!("manifests/{}", list_tag(reference));
    let body = list.to_string().into_bytes();
    let answer = access
        .put_manifest(&path, MediaType::ImageIndex.to_string(), body)
        .await?;
    finish(answer).await;
    Ok(())
}
