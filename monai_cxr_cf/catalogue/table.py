# SPDX-License-Identifier: Apache-2.0
"""Every editing method as a row: what it needs, what it costs, whose it is, what it can be told.

``methods.registry`` holds the function of each row; requests, ``cxr-cf info methods`` and the
evaluations read the rows. Costs are formulas in F, one forward of the loaded UNet.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from monai_cxr_cf.catalogue.orders import BiomedJourney, Instruct, InstructX2X, LatentShift, ProgEmu
from monai_cxr_cf.catalogue.row import ALL, CHANNELS, COMMON, Reference, Row, Unit, passes
from monai_cxr_cf.catalogue.settings import (
    AttendExcite,
    Blended,
    DdimInvert,
    DdpmInvert,
    DiffEdit,
    External,
    Inpaint,
    LayoutGuidance,
    Ledits,
    MasaCtrl,
    Pie,
    PieLatent,
    PromptToPrompt,
    RadEdit,
    RegionSpecific,
    Settings,
)
from monai_cxr_cf.errors import BadRequest

OURS = "regulated"
DIFFUSERS = {"commit": "0.42.1", "licence": "Apache-2.0"}
LATE = "the paste is of the noise level before the step, so that noise is left"
NEAREST = "the mask is the region by nearest pixel, without its band"


def pie_cost(s: Pie, u: Unit) -> float:
    """Ours encodes each round's picture once; as published thrice, and calls once more."""
    calls, encodes = s.executed, s.rounds
    if s.as_published:
        calls, encodes = calls + 1, 3 * s.rounds + 1
    return s.rounds * (passes(s.guidance) * calls + u.decode) + encodes * u.encode


def borrowed(s: PromptToPrompt) -> int:
    """Calls of the source alone: as long as its maps are wanted."""
    if s.blend:
        return s.executed
    counted = s.steps if s.as_published else s.executed
    wanted = max(int(s.cross * (counted + 1)), int(s.self_share * counted))
    return min(wanted, s.executed)


def attend_cost(s: AttendExcite, u: Unit) -> float:
    """A look in each altered step; a step back only where something is to be moved."""
    return passes(s.guidance) * s.executed + min(s.altered, s.executed) + u.vae


def attend_most(s: AttendExcite, u: Unit) -> float:
    """With all refinements, and a move each time."""
    altered = min(s.altered, s.executed)
    again = (s.refinements + 1) * sum(n < altered for n in (0, 10, 20))
    both = (altered + again) * (1 + u.backward)
    return passes(s.guidance) * s.executed + both + u.vae


def layout_most(s: LayoutGuidance, u: Unit) -> float:
    """With all tries, and a move each time."""
    both = min(s.guided, s.executed) * s.tries * (1 + u.backward)
    return passes(s.guidance) * s.executed + both + u.vae


def rse_cost(s: RegionSpecific, u: Unit) -> float:
    """Two calls for the region, then the editor."""
    calls = {
        "sd_inpaint": Inpaint(strength=s.strength).executed,
        "blended": Blended().steps - Blended().skipped,
        "pie_latent": Pie().rounds * Pie().executed,
    }
    return 2 + passes(s.guidance) * calls[s.editor] + u.vae


def diffedit_cost(s: DiffEdit, u: Unit) -> float:
    """Mask, inversion, sampling; an empty source prompt needs no guidance of its own."""
    source = passes(s.guidance) if u.source else 1
    draws = 2 * s.draws if s.mask == "auto" else 0
    return draws + s.executed * (source + passes(s.guidance)) + u.vae


