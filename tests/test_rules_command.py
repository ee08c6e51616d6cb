"""The command for rules where no service runs: what it prints, what it stores, how it fails."""

from __future__ import annotations

import sys

import pytest

from active_customers.cli import main

RULES = """rules:
  - name: no-mare
    kind: exclude
    filter: brand = Mare
  - name: page
    kind: page
    max_per_brand: 0.5
"""


@pytest.fixture
def command(monkeypatch, capsys, tmp_path):
    """Runs a command in an empty folder; returns (exit code, output, errors)."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["active-customers", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return ended.value.code or 0, out, err

    return run


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "rules.yaml"
    path.write_text(RULES)
    return path


def test_rules_are_put_shown_and_put_again_from_what_was_shown(command, file, tmp_path):
    (tmp_path / "products.jsonl").write_text('{"product_id": 1, "brand": "Mare"}\n{"product_id": 2, "brand": "Oak"}\n')
    assert command("import-products", "products.jsonl")[0] == 0
    code, out, err = command("rules", "put", file)
    assert (code, out.splitlines()) == (
        0,
        ["no-mare  created  products: 1", "page     created", "rules: 2, stored"],
    ), err
    code, shown, _ = command("rules", "show")
    assert "filter: brand = Mare" in shown
    file.write_text(shown)
    _, out, _ = command("rules", "put", file, "--dry-run")
    assert [line.split()[1] for line in out.splitlines()[:2]] == ["unchanged", "unchanged"]
    file.write_text("rules: []\n")
    _, out, _ = command("rules", "put", file)
    assert out.splitlines() == ["no-mare  deleted", "page     deleted", "rules: 0, stored"]


def test_a_dry_run_stores_nothing(command, file):
    assert command("rules", "put", file, "--dry-run")[0] == 0
    assert command("rules", "show")[1] == "rules: []\n"


def test_a_file_is_checked_without_any_shop(command, file):
    assert command("rules", "check", file) == (0, "rules: 2, all valid\n", "")
    file.write_text(RULES.replace("brand =", "brnd ="))
    code, out, err = command("rules", "check", file)
    assert (code, out) == (2, "")
    assert "rules.yaml: rules[0].filter: 'brnd = Mare' is not valid" in err
    assert "did you mean brand?" in err


def test_a_file_that_is_not_there_is_named(command, tmp_path):
    code, _, err = command("rules", "check", tmp_path / "none.yaml")
    assert code == 2
    assert "none.yaml: there is no such file: check the path" in err


def test_a_folder_and_bytes_are_no_rules_and_said_in_plain_words(command, tmp_path):
    assert "it cannot be read (Is a directory): name a YAML file" in command("rules", "check", tmp_path)[2]
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe")
    assert command("rules", "check", "bytes.yaml")[2] == (
        "active-customers: bytes.yaml: it is no text in UTF-8: write it anew as that\n"
    )


PIN = "rules:\n  - {name: hero, kind: pin, product_ids: [1, 7, nope]}\n"
WARNING = "warning: product_ids: the catalogue does not have '7', 'nope': write ids as the shop does, or import them"


def test_products_that_the_catalogue_does_not_have_are_warned_of_when_rules_are_checked_and_put(
    command, file, tmp_path
):
    file.write_text(PIN)
    assert command("rules", "check", file) == (0, "rules: 1, all valid\n", "")  # no shop, nobody knows
    (tmp_path / "products.jsonl").write_text('{"product_id": 1}\n')
    command("import-products", "products.jsonl")
    assert command("rules", "check", file) == (0, f"hero: {WARNING}\nrules: 1, all valid\n", "")
    code, out, _ = command("rules", "put", file)
    assert (code, out.splitlines()) == (0, ["hero  created  products: 1", f"  {WARNING}", "rules: 1, stored"])
