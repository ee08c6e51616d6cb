"""The shop's rules as the API and the command line read and change them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from active_customers.catalog.rule_schema import MAX_RULES, RuleIn, read_rules
from active_customers.catalog.rules import Rule, RuleRecord
from active_customers.core.errors import InvalidValueError, UnknownRuleError, shown
from active_customers.core.identifiers import NO_NUMBER
from active_customers.core.json_body import json_of
from active_customers.realtime.rules import Rulebook
from active_customers.storage.base import CatalogStore, ChangeRecords, NamedRecords

_MOST_NAMED = 5
"""Products of a rule that a warning names."""


def warnings_about(rule: Rule, catalog: CatalogStore) -> list[str]:
    """Return what a shop may not have meant, though the rule can be stored: products that the catalogue has not."""
    numbers = [(product_id, catalog.product_number(product_id)) for product_id in rule.product_ids]
    lacking = [shown(product_id) for product_id, n in numbers if n == NO_NUMBER or catalog.product(n) is None]
    if not lacking:
        return []
    more = f" and {len(lacking) - _MOST_NAMED} more" if len(lacking) > _MOST_NAMED else ""
    named = ", ".join(lacking[:_MOST_NAMED])
    return [f"product_ids: the catalogue does not have {named}{more}: write ids as the shop does, or import them"]


def told(
    rules: Sequence[RuleIn], known: Mapping[str, RuleRecord], book: Rulebook | None = None, *, whole: bool = False
) -> list[dict[str, Any]]:
    """Return what becomes of rules beside those that are known, by name; with `whole`, those not given are deleted.

    With a `book`, how many products each is about, too, and warnings where there are some.
    """
    results: list[dict[str, Any]] = []
    for rule in rules:
        name, record = rule.record()["name"], rule.record()
        status = "created" if name not in known else "unchanged" if known[name] == record else "replaced"
        counted = book is not None and (rule.filter is not None or rule.product_ids is not None)
        found = {"products": book.count(rule.rule())} if book is not None and counted else {}
        warnings = [] if book is None else warnings_about(rule.rule(), book.catalog)
        results.append({"name": name, "status": status, **found, **({"warnings": warnings} if warnings else {})})
    given = {result["name"] for result in results}
    results += [{"name": name, "status": "deleted"} for name in known if whole and name not in given]
    return sorted(results, key=lambda result: result["name"])


@dataclass(frozen=True, slots=True)
class RuleChanges:
    """Reads from the store at hand, has changes made by whoever owns it, and puts them in force here at once."""

    store: NamedRecords
    change: ChangeRecords
    book: Rulebook

    def all(self) -> dict[str, Any]:
        """Return all rules by name."""
        return {"rules": list(self.store.all().values())}

    def get(self, name: str) -> dict[str, Any]:
        """Return a rule; raises `UnknownRuleError`."""
        return self._known(name)[name]

    def put(self, name: str, body: bytes, *, dry_run: bool = False) -> dict[str, Any]:
        """Store a rule, whatever had its name; raises `InvalidValueError` naming the field."""
        rule, known = RuleIn.read(json_of(body), name=name), self.store.all()
        if name not in known and len(known) >= MAX_RULES:
            raise InvalidValueError("name", name, f"there are {MAX_RULES:,} rules, no more: delete one that ended")
        [result] = told([rule], known, self.book)
        if not dry_run:
            self._make({name: rule.record()})
        return result

    def replace(self, body: bytes, *, dry_run: bool = False) -> dict[str, Any]:
        """Make these all the rules that there are; raises `InvalidValueError` naming rule and field."""
        rules = read_rules(json_of(body))
        results = told(rules, self.store.all(), self.book, whole=True)
        if not dry_run:
            self._make({rule.record()["name"]: rule.record() for rule in rules}, whole=True)
        return {"results": results, "dry_run": dry_run}

    def delete(self, name: str) -> dict[str, Any]:
        """Take a rule away; raises `UnknownRuleError`."""
        self._known(name)
        self._make({name: None})
        return {"name": name, "status": "deleted"}

    def _known(self, name: str) -> dict[str, dict[str, Any]]:
        known = self.store.all()
        if name not in known:
            raise UnknownRuleError(f"there is no rule {name!r}: GET /api/v1/rules lists those that there are")
        return known

    def _make(self, records: Mapping[str, RuleRecord | None], *, whole: bool = False) -> None:
        self.change("rules", records, whole=whole)
        self.book.follow()
