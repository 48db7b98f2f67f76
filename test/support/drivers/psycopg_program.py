"""An ordinary program of somebody who uses psycopg 3 with its defaults, connected by libpq's environment variables."""

import asyncio
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import psycopg
from psycopg import errors
from psycopg.rows import tuple_row
from psycopg_pool import ConnectionPool

import report

TABLE = "create table if not exists {} (id int primary key, word text)"


def connect(**options):
    return psycopg.connect(**options)


async def aconnect(**options):
    return await psycopg.AsyncConnection.connect(**options)


def remade(conn, table):
    """An empty table."""
    conn.execute(f"drop table if exists {table}")
    conn.execute(TABLE.format(table))
    conn.commit()


async def case_many_clients_prepare():
    """Each prepares after five uses, under the same names, and other statements than its neighbours."""

    async def one(i):
        conn = await aconnect(autocommit=i % 2 == 0)
        sums = []
        for round in range(12):
            cur = await conn.execute(f"select %s::int + {i % 4}, %s::text", (round, f"{i}.{round}"))
            sums.append(await cur.fetchone())
            if i % 2:
                await conn.commit()
        prepared = len(conn._prepared._names)
        await conn.close()
        assert sums == [(round + i % 4, f"{i}.{round}") for round in range(12)], sums
        return prepared

    return sum(await asyncio.gather(*[one(i) for i in range(report.clients())]))


async def case_many_clients_in_pipelines():
    async def one(i):
        async with await aconnect(autocommit=True) as conn:
            async with conn.pipeline():
                cursors = [await conn.execute("select %s::int * 2", (i * 100 + n,)) for n in range(30)]
            assert [(await cur.fetchone())[0] for cur in cursors] == [(i * 100 + n) * 2 for n in range(30)]

    await asyncio.gather(*[one(i) for i in range(report.clients())])
    return "equal"


def case_transactions():
    with connect() as conn:
        remade(conn, "transactions")
        with conn.transaction():
            conn.execute("insert into transactions values (1, 'outer')")
            try:
                with conn.transaction():
                    conn.execute("insert into transactions values (2, 'inner')")
                    raise KeyError
            except KeyError:
                pass
            with conn.transaction():
                conn.execute("insert into transactions values (3, 'kept')")
        try:
            with conn.transaction():
                conn.execute("insert into transactions values (4, 'lost')")
                raise KeyError
        except KeyError:
            pass
        return conn.execute("select * from transactions order by id").fetchall()


def case_errors():
    seen = []
    with connect() as conn:
        remade(conn, "mistakes")
        for _ in range(8):
            conn.execute("insert into mistakes values (%s, 'a') on conflict do nothing", (1,))
        conn.commit()
        for statement in ["insert into mistakes values (1, 'again')", "select nothing", "selekt", "select 1/0"] * 7:
            try:
                conn.execute(statement)
            except psycopg.Error as error:
                seen.append(error.sqlstate)
                try:
                    conn.execute("select 1")
                except errors.InFailedSqlTransaction as failed:
                    seen.append(failed.sqlstate)
            conn.rollback()
        seen.append(conn.execute("select count(*) from mistakes").fetchone()[0])
    return seen


def case_prepared_statement_fails_and_works_again():
    """The sixth use is of a statement on the server."""
    seen = []
    with connect(autocommit=True) as conn:
        for divisor in [1, 1, 1, 1, 1, 1, 1, 0, 2, 0, 4]:
            try:
                seen.append(conn.execute("select 8 / %s::int", (divisor,)).fetchone()[0])
            except errors.DivisionByZero as error:
                seen.append(error.sqlstate)
    return seen


def case_more_statements_than_it_keeps():
    """It keeps a hundred, and then has the server forget the oldest: by SQL, as long as libpq is older than 17."""
    with connect() as conn:
        for n in range(130):
            for round in range(7):
                assert conn.execute(f"select %s::int + {n}", (round,)).fetchone() == (round + n,)
            conn.commit()
    return "equal"


def case_more_statements_than_it_keeps_in_pipelines():
    with connect(autocommit=True) as conn:
        for n in range(130):
            with conn.pipeline():
                cursors = [conn.execute(f"select %s::int - {n}", (round,)) for round in range(7)]
            assert [cur.fetchone()[0] for cur in cursors] == [round - n for round in range(7)]
    return "equal"


