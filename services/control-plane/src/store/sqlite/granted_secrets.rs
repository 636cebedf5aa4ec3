use async_trait::async_trait;
use hearth_domain::{RepositoryPattern, SecretName};
use hearth_runtime::FieldFaults;
use sqlx::{Row as _, sqlite::SqliteRow};

use super::{
    database::Sqlite,
    rows::{corrupt, readable, to_u64},
};
use crate::{
    clock::{from_millis, millis},
    store::{
        error::StoreError,
        granted_secrets::{GrantedSecretStore, StoredSecret},
    },
};

#[async_trait]
impl GrantedSecretStore for Sqlite {
    async fn set_secret(
        &self,
        secret: &StoredSecret,
        most: u32,
    ) -> Result<Option<StoredSecret>, StoreError> {
        let row = sqlx::query(
            "INSERT INTO granted_secrets (name, repositories, all_refs, key_id, sealed, created_ms, updated_ms) \
             SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7 \
             WHERE (SELECT count(*) FROM granted_secrets) < ?8 \
                OR EXISTS (SELECT 1 FROM granted_secrets WHERE name = ?1 AND repositories = ?2) \
             ON CONFLICT (name, repositories) DO UPDATE SET all_refs = excluded.all_refs, \
             key_id = excluded.key_id, sealed = excluded.sealed, updated_ms = excluded.updated_ms RETURNING *",
        )
        .bind(secret.name.as_str())
        .bind(secret.repositories.to_string())
        .bind(secret.all_refs)
        .bind(&secret.key_id)
        .bind(&secret.sealed)
        .bind(millis(&secret.created))
        .bind(millis(&secret.updated))
        .bind(most)
        .fetch_optional(&self.writer)
        .await?;
        row.map(|row| Ok(self::secret(&row)?.1)).transpose()
    }

    async fn secrets(&self) -> Result<Vec<(u64, StoredSecret)>, StoreError> {
        let rows = sqlx::query("SELECT * FROM granted_secrets ORDER BY number DESC")
            .fetch_all(&self.reader)
            .await?;
        readable(&rows, secret)
    }

    async fn reseal_secret(
        &self,
        before: &StoredSecret,
        key_id: &str,
        sealed: &[u8],
    ) -> Result<(), StoreError> {
        sqlx::query(
            "UPDATE granted_secrets SET key_id = ?, sealed = ? WHERE name = ? AND repositories = ? AND sealed = ?",
        )
        .bind(key_id)
        .bind(sealed)
        .bind(before.name.as_str())
        .bind(before.repositories.to_string())
        .bind(&before.sealed)
        .execute(&self.writer)
        .await?;
        Ok(())
    }

    async fn delete_secret(
        &self,
        name: &SecretName,
        repositories: &RepositoryPattern,
    ) -> Result<bool, StoreError> {
        let deleted =
            sqlx::query("DELETE FROM granted_secrets WHERE name = ? AND repositories = ?")
                .bind(name.as_str())
                .bind(repositories.to_string())
                .execute(&self.writer)
                .await?;
        Ok(deleted.rows_affected() > 0)
    }
}

fn secret(row: &SqliteRow) -> Result<(u64, StoredSecret), StoreError> {
    let text: &str = row.try_get("name")?;
    let mut faults = FieldFaults::default();
    let name = faults.check("name", text.parse());
    let repositories = row.try_get::<&str, _>("repositories")?.parse();
    let repositories = faults.check("repositories", repositories);
    let (name, repositories) = faults
        .complete(name.zip(repositories))
        .map_err(|fault| corrupt("granted_secrets", text, fault.message()))?;
    let secret = StoredSecret {
        name,
        repositories,
        all_refs: row.try_get("all_refs")?,
        key_id: row.try_get("key_id")?,
        sealed: row.try_get("sealed")?,
        created: from_millis(row.try_get("created_ms")?),
        updated: from_millis(row.try_get("updated_ms")?),
    };
    Ok((to_u64(row.try_get("number")?), secret))
}
