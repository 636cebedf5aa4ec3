use prost::Message as _;
use sqlx::Row as _;

use super::{Sqlite, StoreError, StoredNode, sqlite_rows::decode};
use crate::clock::{from_millis, millis};

impl Sqlite {
    pub(super) async fn write_node(&self, node: &StoredNode) -> Result<(), StoreError> {
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

    pub(super) async fn read_nodes(&self) -> Result<Vec<StoredNode>, StoreError> {
        sqlx::query("SELECT name, info, heartbeat_ms FROM nodes ORDER BY name")
            .fetch_all(&self.reader)
            .await?
            .iter()
            .map(|row| {
                Ok(StoredNode {
                    name: row.try_get("name")?,
                    info: decode(row, "info")?,
                    heartbeat: from_millis(row.try_get("heartbeat_ms")?),
                })
            })
            .collect()
    }

    pub(super) async fn write_session(&self, node: &str, digest: &str) -> Result<(), StoreError> {
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

    pub(super) async fn read_sessions(&self) -> Result<Vec<(String, String)>, StoreError> {
        sqlx::query("SELECT node, digest FROM sessions ORDER BY node")
            .fetch_all(&self.reader)
            .await?
            .iter()
            .map(|row| Ok((row.try_get("node")?, row.try_get("digest")?)))
            .collect()
    }
}
