"""Logs in with psycopg or asyncpg in each way that standard input names: a JSON line for each."""

import asyncio
import json
import os
import ssl
import sys

sys.path.append(os.path.join(os.path.dirname(__file__), "..", "oauth"))
from libpq_token import give_token  # noqa: E402


def psycopg_login(place):
    import psycopg

    address = {
        "host": "localhost",
        "hostaddr": "127.0.0.1",
        "port": place["port"],
        "dbname": "orders",
        "user": place["user"],
        "sslmode": "verify-full",
        "sslrootcert": place["ca"],
    }
    if place["way"] == "certificate":
        address.update(sslcert=place["cert"], sslkey=place["key"])
    elif place["way"] == "oauthbearer" and psycopg.pq.version() >= 180000:
        give_token(place["password"])
        address.update(oauth_issuer=place["issuer"], oauth_client_id="any")
    else:
        address.update(password=place["password"])
    if place["way"] == "channel binding":
        address.update(channel_binding="require")
    if place["way"] == "scram" and psycopg.pq.version() >= 160000:
        address.update(require_auth="scram-sha-256")
    with psycopg.connect(**address) as connection:
        return connection.execute("select session_user").fetchone()[0]


async def asyncpg_login(place):
    import asyncpg

    if place["way"] == "channel binding":
        raise RuntimeError("it has none")
    context = ssl.create_default_context(cafile=place["ca"])
    if place["way"] == "certificate":
        context.load_cert_chain(place["cert"], place["key"])
    connection = await asyncpg.connect(
        host="localhost",
        port=place["port"],
        database="orders",
        user=place["user"],
        password=place.get("password"),
        ssl=context,
    )
    try:
        return await connection.fetchval("select session_user")
    finally:
        await connection.close()


def login(place):
    return psycopg_login(place) if sys.argv[1] == "psycopg" else asyncio.run(asyncpg_login(place))


def version():
    if sys.argv[1] == "asyncpg":
        import asyncpg

        return asyncpg.__version__
    import psycopg

    number = psycopg.pq.version()
    return f"{psycopg.__version__} with libpq {number // 10000}.{number % 10000}"


print(json.dumps({"version": version()}))
for place in json.load(sys.stdin):
    try:
        print(json.dumps({"way": place["way"], "role": login(place)}))
    except Exception as error:
        print(json.dumps({"way": place["way"], "error": str(error)}))
