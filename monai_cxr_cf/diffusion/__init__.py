# SPDX-License-Identifier: Apache-2.0
"""The regulated sampler: a task and a configuration in, edited latents and a trace out."""
