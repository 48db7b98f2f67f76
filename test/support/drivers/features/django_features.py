"""Django with psycopg2 as its users write it, one function for each column of the table of drivers."""

import os
import sys
from pathlib import Path

import django
import psycopg2
from django.conf import settings

sys.path.insert(0, str(Path(__file__).parent.parent))
import report  # noqa: E402


def database(**options):
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": os.environ["PGDATABASE"],
        "USER": os.environ["PGUSER"],
        "PASSWORD": os.environ["PGPASSWORD"],
        "HOST": os.environ["PGHOST"],
        "PORT": os.environ["PGPORT"],
        "CONN_MAX_AGE": None,
        "OPTIONS": options,
    }


SCHEMA = "-c search_path=app -c statement_timeout=7s -c work_mem=3MB"
# The programs run in the loop of report.py, one case after the other.
os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
settings.configure(
    DATABASES={"default": database(), "app": database(options=SCHEMA)},
    INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth"],
    USE_TZ=True,
    TIME_ZONE="Asia/Tokyo",
)
django.setup()

from django.contrib.auth.models import User  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.db import DatabaseError, connection, connections, transaction  # noqa: E402


def outcome(work, *args):
    try:
        return work(*args)
    except DatabaseError as error:
        return error.__cause__.pgcode


def rows(text, *args, using="default"):
    with connections[using].cursor() as cur:
        cur.execute(text, args or None)
        return [list(row) for row in cur.fetchall()] if cur.description else None


def shown(using, times=5):
    names = ["search_path", "statement_timeout", "TimeZone", "work_mem"]
    return [rows("select " + ", ".join(f"current_setting('{name}')" for name in names), using=using) for _ in range(times)]


def case_version():
    return f"{django.get_version()} with psycopg2 {psycopg2.__version__.split()[0]}"


def case_startup():
    return shown("app")


def case_settings():
    rows("set search_path = public, app")
    rows("set statement_timeout = '7s'")
    rows("set session work_mem = 3072")
    seen = shown("default")
    rows("reset work_mem")
    return seen + shown("default", 1)


def case_prepared():
    """psycopg2 prepares nothing; migrations and models of its own."""
    call_command("migrate", verbosity=0)
    User.objects.all().delete()
    for n in range(5):
        User.objects.create_user(f"user {n}", password=None)
    return list(User.objects.order_by("username").values_list("username", flat=True))


def case_transactions():
    rows("drop table if exists kept")
    rows("create table kept (n int)")
    with transaction.atomic():
        rows("insert into kept values (2)")
        try:
            with transaction.atomic():
                rows("insert into kept values (3)")
                raise KeyError
        except KeyError:
            pass
    with connection.cursor() as cur, transaction.atomic():
        cur.execute("set transaction isolation level serializable read only")
        cur.execute("show transaction_isolation")
        seen = [cur.fetchone()]
    return seen + [rows("show transaction_isolation"), rows("select sum(n)::int from kept")]


def case_cancel():
    def slow():
        with transaction.atomic():
            rows("set local statement_timeout = '100ms'")
            rows("select pg_sleep(30)")

    return [outcome(slow), rows("select 1")]


def case_batch():
    User.objects.all().delete()
    User.objects.bulk_create([User(username=f"many {n}") for n in range(300)])
    again = outcome(User.objects.bulk_create, [User(username="new"), User(username="many 1")])
    return [again, User.objects.count()]


def case_large():
    """A cursor of the server, as its iterators use it outside of a transaction: WITH HOLD."""
    count = sum(1 for _ in User.objects.order_by("id").iterator(chunk_size=50))
    return [count, rows("select length(%s)", "x" * 1_000_000)]


def case_errors():
    rows("drop table if exists once")
    rows("create table once (n int primary key)")
    rows("insert into once values (1)")
    texts = ["insert into once values (1)", "selekt", "select * from nowhere", "select 1/0"]
    seen = [outcome(rows, text) for text in texts]

    def failed():
        with transaction.atomic():
            try:
                rows("select 1/0")
            except DatabaseError:
                pass
            rows("select 1")

    try:
        failed()
    except transaction.TransactionManagementError:
        seen.append("refused")
    except DatabaseError as error:
        seen.append(error.__cause__.pgcode)
    return seen + rows("select count(*) from once")


if __name__ == "__main__":
    report.run(sys.modules[__name__])
