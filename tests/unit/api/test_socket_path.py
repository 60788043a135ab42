"""The daemon and its commands come to the same place."""

from notifier.api.socket_path import socket_paths, usual_path


def test_the_usual_place_is_systemds_or_beside_the_store() -> None:
    """Systemd may name several directories; the first is the unit's."""
    assert usual_path("/var/lib/notifier/notifier.db", {}) == "/var/lib/notifier/api.sock"
    assert usual_path("/s/n.db", {"RUNTIME_DIRECTORY": "/run/notifier"}) == "/run/notifier/api.sock"
    assert usual_path("/s/n.db", {"RUNTIME_DIRECTORY": "/run/one:/run/two"}) == "/run/one/api.sock"
    assert usual_path("/n.db", {}) == "/api.sock"


def test_a_command_looks_wherever_a_daemon_may_be() -> None:
    """It does not know systemd's directory, and the daemon may have been started by hand."""
    assert socket_paths("/s/n.db", {}) == ["/s/api.sock", "/run/notifier/api.sock"]
    assert socket_paths("/s/n.db", {"RUNTIME_DIRECTORY": "/r"})[0] == "/r/api.sock"
