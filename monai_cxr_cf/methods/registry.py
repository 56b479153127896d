# SPDX-License-Identifier: Apache-2.0
"""Name -> method: one signature for ours and every published editor, on one backbone."""

from collections.abc import Mapping, Sequence

from monai_cxr_cf.catalogue.table import Choice, choose
from monai_cxr_cf.diffusion.model.backbone import Backbone
from monai_cxr_cf.diffusion.sample import Samples
from monai_cxr_cf.diffusion.task import EditTask, Progress
from monai_cxr_cf.methods.attend_excite import attend_excite
from monai_cxr_cf.methods.blended import blended
from monai_cxr_cf.methods.ddim_invert import ddim_invert
from monai_cxr_cf.methods.ddpm_invert import ddpm_invert
from monai_cxr_cf.methods.diffedit import diffedit
from monai_cxr_cf.methods.external import external
from monai_cxr_cf.methods.frame.account import Editor, Method, published
from monai_cxr_cf.methods.instructx2x import instructx2x
from monai_cxr_cf.methods.ip2p import biomedjourney, ip2p
from monai_cxr_cf.methods.latent_shift import latent_shift
from monai_cxr_cf.methods.layout_guidance import layout_guidance
from monai_cxr_cf.methods.ledits import ledits
from monai_cxr_cf.methods.masactrl import masactrl
from monai_cxr_cf.methods.p2p import p2p
from monai_cxr_cf.methods.pie import pie, pie_latent
from monai_cxr_cf.methods.progemu.edit import progemu
from monai_cxr_cf.methods.radedit import radedit
from monai_cxr_cf.methods.regulated import regulated
from monai_cxr_cf.methods.rse import rse
from monai_cxr_cf.methods.sd_inpaint import sd_inpaint
from monai_cxr_cf.methods.sdedit import sdedit
from monai_cxr_cf.presets import EditConfig

BY_PRESET: Mapping[str, Method] = {"regulated": regulated, "sdedit": sdedit}
EDITORS: Mapping[str, Editor] = {
    "sd_inpaint": sd_inpaint,
    "ddim_invert": ddim_invert,
    "ddpm_invert": ddpm_invert,
    "blended": blended,
    "pie": pie,
    "pie_latent": pie_latent,
    "radedit": radedit,
    "diffedit": diffedit,
    "ip2p": ip2p,
    "biomedjourney": biomedjourney,
    "instructx2x": instructx2x,
    "p2p": p2p,
    "masactrl": masactrl,
    "attend_excite": attend_excite,
    "layout_guidance": layout_guidance,
    "ledits": ledits,
    "latent_shift": latent_shift,
    "progemu": progemu,
    "rse": rse,
    "external": external,
}


def method_of(choice: Choice) -> Method:
    """The method of a row, with its settings."""
    name = choice.row.id
    return BY_PRESET[name] if name in BY_PRESET else published(EDITORS[name], choice)


def run_method(
    choice: Choice | str,
    backbone: Backbone,
    task: EditTask,
    *,
    config: EditConfig,
    seeds: Sequence[int],
    progress: Progress | None = None,
) -> Samples:
    """Run a method, by name at its published settings; the trace names it.

    Raises:
        BadRequest: an unknown name, or a backbone of another kind.
    """
    chosen = choose(choice) if isinstance(choice, str) else choice
    chosen.row.refuse(backbone.kind, backbone.name)
    return method_of(chosen)(backbone, task, config, seeds=seeds, progress=progress)
