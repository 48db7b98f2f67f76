"""Logs in by OAUTHBEARER with libpq's hook for tokens (PQsetAuthDataHook), and prints as which role, or how that was refused."""

import ctypes
import os
import sys

import psycopg

if psycopg.pq.version() < 180000:
    sys.exit("no libpq 18 here")

PQAUTHDATA_OAUTH_BEARER_TOKEN = 1


class Request(ctypes.Structure):
    """PGoauthBearerRequest of libpq-fe.h."""

    _fields_ = [
        ("openid_configuration", ctypes.c_char_p),
        ("scope", ctypes.c_char_p),
        ("fetch", ctypes.c_void_p),
        ("cleanup", ctypes.c_void_p),
        ("token", ctypes.c_char_p),
        ("user", ctypes.c_void_p),
    ]


def library():
    """The libpq that psycopg has loaded."""
    with open("/proc/self/maps") as maps:
        return next(line.split()[-1] for line in maps if "/libpq" in line)


asked = []
token = os.environ["TOKEN"].encode()


@ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
def give(kind, connection, data):
    if kind != PQAUTHDATA_OAUTH_BEARER_TOKEN:
        return 0
    request = ctypes.cast(data, ctypes.POINTER(Request)).contents
    asked.append((request.openid_configuration, request.scope))
    request.token = token
    return 1


ctypes.CDLL(library()).PQsetAuthDataHook(give)
try:
    with psycopg.connect(sys.argv[1]) as connection:
        print(connection.execute("select session_user").fetchone()[0])
except psycopg.OperationalError as error:
    print(str(error).strip())
for address, scope in asked:
    print((address or b"").decode(), (scope or b"").decode())
