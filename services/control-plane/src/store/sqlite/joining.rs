use async_trait::async_trait;
use prost_types::Timestamp;
use sqlx::{Row as _, SqliteConnection, sqlite::SqliteRow};

use super::database::Sqlite;
use crate::{
    clock::{from_millis, millis},
    store::{
        error::StoreError,
        joining::{Joining, JoiningStore, NodeKey, StoredJoinToken},
    },
};

#[async_trait]
impl JoiningStore for Sqlite {
    async fn put_join_token(
        &self,
        token: &StoredJoinToken,
        digest: &str,
        kept_from: Timestamp,
    ) -> Result<(), StoreError> {
        let mut transaction = self.begin().await?;
        sqlx::query("DELETE FROM join_tokens WHERE expires_ms < ?")
            .bind(millis(&kept_from))
            .execute(&mut *transaction)
            .await?;
        sqlx::query(
            "INSERT INTO join_tokens (id, digest, expires_ms, uses_left, nodes, description, created_ms) \
             VALUES (?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(&token.id)
        .bind(digest)
        .bind(millis(&token.expires))
        .bind(token.uses_left)
        .bind(&token.nodes)
        .bind(&token.description)
        .bind(millis(&token.created))
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(())
    }

    async fn join_tokens(&self) -> Result<Vec<StoredJoinToken>, StoreError> {
        let rows = sqlx::query("SELECT * FROM join_tokens ORDER BY created_ms DESC, id")
            .fetch_all(&self.reader)
            .await?;
        rows.iter().map(token).collect()
    }

    async fn join_token(&self, digest: &str) -> Result<Option<StoredJoinToken>, StoreError> {
        let row = sqlx::query("SELECT * FROM join_tokens WHERE digest = ?")
            .bind(digest)
            .fetch_optional(&self.reader)
            .await?;
        row.as_ref().map(token).transpose()
    }

    async fn delete_join_token(&self, id: &str) -> Result<bool, StoreError> {
        let deleted = sqlx::query("DELETE FROM join_tokens WHERE id = ?")
            .bind(id)
            .execute(&self.writer)
            .await?;
        Ok(deleted.rows_affected() > 0)
    }

    async fn join(
        &self,
        token: &str,
        node: Joining<'_>,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let mut transaction = self.begin().await?;
        let before =
            sqlx::query("SELECT 1 FROM join_token_uses WHERE token = ? AND node = ? AND key = ?")
                .bind(token)
                .bind(node.node)
                .bind(node.key)
                .fetch_optional(&mut *transaction)
                .await?;
        if before.is_none() {
            let used = sqlx::query(
                "UPDATE join_tokens SET uses_left = uses_left - 1, used_ms = ? \
                 WHERE id = ? AND (uses_left IS NULL OR uses_left > 0)",
            )
            .bind(millis(&now))
            .bind(token)
            .execute(&mut *transaction)
            .await?;
            if used.rows_affected() == 0 {
                return Ok(false);
            }
            sqlx::query("INSERT INTO join_token_uses (token, node, key) VALUES (?, ?, ?)")
                .bind(token)
                .bind(node.node)
                .bind(node.key)
                .execute(&mut *transaction)
                .await?;
        }
        put_key(&mut transaction, node).await?;
        transaction.commit().await?;
        Ok(true)
    }

    async fn put_node_key(&self, node: Joining<'_>) -> Result<(), StoreError> {
        let mut transaction = self.begin().await?;
        put_key(&mut transaction, node).await?;
        transaction.commit().await?;
        Ok(())
    }

    async fn node_key(&self, node: &str) -> Result<Option<NodeKey>, StoreError> {
        let key: Option<Option<String>> =
            sqlx::query_scalar("SELECT key FROM node_keys WHERE node = ?")
                .bind(node)
                .fetch_optional(&self.reader)
                .await?;
        Ok(key.map(|key| key.map_or(NodeKey::Removed, NodeKey::Of)))
    }
}

async fn put_key(connection: &mut SqliteConnection, node: Joining<'_>) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO node_keys (node, key) VALUES (?, ?) ON CONFLICT (node) DO UPDATE SET key = excluded.key",
    )
    .bind(node.node)
    .bind(node.key)
    .execute(connection)
    .await?;
    Ok(())
}

fn token(row: &SqliteRow) -> Result<StoredJoinToken, StoreError> {
    let used: Option<i64> = row.try_get("used_ms")?;
    Ok(StoredJoinToken {
        id: row.try_get("id")?,
        expires: from_millis(row.try_get("expires_ms")?),
        uses_left: row.try_get("uses_left")?,
        nodes: row.try_get("nodes")?,
        description: row.try_get("description")?,
        created: from_millis(row.try_get("created_ms")?),
        used: used.map(from_millis),
    })
}
