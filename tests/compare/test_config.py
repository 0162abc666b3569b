"""What HAProxy and keepalived are told."""
import re

import pytest

from spps_sim.compare.config import VIP, haproxy_config, keepalived_config, proxy_addresses
from spps_sim.network.testbed import Addresses


def test_both_proxies_serve_the_virtual_address_of_the_demo_in_tcp_mode():
    text = haproxy_config()
    assert "    mode tcp\n" in text and VIP == Addresses.vip[0]
    assert re.findall(r"bind (\S+)\n    server server (\S+)", text) == [
        ("10.77.1.1:5001", "10.77.2.2:5001"), ("10.77.1.1:5002", "10.77.2.2:5002")]
    assert "check" not in text, "no health check takes the server away while a machine is busy"


def test_the_first_proxy_is_active_and_the_other_waits():
    first, second = (keepalived_config(number, 1.0) for number in (0, 1))
    assert "state MASTER" in first and "state BACKUP" in second
    priorities = [int(re.search(r"priority (\d+)", text)[1]) for text in (first, second)]
    assert priorities[0] > priorities[1]
    for text in (first, second):
        assert f"{VIP}/24 dev net0" in text and "vrrp_version 3" in text and "virtual_router_id 1\n" in text
        assert text.count("{") == text.count("}")


@pytest.mark.parametrize("advert, said", [(1.0, "1"), (0.1, "0.1"), (0.01, "0.01"), (40.95, "40.95"), (0.07, "0.07")])
def test_the_interval_of_advertisements(advert, said):
    assert f"    advert_int {said}\n" in keepalived_config(0, advert)


@pytest.mark.parametrize("advert", [0, -1.0, 0.005, 0.014, 41, float("inf"), float("nan")])
def test_an_interval_that_vrrp_cannot_tell_is_refused(advert):
    with pytest.raises(ValueError, match="must be from 0.01 to 40.95 s, in hundredths"):
        keepalived_config(0, advert)


def test_all_addresses_differ():
    used = [VIP, Addresses.client, Addresses.server, *proxy_addresses(0), *proxy_addresses(1)]
    assert len(set(used)) == len(used)