ROWS = (
    Row("regulated", "ours: laws on guidance, attention and start, as a preset says",
        Settings(), None, Reference("arXiv 2603.04130"), dials=(ALL,), region="guidance"),
    Row("sdedit", "plain image-to-image by the preset's solver, strength and guidance, no law",
        Settings(), None,
        Reference("arXiv 2108.01073", "huggingface/diffusers, Img2Img", **DIFFUSERS),
        region="none",
        dials=(*COMMON, "start.strength", "sampling.solver", "sampling.steps", "sampling.spacing",
               "sampling.guidance_scale")),
    Row("sd_inpaint", "noise in the region and the source pasted around it after every step; "
        "a UNet of 9 channels sees the source instead",
        Inpaint(),
        lambda s, u: passes(s.guidance) * s.executed + u.vae + u.encode * (u.kind == "inpaint"),
        Reference("arXiv 2112.10752", "huggingface/diffusers, Inpaint", **DIFFUSERS),
        kinds=("text", "inpaint"), own="inpaint"),
    Row("ddim_invert", "DDIM inversion under the source prompt, then guided sampling; no chance",
        DdimInvert(), lambda s, u: (1 + passes(s.guidance)) * s.executed + u.vae,
        Reference("arXiv 2010.02502", "inbarhub/DDPM_inversion", "58fc881", "MIT"),
        region="none"),
    Row("ddpm_invert", "an inversion whose noise leads back to the source exactly, replayed under "
        "the target prompt",
        DdpmInvert(),
        lambda s, u: s.steps * (passes(s.source_guidance) if u.source else 1)
        + passes(s.guidance) * s.executed + u.vae,
        Reference("arXiv 2304.06140", "inbarhub/DDPM_inversion", "58fc881", "MIT"),
        region="none",
        defects=("the noise of the last step is set to 0, so that a null edit is not the source",
                 "at eta below 1 the step's direction has eta for eta squared")),
    Row("blended", "pure noise from a quarter of the schedule on, the source pasted around it",
        Blended(), lambda s, u: passes(s.guidance) * (s.steps - s.skipped) + u.vae,
        Reference("arXiv 2206.02779", "omriav/blended-latent-diffusion", "09565c5", "MIT"),
        defects=(f"{LATE}, with fresh noise each time", NEAREST)),
    Row("pie", "ten rounds of masked image-to-image, each from the picture of the last",
        Pie(), pie_cost, Reference("arXiv 2309.11745", "IrohXu/PIE", "3a36495", "MIT"),
        defects=("the encoder's posterior is drawn from three times a round, each time anew",
                 "a draw of noise is made and never used",
                 "PNDM: one call more than steps, and from the third on the latent is one level "
                 "noisier than the UNet is told", "the mask is the region without its band")),
    Row("pie_latent", "pie without the way through the picture between rounds",
        PieLatent(), lambda s, u: s.rounds * passes(s.guidance) * s.executed + u.vae,
        Reference("arXiv 2309.11745", "IrohXu/PIE", "3a36495", "MIT"),
        defects=("the mask is the region without its band",)),
    Row("radedit", "RadEdit's law: an inversion without words, guidance in the region alone, all "
        "beyond the band kept, the band free; RadEdit's own weights are not part of this",
        RadEdit(), lambda s, u: s.steps + 2 * (s.steps - s.skipped) + u.vae,
        Reference("arXiv 2312.12865", "hub microsoft/radedit", "e8ebd31", "research only"),
        defects=(LATE, "the band is kept as well",
                 "the noise is divided by its deviation, no number where that is 0")),
    Row("diffedit", "edits where predictions under both prompts differ, from a DDIM inversion",
        DiffEdit(), diffedit_cost,
        Reference("arXiv 2210.11427", "huggingface/diffusers, DiffEdit (deprecated)", **DIFFUSERS),
        region="own", defects=(LATE, NEAREST)),
    Row("ip2p", "InstructPix2Pix: an instruction, and the picture as 4 more input channels",
        Instruct(), lambda s, u: 3 * s.steps + u.vae,
        Reference("arXiv 2211.09800", "timothybrooks/instruct-pix2pix", "0dffd1e", "MIT-like"),
        kinds=("instruct",), own="instruct", region="none"),
    Row("biomedjourney", "ip2p with BiomedJourney's own weights, which are not published: yours to "
        "bring, and nothing else gets the name",
        BiomedJourney(), lambda s, u: 3 * s.steps + u.vae,
        Reference("arXiv 2310.10765", licence="neither code nor weights are published"),
        kinds=("instruct",), own="instruct", needs=("own weights",), region="none"),
    Row("instructx2x", "ip2p in a region that the instruction shows by itself at noise level 800",
        InstructX2X(), lambda s, u: 3 * (s.steps + 1) + u.vae,
        Reference("arXiv 2603.00423", "hgminn/InstructX2X", "776c739", "Apache-2.0"),
        kinds=("instruct",), own="instruct", region="own", defects=(LATE,)),
    Row("p2p", "prompt-to-prompt: the target borrows the source's attention maps, from an "
        "inversion of the source",
        PromptToPrompt(),
        lambda s, u: s.steps * passes(s.source_guidance) + 2 * s.executed + borrowed(s) + u.vae,
        Reference("arXiv 2208.01626", "google/prompt-to-prompt", "9c472e4", "Apache-2.0"),
        region="none",
        defects=("shares count the skipped steps as well",
                 "behind the last replaced word tokens are matched by position, shifted where two "
                 "words have other numbers of pieces",
                 "the noise of the last step is set to 0")),
    Row("masactrl", "the target's queries read the source's keys and values in the last two blocks",
        MasaCtrl(), lambda s, u: s.steps * (2 + passes(s.guidance)) + u.vae,
        Reference("arXiv 2304.08465", "TencentARC/MasaCtrl", "d0ba16b", "Apache-2.0"),
        region="none"),
    Row("attend_excite", "moves the latent until every token of the finding holds some cell; "
        "amplifies rounding, so that another machine gives another picture",
        AttendExcite(), attend_cost,
        Reference("arXiv 2301.13826", "yuval-alaluf/Attend-and-Excite", "163efdf", "MIT"),
        region="none", removes=False, most=attend_most,
        defects=("starts from noise alone: nothing of the source is known",)),
    Row("layout_guidance", "moves the latent until the finding's tokens lie in its region",
        LayoutGuidance(), lambda s, u: passes(s.guidance) * s.executed + min(s.guided, s.executed)
        + u.vae,
        Reference("arXiv 2304.03373", "silent-chen/layout-guidance", "50fcf75", "none: ideas only"),
        region="guidance", removes=False, most=layout_most,
        defects=("starts from noise alone: nothing of the source is known",
                 "the loss is kept from step to step: once it is low no later step is moved",
                 "positions of words are taken for positions of tokens")),
    Row("ledits", "LEDITS++: an exact inversion, guidance where the words look and act",
        Ledits(),
        lambda s, u: s.steps * ((passes(s.source_guidance) if u.source else 1) + 2) + u.vae,
        Reference("arXiv 2311.16711", "huggingface/diffusers, LEDITS++", **DIFFUSERS),
        region="own", solver="sde-dpmpp",
        defects=("the words' map is summed over the end and the padding as well",)),
    Row("latent_shift", "moves the autoencoder's latent along the gradient of a classifier; no "
        "diffusion, no chance",
        LatentShift(), lambda s, u: u.vae + 3 * u.decode,
        Reference("arXiv 2102.09475", "mlmed/gifsplanation", "5a8f7f4",
                  "none: ideas only; package latentshift 0.0.6 Apache-2.0"),
        kinds=tuple(CHANNELS), needs=("classifier",), region="none", solver="none",
        most=lambda s, u: u.vae + (2 + len(s.shifts)) * u.decode,
        defects=("lowers the probability, whatever is asked",
                 "shows the last shift, even where the probability has turned back there")),
    Row("progemu", "ProgEmu: a language model of 8 billion weights, yours to bring, that writes "
        "the picture as tokens; no F: its trace has tokens and seconds",
        ProgEmu(), lambda s, u: u.encode,
        Reference("arXiv 2503.23149", "Masaaki-75/progemu", "28cc43a", "MIT"),
        kinds=tuple(CHANNELS), needs=("emu3",), region="none", solver="none"),
    Row("rse", "finds its own region, where the words change the prediction, then an editor in it",
        RegionSpecific(), rse_cost,
        Reference("arXiv 2603.00423", "hgminn/InstructX2X", "776c739", "Apache-2.0"),
        region="own"),
    Row("external", "finished pictures of another program, from a folder with manifest.csv (id, "
        "image, finding, direction, prompt, seed, method, file)",
        External(), lambda s, u: u.encode, Reference("this project", licence="Apache-2.0"),
        kinds=tuple(CHANNELS), needs=("results",), region="none", solver="none"),
)  # fmt: skip
TABLE: Mapping[str, Row] = {row.id: row for row in ROWS}


