//! Programs that use tokio-postgres and sqlx as their users do: one function for each column of the table of drivers.
//! They connect by libpq's environment variables and print a line of JSON for each case.

mod sqlx_cases;
mod tokio_postgres_cases;

use serde_json::{json, Value};
use std::future::Future;
use std::time::Duration;

pub type Failure = Box<dyn std::error::Error + Send + Sync>;
pub type Outcome = Result<Value, Failure>;

pub const SHOW: &str = "select concat_ws(' ', current_setting('search_path'), current_setting('statement_timeout'),
    current_setting('TimeZone'), current_setting('work_mem'))";
pub const STARTUP: [(&str, &str); 4] =
    [("search_path", "app"), ("statement_timeout", "7s"), ("TimeZone", "Asia/Tokyo"), ("work_mem", "3MB")];

const PATIENCE: Duration = Duration::from_secs(20);

/// The version of a package that the lock file pins.
pub fn version(package: &str) -> Value {
    let lock = include_str!("../Cargo.lock");
    let mut after = lock.lines().skip_while(|line| *line != format!("name = \"{package}\"")).skip(1);
    json!(after.next().and_then(|line| line.split('"').nth(1)))
}

pub fn report(name: &str, outcome: Outcome) {
    let line = match outcome {
        Ok(result) => json!({ "case": name, "result": result }),
        Err(error) => json!({ "case": name, "error": error.to_string() }),
    };
    println!("{line}");
}

pub async fn run(name: &str, case: impl Future<Output = Outcome>) {
    let late = |_| Err(format!("took longer than {PATIENCE:?}").into());
    report(name, tokio::time::timeout(PATIENCE, case).await.unwrap_or_else(late));
}

#[tokio::main]
async fn main() {
    match std::env::args().nth(1).as_deref() {
        Some("sqlx") => sqlx_cases::all().await,
        _ => tokio_postgres_cases::all().await,
    }
}
