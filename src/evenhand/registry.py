"""The one registry mechanism behind identities, personalizers, suites, models and judges.

A member registers itself with a decorator in its own module. The registry imports the modules of its package, and
the entry points of third-party packages, the first time a name is looked up: adding a member is one new file.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import pkgutil
from collections.abc import Callable
from typing import Generic, TypeVar

from evenhand.errors import SpecError, did_you_mean

T = TypeVar("T")


class Registry(Generic[T]):
    """Maps names to members of one extensible kind.

    Args:
        kind: the kind's word, used in messages ("suite").
        package: the package whose modules register built-in members.
        group: the entry-point group of third-party members; an entry point names a module to import or a member.
    """

    def __init__(self, kind: str, package: str, group: str) -> None:
        self.kind = kind
        self._package = package
        self._group = group
        self._members: dict[str, T] = {}
        self._discovered = False

    def register(self, name: str) -> Callable[[T], T]:
        """Decorator: register a member under ``name``.

        Raises:
            SpecError: another member already has the name.
        """

        def add(member: T) -> T:
            if self._members.get(name, member) is not member:
                raise SpecError(f"Two {self.kind}s are called '{name}'.", "Uninstall or rename one of them.")
            self._members[name] = member
            return member

        return add

    def get(self, name: str) -> T:
        """The member called ``name``.

        Raises:
            SpecError: no member has that name; the message names the nearest.
        """
        self._discover()
        if name not in self._members:
            raise SpecError(f"There is no {self.kind} called '{name}'.", did_you_mean(name, self._members))
        return self._members[name]

    def names(self) -> list[str]:
        """All registered names, sorted."""
        self._discover()
        return sorted(self._members)

    def __contains__(self, name: object) -> bool:
        self._discover()
        return name in self._members

    def _discover(self) -> None:
        if self._discovered:
            return
        self._discovered = True
        package = importlib.import_module(self._package)
        for module in pkgutil.iter_modules(package.__path__):
            importlib.import_module(f"{self._package}.{module.name}")
        for entry in importlib.metadata.entry_points(group=self._group):
            loaded = entry.load()
            if entry.name not in self._members and not hasattr(loaded, "__path__") and callable(loaded):
                self.register(entry.name)(loaded)
