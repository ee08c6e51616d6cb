"""Listening, and saying why it cannot."""

import socket

import pytest

from active_customers.core.errors import SettingsError
from active_customers.serving.server import listen


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
def test_port_zero_takes_a_free_one(host):
    try:
        listener = listen(host, 0)
    except SettingsError:
        if host != "::1":
            raise
        pytest.skip("this machine has no IPv6")
    with listener, socket.create_connection(listener.getsockname()[:2]):
        assert listener.getsockname()[1] > 0


@pytest.mark.parametrize("host", ["192.0.2.1", "no-such-host.invalid"])
def test_an_address_of_others_is_refused_with_the_setting_to_change(host):
    with pytest.raises(SettingsError, match="cannot be listened on"):
        listen(host, 0)


def test_a_port_in_use_is_refused_with_the_setting_to_change():
    with listen("127.0.0.1", 0) as listener, pytest.raises(SettingsError, match="choose another --port") as refused:
        listen("127.0.0.1", listener.getsockname()[1])
    assert refused.value.field == "server.port"
