"""What the shell offers after Tab: the names of members. Nothing is imported before it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable


def models(incomplete: str) -> list[str]:
    """Kinds of models, with the colon behind which a name belongs."""
    from evenhand.models import MODELS

    return _starting(incomplete, (name if name == "smollm2" else f"{name}:" for name in MODELS.names()))


def suites(incomplete: str) -> list[str]:
    """Suites, after a comma too."""
    return _listed(incomplete, _suite_names)


def suite_is_judge(incomplete: str) -> list[str]:
    """``SUITE=JUDGE``."""
    suite, sign, judge = incomplete.partition("=")
    if sign:
        return [f"{suite}={name}" for name in judges(judge)]
    return _starting(suite, (f"{name}=" for name in _suite_names()))


def judges(incomplete: str) -> list[str]:
    """Judges."""
    from evenhand.judges import JUDGES

    return _starting(incomplete, (f"{e.name}:" if e.member and e.member.argument else e.name for e in JUDGES.entries()))


def formats(incomplete: str) -> list[str]:
    """Formats of outputs that can be imported."""
    from evenhand.imported.base import FORMATS

    return _starting(incomplete, FORMATS.names())


def identities(incomplete: str) -> list[str]:
    """Catalogues, categories and identities, after a comma too."""

    def known() -> Iterable[str]:
        from evenhand.identities import registered

        for catalogue in registered():
            yield from (catalogue.name, *catalogue.categories(), *(identity.name for identity in catalogue.identities))

    return _listed(incomplete, known)


def baselines(incomplete: str) -> list[str]:
    """Baselines, after a comma too."""

    def known() -> Iterable[str]:
        from evenhand.identities import BASELINES

        return (*BASELINES, "none")

    return _listed(incomplete, known)


def personalizers(incomplete: str) -> list[str]:
    """Personalizers, after a comma too."""

    def known() -> Iterable[str]:
        from evenhand.personalizers import PERSONALIZERS

        return PERSONALIZERS.names()

    return _listed(incomplete, known)


def people(incomplete: str) -> list[str]:
    """Catalogues of people, after a comma too."""

    def known() -> Iterable[str]:
        from evenhand.people import PEOPLE

        return PEOPLE.names()

    return _listed(incomplete, known)


def mitigations(incomplete: str) -> list[str]:
    """Mitigations, prompt defenses by their name, after a plus too."""
    from evenhand.mitigations import MITIGATIONS
    from evenhand.mitigations.defense import shipped_defenses

    names = [name for name in MITIGATIONS.names() if name not in ("none", "defense")]
    before, plus, last = incomplete.rpartition("+")
    known = [*names, *(f"defense:{name}" for name in shipped_defenses())]
    return [f"{before}{plus}{name}" for name in _starting(last, known)]


def biases(incomplete: str) -> list[str]:
    """Biases of judges."""
    from evenhand.audit.base import BIASES

    return _starting(incomplete, BIASES.names())


def presets(incomplete: str) -> list[str]:
    """Presets of ``evenhand run``."""
    from evenhand.cli.presets import PRESETS

    return _starting(incomplete, PRESETS)


def _suite_names() -> list[str]:
    from evenhand.suites import SUITES
    from evenhand.suites.base import ALIASES

    entries = SUITES.entries()
    taking = {e.name: e.member.arguments or [""] for e in entries if e.member and e.member.argument}
    named = [f"{name}:{argument}" for name, arguments in taking.items() for argument in arguments]
    return sorted([*ALIASES, *named, *(e.name for e in entries if e.name not in taking)])


def _listed(incomplete: str, known: Callable[[], Iterable[str]]) -> list[str]:
    before, comma, last = incomplete.rpartition(",")
    chosen = before.split(",")
    return [f"{before}{comma}{name}" for name in _starting(last, known()) if name not in chosen]


def _starting(incomplete: str, names: Iterable[str]) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]
