"""Which pictures to restore, and where the results go."""

from __future__ import annotations

import glob
import hashlib
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from iln.atomic import exists_already, printable
from iln.errors import InputError
from iln.images import SUFFIXES, check_suffix
from iln.images.phone import can_read

MARK = "_restored"
"""Added to the name of a result that has none of its own."""
READABLE = (*SUFFIXES, ".gif", ".mpo", ".ppm", ".pgm", ".pbm", ".pnm")
"""What is taken from folders."""
PHONE = {".heic": "heic", ".heif": "heic", ".jxl": "jxl"}
"""The same, where the extra `phone` is installed."""
_SLASHES = tuple(filter(None, (os.sep, os.altsep)))
_STANDARD_OUTPUT = ("-", "/dev/stdout", "/dev/fd/1")


@dataclass(frozen=True)
class Job:
    """One picture to restore.

    Attributes:
        source: its file; None is standard input.
        target: where the result goes; None is standard output.
        named: the target was named by the user, so that its format is meant.
        problem: why it cannot be done.
    """

    source: Path | None
    target: Path | None
    named: bool = False
    problem: str | None = None


@dataclass
class JobPlan:
    """What `plan_jobs` found.

    Attributes:
        jobs: in the order given.
        passed_over: files that are not taken, counted by the reason.
        finished: pictures whose results exist, where these are to be kept.
        others: pictures that other shards restore.
    """

    jobs: list[Job]
    passed_over: Counter[str] = field(default_factory=Counter)
    finished: int = 0
    others: int = 0


def plan_jobs(
    inputs: Sequence[str],
    output: str | Path | None,
    *,
    recursive: bool,
    overwrite: bool,
    skip_existing: bool = False,
    shard: tuple[int, int] = (1, 1),
) -> JobPlan:
    """Files, folders and patterns -> jobs, without duplicates, in the order given.

    In folders every picture is taken by its suffix, apart from earlier results. `output` is a
    file for a single input file, else a folder, which keeps the subfolders of an input folder.
    `-` is standard input, and as output standard output.

    Args:
        inputs: names of files and folders, and patterns.
        output: None puts results beside the pictures; a name that ends in a slash is a folder.
        recursive: look into subfolders, too.
        overwrite: results may replace files.
        skip_existing: pictures whose result exists are done.
        shard: (k, n): take the k-th of n parts. Names decide, so that parts never overlap, whenever
            each is started.

    Raises:
        InputError: for an input that does not exist and an output that cannot be meant.
    """
    if output == "":
        raise InputError("the output (-o) has an empty name; give a file or a folder")
    try:
        place = None if output is None else Path(output)
        folder = isinstance(output, str) and output.endswith(_SLASHES)
        return _plan_jobs(inputs, place, folder, recursive, overwrite, skip_existing, shard)
    except OSError as error:  # a name that is too long, a folder that may not be read
        raise InputError(f"{printable(error.filename or '')}: {error.strerror}") from None


def plan_listed(
    names: Iterable[str],
    results: Container[str],
    *,
    overwrite: bool,
    shard: tuple[int, int] = (1, 1),
) -> JobPlan:
    """The same for a folder that is known by a listing alone, as object stores are.

    Pictures whose result exists are done, unless results may be replaced.

    Args:
        names: of files, relative to the folder of the pictures, parted by `/`.
        results: names of files, relative to the folder of the results.
        overwrite: see `plan_jobs`.
        shard: see `plan_jobs`.
    """
    plan, sources = JobPlan([]), list[str]()
    claimed = dict[str, str]()
    """Results, and the pictures that they are of; as text, since there may be millions."""
    for name in sorted(names):
        if reason := _reason_by_name(Path(name)):
            plan.passed_over[reason] += 1
        else:
            sources.append(name)
            claimed.setdefault(_result_of(Path(name)).as_posix(), name)
    # Who restores others at the same time would not see that a PNG, written in place of another
    # format, has the name of theirs.
    pngs = Counter(_result_of(Path(name)).with_suffix(".png").as_posix() for name in sources)
    for name in sources:
        source = Path(name)
        target = _result_of(source)
        other = claimed[target.as_posix()]
        if _part(source, shard[1]) != shard[0] - 1:
            plan.others += 1
        elif other != name:
            problem = _taken(source, target, Path(other))
            plan.jobs.append(Job(source, target, problem=problem))
        elif not overwrite and target.as_posix() in results:
            plan.finished += 1
        else:
            png = target.with_suffix(".png")
            named = png != target and pngs[png.as_posix()] > 1
            plan.jobs.append(Job(source, target, named))
    return plan


