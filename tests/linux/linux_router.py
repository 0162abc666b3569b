"""A Linux router between the pair and a Linux host, with a smaller MTU on its second link."""
from contextlib import ExitStack

from spps_sim.network.namespaces import Namespace

__all__ = ["Behind"]


class Behind:
    """A host behind one of the testbed's namespaces, which forwards to it over a link of `mtu` bytes.

    A context manager. The host announces the MSS of a link of 1500 bytes, so that whoever sends to it learns of the
    smaller link only from the router's ICMP messages. The host itself knows its link.
    """

    def __init__(self, router, network, mtu):
        self.router, self.mtu = router, mtu
        self.gateway, self.address = f"10.99.{network}.1", f"10.99.{network}.2"
        self.host = Namespace("host", f"10.98.{network}.2/24")
        self._stack = ExitStack()

    def __enter__(self):
        self._stack.enter_context(self.host)
        router, host = self.router.ip, self.host.ip
        router("link", "add", "far0", "type", "veth", "peer", "name", "near0", "netns", self.host.name)
        self._stack.callback(router, "link", "del", "far0")
        router("addr", "add", f"{self.gateway}/24", "dev", "far0")
        router("link", "set", "far0", "mtu", str(self.mtu), "up")
        host("addr", "add", f"{self.address}/24", "dev", "near0")
        host("link", "set", "near0", "up")
        host("route", "replace", "default", "via", self.gateway, "mtu", str(self.mtu), "advmss", "1460")
        before = self.router.sysctl("ip_forward")
        self.router.sysctl("ip_forward", 1)
        self._stack.callback(self.router.sysctl, "ip_forward", before)
        return self

    def __exit__(self, *details):
        self._stack.close()
