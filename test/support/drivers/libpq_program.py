"""Cancels statements by each function of libpq 18, over each way to connect: a JSON line for each combination that the arguments name."""

import ctypes
import json
import sys
import threading
import time

import psycopg

POLLING_FAILED, POLLING_OK = 0, 3


def library():
    """The libpq that psycopg has loaded."""
    with open("/proc/self/maps") as maps:
        return ctypes.CDLL(next(line.split()[-1] for line in maps if "/libpq" in line))


libpq = library()
for name in ["PQcancelCreate", "PQgetCancel"]:
    getattr(libpq, name).restype = ctypes.c_void_p
libpq.PQsslAttribute.restype = ctypes.c_char_p
libpq.PQcancelErrorMessage.restype = ctypes.c_char_p


def encryption(pointer):
    used = bool(libpq.PQsslInUse(pointer))
    alpn = libpq.PQsslAttribute(pointer, b"alpn") if used else None
    return {"tls": used, "alpn": alpn.decode() if alpn else None}


def blocking(cancel):
    return bool(libpq.PQcancelBlocking(cancel))


def polled(cancel):
    if not libpq.PQcancelStart(cancel):
        return False
    while True:
        state = libpq.PQcancelPoll(cancel)
        if state in (POLLING_OK, POLLING_FAILED):
            return state == POLLING_OK
        time.sleep(0.005)


def by_connection(send):
    """By a connection of its own, encrypted as that of the session (libpq 17 and later)."""

    def run(pointer, _):
        cancel = ctypes.c_void_p(libpq.PQcancelCreate(pointer))
        try:
            return {"sent": send(cancel), "error": libpq.PQcancelErrorMessage(cancel).decode().strip()}
        finally:
            libpq.PQcancelFinish(cancel)

    return run


def old(pointer, _):
    """PQcancel: never encrypted."""
    cancel = ctypes.c_void_p(libpq.PQgetCancel(pointer))
    text = ctypes.create_string_buffer(256)
    try:
        return {"sent": bool(libpq.PQcancel(cancel, text, 256)), "error": text.value.decode().strip()}
    finally:
        libpq.PQfreeCancel(cancel)


def safe(_, connection):
    """As psycopg's users do it."""
    connection.cancel_safe(timeout=20)
    return {"sent": True}


WAYS = {
    "PQcancelBlocking": by_connection(blocking),
    "PQcancelStart": by_connection(polled),
    "PQcancel": old,
    "cancel_safe": safe,
}


def running(connection, mark, watch):
    """Waits until the server runs it."""
    text = "select count(*) from pg_stat_activity where state = 'active' and query like %s"
    while watch.execute(text, ["select pg_sleep%" + mark + "%"]).fetchone() == (0,):
        time.sleep(0.005)


def cancelled(connection, watch, mark, cancel):
    """What becomes of a statement that takes ten seconds."""
    outcome = []

    def work():
        try:
            connection.execute("select pg_sleep(10) /* " + mark + " */")
            outcome.append("done")
        except psycopg.Error as error:
            outcome.append(error.sqlstate)

    thread = threading.Thread(target=work)
    thread.start()
    running(connection, mark, watch)
    pointer = ctypes.c_void_p(connection.pgconn.pgconn_ptr)
    said = cancel(pointer, connection)
    if not said["sent"]:
        watch.execute("select pg_cancel_backend(pid) from pg_stat_activity where query like %s and pid <> pg_backend_pid()", ["%" + mark + "%"])
        said["stopped"] = "by SQL"
    thread.join()
    return {**said, "outcome": outcome[0], "afterwards": connection.execute("select 1").fetchone()[0]}


def tried(address, watch, mark, way):
    try:
        with psycopg.connect(address, autocommit=True) as connection:
            pgconn = connection.pgconn
            said = {
                "protocol": libpq.PQfullProtocolVersion(ctypes.c_void_p(pgconn.pgconn_ptr)),
                **encryption(ctypes.c_void_p(pgconn.pgconn_ptr)),
            }
            return {**said, "cancel": cancelled(connection, watch, mark, WAYS[way])}
    except psycopg.OperationalError as error:
        return {"refused": str(error).strip().splitlines()[-1]}


with psycopg.connect(sys.argv[1], autocommit=True) as watch:
    for line in sys.stdin:
        case = json.loads(line)
        print(json.dumps(tried(case["address"], watch, case["mark"], case["way"])), flush=True)
