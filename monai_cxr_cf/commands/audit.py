# SPDX-License-Identifier: Apache-2.0
"""``cxr-cf audit``: a classifier and a folder in, one report of what it looks at out."""

import argparse
from pathlib import Path
from typing import Any

from monai_cxr_cf import __version__
from monai_cxr_cf.batch.count import count as count_rows
from monai_cxr_cf.batch.edit_work import STANDARD, EditWork
from monai_cxr_cf.batch.how import How
from monai_cxr_cf.commands.batch.flags import add_field_flag, common_from
from monai_cxr_cf.commands.batch.show import Watch
from monai_cxr_cf.commands.options import add_cache_flags, cache_from
from monai_cxr_cf.commands.say import add_place_flags, count, place_from, say, show
from monai_cxr_cf.devices import check_place
from monai_cxr_cf.errors import BadRequest

PATIENTS = 20
CAPTUM = "captum"
STOPPED = 3
SET = ("reading", "sham", "levels", "levels_by", "seeds", "finding", "direction", "side", "prompt")
EXAMPLES = """\
what it does: draws findings into your radiographs, and beside each the same edit without the
finding (a sham); adds marks, frames and other exposures; asks your classifier about all of them;
and says what moves its scores beyond the shams, where in the picture that comes from, what fools
it, and how small an effect would have been seen.

examples:
  cxr-cf audit --data scans --model net.onnx --preprocessing audit.yaml \\
      --finding "left pleural effusion" --finding cardiomegaly --out audit
  cxr-cf audit --data cxr --model j1 --finding "bilateral pleural effusion" --out audit
  cxr-cf audit --data scans --model my_package.net:predict --preprocessing audit.yaml \\
      --finding edema --patients 40 --workers 2 --out audit
  cxr-cf audit ... --check                 only load the classifier and look at its scores

--model: an .onnx file, a .pt2 file of torch.export, module:function or file.py:function, a MONAI
bundle's folder, http(s)://..., j1, j2. audit.yaml says what it wants to see (docs/audit.md 2):
  labels: [Effusion, Cardiomegaly]         in the order of its scores
  size: [224, 224]                         rows, columns
  range: [0, 1]                            what black and white become
  mean: [0.485, 0.456, 0.406]              per channel; likewise std
  channels: 3
  polarity: bright_dense                   or dark_dense
  scores: probability                      or logit

what lands in --out: index.html (open this), audit.json, rows.csv, scores/, and edits/, a batch of
cxr-cf. Stop it with Ctrl-C, or let it crash: the same command goes on. Another classifier on the
same --out takes the edits that are there. --workers 2 is about twice as fast on two cores.
exit code: 0 done, 2 bad input, 3 stopped before the end
"""


def add(verbs: Any, common: argparse.ArgumentParser) -> None:
    """Declare the verb."""
    parser = verbs.add_parser(
        "audit",
        parents=[common],
        epilog=EXAMPLES,
        help="what does my classifier look at?",
        description="Audit a classifier by counterfactuals, each with its sham.",
    )
    parser.add_argument("--model", required=True, metavar="WHAT", help="the classifier; see below")
    parser.add_argument("--preprocessing", type=Path, metavar="FILE",
                        help="audit.yaml: what it wants to see")  # fmt: skip
    parser.add_argument("--data", type=Path, metavar="DIR",
                        help="DICOM, pictures, or a folder with index.csv")  # fmt: skip
    parser.add_argument("--finding", action="append", default=[], metavar="TEXT",
                        help="to draw in or take out; repeat it")  # fmt: skip
    parser.add_argument("--out", type=Path, metavar="DIR", help="new, or begun by this command")
    parser.add_argument("--one", type=Path, metavar="FILE",
                        help="explain one radiograph: one-N.png, .dcm a finding")  # fmt: skip
    parser.add_argument("--saliency", type=Path, metavar="DIR",
                        help="your maps, named like the radiographs; or captum")  # fmt: skip
    parser.add_argument("--check", action="store_true", help="score one radiograph, edit nothing")
    parser.add_argument("--score", type=Path, nargs="+", metavar="FILE",
                        help="only score a radiograph and counterfactuals of it")  # fmt: skip
    _add_amounts(parser)
    how = parser.add_argument_group("how it goes")
    add_field_flag(how)
    how.add_argument("--workers", type=count, default=1, metavar="N", help="that edit [1]")
    how.add_argument("--progress", choices=["bar", "ndjson", "none"], default="bar",
                     help="a bar, or one JSON event a line on standard output")  # fmt: skip
    add_place_flags(parser)
    add_cache_flags(parser)
    parser.set_defaults(run=run)


