use crate::{report, run, version, Failure, Outcome, SHOW, STARTUP};
use futures_util::StreamExt;
use serde_json::{json, Value};
use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgListener, PgPoolOptions, PgRow};
use sqlx::{Column, Connection, Error, Executor, QueryBuilder, Row, TypeInfo};

async fn connect() -> Result<PgConnection, Failure> {
    Ok(PgConnection::connect_with(&PgConnectOptions::new()).await?)
}

fn state(error: Error) -> Value {
    let code = error.as_database_error().and_then(|error| error.code());
    json!(code.map_or_else(|| error.to_string(), |code| code.into_owned()))
}

fn cells(row: &PgRow) -> Value {
    let cell = |column: &sqlx::postgres::PgColumn| match column.type_info().name() {
        "INT4" => json!(row.get::<Option<i32>, _>(column.ordinal())),
        "INT8" => json!(row.get::<Option<i64>, _>(column.ordinal())),
        _ => json!(row.get::<Option<String>, _>(column.ordinal())),
    };
    row.columns().iter().map(cell).collect()
}

fn collected(rows: Result<Vec<PgRow>, Error>) -> Value {
    rows.map_or_else(state, |rows| rows.iter().map(cells).collect())
}

/// By the extended protocol, with its cache of statements.
async fn rows(conn: &mut PgConnection, text: &str) -> Value {
    collected(sqlx::query(text).fetch_all(conn).await)
}

/// By the simple protocol.
async fn exec(conn: &mut PgConnection, text: &str) -> Value {
    conn.execute(sqlx::raw_sql(text)).await.map_or_else(state, |_| json!("done"))
}

async fn shown(conn: &mut PgConnection, times: usize) -> Vec<Value> {
    let mut seen = Vec::new();
    for _ in 0..times {
        seen.push(rows(conn, SHOW).await);
    }
    seen
}

async fn startup() -> Outcome {
    let options = PgConnectOptions::new().options(STARTUP).application_name("sqlx");
    let mut conn = PgConnection::connect_with(&options).await?;
    let seen = shown(&mut conn, 5).await;
    conn.close().await?;
    Ok(json!(seen))
}

async fn settings() -> Outcome {
    let mut conn = connect().await?;
    exec(&mut conn, "set search_path = app; set time zone 'Asia/Tokyo'").await;
    sqlx::query("set statement_timeout = '7s'").execute(&mut conn).await?;
    sqlx::query("set session work_mem = 3072").execute(&mut conn).await?;
    let mut seen = shown(&mut conn, 5).await;
    sqlx::query("reset work_mem").execute(&mut conn).await?;
    seen.extend(shown(&mut conn, 1).await);
    conn.close().await?;
    Ok(json!(seen))
}

async fn prepared() -> Outcome {
    let mut conns = [connect().await?, connect().await?];
    let mut seen = Vec::new();
    for divisor in [1, 2, 0, 4] {
        for conn in &mut conns {
            let query = sqlx::query("select 8 / $1::int, $2::text").bind(divisor).bind("x");
            seen.push(collected(query.fetch_all(conn).await));
        }
    }
    conns[0].clear_cached_statements().await?;
    for conn in &mut conns {
        seen.push(rows(conn, "select 1").await);
    }
    Ok(json!(seen))
}

async fn changed_table() -> Outcome {
    let (mut one, mut other) = (connect().await?, connect().await?);
    let table = "drop table if exists changed; create table changed (a int, b text); insert into changed values (1, '2')";
    exec(&mut other, table).await;
    let mut seen = vec![rows(&mut one, "select * from changed").await];
    exec(&mut other, "alter table changed add c int default 3").await;
    for _ in 0..3 {
        seen.push(rows(&mut one, "select * from changed").await);
    }
    one.clear_cached_statements().await?;
    seen.push(rows(&mut one, "select * from changed").await);
    Ok(json!(seen))
}

async fn transactions() -> Outcome {
    let mut conn = connect().await?;
    exec(&mut conn, "drop table if exists kept; create table kept (n int)").await;
    let mut tx = conn.begin_with("begin isolation level serializable read only").await?;
    let mut seen = vec![rows(&mut tx, "show transaction_isolation").await];
    seen.push(rows(&mut tx, "insert into kept values (1)").await);
    tx.rollback().await?;
    let mut tx = conn.begin().await?;
    rows(&mut tx, "insert into kept values (2)").await;
    let mut nested = tx.begin().await?;
    rows(&mut nested, "insert into kept values (3)").await;
    nested.rollback().await?;
    tx.commit().await?;
    {
        // It is rolled back when it is dropped, before the next statement.
        let mut dropped = conn.begin().await?;
        rows(&mut dropped, "insert into kept values (4)").await;
    }
    seen.push(rows(&mut conn, "show transaction_isolation").await);
    seen.push(rows(&mut conn, "select sum(n) from kept").await);
    Ok(json!(seen))
}

