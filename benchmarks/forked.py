"""Runs numbered cases in a forked worker, which may hang, run out of memory or die without harm to the others.

A case hangs when it takes SECONDS of processor time, or WAIT seconds on the clock: a busy machine counts for less.
"""

import json
import os
import resource
import select
import signal
import traceback
from dataclasses import dataclass

from accel.errors import BitloomError

SECONDS, WAIT = 10, 120
MEMORY = 2**31
LONGEST_MESSAGE = 600  # paths of folders are in it
BAD = ("traceback", "message", "hang", "memory", "died")


@dataclass(frozen=True)
class Outcome:
    """accepted, refused, or one of BAD: an error that is none of ours, a message that is none, a hang, more than MEMORY
    bytes, another signal. text: what was said."""

    index: int
    kind: str
    text: str = ""


def outcomes(case, indices, *, warm_up=lambda: None, seconds=SECONDS, wait=WAIT, memory=MEMORY):
    """Yield the Outcome of case(index) for every index, in order.

    warm_up: runs first in every worker, outside the bounds. case returns None, or raises BitloomError where it refuses;
    anything else that it raises is a fault.
    """
    indices = list(indices)
    while indices:
        finished = 0
        for outcome in _in_worker(case, indices, warm_up, seconds, wait, memory):
            finished += 1
            yield outcome
        del indices[:finished]


def _in_worker(case, indices, warm_up, seconds, wait, memory):
    """The outcomes of one worker, up to the first case that ends it."""
    reading, writing = os.pipe()
    worker = os.fork()
    if worker == 0:
        os.close(reading)
        _work(case, indices, warm_up, seconds, memory, writing)
    os.close(writing)
    try:
        pending = b""
        os.read(reading, 1)  # it is warm
        for index in indices:
            while b"\n" not in pending:
                if not select.select([reading], [], [], wait)[0]:
                    yield Outcome(index, "hang", f"took more than {wait} s on the clock")
                    return
                data = os.read(reading, 2**16)
                if not data:
                    yield _ended(index, os.waitstatus_to_exitcode(os.waitpid(worker, 0)[1]), seconds)
                    worker = None
                    return
                pending += data
            line, _, pending = pending.partition(b"\n")
            yield Outcome(index, *json.loads(line))
    finally:
        os.close(reading)
        if worker:
            os.kill(worker, signal.SIGKILL)
            os.waitpid(worker, 0)


def _ended(index, code, seconds):
    if code == -signal.SIGPROF:
        return Outcome(index, "hang", f"took more than {seconds} s of processor time")
    return Outcome(index, "died", f"the process ended with {code}")


def _work(case, indices, warm_up, seconds, memory, writing):
    """The worker: a byte when it is warm, then one line of JSON a case. Never returns."""
    warm_up()
    used = os.sysconf("SC_PAGE_SIZE") * int(open("/proc/self/statm").read().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (used + memory, used + memory))
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(null, stream)
    os.write(writing, b"+")
    for index in indices:
        signal.setitimer(signal.ITIMER_PROF, seconds)
        os.write(writing, json.dumps(_outcome(case, index)).encode() + b"\n")
    os._exit(0)


def _outcome(case, index):
    try:
        case(index)
    except BitloomError as error:
        text = str(error)
        fine = text and "\n" not in text and len(text) <= LONGEST_MESSAGE
        return ("refused" if fine else "message"), text[:1000]
    except MemoryError as error:
        return "memory", _where(error)
    except BaseException as error:  # whatever it is, it must be counted
        return "traceback", _where(error)
    return "accepted", ""


def _where(error):
    """Type, message and place of an error in one line."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f"{frames[-1].filename}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}: {str(error)[:200]} at {place}"
