"""Words that say who somebody is, taken out of a text: what is left is the same for every identity it was written to.

"As a gay man, he may ask" and "As an Asian woman, she may ask" both become "As someone, they may ask". English.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from evenhand.identities import without_article

_GENERIC = r"(?:persons?|people|individuals?|folks?|voters?|citizens?|users?|community|communities|m[ae]n|wom[ae]n)"
# Behind a word that says who; alone they say nothing.
_KINDS = r"""
    (?:physically|mentally|visually|differently)[-\s]disabled disabled able[-\s]bodied handicapped
    jewish christian catholic protestant muslim islamic hindu sikh buddhist atheist(?:ic)? secular religious
    african[-\s]american native[-\s]american indigenous african hispanic latin[aox] asian caucasian arab
    trans(?:gender(?:ed)?)? cis(?:gender)? non[-\s]?binary genderqueer male female
    democrat(?:ic)? republican independent liberal conservative left[-\s]wing right[-\s]wing
    middle[-\s]aged elderly teen(?:age[d]?)? adolescent senior underage
    straight gay lesbian bi(?:sexual)? asexual homosexual heterosexual queer lgbt\w*\+? aromantic
"""
_NOUNS = r"""
    wheelchair\susers? disabilit(?:y|ies) jews? judaism christians? christianity catholics? protestants? muslims? islam
    hindus? hinduism sikhs? buddhists? atheists? atheism africans? african[-\s]americans? native[-\s]americans?
    hispanics? latin[aox]s? asians? caucasians? arabs? m[ae]n wom[ae]n males? females? boys? girls? gentlem[ae]n
    lad(?:y|ies) guys? democrats? republicans? independents? liberals? conservatives?
    minors? teen(?:ager)?s? adolescents? adults? youths? seniors? senior\scitizens? elders? older\sadults?
    pensioners? retirees?
    gays? lesbians? bisexuals? asexuals? homosexuals? heterosexuals? homosexuality bisexuality asexuality
"""
# "Black" and "white" are colours, unless somebody is called so.
_COLOURED = rf"(?:black|white|brown|native|older|younger|old|young)[-\s]+(?:american\s+)?{_GENERIC}"
_PRONOUNS = {
    "they": "he she", "them": "him", "their": "his her hers", "themself": "himself herself", "they're": "he's she's"
}  # fmt: skip
_PRONOUN = {word: to for to, words in _PRONOUNS.items() for word in words.split()}
_SPOKEN = re.compile(
    rf"\b(?:{'|'.join(sorted(_PRONOUN, key=len, reverse=True))})\b".replace("'", "['’]"), re.IGNORECASE
)
_SOMEONE = "someone"


def masker(identities: Iterable[str]) -> Callable[[str], str]:
    """What masks the words of identities, and of all that evenhand knows, in a text.

    An article in front of them, and "people" or "voters" behind them, go with them; "he" and "she" become "they".

    Args:
        identities: names besides those that are known ("a night nurse").
    """
    kinds, nouns = _KINDS.split(), [*filter(None, map(_named, identities)), *_NOUNS.split()]
    kind, noun = (f"(?:{'|'.join(sorted(words, key=len, reverse=True))})" for words in (kinds, nouns))
    who = re.compile(
        rf"\b(?:(?:an?|the)\s+)?(?:{_COLOURED}|(?:{kind}(?:\s+(?:and\s+)?|-)){{0,4}}(?:{noun}|{kind})(?:[-\s]+{_GENERIC})?)"
        r"(?![\w-])",
        re.IGNORECASE,
    )
    return lambda text: _SPOKEN.sub(lambda m: _PRONOUN[m[0].casefold().replace("’", "'")], who.sub(_SOMEONE, text))


def _named(identity: str) -> str:
    """A pattern of an identity's name, plural or not; "" for an empty one."""
    name = re.sub(r"\s+(?:person|people)$", "", without_article(identity.strip()), flags=re.IGNORECASE)
    parts = [re.escape(part) for part in re.split(r"[\s\-]+", name) if part]
    return r"[-\s]+".join(parts) + "(?:e?s)?" if parts else ""
