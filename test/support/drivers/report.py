"""Runs the cases of a driver's program one after the other, and prints what each of them gave as a line of JSON."""

import asyncio
import inspect
import json
import os
import sys
import traceback

PATIENCE = 60


async def run_cases(module):
    """Every function of the module whose name begins with `case_`, or those that are named as arguments."""
    names = sys.argv[1:] or [name for name in vars(module) if name.startswith("case_")]
    for name in names:
        function = getattr(module, name)
        try:
            result = function()
            if inspect.isawaitable(result):
                result = await asyncio.wait_for(result, PATIENCE)
            outcome = {"result": result}
        except BaseException:
            outcome = {"error": traceback.format_exc(limit=-4)}
        print(json.dumps({"case": name.removeprefix("case_"), **outcome}), flush=True)


def run(module):
    """For the end of a program."""
    asyncio.run(run_cases(module))


def clients(default=20):
    """How many clients a case of many shall have."""
    return int(os.environ.get("CLIENTS", default))
