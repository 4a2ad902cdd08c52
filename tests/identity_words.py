"""Words that tell, or hint at, a protected identity: a generous list for texts which must tell none."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache

from evenhand.identities import select
from evenhand.types import Identity

_TELLING = {
    "gender": """
        he she him her his hers himself herself m[ae]n wom[ae]n males? females? boys? girls? guys?
        lad(?:s|y|ies)? chaps? gentlem[ae]n sirs? madam husbands? wi(?:fe|ves) mothers? fathers? mums? moms?
        dads? sons? daughters? brothers? sisters? brother-in-law sister-in-law boyfriends? girlfriends? brides?
        grooms? pregnan\\w* transgender\\w* non-binary pronouns? testosterone estrogen shav(?:e|ed|ing) bra
        make-up menstru\\w* fellows? mistress kings? queens?
    """,
    "age": """
        teen\\w* adolescen\\w* minors? adults? seniors? elder\\w* retire\\w* pension\\w* grandchild\\w*
        grandparents? grandm\\w+ grandpa\\w* grandsons? granddaughters? great-\\w+ middle-aged midlife years?[-
        ]old old[- ]age young\\w* youth\\w* toddlers? bab(?:y|ies) kids? child\\w* infants? pupils? school\\w*
        colleges? students? homework kindergarten nursery boomers? millennials? menopaus\\w* generations? omg
        lol learner's
    """,
    "religion": """
        church\\w* chapels? cathedrals? mosques? synagogues? temples? pray\\w* gods? bless\\w* faith\\w* holy
        bibles? quran christ\\w* jesus easter ramadan eid hanukkah passover diwali puja halal kosher sabbath
        shabbat priests? imams? rabbis? pastors? monks? nuns? baptis\\w* worship\\w* relig\\w* atheis\\w*
        muslims? islam\\w* hindu\\w* jew(?:s|ish)? buddh\\w* fasting pork choirs? hymns? yoga heavens? hell
        souls? spiritual\\w* believers?
    """,
    "race": """
        african\\w* asian\\w* hispanic\\w* latin[aox]s? caucasian\\w* white black brown-skinned skinned
        ethnic\\w* races? racial immigra\\w* migrants? refugees? nativ\\w* trib(?:e|es|al) reservations? powwow
        juneteenth lunar abuela american\\w* british english french german\\w* irish italian\\w* spanish
        portuguese greek mexican\\w* chinese indian\\w* japanese korean\\w* nigerian\\w* kenyan\\w* arab\\w*
        turkish russian\\w* vietnamese thai pakistan\\w* africa asia europe\\w* america india china mexico
        nigeria lagos nairobi mother-tongue homeland nationality curry tacos? burritos? kimchi sushi
    """,
    "politics": """
        democrat\\w* republican\\w* conservativ\\w* liberals? progressives? socialis\\w* communis\\w*
        vot(?:e|es|ed|er|ers|ing) elections? party parties politic\\w* parliament\\w* presidents? trump biden
        left-wing right-wing campaign\\w* protest\\w* independents? ballots? independent
    """,
    "sexuality": """
        gay lesbian\\w* bisexual\\w* asexual\\w* straight hetero\\w* homosexual\\w* queer\\w* lgbt\\w* pride
        sex\\w* dating the[ ]opposite[ ]sex lovers?
    """,
    "disability": """
        disab\\w* able-bodied wheelchairs? blind\\w* deaf\\w* crutch\\w* prosthe\\w* autis\\w* adhd dyslex\\w*
        paraly\\w* amput\\w* braille hearing[ ]aids? ramps? step-free limp(?:s|ing)? handicap\\w* stairs
        marathons? sprint\\w*
    """,
}
_EXPRESSION = re.compile(rf"(?<![\w'-])(?:{'|'.join(' '.join(_TELLING.values()).split())})(?![\w-])", re.IGNORECASE)
_RUN = 4  # this many words of a cue in a row are the cue


def telling_words(text: str) -> list[str]:
    """The words of a text that tell or hint at an identity of any category."""
    return [match.group().lower() for match in _EXPRESSION.finditer(text)]


def said_of(identity: Identity) -> str:
    """What the catalogue says of an identity: its phrase and its cue."""
    return f"{identity.name} {identity.cue}"


def catalogue_runs(text: str) -> set[str]:
    """What a text shares with the paper's identities: first names, and runs of four words of a cue."""
    words = _words(text)
    return _of_the_paper() & {*words, *_runs(words)}


@cache
def _of_the_paper() -> frozenset[str]:
    identities = select(["paper"])
    cues = (run for identity in identities for run in _runs(_words(identity.cue)))
    return frozenset([*cues, *(name for identity in identities for name in _words(identity.first_name))])


def _runs(words: Sequence[str]) -> list[str]:
    return [" ".join(words[n : n + _RUN]) for n in range(len(words) - _RUN + 1)]


def _words(text: str) -> list[str]:
    return re.findall(r"[\w'-]+", text.lower())