def _add_amounts(parser: argparse.ArgumentParser) -> None:
    who = parser.add_argument_group("how many, how strong")
    who.add_argument("--patients", type=count, default=PATIENTS, metavar="N",
                     help=f"at most; one radiograph each [{PATIENTS}]")  # fmt: skip
    who.add_argument("--split", default="", metavar="NAME", help="of index.csv [all]")
    who.add_argument("--levels", default="0.25,0.5,0.75,1", metavar="LIST",
                     help="severities of the response curve [0.25,0.5,0.75,1]")  # fmt: skip
    who.add_argument("--sampled", action="store_true",
                     help="sample every severity anew instead of blending: slower")  # fmt: skip
    who.add_argument("--margin", type=float, default=0.05, metavar="P",
                     help="changes of a score below this do not matter [0.05]")  # fmt: skip
    who.add_argument("--smallest-group", type=count, default=5, metavar="N",
                     help="patients that a subgroup needs [5]")  # fmt: skip
    who.add_argument("--seed", type=int, default=0, metavar="N", help="of all edits [0]")


def run(args: argparse.Namespace) -> int:
    """Check everything that is quick, then audit."""
    from monai_cxr_cf.audit.adapters.declared import read_declared
    from monai_cxr_cf.audit.adapters.load import load_classifier
    from monai_cxr_cf.audit.cohort import cohort, single
    from monai_cxr_cf.audit.measuring.captum_maps import mapper
    from monai_cxr_cf.audit.plan import Edits, asked_from
    from monai_cxr_cf.dicom.reading.read import read_source

    check_place(args.device, args.precision)
    if args.out is not None and args.out.exists() and not args.out.is_dir():
        raise BadRequest("--out names a file; expected a folder.", hint="Take a new name.")
    if args.saliency is not None and str(args.saliency) != CAPTUM and not args.saliency.is_dir():
        raise BadRequest("--saliency names no folder.", hint="Check the path.")
    if taken := [name for name in common_from(args) if name.partition(".")[0] in SET]:
        raise BadRequest(f"An audit sets {taken[0]} itself.", hint="Leave that --field out.")
    if not 0 < args.margin < 1:
        raise BadRequest(f"--margin is {args.margin:g}; expected a number between 0 and 1.")
    declared = None if args.preprocessing is None else read_declared(args.preprocessing)
    if args.score:
        return _score(args, load_classifier(args.model, declared))
    if args.out is None and not args.check:
        raise BadRequest("--out is missing; expected a folder.", hint="Or pass --check.")
    if not args.check:
        edits = Edits(asked_from(args.finding), _levels(args.levels), args.sampled, args.seed)
    if (args.data is None) == (args.one is None):
        raise BadRequest("Neither or both of --data and --one are given; expected one of them.")
    where = args.data or args.one
    chosen = cohort(where, args.patients, args.split) if args.data else [single(where)]
    if args.one is not None:
        read_source(chosen[0].path, chosen[0].reading)  # says what is wrong before anything is made
    classifier = load_classifier(args.model, declared)
    if str(args.saliency) == CAPTUM:
        mapper(classifier)
    if args.check:
        return _check(args, classifier, chosen)
    return _audit(args, classifier, chosen, edits)


