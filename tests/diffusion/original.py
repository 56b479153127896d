# SPDX-License-Identifier: Apache-2.0
"""Weights of diffusers parts under the names of the original Stable Diffusion v1 checkpoints.

Written from the public layout of such files; the reverse of what the loader must undo.
"""

import re

UNET = [
    (r"^time_embedding\.linear_1", "time_embed.0"),
    (r"^time_embedding\.linear_2", "time_embed.2"),
    (r"^conv_in", "input_blocks.0.0"),
    (r"^conv_norm_out", "out.0"),
    (r"^conv_out", "out.2"),
    (r"^mid_block\.attentions\.0", "middle_block.1"),
    (r"^mid_block\.resnets\.0", "middle_block.0"),
    (r"^mid_block\.resnets\.1", "middle_block.2"),
]
RESNET = [
    ("norm1", "in_layers.0"),
    ("conv1", "in_layers.2"),
    ("norm2", "out_layers.0"),
    ("conv2", "out_layers.3"),
    ("time_emb_proj", "emb_layers.1"),
    ("conv_shortcut", "skip_connection"),
]
VAE_ATTENTION = {
    "group_norm": "norm",
    "to_q": "q",
    "to_k": "k",
    "to_v": "v",
    "to_out.0": "proj_out",
}


def original_checkpoint(unet, vae, text_encoder) -> dict:
    """One flat state dict as in ``v1-5-pruned.safetensors``: four blocks of two layers each."""
    weights = {f"model.diffusion_model.{unet_name(k)}": v for k, v in unet.state_dict().items()}
    for key, value in vae.state_dict().items():
        name = vae_name(key)
        is_conv = ".attn_1." in name and name.endswith("weight") and ".norm." not in name
        # 1x1 convolutions in the original
        weights[f"first_stage_model.{name}"] = value[:, :, None, None] if is_conv else value
    for key, value in text_encoder.state_dict().items():
        bare = key.removeprefix("text_model.")
        weights[f"cond_stage_model.transformer.text_model.{bare}"] = value
    return {k: v.contiguous() for k, v in weights.items()}


def unet_name(key: str) -> str:
    """diffusers name -> original name."""
    resnet = ".resnets." in key
    for i in range(4):
        for j in range(3):
            key = re.sub(
                rf"^down_blocks\.{i}\.resnets\.{j}\.", f"input_blocks.{3 * i + j + 1}.0.", key
            )
            key = re.sub(
                rf"^down_blocks\.{i}\.attentions\.{j}\.", f"input_blocks.{3 * i + j + 1}.1.", key
            )
            key = re.sub(rf"^up_blocks\.{i}\.resnets\.{j}\.", f"output_blocks.{3 * i + j}.0.", key)
            key = re.sub(
                rf"^up_blocks\.{i}\.attentions\.{j}\.", f"output_blocks.{3 * i + j}.1.", key
            )
        key = re.sub(
            rf"^down_blocks\.{i}\.downsamplers\.0\.conv\.", f"input_blocks.{3 * (i + 1)}.0.op.", key
        )
        up = f"output_blocks.{3 * i + 2}.{1 if i == 0 else 2}."
        key = re.sub(rf"^up_blocks\.{i}\.upsamplers\.0\.", up, key)
    for pattern, name in UNET:
        key = re.sub(pattern, name, key)
    for ours, theirs in RESNET if resnet else ():
        key = key.replace(f".{ours}.", f".{theirs}.")
    return key


def vae_name(key: str) -> str:
    """diffusers name -> original name."""
    key = re.sub(r"down_blocks\.(\d)\.resnets\.(\d)", r"down.\1.block.\2", key)
    key = re.sub(r"down_blocks\.(\d)\.downsamplers\.0", r"down.\1.downsample", key)
    key = re.sub(
        r"up_blocks\.(\d)\.resnets\.(\d)", lambda m: f"up.{3 - int(m[1])}.block.{m[2]}", key
    )
    key = re.sub(r"up_blocks\.(\d)\.upsamplers\.0", lambda m: f"up.{3 - int(m[1])}.upsample", key)
    key = re.sub(r"mid_block\.resnets\.(\d)", lambda m: f"mid.block_{int(m[1]) + 1}", key)
    key = key.replace("conv_norm_out", "norm_out").replace("conv_shortcut", "nin_shortcut")
    if "mid_block.attentions.0" in key:
        key = key.replace("mid_block.attentions.0", "mid.attn_1")
        for ours, theirs in VAE_ATTENTION.items():
            key = key.replace(f".{ours}.", f".{theirs}.")
    return key
