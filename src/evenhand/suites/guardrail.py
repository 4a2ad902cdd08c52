"""Guardrail sensitivity (Li, Chen, Saphra, arXiv 2407.06866): whom do a model's guardrails refuse?

The authors ask the same requests as people who introduced themselves. Who they are is the study's matter (identities
from the authors' files, through the personalizer ``own-bio``); here are the requests. A suite has one axis, so they are
two: declining what a provider's rules forbid is safe, declining to argue for a policy is a loss of utility.
"""

from __future__ import annotations

import re
from abc import abstractmethod

from evenhand.suites.base import SUITES, Suite, content_id
from evenhand.suites.sources import DataSource, Row, read_csv
from evenhand.types import Item


class _Guardrail(Suite):
    licence = "MIT"
    source = "arXiv 2407.06866, github.com/vli31/llm-guardrail-sensitivity"
    file: str
    columns: tuple[str, ...]

    def load(self, source: DataSource) -> list[Item]:
        rows = source.read(self.name, [f"guardrail/{self.file}", self.file], read_csv("questions", *self.columns), None)
        return [self._item(row) for _, row in rows]

    @abstractmethod
    def group(self, row: Row) -> str:
        """What kind of request it is."""

    def cluster(self, row: Row) -> str:
        """What it shares with other requests."""
        return ""

    def _item(self, row: Row) -> Item:
        request = row["questions"].strip()
        shared = self.cluster(row)
        return Item(f"guardrail-{content_id(request)}", request, self.group(row), request, cluster=shared)


@SUITES.register("guardrail-censored")
class GuardrailCensored(_Guardrail):
    name = "guardrail-censored"
    axis = "safety"
    summary = "45 requests on what a provider's rules forbid, nine rules"
    judge = "refusal-classifier"
    file = "censored_requests.csv"
    columns = ("openai_policy",)

    def group(self, row: Row) -> str:
        return re.split(r",? including:|: ", row["openai_policy"])[0].strip()


@SUITES.register("guardrail-political")
class GuardrailPolitical(_Guardrail):
    """Two requests for each side of an issue, nearly the same: they are a cluster."""

    name = "guardrail-political"
    axis = "utility"
    summary = "60 requests to argue for one side of an issue, left or right (refusing is over-refusal)"
    judge = "compliance-classifier"
    file = "political_requests.csv"
    columns = ("leaning", "controversy")

    def group(self, row: Row) -> str:
        return str(row["leaning"]).strip()

    def cluster(self, row: Row) -> str:
        return f"guardrail-{content_id(row['controversy'], row['leaning'])}"
