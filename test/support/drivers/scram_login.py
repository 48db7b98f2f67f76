"""Logs in with each connection string of the standard input, by psycopg or asyncpg, and prints who the server says it is, or the error."""

import asyncio
import json
import sys


def by_psycopg(conninfo):
    import psycopg

    with psycopg.connect(conninfo, connect_timeout=20) as connection:
        return connection.execute("select session_user").fetchone()[0]


def by_asyncpg(arguments):
    import asyncpg

    async def log_in():
        connection = await asyncpg.connect(**json.loads(arguments))
        try:
            return await connection.fetchval("select session_user")
        finally:
            await connection.close()

    return asyncio.run(log_in())


log_in = {"psycopg": by_psycopg, "asyncpg": by_asyncpg}[sys.argv[1]]
for line in sys.stdin:
    try:
        print(json.dumps(log_in(line.strip())))
    except Exception as error:
        print(json.dumps(str(error)))
