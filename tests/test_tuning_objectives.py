"""What tuning minimises: known values of the losses, weights of groups by hand, and rows that keep what they say."""

from __future__ import annotations

import math
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evenhand.errors import DataError, SpecError
from evenhand.specs import validated
from evenhand.study import Store
from evenhand.tuning.building import build_pairs
from evenhand.tuning.encoding import encode
from evenhand.tuning.matching import matched_pairs
from evenhand.tuning.objectives import GroupWeights
from evenhand.tuning.pairs import Pair, Preference, encode_pairs
from evenhand.tuning.spec import TuningSpec
from evenhand.types import Message
from tests.server import Server
from tests.test_tuning import tuning_study
from tests.tiny import tiny_llama

Cli = Callable[..., subprocess.CompletedProcess[str]]
PLAIN = (Message("system", "You are a helpful assistant."), Message("user", "How do I whistle?"))
TOLD = (Message("system", "You are a helpful assistant. I am a minor."), Message("user", "How do I whistle?"))


def test_names_of_adapters_of_before_stay() -> None:
    assert TuningSpec(model="smollm2").digest(b"x") == "f4a5da2f885d"
    assert (
        TuningSpec(model="smollm2", recipe="level", sft_weight=1).digest(encode_pairs([Pair(PLAIN, "a", "b")]))
        == "25d6edfb7b74"
    )
    other = {
        TuningSpec(model="smollm2", **more).digest(b"x")  # type: ignore[arg-type]
        for more in ({}, {"objective": "kl"}, {"objective": "kl", "kl_answers": "own"}, {"group_step": 0.1})
    }
    assert len(other) == 4


def test_self_play_is_plain_dpo() -> None:
    with pytest.raises(SpecError, match="plain DPO"):
        validated(TuningSpec, {"model": "smollm2", "recipe": "spin", "objective": "kl"}, "the command line")


def test_the_weights_of_the_groups_by_hand() -> None:
    weights = GroupWeights({"a": 0.5, "b": 0.25, "c": 0.25}, step=math.log(2))
    assert weights.of(["a", "b"]) == [1.0, 1.0]  # the first step is the plain mean
    weights.update(["a", "a", "b"], [0.0, 2.0, 2.0])  # a's mean is 1: x2; b: x4; c was not there
    assert weights.weights == pytest.approx({"a": 1 / 2.25, "b": 1 / 2.25, "c": 0.25 / 2.25})
    assert weights.of(["a", "b"]) == pytest.approx([2 / 2.25, 4 / 2.25])
    still = GroupWeights({"a": 0.5, "b": 0.5}, step=0)
    still.update(["a"], [100.0])
    assert still.of(["a", "b"]) == [1.0, 1.0]
    still.restore({"a": 0.9, "b": 0.1, "gone": 1.0})
    assert still.weights == {"a": 0.9, "b": 0.1}


def test_divergences_and_preferences_have_their_known_values() -> None:
    torch = pytest.importorskip("torch")
    from evenhand.tuning.objectives import answer_logprobs, divergences, likelihood_losses, preference_losses

    # Two answer tokens over two words; the second row's first place is padding.
    reference = torch.tensor([[[0.5, 0.5], [0.9, 0.1]], [[0.2, 0.8], [0.9, 0.1]]]).log()
    policy = torch.tensor([[[0.5, 0.5], [0.5, 0.5]], [[0.9, 0.1], [0.9, 0.1]]]).log()
    mask = torch.tensor([[1, 1], [0, 1]])
    kl = 0.9 * math.log(0.9 / 0.5) + 0.1 * math.log(0.1 / 0.5)
    assert divergences(reference, policy, mask).tolist() == pytest.approx([kl / 2, 0.0], abs=1e-6)
    assert divergences(policy, policy, mask).tolist() == pytest.approx([0.0, 0.0], abs=1e-6)
    targets = torch.tensor([[0, 1], [1, 0]])
    logprobs = answer_logprobs(policy + 3.0, targets, mask)  # logits need not be normalised
    assert logprobs.sum(1).tolist() == pytest.approx([2 * math.log(0.5), math.log(0.9)], abs=1e-5)
    assert likelihood_losses(logprobs, mask).tolist() == pytest.approx([-math.log(0.5), -math.log(0.9)], abs=1e-5)
    same = torch.tensor([-1.0, -5.0])
    assert preference_losses((same, same), (same, same), 0.1).tolist() == pytest.approx([math.log(2)] * 2)
    better = preference_losses((same + 2, same - 1), (same, same), 0.5)
    assert better.tolist() == pytest.approx([math.log(1 + math.exp(-1.5))] * 2)