def row_of(name: str) -> Row:
    """The row of a method; BadRequest lists the known ones."""
    if name not in TABLE:
        raise BadRequest(f"Unknown method '{name}'.", hint=f"Choose one of: {', '.join(TABLE)}.")
    return TABLE[name]


@dataclass(frozen=True)
class Choice:
    """A method, and the settings it is to have."""

    row: Row
    settings: Any


def choose(name: str, values: Mapping[str, Any] | None = None) -> Choice:
    """A method with some settings replaced; BadRequest if one is unknown or wrong."""
    row = row_of(name)
    for key in values or {}:
        if key not in row.settings.as_dict():
            known = ", ".join(row.settings.as_dict()) or "none"
            raise BadRequest(f"'{key}' is no setting of '{name}'.", hint=f"Its settings: {known}.")
    return Choice(row, row.settings.with_values(values or {}))


def as_dict(row: Row) -> dict[str, Any]:
    """A row as JSON: cost for SD v1.5 at the published settings, with a source prompt."""
    unit = Unit(kind=row.kinds[0])
    return {
        "about": row.about,
        "settings": row.settings.as_dict(),
        "f": None if row.cost is None else round(row.cost(row.settings, unit), 1),
        "f_at_most": None if row.most is None else round(row.most(row.settings, unit), 1),
        "removes": row.removes,
        "channels": [CHANNELS[kind] for kind in row.kinds],
        "needs": list(row.needs),
        "region": row.region,
        "defects": list(row.defects),
        "reference": vars(row.reference),
    }
