"""Where the code stands in a response: fenced, in tags, in JSON, at a prompt, numbered, indented, or bare in prose."""

from __future__ import annotations

import ast
import html
import re
import textwrap
import warnings
from dataclasses import dataclass

from evenhand.json_text import json_objects
from evenhand.judges.answer_text import field_value, without_control_tokens
from evenhand.reasoning import split_reasoning

_FENCE = re.compile(r"^([ \t]*(?:>[ \t]?)?)(`{3,}|~{3,})[ \t]*([^\n]*)$")
_FENCE_BEHIND = re.compile(r"^[^`~\n]+(`{3,}|~{3,})((?:python|py)?[\d.]*)[ \t]*$", re.I)
_PYTHON = re.compile(r"[{.\s:]*(?:i?python|py|pycon|sage|gyp)[\d.]*(?![a-z])", re.I)
_FIELDS = ("code", "program", "python", "pythoncode", "sourcecode", "source", "function", "implementation", "solution",
           "completion", "answer", "finalanswer", "output", "response", "result", "content")  # fmt: skip
_TAGGED = re.compile(r"<(pre|code|python|solution|answer|program)\b[^<>]{0,200}>(.*?)(?:</\1\s*>|\Z)", re.S | re.I)
_MARK = re.compile(
    r"^[ \t]*(?:\[/?(?:BEGIN|DONE|END|PYTHON|CODE|ANSWER|SOLUTION|INST|/?TESTS?)[^\]\n]{0,20}\]"
    r"|</?(?:code|pre|python|answer|solution|program|response|output)\b[^<>\n]{0,80}>"
    r"|(?:BEGIN|DONE|END|-{3,}|={3,}|\*{3,}|_{3,})"
    r"|#{2,}[^\n]{0,80})[ \t]*$",
    re.M | re.I,
)
_START = re.compile(
    r"^[ \t]*(?:(?:async[ \t]+)?def |import \w|from [\w.]+ import |class \w|@\w|\w+[ \t]*=[ \t]*lambda\b)", re.M
)
# A name that is set above the first definition.
_CONSTANT = re.compile(r"[A-Za-z_]\w*[ \t]*=[ \t]*[^\s=]")
_DEFINES = re.compile(r"^[^\S\n]*(?:async\s+)?(?:def|class) |\blambda\b", re.M)
_PROMPT = re.compile(r"^[ \t]*(?:>>>|In \[\d+\]:)(?: |$)", re.M)
_TYPED = re.compile(r"[ \t]*(?:>>>|\.\.\.|In \[\d+\]:|\.{3,}:)(?: (.*)|)$")
_NUMBERED = re.compile(r"^([ \t]*)(\d{1,4})((?:[ \t]*[.:|)\]│])?)([ \t]?)(.*)$")
_INLINE = re.compile(r"(?<!`)(`{1,2})(?!`)((?:def |\w+ ?= ?lambda\b|class |from |import )[^`\n]{1,2000})\1(?!`)")
_QUOTES = str.maketrans({"“": '"', "”": '"', "„": '"', "‘": "'", "’": "'", "′": "'", "–": "-", "−": "-"})
_CLEANED = str.maketrans({"\u00a0": " ", "\u202f": " ", "\u2007": " ", "\u200b": None, "\ufeff": None, "\u2060": None})
# Lines tried in all, to close the brackets and quotations that a text leaves open at the margin.
_MOST_TRIES = 60


@dataclass(frozen=True)
class Block:
    """Code, and what its fence calls it ("" where nothing does)."""

    code: str
    language: str = ""

    @property
    def is_python(self) -> bool:
        return not self.language or _PYTHON.match(self.language) is not None


