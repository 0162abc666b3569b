"""The connections of a running unit, from its flowstate memory, which `flowstate_address` and `flowstate_data` show."""
from dataclasses import asdict, dataclass

from spps.layouts.flowstate import EPOCH_BITS, LEG, LEG_BASE, LEG_STRIDE, SHARED, ConnFlag
from spps.tools.errors import ToolError

__all__ = ["Connection", "Leg", "decode", "read_connections", "connections_text"]

#: WS.misc of common.uasm: the connection is over, its keys are gone
GONE = 10
#: L.state of common.uasm
SYN_SENT, SYN_HELD, SYN_RCVD, ESTABLISHED = 1, 2, 3, 4
#: L.leg_flags of common.uasm
FIN_IN, FIN_OUT, FIN_ACKED = 0, 1, 2

_MASK = 0xFFFFFFFF
_CHUNK = 8              # connections between two turns of the testbed
#: words that are read, (first, how many): of the connection, and of a leg
_SHARED_RUNS = ((0, 8), (SHARED["misc"].word, 1))
_LEG_RUNS = ((0, 10), (LEG["snd_una"].word, 2), (LEG["leg_flags"].word, 1), (LEG["state"].word, 1))


@dataclass(frozen=True)
class Leg:
    """One TCP connection of the unit.

    local, remote: "address:port". state: in words of RFC 9293 §3.3.2; ", paused" if the peer is told a closed window,
    because the far end takes nothing.
    """

    local: str
    remote: str
    state: str


@dataclass(frozen=True)
class Connection:
    """A connection of a unit.

    number: its local flow id. client, server: legs; `server` is None for an endpoint of the unit itself.
    protected: the standby has it. bytes_up: payload from the client that the server has acknowledged, for an endpoint
    what the unit has received. bytes_down: payload that the client has acknowledged. Both are modulo 2**32.
    """

    number: int
    client: Leg
    server: "Leg | None"
    protected: bool
    bytes_up: int
    bytes_down: int


def _field(words, field, base=0):
    return words.get(base + field.word, 0) >> field.lsb & (1 << field.width) - 1


def _state(words, base, flags):
    """State of a leg. CLOSING is LAST-ACK here: which FIN came first is not kept."""
    state, fins = _field(words, LEG["state"], base), _field(words, LEG["leg_flags"], base)
    if state != ESTABLISHED:
        return {SYN_SENT: "SYN-SENT", SYN_HELD: "SYN-RECEIVED", SYN_RCVD: "SYN-RECEIVED"}.get(state, "CLOSED")
    received, sent, acked = fins >> FIN_IN & 1, fins >> FIN_OUT & 1, fins >> FIN_ACKED & 1
    if flags >> ConnFlag.TIME_WAIT & 1 or received and sent and acked:
        return "TIME-WAIT"
    if sent:
        return "LAST-ACK" if received else "FIN-WAIT-2" if acked else "FIN-WAIT-1"
    return "CLOSE-WAIT" if received else "ESTABLISHED"


def _address(number, port):
    return ".".join(str(number >> shift & 0xFF) for shift in (24, 16, 8, 0)) + f":{port}"


def _leg(words, base, flags, paused):
    local, remote = (_address(_field(words, LEG[f"{side}_ip"], base), _field(words, LEG[f"{side}_port"], base))
                     for side in ("local", "remote"))
    return Leg(local, remote, _state(words, base, flags) + ", paused" * (flags >> paused & 1))


def _moved(reached, initial, fin):
    """Payload bytes from the SYN `initial` up to `reached`; fin: bytes in front of the FIN of that stream, or None."""
    moved = reached - initial - 1 & _MASK
    if moved == _MASK:          # not even the SYN is acknowledged
        return 0
    return moved if fin is None or moved <= fin else fin


