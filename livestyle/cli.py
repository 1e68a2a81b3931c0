"""The command line: the program round the verbs of `livestyle.verbs`.

Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted. A failure is one line on stderr; ``-v`` adds what the
program is doing, ``-vv`` a traceback.
"""

import sys
from collections.abc import Sequence
from typing import Annotated, Never

import typer

from livestyle import __version__
from livestyle.errors import ConfigError, LivestyleError
from livestyle.terminal import UsageError, explain, set_up_logging, take_verbosity
from livestyle.verbs.engines import calibrate, compile_engines
from livestyle.verbs.learn import add_style, export, remove_style, train, train_motion
from livestyle.verbs.live import ctl, doctor, live
from livestyle.verbs.measure import bench, evaluate
from livestyle.verbs.paint import styles, stylize
from livestyle.verbs.pair import analogy, look

app = typer.Typer(
    name="livestyle",
    help="Live video painted in an artist's style, steady from frame to frame.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # or it would take "livestyle[train]" for markup
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main(argv: Sequence[str] | None = None) -> Never:
    """Run the command line ``argv`` (without the program's name) and exit."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    status = _run(arguments)
    try:
        sys.stderr.flush()
    except OSError:  # a log on a full disk: Python would try it once more, and end with 120 whatever had been done
        sys.stderr = None
    sys.exit(status)


def _run(arguments: list[str]) -> int:
    verbosity, arguments = take_verbosity(arguments)
    set_up_logging(verbosity)
    try:
        result = app(arguments, prog_name="livestyle", standalone_mode=False)
        return result if isinstance(result, int) else 0
    except (LivestyleError, UsageError) as error:
        explain(error, verbosity)
        return 2 if isinstance(error, (ConfigError, UsageError)) else 1
    except (KeyboardInterrupt, typer.Abort):
        return 130
    except BrokenPipeError:  # whoever read our output has seen enough
        sys.stdout = None
        return 1
    except Exception as error:  # the program's top frame: a user gets one line, whatever went wrong
        explain(error, verbosity)
        return 1


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"livestyle {__version__}")
        raise typer.Exit


@app.callback()
def _everything(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit.")
    ] = False,
    verbose: Annotated[int, typer.Option("-v", "--verbose", count=True, help="Show more; -vv also tracebacks.")] = 0,
) -> None:
    """Live video painted in an artist's style, steady from frame to frame."""


for verb in (
    live,
    ctl,
    doctor,
    stylize,
    styles,
    bench,
    train,
    train_motion,
    export,
    add_style,
    remove_style,
    analogy,
    look,
):
    app.command()(verb)
app.command("compile")(compile_engines)
app.command()(calibrate)
app.add_typer(evaluate, name="evaluate")
