"""Reference model of the announcer: which gratuitous ARP packets a unit sends, and when.

Source: RFC 5227 §2.3 (a request with our address as sender and target, target MAC address 0), RFC 5944 §4.6 (the same
as a reply, target MAC address ours), RFC 826.
"""
from ..peers.frames import BROADCAST, Arp, arp_frame

__all__ = ["AnnouncerModel"]

REQUEST, REPLY = 1, 2


class AnnouncerModel:
    """Announcements of one unit.

    Parameters
    ----------
    mac : bytes
        Our MAC address.
    count, interval : int
        Registers announce_count, announce_interval.

    Attributes
    ----------
    vips : list of two int
        Our addresses; 0: none.
    active, enable : bool
        The role, and whether frames may leave.
    """

    def __init__(self, mac, count, interval):
        self.mac, self.count, self.interval = mac, count, interval
        self.vips, self.active, self.enable, self.now = [0, 0], False, False, 0
        self._sent = [0, 0]         # announcements since the unit became active
        self._since: list[int | None] = [None, None]

    def set_active(self, active):
        """Take a change of the role."""
        if active and not self.active:
            self._sent = [0, 0]
            self._since = [None, None]
        self.active = active

    def due(self):
        """Return the frames that leave now: [(network, frame)], in order on each network."""
        frames = []
        for network, vip in enumerate(self.vips):
            since = self._since[network]
            if (self.active and self.enable and vip and self._sent[network] < self.count
                    and (since is None or self.now - since >= self.interval)):
                self._sent[network] += 1
                self._since[network] = self.now
                frames += [(network, arp_frame(BROADCAST, Arp(operation, self.mac, vip, target, vip)))
                           for operation, target in ((REQUEST, bytes(6)), (REPLY, self.mac))]
        return frames
