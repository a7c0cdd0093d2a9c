"""Compare where to scribble next: at the model's suggestions, or at random places.

Starts from a few annotated cells, painted as benchmark paints them, and in each round
annotates as many more cells of the training images with each policy, trains on from the
last round's model, and scores the test images. The annotator is simulated from the truth. The
background stroke that comes with each cell mends what is shown: it parts cells that touch and
are shown as one, or goes through background that is shown as an object. Policies:
  heatmap              where pixels or objects are least sure, as in the window
  entropy              where pixels are least sure, as in the paper
  mutual-information   where the Monte-Carlo passes contradict each other
  diverse              least sure, and unlike the other places of the round
  missed               in cells that were not found, as the truth tells and no user knows
  random               anywhere
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from napari_impartial.cli.options import (
    add_pooling,
    add_settings,
    add_style,
    chosen_preset,
    comma_list,
    given_settings,
    number,
    one_of,
    override,
    training_settings,
)
from napari_impartial.cli.output import (
    ProgressBar,
    ensure_folder,
    markdown_table,
    number_text,
    write_line,
)
from napari_impartial.core.config import LARGEST_SEED, InstanceConfig, SuggestionConfig
from napari_impartial.core.errors import ImPartialError

from .benchmark import add_experiment_settings
from .benchmark_report import FIGURES, spread_text, summarize, write_texts
from .dataset import check_files, open_data_sets
from .refine_rounds import AT_ONCE, POLICIES, Amounts, Data, Rounds, Settings, read
from .run_cache import FinishedRuns

EPILOG = """\
example:
  napari-impartial refine data/nuclei --rounds 3 --start-percent 2 --add-percent 1 \\
      --preset fast --seeds 0,1,2
  napari-impartial refine data/nuclei data/tissue data/ihc --seeds 0,1,2 \\
      --policy heatmap,diverse,random --out results/refine
  napari-impartial refine data/tissuenet --preset paper --pooling authors \\
      --start-percent 1.5 --add-percent 1 --rounds 3 --policy entropy --at-once 5"""

ALWAYS_DESCRIBE = True
DEFAULT_POLICIES = ("heatmap", "random")
# Results of what is the same in these are put together, and what is put together of them.
KEYS = ("set", "round", "policy")
OF_RUNS = ("cells", "percent", "background_strokes", "mended", *FIGURES)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument(
        "sets",
        nargs="+",
        type=Path,
        metavar="SET",
        help="Folders of data sets; see benchmark --help.",
    )
    parser.add_argument(
        "--rounds",
        type=number(1, 100, int),
        default=3,
        metavar="N",
        help="Rounds after the first training (default 3).",
    )
    parser.add_argument(
        "--policy",
        type=comma_list(one_of(POLICIES)),
        default=list(DEFAULT_POLICIES),
        metavar="P,..",
        help=f"Of {', '.join(POLICIES)} (default {','.join(DEFAULT_POLICIES)}).",
    )
    parser.add_argument(
        "--start-percent",
        type=number(0.01, 99.0),
        default=2.0,
        metavar="X",
        help="Percent of each image's cells annotated at the start, in a few spots (default 2).",
    )
    parser.add_argument(
        "--add-percent",
        type=number(0.01, 99.0),
        default=1.0,
        metavar="X",
        help="Percent of the cells annotated in each round, at least one cell (default 1).",
    )
    add_style(parser)
    parser.add_argument(
        "--seeds",
        type=comma_list(number(0, LARGEST_SEED, int)),
        default=[0],
        metavar="N,..",
        help="Repeat with these seeds (default 0).",
    )
    parser.add_argument(
        "--at-once",
        type=number(0.01, 100.0),
        metavar="X",
        help="Also annotate X percent of the cells at once, as benchmark does, and train as long "
        "as all rounds together: what the rounds are held against in the paper's Table 3.",
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="Write table.md and results.json there, and keep finished runs (all rounds of a "
        "set, seed and policies): the same command goes on after an interruption.",
    )
    add_pooling(parser)
    add_experiment_settings(parser)
    add_settings(parser, SuggestionConfig, "suggestions", only=("box_px",))


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Do all rounds with each set, policy and seed."""
    settings, amounts = _settings(args)
    data_sets = open_data_sets(args.sets, args.style)
    for data in data_sets:
        check_files(data, (), truths=True)
    out = None if args.out is None else ensure_folder(args.out)
    finished = FinishedRuns(None if out is None else out / "runs")
    results: list[dict[str, Any]] = []
    status = 0
    try:
        for data in data_sets:
            loaded = None
            for seed in args.seeds:
                spec = {
                    "set": str(data.folder.resolve()),
                    "policies": args.policy,
                    "seed": seed,
                    "style": args.style,
                    "amounts": amounts,
                    "settings": settings,
                    "figures": OF_RUNS,
                }
                found = finished.get(spec)
                if found is None:
                    loaded = loaded or read(data)
                    found = _refine(loaded, settings, amounts, seed, args.policy)
                    finished.put(spec, found)
                results += found
    except KeyboardInterrupt:
        write_line("Stopped by Ctrl-C; the table has what was finished.")
        status = 130
    report = {
        "results": results,
        "summary": summarize(results, KEYS, OF_RUNS),
        "settings": dataclasses.asdict(settings),
    }
    if out is not None:
        write_texts(out, describe(report), report)
    return {**report, "exit_status": status}


