use crate::{report, run, version, Failure, Outcome, SHOW, STARTUP};
use futures_util::{future::join_all, stream::poll_fn, SinkExt, StreamExt};
use serde_json::{json, Value};
use std::env::var;
use std::io::Cursor;
use std::time::Duration;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{AsyncMessage, Client, Config, Connection, Error, IsolationLevel, NoTls, Row, Socket};

type Raw = Connection<Socket, tokio_postgres::tls::NoTlsStream>;
type Parameters<'a> = &'a [&'a (dyn ToSql + Sync)];

async fn connection(options: &str) -> Result<(Client, Raw), Failure> {
    let mut config = Config::new();
    config.host(var("PGHOST")?).port(var("PGPORT")?.parse()?).dbname(var("PGDATABASE")?);
    config.user(var("PGUSER")?).password(var("PGPASSWORD")?);
    if !options.is_empty() {
        config.options(options);
    }
    Ok(config.connect(NoTls).await?)
}

async fn connect() -> Result<Client, Failure> {
    let (client, driver) = connection("").await?;
    tokio::spawn(driver);
    Ok(client)
}

fn state(error: Error) -> Value {
    json!(error.code().map_or_else(|| error.to_string(), |code| code.code().to_owned()))
}

fn cells(row: &Row) -> Value {
    let cell = |(i, column): (usize, &tokio_postgres::Column)| match *column.type_() {
        Type::INT4 => json!(row.get::<_, Option<i32>>(i)),
        Type::INT8 => json!(row.get::<_, Option<i64>>(i)),
        _ => json!(row.get::<_, Option<String>>(i)),
    };
    row.columns().iter().enumerate().map(cell).collect()
}

fn collected(rows: Result<Vec<Row>, Error>) -> Value {
    rows.map_or_else(state, |rows| rows.iter().map(cells).collect())
}

async fn rows(client: &Client, text: &str, parameters: Parameters<'_>) -> Value {
    collected(client.query(text, parameters).await)
}

async fn exec(client: &Client, text: &str) -> Value {
    client.batch_execute(text).await.map_or_else(state, |()| json!("done"))
}

async fn shown(client: &Client, times: usize) -> Vec<Value> {
    let mut seen = Vec::new();
    for _ in 0..times {
        seen.push(rows(client, SHOW, &[]).await);
    }
    seen
}

async fn startup() -> Outcome {
    let options: Vec<String> = STARTUP.iter().map(|(name, value)| format!("-c {name}={value}")).collect();
    let (client, driver) = connection(&options.join(" ")).await?;
    tokio::spawn(driver);
    Ok(json!(shown(&client, 5).await))
}

async fn settings() -> Outcome {
    let client = connect().await?;
    client.batch_execute("set search_path = app; set time zone 'Asia/Tokyo'").await?;
    client.execute("set statement_timeout = '7s'", &[]).await?;
    client.execute("set session work_mem = 3072", &[]).await?;
    let mut seen = shown(&client, 5).await;
    client.execute("reset work_mem", &[]).await?;
    seen.extend(shown(&client, 1).await);
    Ok(json!(seen))
}

async fn prepared() -> Outcome {
    let clients = [connect().await?, connect().await?];
    let text = "select 8 / $1::int, $2::text";
    let statements = [clients[0].prepare(text).await?, clients[1].prepare(text).await?];
    let mut seen = Vec::new();
    for divisor in [1, 2, 0, 4] {
        for (client, statement) in clients.iter().zip(&statements) {
            seen.push(collected(client.query(statement, &[&divisor, &"x"]).await));
        }
    }
    // A type of its own that it looks up by statements which it prepares itself.
    let client = &clients[0];
    client.batch_execute("drop type if exists mood; create type mood as enum ('sad', 'ok')").await?;
    let mood = client.prepare("select $1::mood::text").await?;
    seen.push(json!([mood.params()[0].name(), format!("{:?}", mood.params()[0].kind())]));
    Ok(json!(seen))
}

async fn changed_table() -> Outcome {
    let (one, other) = (connect().await?, connect().await?);
    let table = "drop table if exists changed; create table changed (a int, b text); insert into changed values (1, '2')";
    other.batch_execute(table).await?;
    let text = "select * from changed where a = $1";
    let statement = one.prepare(text).await?;
    let mut seen = vec![collected(one.query(&statement, &[&1]).await)];
    other.batch_execute("alter table changed add c int default 3").await?;
    // It does not prepare anew by itself.
    for _ in 0..2 {
        seen.push(collected(one.query(&statement, &[&1]).await));
    }
    seen.push(rows(&one, text, &[&1]).await);
    Ok(json!(seen))
}

async fn transactions() -> Outcome {
    let mut client = connect().await?;
    client.batch_execute("drop table if exists kept; create table kept (n int)").await?;
    let strict = client.build_transaction().isolation_level(IsolationLevel::Serializable).read_only(true);
    let tx = strict.start().await?;
    let mut seen = vec![collected(tx.query("show transaction_isolation", &[]).await)];
    seen.push(tx.execute("insert into kept values (1)", &[]).await.map_or_else(state, |n| json!(n)));
    tx.rollback().await?;
    let mut tx = client.transaction().await?;
    tx.execute("insert into kept values (2)", &[]).await?;
    let nested = tx.transaction().await?;
    nested.execute("insert into kept values (3)", &[]).await?;
    nested.rollback().await?;
    let portal = tx.bind("select * from generate_series(1, 5)", &[]).await?;
    for _ in 0..3 {
        seen.push(collected(tx.query_portal(&portal, 2).await));
    }
    tx.commit().await?;
    seen.push(rows(&client, "show transaction_isolation", &[]).await);
    seen.push(rows(&client, "select sum(n) from kept", &[]).await);
    Ok(json!(seen))
}

async fn cancel() -> Outcome {
    let client = connect().await?;
    let mut seen = vec![exec(&client, "begin; set local statement_timeout = '100ms'; select pg_sleep(30)").await];
    client.batch_execute("rollback").await?;
    let token = client.cancel_token();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(200)).await;
        token.cancel_query(NoTls).await
    });
    seen.push(exec(&client, "select pg_sleep(30)").await);
    seen.push(rows(&client, "select 1", &[]).await);
    Ok(json!(seen))
}

