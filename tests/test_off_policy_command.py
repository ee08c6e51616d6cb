"""The command for off-policy evaluation: what it prints, what it writes, how it fails."""

from __future__ import annotations

import sys

import numpy as np
import orjson
import pytest
from tests.importing.test_open_bandit import LEARNING, RANDOM, write

from active_customers.cli import main
from active_customers.core.attribution import Shown, TokenSigner
from active_customers.core.clock import DAY, SystemClock
from active_customers.core.errors import InvalidValueError
from active_customers.core.event import Channel, Context, Event, EventType, key_of_event_id
from active_customers.off_policy_command import distribution
from active_customers.storage.data_dir import DataDirectory
from active_customers.storage.embedded import EmbeddedStore
from active_customers.storage.keys import load_keys

APPEAL = {"hybrid": 0.6, "popular": 0.2}
PROPENSITY = {"hybrid": 0.75, "popular": 0.25}


@pytest.fixture
def command(monkeypatch, capsys, tmp_path):
    """Runs the command in an empty folder; returns (exit code, output, errors)."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["active-customers", "off-policy", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return ended.value.code or 0, out, err

    return run


@pytest.fixture
def shop(tmp_path):
    """A shop whose bandit chose 400 times, two days ago."""
    directory = DataDirectory(tmp_path / "data")
    directory.prepare()
    signer = TokenSigner(load_keys(directory.keys))
    then = SystemClock().now() - 2 * DAY
    rng = np.random.default_rng(0)
    store = EmbeddedStore(directory.store, writer=True).open()
    [product] = store.catalog.number_products(["p"])
    for number in range(400):
        customer = str(number)
        arm = "hybrid" if rng.random() < PROPENSITY["hybrid"] else "popular"
        token = signer.sign(Shown(customer, then, "v1", Context.HOME, Channel.WEB, [product]))
        said = {"bandit": "page", "version": 1, "arm": arm, "propensity": PROPENSITY[arm]}
        acts = [(EventType.CHOICE, None, {"metadata": said})]
        acts += [(EventType.CLICK, "p", {})] if rng.random() < APPEAL[arm] else []
        events = [
            Event(
                customer,
                kind,
                then,
                product_id=acted_on,
                details={"recommendation_id": token, **more},
                dedup_key=key_of_event_id(f"{kind}-{number}"),
            )
            for kind, acted_on, more in acts
        ]
        store.events.append(events, then)
    store.close()
    return directory.root


def test_each_arm_and_all_alike_are_judged_by_the_shops_own_log(command, shop, tmp_path):
    code, out, err = command("--data-dir", shop, "--out", "report.json")
    assert (code, err) == (0, "")
    assert out.startswith("bandit page, version 1: 400 choices, ")
    assert "by click within 24 h, 400 customers" in out
    [section] = orjson.loads((tmp_path / "report.json").read_bytes())
    found = {judged["policy"]: judged["estimates"]["dr"] for judged in section["policies"]}
    truth = {**APPEAL, "uniform": 0.4}
    assert list(found) == list(truth)
    for policy, estimate in found.items():
        low, high = estimate["interval"]
        assert low <= truth[policy] <= high
        assert f"{policy}" in out


def test_a_named_distribution_is_judged_alone(command, shop):
    code, out, _ = command("--data-dir", shop, "--policy", "hybrid=0.5,popular=0.5", "--max-weight", "1")
    assert code == 0
    rows = [line.split()[:2] for line in out.splitlines() if line.startswith("hybrid=0.5,popular=0.5 ")]
    assert [name for _, name in rows] == ["ips", "snips", "dm", "dr"]
    assert "weights above 1 were cut" in out


def test_policies_of_a_file_are_judged_beside_what_they_earned(command, tmp_path):
    write(tmp_path / "logs.parquet", {"random": RANDOM, "learning": LEARNING}, 2_000)
    code, out, _ = command("--open-bandit", "logs.parquet", "--out", "report.json")
    assert code == 0
    assert [line.split(":")[0] for line in out.splitlines() if line.startswith("logs.parquet")] == [
        "logs.parquet, log of learning",
        "logs.parquet, log of random",
    ]
    by_learning, _ = orjson.loads((tmp_path / "report.json").read_bytes())
    [judged] = by_learning["policies"]
    assert judged["policy"] == "random"
    assert list(judged["by_position"]) == ["1", "2"]
    low, high = judged["estimates"]["dr"]["interval"]
    assert low <= judged["observed"]["value"] <= high


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--policy", "hybird"], "policy: 'hybird' is not valid: did you mean hybrid?"),
        (["--policy", "hybrid=half"], "write ARM=SHARE"),
        (["--bandit", "pages"], "bandit: 'pages' is not valid: did you mean page?"),
        (["--reward", "clicks"], "reward: 'clicks' is not valid: did you mean click?"),
        (["--window-hours", "96"], "younger than the window"),
        (["--window-hours", "0"], "window_hours: 0.0 is not valid"),
        (["--window-hours", "nan"], "window_hours: NaN is not valid"),
        (["--max-weight", "0"], "max_weight: 0.0 is not valid"),
        (["--out", "nowhere/report.json"], "there is no folder nowhere"),
        (["--open-bandit", "logs.parquet", "--bandit", "page"], "leave it out beside --open-bandit"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(command, shop, arguments, message):
    code, _, err = command("--data-dir", shop, *arguments)
    assert code == 2
    assert message in err
    assert len(err.splitlines()) == 1


def test_a_folder_that_never_served_is_named_and_left_as_it_is(command, tmp_path):
    code, _, err = command("--data-dir", tmp_path / "empty")
    assert code == 2
    assert "nothing was ever answered there" in err
    assert not (tmp_path / "empty").exists()


@pytest.mark.parametrize("text", ["a=0.5", "a=1.5,b=-0.5", "a,b", "a=nan"])
def test_shares_that_do_not_sum_to_1_are_refused(text):
    with pytest.raises(InvalidValueError, match="sum to 1"):
        distribution(text, ["a", "b"])


def test_an_arm_may_be_called_uniform():
    assert distribution("uniform", ["a", "uniform"]).tolist() == [0, 1]
    assert distribution("uniform", ["a", "b"]).tolist() == [0.5, 0.5]