def _refine(
    data: Data, settings: Settings, amounts: Amounts, seed: int, policies: Sequence[str]
) -> list[dict[str, Any]]:
    """Do all rounds of one set and seed, with a progress bar."""
    trainings = 1 + amounts.rounds * len(policies) + (amounts.at_once is not None)
    with ProgressBar(f"refining {data.name}, seed {seed}") as bar:

        def report(done: int, share: float, note: str) -> None:
            bar.update((done + share) / trainings, note)

        return Rounds(data, settings, amounts, report).run(seed, policies)


def _settings(args: argparse.Namespace) -> tuple[Settings, Amounts]:
    """Check the options, and put the settings together."""
    # A training for each round, policy and seed: the quick preset unless asked otherwise.
    model, training = training_settings(args, preset="fast")
    preset = chosen_preset(args, "fast")
    prediction = override(preset.prediction, args, skip=("reconstruction",))
    if "mutual-information" in args.policy and prediction.samples < 2:
        raise ImPartialError("The policy mutual-information needs --samples 2 or more.")
    settings = Settings(
        model,
        training,
        prediction,
        given_settings(InstanceConfig, args),
        # As many places as are asked for, whatever ranks them: they are what is compared.
        override(SuggestionConfig(least_doubt=0.0), args),
        args.pooling,
    )
    amounts = Amounts(args.rounds, args.start_percent, args.add_percent, args.at_once)
    return settings, amounts


def describe(result: dict[str, Any]) -> str:
    """Return F1 by set, round and policy as Markdown tables.

    With several sets, the last rows are the means over the sets. Each guided policy is also
    held against random, at the same number of cells.
    """
    at_once = [entry for entry in result["summary"] if entry["policy"] == AT_ONCE]
    summary = [entry for entry in result["summary"] if entry["policy"] != AT_ONCE]
    if not summary:
        return "No run was completed."
    policies = list(dict.fromkeys(entry["policy"] for entry in summary))
    guided = [p for p in policies if p != "random"] if "random" in policies else []
    heading = ["set", "round", "cells", "%", *(f"F1 {policy}" for policy in policies)]
    rows = [heading + [f"{policy} - random" for policy in guided]]
    by_round: dict[int, list[dict[str, dict[str, Any]]]] = {}
    places = list(dict.fromkeys((e["set"], e["round"]) for e in summary))
    for name, round_ in sorted(places, key=lambda place: (places.index((place[0], 0)), place[1])):
        entries = {e["policy"]: e for e in summary if (e["set"], e["round"]) == (name, round_)}
        by_round.setdefault(round_, []).append(entries)
        first = entries[policies[0]]
        cells = [name, str(round_), f"{first['cells']:.0f}", number_text(first["percent"], 1)]
        cells += [spread_text(entries[policy], "f1") for policy in policies]
        rows.append(cells + _gains({p: entries[p]["f1"] for p in policies}, guided))
    if len({name for name, _ in places}) > 1:
        for round_, of_sets in sorted(by_round.items()):
            means = {p: statistics.fmean(e[p]["f1"] for e in of_sets) for p in policies}
            percent = statistics.fmean(e[policies[0]]["percent"] for e in of_sets)
            cells = ["mean", str(round_), "", number_text(percent, 1)]
            cells += [number_text(means[policy]) for policy in policies]
            rows.append(cells + _gains(means, guided))
    parts = [markdown_table(rows)]
    if at_once:
        parts.append(_against_at_once(summary, at_once))
    return "\n\n".join(parts)


def _against_at_once(summary: list[dict[str, Any]], at_once: list[dict[str, Any]]) -> str:
    """Hold the last round of each policy against annotation at once (the paper's Table 3)."""
    rows = [["set", "annotated", "cells", "%", "F1", "mIoU", "mDice"]]
    for once in at_once:
        last = [e for e in summary if (e["set"], e["round"]) == (once["set"], once["round"])]
        for entry in (once, *last):
            name = AT_ONCE if entry is once else f"in rounds, {entry['policy']}"
            cells = [entry["set"], name, f"{entry['cells']:.0f}", number_text(entry["percent"], 1)]
            rows.append(cells + [spread_text(entry, figure) for figure in ("f1", "miou", "mdice")])
    return markdown_table(rows)


def _gains(f1: dict[str, float], guided: Sequence[str]) -> list[str]:
    """Write what each guided policy has over random."""
    return [f"{f1[policy] - f1['random']:+.3f}" for policy in guided]
