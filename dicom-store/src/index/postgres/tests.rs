use std::sync::Arc;

use super::*;
use crate::fixture::Database;

#[allow(clippy::unwrap_used, reason = "a test's preparation")]
async fn index() -> (Arc<dyn Index>, Database) {
    let database = Database::new().await;
    let index = PostgresIndex::open(&database.url(), None).await.unwrap();
    (Arc::new(index), database)
}

crate::index_conformance!(in_one_test, index);
