# SPDX-License-Identifier: Apache-2.0
"""Who edits: the flags that choose a method and its settings, and the table of all methods."""

import json
from typing import Any

from monai_cxr_cf.catalogue.table import TABLE, as_dict
from monai_cxr_cf.commands.say import say, show
from monai_cxr_cf.errors import BadRequest

FLAGS: dict[str, dict[str, Any]] = {
    "--method": {
        "choices": list(TABLE),
        "metavar": "NAME",
        "help": "regulated, or a published editor beside it: cxr-cf info methods",
    },
    "--method-set": {
        "action": "append",
        "metavar": "KEY=VALUE",
        "help": "a setting of such a method, e.g. guidance=5",
    },
}


def settings_from(pairs: list[str]) -> dict[str, Any]:
    """What ``--method-set KEY=VALUE`` says; BadRequest for other than pairs."""
    found = {}
    for text in pairs:
        key, sign, value = text.partition("=")
        if not sign:
            raise BadRequest(f"--method-set {text} is not KEY=VALUE.", hint="E.g. guidance=5.")
        found[key.strip()] = value_of(value.strip())
    return found


def value_of(text: str) -> Any:
    """A value of the command line: number, true, false or list where it is one, else text."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def tell(*, as_json: bool) -> int:
    """The table of methods: what each does, runs on and costs, its settings, whose it is."""
    if as_json:
        show({name: as_dict(row) for name, row in TABLE.items()})
        return 0
    say("F: forwards of SD v1.5 for one 512 px image at the published settings, VAE included.\n")
    for name in TABLE:
        for line in _lines(name):
            say(line)
    say("cxr-cf edit ... --method NAME --method-set KEY=VALUE")
    return 0


def _lines(name: str) -> list[str]:
    row, told = TABLE[name], as_dict(TABLE[name])
    cost = "cost as the preset has it" if told["f"] is None else f"{told['f']:g} F"
    cost += f" to {told['f_at_most']:g} F" if told["f_at_most"] is not None else ""
    cost += "" if row.removes else ", additions only"
    settings = ", ".join(f"{k}={json.dumps(v)}" for k, v in told["settings"].items())
    source = (row.reference.paper, row.reference.code, row.reference.commit)
    licence = row.reference.licence or "this project's"
    return [
        f"{name}: {cost}; UNet of {' or '.join(map(str, told['channels']))} channels",
        f"    {row.about}",
        f"    {settings or 'dials of the preset'}",
        *(f"    as_published: {fault}" for fault in row.defects),
        f"    {', '.join(filter(None, source))}; {licence}\n",
    ]
