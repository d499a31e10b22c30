"""How long one patch takes with a session that is kept, by engine.

    python benchmarks/latency.py
    python benchmarks/latency.py --model runs/first --calls 500

Each engine runs in a process of its own. `first call` loads or exports the network and compiles it; the other columns
are medians over the calls after it, with the 95th percentile in parentheses. `new session` is what a call costs that
loads the network again.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time

from sentinode.inference.engines import ENGINES
from sentinode.samples import DEFAULT_MODEL

NEW_SESSIONS = 5


def main() -> None:
    """Measure every engine and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--calls", type=int, default=200)
    parser.add_argument("--engine", choices=ENGINES, help="measure in this process and print json")
    arguments = parser.parse_args()
    if arguments.engine:
        print(json.dumps(measure(arguments.model, arguments.engine, arguments.calls)))
        return
    print("| engine | first call, s | probabilities, ms | predict, ms | new session, ms |\n|---|---|---|---|---|")
    for engine in ENGINES:
        words = [sys.executable, __file__, "--model", arguments.model, "--calls", str(arguments.calls)]
        done = subprocess.run([*words, "--engine", engine], capture_output=True, text=True, check=True)
        found = json.loads(done.stdout.splitlines()[-1])
        cells = [
            f"{found[name]['median']:.1f} ({found[name]['p95']:.1f})" for name in ("probabilities", "predict", "new")
        ]
        print(f"| {engine} | {found['first_s']:.1f} | {' | '.join(cells)} |", flush=True)
    print(
        f"\n{arguments.model}, {arguments.calls} calls; {time.strftime('%Y-%m-%d')}; {os.cpu_count()} cores, "
        f"{platform.machine()}"
    )


def measure(model: str, engine: str, calls: int) -> dict[str, object]:
    """Return the time of the first call in s, and of the others in ms."""
    import numpy as np

    from sentinode import load_run, open_patches

    patches = open_patches("pcam-mini", split="test").read()
    started = time.perf_counter()
    session = load_run(model).session(engine)
    session.probabilities(patches[0])
    first_s = time.perf_counter() - started

    def times(call, count: int) -> dict[str, float]:  # type: ignore[no-untyped-def]
        values = []
        for number in range(count):
            began = time.perf_counter()
            call(patches[number % len(patches)])
            values.append(1000 * (time.perf_counter() - began))
        return {"median": float(np.median(values)), "p95": float(np.percentile(values, 95))}

    return {
        "first_s": first_s,
        "probabilities": times(session.probabilities, calls),
        "predict": times(session.predict, calls),
        "new": times(lambda patch: load_run(model).session(engine).probabilities(patch), NEW_SESSIONS),
    }


if __name__ == "__main__":
    main()
