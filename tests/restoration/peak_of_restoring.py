"""Run by tests in a process of its own: what restoring a picture takes, as JSON on stdout.

python peak_of_restoring.py HEIGHT WIDTH MIB ENGINE: a budget of MIB above what the process holds.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
from pathlib import Path

import numpy as np

import iln
from iln.restoration import restorer
from iln.restoration.memory import resident


def status() -> dict[str, int]:
    """Bytes: VmHWM is the peak of VmRSS, RssAnon what does not lie in files."""
    lines = Path("/proc/self/status").read_text().splitlines()
    words = (line.split() for line in lines)
    return {w[0][:-1]: int(w[1]) * 1024 for w in words if w[-1] == "kB"}


def main() -> None:
    height, width, mebibytes = map(int, sys.argv[1:4])
    engine = sys.argv[4]
    messages: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: messages.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger("iln").addHandler(handler)
    logging.getLogger("iln").setLevel(logging.INFO)

    plans, unused = [], []
    make_plan = restorer.make_plan

    def watched_plan(*args: object, **options: object) -> object:
        unused.append(network._unused)
        plans.append(make_plan(*args, **options))  # type: ignore[arg-type]
        return plans[-1]

    restorer.make_plan = watched_plan  # type: ignore[assignment]
    # As wide as published networks and as hungry, only less deep.
    if engine == "torch":
        model = iln.build("swinir-light-x2", depths=(2,), num_heads=(6,))
    else:
        model = iln.build("hat-mini-x2", depths=(12,), num_heads=(6,))
    network = iln.Restorer(model, device="cpu", engine=engine, precision="fp32")
    network.memory = resident() + mebibytes * 2**20
    image = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)

    before = status()["RssAnon"]
    anonymous, done = [before], threading.Event()

    def look() -> None:
        while not done.wait(0.002):
            anonymous.append(status()["RssAnon"])

    watcher = threading.Thread(target=look)
    watcher.start()
    ends = []
    for _ in range(2):
        network(image)
        ends.append(status()["VmHWM"])
    done.set()
    watcher.join()
    report = {
        "budget": network.memory,
        "peaks": ends,
        "anonymous": max(anonymous),
        "taken": max(anonymous) - before,
        "plans": [[plan.rows, plan.on_disk] for plan in plans],
        "unused": unused,
        "messages": messages,
    }
    sys.stdout.write(json.dumps(report))


if __name__ == "__main__":
    main()