def case_rollback_and_drop_forget_what_is_prepared():
    with connect() as conn:
        remade(conn, "dropped")
        for turn in range(4):
            for n in range(7):
                conn.execute("insert into dropped values (%s, %s)", (turn * 10 + n, "word"))
            conn.rollback() if turn % 2 else conn.commit()
            for _ in range(7):
                conn.execute("select word from dropped where id = %s", (1,)).fetchall()
            conn.commit()
        rows = conn.execute("select count(*) from dropped").fetchone()[0]
        conn.execute("drop table dropped")
        conn.execute("create table dropped (id text)")
        for _ in range(7):
            conn.execute("select id from dropped where id = %s", ("x",)).fetchall()
        conn.commit()
    return rows


def case_changed_table():
    with connect(autocommit=True) as conn, connect(autocommit=True) as other:
        remade(conn, "changed")
        conn.execute("insert into changed values (1, 'one')")
        for _ in range(8):
            conn.execute("select * from changed").fetchall()
        other.execute("alter table changed add column more int default 3")
        failures = 0
        for _ in range(8):
            try:
                conn.execute("select * from changed").fetchall()
            except errors.FeatureNotSupported:
                failures += 1
        # PostgreSQL goes on failing, as psycopg does not prepare anew; through a gateway it heals at times.
        return {"most": failures <= 8, "fresh": conn.execute("select * from changed", prepare=False).fetchall()}


def case_copy():
    with connect() as conn:
        remade(conn, "copied")
        cur = conn.cursor()
        with cur.copy("copy copied from stdin") as copy:
            for i in range(20_000):
                copy.write_row((i, f"word {i}"))
        with cur.copy("copy copied from stdin (format binary)") as copy:
            copy.set_types(["int4", "text"])
            for i in range(20_000, 21_000):
                copy.write_row((i, f"word {i}"))
        conn.commit()
        seen = cur.execute("select count(*), sum(length(word)), max(id) from copied").fetchone()
        with cur.copy("copy (select * from copied order by id) to stdout") as copy:
            rows = list(copy.rows())
        assert rows == [(str(i), f"word {i}") for i in range(21_000)]
        try:
            with cur.copy("copy copied from stdin") as copy:
                copy.write("1\tagain\n")
        except errors.UniqueViolation as error:
            state = error.sqlstate
        conn.rollback()
        try:
            with cur.copy("copy copied from stdin") as copy:
                copy.write("99999\tnever\n")
                raise KeyError
        except (KeyError, errors.QueryCanceled):
            pass
        conn.rollback()
        return [*seen, state, cur.execute("select count(*) from copied").fetchone()[0]]


def case_server_side_cursors():
    with connect() as conn:
        with conn.cursor(name="mine") as cur:
            cur.execute("select generate_series(1, 5000)")
            total = sum(row[0] for row in cur)
        conn.commit()
        with conn.cursor(name="jumping", scrollable=True) as cur:
            cur.execute("select generate_series(1, 100)")
            cur.scroll(50)
            row = cur.fetchone()
        conn.commit()
        held = conn.cursor(name="held", withhold=True)
        held.execute("select generate_series(1, 100)")
        conn.commit()
        rows = len(held.fetchmany(10)) + len(held.fetchall())
        held.close()
        return [total, row, rows]


def case_executemany():
    with connect() as conn:
        remade(conn, "many")
        cur = conn.cursor()
        cur.executemany("insert into many values (%s, %s)", [(i, f"w{i}") for i in range(3_000)])
        conn.commit()
        cur.executemany(
            "insert into many values (%s, %s) returning id",
            [(i, f"w{i}") for i in range(3_000, 3_020)],
            returning=True,
        )
        ids = []
        while True:
            ids.append(cur.fetchone()[0])
            if not cur.nextset():
                break
        conn.commit()
        return [ids, cur.execute("select count(*), count(distinct word) from many").fetchone()]


def case_pipeline_error():
    seen = []
    with connect(autocommit=True) as conn:
        remade(conn, "piped")
        try:
            with conn.pipeline() as pipeline:
                conn.execute("insert into piped values (1, 'a')")
                pipeline.sync()
                conn.execute("insert into piped values (1, 'twice')")
                conn.execute("insert into piped values (3, 'aborted')")
                pipeline.sync()
        except errors.UniqueViolation as error:
            seen.append(error.sqlstate)
        with conn.pipeline():
            with conn.transaction():
                conn.execute("insert into piped values (2, 'b')")
            cur = conn.execute("select * from piped order by id")
        seen.append(cur.fetchall())
    return seen