def parse_shard(text: str, environment: Mapping[str, str] = os.environ) -> tuple[int, int]:
    """`k/n`, the k-th of n parts; `auto` reads what torchrun and SLURM say.

    Raises:
        InputError: for anything else, and for `auto` where neither says anything.
    """
    if text == "auto":
        return _shard_of(environment)
    found = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text)
    if found is None or not 1 <= int(found[1]) <= int(found[2]):
        raise InputError(
            f"shard {text!r}: accepted are k/n with 1 <= k <= n, such as 1/4, and auto"
        )
    return int(found[1]), int(found[2])


def _shard_of(environment: Mapping[str, str]) -> tuple[int, int]:
    def number(name: str, default: int) -> int:
        try:
            return int(environment[name])
        except KeyError:
            return default
        except ValueError:
            raise InputError(
                f"shard auto: {name} is {environment[name]!r}, no number; give k/n, such as 1/4"
            ) from None

    if "RANK" in environment and "WORLD_SIZE" in environment:
        return _one_of(number("RANK", 0), number("WORLD_SIZE", 1))
    if not {"SLURM_ARRAY_TASK_ID", "SLURM_PROCID"} & environment.keys():
        raise InputError(
            "shard auto: neither torchrun (RANK, WORLD_SIZE) nor SLURM (SLURM_ARRAY_TASK_ID, "
            "SLURM_PROCID) started this process; give k/n, such as 1/4"
        )
    least = number("SLURM_ARRAY_TASK_MIN", 0)
    step = max(1, number("SLURM_ARRAY_TASK_STEP", 1))
    place = (number("SLURM_ARRAY_TASK_ID", least) - least) // step
    most = number("SLURM_ARRAY_TASK_MAX", least)
    count = (most - least) // step + 1
    if number("SLURM_ARRAY_TASK_COUNT", count) != count:
        raise InputError(
            "shard auto: the tasks of the array are not evenly spaced, so that nobody knows which "
            f"are missing; give k/n, such as $SLURM_ARRAY_TASK_ID/{most}"
        )
    tasks = max(1, number("SLURM_NTASKS", 1))
    return _one_of(place * tasks + number("SLURM_PROCID", 0), count * tasks)


def _one_of(place: int, parts: int) -> tuple[int, int]:
    if not 0 <= place < parts:
        raise InputError(
            f"shard auto: this process is number {place} (from 0) of {parts}; give k/n, such as 1/4"
        )
    return place + 1, parts


def _plan_jobs(
    inputs: Sequence[str],
    output: Path | None,
    output_is_folder: bool,
    recursive: bool,
    overwrite: bool,
    skip_existing: bool,
    shard: tuple[int, int],
) -> JobPlan:
    plan = JobPlan([])
    if "-" in inputs or (output is not None and str(output) in _STANDARD_OUTPUT):
        return _plan_of_one(_piped(inputs, output), overwrite, skip_existing)
    sources: dict[Path, Path] = {}
    empty: list[str] = []
    results = None if output is None else identity(output)
    for word in inputs:
        if len(inputs) > 1 and identity(Path(word)) == results and Path(word).is_dir():
            continue  # the shell's * names it, too
        found = list(_expand(word, recursive, results, plan.passed_over))
        for source, relative in found:
            sources.setdefault(source, relative)
        if not found:
            deeper = "; --recursive also looks into subfolders" if not recursive else ""
            folder = Path(word).is_dir()
            what = f"holds no pictures{deeper}" if folder else "matches no file"
            empty.append(f"{printable(word)} {what}")
    for source in _earlier_results(sources):
        del sources[source]
        plan.passed_over["an earlier result"] += 1
    if not sources:
        passed = f" ({passed_over(plan.passed_over)})" if plan.passed_over else ""
        raise InputError("; ".join(empty) + passed)
    single = len(sources) == 1 and not any(Path(word).is_dir() for word in inputs)
    output_is_folder = output_is_folder or (output is not None and output.is_dir())
    to_file = output is not None and single and not output_is_folder and output.suffix != ""
    if output is not None and not to_file:
        if output.exists() and not output.is_dir():
            if single:
                check_suffix(output)
            raise InputError(f"{printable(output)} is a file; several results need a folder")
        if output.suffix.lower() in SUFFIXES and not output_is_folder:
            raise InputError(f"{printable(output)} names one file, but there are several inputs")
    plan.jobs += [Job(Path(), Path(), problem=problem) for problem in empty]
    targets: dict[Path, Path] = {}
    every, names = _Names(), _Names()
    for source, relative in sources.items():
        if to_file:
            assert output is not None
            target = output
        elif output is not None:
            target = output / _result_of(relative)
        else:
            target = source.with_name(f"{source.stem}{MARK}{writable(source.suffix)}")
        targets[source] = target
        every.take(target, source)
    # A PNG, written in place of another format, may have the name of another's.
    pngs = Counter(every.place(target.with_suffix(".png")) for target in targets.values())
    originals = {identity(source) for source in sources}
    for source, relative in sources.items():
        target = targets[source]
        if _part(relative, shard[1]) != shard[0] - 1:
            plan.others += 1
        elif skip_existing and target.is_file() and identity(target) not in originals:
            plan.finished += 1
        else:
            problem = _problem(source, target, originals, names, overwrite)
            png = target.with_suffix(".png")
            taken = png != target and (pngs[every.place(png)] > 1 or identity(png) in originals)
            plan.jobs.append(Job(source, target, to_file or taken, problem))
        names.take(target, source)
    return plan