async fn copy() -> Outcome {
    let client = connect().await?;
    client.batch_execute("drop table if exists copied; create table copied (a int, b text)").await?;
    let sink = client.copy_in::<_, Cursor<Vec<u8>>>("copy copied from stdin").await?;
    futures_util::pin_mut!(sink);
    for i in 0..5_000 {
        sink.feed(Cursor::new(format!("{i}\tword {i}\n").into_bytes())).await?;
    }
    let copied = sink.finish().await?;
    let out = client.copy_out("copy copied to stdout").await?;
    futures_util::pin_mut!(out);
    let mut length = 0;
    while let Some(chunk) = out.next().await {
        length += chunk?.len();
    }
    Ok(json!([copied, length, rows(&client, "select sum(a) from copied", &[]).await]))
}

async fn listen() -> Outcome {
    let (hears, mut driver) = connection("").await?;
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        let mut messages = poll_fn(move |context| driver.poll_message(context));
        while let Some(Ok(message)) = messages.next().await {
            if let AsyncMessage::Notification(news) = message {
                let _ = tell.send(json!([news.channel(), news.payload()]));
            }
        }
    });
    hears.batch_execute("listen tokio_postgres").await?;
    connect().await?.execute("select pg_notify('tokio_postgres', $1)", &[&"news"]).await?;
    told.recv().await.ok_or_else(|| "the connection has ended".into())
}

/// Futures of one client that are polled together go as a pipeline.
async fn batch() -> Outcome {
    let client = connect().await?;
    let statement = client.prepare("select $1::int * 2, 1 / ($1::int % 7)").await?;
    let one = |i: i32| {
        let (client, statement) = (&client, &statement);
        async move { collected(client.query(statement, &[&i]).await) }
    };
    Ok(json!(join_all((0..30).map(one)).await))
}

async fn large() -> Outcome {
    let client = connect().await?;
    let length = rows(&client, "select length($1::text)", &[&"x".repeat(1_000_000)]).await;
    let text: String = client.query_one("select repeat('é', 500000)", &[]).await?.get(0);
    let all = client.query("select generate_series(1, 20000)", &[]).await?;
    Ok(json!([length, text.len(), all.len()]))
}

async fn errors() -> Outcome {
    let client = connect().await?;
    let table = "drop table if exists once; create table once (n int primary key); insert into once values (1)";
    client.batch_execute(table).await?;
    let mut seen = Vec::new();
    for text in ["insert into once values (1)", "selekt", "select * from nowhere", "select 1/0"] {
        seen.push(rows(&client, text, &[]).await);
        seen.push(exec(&client, text).await);
    }
    client.batch_execute("begin").await?;
    seen.push(exec(&client, "select 1/0").await);
    seen.push(exec(&client, "select 1").await);
    client.batch_execute("rollback").await?;
    seen.push(rows(&client, "select count(*) from once", &[]).await);
    Ok(json!(seen))
}

pub async fn all() {
    report("version", Ok(version("tokio-postgres")));
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
