use async_trait::async_trait;
use hearth_api::v1::NodeInfo;
use hearth_domain::PlatformError;
use prost::Message as _;
use sqlx::Row as _;

use super::{
    database::Sqlite,
    rows::{corrupt, decode},
};
use crate::{
    clock::{from_millis, millis},
    store::{
        error::StoreError,
        nodes::{NodeStore, StoredNode},
    },
};

#[async_trait]
impl NodeStore for Sqlite {
    async fn put_node(&self, node: &StoredNode) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO nodes (name, info, heartbeat_ms) VALUES (?, ?, ?) \
             ON CONFLICT (name) DO UPDATE SET info = excluded.info, heartbeat_ms = excluded.heartbeat_ms",
        )
        .bind(&node.name)
        .bind(node.info.encode_to_vec())
        .bind(millis(&node.heartbeat))
        .execute(&self.writer)
        .await?;
        Ok(())
    }

    async fn nodes(&self) -> Result<Vec<StoredNode>, StoreError> {
        sqlx::query("SELECT name, info, heartbeat_ms FROM nodes ORDER BY name")
            .fetch_all(&self.reader)
            .await?
            .iter()
            .map(|row| {
                let name: String = row.try_get("name")?;
                let info: NodeInfo = decode(row, "nodes", &name, "info")?;
                let platform = info.platform.parse().map_err(|error: PlatformError| {
                    let why = format_args!("info: platform {:?} {error}", info.platform);
                    corrupt("nodes", &name, why)
                })?;
                Ok(StoredNode {
                    name,
                    platform,
                    info,
                    heartbeat: from_millis(row.try_get("heartbeat_ms")?),
                })
            })
            .collect()
    }

    async fn put_session(&self, node: &str, digest: &str) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO sessions (node, digest) VALUES (?, ?) \
             ON CONFLICT (node) DO UPDATE SET digest = excluded.digest",
        )
        .bind(node)
        .bind(digest)
        .execute(&self.writer)
        .await?;
        Ok(())
    }

    async fn sessions(&self) -> Result<Vec<(String, String)>, StoreError> {
        sqlx::query("SELECT node, digest FROM sessions ORDER BY node")
            .fetch_all(&self.reader)
            .await?
            .iter()
            .map(|row| Ok((row.try_get("node")?, row.try_get("digest")?)))
            .collect()
    }
}