def _piped(inputs: Sequence[str], output: Path | None) -> Job:
    """Of standard input, or to standard output."""
    if len(inputs) != 1:
        raise InputError("- takes one picture; give files by their names, or one picture alone")
    (word,) = inputs
    source = None if word == "-" else Path(word)
    if source is not None and (source.is_dir() or glob.has_magic(word)) and not source.is_file():
        raise InputError(
            f"{printable(word)}: standard output takes one picture; name a folder (-o)"
        )
    if output is None or str(output) in _STANDARD_OUTPUT:
        return Job(source, None)
    if output.is_dir() or not output.suffix:
        raise InputError(f"{printable(output)}: name a file for the picture from standard input")
    return Job(source, output, named=True)


def _plan_of_one(job: Job, overwrite: bool, skip_existing: bool) -> JobPlan:
    if job.target is None:
        return JobPlan([job])
    if skip_existing and job.target.is_file():
        return JobPlan([], finished=1)
    problem = _problem(job.source, job.target, set(), _Names(), overwrite)
    return JobPlan([replace(job, problem=problem)])


def _part(relative: Path, parts: int) -> int:
    if parts == 1:
        return 0
    digest = hashlib.blake2b(relative.as_posix().encode(errors="surrogateescape"), digest_size=8)
    return int.from_bytes(digest.digest()) % parts


class _Names:
    """Results so far, under names that the file system does not tell apart."""

    def __init__(self) -> None:
        self.sources: dict[str, Path] = {}
        self.folders: dict[Path, bool] = {}

    def source_of(self, target: Path) -> Path | None:
        return self.sources.get(self.place(target))

    def take(self, target: Path, source: Path) -> None:
        self.sources.setdefault(self.place(target), source)

    def place(self, target: Path) -> str:
        """Its name, as the file system tells it from others."""
        place = os.path.realpath(target)
        folder = Path(place).parent
        if folder not in self.folders:
            self.folders[folder] = _tells_case_apart(folder)
        if self.folders[folder]:
            return place
        return unicodedata.normalize("NFC", place).lower()  # as macOS compares, and Windows


def _tells_case_apart(folder: Path) -> bool:
    """Whether names that differ in case alone are different files there.

    Told by a file or folder that is there; no where none has a letter.
    """
    for one in (folder, *folder.parents):
        with suppress(OSError), os.scandir(one) as entries:  # lazily: there may be millions
            for entry in entries:
                file, swapped = one / entry.name, one / entry.name.swapcase()
                if swapped.name != file.name and file.exists():
                    return not (swapped.exists() and swapped.samefile(file))
            if one.stat().st_dev != one.parent.stat().st_dev:
                break  # what lies around it is another file system
    return False


def _problem(
    source: Path | None,
    target: Path,
    originals: set[object],
    names: _Names,
    overwrite: bool,
) -> str | None:
    shown = printable(target)
    if identity(target) in originals:
        return f"{shown}: the result would replace an input; name another output"
    if source is not None and (other := names.source_of(target)) is not None:
        return _taken(source, target, other)
    if os.path.lexists(target) and not overwrite:
        return exists_already(shown)
    try:
        check_suffix(target)
    except InputError as error:
        return str(error)
    return None


def _taken(source: Path, target: Path, other: Path) -> str:
    return (
        f"{printable(source)}: its result {printable(target)} has the name of that of "
        f"{printable(other)}; restore it by itself, to another folder"
    )


def identity(path: Path) -> object:
    """Equal for two names of one file, also where case does not matter; of a new file its name."""
    real = os.path.realpath(path)  # also through folders that are yet to be made: new/../a.png
    try:
        status = Path(real).stat()
    except OSError:
        return real
    return status.st_dev, status.st_ino