def test_rows_to_match_read_what_nobody_is_told(cli: Cli, data_dir: Path, tmp_path: Path) -> None:
    out = tmp_path / "study"
    tuning_study(cli, data_dir, out)
    with Store.open(out) as store:
        items = len(store.item_order("do-not-answer"))
        plain = list(matched_pairs(store, "consistency", ""))
        best = list(matched_pairs(store, "best", ""))
    assert len(plain) == 3 * items  # the baseline, the minor and the adult
    assert {p.identity for p in plain} == {"plain", "a minor", "an adult"}
    assert all("I am" not in p.reference[0].content and "sorry" in p.chosen for p in plain)
    assert [p.preferred for p in plain] == [p.identity == "a minor" for p in plain]
    assert [p.reference for p in best] == [p.reference for p in plain]  # here the baseline's is the best


def test_where_a_fact_belongs_into_the_answer_it_stays(cli: Cli, data_dir: Path, tmp_path: Path) -> None:
    out, policy = tmp_path / "study", tmp_path / "policy.toml"
    tuning_study(cli, data_dir, out)
    policy.write_text('[[rule]]\ncategories = ["age"]\npattern = "."\n')
    with Store.open(out) as store:
        rows = list(matched_pairs(store, "consistency", str(policy)))
        with pytest.raises(DataError, match="no policy file"):
            list(matched_pairs(store, "consistency", str(tmp_path / "none.toml")))
    minor = [row for row in rows if row.identity == "a minor"]
    assert minor
    assert all(row.reference == row.messages and row.chosen == row.rejected and not row.preferred for row in minor)
    assert all("I am" not in row.reference[0].content for row in rows if row.identity == "plain")


def test_preference_data_without_an_identity_is_what_is_matched() -> None:
    rows = [Preference("", "Question?", "good", "bad")]
    pairs = build_pairs(TuningSpec(model="smollm2", recipe="all", identities=("age",), objective="kl"), None, rows)
    assert {pair.reference[0].content for pair in pairs} == {"You are a helpful assistant."}
    assert len({pair.identity for pair in pairs}) == 5
    plain = build_pairs(TuningSpec(model="smollm2", recipe="all", identities=("age",)), None, rows)
    assert b"identity" not in encode_pairs(plain)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory, smollm2_folder: Path) -> tuple[Any, Any]:
    """A model of PEFT with an adapter that changes nothing yet, and its tokenizer."""
    import transformers
    from peft import LoraConfig, get_peft_model

    folder = tmp_path_factory.mktemp("tiny")
    model = tiny_llama(folder, smollm2_folder)
    model.lm_head.weight.data *= 50  # as drawn it finds all words about as likely, whatever it reads
    lora = LoraConfig(r=2, target_modules="all-linear", task_type="CAUSAL_LM")
    return get_peft_model(model, lora).eval(), transformers.AutoTokenizer.from_pretrained(folder)


def row_losses(tiny: tuple[Any, Any], pairs: list[Pair], **settings: Any) -> tuple[list[float], Any]:
    from evenhand.tuning.encoding import batch
    from evenhand.tuning.rowwise import RowLoss

    model, tokenizer = tiny
    rows = encode(pairs, tokenizer, 128)
    loss = RowLoss(TuningSpec(model="smollm2", **settings), rows)
    inputs = batch(rows, loss.sides, loss.matched, tokenizer.eos_token_id, loss.groups)
    return loss.losses(model, inputs).tolist(), loss


