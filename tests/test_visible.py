"""Formulas, terminal escapes, hidden and turned text, and names that are paths: shown or written, none does a thing."""

from __future__ import annotations

import csv
import re
import unicodedata
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

import orjson
import polars as pl
import pytest
from typer.testing import CliRunner

import evenhand
from evenhand.cli.main import app
from evenhand.cli.progress import RunDisplay
from evenhand.models import Model
from evenhand.report.export import in_cells
from evenhand.report.transcripts import transcripts
from evenhand.study import Store
from evenhand.types import Request, Response
from evenhand.visible import all_visible, cell, file_names, markdown, visible, visible_json
from tests.hostile_texts import TO_JUDGES, TO_PAGES

# Every character of the planes that have some, without halves of pairs.
EVERYTHING = "".join(
    map(chr, [*range(0xD800), *range(0xE000, 0x14000), *range(0x1B000, 0x20000), *range(0xE0000, 0xE1000)])
)
# One of each kind; every range of what nobody sees, and of what a terminal obeys.
UNSEEN = (
    "\x00\x07\x08\x0b\x0c\x1b\x7f\x80\x9b\x9d\xad\u034f\u061c\u115f\u180e\u200b\u200c\u200d\u200e\u200f\u2028\u2029"
    "\u202a\u202d\u202e\u2060\u2066\u2069\u206a\u3164\ufeff\ufff9\U000e0041\U000e01ef"
)
FORMULAS = (
    "=1+1", "+cmd|' /C calc'!A0", "-2+3+cmd|' /C calc'!A0", "@SUM(1)", "\t=1", "\r=1", "\n=1", " =1", "\u200b=1",
    "＝1+1",
    "\ufeff@A1", "%0A=1", "|calc", "−1+1", "=HYPERLINK(\"http://a.example\")", "-1-1", "\x00=1", "\xa0=1", "\u2028+1",
)  # fmt: skip
NAMES = (
    "../../escape",
    "/etc/passwd",
    "..",
    "a/b\\c",
    "NUL",
    "nul.txt",
    "x" * 400,
    ".hidden",
    "a\x00b",
    "-rf",
    "~",
    "",
)
HOSTILE = ["=HYPERLINK(1)\x1b]8;;http://a.example\x07x", "[red]a\u202egpj[/nothing]", "a ![x](http://a.example) <b>|`"]


# Besides tab and line break: signs of scripts that are drawn around or above others.
_SEEN = {*"\t\n\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd"}
_SEEN |= {chr(n) for n in range(0x13430, 0x13440)}


def unseen(text: str) -> set[str]:
    """Characters that a terminal obeys or nobody sees, as Unicode has them."""
    kinds = {"Cc", "Cf", "Cs", "Zl", "Zp"}
    return {c for c in text if unicodedata.category(c) in kinds and c not in _SEEN}


def test_nothing_unseen_is_left() -> None:
    for text in [*UNSEEN, *TO_JUDGES, *TO_PAGES, EVERYTHING]:
        around = f"a{text}b"
        for made in (visible(around), str(cell(around)), markdown(around)):
            # One of the texts has all letters side by side: among those of joined scripts, joiners are spelling.
            assert unseen(made) <= (set("\u200c\u200d") if text is EVERYTHING else set()), repr(text[:80])
        assert not unseen(visible_json(orjson.dumps(around.encode(errors="ignore").decode()).decode()))


def test_a_column_of_cells_is_its_cells() -> None:
    whole = [t for t in (*UNSEEN, *FORMULAS, *TO_JUDGES, *TO_PAGES, *HOSTILE) if not re.search("[\ud800-\udfff]", t)]
    texts = [*whole, *EVERYTHING, "\ufffd=1", "\ufffd \ufffd+1", "-1", "1e5", "plain", "two\nlines\t", "", "a=1", "~"]
    changed = [text for text in texts if cell(text) != text]
    assert len(changed) > 4000 and len(texts) - len(changed) > 90_000
    found = in_cells(pl.Series("texts", [*texts, None])).to_list()
    assert found == [*map(cell, texts), None]
    assert in_cells(pl.Series("none", [None, None], dtype=pl.String)).to_list() == [None, None]


def test_joiners_are_spelling_where_a_script_joins() -> None:
    family, persian = "\U0001f469\u200d\U0001f467", "می\u200cخواهم"
    assert visible(family) == family and visible(persian) == persian
    assert visible("pass\u200dword") == "pass\ufffdword"


def test_json_is_read_back_whole() -> None:
    assert orjson.loads(visible_json(orjson.dumps([EVERYTHING]).decode())) == [EVERYTHING]


@pytest.mark.parametrize("text", FORMULAS)
def test_a_formula_is_a_text(text: str) -> None:
    assert str(cell(text)).startswith("'")


@pytest.mark.parametrize("value", ["-5", "+1.5e3", " -0.25", "a=b", "", 3, None, -1.0, "I am - well"])
def test_what_is_no_formula_stays(value: object) -> None:
    assert cell(value) == value


