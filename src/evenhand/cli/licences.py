"""Under which licences data and models come, and what those ask for."""

from __future__ import annotations

COLUMNS = ("what", "kind", "licence", "asks for", "source")

_ASKS = {
    "MIT": "keep the notice",
    "Apache-2.0": "keep the notice, state changes",
    "public domain": "nothing",
    "CC BY 4.0": "name the authors",
    "CC BY-NC-SA 4.0": "name the authors, no commercial use, share alike",
}
_ELSEWHERE = "see the source"
_TOLD = ("licence", "source")


def licence_rows() -> list[tuple[str, ...]]:
    """One row for the data of every suite, every model, and what ships with the package; in the order of COLUMNS."""
    from evenhand.embeddings import ENCODERS, use
    from evenhand.judges import action_classifier, articles, classifier, word_vectors
    from evenhand.models import MODELS
    from evenhand.models.smollm2 import LICENCE, SOURCE
    from evenhand.personalizers.realised import Named
    from evenhand.suites import SUITES

    suites = [entry.member for entry in SUITES.entries() if entry.member is not None]
    rows = [
        (f"{s.name}:{s.argument}" if s.argument else s.name, "data", *(getattr(s, told, "unknown") for told in _TOLD))
        for s in suites
    ]
    for name in MODELS.names():
        own = (LICENCE, SOURCE) if name == "smollm2" else ("the model's", "the model's card, or the provider's terms")
        rows.append((name, "model", *own))
    for name in ENCODERS.names():
        own = (
            (use.LICENCE, use.SOURCE) if name == "use" else ("the model's", "the model's card, or the provider's terms")
        )
        rows.append((name, "encoder", *own))
    rows.append(("named", "data", *Named.COMES_FROM))
    rows.append(("refusal-classifier", "judge", *classifier.TRAINED_ON))
    rows.append(("word vectors of refusal-classifier", "judge", *word_vectors.MADE_FROM))
    rows.append(("action-classifier", "judge", *action_classifier.TRAINED_ON))
    rows.append(("phrases of disinformation", "judge", *articles.COMES_FROM))
    return [(what, kind, licence, _ASKS.get(licence, _ELSEWHERE), source) for what, kind, licence, source in rows]
