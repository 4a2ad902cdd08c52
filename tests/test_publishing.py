"""A study as a run of MLflow and of Weights & Biases, and as a model card: read back with the libraries themselves."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import evenhand
from evenhand import api
from evenhand.analysis import Analysis
from evenhand.cli.main import app
from evenhand.errors import SpecError, StoreError
from evenhand.report.answer import answer
from evenhand.report.figures import figures, settings, unknown_biases
from tests.server import Server, default_answer
from tests.test_report_answer import made

KEY = "sk-planted-1f0b7c55"
SAID = "Zanzibar is what only an answer says"


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of both axes, whose answers say something that nothing else does."""
    out = tmp_path_factory.mktemp("published") / "release-1"
    with pytest.MonkeyPatch.context() as patch, Server(lambda p: f"{default_answer(p)} {SAID}.") as server:
        patch.setenv("OPENAI_API_KEY", KEY)
        spec = {
            "model": "openai:org/chat-1", "options": {"base_url": server.url}, "limit": 30, "identities": ["age"],
            "suites": ["starter-safety", "starter-utility:knowledge+reasoning"],
        }  # fmt: skip
        api.run(spec, out)
    return out


@pytest.fixture(scope="module")
def analysis(study: Path) -> Analysis:
    return api.analyze(study)


@pytest.fixture
def no_trackers_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "WANDB_MODE", "WANDB_PROJECT", "WANDB_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    for name in ("WANDB_DATA_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


def nowhere_in(folder: Path, *words: str) -> None:
    files = [file for file in folder.rglob("*") if file.is_file()]
    assert files
    for file in files:
        held = file.read_bytes()
        assert not [word for word in words if word.encode() in held], file


def assert_figures(found: dict[str, float], analysis: Analysis) -> None:
    """What was read back is what the analysis says."""
    pb = analysis.pb["safety"]
    assert pb is not None
    told = {"pb_safety": pb.corrected, "pb_safety_low": pb.ci[0], "pb_safety_high": pb.ci[1], "pb_safety_p": pb.p_value}
    told |= {"answers_missing": 0.0, "answers_done": 360.0}
    assert {name: found[name] for name in told} == pytest.approx(told)
    assert found == pytest.approx(figures(analysis))


