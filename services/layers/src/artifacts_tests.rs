use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate, matchers::any};

use super::*;

const TYPE: &str = "application/x-signature";
const IMAGE: &[u8] = br#"{"schemaVersion":2}"#;

/// A body with its media type.
type Body = (String, Vec<u8>);

/// A registry in memory: what was put under each path.
#[derive(Clone, Default)]
struct Store {
    held: Arc<Mutex<HashMap<String, Body>>>,
    /// Whether it has the referrers API.
    has_api: bool,
    /// Another program, which writes the list under the tag each time after it was written.
    rival: Option<Value>,
}

impl Store {
    async fn serve(self) -> (MockServer, Self) {
        let server = MockServer::start().await;
        let image = (MediaType::ImageManifest.to_string(), IMAGE.to_vec());
        let path = format!("/v2/a/b/manifests/{}", Digest::of(IMAGE));
        self.held.lock().unwrap().insert(path, image);
        Mock::given(any())
            .respond_with(self.clone())
            .mount(&server)
            .await;
        (server, self)
    }

    fn list(&self) -> Option<Value> {
        let path = format!("/v2/a/b/manifests/{}", tag());
        let held = self.held.lock().unwrap();
        held.get(&path)
            .map(|(_, list)| serde_json::from_slice(list).unwrap())
    }
}

impl Respond for Store {
    fn respond(&self, request: &Request) -> ResponseTemplate {
        let path = request.url.path().to_owned();
        let mut held = self.held.lock().unwrap();
        match request.method.as_str() {
            "GET" if path == "/v2/" => ResponseTemplate::new(200),
            "GET" if path.contains("/referrers/") && self.has_api => {
                let of = path.rsplit('/').next().unwrap();
                let entries = held.values().filter_map(|(media_type, body)| {
                    let manifest: Value = serde_json::from_slice(body).ok()?;
                    (manifest["subject"]["digest"] == of).then_some(())?;
                    let mut entry = descriptor(media_type, body);
                    entry["artifactType"] = manifest["artifactType"].clone();
                    entry["annotations"] = manifest["annotations"].clone();
                    Some(entry)
                });
                let list: Vec<Value> = entries.collect();
                ResponseTemplate::new(200).set_body_json(json!({
                    "schemaVersion": 2, "manifests": list,
                }))
            }
            "GET" | "HEAD" => match held.get(&path) {
                Some((media_type, body)) => {
                    ResponseTemplate::new(200).set_body_raw(body.clone(), media_type)
                }
                None => ResponseTemplate::new(404),
            },
            "POST" => ResponseTemplate::new(202).insert_header("location", "/v2/a/b/upload?s=1"),
            "PUT" => {
                let digest = request.url.query_pairs().find(|(name, _)| name == "digest");
                let path = match digest {
                    Some((_, digest)) => format!("/v2/a/b/blobs/{digest}"),
                    None => path,
                };
                let media_type = request.headers["content-type"].to_str().unwrap().to_owned();
                let body = match &self.rival {
                    Some(rival) if path.ends_with(&tag()) => rival.to_string().into_bytes(),
                    _ => request.body.clone(),
                };
                held.insert(path, (media_type, body));
                let answer = ResponseTemplate::new(201);
                match self.has_api {
                    true => answer.insert_header("oci-subject", Digest::of(IMAGE).as_str()),
                    false => answer,
                }
            }
            "DELETE" => match held.remove(&path) {
                Some(_) => ResponseTemplate::new(202),
                None => {
                    let digest = path.rsplit('/').next().unwrap();
                    held.retain(|_, (_, body)| Digest::of(body).as_str() != digest);
                    ResponseTemplate::new(202)
                }
            },
            other => panic!("{other} {path}"),
        }
    }
}

fn tag() -> String {
    Digest::of(IMAGE).as_str().replacen(':', "-", 1)
}

fn image(server: &MockServer) -> String {
    format!("{}/a/b@{}", server.address(), Digest::of(IMAGE))
}

fn artifact(content: &str) -> Artifact {
    Artifact {
        media_type: TYPE,
        annotations: BTreeMap::from([("of", content.to_owned())]),
        content: content.as_bytes().to_vec(),
    }
}

