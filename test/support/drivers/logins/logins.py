"""Logs in with psycopg or asyncpg in each way that standard input names: a JSON line for each."""

import asyncio
import ctypes
import json
import ssl
import sys


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


kept = []


def give_token(token):
    """libpq's hook for programs that have a token at hand (PQsetAuthDataHook)."""

    class Request(ctypes.Structure):
        _fields_ = [
            ("openid_configuration", ctypes.c_char_p),
            ("scope", ctypes.c_char_p),
            ("fetch", ctypes.c_void_p),
            ("cleanup", ctypes.c_void_p),
            ("token", ctypes.c_char_p),
            ("user", ctypes.c_void_p),
        ]

    @ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
    def give(kind, _, data):
        if kind != 1:
            return 0
        ctypes.cast(data, ctypes.POINTER(Request)).contents.token = token.encode()
        return 1

    kept.append(give)
    with open("/proc/self/maps") as maps:
        library = next(line.split()[-1] for line in maps if "/libpq" in line)
    ctypes.CDLL(library).PQsetAuthDataHook(give)


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
