use async_trait::async_trait;
use hearth_api::v1::NodeInfo;
use hearth_domain::PlatformError;
use prost::Message as _;
use sqlx::Row as _;

use super::{
    database::Sqlite,
    rows::{corrupt, decode, readable},
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
            "INSERT INTO nodes (name, info, heartbeat_ms, has_left) VALUES (?, ?, ?, ?) \
             ON CONFLICT (name) DO UPDATE SET info = excluded.info, heartbeat_ms = excluded.heartbeat_ms, \
             has_left = excluded.has_left",
        )
        .bind(&node.name)
        .bind(node.info.encode_to_vec())
        .bind(millis(&node.heartbeat))
        .bind(node.has_left)
        .execute(&self.writer)
        .await?;
        Ok(())
    }

    async fn touch_node(&self, node: &StoredNode) -> Result<(), StoreError> {
        sqlx::query("UPDATE nodes SET info = ?, heartbeat_ms = ? WHERE name = ?")
            .bind(node.info.encode_to_vec())
            .bind(millis(&node.heartbeat))
            .bind(&node.name)
            .execute(&self.writer)
            .await?;
        Ok(())
    }

    async fn node_left(&self, name: &str) -> Result<(), StoreError> {
        sqlx::query("UPDATE nodes SET has_left = 1 WHERE name = ?")
            .bind(name)
            .execute(&self.writer)
            .await?;
        Ok(())
    }

    async fn remove_node(&self, name: &str, force: bool) -> Result<u32, StoreError> {
        let mut transaction = self.begin().await?;
        let workspaces: u32 = sqlx::query_scalar("SELECT count(*) FROM workspaces WHERE node = ?")
            .bind(name)
            .fetch_one(&mut *transaction)
            .await?;
        if workspaces > 0 && !force {
            return Ok(workspaces);
        }
        for table in [
            "nodes WHERE name",
            "sessions WHERE node",
            "fetch_rates WHERE node",
            // With a new token it joins again, and not with one that it has used.
            "join_token_uses WHERE node",
        ] {
            sqlx::query(sqlx::AssertSqlSafe(format!("DELETE FROM {table} = ?")))
                .bind(name)
                .execute(&mut *transaction)
                .await?;
        }
        // Its certificate is not believed any more.
        sqlx::query("UPDATE node_keys SET key = NULL WHERE node = ?")
            .bind(name)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(workspaces)
    }

    async fn nodes(&self) -> Result<Vec<StoredNode>, StoreError> {
        let rows =
            sqlx::query("SELECT name, info, heartbeat_ms, has_left FROM nodes ORDER BY name")
                .fetch_all(&self.reader)
                .await?;
        readable(&rows, |row| {
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
                has_left: row.try_get("has_left")?,
            })
        })
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
