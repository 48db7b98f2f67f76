"""SQLAlchemy with psycopg2 as its users write it, one function for each column of the table of drivers."""

import os
import sys
from pathlib import Path

import psycopg2
import sqlalchemy
from sqlalchemy import Column, Integer, MetaData, Table, Text, create_engine, event, exc, func, select, text

sys.path.insert(0, str(Path(__file__).parent.parent))
import report  # noqa: E402

SHOW = text("""select current_setting('search_path'), current_setting('statement_timeout'), current_setting('TimeZone'),
    current_setting('work_mem')""")


ENGINES = []


def engine(**options):
    """A pool that is closed before the next case: a session that has made a table keeps its server connection."""
    while ENGINES:
        ENGINES.pop().dispose()
    ENGINES.append(create_engine("postgresql+psycopg2://", future=True, pool_size=2, **options))
    return ENGINES[0]


def outcome(work, *args):
    try:
        return work(*args)
    except exc.DBAPIError as error:
        return error.orig.pgcode or type(error).__name__


def shown(conn, times=5):
    seen = []
    for _ in range(times):
        seen.append(list(conn.execute(SHOW).one()))
        conn.commit()
    return seen


def case_version():
    return f"{sqlalchemy.__version__} with psycopg2 {psycopg2.__version__.split()[0]}"


def case_startup():
    options = "-c search_path=app -c statement_timeout=7s -c TimeZone=Asia/Tokyo -c work_mem=3MB"
    with engine(connect_args={"options": options}).connect() as conn:
        return shown(conn)


def case_settings():
    """As its documentation says: set when a connection is made, for all that is done with it."""
    own = engine()

    @event.listens_for(own, "connect")
    def prepare(connection, _record):
        connection.autocommit = True
        with connection.cursor() as cur:
            cur.execute("set search_path = app")
            cur.execute("set time zone 'Asia/Tokyo'")
            cur.execute("set statement_timeout = '7s'")
            cur.execute("set session work_mem = 3072")
        connection.autocommit = False

    with own.connect() as conn:
        return shown(conn)


def case_prepared():
    """psycopg2 prepares nothing; the same texts come again and again."""
    own = engine()
    seen = []
    for divisor in [1, 2, 0, 4]:
        with own.connect() as conn:
            work = lambda: list(conn.execute(text("select 8 / :n, :t"), {"n": divisor, "t": "x"}).one())  # noqa: E731
            seen.append(outcome(work))
    return seen


def case_changed_table():
    """Reflection of a table that changes."""
    own = engine()
    with own.begin() as conn:
        conn.execute(text("drop table if exists changed"))
        conn.execute(text("create table changed (a int primary key, b text)"))
    before = [column.name for column in Table("changed", MetaData(), autoload_with=own).columns]
    with own.begin() as conn:
        conn.execute(text("alter table changed add c int default 3"))
    return [before, [column.name for column in Table("changed", MetaData(), autoload_with=own).columns]]


def case_transactions():
    own = engine()
    seen = []
    with own.begin() as conn:
        conn.execute(text("drop table if exists kept"))
        conn.execute(text("create table kept (n int)"))
    with own.connect() as conn:
        strict = conn.execution_options(isolation_level="SERIALIZABLE", postgresql_readonly=True)
        seen.append(list(strict.execute(text("show transaction_isolation")).one()))
        seen.append(outcome(strict.execute, text("insert into kept values (1)")))
        strict.rollback()
    with own.begin() as conn:
        conn.execute(text("insert into kept values (2)"))
        nested = conn.begin_nested()
        conn.execute(text("insert into kept values (3)"))
        nested.rollback()
    with own.connect() as conn:
        seen.append(list(conn.execute(text("show transaction_isolation")).one()))
        seen.append(list(conn.execute(text("select sum(n)::int from kept")).one()))
    return seen


def case_cancel():
    with engine().connect() as conn:
        conn.execute(text("set local statement_timeout = '100ms'"))
        seen = [outcome(conn.execute, text("select pg_sleep(30)"))]
        conn.rollback()
        return seen + [list(conn.execute(text("select 1")).one())]


def case_batch():
    own, data = engine(), MetaData()
    many = Table("many", data, Column("id", Integer, primary_key=True), Column("word", Text))
    data.drop_all(own)
    data.create_all(own)
    with own.begin() as conn:
        conn.execute(many.insert(), [{"word": f"w{n}"} for n in range(500)])
    with own.connect() as conn:
        again = outcome(conn.execute, many.insert(), [{"id": 9_000, "word": "new"}, {"id": 1, "word": "again"}])
        conn.rollback()
        return [again, conn.execute(select(func.count(), func.max(many.c.id)).select_from(many)).one()._asdict()]


def case_large():
    with engine().connect() as conn:
        rows = conn.execution_options(stream_results=True).execute(text("select generate_series(1, 20000)"))
        count = sum(1 for _ in rows)
        length = conn.execute(text("select length(:t)"), {"t": "x" * 1_000_000}).scalar()
        return [count, length]


def case_errors():
    own = engine()
    with own.begin() as conn:
        conn.execute(text("drop table if exists once"))
        conn.execute(text("create table once (n int primary key)"))
        conn.execute(text("insert into once values (1)"))
    seen = []
    for statement in ["insert into once values (1)", "selekt", "select * from nowhere", "select 1/0"]:
        with own.connect() as conn:
            seen += [outcome(conn.execute, text(statement)), outcome(conn.execute, text("select 1"))]
    return [value if isinstance(value, str) else "rows" for value in seen]


if __name__ == "__main__":
    os.environ.setdefault("PGSSLMODE", "disable")
    report.run(sys.modules[__name__])