@pytest.mark.usefixtures("no_trackers_environment")
def test_a_run_of_mlflow(study: Path, analysis: Analysis, tmp_path: Path) -> None:
    from mlflow.tracking import MlflowClient

    done = CliRunner().invoke(app, ["export", str(study), "--to", "mlflow", "--out", str(tmp_path / "ml")])
    assert done.exit_code == 0, done.output
    client = MlflowClient(tracking_uri=f"sqlite:///{tmp_path / 'ml' / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("evenhand")
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.run_id in done.stdout
    assert (run.info.run_name, run.info.status) == ("release-1", "FINISHED")
    assert_figures(run.data.metrics, analysis)
    assert run.data.params["model"] == "org/chat-1"
    assert run.data.params["judges.starter-safety"] == "action-classifier"
    assert run.data.params["decoding.temperature"] == "1.0"
    assert answer(analysis, "").said in run.data.tags["mlflow.note.content"]
    names = {file.path for file in client.list_artifacts(run.info.run_id)}
    assert names == {"report.html", "identities.csv", "analysis.json"}
    (tmp_path / "got").mkdir()
    kept = Path(client.download_artifacts(run.info.run_id, "", str(tmp_path / "got")))
    assert "a minor" in (kept / "report.html").read_text()
    assert json.loads((kept / "analysis.json").read_text())["pb"]["safety"]["plugin"]
    nowhere_in(tmp_path / "ml", KEY, SAID, "127.0.0.1", str(study.parent))


@pytest.mark.usefixtures("no_trackers_environment")
def test_mlflow_where_the_environment_says(study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow.tracking import MlflowClient

    uri = f"sqlite:///{tmp_path / 'elsewhere.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "releases")
    monkeypatch.chdir(tmp_path)
    logged = api.track_study(study, "mlflow")
    assert logged.where == uri
    again = api.track_study(study, "mlflow")
    client = MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name("releases")
    assert experiment is not None
    runs = {run.info.run_id for run in client.search_runs([experiment.experiment_id])}
    assert runs == {logged.run, again.run}


@pytest.mark.usefixtures("no_trackers_environment")
def test_no_place_and_no_such_place(study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SpecError, match="No place for the run") as found:
        api.track_study(study, "mlflow")
    assert "MLFLOW_TRACKING_URI" in found.value.fix
    with pytest.raises(SpecError, match="No place for the run"):
        api.track_study(study, "wandb")
    with pytest.raises(SpecError, match="There is no tracker 'mlfow'"):
        api.track_study(study, "mlfow", tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "nothing://there")
    with pytest.raises(StoreError, match="MLflow could not log to nothing://there"):
        api.track_study(study, "mlflow")


def records(file: Path) -> Iterator[Any]:
    """What a run of Weights & Biases holds: its own records, in LevelDB's log format behind a header of 7 bytes."""
    from wandb.proto.wandb_internal_pb2 import Record

    held, place, whole = file.read_bytes(), 7, b""
    assert held[:4] == b":W&B"
    while place + 7 <= len(held):
        left = 32768 - place % 32768
        if left < 7:
            place += left
            continue
        length, kind = struct.unpack("<HB", held[place + 4 : place + 7])
        whole += held[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # a record in one piece, or its last piece
            made = Record()
            made.ParseFromString(whole)
            yield made
            whole = b""


@pytest.mark.usefixtures("no_trackers_environment")
def test_a_run_of_weights_and_biases_that_stays_here(study: Path, analysis: Analysis, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["export", str(study), "--to", "wandb", "--out", str(tmp_path / "wb")])
    assert done.exit_code == 0, done.output
    (file,) = (tmp_path / "wb").glob("wandb/offline-run-*/*.wandb")
    held = list(records(file))
    (run,) = [record.run for record in held if record.WhichOneof("record_type") == "run"]
    assert (run.project, run.display_name) == ("evenhand", "release-1")
    assert answer(analysis, "").said in run.notes
    config = {entry.key: json.loads(entry.value_json) for entry in run.config.update if entry.key}
    assert config["model"] == "org/chat-1"
    summary = {
        ".".join(entry.nested_key) or entry.key: json.loads(entry.value_json)
        for record in held
        for entry in record.summary.update
        if not (entry.key or entry.nested_key[0]).startswith("_")
    }
    assert_figures(summary, analysis)
    saved = {path.path for record in held for path in record.files.files}
    assert saved >= {"report.html", "identities.csv", "analysis.json"}
    assert all((file.parent / "files" / name).is_file() for name in saved)
    nowhere_in(tmp_path / "wb", KEY, SAID, "127.0.0.1:")


@pytest.mark.usefixtures("no_trackers_environment")
def test_texts_go_along_when_they_are_asked_for(study: Path, tmp_path: Path) -> None:
    from evenhand.report.transcripts import packed_transcripts
    from evenhand.study import Store

    for texts in (False, True):
        api.track_study(study, "wandb", tmp_path / str(texts), texts=texts)
        (page,) = (tmp_path / str(texts)).glob("wandb/offline-run-*/files/report.html")
        with Store.open(study) as store:
            assert (packed_transcripts(store) in page.read_text()) == texts
        assert (SAID in page.read_text()) == texts
        assert ("This copy is for others" in page.read_text()) != texts


def test_a_report_for_others_in_a_browser(study: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["report", str(study), "--no-texts", "--out", str(tmp_path / "r.html")])
    assert done.exit_code == 0, done.output
    page = (tmp_path / "r.html").read_text()
    assert SAID not in page and "t-list" not in page and "transcripts-data" not in page


def test_a_model_card_that_the_hub_reads(study: Path, analysis: Analysis, tmp_path: Path) -> None:
    from huggingface_hub import ModelCard

    done = CliRunner().invoke(app, ["export", str(study), "--to", "model-card", "--out", str(tmp_path)])
    assert done.exit_code == 0, done.output
    card = ModelCard.load(tmp_path / "model-card.md")
    results = card.data.eval_results
    assert results and card.data.model_name == "org/chat-1"
    bias = {r.dataset_name: r for r in results if r.metric_type == "personalization-bias"}
    assert set(bias) == {
        "starter-safety",
        "starter-utility:knowledge+reasoning",
        "starter-safety, starter-utility:knowledge+reasoning",
    }
    pb = analysis.pb["safety"]
    assert pb is not None
    args = bias["starter-safety"].metric_args
    assert args is not None
    told = (bias["starter-safety"].metric_value, args["ci_low"], args["ci_high"])
    assert told == pytest.approx((pb.corrected, *pb.ci), abs=1e-4)
    text = card.text
    assert answer(analysis, "").said in text
    assert "What it cannot say" in text and "| safety | starter-safety |" in text
    assert f"{pb.ci[0]:.2f} to {pb.ci[1]:.2f}" in text
    card.save(tmp_path / "again.md")
    assert ModelCard.load(tmp_path / "again.md").data.eval_results == results


@pytest.mark.parametrize(
    ("worse", "items", "base", "missing", "why"),
    [
        ({}, 6, 0.97, 0.0, "items tell identities apart"),
        ({"a minor": 0.4}, 120, 0.8, 0.0, ""),
    ],
)
def test_what_is_not_known_has_no_figure(
    worse: dict[str, float], items: int, base: float, missing: float, why: str, tmp_path: Path
) -> None:
    analysis = made(tmp_path / "s", worse, items=items, base=base, missing=missing)
    found, unknown = figures(analysis), unknown_biases(analysis)
    assert ("pb_safety" in found) == (why == "")
    assert ("suite.mine.pb" in found) == (why == "")
    assert why in unknown.get("safety", "")
    assert "pb_utility" not in found  # it was not run
    pb = analysis.pb["safety"]
    assert pb is not None and found["pb_safety_high"] == pb.ci[1]
    (card,) = api.export_study(tmp_path / "s", tmp_path / "card", "model-card")
    text = card.read_text()
    assert ("type: personalization-bias" in text) == (why == "")
    assert (f"The bias on safety is not known: {unknown.get('safety')}" in text) == bool(why)


def test_an_axis_that_could_not_be_read_is_not_free_of_bias(tmp_path: Path) -> None:
    with Server(lambda _: "Lorem ipsum.") as server:
        spec = {
            "model": "openai:m", "options": {"base_url": server.url}, "suites": ["starter-utility"], "limit": 40,
            "identities": ["age"],
        }  # fmt: skip
        api.run(spec, tmp_path / "s")
    found = figures(api.analyze(tmp_path / "s"))
    assert not [name for name in found if name.startswith(("pb_", "suite.starter-utility.pb"))]
    text = api.export_study(tmp_path / "s", tmp_path / "card", "model-card")[0].read_text()
    assert "personalization-bias\n      value" not in text and "could be read" in text
    assert "type: score" not in text


def test_unpaired_answers_have_a_disparity_and_no_bias(tmp_path: Path) -> None:
    from tests.test_unpaired import traffic

    evenhand.from_table(traffic(3, 0.3), tmp_path / "s")
    analysis = api.analyze(tmp_path / "s")
    (apart,) = analysis.unpaired
    found = figures(analysis)
    (name,) = [n for n in found if n.startswith("disparity.") and not n.endswith(("_low", "_high", "_p"))]
    assert found[name] == apart.disparity and found[f"{name}_high"] == apart.ci[1]
    assert not [n for n in found if n.startswith("pb_")]
    (card,) = api.export_study(tmp_path / "s", tmp_path / "card", "model-card")
    text = card.read_text()
    assert "is served worst" in text and f"{apart.disparity:.1f} points, 95 % interval" in text


def test_settings_tell_how_it_was_asked_and_nothing_of_this_machine() -> None:
    spec = {
        "model": "openai:m", "suites": ["a", "b"], "limit": None, "repeats": 3, "data_dir": "/home/me/data",
        "options": {"base_url": "http://inside:1/v1", "extra_headers": {"X": "$Y"}}, "judges": {"a:x+y": "rules"},
        "decoding": {"temperature": 0.0}, "identities": ["x" * 600],
    }  # fmt: skip
    told = settings(spec)
    assert (
        told["model"] == "m"
        and told["suites"] == "a, b"
        and told["repeats"] == "3"
        and told["decoding.temperature"] == "0.0"
    )
    assert told["judges.a_x_y"] == "rules" and len(told["identities"]) == 500
    assert not any(word in str(told) for word in ("home", "inside", "$Y"))
