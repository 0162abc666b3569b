"""What `spps live` refuses before it builds anything."""
import socket

import pytest

from spps.tools.errors import ToolError
from spps_sim.live.control import check_control
from spps_sim.live.metrics import check_port


def test_a_file_in_the_place_of_the_socket_is_refused_and_kept(tmp_path):
    place = tmp_path / "notes.txt"
    place.write_text("mine")
    with pytest.raises(ToolError, match="something else lies there"):
        check_control(place)
    assert place.read_text() == "mine"
    with pytest.raises(ToolError, match="is no folder"):
        check_control(place / "live.sock")


def test_a_running_live_is_refused_and_a_stale_socket_is_not(tmp_path):
    place = tmp_path / "live.sock"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(place))
        server.listen(1)
        with pytest.raises(ToolError, match="another `spps live` answers"):
            check_control(place)
    check_control(place)
    check_control(tmp_path / "none" / "live.sock")
    assert place.is_socket() and not (tmp_path / "none").exists()


def test_a_port_in_use_is_refused():
    with socket.socket(socket.AF_INET) as server:
        server.bind(("127.0.0.1", 0))
        server.listen(1)
        with pytest.raises(ToolError, match="port .* of 127.0.0.1"):
            check_port(server.getsockname()[1])
