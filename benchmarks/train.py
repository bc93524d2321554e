"""Trainings per hour: this project's loop, its variants and the plain loop, on one mixture in one run.

    OMP_NUM_THREADS=1 python benchmarks/train.py --device cpu --trials 6
    python benchmarks/train.py --device cpu --data cifar10 --size 1000 --recipe small --iterations 60
    python benchmarks/train.py --device cuda --data ARRAYS --size 50000 --model speednet --recipe speedrun \
        --trials 20 --limit 540 --out $OUT/train.json

ARRAYS is a folder with train_images.npy, train_labels.npy, test_images.npy and test_labels.npy; `noise`
stands for random images of CIFAR-10's shape (speed only). A contender is KIND[:count][@processes]:
plain:2@1 (two DataLoader workers), eager, graph, compile, grid (a trial as a grid runs it: rows in a store).
Each runs in processes of its own: one warm-up trial, then all start together; a contender that fails or
runs out of time is reported as such. Ends within --limit.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from contenders import Contender, Setting

from mousterian.training import loop
from mousterian.training.feed import Stream

CORES = len(os.sched_getaffinity(0))
CPU = [f"plain:0@{CORES}", f"plain:1@{CORES}", f"plain:{CORES}@1", "eager@1", f"eager@{CORES}"]
CUDA = ["plain:8", "eager", "graph", "compile", "graph@2", "graph@4", "eager@4", "grid", "grid@4"]
CONTENDERS = {"cpu": [*CPU, f"grid@{CORES}"], "cuda": CUDA}


def cpu_seconds() -> float:
    """Return the CPU time of this process and of the children it has waited for."""
    return sum(os.times()[:4])


def child(name: str, number: int, setting: Setting) -> None:
    """Warm up, report it, wait for the start signal, train, and print the measurements."""
    torch.set_num_threads(1)
    kind, _, count = name.partition(":")
    contender = Contender(kind, int(count or 1), setting)
    began = time.perf_counter()
    contender.run([10_000])
    print(json.dumps({"ready": time.perf_counter() - began}), flush=True)
    sys.stdin.readline()
    contender.train_seconds, contender.seen = 0.0, 0
    started, busy = time.perf_counter(), cpu_seconds()
    found: list[float] = []
    while len(found) < setting.trials and (not found or time.perf_counter() - started < setting.seconds):
        found += contender.run([1000 * number + len(found)])
    if setting.place.type == "cuda":
        torch.cuda.synchronize()
        memory = torch.cuda.max_memory_reserved()
    else:
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    measured = {
        "wall": time.perf_counter() - started,
        "busy": cpu_seconds() - busy,
        "train_seconds": contender.train_seconds,
        "seen": contender.seen,
        "accuracy": found,
        "memory": memory,
    }
    print(json.dumps(measured), flush=True)


def measure(contender: str, setting: Setting, deadline: float) -> dict[str, Any]:
    """Run one contender in its number of processes and return its row of the result."""
    name, _, processes = contender.partition("@")
    command = [sys.executable, __file__, "--child", name]
    started = [
        subprocess.Popen(
            [*command, str(number), json.dumps(asdict(setting))],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for number in range(int(processes or 1))
    ]  # fmt: skip
    timer = threading.Timer(max(1.0, deadline - time.perf_counter()), lambda: [p.kill() for p in started])
    timer.start()
    try:
        warm = [json.loads(process.stdout.readline()) for process in started]  # type: ignore[union-attr]
        began = time.perf_counter()
        for process in started:
            print("go", file=process.stdin, flush=True)
        lines = [process.stdout.readline() for process in started]  # type: ignore[union-attr]
        wall = time.perf_counter() - began
        rows = [json.loads(line) for line in lines]
    except (json.JSONDecodeError, BrokenPipeError):
        for process in started:
            process.kill()
        last = [process.communicate()[1].strip().splitlines()[-1:] for process in started]
        return {
            "contender": contender,
            "failed": str(next((each[0] for each in last if each), "no time left")),
        }
    finally:
        timer.cancel()
        for process in started:
            process.stdin.close()  # type: ignore[union-attr]
            process.wait()
    return summary(contender, wall, max(each["ready"] for each in warm), rows)


def summary(contender: str, wall: float, warm: float, rows: list[dict[str, Any]]) -> dict[str, Any]:
    scores = [score for row in rows for score in row["accuracy"]]
    return {
        "contender": contender,
        "trials": len(scores),
        "trainings_an_hour": 3600 * sum(len(row["accuracy"]) / row["wall"] for row in rows),
        "images_a_second": sum(row["seen"] / row["wall"] for row in rows),
        "accuracy": float(np.mean(scores)),
        "accuracy_spread": float(np.std(scores, ddof=1)) if len(scores) > 1 else 0.0,
        "training_share": sum(row["train_seconds"] / row["wall"] for row in rows) / len(rows),
        "cpu_seconds_a_training": sum(row["busy"] for row in rows) / len(scores),
        "memory_mib": sum(row["memory"] for row in rows) / 2**20,
        "first_trial_seconds": warm,
        "wall_seconds": wall,
    }


def check(setting: Setting) -> Iterator[tuple[str, bool, str]]:
    """Compare a few steps of accelerated training with eager ones."""
    short = replace(setting, changes=json.dumps({**json.loads(setting.changes), "iterations": 10}))
    contender = Contender("eager", 1, short)
    weights: dict[str, torch.Tensor] = {}
    for mode in ("eager", "graph", "graph again"):
        model, task = contender.prepared(1, mode.split()[0])
        loop.train(model, [Stream(task.mixture, task.recipe.batch_size)], task)
        weights[mode] = torch.cat([p.detach().flatten().float() for p in model.parameters()])
    for mode in ("graph", "graph again"):
        gap = float((weights[mode] - weights["eager"]).norm() / weights["eager"].norm())
        yield f"10 steps: {mode} against eager", gap < 0.05, f"relative distance of weights {gap:.2e}"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--data", default="digits", help="dataset, folder of .npy, or noise")
    parser.add_argument("--size", type=int, default=120, help="images of the mixture")
    parser.add_argument("--model", default="small_cnn")
    parser.add_argument("--recipe", default="small")
    parser.add_argument("--iterations", type=int, help="optimiser steps in place of the recipe's length")
    parser.add_argument("--batch-size", type=int)
    parser.add_argument("--precision", choices=["float32", "bfloat16", "float16"])
    parser.add_argument("--trials", type=int, default=6, help="of each process")
    parser.add_argument("--limit", type=float, default=540, help="seconds for all of it")
    parser.add_argument("--contenders", nargs="*")
    parser.add_argument("--out", type=Path, default=Path(os.environ.get("OUT", ".")) / "train.json")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    given = arguments()
    if given.child:
        child(given.child[0], int(given.child[1]), Setting(**json.loads(given.child[2])))
        return
    changes = {key: getattr(given, key) for key in ("iterations", "batch_size", "precision")}
    changes = {key: value for key, value in changes.items() if value is not None}
    end = time.perf_counter() + given.limit
    kind = torch.device(given.device).type
    names = given.contenders or CONTENDERS[kind]
    values = (given.device, given.data, given.size, given.model, given.recipe, json.dumps(changes))
    setting = Setting(*values, given.trials, given.limit)
    name = torch.cuda.get_device_name(given.device) if kind == "cuda" else platform.processor() or "cpu"
    result: dict[str, Any] = {"device": name, "torch": torch.__version__, **asdict(setting), "rows": []}
    result["checks"] = [dict(zip(("what", "ok", "detail"), each, strict=True)) for each in check(setting)]
    print(*(f"check: {each}" for each in result["checks"]), sep="\n", flush=True)
    for index, contender in enumerate(names):
        left = (end - time.perf_counter()) / (len(names) - index)
        load = os.getloadavg()[0]
        share = replace(setting, seconds=0.5 * left)
        row = measure(contender, share, time.perf_counter() + max(left, 5.0)) | {"load_before": load}
        result["rows"].append(row)
        print(
            ", ".join(f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in row.items()),
            flush=True,
        )
        given.out.write_text(json.dumps(result, indent=1))
    sys.exit(0 if all(each["ok"] for each in result["checks"]) else 1)


if __name__ == "__main__":
    main()
