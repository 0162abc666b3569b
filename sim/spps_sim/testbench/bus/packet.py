"""Packets of `packet_layout(width)` as bytes."""
from spps.layouts.packet import packet_layout

from .stream import pack

__all__ = ["packet_words", "PacketCollector"]


def packet_words(data, width, *, port=0, err=False, fill=0):
    """Return the words of a packet as integers.

    Parameters
    ----------
    data : bytes
        The packet; an empty one is one word.
    width : int
        Bits of a word: 32, 64 or 128.
    port : int
        Port of each word.
    err : bool
        Mark the last word as damaged.
    fill : int
        Value of the unused bytes of the last word.
    """
    layout, n = packet_layout(width), width // 8
    words = []
    for start in range(0, max(len(data), 1), n):
        chunk = bytes(data[start:start + n])
        last = start + n >= len(data)
        empty = n - len(chunk)
        words.append(pack(layout, {"data": int.from_bytes(chunk + bytes([fill]) * empty, "big"), "port": port,
                                   "empty": empty if empty < n else n - 1, "last": last, "err": int(err and last)}))
    return words


class PacketCollector:
    """Callback of a StreamSink with layout packet_layout(width); calls `done(port, data, err)` for each packet.

    Fails when the port changes within a packet. `unused` are the unused bytes of the last word.
    """

    def __init__(self, width, done):
        self.n, self.done = width // 8, done
        self.data, self.port = bytearray(), None
        self.unused = b""

    def __call__(self, word):
        """Take a word as a dict."""
        assert self.port in (None, word["port"]), f"port changed from {self.port} to {word['port']} within a packet"
        self.port = word["port"]
        raw = word["data"].to_bytes(self.n, "big")
        used = self.n - word["empty"] if word["last"] else self.n
        self.data += raw[:used]
        if word["last"]:
            self.unused = raw[used:]
            data, port = bytes(self.data), self.port
            self.data, self.port = bytearray(), None
            self.done(port, data, bool(word["err"]))