/// The contents of what refers to the image, in the order of the list.
async fn contents(client: &RegistryClient, server: &MockServer) -> Vec<String> {
    let mut contents = Vec::new();
    for found in client.referrers(&image(server), TYPE).await.unwrap() {
        let name = format!("{}/a/b@{}", server.address(), found.digest);
        let content = String::from_utf8(client.content(&name).await.unwrap()).unwrap();
        assert_eq!(found.annotations["of"], content);
        contents.push(content);
    }
    contents.sort();
    contents
}

fn client() -> RegistryClient {
    RegistryClient::new(None, "linux/amd64")
}

#[tokio::test]
async fn what_was_attached_is_found_with_and_without_the_api() {
    for has_api in [true, false] {
        let store = Store {
            has_api,
            ..Store::default()
        };
        let (server, store) = store.serve().await;
        let client = client();
        assert_eq!(
            client.referrers(&image(&server), TYPE).await,
            Ok(Vec::new())
        );
        let both = [artifact("one"), artifact("two")];
        client.attach(&image(&server), &both).await.unwrap();
        // Once more changes nothing.
        client.attach(&image(&server), &both[..1]).await.unwrap();
        assert_eq!(contents(&client, &server).await, ["one", "two"]);
        assert_eq!(
            client.referrers(&image(&server), "other").await,
            Ok(Vec::new())
        );
        assert_eq!(
            store.list().is_none(),
            has_api,
            "the tag is for registries without the API"
        );
    }
}

#[tokio::test]
async fn what_others_have_put_into_the_list_stays() {
    let (server, store) = Store::default().serve().await;
    let theirs = json!({ "digest": Digest::of("theirs").as_str(), "size": 6, "mediaType": "x", "of": "them" });
    let list =
        json!({ "schemaVersion": 2, "manifests": [theirs], "annotations": { "kept": "yes" } });
    let path = format!("/v2/a/b/manifests/{}", tag());
    let held = (
        MediaType::ImageIndex.to_string(),
        list.to_string().into_bytes(),
    );
    store.held.lock().unwrap().insert(path, held);
    let client = client();
    client
        .attach(&image(&server), &[artifact("one")])
        .await
        .unwrap();
    let list = store.list().unwrap();
    assert_eq!(list["manifests"][0], theirs);
    assert_eq!(list["annotations"]["kept"], "yes");
    assert_eq!(list["manifests"].as_array().unwrap().len(), 2);
    let ours: Digest = list["manifests"][1]["digest"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    client.detach(&image(&server), &[ours]).await.unwrap();
    assert_eq!(store.list().unwrap()["manifests"], json!([theirs]));
}

#[tokio::test]
async fn an_empty_list_goes_with_its_last_entry() {
    let (server, store) = Store::default().serve().await;
    let client = client();
    client
        .attach(&image(&server), &[artifact("one")])
        .await
        .unwrap();
    let found = client.referrers(&image(&server), TYPE).await.unwrap();
    let found: Vec<Digest> = found.into_iter().map(|found| found.digest).collect();
    client.detach(&image(&server), &found).await.unwrap();
    assert_eq!(store.list(), None);
    assert_eq!(
        client.referrers(&image(&server), TYPE).await,
        Ok(Vec::new())
    );
}

#[tokio::test]
async fn a_list_that_others_overwrite_each_time_is_an_error_and_not_believed() {
    let rival = Some(json!({ "schemaVersion": 2, "manifests": [] }));
    let (server, _) = Store {
        rival,
        ..Store::default()
    }
    .serve()
    .await;
    let attached = client().attach(&image(&server), &[artifact("one")]).await;
    let error = attached.unwrap_err();
    assert!(error.to_string().contains("at the same time"), "{error}");
}

#[tokio::test]
async fn content_that_is_not_what_the_manifest_names_is_refused() {
    let (server, store) = Store::default().serve().await;
    let client = client();
    client
        .attach(&image(&server), &[artifact("one")])
        .await
        .unwrap();
    let found = client.referrers(&image(&server), TYPE).await.unwrap();
    let name = format!("{}/a/b@{}", server.address(), found[0].digest);
    let blob = format!("/v2/a/b/blobs/{}", Digest::of("one"));
    store.held.lock().unwrap().get_mut(&blob).unwrap().1 = b"two".to_vec();
    assert!(matches!(
        client.content(&name).await,
        Err(RegistryError::Protocol(_))
    ));
}
