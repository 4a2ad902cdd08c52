"""Policies that read a user from a few choices: they steer, change nothing before, and are kept whole."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from typer.testing import CliRunner

from evenhand import api
from evenhand.cli.main import app
from evenhand.errors import DataError, ModelError, SpecError
from evenhand.identities import PLAIN
from evenhand.models import Model, ModelOptions, make_model
from evenhand.models.activations import acting
from evenhand.models.hf import HFModel, Weights
from evenhand.people import plain_person
from evenhand.personalizers import Memory, PersonPersonalizer, baseline_messages, make_personalizer
from evenhand.policies import Film, Policy, build_policy, filmed
from evenhand.rewards import Choices
from evenhand.tuning import policy as training
from evenhand.tuning import policy_standing
from evenhand.tuning.choosing import Asked, Chooser, preferred, refer
from evenhand.tuning.policy import CHECKPOINT_FILE, Episode, TunedPolicy, tune_policy
from evenhand.tuning.spec import PolicySpec
from evenhand.types import Decoding, Identity, Item, Person, PreferencePair, Request, Response, User
from tests.tiny import tiny_encoder
from tests.training_scripts import benchmark_script

torch = pytest.importorskip("torch")
bench = benchmark_script("policy")
KINDS = dict(bench.users(20, 16))
ASKED = Item("i", "Paint the door.", "g", "Paint the door.")


@dataclass(frozen=True)
class Trained:
    """A policy, what it was made with, and its language model."""

    made: TunedPolicy
    spec: PolicySpec
    policy: Policy
    weights: Weights


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    scratch = tmp_path_factory.mktemp("policy")
    model = bench.random_model(scratch / "model")
    spec = PolicySpec(
        model=model, encoder="benchmark-words", hidden=16, steps=80, episodes=6, learning_rate=2e-3, dtype="float32"
    )
    made = tune_policy(spec, KINDS, scratch / "policy")
    opened = make_model(model, ModelOptions(dtype="float32"))
    assert isinstance(opened, HFModel)
    opened.weights().network.requires_grad_(False)
    return Trained(made, spec, Policy.load(made.folder), opened.weights())


def fresh(trained: Trained) -> Policy:
    torch.manual_seed(0)
    return Policy(trained.policy.shape, build_policy(trained.policy.shape))


def tokens(trained: Trained) -> Any:
    """Three texts of one length."""
    return torch.tensor([[3, 9, 20, 7], [5, 5, 11, 2], [1, 30, 8, 8]])


def logits(trained: Trained, film: Film | None) -> Any:
    with torch.no_grad(), filmed(trained.weights.network, film):
        return trained.weights.network(tokens(trained)).logits


def vectors(count: int, trained: Trained) -> Any:
    return torch.randn(count, trained.policy.shape.hidden, generator=torch.Generator().manual_seed(3))


@pytest.mark.simulation
def test_it_steers_by_the_choices_it_was_told_and_by_nothing_else(trained: Trained) -> None:
    at = {row.context: row for row in trained.made.standings}
    assert list(at) == [0, 1, 3, 5, 10]
    assert at[0].steering == pytest.approx(0, abs=1e-9)
    assert not at[0].steers
    for context in (5, 10):
        assert (at[context].steering or 0) > 50, at[context]
        assert min(at[context].kinds.values()) > 60
    assert at[5].steers
    assert trained.made.curve[0] == pytest.approx(np.log(2), abs=1e-5)
    assert np.mean(trained.made.curve[-10:]) < np.log(2) - 0.005


def test_before_it_has_learned_the_model_is_what_it_was(trained: Trained) -> None:
    policy = fresh(trained)
    with torch.no_grad():
        film = policy.film(vectors(3, trained))
    assert (logits(trained, film) == logits(trained, None)).all()


def test_each_row_of_a_batch_has_its_own_user_and_hooks_do_not_stay(trained: Trained) -> None:
    with torch.no_grad():
        film = trained.policy.film(vectors(3, trained))
    before, together = logits(trained, None), logits(trained, film)
    for row in range(3):
        alone = Film(film.scale[[row] * 3], film.shift[[row] * 3])
        assert together[row] == pytest.approx(logits(trained, alone)[row], abs=1e-4)
    assert not np.allclose(together, before, atol=1e-2)
    assert (logits(trained, None) == before).all()


def test_a_request_carries_what_was_learned(trained: Trained) -> None:
    users = vectors(3, trained)
    with torch.no_grad():
        film = trained.policy.film(users)
    rows = [(trained.policy.intervention(user.numpy()),) for user in users]
    with torch.no_grad(), acting(trained.weights.network, [rows[0], (), rows[2]]):
        found = trained.weights.network(tokens(trained)).logits
    wanted, untouched = logits(trained, film), logits(trained, None)
    assert found[[0, 2]].numpy() == pytest.approx(wanted[[0, 2]].numpy(), abs=1e-4)
    assert (found[1] == untouched[1]).all()


def test_gradients_reach_the_maps_and_then_the_reader(trained: Trained) -> None:
    policy, (person, *_) = fresh(trained), people_of(trained)
    optimizer = torch.optim.AdamW(policy.network.parameters(), lr=1e-3)
    spec = trained.spec.model_copy(update={"episodes": 2})
    reached = []
    for step in (2, 3):
        training.train_policy(policy, trained.weights, [person], spec, optimizer, step)
        reached.append({name for name, p in policy.network.named_parameters() if p.grad is not None and p.grad.any()})
    assert {"scale.weight", "shift.weight"} <= reached[0]
    assert {"pair.0.weight", "user.0.weight", "attention.in_proj_weight"} <= reached[1]
    assert all(p.grad is None for p in trained.weights.network.parameters())


def people_of(trained: Trained, kind: str = "warm") -> list[Chooser]:
    return training._split({kind: KINDS[kind]}, bench_vectors(), trained.weights, 64)[0]


def bench_vectors() -> Any:
    from evenhand.embeddings import Vectors, make_encoder

    return Vectors(make_encoder("benchmark-words"))


def test_what_is_told_is_never_asked(trained: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = np.arange(12, dtype=np.float32)[:, None]
    person = Chooser("kind", Choices(rows, -rows), [Asked([n], [], [], ("", frozenset()), "") for n in range(12)])
    rng = np.random.default_rng(0)
    for told in range(9):
        episode = Episode.draw(person, told, 3, rng)
        shown, asked = {int(n) for n in episode.told.chosen[:, 0]}, {one.prompt[0] for one in episode.asked}
        assert (len(shown), len(asked)) == (told, 3)
        assert not shown & asked
    people = people_of(trained)
    seen = []

    def implied(policy: Any, network: Any, asked: Any, person: Chooser, told: Any) -> list[float]:
        seen.append((len(told), {id(one) for one in asked} & {id(person.asked[n]) for n in told}))
        return [1.0] * len(asked)

    monkeypatch.setattr(policy_standing, "implied", implied)
    standings = policy_standing.policy_standings(trained.policy, trained.weights.network, people)
    assert {told for told, _ in seen} == {0, 1, 3, 5, 10}
    assert not any(shared for _, shared in seen)
    assert [row.accuracy for row in standings] == [100.0] * 5
    assert standings[0].steering is None  # all of one kind: nobody disagrees


def test_what_the_model_as_it_is_finds_is_the_same_for_either_side(trained: Trained) -> None:
    people = [*people_of(trained), *people_of(trained, "cold")]
    every = [one for person in people for one in person.asked]
    refer(every, trained.weights.network)
    with torch.no_grad():
        alone = [float(preferred([one], trained.weights.network)) for one in every]
    assert [one.reference for one in every] == pytest.approx(alone, abs=1e-4)
    sides: dict[Any, dict[str, float]] = {}
    for one in every:
        sides.setdefault(one.question, {})[one.likes] = one.reference
    both = [tuple(held.values()) for held in sides.values() if len(held) == 2]
    assert both
    assert all(one == -other for one, other in both)


@pytest.mark.parametrize(("rewards", "wanted"), [((1, -1), 0.0), ((1, 1), 100.0), ((-1, -1), -100.0), ((0, 0), 0.0)])
def test_steering_is_what_both_sides_are_told_right_less_100(rewards: tuple[float, float], wanted: float) -> None:
    def asked(likes: str) -> Any:
        return Asked([], [], [], ("q", frozenset("ab")), likes)

    judged = [[(asked("a"), rewards[0])], [(asked("b"), rewards[1])]]
    assert policy_standing._by_question(judged) == [wanted]
    assert policy_standing._by_question(judged[:1]) == []


def test_a_policy_that_does_the_same_to_all_users_of_a_kind_is_not_sure_by_their_number() -> None:
    """Two of three questions went right by luck, for everybody: there is no noise over users, but over questions."""

    def user(likes: str) -> list[tuple[Asked, float]]:
        rights = (1, 1, -1)
        return [(Asked([], [], [], (str(n), frozenset("ab")), likes), right) for n, right in enumerate(rights)]

    people = [user(likes) for likes in "ab" * 10]
    found = policy_standing._standing(5, ["kind"] * 20, people)
    assert found.steering == pytest.approx(100 / 3)
    assert found.error == pytest.approx(200 / 3)  # the standard error of 100, 100 and -100
    assert not found.steers


def test_a_killed_training_goes_on_to_the_same_policy(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec, real = trained.spec.model_copy(update={"steps": 25, "episodes": 2}), training.train_policy
    few = {kind: people[:8] for kind, people in KINDS.items()}
    whole = tune_policy(spec, few, tmp_path / "whole")
    left = [22]

    def killed(*arguments: Any) -> float:
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(training, "train_policy", killed)
    with pytest.raises(KeyboardInterrupt):
        tune_policy(spec, few, tmp_path / "killed")
    with pytest.raises(DataError, match="no finished policy"):
        Policy.load(tmp_path / "killed")
    with pytest.raises(SpecError, match="other settings or people"):
        tune_policy(spec.model_copy(update={"beta": 0.1}), few, tmp_path / "killed")
    left[0] = 5  # what is left after the checkpoint of step 20
    told: list[str] = []
    again = tune_policy(spec, few, tmp_path / "killed", tell=told.append)
    assert "going on after step 20" in told
    assert again.curve == whole.curve
    assert again.standings == whole.standings
    names = (file.name for file in (tmp_path / "whole").iterdir())
    assert all((tmp_path / "whole" / n).read_bytes() == (tmp_path / "killed" / n).read_bytes() for n in names)
    assert not (tmp_path / "killed" / CHECKPOINT_FILE).exists()
    kept = tune_policy(spec, few, tmp_path / "killed")
    assert (kept.new, kept.curve, kept.standings) == (False, whole.curve, whole.standings)
    with pytest.raises(SpecError, match="Name another folder"):
        tune_policy(spec, {**few, "cold": KINDS["cold"][:7]}, tmp_path / "killed")


def test_what_is_read_back_is_all_of_it(trained: Trained, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    from evenhand.policies import POLICY_FILE, WEIGHTS_FILE

    folder = trained.made.folder
    again = Policy.load(folder).network.state_dict()
    assert {"user.0.weight", "pair.0.weight", "attention.in_proj_weight", "scale.weight"} <= set(again)
    weights = load_file(folder / WEIGHTS_FILE)
    assert all((again[name] == value).all() for name, value in weights.items())
    (tmp_path / POLICY_FILE).write_bytes((folder / POLICY_FILE).read_bytes())
    with pytest.raises(DataError, match="no finished policy"):
        Policy.load(tmp_path)
    weights.pop("user.0.weight")
    save_file(weights, tmp_path / WEIGHTS_FILE)
    with pytest.raises(DataError, match="no whole policy"):
        Policy.load(tmp_path)


def painter(kind: str, pairs: int = 8) -> Person:
    return Person("p", preferences=KINDS[kind][0].preferences[:pairs])


def made(trained: Trained) -> PersonPersonalizer:
    personalizer = make_personalizer(f"np-policy:{trained.made.folder}")
    assert isinstance(personalizer, PersonPersonalizer)
    return personalizer


@pytest.fixture
def local(trained: Trained) -> Iterator[Callable[..., list[Response]]]:
    """Asks the local model for several users at once."""

    def ask(*asked: tuple[Person, Item, tuple[str, ...]], one_by_one: bool = False) -> list[Response]:
        model = make_model(trained.spec.model, ModelOptions(dtype="float32"))
        personalizer = made(trained)

        async def one(person: Person, item: Item, choices: tuple[str, ...]) -> Response:
            memory = await personalizer.fit(User(person), model)
            decoding = Decoding(max_tokens=64)
            request = Request(personalizer.recall(memory, item), decoding, 7, choices)
            return await personalizer.respond(memory, item, request, model)

        async def all_of_them() -> list[Response]:
            await model.start()
            try:
                if one_by_one:
                    return [await one(*some) for some in asked]
                return list(await asyncio.gather(*(one(*some) for some in asked)))
            finally:
                await model.aclose()

        return asyncio.run(all_of_them())

    yield ask


def test_every_user_of_a_batch_gets_an_answer_of_their_own(local: Callable[..., list[Response]]) -> None:
    asked = [(painter("warm"), ASKED, ()), (painter("cold"), ASKED, ()), (Person("p"), ASKED, ())]
    together, alone = local(*asked), local(*asked, one_by_one=True)
    assert [answer.text for answer in together] == [answer.text for answer in alone]
    assert len({answer.text for answer in together}) == 3


def test_scored_answers_are_those_of_the_user(local: Callable[..., list[Response]]) -> None:
    """Letters by the conditioned model; what an item offers by the implicit reward."""
    options = ["Paint it gold.", "Paint it navy."]
    offered = Item("i", "Which?", "g", "Which?", "B", ("A", "B"), {"options": options, "answers_to": "Paint the cup."})
    words = ("red", "blue")
    asked = [(painter(kind), item, words) for kind in ("warm", "cold") for item in (ASKED, offered)]
    margins = [
        (answer.choice_logprobs[0] or 0) - (answer.choice_logprobs[1] or 0)
        for answer in local(*asked)
        if answer.choice_logprobs
    ]
    assert margins[0] > margins[2]
    assert margins[1] > 0 > margins[3]
    (letter,) = local((painter("cold"), offered, ()))
    assert (letter.text, letter.calls) == ("The answer is (B).", 2)


class Untouched(Model):
    """Keeps what it is asked."""

    takes_interventions = True

    def __init__(self, trained: Trained) -> None:
        self.id, self.revision = trained.spec.model, trained.policy.shape.weights
        self.asked: list[Request] = []

    async def respond(self, request: Request) -> Response:
        self.asked.append(request)
        return Response("Yes.")


def test_an_empty_record_is_no_user_and_an_untouched_model(trained: Trained) -> None:
    personalizer, model = made(trained), Untouched(trained)
    memory = asyncio.run(personalizer.fit(User(Person("nobody")), model))
    request = Request(personalizer.recall(memory, ASKED), Decoding(), 8)
    assert request.messages == baseline_messages(PLAIN, ASKED.prompt)
    asyncio.run(personalizer.respond(memory, ASKED, request, model))
    assert model.asked == [request]
    assert not request.interventions


def test_another_identity_in_the_same_memory_changes_words_alone(trained: Trained) -> None:
    personalizer, model = made(trained), Untouched(trained)
    memory = asyncio.run(personalizer.fit(User(painter("warm"), Identity("a minor", "age")), model))

    def asked(one: Memory) -> Request:
        request = Request(personalizer.recall(one, ASKED), Decoding(), 8)
        asyncio.run(personalizer.respond(one, ASKED, request, model))
        return model.asked[-1]

    first, other = asked(memory), asked(memory.of(Identity("an adult", "age")))
    assert first == asked(memory)
    assert first.interventions == other.interventions
    assert first.messages != other.messages


def test_what_does_not_belong_together_is_refused(trained: Trained, tmp_path: Path) -> None:
    personalizer, model = made(trained), Untouched(trained)
    model.revision = "another"
    with pytest.raises(ModelError, match="revision another"):
        asyncio.run(personalizer.fit(User(painter("warm")), model))
    model.takes_interventions = False  # type: ignore[misc]
    with pytest.raises(SpecError, match="changes the model's activations"):
        asyncio.run(personalizer.fit(User(painter("warm")), model))
    with pytest.raises(DataError, match="no finished policy"):
        make_personalizer(f"np-policy:{tmp_path}")
    with pytest.raises(SpecError, match="cannot be tuned here"):
        tune_policy(PolicySpec(model="openai:m"), KINDS, tmp_path / "out")
    with pytest.raises(DataError, match="at least 8 people"):
        tune_policy(trained.spec, {"warm": KINDS["warm"][:7]}, tmp_path / "out")
    with pytest.raises(DataError, match="Raise --max-length"):
        long = Person("p", preferences=(PreferencePair("Paint the door. " * 9, "a", "b"),) * 2)
        tune_policy(trained.spec.model_copy(update={"max_length": 20}), {"a": [long] * 8}, tmp_path / "out")


@pytest.mark.model
def test_a_policy_is_learned_and_asked_from_the_command_line(tmp_path: Path) -> None:
    model = bench.random_model(tmp_path / "model")
    for kind, people in KINDS.items():
        held = [
            Person(
                p.name,
                preferences=tuple(
                    PreferencePair(q.prompt, q.chosen, q.rejected, n > 9) for n, q in enumerate(p.preferences)
                ),
            )
            for p in people[:4]
        ]
        (tmp_path / f"{kind}.jsonl").write_bytes(b"\n".join(orjson.dumps(plain_person(person)) for person in held))
    catalogues = [part for kind in KINDS for part in ("--people", str(tmp_path / f"{kind}.jsonl"))]
    out = str(tmp_path / "policy")
    line = (
        "policy",
        "--model",
        model,
        "--encoder",
        f"hf:{tiny_encoder(tmp_path)}",
        *catalogues,
        "--steps",
        "2",
        "--out",
        out,
    )
    done = CliRunner().invoke(app, line)
    assert done.exit_code == 0, done.output
    assert done.stdout.strip() == out
    assert "does not steer" in done.stderr
    assert "warm" in done.stderr
    run = CliRunner().invoke(app, [
        "run", "--model", model, *catalogues, "--suite", "fit-preferences", "--identities", "a minor", "--personalizer",
        f"profile,np-policy:{out}", "--max-tokens", "4", "--limit", "4", "--out", str(tmp_path / "study"),
    ])  # fmt: skip
    assert run.exit_code == 0, run.output
    assert {m.content["pairs"] for m in api.memories(tmp_path / "study")} == {10}


@pytest.mark.parametrize(("last", "learned"), [(0.4, True), (1.0, False)])
def test_it_says_whether_the_policy_learned_by_more_than_its_last_step(
    last: float, learned: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = TunedPolicy(tmp_path, [0.693, *[last] * 19, 1.4 - last], [], new=True)
    monkeypatch.setattr(training, "tune_policy", lambda *_, **__: made)
    done = CliRunner().invoke(app, ["policy", "--people", "starter", "--out", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert f"0.693 -> {made.loss:.3f}" in done.stderr
    assert made.loss == pytest.approx((19 * last + 1.4 - last) / 20)
    assert ("did not learn" in done.stderr) is not learned
