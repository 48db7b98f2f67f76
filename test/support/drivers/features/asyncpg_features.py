"""asyncpg as its users write it, one function for each column of the table of drivers."""

import asyncio
import sys
from pathlib import Path

import asyncpg

sys.path.insert(0, str(Path(__file__).parent.parent))
import report  # noqa: E402

SHOW = """select current_setting('search_path'), current_setting('statement_timeout'), current_setting('TimeZone'),
    current_setting('work_mem')"""
SETTINGS = {"search_path": "app", "statement_timeout": "7s", "TimeZone": "Asia/Tokyo", "work_mem": "3MB"}


def connect(**options):
    return asyncpg.connect(ssl=False, **options)


async def outcome(work):
    try:
        return await work
    except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncio.TimeoutError) as error:
        return getattr(error, "sqlstate", None) or type(error).__name__


async def rows(conn, text, *args):
    return [list(row) for row in await conn.fetch(text, *args)]


async def shown(conn, times=5):
    return [await rows(conn, SHOW) for _ in range(times)]


def case_version():
    return asyncpg.__version__


async def case_startup():
    """Its pool resets each connection with RESET ALL: what the startup has set is there again."""
    conn = await connect(server_settings=SETTINGS)
    seen = await shown(conn)
    await conn.close()
    return seen


async def case_settings():
    conn = await connect()
    await conn.execute("set search_path = app; set time zone 'Asia/Tokyo'")
    await conn.execute("set statement_timeout = '7s'")
    await conn.fetchval("select set_config('work_mem', '3MB', false)")
    seen = await shown(conn)
    await conn.execute("reset work_mem")
    seen += await shown(conn, 1)
    await conn.close()
    return seen


async def case_prepared():
    one, other = await connect(), await connect()
    seen = [
        await outcome(rows(conn, "select 8 / $1::int, $2::text", divisor, "x")) for divisor in [1, 2, 0, 4] for conn in [one, other]
    ]
    await one.close()
    await other.close()
    return seen


async def case_changed_table():
    one, other = await connect(), await connect()
    await other.execute("drop table if exists changed; create table changed (a int, b text); insert into changed values (1, '2')")
    seen = [await outcome(rows(one, "select * from changed where a = $1", 1))]
    await other.execute("alter table changed add c int default 3")
    seen += [await outcome(rows(one, "select * from changed where a = $1", 1)) for _ in range(3)]
    await one.close()
    await other.close()
    return seen


async def case_transactions():
    conn = await connect()
    await conn.execute("drop table if exists kept; create table kept (n int)")
    seen = []
    transaction = conn.transaction(isolation="serializable", readonly=True)
    await transaction.start()
    seen.append(await rows(conn, "show transaction_isolation"))
    seen.append(await outcome(conn.execute("insert into kept values (1)")))
    await transaction.rollback()
    async with conn.transaction():
        await conn.execute("insert into kept values (2)")
        inner = conn.transaction()
        await inner.start()
        await conn.execute("insert into kept values (3)")
        await inner.rollback()
    seen += [await rows(conn, "show transaction_isolation"), await rows(conn, "select sum(n)::int from kept")]
    await conn.close()
    return seen


async def case_cancel():
    conn = await connect()
    seen = []
    async with conn.transaction():
        await conn.execute("set local statement_timeout = '100ms'")
        inner = conn.transaction()
        await inner.start()
        seen.append(await outcome(conn.execute("select pg_sleep(30)")))
        await inner.rollback()
    seen.append(await outcome(conn.execute("select pg_sleep(30)", timeout=0.2)))
    seen.append(await conn.fetchval("select 1"))
    await conn.close()
    return seen


async def case_copy():
    conn = await connect()
    await conn.execute("drop table if exists copied; create table copied (a int, b text)")
    await conn.copy_records_to_table("copied", records=[(i, f"word {i}") for i in range(5_000)])
    out = bytearray()

    async def take(data):
        out.extend(data)

    await conn.copy_from_table("copied", output=take)
    seen = await rows(conn, "select count(*), sum(a) from copied")
    await conn.close()
    return [seen, len(out)]


async def case_listen():
    hears, says = await connect(), await connect()
    heard = asyncio.Queue()
    await hears.add_listener("asyncpg", lambda _conn, _pid, channel, payload: heard.put_nowait([channel, payload]))
    await says.execute("select pg_notify('asyncpg', 'news')")
    news = await heard.get()
    await hears.close()
    await says.close()
    return news


async def case_batch():
    conn = await connect()
    await conn.execute("drop table if exists many; create table many (n int primary key)")
    await conn.executemany("insert into many values ($1)", [(n,) for n in range(1_000)])
    seen = [await outcome(conn.executemany("insert into many values ($1)", [(5_000,), (1,), (5_001,)]))]
    seen.append(await rows(conn, "select count(*) from many"))
    await conn.close()
    return seen


async def case_large():
    conn = await connect()
    seen = [
        await conn.fetchval("select length($1::text)", "x" * 1_000_000),
        len(await conn.fetchval("select repeat('é', 500000)")),
        len(await conn.fetch("select generate_series(1, 20000)")),
    ]
    await conn.close()
    return seen


async def case_errors():
    conn = await connect()
    await conn.execute("drop table if exists once; create table once (n int primary key); insert into once values (1)")
    texts = ["insert into once values (1)", "selekt", "select * from nowhere", "select 1/0"]
    seen = [await outcome(conn.execute(text)) for text in texts] + [await outcome(conn.fetch(text)) for text in texts]
    await conn.execute("begin")
    seen += [await outcome(conn.execute("select 1/0")), await outcome(conn.execute("select 1"))]
    await conn.execute("rollback")
    seen.append(await rows(conn, "select count(*) from once"))
    await conn.close()
    return seen


if __name__ == "__main__":
    report.run(sys.modules[__name__])
