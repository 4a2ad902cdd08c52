"""Entry point of the ``evenhand`` command."""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
import sys
from pathlib import Path
from typing import Annotated

import typer

import evenhand
from evenhand.cli import (
    check,
    demo,
    deploy,
    disinformation,
    evolve,
    export,
    history,
    imports,
    judge,
    listing,
    memory,
    mitigate,
    policy,
    reward,
    run,
    search,
    show,
    steer,
    tune,
    view,
)
from evenhand.cli.output import say
from evenhand.errors import EvenhandError, SpecError, StoreError

INTERRUPTED = 130
# What a disk says that takes no more; without a path it speaks of what was printed.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)

app: typer.Typer = typer.Typer(
    name="evenhand",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_show_locals=False,  # locals could hold a key or a user's data
    help=(
        "Does a language model treat everyone alike? Measure safety and utility under many identities, and tell "
        "whether the difference is real.\n\n"
        "Exit codes: 0 done; 1 some calls failed; 2 a wrong argument or study file; 3 data missing or malformed; "
        "4 the model cannot be used; 5 the study's store cannot be used; 130 interrupted. "
        "'evenhand check' has its own: 0 pass, 1 fail, 6 not enough data."
    ),
)
run.register(app)
show.register(app)
listing.register(app)
demo.register(app)
mitigate.register(app)
evolve.register(app)
search.register(app)
check.register(app)
disinformation.register(app)
export.register(app)
history.register(app)
imports.register(app)
tune.register(app)
view.register(app)
deploy.register(app)
policy.register(app)
reward.register(app)
app.add_typer(judge.app, name="judge")
app.add_typer(memory.app, name="memory")
app.add_typer(steer.app, name="steer")


def _print_version(wanted: bool) -> None:
    if wanted:
        say(evenhand.__version__)
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and leave."),
    ] = False,
) -> None:
    return


def main() -> None:
    """Run the command line; a user's mistake ends in one line and an exit code, without a traceback."""
    try:
        app()
    except EvenhandError as error:
        say(f"Error: {error.problem}", err=True, color="red")
        if error.fix:
            say(error.fix, err=True)
        sys.exit(error.exit_code)
    except sqlite3.DatabaseError as error:
        say(f"Error: the study's store cannot be read: {error}.", err=True, color="red")
        say("See 'evenhand doctor STUDY'.", err=True)
        sys.exit(StoreError.exit_code)
    except OSError as error:
        _end_by_system(error)
        raise
    except Exception:
        # A value that a user or a disk changed fails in many ways, deep in; what no store explains is a fault of ours.
        if strange := _strange_store():
            study, what = strange
            say(f"Error: the store of {study} holds what evenhand does not write ({what}).", err=True, color="red")
            say(f"See 'evenhand doctor {study}'.", err=True)
            sys.exit(StoreError.exit_code)
        raise
    except KeyboardInterrupt:
        say("Interrupted. What was answered is kept; run the same command to go on.", err=True)
        sys.exit(INTERRUPTED)


def _end_by_system(error: OSError) -> None:
    """Say in one line what the system does not allow with a path that a user gave, or with what is printed.

    Returns where it speaks of neither.
    """
    if error.filename is not None:
        what = f"{os.fsdecode(error.filename) if isinstance(error.filename, bytes) else error.filename} cannot be used"
    elif error.errno in _FULL:
        what = "the output cannot be written"
        # What waits to be printed would fail once more when Python ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    else:
        return
    with contextlib.suppress(OSError):  # where the messages go to the same disk
        say(f"Error: {what[:300]}: {error.strerror}.", err=True, color="red")
    sys.exit(SpecError.exit_code)


def _strange_store() -> tuple[Path, str] | None:
    """A store that the command opened and that is not sound, and what is wrong with it."""
    if "evenhand.study.store" not in sys.modules:
        return None
    from evenhand.study.doctor import examine
    from evenhand.study.store import opened

    for directory in opened:
        try:
            problems = examine(directory).problems
        except (EvenhandError, sqlite3.Error):
            continue
        if problems:
            return directory, problems[0]
    return None


if __name__ == "__main__":
    main()
