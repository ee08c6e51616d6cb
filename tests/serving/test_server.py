"""Listening, and saying why it cannot."""

import resource
import signal
import socket
import subprocess
import sys

import pytest

from active_customers.core.errors import SettingsError
from active_customers.serving.server import listen, run


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
def test_port_zero_takes_a_free_one(host):
    try:
        listener = listen(host, 0)
    except SettingsError:
        if host != "::1":
            raise
        pytest.skip("this machine has no IPv6")
    with listener:
        assert listener.getsockname()[1] > 0


async def app(scope, receive, send):
    """Answer nothing but that it has started."""
    assert scope["type"] == "lifespan"
    for message in ("startup", "shutdown"):
        await receive()
        await send({"type": f"lifespan.{message}.complete"})


def test_nobody_is_let_in_before_the_service_answers():
    listener, met = listen("127.0.0.1", 0), []

    def meet():
        socket.create_connection(listener.getsockname()).close()
        met.append(True)
        signal.raise_signal(signal.SIGTERM)

    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(listener.getsockname())
    before = signal.signal(signal.SIGTERM, lambda *_: None)
    assert run(app, listener, meet)
    signal.signal(signal.SIGTERM, before)
    assert met


def test_a_port_that_another_service_took_meanwhile_is_refused_with_the_setting_to_change():
    with listen("127.0.0.1", 0) as first:
        second = listen("127.0.0.1", first.getsockname()[1])
        first.listen()
        with pytest.raises(SettingsError, match="choose another --port"):
            run(app, second, lambda: None)


@pytest.mark.parametrize("host", ["192.0.2.1", "no-such-host.invalid"])
def test_an_address_of_others_is_refused_with_the_setting_to_change(host):
    with pytest.raises(SettingsError, match="cannot be listened on"):
        listen(host, 0)


def test_a_port_in_use_is_refused_with_the_setting_to_change():
    with listen("127.0.0.1", 0) as listener:
        listener.listen()
        with pytest.raises(SettingsError, match="choose another --port") as refused:
            listen("127.0.0.1", listener.getsockname()[1])
    assert refused.value.field == "server.port"


def test_a_process_may_have_as_many_connections_as_the_system_allows():
    """By default it is often 1,024, whatever more is allowed."""
    program = (
        "from active_customers.serving.server import allow_connections; import resource\n"
        "hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))\n"
        "allow_connections()\n"
        "print(resource.getrlimit(resource.RLIMIT_NOFILE)[0])"
    )
    allowed = int(subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    assert allowed == (65_536 if hard == resource.RLIM_INFINITY else min(hard, 65_536))