def test_names_are_one_step_of_a_path_and_differ() -> None:
    made = file_names([*NAMES, *TO_PAGES, "a:b", "a+b", "A-B", "same"])
    assert len({name.casefold() for name in made}) == len(made) and made[-1] == "same"
    assert not [n for n in made if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,80}", n)]
    assert not [n for n in made if re.fullmatch(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\..*)?", n)]
    assert file_names(["mmlu:logprobs"]) == ["mmlu-logprobs"]


class Hostile(Model):
    """Answers with every formula in turn, and sometimes fails with one."""

    id, concurrency, calls = HOSTILE[0], 1, 0

    async def respond(self, request: Request) -> Response:
        self.calls += 1
        return Response(
            f"{FORMULAS[self.calls % len(FORMULAS)]}{UNSEEN}I can't help with that.", finish_reason=HOSTILE[0]
        )


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hostile")
    rows = [{"id": f"{text}{n}", "question": text, "group": text} for n, text in enumerate(FORMULAS)]
    (folder / "items.jsonl").write_bytes(b"\n".join(map(orjson.dumps, rows)))
    toml = 'axis = "safety"\nitems = "items.jsonl"\nname = "../../=evil"\njudge = "refusal-rules"\n'
    (folder / "s.toml").write_text(toml)
    identities = [f"text:{text}" for text in HOSTILE]
    spec = {"model": "openai:x", "suites": [f"file:{folder / 's.toml'}"], "identities": identities, "limit": 12}
    evenhand.run({**spec, "baselines": ["plain"]}, folder / "study", model=Hostile())
    return folder / "study"


COMMANDS = (
    ("analyze",), ("analyze", "--labels", "--open"), ("analyze", "--format", "csv"), ("analyze", "--format", "json"),
    ("status",), ("status", "--format", "json"), ("doctor",), ("check", "--max-pb", "1"), ("memory", "show"),
    ("memory", "used"), ("memory", "audit"), ("plan",),
)  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_no_command_prints_what_a_terminal_obeys(study: Path, command: tuple[str, ...]) -> None:
    where = 2 if command[0] == "memory" else 1
    done = CliRunner().invoke(app, [*command[:where], str(study), *command[where:]], env={"COLUMNS": "300"})
    assert done.exit_code in (0, 1, 6), done.output
    assert done.output and not unseen(done.output)


def written(study: Path, out: Path) -> Iterator[Path]:
    for form in ("csv", "json", "markdown", "latex", "svg", "inspect", "model-card"):
        yield from evenhand.api.export_study(study, out / "below" / form, form)


def test_no_export_holds_what_is_obeyed_or_lies_elsewhere(study: Path, tmp_path: Path) -> None:
    files = [*written(study, tmp_path)]
    assert {f for f in tmp_path.rglob("*") if f.is_file()} == set(files)
    for file in files:
        if file.suffix != ".eval":
            assert not unseen(file.read_text(encoding="utf-8")), file
        if file.suffix == ".csv":
            cells = [c for row in csv.reader(file.open(encoding="utf-8", newline="")) for c in row]
            assert not [c for c in cells if cell(c) != c], file
        if file.suffix == ".svg":
            ET.parse(file)


def test_parquet_and_json_keep_every_character(study: Path, tmp_path: Path) -> None:
    files = [file for form in ("json", "parquet") for file in evenhand.api.export_study(study, tmp_path / form, form)]
    lines, frame = (next(f for f in files if f.name == name) for name in ("trials.jsonl", "trials.parquet"))
    responses = pl.read_parquet(frame)["response"].to_list()
    assert any(UNSEEN in text for text in responses)
    assert [orjson.loads(line)["response"] for line in lines.read_bytes().splitlines()] == responses


def test_markdown_has_no_pictures_links_or_columns_of_a_name(study: Path, tmp_path: Path) -> None:
    (file,) = evenhand.api.export_study(study, tmp_path, "markdown")
    summary = tmp_path / "gate.md"
    CliRunner().invoke(app, ["check", str(study), "--max-gap", "1", "--markdown", str(summary)])
    for text in (file.read_text(), summary.read_text()):
        assert "](" not in text.replace("\\]", "") and "<b>" not in text
        columns = {len(re.findall(r"(?<!\\)\|", line)) for line in text.splitlines() if line.startswith("|")}
        assert len(columns) == 1


def test_junit_can_be_read(study: Path, tmp_path: Path) -> None:
    CliRunner().invoke(app, ["check", str(study), "--min-safety", "99", "--junit", str(tmp_path / "junit.xml")])
    assert ET.parse(tmp_path / "junit.xml").getroot().attrib["tests"] == "1"
    assert not unseen((tmp_path / "junit.xml").read_text())


def test_the_report_hides_nothing(study: Path, tmp_path: Path) -> None:
    page = evenhand.write_report(study, tmp_path / "report.html").read_text(encoding="utf-8")
    ours = re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)
    assert not unseen(ours)
    with Store.open(study) as store:
        assert not unseen(orjson.dumps(all_visible(transcripts(store))).decode())


def test_a_sample_for_labels_holds_no_formula(study: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["judge", "sample", str(study), "--out", str(tmp_path / "s.csv")])
    assert done.exit_code == 0 and not unseen(done.output)
    rows = list(csv.reader((tmp_path / "s.csv").open(encoding="utf-8", newline="")))
    assert len(rows) > 12 and not [c for row in rows for c in row if cell(c) != c]


def test_the_display_of_a_run_obeys_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    display = RunDisplay()
    for text in HOSTILE:
        display.stage(text)
        display.note(text)
    assert "[/nothing]" in (told := capsys.readouterr().err) and not unseen(told)


def test_only_one_place_of_the_command_line_prints() -> None:
    """Else a command could print a text as it came."""
    folder = Path(evenhand.__file__).parent / "cli"
    direct = re.compile(r"typer\.(?:s?echo)|\bConsole\(|(?<![.\w])print\(")
    assert {f.name for f in folder.glob("*.py") if direct.search(f.read_text())} <= {"output.py", "console.py"}
