"""What a user says of themselves, found by rules, for models that cannot write a patch.

The entry is the clause as the user said it: nothing is worded anew, so nothing can be made up. English. A rule looks at
one clause, the first one that fits decides its field, and questions say nothing. What the user says of the answers at
a session's end goes to the style.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from evenhand.personalizers.persona.dictionary import MOST_CHARACTERS
from evenhand.personalizers.persona.patches import Change
from evenhand.personalizers.persona.sessions import Turn

_FEWEST_WORDS = 3
_SENTENCE = re.compile(r"[^.!?\n]+[.!?]*")
# A clause ends where another one of the user's own begins.
_CLAUSE = re.compile(
    r"[,;:–—]\s+(?=(?:(?:and|but|so|as|because|when|if|while)\s+)?(?:i|i'm|i've|i'd|my)\b)"
    r"|(?<!\s)\s+(?=(?:and|but|so|because)\s+(?:i|i'm|i've|i'd)\b)",
    re.IGNORECASE,
)
_JOINT = re.compile(
    r"^(?:and|but|so|as|because|also|well|right|yeah|oh|ok|okay|then|plus|thing is)\b[\s,]*", re.IGNORECASE
)
_OWN = re.compile(r"\b(?:i|i'm|i've|i'd|i'll|my|mine|me|myself)\b", re.IGNORECASE)
_WISH = r"(?:would|'d) (?:rather|sooner|prefer)"
_KIN = (
    r"(?:partner|sibling|cousin|uncle|aunt|parent|family|friend|neighbour|neighbor|niece|nephew|wife|husband|mother|"
    r"father|mum|mom|dad|sister|brother|son|daughter|child|children|kid|in-law|flatmate|roommate)s?"
)
_DAY = (
    r"(?:day|week|month|year|morning|evening|night|monday|tuesday|wednesday|thursday|friday|saturday|sunday|winter|"
    r"summer|spring|autumn|january|february|march|april|may|june|july|august|september|october|november|december)"
)
_PART = r"(?:shoulder|back|knees?|hip|eyes?|ears?|heart|thyroid|skin|stomach|ankle|wrist|neck)"
_ROOM = r"(?:flat|house|home|cottage|apartment|room|cellar|floor|garden|kitchen|balcony|landlord|boat)"
_PASTIME = (
    r"(?:love|like|enjoy|adore|hate|dislike|collect|play|paint|draw|carve|restore|sing|knit|sew|bake|build|brew|grow|"
    r"breed)"
)
_RULES: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (path, re.compile(words, re.IGNORECASE))
    for path, words in (
        ("demographics/name", r"\bmy name(?:'s| is) \w+|\bcall me \w+"),
        (
            "demographics/age",
            r"\bi(?:'m| am) \d{1,3}\b(?! (?:percent|min|hours?|days?|km|miles?|weeks?|steps?))",
        ),
        ("demographics/languages", r"\bi speak \w+|\bmy (?:first|native|mother) (?:language|tongue)"),
        ("demographics/origin", r"\bi(?:'m| am| come) from\b|\bi(?: was)? (?:born|grew up|raised) in\b"),
        (
            "demographics/health",
            r"\ballerg\w+|\bmigraine\w*|\basthma\w*|\bhay fever|\bdiabet\w+|\b(?:pollen|eczema|tinnitus|insomnia)\b"
            rf"|\bmy (?:\w+ )?{_PART}\b|\bmy (?:tablets?|pills?|drops|medicine|medication|operation|doctor)"
            r"|\bi take \w+ (?:for|every|each)",
        ),
        (
            "demographics/work",
            r"\bi work (?:as|at|in|for|with|on|nights?|shifts?|early|late)\b|\bmy (?:job|boss|shifts?)\b",
        ),
        ("demographics/people", rf"\bmy (?:\w+ )?{_KIN}\b|\ba (?:friend|cousin|neighbour) (?:of mine|is)\b"),
        ("demographics/place", r"\bi live (?:in|at|by|near|beside|on)\b|\bi(?:'ve| have)? moved (?:to|from)\b"),
        ("demographics/home", rf"\bi (?:live|rent|own a)\b|\bmy (?:\w+ )?{_ROOM}\b"),
        (
            "memory/ongoing",
            r"\bi(?:'m| am) (?:also |now |still )?(?:learning|studying|building|writing|planning|training)\b"
            r"|\bteaching me\b|\bmy (?:\w+ )?(?:course|exam|thesis|project|class)\b",
        ),
        ("preference/style", r"\b(?:answers?|explain|explanations?|bullet points?|small talk|pleasantries)\b"),
        (
            "personality/interests",
            rf"\bi (?:really |just |do )?{_PASTIME}\b|\bi can(?:'t|not) stand\b|\bi ?{_WISH}\b|\bmy favou?rite\b",
        ),
        (
            "pattern/routine",
            r"\bi (?:always|never|usually|mostly|often|only ever|get up|go to bed|sleep|start|finish|buy|give)\b"
            rf"|\b(?:every|each) {_DAY}\b",
        ),
        ("personality/values", r"\bi (?:think|believe|feel|find|want|need|trust|care)\b"),
        (
            "memory/lasting",
            r"\bi (?:have|keep|own|make|fix|repair|test|teach|run|drive|sell|write|catalogue|look after)\b",
        ),
    )
)


def changes_by_rule(turns: Sequence[Turn]) -> Iterator[Change]:
    """Entries to add, in the order they were said."""
    for turn in turns:
        if turn.is_feedback:
            yield _add("preference/style", turn.text, turn)
            continue
        for clause in clauses(turn.text):
            path = next((path for path, words in _RULES if words.search(clause)), None)
            if path:
                yield _add(path, clause, turn)


def clauses(text: str) -> Iterator[str]:
    """The clauses in which the user speaks of themselves, questions left out."""
    for sentence in _SENTENCE.findall(text.replace("’", "'")):
        if sentence.rstrip().endswith("?"):
            continue
        for part in _CLAUSE.split(sentence.strip(" .!")):
            clause = _JOINT.sub("", part.strip())
            if _OWN.search(clause) and len(clause.split()) >= _FEWEST_WORDS and len(clause) <= MOST_CHARACTERS:
                yield clause


def _add(path: str, text: str, turn: Turn) -> Change:
    return Change(op="add", path=f"/{path}/-", value=text[:MOST_CHARACTERS], source=str(turn.place))
