"""A function called in a fork of this process: what it does to the simulation is forgotten, what it returns is not.

In the child only the thread lives that has called fork(); a lock that another one held stays locked for ever. So a
process with more threads, as a Dask worker is, starts one of its own for each shard (`pool`), and that one refuses to
run with more than one thread (`shard.main`).
"""
import json
import os
from pathlib import Path

__all__ = ["ChildLost", "in_fork", "threads"]


class ChildLost(RuntimeError):
    """The child raised an exception or ended without a result; the message says which."""


def threads():
    """Return the number of threads of this process, those of libraries included."""
    tasks = Path("/proc/self/task")
    return len(list(tasks.iterdir())) if tasks.exists() else 1


def in_fork(function):
    """Return what function() returns in a fork of this process, through JSON.

    Raises
    ------
    ChildLost
        When it raises, or when the child ends without a result.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        try:
            said = {"result": function()}
        except BaseException as error:      # the parent decides what it means
            said = {"error": f"{type(error).__name__}: {error}"}
        with os.fdopen(writer, "wb") as pipe:
            pipe.write(json.dumps(said).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        received = pipe.read()
    _, status = os.waitpid(child, 0)
    if status or not received:
        raise ChildLost(f"the simulation ended with wait status {status}")
    said = json.loads(received)
    if "error" in said:
        raise ChildLost(said["error"])
    return said["result"]
