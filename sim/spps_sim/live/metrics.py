"""The registers of a running pair for Prometheus: text exposition format 0.0.4, and a server on loopback."""
import http.server
import queue
import socket
import sys
import threading
from http import HTTPStatus

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from spps.tools.errors import ToolError

from .registers import LiveRegisters

__all__ = ["MetricsServer", "check_port", "metrics_text"]

TIMEOUT_S = 30      # of a scrape: the pair is simulated between accesses


class _Families:
    """A collector of families that are there already."""

    def __init__(self, families):
        self.families = families

    def collect(self):
        return self.families


def metrics_text(testbed):
    """Status and counters of the running units as Prometheus text: `spps_<register>{unit="0"}`, counters with `_total`.

    `spps_up` says which units run; it is there also when none does. Keys and configuration are left out.
    """
    registers, running = LiveRegisters(testbed), testbed.running()
    up = GaugeMetricFamily("spps_up", "1: the unit runs, 0: it has been killed or frozen", labels=["unit"])
    for unit in (0, 1):
        up.add_metric([str(unit)], int(unit in running))
    families, by_name = [up], {}
    for _, register in registers.map.of("ro", "counter"):
        family = CounterMetricFamily if register.access == "counter" else GaugeMetricFamily
        text = register.doc or register.name.replace("_", " ")
        by_name[register.name] = family(f"spps_{register.name}", text, labels=["unit"])
    limit = GaugeMetricFamily("spps_connections", "connections that a unit can hold", labels=["unit"])
    for unit in running:
        limit.add_metric([str(unit)], testbed.params.connections)
        for name, value in registers.read_all(unit, ("ro", "counter")).items():
            if isinstance(value, int):          # a key is not
                by_name[name].add_metric([str(unit)], value)
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Families([*families, limit, *by_name.values()]))
    return generate_latest(registry).decode()


def check_port(port):
    """Refuse a port of 127.0.0.1 that is taken. Raises ToolError with one line."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise ToolError(f"metrics: port {port} of 127.0.0.1: {error.strerror}") from error


class _Server(http.server.ThreadingHTTPServer):
    """A client that goes away is no event of the pair."""

    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], (ConnectionError, TimeoutError)):
            super().handle_error(request, client_address)


class MetricsServer:
    """Serves `http://127.0.0.1:PORT/metrics`; use as a context manager.

    A thread takes requests; `serve`, in the loop that steps the simulation, answers them. The server listens on
    loopback only.

    Parameters
    ----------
    render : callable
        Returns the text.
    port : int
        TCP port; 0 takes a free one, which `port` then says.
    """

    def __init__(self, render, port):
        self.render, self.port = render, port
        self._waiting = queue.SimpleQueue()

    def __enter__(self):
        waiting = self._waiting

        class Handler(http.server.BaseHTTPRequestHandler):
            timeout = TIMEOUT_S

            def do_GET(self):
                if self.path.split("?")[0] != "/metrics":
                    self.send_error(HTTPStatus.NOT_FOUND, "the metrics are at /metrics")
                    return
                answer = queue.SimpleQueue()
                waiting.put(answer)
                try:
                    text = answer.get(timeout=TIMEOUT_S)
                except queue.Empty:
                    self.send_error(HTTPStatus.SERVICE_UNAVAILABLE, f"no answer in {TIMEOUT_S} s")
                    return
                if isinstance(text, ToolError):
                    self.send_error(HTTPStatus.SERVICE_UNAVAILABLE, str(text))
                    return
                body = text.encode()
                self.send_response(HTTPStatus.OK)
                self.send_header("Content-Type", CONTENT_TYPE_PLAIN_0_0_4)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                """Nothing: the terminal is for events."""

        try:
            self._server = _Server(("127.0.0.1", self.port), Handler)
        except OSError as error:
            raise ToolError(f"metrics: port {self.port} of 127.0.0.1: {error.strerror}") from error
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()

    def serve(self):
        """Answer the scrapes that wait."""
        waiting = []
        while not self._waiting.empty():
            waiting.append(self._waiting.get())
        if not waiting:
            return
        try:
            text = self.render()
        except ToolError as error:
            text = error
        for answer in waiting:
            answer.put(text)
