"""An acknowledged event is never lost and no event counts twice, however the service ends."""

from __future__ import annotations

from tests.e2e.conftest import CLIENTS, acknowledged, assert_each_once, progress

from active_customers.storage.data_dir import DataDirectory


def test_killed_again_and_again_the_service_loses_and_doubles_nothing(service, posters):
    for _ in range(3):
        progress(posters, 60)
        service.kill()
        service.start()
    progress(posters, 60)
    ids = acknowledged(posters)
    assert service.stop() == 0
    assert_each_once(service.data, ids)
    assert len(ids) >= 4 * 60 * CLIENTS


def test_asked_to_end_the_service_finishes_what_it_took(service, posters):
    progress(posters, 100)
    assert service.stop() == 0
    assert_each_once(service.data, acknowledged(posters))
    assert not DataDirectory(service.data).socket.exists()
