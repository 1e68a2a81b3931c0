"""What every fuzz target shares: how it runs under atheris, how it runs without, and what it demands.

A target is one file of this folder. ``pip install 'livestyle[fuzz]'``, then::

    python tests/fuzz/NAME.py -atheris_runs=1000000      # coverage-guided, so many executions
    python tests/fuzz/NAME.py -max_total_time=1800       # the same for half an hour
    python tests/fuzz/NAME.py FILE                       # one input again
    python tests/fuzz/NAME.py --random 2000              # so many random changes, without atheris

An input that breaks the contract ends the run and is kept beside the corpus, which the next run goes on from
(``livestyle-fuzz/NAME`` in the temporary folder); without one, random changes are always the same. Add it to the
target's ``found`` when it is mended.

The contract everywhere: nothing but a `LivestyleError` of one line, within 5 s of the processor and 60 s on the clock,
in less than 2 GB.
"""

import contextlib
import faulthandler
import importlib.util
import logging
import random
import resource
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from livestyle.errors import LivestyleError

SECONDS = 5.0  # of the processor, for one input
PATIENCE = 60  # s on the clock: the machine may have much else to do
MEGABYTES = 2048
NUMBERS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)

Result = TypeVar("Result")
Mutate = Callable[[bytes, random.Random], bytes]


@dataclass(frozen=True)
class Target:
    """``check`` raises when ``data`` breaks the contract; inputs grow from ``seeds``, ``found`` broke it once.

    ``words`` are bytes worth putting in, ``mutate`` a change that keeps the form of the data where there is one.
    """

    check: Callable[[bytes], None]
    seeds: Sequence[bytes]
    found: Sequence[bytes] = ()
    words: Sequence[bytes] = ()
    mutate: Mutate | None = None
    longest: int = 4096

    def change(self, data: bytes, luck: random.Random) -> bytes:
        """Between one and four changes."""
        for _ in range(luck.randint(1, 4)):
            shaped = self.mutate is not None and luck.random() < 0.7
            data = self.mutate(data, luck) if shaped and self.mutate else scramble(data, luck, self.words)
        return data[: self.longest]

    def hold(self, data: bytes) -> None:
        """`check`, and how long it takes."""
        started = time.process_time()
        self.check(data)
        taken = time.process_time() - started
        assert taken < SECONDS, f"{taken:.1f} s"

    def run(self) -> None:
        """The program of a target."""
        logging.getLogger("livestyle").setLevel(logging.CRITICAL)  # it says of every input what is wrong
        warnings.simplefilter("error")  # a warning is a line on somebody's terminal that is not ours
        if sys.argv[1:2] == ["--random"]:
            self.run_random(int(sys.argv[2]))
        else:
            self.run_atheris()

    def run_random(self, count: int) -> None:
        """``count`` inputs, the same every time but for a corpus that is there, then the peak of memory."""
        luck = random.Random(0)
        corpus = (path.read_bytes() for path in sorted(work_folder().glob("corpus/*")))
        inputs = [*self.found, *self.seeds, *corpus]
        pool = list(inputs)
        with (work_folder() / "last").open("wb", buffering=0) as last:
            for number in range(count):
                if number % 100 == 0:  # it costs a thread
                    faulthandler.dump_traceback_later(PATIENCE, exit=True)
                data = inputs[number] if number < len(inputs) else self.change(luck.choice(pool), luck)
                if luck.random() < 0.1 and len(pool) < 1000:
                    pool.append(data)
                last.seek(0)
                last.truncate()
                last.write(data)
                self.hold(data)
        faulthandler.cancel_dump_traceback_later()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        assert peak < MEGABYTES, f"{peak} MB"
        print(f"{count} inputs, {peak} MB")

    def run_atheris(self) -> None:
        import atheris

        folder = work_folder()
        options = [argument for argument in sys.argv[1:] if argument.startswith("-")]
        inputs = [argument for argument in sys.argv[1:] if not argument.startswith("-")]
        corpus = folder / "corpus"
        corpus.mkdir(exist_ok=True)
        for number, seed in enumerate([*self.found, *self.seeds]):
            (corpus / f"seed{number:03d}").write_bytes(seed)
        words = folder / "words"
        words.write_text("".join('"' + "".join(f"\\x{byte:02x}" for byte in word) + '"\n' for word in self.words))
        fixed = [
            f"-timeout={PATIENCE}",
            f"-rss_limit_mb={MEGABYTES}",
            f"-max_len={self.longest}",
            f"-artifact_prefix={folder}/",
            *([f"-dict={words}"] if self.words else []),
        ]
        fixed = [option for option in fixed if not any(given.startswith(option.split("=")[0]) for given in options)]

        def mutate(data: bytes, longest: int, seed: int) -> bytes:
            luck = random.Random(seed)
            changed = self.change(data, luck) if luck.random() < 0.5 else atheris.Mutate(data, len(data))
            return changed[:longest]

        atheris.Setup([sys.argv[0], *fixed, *options, *(inputs or [str(corpus)])], self.hold, custom_mutator=mutate)
        atheris.Fuzz()


def watch() -> contextlib.AbstractContextManager[None]:
    """Imports inside are watched by atheris where a target is the program and atheris is there."""
    is_target = Path(sys.argv[0]).resolve().parent == Path(__file__).resolve().parent
    if not is_target or importlib.util.find_spec("atheris") is None or "--random" in sys.argv:
        return contextlib.nullcontext()
    import atheris

    watched: contextlib.AbstractContextManager[None] = atheris.instrument_imports(
        include=["livestyle", "tomllib", "starlette", "h11", "uvicorn", "websockets"]
    )
    return watched


def work_folder() -> Path:
    """Corpus and findings of the running target."""
    folder = Path(tempfile.gettempdir()) / "livestyle-fuzz" / Path(sys.argv[0]).stem
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextlib.contextmanager
def refusal() -> Iterator[None]:
    """A `LivestyleError` inside ends the block; it has to be one line that can be shown."""
    try:
        yield
    except LivestyleError as error:
        check_line(str(error))


def check_line(text: str) -> None:
    """One line with something in it, that any terminal takes."""
    assert text, "an error without a word"
    assert len(text.splitlines()) == 1, f"not one line: {text!r}"
    assert not any(ord(letter) < 32 for letter in text), text
    text.encode()


def scramble(data: bytes, luck: random.Random, words: Sequence[bytes] = ()) -> bytes:
    """One change that knows nothing of the form."""
    start = luck.randint(0, len(data))
    end = min(len(data), start + luck.choice((1, 1, 2, 4, 8, 64)))
    kind = luck.randrange(8)
    if kind == 0 and words:
        return data[:start] + luck.choice(words) + data[start:]
    if kind == 1 and words:
        return data[:start] + luck.choice(words) + data[end:]
    if kind == 2:
        return data[:start] + data[end:]
    if kind == 3:
        return data[:end] + data[start:end] * luck.choice((1, 2, 50)) + data[end:]
    if kind == 4:
        width = luck.choice((1, 2, 4))
        number = luck.choice(NUMBERS) & (256**width - 1)
        return data[:start] + number.to_bytes(width, luck.choice(("big", "little"))) + data[start + width :]
    if kind == 5:
        return data[:start] if luck.random() < 0.3 else data
    if kind == 6:
        return data[:start] + luck.randbytes(end - start) + data[end:]
    if start == len(data):
        return data
    return data[:start] + bytes([data[start] ^ 1 << luck.randrange(8)]) + data[start + 1 :]
