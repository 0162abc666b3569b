"""What must hold when a connection need not survive, and when it must."""

__all__ = ["lost_streams", "promised"]


def promised(promises):
    """Return whether a connection must survive: the active said that it was protected before each failure.

    Parameters
    ----------
    promises : list of dict
        What CaseRun.said() returned before each.
    """
    return all(said["protected"] for said in promises)


def lost_streams(connection, expected):
    """Yield what is wrong with a connection that may end early: a wrong byte, a false end, no end.

    Parameters
    ----------
    connection : TcpConnection
        At the end, after it was made to speak.
    expected : bytes
        What the other peer sends.
    """
    got = bytes(connection.received)
    if expected[:len(got)] != got:
        same = next(i for i, (a, b) in enumerate(zip(got + b"\0", expected + b"\0")) if a != b or i == len(got) - 1)
        yield f"received {len(got)} bytes, of which {same} are right"
    if connection.queue.conflicts:
        yield f"byte {connection.queue.conflicts[0][0]} came with two values"
    if len(connection.fin_numbers) > 1:
        yield f"FIN numbers {sorted(connection.fin_numbers)}; expected at most one"
    if connection.fin_taken and got != expected:
        yield f"a FIN after {len(got)} of {len(expected)} bytes"
    if connection.state.name != "CLOSED":
        yield f"still {connection.state.name}: neither RST nor timeout has ended it"
