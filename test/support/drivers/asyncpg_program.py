"""An ordinary program of somebody who uses asyncpg with its defaults, connected by libpq's environment variables."""

import asyncio
import datetime
import decimal
import os
import ssl
import sys
import uuid

import asyncpg

import report


def transport():
    """asyncpg 0.27 takes PGSSLMODE, and its authorities from here."""
    authority = os.environ.get("PGSSLROOTCERT")
    return {"ssl": ssl.create_default_context(cafile=authority)} if authority else {}


async def connect(**options):
    return await asyncpg.connect(**transport(), **options)


async def remade(conn, table):
    """An empty table."""
    await conn.execute(f"drop table if exists {table}; create table {table} (id int primary key, word text)")


async def case_many_clients_prepare():
    """Every statement with arguments is prepared by name and kept; the names are the same in each client."""

    async def one(i):
        conn = await connect()
        for round in range(12):
            text = f"select $1::int + {i % 4} as sum, $2::text as word"
            row = await conn.fetchrow(text, round, f"{i}.{round}")
            assert tuple(row) == (round + i % 4, f"{i}.{round}"), row
        await conn.close()

    await asyncio.gather(*[one(i) for i in range(report.clients())])
    return "equal"


async def case_pool_of_many():
    """Its own pool resets each connection when it comes back."""
    async with asyncpg.create_pool(min_size=10, max_size=report.clients(), **transport()) as pool:

        async def one(i):
            async with pool.acquire() as conn:
                async with conn.transaction():
                    pid = await conn.fetchval("select pg_backend_pid()")
                    assert pid == await conn.fetchval("select pg_backend_pid()")
                    return await conn.fetchval("select $1::int * 3", i)

        answers = await asyncio.gather(*[one(i) for i in range(200)])
    return answers == [i * 3 for i in range(200)]


async def case_transactions():
    conn = await connect()
    await remade(conn, "transactions")
    async with conn.transaction():
        await conn.execute("insert into transactions values ($1, $2)", 1, "outer")
        try:
            async with conn.transaction():
                await conn.execute("insert into transactions values ($1, $2)", 2, "inner")
                raise KeyError
        except KeyError:
            pass
    try:
        async with conn.transaction(isolation="serializable"):
            await conn.execute("insert into transactions values ($1, $2)", 3, "lost")
            raise KeyError
    except KeyError:
        pass
    rows = await conn.fetch("select * from transactions order by id")
    await conn.close()
    return [list(row) for row in rows]


async def case_errors():
    conn = await connect()
    await remade(conn, "mistakes")
    await conn.execute("insert into mistakes values (1, 'a')")
    seen = []
    for text in ["insert into mistakes values (1, 'again')", "select nothing", "selekt", "select 1/0"] * 3:
        for query in (conn.execute, conn.fetch):
            try:
                await query(text)
            except asyncpg.PostgresError as error:
                seen.append(error.sqlstate)
        try:
            async with conn.transaction():
                try:
                    await conn.fetch(text)
                except asyncpg.PostgresError:
                    await conn.fetch("select 1")
        except asyncpg.PostgresError as error:
            seen.append(error.sqlstate)
    seen.append(await conn.fetchval("select count(*) from mistakes"))
    await conn.close()
    return seen


async def case_prepared_statement_fails_and_works_again():
    conn = await connect()
    seen = []
    statement = await conn.prepare("select 8 / $1::int")
    for divisor in [1, 0, 2, 0, 4]:
        try:
            seen.append(await statement.fetchval(divisor))
        except asyncpg.DivisionByZeroError as error:
            seen.append(error.sqlstate)
    seen.append([attribute.type.name for attribute in statement.get_attributes()])
    await conn.close()
    return seen


async def case_more_statements_than_it_keeps():
    """It keeps a hundred, and closes the oldest by a message."""
    conn = await connect()
    for n in range(130):
        for round in range(2):
            assert await conn.fetchval(f"select $1::int + {n}", round) == round + n
    await conn.close()
    return "equal"


async def case_changed_table():
    """Outside of a transaction it prepares anew by itself; a caller notices nothing."""
    conn, other = await connect(), await connect()
    await remade(conn, "changed")
    await conn.execute("insert into changed values (1, 'one')")
    before = await conn.fetch("select * from changed where id = $1", 1)
    await other.execute("alter table changed add column more int default 3")
    after = await conn.fetch("select * from changed where id = $1", 1)
    await conn.close()
    await other.close()
    return [[list(row) for row in before], [list(row) for row in after]]