async fn cancel() -> Outcome {
    let mut conn = connect().await?;
    let mut tx = conn.begin().await?;
    exec(&mut tx, "set local statement_timeout = '100ms'").await;
    let mut seen = vec![exec(&mut tx, "select pg_sleep(30)").await];
    tx.rollback().await?;
    seen.push(rows(&mut conn, "select 1").await);
    Ok(json!(seen))
}

async fn copy() -> Outcome {
    let mut conn = connect().await?;
    exec(&mut conn, "drop table if exists copied; create table copied (a int, b text)").await;
    let mut sink = conn.copy_in_raw("copy copied from stdin").await?;
    for i in 0..5_000 {
        sink.send(format!("{i}\tword {i}\n").into_bytes()).await?;
    }
    let copied = sink.finish().await?;
    let mut length = 0;
    let mut out = conn.copy_out_raw("copy copied to stdout").await?;
    while let Some(chunk) = out.next().await {
        length += chunk?.len();
    }
    drop(out);
    Ok(json!([copied, length, rows(&mut conn, "select sum(a) from copied").await]))
}

async fn listen() -> Outcome {
    let pool = PgPoolOptions::new().max_connections(2).connect_with(PgConnectOptions::new()).await?;
    let mut listener = PgListener::connect_with(&pool).await?;
    listener.listen("sqlx").await?;
    sqlx::query("select pg_notify('sqlx', $1)").bind("news").execute(&pool).await?;
    let news = listener.recv().await?;
    drop(listener);
    pool.close().await;
    Ok(json!([news.channel(), news.payload()]))
}

/// A migration under its advisory lock, and inserts of many rows by a pool.
async fn batch() -> Outcome {
    let folder = std::env::temp_dir().join(format!("postern-sqlx-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    std::fs::write(folder.join("1_many.sql"), "create table many (id int primary key); create table more (n int);")?;
    std::fs::write(folder.join("2_more.sql"), "create index more_n on more (n);")?;
    let pool = PgPoolOptions::new().max_connections(3).connect_with(PgConnectOptions::new()).await?;
    pool.execute("drop table if exists _sqlx_migrations, many, more").await?;
    let migrator = Migrator::new(folder.as_path()).await?;
    for _ in 0..2 {
        migrator.run(&pool).await?;
    }
    std::fs::remove_dir_all(&folder)?;
    let mut seen = Vec::new();
    for first in [1, 600, 5] {
        let mut insert = QueryBuilder::<sqlx::Postgres>::new("insert into many ");
        insert.push_values(first..first + 500, |mut row, id| {
            row.push_bind(id);
        });
        let done = insert.build().execute(&pool).await;
        seen.push(done.map_or_else(state, |done| json!(done.rows_affected())));
    }
    seen.push(collected(sqlx::query("select count(*), max(id) from many").fetch_all(&pool).await));
    seen.push(collected(sqlx::query("select version from _sqlx_migrations order by 1").fetch_all(&pool).await));
    pool.close().await;
    Ok(json!(seen))
}

async fn large() -> Outcome {
    let mut conn = connect().await?;
    let query = sqlx::query("select length($1::text)").bind("x".repeat(1_000_000));
    let length = collected(query.fetch_all(&mut conn).await);
    let text: String = sqlx::query("select repeat('é', 500000)").fetch_one(&mut conn).await?.get(0);
    let mut count = 0;
    let mut all = sqlx::query("select generate_series(1, 20000)").fetch(&mut conn);
    while let Some(row) = all.next().await {
        row?;
        count += 1;
    }
    Ok(json!([length, text.len(), count]))
}

async fn errors() -> Outcome {
    let mut conn = connect().await?;
    exec(&mut conn, "drop table if exists once; create table once (n int primary key); insert into once values (1)").await;
    let mut seen = Vec::new();
    for text in ["insert into once values (1)", "selekt", "select * from nowhere", "select 1/0"] {
        seen.push(rows(&mut conn, text).await);
        seen.push(exec(&mut conn, text).await);
    }
    let mut tx = conn.begin().await?;
    seen.push(rows(&mut tx, "select 1/0").await);
    seen.push(rows(&mut tx, "select 1").await);
    tx.rollback().await?;
    seen.push(rows(&mut conn, "select count(*) from once").await);
    Ok(json!(seen))
}

pub async fn all() {
    report("version", Ok(version("sqlx")));
    run("startup", startup()).await;
    run("settings", settings()).await;
    run("prepared", prepared()).await;
    run("changed_table", changed_table()).await;
    run("transactions", transactions()).await;
    run("cancel", cancel()).await;
    run("copy", copy()).await;
    run("listen", listen()).await;
    run("batch", batch()).await;
    run("large", large()).await;
    run("errors", errors()).await;
}
