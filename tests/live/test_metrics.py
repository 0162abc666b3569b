"""Prometheus text and the server on loopback."""

import socket
import threading
import urllib.error
import urllib.request

import pytest
from prometheus_client.parser import text_string_to_metric_families

from spps.tools.errors import ToolError
from spps_sim.live.metrics import MetricsServer, metrics_text
from tests.live.env_live import Env


def families(text):
    return {family.name: family for family in text_string_to_metric_families(text)}


def samples(family):
    return {sample.labels["unit"]: sample.value for sample in family.samples}


def test_counters_and_status_of_both_units():
    env = Env()
    env.pair.values[0] |= {"lookup_hits": 7, "in_use": 3}
    env.pair.values[1] |= {"lookup_hits": 9}
    text = metrics_text(env)
    found = families(text)
    assert found["spps_lookup_hits"].type == "counter" and samples(found["spps_lookup_hits"]) == {"0": 7, "1": 9}
    assert 'spps_lookup_hits_total{unit="0"} 7.0' in text
    assert found["spps_in_use"].type == "gauge" and samples(found["spps_in_use"]) == {"0": 3, "1": 0}
    assert found["spps_in_use"].documentation == "connections"
    assert samples(found["spps_connections"]) == {"0": 16, "1": 16} and samples(found["spps_up"]) == {"0": 1, "1": 1}
    assert all(family.documentation for family in found.values()), "each has a HELP text"


def test_a_stopped_unit_is_down_and_has_no_values():
    env = Env()
    env.kill("0")
    found = families(metrics_text(env))
    assert samples(found["spps_up"]) == {"0": 0, "1": 1} and list(samples(found["spps_in_use"])) == ["1"]
    env.kill("1")
    assert samples(families(metrics_text(env))["spps_up"]) == {"0": 0, "1": 0}


def test_keys_never_appear():
    env = Env()
    env.pair.values[0] |= dict.fromkeys(("secret_0", "secret_1", "cfg_secret", "cfg_secret_high"), 0xC0FFEE)
    text = metrics_text(env)
    assert "secret" not in text and str(0xC0FFEE) not in text


def scraped(server, path="/metrics"):
    """(status, content type, text) of a GET, while this thread plays the loop of `spps live`."""
    answer = []

    def ask():
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{server.port}{path}", timeout=20) as response:
                answer.append((response.status, response.headers["Content-Type"], response.read().decode()))
        except urllib.error.HTTPError as error:
            answer.append((error.code, "", error.read().decode()))

    thread = threading.Thread(target=ask)
    thread.start()
    while thread.is_alive():
        server.serve()
        thread.join(0.01)
    return answer[0]


def test_the_server_answers_on_loopback_only():
    env = Env()
    with MetricsServer(lambda: metrics_text(env), 0) as server:
        status, kind, text = scraped(server)
        assert (
            status == 200
            and kind.startswith("text/plain; version=0.0.4")
            and samples(families(text)["spps_active"]) == {"0": 1, "1": 0}
        )
        assert scraped(server, "/other")[0] == 404
        assert server._server.server_address[0] == "127.0.0.1"
        with (
            pytest.raises(ToolError, match=f"metrics: port {server.port} of 127.0.0.1"),
            MetricsServer(str, server.port),
        ):
            pass
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", server.port), 1)


def test_an_idle_client_does_not_hold_the_loop():
    with MetricsServer(lambda: "", 0) as server, socket.create_connection(("127.0.0.1", server.port)):
        server.serve()
        assert scraped(server)[0] == 200


def test_what_fails_is_said_to_the_scraper():
    def fail():
        raise ToolError("not now")

    with MetricsServer(fail, 0) as server:
        status, _, text = scraped(server)
        assert status == 503 and "not now" in text