def _levels(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise BadRequest("--levels is no list of numbers.", hint="Such as 0.25,0.5,1.") from None


def _check(args: argparse.Namespace, classifier: Any, chosen: Any) -> int:
    """The scores of one radiograph, and whether DICOM and PNG of it agree."""
    from monai_cxr_cf.audit.checks import same_across_files
    from monai_cxr_cf.dicom.reading.read import read_source

    source = read_source(chosen[0].path, chosen[0].reading)
    scores = dict(
        zip(classifier.labels, classifier.scores([source.pixels])[0].tolist(), strict=True)
    )
    agree = same_across_files(classifier, source)
    if args.json:
        show({"scores": scores, "check": agree.as_dict()})
    else:
        for label, value in scores.items():
            say(f"{value:6.3f}  {label}")
        say(agree.words)
    return 0 if agree.passed else 1


def _score(args: argparse.Namespace, classifier: Any) -> int:
    """What the classifier says of a radiograph and of counterfactuals, as an audit shows them."""
    from monai_cxr_cf.audit.trials import OURS, shown_on
    from monai_cxr_cf.dicom.reading.read import read_source

    source = read_source(args.score[0], OURS)
    images = [source.pixels, *(shown_on(source, file) for file in args.score[1:])]
    scores = classifier.scores(images)
    if args.json:
        show({"labels": list(classifier.labels), "scores": scores.tolist()})
    else:
        for label, values in zip(classifier.labels, scores.T, strict=True):
            say("".join(f"{value:6.3f}  " for value in values) + label)
    return 0


def _audit(args: argparse.Namespace, classifier: Any, chosen: Any, edits: Any) -> int:
    from monai_cxr_cf.audit.beside import explain_all, with_maps
    from monai_cxr_cf.audit.run import Audit, edit, finish, lay_out_edits, score
    from monai_cxr_cf.audit.words import lines

    audit = Audit(args.out, chosen, edits, **_settings(args))
    lay_out_edits(audit)
    rows = audit.folder.read().rows
    args.talker.hello({"version": __version__, "rows": rows, "radiographs": len(chosen)})
    watch = Watch(count_rows(audit.folder), args.talker)
    try:
        stopped = edit(audit, watch)
    finally:
        watch.close()
    if stopped:
        _stopped(args, stopped)
        return STOPPED
    facts, found = score(audit, classifier, args.talker)
    if args.one is not None and not found.pairs:
        codes = ", ".join(sorted(found.lost)) or "nothing to draw"
        raise BadRequest(f"No edit of this radiograph could be made ({codes}).",
                         hint="cxr-cf edit says more.")  # fmt: skip
    if args.saliency is not None:
        maps = None if str(args.saliency) == CAPTUM else args.saliency
        facts = with_maps(audit, classifier, facts, found, maps)
    args.talker.close()
    said = [] if args.one is None else explain_all(audit, classifier, facts, found)
    told = finish(audit, classifier, facts, found)
    args.talker.result({"out": str(args.out), "page_one": told["page_one"]})
    if args.json:
        show(told)
    elif args.progress != "ndjson":
        say("\n".join(said or lines(told["page_one"])))
        say(f"{(args.out / 'index.html').as_posix()} shows the figures. SYNTHETIC - research only.")
    return 0


def _settings(args: argparse.Namespace) -> dict[str, Any]:
    """How the edits are made, and what counts."""
    common = {"preset": "fast", **common_from(args)}
    models: dict[str, Any] = {name: str(common.get(name, std)) for name, std in STANDARD.items()}
    work = EditWork(**models, **place_from(args), **cache_from(args))
    how = How(workers=args.workers, threads=args.threads or 1)
    counts = {"margin": args.margin, "group": args.smallest_group}
    return {"common": common, "work": work, "how": how, **counts}


def _stopped(args: argparse.Namespace, why: str) -> None:
    args.talker.result({"stopped": why, "out": str(args.out)})
    if args.json:
        show({"stopped": why, "out": str(args.out)})
    elif args.progress != "ndjson":
        say(f"stopped: {why} The same command goes on.")