async def case_types_of_the_database():
    """What it does not know it looks up in the catalogue, and asks again when it is there no more."""
    conn = await connect()
    await conn.execute("drop type if exists mood cascade; create type mood as enum ('glad', 'sad')")
    await conn.execute("drop type if exists pair cascade; create type pair as (a int, b mood)")
    row = await conn.fetchrow("select $1::mood as one, array['sad']::mood[] as more, row(1, 'glad')::pair as both", "glad")
    await conn.set_type_codec("mood", encoder=str.lower, decoder=str.upper, format="text")
    loud = await conn.fetchval("select 'sad'::mood")
    await conn.close()
    return [row["one"], row["more"], list(row["both"].items()), loud]


async def case_copy():
    conn = await connect()
    await remade(conn, "copied")
    done = [await conn.copy_records_to_table("copied", records=[(i, f"word {i}") for i in range(20_000)])]
    out = bytearray()

    async def take(data):
        out.extend(data)

    done.append(await conn.copy_from_query("select * from copied where id < $1 order by id", 5_000, output=take))
    assert out.decode() == "".join(f"{i}\tword {i}\n" for i in range(5_000))
    try:
        await conn.copy_records_to_table("copied", records=[(1, "again")])
    except asyncpg.UniqueViolationError as error:
        done.append(error.sqlstate)
    done.append(await conn.fetchval("select count(*) from copied"))
    await conn.close()
    return done


async def case_cursors():
    conn = await connect()
    async with conn.transaction():
        total = 0
        async for row in conn.cursor("select generate_series(1, $1::int)", 5_000, prefetch=77):
            total += row[0]
        cursor = await conn.cursor("select generate_series(1, 100)")
        await cursor.forward(50)
        rows = [list(row) for row in await cursor.fetch(2)]
    await conn.close()
    return [total, rows]


async def case_executemany():
    conn = await connect()
    await remade(conn, "many")
    await conn.executemany("insert into many values ($1, $2)", [(i, f"w{i}") for i in range(3_000)])
    try:
        await conn.executemany("insert into many values ($1, $2)", [(9_000, "new"), (1, "again")])
    except asyncpg.UniqueViolationError as error:
        state = error.sqlstate
    count = await conn.fetchval("select count(*) from many")
    await conn.close()
    return [state, count]


async def case_listen():
    conn, speaker = await connect(), await connect()
    heard = asyncio.Queue()
    await conn.add_listener("asyncpg_news", lambda _conn, _pid, channel, payload: heard.put_nowait([channel, payload]))
    pids = {await conn.fetchval("select pg_backend_pid()") for _ in range(5)}
    for n in range(3):
        await speaker.execute("select pg_notify('asyncpg_news', $1)", f"news {n}")
    news = [await heard.get() for _ in range(3)]
    await conn.close()
    await speaker.close()
    return [news, len(pids)]


async def case_cancel():
    """A time-out of its own, and a task that is cancelled: both send a CancelRequest."""
    conn = await connect()
    seen = []
    try:
        await conn.execute("select pg_sleep(50)", timeout=0.3)
    except asyncio.TimeoutError:
        seen.append("timeout")
    seen.append(await conn.fetchval("select 'and goes on'"))
    sleeping = asyncio.create_task(conn.fetch("select pg_sleep($1)", 50))
    await asyncio.sleep(0.3)
    sleeping.cancel()
    try:
        await sleeping
    except asyncio.CancelledError:
        seen.append("cancelled")
    seen.append(await conn.fetchval("select 'and goes on'"))
    await conn.close()
    return seen


async def case_reset():
    conn = await connect()
    await conn.fetch("select $1::int", 1)
    await conn.reset()
    await conn.reload_schema_state()
    value = await conn.fetchval("select $1::int", 2)
    await conn.close()
    return value


async def case_values_of_many_types():
    values = [
        (7, "int4"),
        (2**60, "int8"),
        (decimal.Decimal("1.5"), "numeric"),
        ("naïve ☃", "text"),
        (b"\x00\xff", "bytea"),
        (datetime.datetime(2024, 2, 29, 12, tzinfo=datetime.timezone.utc), "timestamptz"),
        (uuid.UUID(int=5), "uuid"),
        ([1, 2, None], "int4[]"),
        ('{"a": [1]}', "jsonb"),
        (None, "text"),
        (True, "bool"),
        ("x" * 300_000, "text"),
    ]
    conn = await connect()
    for value, sort in values * 2:
        assert await conn.fetchval(f"select $1::{sort}", value) == value
    await conn.close()
    return "equal"


async def case_password_by_function():
    """A token is fetched for each connection."""
    asked = []

    async def fetch_token():
        asked.append(1)
        return os.environ["PGPASSWORD"]

    for _ in range(3):
        conn = await connect(password=fetch_token)
        await conn.fetchval("select 1")
        await conn.close()
    return len(asked)


if __name__ == "__main__":
    report.run(sys.modules[__name__])
