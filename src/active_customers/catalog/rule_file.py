"""Rules in a YAML file, as the shop keeps them beside its other code."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import yaml

from active_customers.catalog.rule_schema import RuleIn, read_rules
from active_customers.catalog.rules import RuleRecord
from active_customers.core.errors import InvalidValueError


def read_rule_file(path: Path) -> list[RuleIn]:
    """Return the rules of a file; raises `InvalidValueError` naming the file, the rule and the field."""
    try:
        found = yaml.safe_load(path.read_text())
    except FileNotFoundError:
        raise InvalidValueError(str(path), None, "there is no such file: check the path") from None
    except OSError as error:
        raise InvalidValueError("FILE", str(path), f"it cannot be read ({error.strerror}): name a YAML file") from error
    except UnicodeDecodeError as error:
        raise InvalidValueError(str(path), None, "it is no text in UTF-8: write it anew as that") from error
    except (yaml.YAMLError, ValueError) as error:  # a date that there is not
        why = " ".join(str(error).split())
        raise InvalidValueError(str(path), None, f"it cannot be read as YAML ({why})") from error
    if not isinstance(found, dict):
        raise InvalidValueError(str(path), found, "write `rules:` and a list of rules below it")
    try:
        return read_rules(found)
    except InvalidValueError as error:
        raise InvalidValueError(f"{path}: {error.field}", error.value, error.remedy) from error


def as_yaml(records: Iterable[RuleRecord]) -> str:
    """Return a file of rules, which `read_rule_file` reads."""
    return yaml.safe_dump({"rules": [dict(record) for record in records]}, sort_keys=False, allow_unicode=True)
