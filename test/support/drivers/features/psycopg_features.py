"""psycopg 3 as its users write it, one function for each column of the table of drivers."""

import sys
import threading
from pathlib import Path

import psycopg

sys.path.insert(0, str(Path(__file__).parent.parent))
import report  # noqa: E402

SHOW = """select current_setting('search_path'), current_setting('statement_timeout'), current_setting('TimeZone'),
    current_setting('work_mem')"""


def connect(**options):
    return psycopg.connect(**{"autocommit": True, **options})


def outcome(work, *args):
    try:
        return work(*args)
    except psycopg.Error as error:
        return error.sqlstate or type(error).__name__


def shown(conn, times=5):
    return [conn.execute(SHOW).fetchone() for _ in range(times)]


def rows(conn, text, *args):
    return conn.execute(text, args, prepare=True).fetchall()


def case_version():
    major, minor = divmod(psycopg.pq.version(), 10_000)
    return f"{psycopg.__version__} with libpq {major}.{minor}"


def case_startup():
    options = "-c search_path=app -c statement_timeout=7s -c TimeZone=Asia/Tokyo -c work_mem=3MB"
    with connect(options=options) as conn:
        return shown(conn)


def case_settings():
    with connect() as conn:
        conn.execute("set search_path = app")
        conn.execute("set time zone 'Asia/Tokyo'")
        conn.execute("set statement_timeout = '7s'")
        conn.execute("select set_config('work_mem', '3MB', false)")
        seen = shown(conn)
        conn.execute("reset work_mem")
        return seen + shown(conn, 1)


def case_prepared():
    with connect() as one, connect() as other:
        return [
            outcome(rows, conn, "select 8 / %s::int, %s::text", divisor, "x") for divisor in [1, 2, 0, 4] for conn in [one, other]
        ]


def case_changed_table():
    with connect() as one, connect() as other:
        other.execute("drop table if exists changed; create table changed (a int, b text)")
        other.execute("insert into changed values (1, '2')")
        seen = [outcome(rows, one, "select * from changed where a = %s", 1)]
        other.execute("alter table changed add c int default 3")
        return seen + [outcome(rows, one, "select * from changed where a = %s", 1) for _ in range(3)]


def case_transactions():
    seen = []
    with connect(autocommit=False) as conn:
        conn.execute("drop table if exists kept; create table kept (n int)")
        conn.commit()
        conn.isolation_level = psycopg.IsolationLevel.SERIALIZABLE
        conn.read_only = True
        seen.append(conn.execute("show transaction_isolation").fetchone())
        seen.append(outcome(conn.execute, "insert into kept values (1)"))
        conn.rollback()
        conn.isolation_level = conn.read_only = None
        with conn.transaction():
            conn.execute("insert into kept values (2)")
            with conn.transaction(force_rollback=True):
                conn.execute("insert into kept values (3)")
        conn.commit()
        seen.append(conn.execute("show transaction_isolation").fetchone())
        seen.append(conn.execute("select sum(n)::int from kept").fetchone())
    return seen


def case_cancel():
    with connect() as conn:
        with conn.transaction(force_rollback=True):
            conn.execute("set local statement_timeout = '100ms'")
            seen = [outcome(conn.execute, "select pg_sleep(30)")]
        threading.Timer(0.2, conn.cancel).start()
        seen.append(outcome(conn.execute, "select pg_sleep(30)"))
        return seen + conn.execute("select 1").fetchall()


def case_copy():
    with connect() as conn:
        conn.execute("drop table if exists copied; create table copied (a int, b text)")
        with conn.cursor() as cur:
            with cur.copy("copy copied from stdin") as copy:
                for i in range(5_000):
                    copy.write_row((i, f"word {i}"))
            with cur.copy("copy copied to stdout") as copy:
                read = sum(len(data) for data in copy)
        return [conn.execute("select count(*), sum(a) from copied").fetchone(), read]


def case_listen():
    with connect() as hears, connect() as says:
        hears.execute("listen psycopg")
        says.execute("select pg_notify('psycopg', 'news')")
        for news in hears.notifies():
            return [news.channel, news.payload]


def case_batch():
    seen = []
    with connect() as conn:
        for last in (1, 0):
            try:
                with conn.pipeline():
                    cursors = [conn.execute("select 8 / %s::int", (n,)) for n in (1, 2, 4, last, 8)]
                seen.append([cur.fetchone()[0] for cur in cursors])
            except psycopg.Error as error:
                seen.append(error.sqlstate)
        conn.cursor().executemany("select %s::int", [(n,) for n in range(50)])
        return seen + conn.execute("select 1").fetchall()


def case_large():
    with connect() as conn:
        return [
            conn.execute("select length(%s::text)", ("x" * 1_000_000,)).fetchone(),
            len(conn.execute("select repeat('é', 500000)").fetchone()[0]),
            len(conn.execute("select generate_series(1, 20000)").fetchall()),
        ]


def case_errors():
    with connect() as conn:
        conn.execute("drop table if exists once; create table once (n int primary key); insert into once values (1)")
        texts = ["insert into once values (1)", "selekt", "select * from nowhere", "select 1/0"]
        seen = [outcome(conn.execute, text) for text in texts]
        conn.execute("begin")
        seen += [outcome(conn.execute, "select 1/0"), outcome(conn.execute, "select 1")]
        conn.execute("rollback")
        return seen + conn.execute("select count(*) from once").fetchall()


if __name__ == "__main__":
    report.run(sys.modules[__name__])