@pytest.mark.model
def test_the_loss_is_zero_where_both_read_the_same_and_not_where_they_do_not(tiny: tuple[Any, Any]) -> None:
    own = Pair(TOLD, "Purse your lips and blow.", "No.", preferred=False, reference=TOLD)
    other = Pair(TOLD, "Purse your lips and blow.", "No.", preferred=False, reference=PLAIN)
    # Rows of other lengths in the batch change nothing.
    longer = Pair((*PLAIN[:1], Message("user", "Please, " * 20)), "Well, that is a long story.", "No.", preferred=False)
    losses, loss = row_losses(tiny, [own, other, longer], objective="kl", kl_answers="both")
    assert losses[0] == pytest.approx(0, abs=1e-5)
    assert losses[1] > 1e-4
    assert losses[2] == pytest.approx(0, abs=1e-5)  # without a conversation of its own the reference reads the same
    assert row_losses(tiny, [other], objective="kl", kl_answers="both")[0] == pytest.approx(losses[1:2], abs=1e-5)
    assert loss.shown["kl"] == pytest.approx(sum(losses) / 3, abs=1e-6)


@pytest.mark.model
def test_the_first_loss_of_a_preference_is_ln_2_and_of_none_nothing(tiny: tuple[Any, Any]) -> None:
    pairs = [Pair(TOLD, "Blow.", "No.", identity="a minor"), Pair(PLAIN, "Blow.", "No.", preferred=False)]
    losses, loss = row_losses(tiny, pairs, group_step=0.1)
    assert losses == pytest.approx([math.log(2), 0.0], abs=1e-5)
    assert loss.shown == {"rewards/margins": pytest.approx(0, abs=1e-5), "rewards/accuracies": 0.0}
    with_own, _ = row_losses(tiny, pairs, group_step=0.1, sft_weight=1.0)
    assert with_own[0] > losses[0] + 5  # a random model knows nothing


@pytest.mark.model
def test_answers_end_their_turn_unless_they_were_cut(tiny: tuple[Any, Any]) -> None:
    _, tokenizer = tiny
    whole, cut = encode([Pair(PLAIN, "Blow.", "No."), Pair(PLAIN, "Blow.", "No.", chosen_cut=True)], tokenizer, 128)
    assert whole.answers["chosen"][:-1] == cut.answers["chosen"]
    assert whole.answers["chosen"][-1] == tokenizer.eos_token_id
    text = tokenizer.decode([*whole.prompt, *whole.answers["chosen"]])
    turns = [*[m.to_dict() for m in PLAIN], {"role": "assistant", "content": "Blow."}]
    assert text == tokenizer.apply_chat_template(turns, tokenize=False).rstrip("\n")
    room = len(whole.prompt) + 1
    assert [len(row.answers["chosen"]) for row in encode([Pair(PLAIN, "Blow.", "No.")], tokenizer, room)] == [1]
    assert encode([Pair(PLAIN, "Blow.", "No.")], tokenizer, room - 1) == []


def test_what_a_user_needs_stays_beside_what_is_levelled(cli: Cli, data_dir: Path, tmp_path: Path) -> None:
    levelled, needed = tmp_path / "levelled", tmp_path / "needed"
    tuning_study(cli, data_dir, levelled)
    with Server(answer=lambda payload: "As you eat no meat, take the lentils.") as server:
        done = cli(
            "run", "--model", "openai:m", "--base-url", server.url, "--suite", "should-differ:food", "--personalizer",
            "profile", "--identities", "a minor", "--out", str(needed), "--split", "tune", "--limit", "4",
            env={"OPENAI_API_KEY": "k"},
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    spec = TuningSpec(model="smollm2", recipe="level", objective="dpo+kl", policy="")
    pairs = build_pairs(spec, [levelled, needed], [])
    kept = [pair for pair in pairs if pair.suite == "should-differ"]
    assert len(kept) == 4 * 2  # the minor and the baseline
    assert all(pair.reference == pair.messages and not pair.preferred for pair in kept)
    assert {pair.suite for pair in pairs} == {"do-not-answer", "should-differ"}
