# SPDX-License-Identifier: Apache-2.0
"""``cxr-cf info``: what this installation can do and under which terms; loads nothing heavy."""

import argparse
from typing import Any

from monai_cxr_cf.commands import methods
from monai_cxr_cf.commands.say import say, show
from monai_cxr_cf.runs.facts import BACKBONE, collect

SOLVERS = {"ddim": "DDIM", "dpmpp": "DPM-Solver++"}
STARTS = {
    "noise": "from the source under full noise",
    "strength": "from the source noised to {} of the schedule",
    "ddim": "from a DDIM inversion of the source, {} of the schedule",
    "edit_friendly": "from an inversion that keeps the source, {} of the schedule",
}
EXAMPLES = """\
examples:
  cxr-cf info
  cxr-cf info methods          who can edit: ours and the published editors beside it
  cxr-cf info --json | python -m json.tool
"""


def add(verbs: Any, common: argparse.ArgumentParser) -> None:
    """Declare the verb."""
    parser = verbs.add_parser(
        "info",
        parents=[common],
        epilog=EXAMPLES,
        help="findings, presets, weights with their licences, versions",
        description="What can be asked for, which weights answer, and their licences.",
    )
    parser.add_argument("what", nargs="?", choices=["methods"], help="one part alone")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print it all; JSON for programs."""
    if args.what == "methods":
        return methods.tell(as_json=args.json)
    data = collect()
    if args.json:
        show(data)
    else:
        _print(data)
    return 0


def _print(data: dict[str, Any]) -> None:
    say(f"monai-cxr-cf {data['versions']['monai-cxr-cf']}  {data['intended_use']}")
    say("\nfindings (* = no evidence yet that the shipped weights show it)")
    for name, found in data["findings"].items():
        mark = "*" if name in data["unproven_findings"] else " "
        say(f" {mark} {name:<22} {', '.join(found['synonyms'][:3])}")
    say("\npresets")
    for name, published in data["presets"].items():
        say(f"   {name:<9} {_sampling(published)}")
    changed = {
        name: config
        for name, config in data["presets_calibrated"][BACKBONE].items()
        if config != data["presets"][name]
    }
    if changed:
        say(f"  with {BACKBONE} (its calibration.json; removals and some findings have their own)")
    for name, config in changed.items():
        say(f"   {name:<9} {_sampling(config)}")
    say("\nweights")
    for item in data["weights"]:
        say(f"   {item['file']:<50} {item['sha256'][:12]}  {item['licence']}")
    missing = [name for name, version in data["versions"].items() if version == "missing"]
    if not data["weights"]:
        missing.append("the shipped weights")
    if missing:
        say(f"\nmissing: {', '.join(missing)}; see cxr-cf doctor")


def _sampling(config: dict[str, Any]) -> str:
    sampling, start = config["sampling"], config["start"]
    solver = SOLVERS[sampling["solver"]]
    begin = STARTS[start["kind"]].format(start["strength"])
    return f"{solver}, {sampling['steps']} steps, guidance {sampling['guidance_scale']}, {begin}"
