"""``evenhand deploy``: put a mitigation in front of an endpoint, or of a model that is served here."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evenhand.cli import completion
from evenhand.cli.output import say
from evenhand.errors import SpecError
from evenhand.serving import LOOPBACK, is_loopback

if TYPE_CHECKING:
    from evenhand.deploy.backends import Backend
    from evenhand.models import ModelOptions

_TOKEN_ENV = "EVENHAND_DEPLOY_TOKEN"  # noqa: S105 - the variable's name


def deploy(
    mitigation: Annotated[
        str | None,
        typer.Option(
            help="As 'evenhand list mitigations' shows them, or a defense's name, file or text.",
            autocompletion=completion.mitigations,
        ),
    ] = None,
    base_url: Annotated[str | None, typer.Option(help="Root of the OpenAI-compatible API to stand before.")] = None,
    model: Annotated[
        str | None,
        typer.Option(help="Serve this one in its place: smollm2, hf:NAME, ...", autocompletion=completion.models),
    ] = None,
    from_: Annotated[
        Path | None,
        typer.Option(
            "--from", help="A mitigated study, a directory of several, or an evolved defense: what it showed."
        ),
    ] = None,
    against: Annotated[Path | None, typer.Option(help="The study without the mitigation, for --from.")] = None,
    host: Annotated[str, typer.Option(help="Where to listen; others than this machine need a token.")] = LOOPBACK,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8100,
    api_key_env: Annotated[
        str | None, typer.Option(help="Send the key in this variable, not the client's (--base-url).")
    ] = None,
    token_env: Annotated[str, typer.Option(help="Variable with the token that clients must send.")] = _TOKEN_ENV,
    strict: Annotated[
        bool, typer.Option("--strict", help="Refuse conversations that the mitigation would leave as they are.")
    ] = False,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds until an answer is given up.")] = 120.0,
    concurrency: Annotated[int, typer.Option(min=1, help="Calls in flight; four times as many may wait.")] = 64,
    max_body: Annotated[int, typer.Option(min=1, help="MiB of a request at most.")] = 16,
    quiet: Annotated[bool, typer.Option("--quiet", help="No line for each request.")] = False,
    dtype: Annotated[str, typer.Option(help="Of --model: auto, float32, bfloat16, float16.")] = "auto",
    device: Annotated[str, typer.Option(help="Of --model: auto, cpu, cuda, ...")] = "auto",
    adapter: Annotated[str | None, typer.Option(help="Of --model: a PEFT adapter.")] = None,
) -> None:
    """Serve OpenAI's chat completions with a mitigation in front of any endpoint, or of a model that is loaded here."""
    from evenhand.deploy.proxy import Front, Proxy, serve
    from evenhand.deploy.rewriting import fingerprint, label_of
    from evenhand.mitigations import make_mitigation
    from evenhand.models import ModelOptions
    from evenhand.serving import listen

    if (base_url is None) == (model is None):
        raise SpecError("Nothing, or two things, to stand before.", "Give --base-url URL or --model NAME.")
    token = os.environ.get(token_env, "").strip()
    if not is_loopback(host) and not token:
        raise SpecError(
            f"Whoever reaches {host} could use this proxy, and what stands behind it.",
            f"Set a token: export {token_env}=..., which clients send as their API key; or leave out --host.",
        )
    reference, showed = _chosen(mitigation, from_, against)
    options = ModelOptions(dtype=dtype, device=device, adapter=adapter, timeout_s=timeout)
    backend = _backend(reference, base_url, model, options, api_key_env, concurrency, strict=strict)
    made = make_mitigation(reference)
    front = Front(
        label_of(reference), fingerprint(reference, made), token=token, max_body=max_body << 20,
        most_at_once=4 * concurrency, timeout_s=timeout, showed=showed,
    )  # fmt: skip
    listening = listen(port, host)
    for line in showed:
        say(line, err=True)
    if not is_loopback(host):
        say(f"Warning: {host} can be reached from other machines, and nothing is encrypted.", err=True, color="yellow")
    where = f"[{host}]" if ":" in host else host
    address = f"http://{where}:{listening.getsockname()[1]}/v1"

    def ready() -> None:
        say(f"{reference} stands before {base_url or model}.", err=True)
        say(f"Base URL for clients: {address}   (Ctrl-C ends)", err=True)

    def log(line: str) -> None:
        if not quiet:
            say(line, err=True)

    serve(Proxy(backend, front, log, ready), listening)


def _chosen(mitigation: str | None, source: Path | None, against: Path | None) -> tuple[str, tuple[str, ...]]:
    """The mitigation's reference, and what is known of it.

    Raises:
        SpecError: none was given.
    """
    from evenhand.deploy.evidence import evidence
    from evenhand.mitigations.references import full_reference

    reference = full_reference(mitigation) if mitigation else ""
    if source is not None:
        found = evidence(source, mitigation=reference, against=against)
        return found.mitigation, found.lines
    if not reference:
        raise SpecError("No mitigation was given.", "Add --mitigation NAME, or --from STUDY.")
    return reference, ("Not confirmed: no study was given (--from) that shows what this mitigation does.",)


def _backend(
    reference: str,
    base_url: str | None,
    model: str | None,
    options: ModelOptions,
    api_key_env: str | None,
    concurrency: int,
    *,
    strict: bool,
) -> Backend:
    from evenhand.deploy.assistant import Assistant
    from evenhand.deploy.backends import Endpoint, Local
    from evenhand.deploy.upstream import Upstream
    from evenhand.mitigations import make_mitigation

    if base_url is not None:
        upstream = Upstream(base_url, api_key_env=api_key_env, timeout_s=options.timeout_s, concurrency=concurrency)
        return Endpoint(upstream, make_mitigation(reference, options), strict=strict)
    assert model is not None
    return Local(Assistant(model, reference, options=options), model, options.timeout_s, strict=strict)


def register(app: typer.Typer) -> None:
    app.command()(deploy)
