use async_trait::async_trait;
use hearth_domain::Name;
use hearth_runtime::FieldFaults;
use prost_types::Timestamp;
use sqlx::{Row as _, sqlite::SqliteRow};

use super::{
    database::Sqlite,
    rows::{corrupt, readable, to_u64},
};
use crate::{
    clock::{from_millis, millis},
    store::{
        clients::{ClientStore, StoredClient},
        error::StoreError,
    },
};

#[async_trait]
impl ClientStore for Sqlite {
    async fn add_client(&self, client: &StoredClient) -> Result<Option<u64>, StoreError> {
        let number: Option<i64> = sqlx::query_scalar(
            "INSERT INTO clients (name, scopes, repositories, digest, created_ms, expires_ms, last_used_ms) \
             VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (name) DO NOTHING RETURNING number",
        )
        .bind(client.name.as_str())
        .bind(client.scopes.to_string())
        .bind(client.repositories.to_string())
        .bind(&client.digest)
        .bind(millis(&client.created))
        .bind(client.expires.as_ref().map(millis))
        .bind(client.last_used.as_ref().map(millis))
        .fetch_optional(&self.writer)
        .await?;
        Ok(number.map(to_u64))
    }

    async fn clients(&self) -> Result<Vec<(u64, StoredClient)>, StoreError> {
        let rows = sqlx::query("SELECT * FROM clients WHERE revoked_ms IS NULL ORDER BY number")
            .fetch_all(&self.reader)
            .await?;
        readable(&rows, client)
    }

    async fn client_used(&self, name: &Name, at: Timestamp) -> Result<(), StoreError> {
        sqlx::query("UPDATE clients SET last_used_ms = ? WHERE name = ?")
            .bind(millis(&at))
            .bind(name.as_str())
            .execute(&self.writer)
            .await?;
        Ok(())
    }

    async fn revoke_client(&self, name: &Name, now: Timestamp) -> Result<bool, StoreError> {
        let revoked =
            sqlx::query("UPDATE clients SET revoked_ms = ? WHERE name = ? AND revoked_ms IS NULL")
                .bind(millis(&now))
                .bind(name.as_str())
                .execute(&self.writer)
                .await?;
        Ok(revoked.rows_affected() > 0)
    }
}

fn client(row: &SqliteRow) -> Result<(u64, StoredClient), StoreError> {
    let text: &str = row.try_get("name")?;
    let mut faults = FieldFaults::default();
    let name = faults.check("name", text.parse());
    let scopes = faults.check("scopes", row.try_get::<&str, _>("scopes")?.parse());
    let repositories = row.try_get::<&str, _>("repositories")?.parse();
    let repositories = faults.check("repositories", repositories);
    let read = name.zip(scopes).zip(repositories);
    let ((name, scopes), repositories) = faults
        .complete(read)
        .map_err(|fault| corrupt("clients", text, fault.message()))?;
    let time =
        |column| Ok::<_, sqlx::Error>(row.try_get::<Option<i64>, _>(column)?.map(from_millis));
    let client = StoredClient {
        name,
        scopes,
        repositories,
        digest: row.try_get("digest")?,
        created: from_millis(row.try_get("created_ms")?),
        expires: time("expires_ms")?,
        last_used: time("last_used_ms")?,
    };
    Ok((to_u64(row.try_get("number")?), client))
}
