"""The one registry mechanism behind identities, personalizers, suites, models and judges.

A member registers itself with a decorator in its own module. The registry imports the modules of its package, and
the entry points of third-party packages, the first time a name is looked up: adding a member is one new file.

What needs an extra says so to the decorator, and imports it only when it is used. So it is listed where the extra is
not installed. An entry point that cannot be loaded is listed too, with the reason, and takes nothing else down.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import inspect
import logging
import pkgutil
import re
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Generic, TypeVar

from evenhand.errors import EvenhandError, SpecError, did_you_mean, one_line
from evenhand.extras import EXTRAS, install, is_there, missing

T = TypeVar("T")

_LOGGER = logging.getLogger(__name__)
# A requirement of a package's metadata that only an extra brings: "torch>=2; extra == 'local'".
_OF_EXTRA = re.compile(r"""(?P<name>[\w.-]+).*;.*\bextra\s*==\s*["'](?P<extra>[^"']+)""")


@dataclass(frozen=True)
class Entry(Generic[T]):
    """What is known under a name.

    Attributes:
        name: what a user writes.
        member: None where it could not be loaded.
        lacks: modules that it needs and that are not installed.
        install: what to type to have them, where that is known.
        broken: why it could not be loaded, where nothing that could be installed would help.
        package: who brought it, where it could not be loaded.
    """

    name: str
    member: T | None = None
    lacks: tuple[str, ...] = ()
    install: str = ""
    broken: str = ""
    package: str = ""

    @property
    def usable(self) -> str:
        """For lists: "yes", or what it needs, or what is wrong."""
        if self.broken:
            return f"broken: {self.broken}"
        if self.lacks:
            return f"needs the extra: {self.install}" if self.install else f"needs {' and '.join(self.lacks)}"
        return "yes"

    def error(self, kind: str, raised: type[EvenhandError]) -> EvenhandError:
        """What to raise where it is asked for."""
        if self.broken:
            text = f"The {kind} '{self.name}' of the package {self.package} cannot be loaded: {self.broken}."
            return raised(text, f"Tell its authors, or uninstall {self.package}.")
        fix = f"Install the extra: {self.install}." if self.install else "Install what brings it."
        return raised(f"The {kind} '{self.name}' needs {' and '.join(self.lacks)}.", fix)


class Registry(Generic[T]):
    """Maps names to members of one extensible kind.

    Args:
        kind: the kind's word, used in messages ("suite").
        package: the package whose modules register built-in members.
        group: the entry-point group of third-party members; an entry point names a module to import or a member.
        base: the class that members derive from; None where they are functions.
        error: raised for a member that cannot be used here.
    """

    def __init__(
        self,
        kind: str,
        package: str,
        group: str,
        base: type | None = None,
        error: type[EvenhandError] = SpecError,
    ) -> None:
        self.kind = kind
        self._package = package
        self._group = group
        self._base = base
        self._error = error
        self._members: dict[str, T] = {}
        self._extras: dict[str, str] = {}
        self._failed: dict[str, Entry[T]] = {}
        self._discovered = False
        self._discovering = False
        self._lock = threading.RLock()

    def register(self, name: str, *, extra: str = "") -> Callable[[T], T]:
        """Decorator: register a member under ``name``.

        Args:
            name: what users write.
            extra: of evenhand, where the member needs one.

        Raises:
            SpecError: another member already has the name, or this is none of the registry's kind.
        """

        def add(member: T) -> T:
            if not self._accepts(member):
                raise SpecError(f"What is registered as the {self.kind} '{name}' is none.", self._wanted())
            if extra and extra not in EXTRAS:
                raise SpecError(f"evenhand has no extra '{extra}'.", did_you_mean(extra, EXTRAS))
            if self._members.get(name, member) is not member:
                raise SpecError(f"Two {self.kind}s are called '{name}'.", "Uninstall or rename one of them.")
            self._members[name] = member
            if extra:
                self._extras[name] = extra
            return member

        return add

    def get(self, name: str) -> T:
        """The member called ``name``.

        Raises:
            EvenhandError: no member has that name (the message names the nearest), or it cannot be used here.
        """
        entry = self.entry(name)
        if entry.member is None or entry.lacks:
            raise entry.error(self.kind, self._error)
        return entry.member

    def entry(self, name: str) -> Entry[T]:
        """What is known of ``name``, whether or not it can be used here.

        Raises:
            SpecError: nothing has that name; the message names the nearest.
        """
        self._discover()
        if name in self._members:
            return self._entry(name)
        if name in self._failed:
            return self._failed[name]
        lost = [str(entry.error(self.kind, SpecError)) for entry in self._failed.values()]
        raise SpecError(
            f"There is no {self.kind} called '{name}'.", " ".join([did_you_mean(name, self.names()), *lost])
        )

    def find(self, reference: str) -> T | None:
        """The member behind a reference (``NAME`` or ``NAME:...``), whether or not it can be used here; None for an
        unknown one."""
        self._discover()
        return self._members.get(reference.partition(":")[0])

    def entries(self) -> list[Entry[T]]:
        """All that is known, sorted by name: members, and entry points that could not be loaded."""
        return [self.entry(name) for name in self.names()]

    def members(self) -> dict[str, T]:
        """Name -> member, of those that can be used here, sorted by name."""
        return {e.name: e.member for e in self.entries() if e.member is not None and not e.lacks}

    def names(self) -> list[str]:
        """All names, sorted."""
        self._discover()
        return sorted({*self._members, *self._failed})

    def __contains__(self, name: object) -> bool:
        self._discover()
        return name in self._members or name in self._failed

    def _entry(self, name: str) -> Entry[T]:
        extra = self._extras.get(name, "")
        lacks = tuple(missing(extra)) if extra else ()
        return Entry(name, self._members[name], lacks, install(extra) if lacks else "")

    def _accepts(self, member: object) -> bool:
        if self._base is None:
            return callable(member)
        return isinstance(member, type) and issubclass(member, self._base) and not inspect.isabstract(member)

    def _wanted(self) -> str:
        return f"It must be a whole subclass of {self._base.__name__}." if self._base else "It must be a function."

    def _discover(self) -> None:
        # Modules may look names up while they are imported: they see what is there so far. Other threads wait.
        with self._lock:
            if self._discovered or self._discovering:
                return
            self._discovering = True
            try:
                self._import_package()
                # Begun anew after an interruption, so that no entry point is reported twice.
                self._failed = {}
                for entry in importlib.metadata.entry_points(group=self._group):
                    self._load(entry)
                self._discovered = True
            finally:
                self._discovering = False

    def _import_package(self) -> None:
        package = importlib.import_module(self._package)
        for module in pkgutil.iter_modules(package.__path__):
            with self._whole():
                importlib.import_module(f"{self._package}.{module.name}")

    def _load(self, entry: importlib.metadata.EntryPoint) -> None:
        """Load an entry point; one that fails is remembered with the reason."""
        try:
            with self._whole():
                loaded = entry.load()
                known = any(loaded is member for member in self._members.values())
                if not isinstance(loaded, ModuleType) and not known:
                    self.register(entry.name)(loaded)
        except (Exception, SystemExit) as error:  # it is somebody else's code
            package = entry.dist.name if entry.dist else entry.value
            taken = entry.name in self._members or entry.name in self._failed
            failed: Entry[T] = _failure(f"{entry.name} ({package})" if taken else entry.name, package, entry, error)
            self._failed[failed.name] = failed
            if failed.broken:
                _LOGGER.warning("%s", failed.error(self.kind, SpecError))

    @contextmanager
    def _whole(self) -> Iterator[None]:
        """Around an import: a module that fails is imported again some day, and must find its names free."""
        before = dict(self._members)
        try:
            yield
        except BaseException:
            for name in self._members.keys() - before.keys():
                # What it imported itself, with success, stays imported and registered.
                if getattr(self._members[name], "__module__", None) not in sys.modules:
                    del self._members[name]
                    self._extras.pop(name, None)
            raise


def _failure(name: str, package: str, entry: importlib.metadata.EntryPoint, error: BaseException) -> Entry[Any]:
    """What to remember of an entry point that could not be loaded."""
    if isinstance(error, ModuleNotFoundError) and error.name:
        module = error.name.partition(".")[0]
        if module != entry.module.partition(".")[0] and not is_there(module):
            return Entry(name, None, (module,), _brought_by(module, entry), package=package)
    said = error.problem if isinstance(error, EvenhandError) else f"{type(error).__name__}: {one_line(str(error))}"
    return Entry(name, broken=said.rstrip("."), package=package)


def _brought_by(module: str, entry: importlib.metadata.EntryPoint) -> str:
    """What to type to have a module that an entry point needs: its package's extra or ours, "" where none is known."""
    if entry.dist:
        for requirement in [*(entry.dist.requires or ()), *(f"{module}; extra == '{e}'" for e in entry.extras)]:
            found = _OF_EXTRA.match(requirement)
            if found and _normal(found["name"]) == _normal(module):
                return f"pip install '{entry.dist.name}[{found['extra']}]'"
    return next((install(extra) for extra, modules in EXTRAS.items() if module in modules), "")


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