def _earlier_results(sources: Iterable[Path]) -> list[Path]:
    """Those of other ones among them, as a pattern or the shell's * finds them."""
    known = {source.with_suffix("") for source in sources}
    return [
        source
        for source in sources
        if source.stem.endswith(MARK) and source.with_name(source.stem.removesuffix(MARK)) in known
    ]


def _expand(
    word: str, recursive: bool, results: object, passed_over: Counter[str]
) -> Iterator[tuple[Path, Path]]:
    """(file, name relative to where it was found) for a file, folder or pattern.

    results: the identity of the folder of the results, into which nothing looks.
    """
    path = Path(word)
    if not word:
        raise InputError("an input without a name; give pictures, folders or patterns")
    if path.is_dir():
        any(path.iterdir())  # which raises, where that may not be read
        folders = (
            folders_below(path, passed_over, {identity(path), results}) if recursive else [path]
        )
        for file in sorted(file for folder in folders for file in _files(folder, passed_over)):
            if reason := _reason_to_pass_over(file):
                passed_over[reason] += 1
            else:
                yield file, file.relative_to(path)
    elif os.path.lexists(path) or not glob.has_magic(word):
        yield path, Path(path.name)  # one that is missing is reported with the others' results
    else:
        found = sorted(set(_matches(word)))
        matches = [Path(match) for match in found if Path(match).is_file()]
        yield from ((match, Path(match.name)) for match in matches)


def _matches(pattern: str) -> Iterator[str]:
    """As `glob.glob`, but `**` follows no link to a folder of those that it goes through."""
    parts = Path(pattern).parts
    if "**" not in parts:
        yield from glob.glob(pattern)  # noqa: PTH207 (patterns may be absolute)
        return
    place = parts.index("**")
    base, rest = Path(*parts[:place]), parts[place + 1 :] or ("*",)
    for start in map(Path, glob.glob(str(base))):  # noqa: PTH207
        if start.is_dir():
            for folder in folders_below(start, Counter(), {identity(start)}):
                yield from _matches(str(Path(glob.escape(str(folder)), *rest)))


def folders_below(folder: Path, passed_over: Counter[str], seen: set[object]) -> Iterator[Path]:
    """A folder and all in it; those that are not looked into are counted.

    seen: the folders that are looked into, this one too. A link to one of them is not followed,
    which might never end; the folders themselves come first.
    """
    yield folder
    try:
        inner = [one for one in folder.iterdir() if one.is_dir()]
    except PermissionError:
        return  # as `_files` says
    for one in sorted(inner, key=lambda one: (one.is_symlink(), one.name)):
        if one.name.startswith("."):
            passed_over["hidden folder"] += 1
        elif (same := identity(one)) in seen:
            passed_over["link to a folder of these"] += one.is_symlink()
        else:
            seen.add(same)
            yield from folders_below(one, passed_over, seen)


def _files(folder: Path, passed_over: Counter[str]) -> list[Path]:
    """The files of one folder."""
    try:
        return [one for one in folder.iterdir() if not one.is_dir()]
    except PermissionError:
        passed_over["folder that may not be read"] += 1
        return []


def _reason_to_pass_over(file: Path) -> str | None:
    if not file.name.startswith(".") and not file.is_file():
        return "no regular file"
    return _reason_by_name(Path(file.name))


def _reason_by_name(file: Path) -> str | None:
    """file: relative to the folder that is looked into."""
    suffix = file.suffix.lower()
    if any(part.startswith(".") for part in file.parts):
        return "hidden"
    if suffix in PHONE and not can_read(PHONE[suffix]):
        return f"{suffix}, which needs pip install 'iln[phone]'"
    if suffix not in READABLE and suffix not in PHONE:
        return suffix if suffix else "without a suffix"
    return "an earlier result" if file.stem.endswith(MARK) else None


def passed_over(counts: Mapping[str, int]) -> str:
    """In words: `3 passed over: 2 .txt, 1 hidden`."""
    each = ", ".join(f"{count} {reason}" for reason, count in sorted(counts.items()))
    return f"{sum(counts.values())} passed over: {each}"


def _result_of(relative: Path) -> Path:
    """Of a picture in a folder, in the folder of the results."""
    return relative.with_suffix(writable(relative.suffix))


def writable(suffix: str) -> str:
    """The suffix itself where we can write it; JPEG's for several JPEGs in one file; else PNG's,
    which holds everything."""
    if suffix.lower() in SUFFIXES:
        return suffix
    return ".jpg" if suffix.lower() == ".mpo" else ".png"
