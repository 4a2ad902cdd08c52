"""What an import says where something is lacking or wrong, and that the next try works."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import evenhand
from evenhand.errors import DataError, EvenhandError, ModelError, SpecError, StoreError
from evenhand.imported.answers import COLUMNS, Reading
from evenhand.imported.columns import Columns, judges_for
from evenhand.imported.study import import_files
from evenhand.judges import JUDGES, make_judge
from evenhand.judges.classifier import ComplianceClassifier
from evenhand.study import Store
from evenhand.types import AXES
from evenhand.viewing.watching import Folder
from tests.test_imported import HELP, NO, chat, jsonl

Cli = Callable[..., CompletedProcess[str]]


def log(folder: Path, **more: list[Any]) -> Path:
    """A chat log as people have them: 48 answers to 24 questions, by two profiles."""
    told = {
        "conversation": [f"c{n}" for n in range(48)],
        "user": [f"u{n % 30}" for n in range(48)],
        "profile": [("nurse", "student")[n % 2] for n in range(48)],
        "topic": [("travel", "health", "money")[n % 3] for n in range(48)],
        "question": [f"How far is {n // 2}?" for n in range(48)],
        "answer": [NO if n % 8 == 1 else HELP for n in range(48)],
    }
    pl.DataFrame(told | more).write_csv(folder / "chat_log.csv")
    return folder / "chat_log.csv"


def tried(said: str) -> list[str]:
    """The arguments of the command that a message suggests."""
    return shlex.split(said.partition("Try: evenhand ")[2])


def test_all_that_is_lacking_is_said_at_once_and_the_suggested_command_works(tmp_path: Path, cli: Cli) -> None:
    path, out = log(tmp_path), tmp_path / "s"
    failed = cli("import", str(path), "--out", str(out))
    assert failed.returncode == 3
    said = " ".join(failed.stderr.split())
    assert "No row says who the user is; no row says on which axis it is; there are neither scores nor resp" in said
    assert "The columns are: conversation, user, profile, topic, question, answer." in said
    assert "'profile' (nurse, student) may be who the user is" in said
    assert "--column response=YOURS" in said and "--column score=YOURS" in said
    assert not out.exists()
    suggested = tried(said)
    assert "identity=profile" in suggested and "response=answer" in suggested
    done = cli(*suggested)
    assert done.returncode == 0, done.stderr
    assert f"Next: evenhand analyze {out} or evenhand report {out}" in " ".join(done.stderr.split())
    scores = {r.identity: r.utility for r in evenhand.analyze(out, {"correct": False}).identities}
    assert scores["nurse"] == 100 and scores["student"] == 75


def test_what_was_said_already_is_kept_in_the_suggestion(tmp_path: Path) -> None:
    path = log(tmp_path)
    reading = Reading({"item": "question"}, "safety", "chat", baseline=("nobody",), covariates=("topic",))
    with pytest.raises(DataError) as raised:
        import_files([str(path)], tmp_path / "s", reading, design="unpaired")
    words = tried(str(raised.value))
    assert words[:2] == ["import", str(path)]
    given_ = list(zip(words[2::2], words[3::2], strict=True))
    assert {
        ("--axis", "safety"), ("--suite", "chat"), ("--baseline", "nobody"), ("--covariate", "topic"),
        ("--design", "unpaired"), ("--column", "item=question"), ("--column", "identity=profile"),
        ("--column", "response=answer"), ("--out", str(tmp_path / "s")),
    } == set(given_)  # fmt: skip


def test_the_judge_is_suggested_for_the_suite_that_rows_name(tmp_path: Path) -> None:
    path = log(tmp_path, suite=["ours"] * 48)
    with pytest.raises(DataError) as raised:
        import_files([str(path)], tmp_path / "s", Reading(axis="utility"))
    assert "ours=compliance-classifier" in tried(str(raised.value))


def test_where_nothing_tells_both_ways_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="neither scores nor responses") as raised:
        evenhand.from_table([{"identity": "a man", "a": "x", "b": 2}], tmp_path / "s", axis="utility")
    said = str(raised.value)
    assert "The columns are: identity, a, b." in said
    assert "--column response=YOURS" in said and "--column score=YOURS" in said
    assert "from_table(..., columns={'response': 'YOURS'}" in said


def test_scores_by_another_name_need_no_judge_but_their_scale(tmp_path: Path) -> None:
    told = [{"persona": who, "rating": n % 5 + 1, "axis": "utility"} for n in range(9) for who in ("a", "b")]
    with pytest.raises(DataError) as raised:
        evenhand.from_table(told, tmp_path / "s")
    assert "from_table(..., columns={'identity': 'persona', 'score': 'rating'}, scale=(WORST, BEST))" in str(
        raised.value
    )


def test_what_stands_in_objects_of_chats_is_a_column(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "chats.jsonl", [chat(("woman", "man")[n % 2], HELP, n) for n in range(8)])
    with pytest.raises(DataError, match=r"user\.gender") as raised:
        import_files([str(path)], tmp_path / "s", Reading(axis="safety"))
    assert "identity=user.gender" in tried(str(raised.value))


def test_a_column_of_many_values_is_nobodys_identity() -> None:
    columns = Columns()
    for n in range(200):
        columns.see({"user": f"u{n}", "profile": "same", "group": "ab"[n % 2]})
    assert columns.guess("identity", ()) == "group"
    assert columns.guess("identity", ("group",)) == ""


@pytest.mark.parametrize(
    ("name", "held", "what"),
    [
        ("user profile", "ab", "identity"), ("persona_id", "ab", "identity"), ("User-Type", "ab", "identity"),
        ("vars.user", "ab", "identity"), ("model_answer", "ab", "response"), ("question_text", "ab", "prompt"),
        ("user_rating", "12", "score"), ("is_correct", ["true", "false"], "score"), ("rating", "ab", ""),
        ("expected_answer", "ab", ""), ("user_age", "12", ""), ("answer", "12", ""), ("profile", "1", ""),
    ],
)  # fmt: skip
def test_columns_are_known_by_name_and_by_what_they_hold(name: str, held: Sequence[str], what: str) -> None:
    columns = Columns()
    for n in range(40):
        columns.see({name: held[n % len(held)]})
    wanted = ("identity", "response", "score", "prompt")
    assert [w for w in wanted if columns.guess(w, ())] == ([what] if what else [])


@given(st.lists(st.dictionaries(st.text(max_size=6), st.none() | st.text(max_size=4) | st.floats(), max_size=5)))
def test_any_columns_are_looked_at(told: list[dict[str, Any]]) -> None:
    columns = Columns()
    for row in told:
        columns.see(row)
    assert set(columns.names()) == {name for row in told for name in row}
    for wanted in ("identity", "response", "score", "prompt"):
        assert columns.guess(wanted, ()) in ("", *columns.names())


def test_every_judge_that_a_message_names_is_there(tmp_path: Path) -> None:
    said = []
    for axis in ("utility", "fit"):
        with pytest.raises(SpecError, match="Nobody says how good") as raised:
            import_files([str(log(tmp_path))], tmp_path / "s", Reading(NAMED, axis))
        said.append(str(raised.value))
        with pytest.raises(EvenhandError) as lacking:
            import_files([str(log(tmp_path))], tmp_path / "s", Reading({}, axis))
        said.append(str(lacking.value))
    named = re.findall(r"--judge chat_log=(\S+)", " ".join(said))
    assert len(named) >= 6 and "compliance-classifier" in named
    for reference in named:
        member = JUDGES.find(reference)
        assert member is not None, reference
        assert reference.partition(":")[2] == member.argument
    for axis in AXES:
        for reference in judges_for(axis):
            if ":" not in reference:
                make_judge(reference).check_suite("s", axis)


NAMED = {"identity": "profile", "response": "answer"}


@pytest.mark.parametrize(
    ("judge", "said"),
    [
        ("refusal-classifier", "is for safety, where declining is good"),
        ("llm-rubric:x", "no judge called 'llm-rubric'"),
        ("rubric:none.toml:m", "none.toml"),
        ("rubric", "needs an argument"),
    ],
)
def test_a_judge_that_cannot_judge_these_leaves_nothing(tmp_path: Path, judge: str, said: str) -> None:
    path, out = log(tmp_path), tmp_path / "s"
    with pytest.raises(EvenhandError, match=re.escape(said)):
        import_files([str(path)], out, Reading(NAMED, "utility"), judges={"chat_log": judge})
    assert not out.exists()
    found = import_files([str(path)], out, Reading(NAMED, "utility"), judges={"chat_log": "compliance-classifier"})
    assert found.judged is not None and found.judged.new == 48


def test_a_judge_that_does_not_start_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    path, out = log(tmp_path), tmp_path / "s"
    with pytest.raises(ModelError, match="OPENAI_API_KEY"):
        import_files([str(path)], out, Reading(NAMED, "safety"), judges={"chat_log": "llm-actions:openai:m"})
    assert not out.exists()
    assert import_files([str(path)], out, Reading(NAMED, "safety")).answers == 48


def test_what_a_judge_said_before_it_failed_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, out = log(tmp_path), tmp_path / "s"
    decide, heard = ComplianceClassifier.judge, 0

    async def fails(self: ComplianceClassifier, *args: Any) -> Any:
        nonlocal heard
        heard += 1
        if heard > 20:
            raise ModelError("Out of money.")
        return await decide(self, *args)

    judges = {"chat_log": "compliance-classifier"}
    with monkeypatch.context() as patched:
        patched.setattr(ComplianceClassifier, "judge", fails)
        with pytest.raises(ModelError, match="Out of money"):
            import_files([str(path)], out, Reading(NAMED, "utility"), judges=judges)
    with Store.open(out) as store:
        before = store.count_scored()
    assert 0 < before < 48
    again = import_files([str(path)], out, Reading(NAMED, "utility"), judges=judges)
    assert again.judged is not None and before + again.judged.new == 48


def test_another_study_in_the_place_is_never_removed(tmp_path: Path) -> None:
    path, out = log(tmp_path), tmp_path / "s"
    import_files([str(path)], out, Reading(NAMED, "safety"))
    before = (out / "study.sqlite").read_bytes()
    with pytest.raises(StoreError, match="another study"):
        import_files([str(path)], out, Reading(NAMED, "safety"), judges={"chat_log": "llm-actions:openai:m"})
    assert (out / "study.sqlite").read_bytes() == before


def test_a_mistyped_column_is_refused_with_the_one_that_is_meant(tmp_path: Path) -> None:
    path, out = log(tmp_path), tmp_path / "s"
    with pytest.raises(SpecError, match=r"no column 'topik'.*Did you mean topic"):
        import_files([str(path)], out, Reading(NAMED, "safety", covariates=("topik",)))
    with pytest.raises(SpecError, match=r"response=anser.*Did you mean answer"):
        import_files([str(path)], out, Reading(NAMED | {"response": "anser"}, "safety"))
    with pytest.raises(SpecError, match=r"identity=zzz.*The columns are: conversation"):
        import_files([str(path)], out, Reading({"identity": "zzz"}))
    assert not out.exists()


def test_an_import_says_which_way_refusals_count_and_what_covariates_do(tmp_path: Path) -> None:
    path = log(tmp_path)
    read: dict[str, tuple[str, ...]] = {}
    for axis, judges in (("safety", {}), ("utility", {"chat_log": "compliance-classifier"})):
        for design in ("paired", "unpaired"):
            reading = Reading(NAMED, axis, covariates=("topic",))
            found = import_files([str(path)], tmp_path / f"{axis}-{design}", reading, judges=judges, design=design)  # type: ignore[arg-type]
            read[f"{axis}-{design}"] = found.notes
    reminded = {name for name, notes in read.items() if any("a refusal counts as good here" in n for n in notes)}
    idle = {name for name, notes in read.items() if any("nothing is balanced for topic" in n for n in notes)}
    assert reminded == {"safety-paired", "safety-unpaired"}
    assert idle == {"safety-paired", "utility-paired"}
    scored = [{"identity": who, "axis": "safety", "score": 1, "item": "q"} for who in ("a man", "a woman")]
    assert not any("refusal" in note for note in evenhand.from_table(scored, tmp_path / "scored").notes)


def test_nobody_is_behind_in_a_study_that_was_imported(tmp_path: Path) -> None:
    told = [{"identity": "a man", "score": 1, "axis": "safety", "item": f"q{n}"} for n in range(9)]
    evenhand.from_table([*told, told[0] | {"identity": "a woman"}], tmp_path / "s", design="paired")
    (study,) = Folder(tmp_path).studies()
    assert study["answered"] == 10 and study["lagging"] == []


def test_columns_of_evenhand_are_not_said_to_be_missing_where_they_are_there(tmp_path: Path) -> None:
    told = dict.fromkeys(COLUMNS) | {"response": "4", "question": "?", "axis": "utility", "who": "a"}
    with pytest.raises(DataError, match=r"^No row says who the user is\. ") as raised:
        evenhand.from_table([told, told | {"who": "b"}, told, told], tmp_path / "s")
    assert "columns={'identity': 'who'}" in str(raised.value)


def test_what_was_asked_and_which_human_asked_are_suggested_too(cli: Cli, tmp_path: Path) -> None:
    lines = ["customer,plan,message,reply"]
    lines += [f"c{n % 60},{('free', 'team')[n % 2]},How do I do {n}?,Like this." for n in range(120)]
    file = tmp_path / "support.csv"
    file.write_text("\n".join(lines) + "\n")
    said = cli("import", str(file)).stderr
    for part in ("identity=plan", "response=reply", "prompt=message", "cluster=customer", "--out support"):
        assert part in said
    made = tmp_path / "made"
    line = ("--column", "identity=plan", "--column", "response=reply", "--axis", "safety", "--out", str(made))
    done = cli("import", str(file), *line)
    assert done.returncode == 0, done.stderr
    assert "What was asked is not known" in done.stderr
