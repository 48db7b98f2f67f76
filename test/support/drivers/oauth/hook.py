"""Logs in by OAUTHBEARER with libpq's hook for tokens (PQsetAuthDataHook), and prints as which role, or how that was refused."""

import os
import sys

import psycopg

from libpq_token import give_token

if psycopg.pq.version() < 180000:
    sys.exit("no libpq 18 here")

asked = give_token(os.environ["TOKEN"])
try:
    with psycopg.connect(sys.argv[1]) as connection:
        print(connection.execute("select session_user").fetchone()[0])
except psycopg.OperationalError as error:
    print(str(error).strip())
for address, scope in asked:
    print((address or b"").decode(), (scope or b"").decode())