def decode(number, words, epoch, joins=None):
    """Connection `number` from {word: value} of its flowstate, or None when there is none.

    epoch: of the unit. A flowstate of another epoch belongs to a connection that was over before this unit became
    active, or to one that the takeover has not reached yet. joins: register `joins` of the unit, None while it has no
    standby. A flowstate with another number has been written before that standby joined.
    """
    flags = _field(words, SHARED["flags"])
    opened, gone = flags & (1 << ConnFlag.VALID | 1 << ConnFlag.PROXIED), _field(words, SHARED["misc"]) >> GONE & 1
    since = _field(words, SHARED["epoch"])      # CSR epoch at the last event
    if not opened or gone or since & (1 << EPOCH_BITS) - 1 != epoch:
        return None
    bases = LEG_BASE, LEG_BASE + LEG_STRIDE
    proxied = flags >> ConnFlag.PROXIED & 1
    fins = [_field(words, SHARED[f"fin_seq_{leg}"]) - _field(words, LEG["irs"], bases[leg]) - 1 & _MASK
            if flags >> known & 1 else None for leg, known in enumerate((ConnFlag.FIN_KNOWN_0, ConnFlag.FIN_KNOWN_1))]
    iss = [_field(words, LEG["iss"], base) for base in bases]
    if proxied and flags >> ConnFlag.VALID & 1:
        up = _moved(_field(words, SHARED["snd_una_1"]), iss[1], fins[0])
        down = _moved(_field(words, SHARED["snd_una_0"]), iss[0], fins[1])
    elif proxied:
        up = down = 0           # the server has not accepted yet
    else:
        received, sent = (_field(words, LEG["leg_flags"], LEG_BASE) >> bit & 1 for bit in (FIN_IN, FIN_ACKED))
        up = _moved(_field(words, LEG["rcv_nxt"], LEG_BASE) - received, _field(words, LEG["irs"], LEG_BASE), None)
        down = _moved(_field(words, LEG["snd_una"], LEG_BASE) - sent, iss[0], None)
    server = _leg(words, bases[1], flags, ConnFlag.PAUSED_1) if proxied else None
    return Connection(number, _leg(words, bases[0], flags, ConnFlag.PAUSED_0), server,
                      bool(flags >> ConnFlag.PROTECTED & 1) and since >> EPOCH_BITS == joins, up, down)


def _words(sim, unit, number, runs, base=0):
    words = {}
    for first, count in runs:
        sim.write(unit, "flowstate_address", number << 7 | base + first)
        words |= {base + first + k: sim.read(unit, "flowstate_data") for k in range(count)}
    return words


def read_connections(testbed):
    """(unit, [Connection]) of the active unit. Makes turns meanwhile, so that traffic goes on.

    The state of a connection is that after its last event. Words that a core writes back meanwhile may be read half
    old, half new. Raises ToolError when no unit is active, or another one has become so meanwhile.
    """
    unit = testbed.unit("active")
    epoch = testbed.sim.read(unit, "epoch")
    joins = testbed.sim.read(unit, "joins") if testbed.sim.read(unit, "joined") else None
    found = []
    for number in range(testbed.params.connections):
        words = _words(testbed.sim, unit, number, _SHARED_RUNS)
        if decode(number, words, epoch):
            for base in (LEG_BASE, LEG_BASE + LEG_STRIDE):
                words |= _words(testbed.sim, unit, number, _LEG_RUNS, base)
            found.append(decode(number, words, epoch, joins))
        if number % _CHUNK == _CHUNK - 1:
            testbed.turn()
            if testbed.active() != unit:
                raise ToolError(f"unit {unit} is no longer active: ask again")
    return unit, found


def connections_answer(testbed):
    """What `spps ctl connections` shows, as a dict for JSON."""
    unit, found = read_connections(testbed)
    return {"unit": unit, "in_use": testbed.sim.read(unit, "in_use"), "limit": testbed.params.connections,
            "cycle": testbed.sim.cycle, "connections": [asdict(connection) for connection in found]}


def connections_text(answer):
    """The table of `spps ctl connections`: the client leg as remote > local, the server leg as local > remote."""
    lines = [f"unit {answer['unit']}: {answer['in_use']} of {answer['limit']} connections in use; the state of each is "
             "that after its last event"]
    rows = [("id", "client leg", "state", "server leg", "state", "protected", "bytes up", "bytes down")]
    for c in answer["connections"]:
        client, server = c["client"], c["server"]
        rows.append((str(c["number"]), f"{client['remote']} > {client['local']}", client["state"],
                     f"{server['local']} > {server['remote']}" if server else "endpoint",
                     server["state"] if server else "", "yes" if c["protected"] else "no", str(c["bytes_up"]),
                     str(c["bytes_down"])))
    if len(rows) > 1:
        widths = [max(map(len, column)) for column in zip(*rows)]
        lines += ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]
    return "\n".join(lines)