def case_listen():
    with connect(autocommit=True) as conn, connect(autocommit=True) as speaker:
        conn.execute("listen psycopg_news")
        pids = {conn.execute("select pg_backend_pid()").fetchone()[0] for _ in range(5)}
        heard = []
        for n in range(3):
            speaker.execute("select pg_notify('psycopg_news', %s)", (f"news {n}",))
        for notify in conn.notifies():
            heard.append([notify.channel, notify.payload])
            if len(heard) == 3:
                break
        return [heard, len(pids)]


def case_cancel():
    with connect(autocommit=True) as conn:
        timer = threading.Timer(0.3, conn.cancel)
        timer.start()
        try:
            conn.execute("select pg_sleep(50)")
        except errors.QueryCanceled as error:
            state = error.sqlstate
        timer.join()
        return [state, conn.execute("select 'and goes on'").fetchone()]


async def case_cancelled_task():
    conn = await aconnect()
    await conn.execute("select 1")
    sleeping = asyncio.create_task(conn.execute("select pg_sleep(50)"))
    await asyncio.sleep(0.3)
    conn.cancel()
    try:
        await sleeping
    except errors.QueryCanceled as error:
        state = error.sqlstate
    await conn.rollback()
    row = await (await conn.execute("select 'and goes on'")).fetchone()
    await conn.close()
    return [state, row]


def case_settings_in_a_transaction():
    with connect() as conn:
        conn.execute("set local work_mem = '77MB'")
        seen = [conn.execute("show work_mem").fetchone()[0]]
        conn.commit()
        conn.read_only = True
        conn.isolation_level = psycopg.IsolationLevel.SERIALIZABLE
        try:
            conn.execute("create table never ()")
        except errors.ReadOnlySqlTransaction as error:
            seen.append(error.sqlstate)
        conn.rollback()
        return [*seen, conn.execute("show transaction_isolation").fetchone()[0]]


def case_values_of_many_types():
    import datetime
    import decimal
    import uuid
    from psycopg.types.json import Jsonb

    values = (
        7,
        2**60,
        decimal.Decimal("1.5"),
        "naïve ☃",
        b"\x00\xff",
        datetime.datetime(2024, 2, 29, 12, tzinfo=datetime.timezone.utc),
        uuid.UUID(int=5),
        [1, 2, None],
        Jsonb({"a": [1]}),
        None,
        True,
        "x" * 300_000,
    )
    with connect() as conn:
        rows = []
        for binary in [False, True] * 4:
            cur = conn.cursor(binary=binary, row_factory=tuple_row)
            rows.append([len(str(cur.execute("select %s", (v,)).fetchone())) for v in values])
        assert all(row == rows[0] for row in rows), rows
        return rows[0]


def case_what_it_knows_of_the_connection():
    with connect(application_name="books", options="-c TimeZone=Asia/Tokyo") as conn:
        conn.execute("select 1")
        info = conn.info
        return [info.transaction_status.name, info.encoding, info.timezone.key, info.parameter_status("application_name")]


class TokenConnection(psycopg.Connection):
    """Fetches a token for each connection: psycopg has no option for it."""

    asked = 0

    @classmethod
    def connect(cls, conninfo="", **options):
        TokenConnection.asked += 1
        return super().connect(conninfo, **{**options, "password": os.environ["PGPASSWORD"]})


def case_pool_of_many():
    """Its own pool, each of whose connections has a token of its own."""
    with ConnectionPool(connection_class=TokenConnection, min_size=4, max_size=report.clients(), timeout=60) as pool:

        def one(i):
            with pool.connection() as conn:
                pids = {conn.execute("select pg_backend_pid()").fetchone()[0] for _ in range(3)}
                assert len(pids) == 1, pids
                return conn.execute("select %s::int * 3", (i,)).fetchone()[0]

        with ThreadPoolExecutor(report.clients()) as threads:
            answers = list(threads.map(one, range(200)))
    assert TokenConnection.asked >= 4, TokenConnection.asked
    return answers == [i * 3 for i in range(200)]


if __name__ == "__main__":
    report.run(sys.modules[__name__])