def parsed(code: str) -> ast.Module | None:
    """The syntax tree, or None where ``code`` is no program."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def defines(code: str) -> bool:
    """Whether ``code`` makes a function or class."""
    return _DEFINES.search(code) is not None


def plain_lines(text: str) -> str:
    """``text`` with one kind of line end and of space, without what is not seen."""
    text = re.sub(r"(?<!\r)\r+\n|\r", "\n", without_control_tokens(split_reasoning(text).answer))
    return text.translate(_CLEANED)


def code_blocks(text: str) -> list[Block]:
    """The pieces of ``text`` that are marked as code, best kind of mark first, else the bare code, else none."""
    if fenced := [b for b in fenced_blocks(text) if b.code.strip()]:
        found = [inner for block in fenced if block.is_python for inner in _inside(block.code)]
        found = found or [inner for block in fenced for inner in _inside(block.code)]
        return found or [b for b in fenced if b.is_python] or [b for b in fenced if _is_foreign_python(b)] or fenced
    if inside := _inside(text):
        return inside
    bare = bare_code(text)
    if bare is not None:
        return [Block(bare)]
    return [Block(code) for _, code in _INLINE.findall(text)]


def _is_foreign_python(block: Block) -> bool:
    return defines(block.code) and parsed(block.code) is not None


def fenced_blocks(text: str) -> list[Block]:
    """Blocks between fences of backticks or tildes (CommonMark); one that is not closed ends with the text."""
    found: list[Block] = []
    lines: list[str] = []
    fence, language, indent = "", "", ""
    for line in text.split("\n"):
        match = _FENCE.match(line)
        if fence:
            closes = match and match[2][0] == fence[0] and len(match[2]) >= len(fence) and not match[3].strip("`~ ")
            if closes or (line.rstrip().endswith(fence) and not match and _closes_behind(line, fence)):
                if not closes:
                    lines.append(line.rstrip()[: -len(fence)])
                found.append(Block(_unindented(lines, indent), language))
                fence, lines = "", []
            elif match and match[2][0] == fence[0] and match[3].strip() and len(match[2]) >= len(fence):
                # A new opening: the block before it was left open.
                found.append(Block(_unindented(lines, indent), language))
                indent, fence, language, lines = match[1], match[2], match[3].strip(), []
            else:
                lines.append(line)
        elif match:
            info = match[3].strip()
            if info.endswith(match[2]):
                found.append(_one_line(info[: -len(match[2])]))
            else:
                indent, fence, language = match[1], match[2], info
                if defines(info):
                    language, lines = "", [_one_line(info).code]
        elif behind := _FENCE_BEHIND.match(line):
            indent, fence, language = "", behind[1], behind[2]
    if fence:
        found.append(Block(_unindented(lines, indent).removesuffix("\n"), language))
    return found


def _closes_behind(line: str, fence: str) -> bool:
    """Whether a fence at the end of a line of code closes the block: not one inside a quotation."""
    return "'" + fence not in line and '"' + fence not in line


def _one_line(info: str) -> Block:
    """ "python def f(): return 1" as a block."""
    language, _, rest = info.partition(" ")
    if _PYTHON.fullmatch(language) and rest.strip():
        return Block(rest.strip() + "\n", language)
    return Block(info.strip() + "\n")


def _unindented(lines: list[str], indent: str) -> str:
    if indent:
        width = len(indent)
        lines = [line[width:] if line[:width].strip(" \t>") == "" else line for line in lines]
    return "".join(line + "\n" for line in lines)


def _inside(text: str) -> list[Block]:
    """Code in the fields of JSON objects, or in tags."""
    found: list[Block] = []
    if text.lstrip("[ \n").startswith("{") or '"code"' in text or '"solution"' in text:
        values = (field_value(value, _FIELDS) for _, _, value in json_objects(text))
        for value in filter(None, values):
            found += code_blocks(plain_lines(value)) if _START.search(value) or "```" in value else []
    if found:
        return found
    if "<" in text:
        for tag, content in _TAGGED.findall(text):
            inner = html.unescape(re.sub(r"<(?:br|/p|/div|/li)\s*/?>", "\n", content, flags=re.I))
            inner = re.sub(r"</?(?:span|code|pre|b|i|p|div|font)\b[^<>]{0,200}>", "", inner)
            if _START.search(inner) or (tag.lower() == "python" and inner.strip()):
                found.append(Block(inner.strip("\n") + "\n"))
    return found


def bare_code(text: str) -> str | None:
    """The lines of ``text`` from the first that starts a program, at their own margin, or None where none does."""
    if _PROMPT.search(text):
        return text
    start = _START.search(text)
    if start is None:
        return _numbered_code(text)
    lines = text[: start.start()].split("\n")
    while len(lines) > 1 and _CONSTANT.match(lines[-2]):
        del lines[-2]
    return text[len("\n".join(lines[:-1])) :].lstrip("\n") if len(lines) > 1 else text


def _numbered_code(text: str) -> str | None:
    lines = text.split("\n")
    first = next(
        (n for n, line in enumerate(lines) if (m := _NUMBERED.match(line)) and _START.match(m[5].strip())), None
    )
    return None if first is None else "\n".join(lines[first:])


def repaired(code: str) -> str:
    """``code`` as a program, where only its layout keeps it from being one; else as it is.

    Undone: margins, prompts with their output, line numbers, marks of a diff, typographic quotation marks, and prose
    between statements. Mistakes inside a statement stay.
    """
    if parsed(code) is not None and not _PROMPT.match(code.lstrip("\n")):
        return code
    for layout in (textwrap.dedent, _from_prompts, _without_numbers, _without_margin_numbers, _from_diff, _dequoted):
        attempt = _MARK.sub("", layout(code))
        if attempt.strip() and parsed(attempt) is not None and defines(attempt):
            return attempt
    for layout in (textwrap.dedent, _from_prompts, _without_numbers, _from_diff, _dequoted):
        attempt = statements_only(_MARK.sub("", _at_margin(layout(code))))
        if attempt.strip() and parsed(attempt) is not None and defines(attempt):
            return attempt
    return code


def _at_margin(code: str) -> str:
    """Code that is indented as a whole, with prose at the margin around it: without the indent and that prose."""
    start = _START.search(code)
    if start is None:
        return code
    indent = re.match(r"[ \t]*", start[0])
    if not indent or not indent[0]:
        return code
    kept = []
    for line in code[code.rfind("\n", 0, start.start() + 1) + 1 :].split("\n"):
        if line.strip() and not line.startswith(indent[0]):
            break
        kept.append(line[len(indent[0]) :])
    return "\n".join(kept)


def _from_prompts(code: str) -> str:
    """What was typed at the prompts of an interactive session."""
    if not _PROMPT.search(code):
        return code
    typed = (_TYPED.match(line) for line in code.split("\n"))
    return "".join((match[1] or "") + "\n" for match in typed if match)


def _without_numbers(code: str) -> str:
    return _numbers_removed(code, keep_width=False)


def _without_margin_numbers(code: str) -> str:
    return _numbers_removed(code, keep_width=True)


def _numbers_removed(code: str, *, keep_width: bool) -> str:
    kept, last = [], 0
    for line in code.split("\n"):
        match = _NUMBERED.match(line)
        if match and last < int(match[2]) <= last + 5:
            last = int(match[2])
            kept.append(" " * (len(line) - len(match[5])) + match[5] if keep_width else match[5])
        elif line.strip():
            return code if not last else textwrap.dedent("\n".join(kept)) + "\n"
        else:
            kept.append("")
    return textwrap.dedent("\n".join(kept)) + "\n"


def _from_diff(code: str) -> str:
    lines = [line for line in code.split("\n") if not re.match(r"(?:---|\+\+\+|@@|diff |index )", line)]
    if not any(line.startswith("+") for line in lines):
        return code
    return "\n".join(line[1:] for line in lines if not line.startswith("-"))


def _dequoted(code: str) -> str:
    return textwrap.dedent(code.translate(_QUOTES))


# A call of an example that the end of the answer cut.
_CUT_CALL = re.compile(r"(?!return|raise|assert|del|if|for|while|with)[a-z_][\w.]*\([^\n]*\s*\Z")
_GOES_ON = re.compile(r"(?:elif|else|except|finally|case)\b|[)\]}]")
_CODE_LINE = re.compile(
    r"(?:@|(?:async )?def \w|class \w|return\b|raise\b|assert\b|global\b|del \w|print\s*\("
    r"|import \w+[\w., ]*$|from [\w.]+ import\b"
    r"|(?:if|for|while|with|elif|try|else|except|finally)\b.{0,400}:\s*(?:#.*+)?$"
    r"|[\w.]+(?:\[[^\]]*\])*\s*(?:[-+*/%|&^]|//|\*\*|>>|<<)?=[^=]"
    r"|[A-Za-z_][\w.]*\()"
)


def statements_only(code: str) -> str:
    """The top-level statements of ``code``, without the prose between them.

    A piece that reads like code and is no statement stays, so that a program with a mistake remains one.
    """
    kept = []
    pieces = _pieces(code)
    position, tries = 0, _MOST_TRIES
    while position < len(pieces):
        piece, taken = pieces[position], 1
        is_program = parsed(piece) is not None
        if not is_program and tries > 0 and _CODE_LINE.match(piece):
            piece, taken, is_program = _completed(pieces, position, tries)
            tries -= taken if is_program else tries
        position += taken
        if is_program:
            if not _is_word(piece):
                kept.append(piece)
        elif _CODE_LINE.match(piece) and not (position == len(pieces) and _CUT_CALL.match(piece)):
            kept.append(piece)
    return "".join(kept)


def _is_word(piece: str) -> bool:
    """Whether a piece that parses is prose all the same ("Done", "Note: this")."""
    return re.match(r"[A-Z][\w'’-]*(?:[.:,;!?]?\s|[.:,;!?]?$)(?!\s*[=(])", piece) is not None


def _pieces(code: str) -> list[str]:
    """Lines at the margin with the indented ones below them; a clause such as ``else`` belongs to the piece above."""
    pieces: list[list[str]] = []
    decorated = False
    for line in code.split("\n"):
        at_margin = line.strip() and not line[0].isspace()
        if not pieces or (at_margin and not _GOES_ON.match(line) and not decorated):
            pieces.append([])
        decorated = bool(at_margin) and line.startswith("@")
        pieces[-1].append(line + "\n")
    return ["".join(piece) for piece in pieces]


def _completed(pieces: list[str], position: int, tries: int) -> tuple[str, int, bool]:
    """A statement whose bracket or quotation is closed further down, how many pieces it takes, whether it is one."""
    whole = pieces[position]
    for taken in range(2, min(tries, len(pieces) - position) + 1):
        whole += pieces[position + taken - 1]
        if parsed(whole) is not None:
            return whole, taken, True
    return pieces[position], 1, False
