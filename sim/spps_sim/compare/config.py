"""What HAProxy and keepalived are told: TCP mode, one virtual address, VRRP version 3.

Source: RFC 5798, and the configuration manual of HAProxy 2.6.
"""
import math

__all__ = ["PROBE_PORT", "SERVER", "TRANSFER_PORT", "VIP", "haproxy_config", "keepalived_config", "proxy_addresses"]

VIP, CLIENT, SERVER = "10.77.1.1", "10.77.1.2", "10.77.2.2"
TRANSFER_PORT, PROBE_PORT = 5001, 5002
PRIORITIES = (150, 100)         # of the proxy that is active first, and of the other


def proxy_addresses(number):
    """The proxy's own addresses on the client's and on the server's network."""
    return tuple(f"10.77.{network}.{11 + number}" for network in (1, 2))


def haproxy_config():
    """A proxy of two ports of the virtual address; it sets no timeout that could end a transfer.

    Returns
    -------
    str
        haproxy.cfg, the same for both proxies.
    """
    services = "".join(f"""
listen {name}
    bind {VIP}:{port}
    server server {SERVER}:{port}
""" for name, port in (("transfer", TRANSFER_PORT), ("probe", PROBE_PORT)))
    return f"""defaults
    mode tcp
    timeout connect 5s
    timeout client 1h
    timeout server 1h
{services}"""


def keepalived_config(number, advert):
    """The virtual address by VRRP on the client's network.

    Parameters
    ----------
    number : int
        0: the proxy that is active first; 1: the other.
    advert : float
        Interval of advertisements in seconds; VRRP counts hundredths.

    Returns
    -------
    str
        keepalived.conf.

    Raises
    ------
    ValueError
        When the interval is not from 0.01 to 40.95 s.
    """
    hundredths = round(100 * advert) if math.isfinite(advert) else 0
    if not 1 <= hundredths <= 4095 or not math.isclose(hundredths, 100 * advert, abs_tol=1e-6):
        raise ValueError(f"advert={advert}: must be from 0.01 to 40.95 s, in hundredths")
    return f"""global_defs {{
    router_id proxy{number}
    vrrp_version 3
}}
vrrp_instance clients {{
    interface net0
    state {("MASTER", "BACKUP")[number]}
    virtual_router_id 1
    priority {PRIORITIES[number]}
    advert_int {hundredths / 100:g}
    virtual_ipaddress {{
        {VIP}/24 dev net0
    }}
}}
"""
