"""The routes of the rules: ordinary FastAPI, but that bodies are read and checked here, for one kind of error."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel

from active_customers.catalog.rule_schema import RuleIn, RuleResult, RuleResults, RuleSet
from active_customers.realtime.access import Access, Scope
from active_customers.realtime.changing import body_of, changed
from active_customers.realtime.openapi import STORING, answering, document, taking
from active_customers.realtime.rule_changes import RuleChanges

RULES = "/api/v1/rules"
RULE = RULES + "/{name:path}"

RULE_MODELS: tuple[type[BaseModel], ...] = (RuleIn, RuleResult, RuleResults, RuleSet)

_UNKNOWN = ("404", "There is no such rule")
_NO_PATH = ("404", "This is the path of no rule: a name has printable characters only")

DryRun = Annotated[bool, Query(description="Check and tell what would happen, and change nothing.")]


def rule_router(access: Access, rules: RuleChanges) -> APIRouter:
    """Return the routes that read and change the shop's rules; all need the server scope."""
    router = APIRouter()
    _add_reading(router, access, rules)
    _add_changing(router, access, rules)
    return router


def _add_reading(router: APIRouter, access: Access, rules: RuleChanges) -> None:
    @router.get(RULES, summary="All rules", openapi_extra=answering(RuleSet))
    def all_rules(request: Request) -> Response:
        """Return all rules by name; PUT takes what this returns."""
        access.check(request.headers.raw, Scope.SERVER)
        return document(rules.all())

    @router.get(RULE, summary="One rule", openapi_extra=answering(RuleIn, _UNKNOWN))
    def get(name: str, request: Request) -> Response:
        """Return a rule."""
        access.check(request.headers.raw, Scope.SERVER)
        return document(rules.get(name))


def _add_changing(router: APIRouter, access: Access, rules: RuleChanges) -> None:
    @router.put(RULES, summary="Replace all rules", openapi_extra=taking(RuleSet, RuleResults))
    async def replace(request: Request, dry_run: DryRun = False) -> Response:
        """Make these all the rules that there are. One that is not valid refuses all of them.

        When this returns the change is on disk, and in every answer within a second.
        """
        return await changed(rules.replace, await body_of(request, access), dry_run=dry_run)

    @router.put(RULE, summary="Store a rule", openapi_extra=taking(RuleIn, RuleResult, _NO_PATH))
    async def put(name: str, request: Request, dry_run: DryRun = False) -> Response:
        """Store a rule, whatever had its name before, and tell how many products it is about at the moment."""
        return await changed(rules.put, name, await body_of(request, access), dry_run=dry_run)

    @router.delete(RULE, summary="Delete a rule", openapi_extra=answering(RuleResult, _UNKNOWN, STORING[1]))
    async def delete(name: str, request: Request) -> Response:
        """Take a rule away."""
        access.check(request.headers.raw, Scope.SERVER)
        return await changed(rules.delete, name)
